//! io_uring: reads, writes, syncs, discards and zeroing of many requests with one system call.
//!
//! The same shape as `aio`, and the same rule: a request and its buffers lie in an in-flight table from `push` until the ring has read
//! their completion, which mints the witness. Unlike AIO nothing is done in `kick` that could block: what cannot be done at once goes to
//! the kernel's own workers.
//!
//! On kernels that can (6.1), completions are put off until this thread asks for them (`DEFER_TASKRUN`), so it is never interrupted; a
//! flag in shared memory says that there are some. Older kernels work, with more interruptions. Files are registered where there is room
//! in the table, memory when [`UringRing::register`] is called.
//!
//! Sleep: an eventfd that is written only while armed. Enabling it, then entering the kernel to look once more, loses nothing: the kernel queues a completion
//! with a full barrier before it reads the flag. Where completions are not put off there is no such barrier, and the eventfd stays on.
//! A ring that polls the device (`iopoll`) has no notices: it can be armed only while nothing is in flight.

mod setup;
#[cfg(all(test, not(loom)))]
mod tests;

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    time::{Duration, Instant},
};

use doorbell_mem::{Carrier, IoVec, Region};
use io_uring::{IoUring, opcode, squeue, types};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd, poll},
    fs::FallocateFlags,
    io::Errno,
};

use crate::file::{Armed, FileId, FileOp, Files, Handle, OpKind, Requests, rw_flags};
pub use setup::UringError;
use setup::{Abilities, FILES, REGIONS};

/// How to set a ring up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UringOptions {
    /// Requests at a time.
    pub depth: u16,
    /// Poll the device instead of waiting for its interrupts: direct reads and writes only, on devices with poll queues.
    pub iopoll: bool,
}

/// Memory that the kernel has pinned and knows by number.
struct Registered {
    start: usize,
    end: usize,
    index: u16,
    /// Keeps the mapping for the life of the ring.
    _region: Arc<Region>,
}

/// A queue of requests to io_uring, for one thread.
pub struct UringRing<T: Carrier> {
    /// Before the requests: the ring is closed, then what is left in flight leaks.
    ring: IoUring,
    requests: Requests<T>,
    files: Files,
    /// Which places of the kernel's file table have a file. None while the kernel has no table.
    fixed: Vec<bool>,
    memory: Vec<Registered>,
    notice: OwnedFd,
    can: Abilities,
}

/// Empties a place of the file table.
const NO_FILE: RawFd = -1;

/// How long dropping a ring waits for the kernel before it leaks what is in flight.
const DROP_WAIT: Duration = Duration::from_secs(10);

/// Registered buffers are at most this large before Linux 6.
const PIECE_BYTES: usize = 1 << 30;

impl<T: Carrier> UringRing<T> {
    /// A ring, for the thread that makes it.
    pub fn new(options: &UringOptions) -> Result<UringRing<T>, UringError> {
        let depth = options.depth.max(1);
        let (ring, can) = setup::build(depth, options.iopoll)?;
        // The kernel bounds it at 32,768.
        let depth = depth.min(u16::try_from(ring.params().sq_entries()).unwrap_or(u16::MAX));
        let notice = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map_err(io::Error::from)?;
        ring.submitter().register_eventfd(notice.as_raw_fd()).map_err(UringError::Os)?;
        let mut made = UringRing {
            ring,
            requests: Requests::new(depth),
            files: Files::default(),
            fixed: vec![false; if can.fixed_files { FILES as usize } else { 0 }],
            memory: Vec::new(),
            notice,
            can,
        };
        if can.deferred {
            made.ring.completion().disable_eventfd();
        }
        Ok(made)
    }

    /// Makes a file known; it stays open until it is removed and nothing on it is in flight.
    pub fn add_file(&mut self, file: &Handle) -> FileId {
        let id = self.files.add(file);
        self.set_fixed(id.index(), file.fd.as_raw_fd());
        id
    }

    /// Forgets a file. Requests pushed before still complete; later ones with this id fail (`EBADF`).
    ///
    /// When none is left and nothing is in flight, the kernel has let go of them all before this returns: whoever closes the file then
    /// has closed it. It may wait for a worker of the kernel's, microseconds as a rule.
    pub fn remove_file(&mut self, id: FileId) {
        self.files.remove(id);
        self.kick();
        self.settle_files();
    }

    /// Takes the file table from the kernel. Emptying its places would do for the table, but the kernel may keep the file of an emptied
    /// place for a second (seen on Linux 6.1), and those of a closed ring until it finds the time.
    fn take_table(&mut self) {
        let taken = loop {
            match self.ring.submitter().unregister_files() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => break done.is_ok(),
            }
        };
        if taken {
            self.fixed.clear();
        }
    }

    /// Puts a file into the kernel's table, which is made for the first. Without it the file is used by number, which is slower.
    fn set_fixed(&mut self, index: u32, fd: RawFd) {
        if self.fixed.is_empty() && self.can.fixed_files && self.ring.submitter().register_files_sparse(FILES).is_ok() {
            self.fixed.resize(FILES as usize, false);
        }
        self.update_fixed(index, fd);
    }

    fn update_fixed(&mut self, index: u32, fd: RawFd) {
        if let Some(fixed) = self.fixed.get_mut(index as usize) {
            *fixed = self.ring.submitter().register_files_update(index, &[fd]).is_ok() && fd >= 0;
        }
    }

    fn settle_files(&mut self) {
        if !self.ring.submission().is_empty() || !self.files.is_any_leaving() {
            return;
        }
        // Those who leave stay open until the kernel has let go: who closes last has then closed.
        if self.files.is_any_used() || !self.requests.is_empty() {
            for index in self.files.leaving() {
                self.update_fixed(index, NO_FILE);
            }
        } else if !self.fixed.is_empty() {
            self.take_table();
        }
        self.files.submitted();
    }

    /// Pins a region, so that transfers to and from single segments of it need no page look-ups. It stays pinned and mapped as long as
    /// the ring lives. Fails when the limit on locked memory is too small; the ring works without.
    pub fn register(&mut self, region: &Arc<Region>) -> Result<(), UringError> {
        if !self.can.fixed_buffers {
            return Err(UringError::NoRegistration);
        }
        let base = region.base();
        for offset in (0..region.len()).step_by(PIECE_BYTES) {
            let len = PIECE_BYTES.min(region.len() - offset);
            let index = u16::try_from(self.memory.len()).ok().filter(|&index| u32::from(index) < REGIONS);
            let index = index.ok_or(UringError::NoRegistration)?;
            let piece = libc::iovec { iov_base: base.wrapping_add(offset).cast(), iov_len: len };
            // SAFETY: the piece lies in a mapping that `_region` below keeps for the life of the ring.
            unsafe { self.ring.submitter().register_buffers_update(index.into(), &[piece], None) }.map_err(UringError::Locked)?;
            let start = base.addr() + offset;
            self.memory.push(Registered { start, end: start + len, index, _region: region.clone() });
        }
        Ok(())
    }

    /// Whether this ring does such operations; others are answered with `EOPNOTSUPP`.
    pub fn supports(&self, kind: OpKind) -> bool {
        match kind {
            OpKind::Read | OpKind::Write => true,
            OpKind::Fdatasync => !self.can.iopoll,
            OpKind::Discard | OpKind::WriteZeroes => !self.can.iopoll && self.can.fallocate,
        }
    }

    /// Queues a request, to be submitted by `kick`; gives it back when `depth` are in flight.
    ///
    /// On a block device a discard is done only where the device also zeroes what it discards (`EOPNOTSUPP` otherwise).
    ///
    /// # Panics
    /// If the operation names more bytes than the request has.
    #[inline]
    pub fn push(&mut self, item: T, file: FileId, op: &FileOp) -> Result<(), T> {
        let is_known = self.supports(op.kind);
        let (cid, vectors) = self.requests.insert(item, op)?;
        // Offsets beyond i64 mean "the current position" to the kernel, if anything.
        if !is_known || i64::try_from(op.offset).is_err() {
            self.requests.refuse(cid, if is_known { Errno::INVAL } else { Errno::OPNOTSUPP });
            return Ok(());
        }
        let (fd, _) = self.files.raw(file);
        let fixed = fd >= 0 && self.fixed.get(file.index() as usize) == Some(&true);
        let entry = match fixed {
            true => entry(types::Fd(file.index().cast_signed()), op, vectors, &self.memory).flags(squeue::Flags::FIXED_FILE),
            false => entry(types::Fd(fd), op, vectors, &self.memory),
        };
        // SAFETY: the request keeps its segments, and the list of their addresses, until the completion of this number is read;
        // registered memory lives as long as the ring.
        let pushed = unsafe { self.ring.submission().push(&entry.user_data(cid.into())) };
        if pushed.is_err() {
            // Cannot be: the ring has as many entries as there can be requests.
            self.requests.refuse(cid, Errno::AGAIN);
        }
        Ok(())
    }

    /// Hands everything queued to the kernel, in one system call; what it does not take now (no memory) stays queued and goes with the
    /// next `kick` or `reap`. Answers how many it took.
    #[inline]
    pub fn kick(&mut self) -> usize {
        let mut taken = 0;
        loop {
            let queued = self.ring.submission().len();
            if queued == 0 {
                break;
            }
            match self.enter(queued, self.can.asked()) {
                Ok(count) if count > 0 => taken += count,
                Err(Errno::INTR) => {}
                _ => return taken,
            }
        }
        if taken > 0 {
            self.settle_files();
        }
        taken
    }

    /// io_uring_enter(2), without waiting.
    fn enter(&self, submit: usize, flags: u32) -> Result<usize, Errno> {
        // SAFETY: without a signal mask the call reads no memory but the ring's.
        let entered = unsafe { self.ring.submitter().enter::<libc::sigset_t>(submit as u32, 0, flags, None) };
        entered.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    /// Hands back up to `budget` completed requests with the bytes moved or the error. Answers how many.
    #[inline]
    pub fn reap(&mut self, budget: u32, each: &mut impl FnMut(T, Result<u32, Errno>)) -> u32 {
        let mut count = self.requests.take_refused(budget, each);
        if self.requests.is_empty() {
            return count;
        }
        count += self.take(budget - count, each);
        if count < budget && self.must_ask() {
            let _ = self.enter(0, self.can.asked());
            count += self.take(budget - count, each);
        }
        if count > 0 && !self.ring.submission().is_empty() {
            self.kick();
        }
        count
    }

    /// Whether completions wait for us to enter the kernel.
    fn must_ask(&mut self) -> bool {
        let queue = self.ring.submission();
        self.can.iopoll || queue.taskrun() || queue.cq_overflow()
    }

    fn take(&mut self, budget: u32, each: &mut impl FnMut(T, Result<u32, Errno>)) -> u32 {
        let mut count = 0;
        let mut queue = self.ring.completion();
        while count < budget
            && let Some(event) = queue.next()
        {
            // The number is ours: the kernel gives back what `push` put there.
            let Ok(cid) = u16::try_from(event.user_data()) else { continue };
            // SAFETY: the kernel's completion of this request, its only one: none of our operations has several.
            if let Some(item) = unsafe { self.requests.finish(cid) } {
                count += 1;
                let result = u32::try_from(event.result()).map_err(|_| Errno::from_raw_os_error(-event.result()));
                each(item, result);
            }
        }
        count
    }

    /// How many requests are in flight, queued ones included.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether `push` would take one.
    pub fn has_room(&self) -> bool {
        self.requests.has_room()
    }

    /// Completions that named nothing in flight: anything but zero is a bug.
    pub fn strays(&self) -> u64 {
        self.requests.strays()
    }

    /// Readable once something has completed after `arm`.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.notice.as_fd()
    }

    /// Before a sleep. After `Ready` look again (`reap`), and try later.
    pub fn arm(&mut self) -> Armed {
        if self.can.deferred {
            self.ring.completion().enable_eventfd();
            fence(Ordering::SeqCst);
        } else {
            self.drain();
        }
        if self.requests.is_empty() {
            return Armed::Armed;
        }
        if self.can.deferred {
            // Takes in what was completed before the notice was on.
            let _ = self.enter(0, self.can.asked());
        }
        let look =
            self.can.iopoll || self.requests.refused() > 0 || !self.ring.submission().is_empty() || !self.ring.completion().is_empty();
        if look { Armed::Ready } else { Armed::Armed }
    }

    /// After a sleep.
    pub fn disarm(&mut self) {
        if self.can.deferred {
            self.ring.completion().disable_eventfd();
        }
        self.drain();
    }

    fn drain(&self) {
        let _ = rustix::io::read(&self.notice, &mut [0; 8]);
    }
}

/// The kernel's form of an operation. `fd` is a place in the file table if the entry is then marked so.
fn entry(fd: types::Fd, op: &FileOp, vectors: &[IoVec], memory: &[Registered]) -> squeue::Entry {
    let (offset, flags) = (op.offset, rw_flags(op));
    // Lists and lengths are below 2^32, as the request's own is.
    let (list, count) = (vectors.as_ptr().cast::<libc::iovec>(), vectors.len() as u32);
    match (op.kind, vectors) {
        (OpKind::Read, [one]) => match registered(memory, one) {
            Some(index) => opcode::ReadFixed::new(fd, one.base(), one.len() as u32, index).offset(offset).rw_flags(flags).build(),
            None => opcode::Read::new(fd, one.base(), one.len() as u32).offset(offset).rw_flags(flags).build(),
        },
        (OpKind::Write, [one]) => match registered(memory, one) {
            Some(index) => opcode::WriteFixed::new(fd, one.base(), one.len() as u32, index).offset(offset).rw_flags(flags).build(),
            None => opcode::Write::new(fd, one.base(), one.len() as u32).offset(offset).rw_flags(flags).build(),
        },
        (OpKind::Read, _) => opcode::Readv::new(fd, list, count).offset(offset).rw_flags(flags).build(),
        (OpKind::Write, _) => opcode::Writev::new(fd, list, count).offset(offset).rw_flags(flags).build(),
        (OpKind::Fdatasync, _) => opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build(),
        (OpKind::Discard, _) => fallocate(fd, op, FallocateFlags::PUNCH_HOLE),
        (OpKind::WriteZeroes, _) => fallocate(fd, op, FallocateFlags::ZERO_RANGE),
    }
}

fn fallocate(fd: types::Fd, op: &FileOp, mode: FallocateFlags) -> squeue::Entry {
    let mode = (mode | FallocateFlags::KEEP_SIZE).bits().cast_signed();
    opcode::Fallocate::new(fd, op.len).offset(op.offset).mode(mode).build()
}

/// The registered memory that holds all of it.
#[inline]
fn registered(memory: &[Registered], one: &IoVec) -> Option<u16> {
    let start = one.base().addr();
    memory.iter().find(|known| known.start <= start && start + one.len() <= known.end).map(|known| known.index)
}

impl<T: Carrier> Drop for UringRing<T> {
    /// Waits, bounded, until the kernel is done with every buffer; queued requests are submitted for that. What is still in flight then is
    /// leaked and counted by the table.
    fn drop(&mut self) {
        let deadline = Instant::now() + DROP_WAIT;
        self.kick();
        loop {
            self.reap(u32::MAX, &mut |item, _| drop(item));
            if self.requests.is_empty() {
                break;
            }
            if Instant::now() >= deadline {
                return;
            }
            if self.kick() == 0 && self.arm() == Armed::Armed {
                let slice = rustix::time::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
                let _ = poll(&mut [PollFd::new(&self.notice, PollFlags::IN)], Some(&slice));
            }
        }
        if !self.fixed.is_empty() {
            self.take_table();
        }
    }
}

impl<T: Carrier> std::fmt::Debug for UringRing<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UringRing").field("in_flight", &self.requests.len()).field("can", &self.can).finish_non_exhaustive()
    }
}
