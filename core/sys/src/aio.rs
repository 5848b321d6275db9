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

use doorbell_mem::{Carrier, InFlight, IoVec, QueueKey};
use rustix::{
    event::{EventfdFlags, eventfd},
    io::Errno,
};

use crate::file::{Armed, FileId, FileOp, Files, Handle, OpKind, rw_flags};
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
    /// Several segments: their addresses, which the kernel copies at submission. Its capacity is kept.
    vectors: Vec<IoVec>,
    /// Submitted without a notice.
    silent: bool,
}

/// A queue of requests to Linux AIO, for one thread.
pub struct AioRing<T: Carrier> {
    context: Context,
    key: QueueKey,
    table: InFlight<T>,
    slots: Box<[Slot]>,
    /// Pushed and not yet taken by the kernel, in order.
    queue: VecDeque<u16>,
    /// Reused: what `io_submit` takes.
    batch: Vec<*mut Iocb>,
    /// Refused by the kernel at submission, to be handed back by `reap`.
    refused: VecDeque<(u16, Errno)>,
    files: Files,
    notice: OwnedFd,
    /// Requests in the kernel that will not write to `notice`.
    silent: u32,
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
        let key = QueueKey::new();
        Ok(AioRing {
            context,
            table: InFlight::new(&key, depth),
            key,
            slots: (0..depth).map(|_| Slot { iocb: Iocb::default(), vectors: Vec::new(), silent: false }).collect(),
            queue: VecDeque::with_capacity(depth.into()),
            batch: Vec::with_capacity(depth.into()),
            refused: VecDeque::with_capacity(depth.into()),
            files: Files::default(),
            notice,
            silent: 0,
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
            self.files.submitted(|_| {});
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
    pub fn push(&mut self, mut item: T, file: FileId, op: &FileOp) -> Result<(), T> {
        let (sg_offset, len) = op.range_of(item.sg_mut());
        let cid = self.table.insert(item)?;
        self.since_arm = self.since_arm.saturating_add(1);
        if !Self::supports(op.kind) {
            self.refused.push_back((cid.0, Errno::OPNOTSUPP));
            return Ok(());
        }
        let (Some(slot), Some(sg)) = (self.slots.get_mut(usize::from(cid.0)), self.table.segments(cid)) else { return Ok(()) };
        slot.vectors.clear();
        sg.iovecs(sg_offset, len, &mut slot.vectors);
        slot.silent = self.since_arm > BUSY_AFTER;
        let mut iocb = Iocb::new(cid.0.into(), self.files.raw(file).0, op.offset, rw_flags(op));
        match op.kind {
            OpKind::Read => iocb.read(&slot.vectors),
            OpKind::Write => iocb.write(&slot.vectors),
            _ => iocb.fdatasync(),
        }
        if !slot.silent {
            iocb.notify(self.notice.as_raw_fd());
        }
        slot.iocb = iocb;
        self.queue.push_back(cid.0);
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
                    self.refused.extend(self.queue.pop_front().map(|cid| (cid, error)));
                }
            }
        }
        if self.queue.is_empty() {
            self.files.submitted(|_| {});
        }
        taken
    }

    /// Hands back up to `budget` completed requests with the bytes moved or the error. Answers how many.
    #[inline]
    pub fn reap(&mut self, budget: u32, each: &mut impl FnMut(T, Result<u32, Errno>)) -> u32 {
        let mut count = 0;
        while count < budget
            && let Some((cid, error)) = self.refused.pop_front()
        {
            // SAFETY: the kernel never took this one.
            let witness = unsafe { self.key.completion(cid) };
            if let Some(item) = self.table.finish(&witness) {
                count += 1;
                each(item, Err(error));
            }
        }
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
        let witness = unsafe { self.key.completion(cid) };
        let Some(item) = self.table.finish(&witness) else { return false };
        self.silent -= u32::from(self.slots.get(usize::from(cid)).is_some_and(|slot| slot.silent)).min(self.silent);
        each(item, event.result());
        true
    }

    /// How many requests are in flight, queued ones included.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether `push` would take one.
    pub fn has_room(&self) -> bool {
        self.table.has_room()
    }

    /// Completions that named nothing in flight: anything but zero is a bug.
    pub fn strays(&self) -> u64 {
        self.table.strays()
    }

    /// Readable once something has completed after `arm`.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.notice.as_fd()
    }

    /// Before a sleep. After `Ready` look again (`reap`), and try later.
    pub fn arm(&mut self) -> Armed {
        self.since_arm = 0;
        self.drain();
        // The kernel publishes a completion before it writes the notice: one whose notice was just drained is seen here.
        let look = self.silent > 0 || !self.queue.is_empty() || !self.refused.is_empty() || self.context.has_next();
        if look { Armed::Ready } else { Armed::Armed }
    }

    /// After a sleep.
    pub fn disarm(&mut self) {
        self.drain();
    }

    fn drain(&self) {
        let _ = rustix::io::read(&self.notice, &mut [0; 8]);
    }
}

impl<T: Carrier> Drop for AioRing<T> {
    /// Waits, bounded, until the kernel is done with every buffer. What is still in flight then is leaked and counted by the table, the
    /// kernel's context with it.
    fn drop(&mut self) {
        let deadline = Instant::now() + DROP_WAIT;
        let mut in_kernel = self.table.len() - self.queue.len() - self.refused.len();
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
        let quiet = unsafe { self.key.quiesced(self.table.epoch()) };
        drop(self.table.reclaim(&quiet));
    }
}

impl<T: Carrier> std::fmt::Debug for AioRing<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AioRing").field("in_flight", &self.table.len()).field("queued", &self.queue.len()).finish_non_exhaustive()
    }
}
