//! Linux AIO: reads, writes and `fdatasync` of many requests with one system call, completions taken from shared memory with none.
//!
//! A request and its buffers lie in an in-flight table from `push` until the kernel has completed them; the ring mints the witness, since
//! it alone reads the kernel's completions. Only direct I/O (and `fdatasync`) is asynchronous in Linux AIO; a buffered file works, and blocks in `kick`.
//!
//! Completions are noticed by looking (`reap`). Before a sleep, [`AioRing::arm`] asks for notices on a descriptor. A notice costs the
//! kernel work, so requests are submitted without one while nobody tries to sleep; once somebody does, the silent ones are waited for
//! awake and those that follow carry a notice.
//!
//! What it is not: it retries nothing. Short transfers and `EAGAIN` for [`FileOp::nowait`] are results.

mod kernel;
#[cfg(all(test, not(loom)))]
mod tests;

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use doorbell_mem::Carrier;
use rustix::{
    event::{EventfdFlags, eventfd},
    io::Errno,
};

use crate::file::{Armed, FileId, FileOp, Files, Handle, OpKind, Requests, rw_flags};
use kernel::{Context, Event, Iocb};

/// Why there is no ring.
#[derive(Debug, thiserror::Error)]
pub enum AioError {
    /// The system-wide limit on requests.
    #[error("the system's limit on asynchronous requests is reached: raise fs.aio-max-nr (now {now}), or lower the queue depth of {depth}")]
    Limit {
        /// The limit, as the kernel writes it.
        now: String,
        /// What was asked for.
        depth: u16,
    },
    /// The kernel has no Linux AIO.
    #[error("this kernel is built without Linux AIO (CONFIG_AIO): use io_uring")]
    Unsupported,
    /// Anything else.
    #[error("cannot set up Linux AIO: {0}")]
    Os(#[from] io::Error),
}

struct Slot {
    iocb: Iocb,
    /// Submitted without a notice.
    silent: bool,
}

/// A queue of requests to Linux AIO, for one thread.
pub struct AioRing<T: Carrier> {
    context: Context,
    /// The kernel copies lists of addresses at submission.
    requests: Requests<T>,
    slots: Box<[Slot]>,
    /// Pushed and not yet taken by the kernel, in order.
    queue: VecDeque<u16>,
    /// Reused: what `io_submit` takes.
    batch: Vec<*mut Iocb>,
    files: Files,
    notice: OwnedFd,
    /// Requests in the kernel that will not write to `notice`.
    silent: u32,
    /// Writes to `notice` that were or will be made, of requests that are back, less those that were read.
    owed: u64,
    /// Requests pushed since somebody last tried to sleep.
    since_arm: u32,
}

/// Whoever has pushed this many requests without trying to sleep is busy: no notices.
const BUSY_AFTER: u32 = 256;

/// How long dropping a ring waits for the kernel before it leaks what is in flight.
const DROP_WAIT: Duration = Duration::from_secs(10);

impl<T: Carrier> AioRing<T> {
    /// A ring for `depth` requests at a time.
    pub fn new(depth: u16) -> Result<AioRing<T>, AioError> {
        let depth = depth.max(1);
        let context = Context::new(depth.into()).map_err(|error| match error {
            Errno::AGAIN => {
                let now = std::fs::read_to_string("/proc/sys/fs/aio-max-nr").unwrap_or_default().trim().to_owned();
                AioError::Limit { now, depth }
            }
            Errno::NOSYS => AioError::Unsupported,
            error => AioError::Os(error.into()),
        })?;
        let notice = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map_err(io::Error::from)?;
        Ok(AioRing {
            context,
            requests: Requests::new(depth),
            slots: (0..depth).map(|_| Slot { iocb: Iocb::default(), silent: false }).collect(),
            queue: VecDeque::with_capacity(depth.into()),
            batch: Vec::with_capacity(depth.into()),
            files: Files::default(),
            notice,
            silent: 0,
            owed: 0,
            since_arm: BUSY_AFTER,
        })
    }

    /// Makes a file known; it stays open until it is removed and nothing on it is in flight.
    pub fn add_file(&mut self, file: &Handle) -> FileId {
        self.files.add(file)
    }

    /// Forgets a file. Requests pushed before still complete; later ones with this id fail (`EBADF`).
    pub fn remove_file(&mut self, id: FileId) {
        self.files.remove(id);
        if self.queue.is_empty() {
            self.files.submitted();
        }
    }

    /// Whether this engine does such operations; others are answered with `EOPNOTSUPP`.
    pub fn supports(kind: OpKind) -> bool {
        matches!(kind, OpKind::Read | OpKind::Write | OpKind::Fdatasync)
    }

    /// Queues a request, to be submitted by `kick`; gives it back when `depth` are in flight.
    ///
    /// # Panics
    /// If the operation names more bytes than the request has.
    #[inline]
    pub fn push(&mut self, item: T, file: FileId, op: &FileOp) -> Result<(), T> {
        let (cid, vectors) = self.requests.insert(item, op)?;
        self.since_arm = self.since_arm.saturating_add(1);
        let slot = match self.slots.get_mut(usize::from(cid)) {
            Some(slot) if Self::supports(op.kind) => slot,
            _ => {
                self.requests.refuse(cid, Errno::OPNOTSUPP);
                return Ok(());
            }
        };
        slot.silent = self.since_arm > BUSY_AFTER;
        let mut iocb = Iocb::new(cid.into(), self.files.raw(file).0, op.offset, rw_flags(op));
        match op.kind {
            OpKind::Read => iocb.read(vectors),
            OpKind::Write => iocb.write(vectors),
            _ => iocb.fdatasync(),
        }
        if !slot.silent {
            iocb.notify(self.notice.as_raw_fd());
        }
        slot.iocb = iocb;
        self.queue.push_back(cid);
        Ok(())
    }

    /// Hands everything queued to the kernel, in one system call; what it does not take now stays queued and goes with the next `kick` or
    /// `reap`. Answers how many it took.
    #[inline]
    pub fn kick(&mut self) -> usize {
        if self.queue.is_empty() {
            return 0;
        }
        let base = self.slots.as_mut_ptr();
        self.batch.clear();
        for &cid in &self.queue {
            // SAFETY: `cid` came from the table, whose depth is the number of slots.
            self.batch.push(unsafe { &raw mut (*base.add(usize::from(cid))).iocb });
        }
        let mut done = 0;
        let mut taken = 0;
        while done < self.batch.len() {
            // SAFETY: each block is filled by `push`, and names segments that lie in the table until their completion is read below;
            // `slots` is not touched in between.
            match unsafe { self.context.submit(&self.batch[done..]) } {
                Ok(count) => {
                    done += count;
                    taken += count;
                    for cid in self.queue.drain(..count.min(self.queue.len())) {
                        self.silent += u32::from(self.slots.get(usize::from(cid)).is_some_and(|slot| slot.silent));
                    }
                    if count == 0 {
                        break;
                    }
                }
                // No room until completions are taken.
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                // The first one is bad.
                Err(error) => {
                    done += 1;
                    if let Some(cid) = self.queue.pop_front() {
                        self.requests.refuse(cid, error);
                    }
                }
            }
        }
        if self.queue.is_empty() {
            self.files.submitted();
        }
        taken
    }

    /// Hands back up to `budget` completed requests with the bytes moved or the error. Answers how many.
    #[inline]
    pub fn reap(&mut self, budget: u32, each: &mut impl FnMut(T, Result<u32, Errno>)) -> u32 {
        let mut count = self.requests.take_refused(budget, each);
        while count < budget
            && let Some(event) = self.context.next()
        {
            count += u32::from(self.finish(&event, each));
        }
        if count > 0 && !self.queue.is_empty() {
            self.kick();
        }
        count
    }

    fn finish(&mut self, event: &Event, each: &mut impl FnMut(T, Result<u32, Errno>)) -> bool {
        // The number is ours: the kernel gives back what `push` put there.
        let Ok(cid) = u16::try_from(event.data) else { return false };
        // SAFETY: the kernel's completion of this request; a direct transfer has ended, and the addresses were copied at submission.
        let Some(item) = (unsafe { self.requests.finish(cid) }) else { return false };
        match self.slots.get(usize::from(cid)) {
            Some(slot) if slot.silent => self.silent = self.silent.saturating_sub(1),
            _ => self.owed += 1,
        }
        each(item, event.result());
        true
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
        self.since_arm = 0;
        self.drain();
        // What has completed and is not back yet is seen here, its notice written or not.
        let look = self.silent > 0 || !self.queue.is_empty() || self.requests.refused() > 0 || self.context.has_next();
        if look { Armed::Ready } else { Armed::Armed }
    }

    /// After a sleep.
    pub fn disarm(&mut self) {
        self.drain();
    }

    /// Reads the notices of what is back. One may yet have to be written: it ends a sleep too early, and is read the next time.
    fn drain(&mut self) {
        if self.owed > 0 {
            let mut count = [0; 8];
            let read = rustix::io::read(&self.notice, &mut count).is_ok();
            self.owed = self.owed.saturating_sub(if read { u64::from_ne_bytes(count) } else { 0 });
        }
    }
}

impl<T: Carrier> Drop for AioRing<T> {
    /// Waits, bounded, until the kernel is done with every buffer. What is still in flight then is leaked and counted by the table, the
    /// kernel's context with it.
    fn drop(&mut self) {
        let deadline = Instant::now() + DROP_WAIT;
        let mut in_kernel = self.requests.len() - self.queue.len() - self.requests.refused();
        while in_kernel > 0 && self.context.next().is_some() {
            in_kernel -= 1;
        }
        while in_kernel > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.context.wait(left) {
                0 if left.is_zero() => return self.context.leak(),
                taken => in_kernel = in_kernel.saturating_sub(taken),
            }
        }
        // SAFETY: every request that the kernel took has been waited for; the others never reached it.
        unsafe { self.requests.drop_all() };
    }
}

impl<T: Carrier> std::fmt::Debug for AioRing<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AioRing").field("in_flight", &self.requests.len()).field("queued", &self.queue.len()).finish_non_exhaustive()
    }
}
