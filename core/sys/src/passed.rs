//! Descriptors that come from another process: what they really are, and how they are used without trusting that.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{MemfdFlags, OFlags, SealFlags};
use rustix::io::Errno;

#[cfg(all(test, not(loom)))]
mod tests;

/// What a descriptor that is to be mapped turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mappable {
    /// Bytes of the file.
    pub len: u64,
    /// May a shared mapping be written?
    pub writable: bool,
    /// Which file it is: its device and its number there.
    pub file: (u64, u64),
}

/// Magic number of file systems that user programs serve: a page of theirs comes when the program likes.
const FUSE: i64 = 0x6573_5546;

/// Looks at a descriptor before it is mapped: a regular file (of memory, of huge pages, on a disk) and readable. A file that a program
/// serves is refused, since touching its pages would wait for that program.
pub fn mappable(fd: BorrowedFd<'_>) -> io::Result<Mappable> {
    let stat = rustix::fs::fstat(fd)?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless)] // the type differs between machines
    if rustix::fs::fstatfs(fd)?.f_type as i64 == FUSE {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a file that a program serves"));
    }
    let mode = rustix::fs::fcntl_getfl(fd)? & OFlags::RWMODE;
    if mode == OFlags::WRONLY {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it cannot be read"));
    }
    Ok(Mappable { len: u64::try_from(stat.st_size).unwrap_or(0), writable: mode == OFlags::RDWR, file: (stat.st_dev, stat.st_ino) })
}

/// A file in memory of `len` bytes that nobody, whoever it is passed to, can make shorter or longer.
pub fn sealed_memory(name: &str, len: u64) -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&fd, len)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

/// An event counter of another process, which is told that something happened.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// Takes a descriptor, if it is an event counter.
    pub fn new(fd: OwnedFd) -> io::Result<Bell> {
        let what = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        if what.as_os_str() != "anon_inode:[eventfd]" {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no event descriptor"));
        }
        let bell = Bell(fd);
        bell.no_waiting()?;
        Ok(bell)
    }

    /// One of our own: its other end is what [`Bell::count`] reads.
    pub fn of_our_own() -> io::Result<Bell> {
        Ok(Bell(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    fn no_waiting(&self) -> io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(&self.0)?;
        Ok(rustix::fs::fcntl_setfl(&self.0, flags | OFlags::NONBLOCK)?)
    }

    /// Rings. A counter that is full has rung already. Its owner can make it one that waits for room: so it is asked first whether there is
    /// any, and an owner who fills it between the two only holds up its own service.
    #[inline]
    pub fn ring(&self) {
        let mut one = [PollFd::new(&self.0, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut one, Some(&now)) == Ok(1) {
            while rustix::io::write(&self.0, &1u64.to_ne_bytes()) == Err(Errno::INTR) {}
        }
    }

    /// Takes how often it rang since this was last asked.
    pub fn count(&self) -> u64 {
        let mut count = [0; 8];
        match rustix::io::read(&self.0, &mut count) {
            Ok(8) => u64::from_ne_bytes(count),
            _ => 0,
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
