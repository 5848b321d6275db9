//! One reactor's end of the helpers.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use doorbell_mem::Carrier;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use super::{Helpers, Job};
use crate::{
    file::{Armed, FileId, FileOp, Files, Handle, Requests, perform},
    ring::{Full, Receiver, Sender, ring},
    wakeup::{self, Notifier, Sleeper},
};

struct Done {
    cid: u16,
    result: Result<u32, Errno>,
}

/// The way home. Jobs share it.
struct Port {
    done: Sender<Done>,
    notifier: Notifier,
}

/// What goes to a helper.
pub(super) struct FileJob {
    cid: u16,
    op: FileOp,
    file: Handle,
    list: *const libc::iovec,
    count: usize,
    home: Arc<Port>,
}

// SAFETY: `list` lies in the queue's `requests`, where it is neither touched nor freed until this job's number has come home (or ever,
// if it does not), and so do the segments that it names. The helper only hands it to the kernel.
unsafe impl Send for FileJob {}

impl FileJob {
    pub(super) fn run(self) {
        let FileJob { cid, op, file, list, count, home } = self;
        // SAFETY: the list and what it names stay valid until the number below is read from the ring.
        let result = unsafe { perform(file.as_fd(), file.kind(), &op, list, count) };
        // Before anybody can know that it is done: whoever then closes the file has the last hold of it.
        drop(file);
        // Never full: it has a place for every number. Where the queue is gone nobody reads it.
        let _ = home.done.push(Done { cid, result });
        home.notifier.notify();
    }
}

/// A queue of requests to the helpers, for one thread.
pub struct HelperQueue<T: Carrier> {
    helpers: Helpers,
    requests: Requests<T>,
    files: Files,
    done: Receiver<Done>,
    sleeper: Sleeper,
    port: Arc<Port>,
    pushed: bool,
}

/// How long dropping a queue waits for the helpers before it leaks what is in flight.
const DROP_WAIT: Duration = Duration::from_secs(10);

impl<T: Carrier> HelperQueue<T> {
    /// A queue for `depth` requests at a time.
    pub fn new(helpers: &Helpers, depth: u16) -> io::Result<HelperQueue<T>> {
        let depth = depth.max(1);
        let (sender, done) = ring(depth.into());
        let (sleeper, notifier) = wakeup::pair()?;
        Ok(HelperQueue {
            helpers: helpers.clone(),
            requests: Requests::new(depth),
            files: Files::default(),
            done,
            sleeper,
            port: Arc::new(Port { done: sender, notifier }),
            pushed: false,
        })
    }

    /// Makes a file known; it stays open until it is removed and nothing on it is in flight.
    pub fn add_file(&mut self, file: &Handle) -> FileId {
        self.files.add(file)
    }

    /// Forgets a file. Requests pushed before still complete; later ones with this id fail (`EBADF`).
    pub fn remove_file(&mut self, id: FileId) {
        self.files.remove(id);
        // Jobs hold their file by themselves.
        self.files.submitted();
    }

    /// Queues a request, to be started by `kick`; gives it back when `depth` are in flight, or thousands of jobs wait for a helper.
    ///
    /// # Panics
    /// If the operation names more bytes than the request has.
    pub fn push(&mut self, item: T, file: FileId, op: &FileOp) -> Result<(), T> {
        let (cid, vectors) = self.requests.insert(item, op)?;
        let (list, count) = (vectors.as_ptr().cast(), vectors.len());
        let Some(file) = self.files.get(file) else {
            self.requests.refuse(cid, Errno::BADF);
            return Ok(());
        };
        let job = FileJob { cid, op: *op, file: file.clone(), list, count, home: self.port.clone() };
        match self.helpers.push(Job::File(job)) {
            Ok(()) => {
                self.pushed = true;
                Ok(())
            }
            // SAFETY: no helper has it: the ring gave it back.
            Err(Full(_)) => unsafe { self.requests.finish(cid) }.map_or(Ok(()), Err),
        }
    }

    /// Has the helpers start on everything queued: a fence, and one system call if they sleep.
    pub fn kick(&mut self) {
        if std::mem::take(&mut self.pushed) {
            self.helpers.kick();
        }
    }

    /// Hands back up to `budget` completed requests with the bytes moved or the error. Answers how many.
    pub fn reap(&mut self, budget: u32, each: &mut impl FnMut(T, Result<u32, Errno>)) -> u32 {
        let mut count = self.requests.take_refused(budget, each);
        while count < budget
            && let Some(done) = self.done.pop()
        {
            // SAFETY: its system call has returned.
            if let Some(item) = unsafe { self.requests.finish(done.cid) } {
                count += 1;
                each(item, done.result);
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

    /// Whether `push` would take one, if the helpers keep up.
    pub fn has_room(&self) -> bool {
        self.requests.has_room()
    }

    /// Readable once something has completed after `arm`.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.sleeper.fd()
    }

    /// Before a sleep. After `Ready` look again (`reap`), and try later.
    pub fn arm(&mut self) -> Armed {
        self.kick();
        self.sleeper.prepare();
        if self.requests.refused() == 0 && self.done.is_empty() { Armed::Armed } else { Armed::Ready }
    }

    /// After a sleep, or after `Ready`.
    pub fn disarm(&mut self) {
        self.sleeper.awake();
    }
}

impl<T: Carrier> Drop for HelperQueue<T> {
    /// Waits, bounded, for the helpers. What is still in flight then is leaked and counted by the table, its addresses with it.
    fn drop(&mut self) {
        let deadline = Instant::now() + DROP_WAIT;
        self.kick();
        loop {
            self.reap(u32::MAX, &mut |item, _| drop(item));
            if self.requests.is_empty() {
                return;
            }
            if Instant::now() >= deadline {
                break;
            }
            if self.arm() == Armed::Armed {
                let slice = rustix::time::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
                let _ = poll(&mut [PollFd::new(&self.sleeper, PollFlags::IN)], Some(&slice));
            }
            self.disarm();
        }
        self.helpers.pool.hung.fetch_add(1, Ordering::Relaxed);
        self.requests.leak();
    }
}

impl<T: Carrier> std::fmt::Debug for HelperQueue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HelperQueue").field("in_flight", &self.requests.len()).finish_non_exhaustive()
    }
}
