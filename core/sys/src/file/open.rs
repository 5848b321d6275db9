//! Opening a file or block device so that nobody else has it.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::{
    fs::{FileType, Mode, OFlags, Statx, open},
    io::Errno,
};

use super::{
    Handle, Kind, Target,
    geometry::{Geometry, measure, refuses_direct, stat},
    holders::{Device, Holder, Holders, Roots},
};

/// Whether it may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Reading only.
    ReadOnly,
    /// Both.
    #[default]
    ReadWrite,
}

/// Whether to bypass the page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direct {
    /// Go through the page cache.
    Off,
    /// Bypass it where the file system can; [`Target::is_direct`] says what came of it.
    #[default]
    Prefer,
    /// Bypass it or fail.
    Require,
}

/// How to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenOptions {
    /// Whether it may be written.
    pub access: Access,
    /// Whether to bypass the page cache.
    pub direct: Direct,
    /// Make a sparse file of this size if there is none, and grow one that is smaller. None is ever cut.
    pub create_bytes: Option<u64>,
    /// Take it although somebody else has it.
    pub force: bool,
}

/// How a target was found, and so what opening it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Found {
    /// As it is.
    #[default]
    AsItIs,
    /// It was not there, and was made.
    Made,
    /// It was smaller, and was grown.
    Smaller {
        /// Its size before.
        bytes: u64,
    },
}

/// Why it could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The kernel refused.
    #[error("cannot {doing} {path}: {error}", path = .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// The answer.
        error: io::Error,
    },
    /// There is none, and no size was given to make one.
    #[error("{path} does not exist; give a size to have it made", path = .0.display())]
    NotFound(PathBuf),
    /// A folder, a terminal, a pipe.
    #[error("{path} is neither a regular file nor a block device", path = .0.display())]
    NotStorage(PathBuf),
    /// Somebody else has it.
    #[error("{path} is in use: {who}; stop that first, or force it if you are sure that nothing is lost", path = .path.display())]
    Busy {
        /// Which file.
        path: PathBuf,
        /// Who.
        who: Holders,
    },
    /// Direct I/O was required and cannot be had.
    #[error("the file system of {path} takes no direct I/O: allow buffered I/O, or put the file elsewhere", path = .0.display())]
    NoDirect(PathBuf),
    /// No lock can be had on this file system, so nothing would keep others away.
    #[error("{path} cannot be locked ({error}): make sure that nobody else uses it, and force it", path = .path.display())]
    NoLock {
        /// Which file.
        path: PathBuf,
        /// The kernel's answer.
        error: io::Error,
    },
    /// Smaller than was asked for, and a block device or opened for reading, so it cannot be grown.
    #[error("{path} has {size_bytes} bytes, {asked_bytes} were asked for", path = .path.display())]
    TooSmall {
        /// Which device.
        path: PathBuf,
        /// What it has.
        size_bytes: u64,
        /// What was asked for.
        asked_bytes: u64,
    },
}

impl Target {
    /// Opens `path` and holds it. May block for as long as the file system takes, and for two seconds when it is in use and nobody can
    /// be found who uses it: the kernel lets go late of what an io_uring had that died with its process. A file that was made for it goes
    /// again when it fails.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Target, OpenError> {
        patiently(|| Target::attempt(path, options), || thread::sleep(PAUSE))
    }

    fn attempt(path: &Path, options: &OpenOptions) -> Result<Target, OpenError> {
        let io = |doing, error: io::Error| OpenError::Io { doing, path: path.to_owned(), error };
        let (fd, direct, made) = open_file(path, options)?;
        let stat = stat(&fd).map_err(|error| io("examine", error.into()))?;
        let kind = kind_of(&stat).ok_or_else(|| OpenError::NotStorage(path.to_owned()))?;
        let handle = Handle { fd: Arc::new(fd), kind };
        if kind == Kind::File {
            lock(&handle, path, options)?;
        }
        // Under the lock: of two that start at once only one sizes the file.
        let found = if made { Found::Made } else { Found::AsItIs };
        let mut target = Target { handle, geometry: Geometry::default(), direct, access: options.access, found };
        let sized = target.size_to(path, options).and_then(|()| {
            let geometry = measure(&target.handle, &stat, direct, options.access);
            geometry.map_err(|error| io("examine", error))
        });
        match sized {
            Ok(geometry) => {
                target.geometry = geometry;
                Ok(target)
            }
            Err(error) => {
                if !options.force {
                    target.undo(path);
                }
                Err(error)
            }
        }
    }

    /// Gives it the size that was asked for, and makes its name and size survive power loss.
    fn size_to(&mut self, path: &Path, options: &OpenOptions) -> Result<(), OpenError> {
        let io = |doing, error: io::Error| OpenError::Io { doing, path: path.to_owned(), error };
        let size_bytes = self.handle.size().map_err(|error| io("size", error))?;
        if let Some(asked_bytes) = options.create_bytes.filter(|asked| size_bytes < *asked) {
            if self.kind() == Kind::Block || options.access == Access::ReadOnly {
                return Err(OpenError::TooSmall { path: path.to_owned(), size_bytes, asked_bytes });
            }
            rustix::fs::ftruncate(&self.handle, asked_bytes).map_err(|error| io("grow", error.into()))?;
            if self.found == Found::AsItIs {
                self.found = Found::Smaller { bytes: size_bytes };
            }
        }
        if self.found == Found::AsItIs {
            return Ok(());
        }
        settle(&self.handle, path).map_err(|error| io("sync the folder of", error))
    }

    /// Takes back what opening it did, for an opener that cannot use it after all: nothing was written yet. Not for one that was
    /// forced: somebody else may have written.
    pub fn undo(self, path: &Path) {
        // What cannot be taken back stays: whoever opens it next sees to it.
        let _ = match self.found {
            Found::AsItIs => Ok(()),
            Found::Made => fs::remove_file(path),
            Found::Smaller { bytes } => rustix::fs::ftruncate(&self.handle, bytes).map_err(Into::into),
        };
    }
}

/// Attempts to open what seems to be nobody's, and the pause between two.
const ATTEMPTS: u32 = 41;
const PAUSE: Duration = Duration::from_millis(50);

/// Tries again, so many times, as long as it is in use by nobody who can be found.
pub(super) fn patiently<T>(mut attempt: impl FnMut() -> Result<T, OpenError>, mut pause: impl FnMut()) -> Result<T, OpenError> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(OpenError::Busy { who, .. }) if who.0.is_empty() => pause(),
            done => return done,
        }
    }
    attempt()
}

fn kind_of(stat: &Statx) -> Option<Kind> {
    match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::RegularFile => Some(Kind::File),
        FileType::BlockDevice => Some(Kind::Block),
        _ => None,
    }
}

/// The descriptor, whether it is direct, and whether the file was made.
fn open_file(path: &Path, options: &OpenOptions) -> Result<(OwnedFd, bool, bool), OpenError> {
    // Looked at first: opening a pipe would block, and opening a device can do things.
    if let Ok(found) = fs::metadata(path)
        && !found.is_file()
        && !found.file_type().is_block_device()
    {
        return Err(OpenError::NotStorage(path.to_owned()));
    }
    let made = options.create_bytes.is_some() && options.access == Access::ReadWrite && make(path)?;
    let mut flags = OFlags::CLOEXEC;
    flags |= if options.access == Access::ReadOnly { OFlags::RDONLY } else { OFlags::RDWR };
    if !options.force {
        // Claims a block device; means nothing for a file that is not to be made.
        flags |= OFlags::EXCL;
    }
    let attempt = |direct: OFlags| open(path, flags | direct, Mode::empty());
    let opened = match options.direct {
        Direct::Off => attempt(OFlags::empty()).map(|fd| (fd, false)),
        wanted => match attempt(OFlags::DIRECT) {
            Ok(fd) if !stat(&fd).is_ok_and(|stat| refuses_direct(&stat)) => Ok((fd, true)),
            Ok(_) | Err(Errno::INVAL) if wanted == Direct::Require => {
                unmake(path, made);
                return Err(OpenError::NoDirect(path.to_owned()));
            }
            Ok(_) | Err(Errno::INVAL) => attempt(OFlags::empty()).map(|fd| (fd, false)),
            Err(error) => Err(error),
        },
    };
    match opened {
        Ok((fd, direct)) => Ok((fd, direct, made)),
        Err(error) => {
            unmake(path, made);
            Err(refusal(path, error))
        }
    }
}

/// Makes an empty file that only its owner may read, if there is none. By itself: with O_DIRECT some file systems make one and fail.
fn make(path: &Path) -> Result<bool, OpenError> {
    let flags = OFlags::CLOEXEC | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    match open(path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(_) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        // A folder that is not there is not what a size could help with.
        Err(error) => Err(OpenError::Io { doing: "make", path: path.to_owned(), error: error.into() }),
    }
}

/// Only while nobody but us can have it: before it was opened, nobody can have written what counts.
fn unmake(path: &Path, made: bool) {
    if made && fs::metadata(path).is_ok_and(|found| found.len() == 0) {
        let _ = fs::remove_file(path);
    }
}

fn refusal(path: &Path, error: Errno) -> OpenError {
    let who = |file: fs::Metadata| match file.file_type().is_block_device() {
        true => {
            let device = Device { major: rustix::fs::major(file.rdev()), minor: rustix::fs::minor(file.rdev()) };
            Roots::real().of_device(device)
        }
        false => Roots::real().of_file(file.dev(), file.ino()),
    };
    match error {
        Errno::NOENT => OpenError::NotFound(path.to_owned()),
        Errno::BUSY | Errno::TXTBSY => OpenError::Busy { path: path.to_owned(), who: fs::metadata(path).map(who).unwrap_or_default() },
        error => OpenError::Io { doing: "open", path: path.to_owned(), error: error.into() },
    }
}

/// Locks the whole file: shared by readers, alone for a writer. The lock belongs to the open file, so it lives as long as any handle of
/// it, and closing an unrelated descriptor of the same file does not drop it (as it would a classic POSIX lock).
fn lock(handle: &Handle, path: &Path, options: &OpenOptions) -> Result<(), OpenError> {
    // SAFETY: all zero is a lock on the whole file, of no type yet; OFD locks want l_pid 0.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = if options.access == Access::ReadOnly { libc::F_RDLCK } else { libc::F_WRLCK } as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the call reads `lock`, which lives.
    if unsafe { libc::fcntl(handle.fd.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Others are kept away where they can be; where somebody has it already, that was known.
        _ if options.force => Ok(()),
        Some(libc::EAGAIN | libc::EACCES) => Err(OpenError::Busy { path: path.to_owned(), who: lockers(handle, lock) }),
        _ => Err(OpenError::NoLock { path: path.to_owned(), error }),
    }
}

/// Who holds a lock against ours: the kernel knows the process of a classic lock; one on an open file is looked for.
fn lockers(handle: &Handle, mut lock: libc::flock) -> Holders {
    // SAFETY: the call reads and writes `lock`, which lives.
    let asked = unsafe { libc::fcntl(handle.fd.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    if asked == 0 && lock.l_pid > 0 {
        let name = fs::read_to_string(format!("/proc/{}/comm", lock.l_pid)).unwrap_or_default();
        return Holders(vec![Holder::Process { pid: lock.l_pid.unsigned_abs(), name: name.trim().to_owned() }]);
    }
    match stat(handle) {
        Ok(stat) => Roots::real().of_file(rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino),
        Err(_) => Holders::default(),
    }
}

/// Makes a new file's name and size survive power loss.
fn settle(handle: &Handle, path: &Path) -> io::Result<()> {
    rustix::fs::fsync(handle.as_fd())?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match File::open(parent)?.sync_all() {
        // Some file systems know no sync of a folder; nothing more can be done there.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        done => done,
    }
}
