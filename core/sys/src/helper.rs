//! Helper threads, for what the kernel would make a reactor wait for.
//!
//! A [`HelperQueue`] has the shape of the other engines: push, kick, reap, arm. The request stays on its reactor, in an in-flight table;
//! only the addresses of its buffers, the open file and its number go to a helper, which makes one blocking system call and sends the
//! number back through a ring. Reactors never take a lock: they push into a ring and ring a bell.
//!
//! Of the helpers one at a time is the leader, holding the lock on the consumer's end of the ring, asleep if there is nothing. When it gets
//! a job it lets go, and the next one leads while it works; so a slow job holds up no other as long as a helper is free.

mod queue;
#[cfg(all(test, not(loom)))]
mod tests;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
};

use rustix::event::{PollFd, PollFlags, poll};

use crate::{
    cpu,
    ring::{Full, Receiver, Sender, ring},
    wakeup::{self, Notifier, Sleeper},
};
use queue::FileJob;
pub use queue::HelperQueue;

/// A pool of helper threads. Clones share it; the threads end when the last clone and the last queue are gone.
#[derive(Debug, Clone)]
pub struct Helpers {
    pool: Arc<Pool>,
}

enum Job {
    File(FileJob),
    Call(Box<dyn FnOnce() + Send>),
}

/// What helpers contend for.
#[derive(Debug)]
struct Lead {
    jobs: Receiver<Job>,
    sleeper: Sleeper,
}

#[derive(Debug)]
struct Shared {
    lead: Mutex<Lead>,
    stop: AtomicBool,
}

#[derive(Debug)]
struct Pool {
    shared: Arc<Shared>,
    jobs: Sender<Job>,
    notifier: Notifier,
    threads: Vec<JoinHandle<()>>,
    /// Queues that gave up waiting for a job, which may never end.
    hung: AtomicU32,
    /// There are no threads: whoever asks does it.
    at_once: bool,
}

/// Jobs that may wait for a helper; beyond it the queues hold them back.
const JOBS: usize = 4096;

impl Helpers {
    /// Starts `threads` of them, at least one. They may run where the calling thread may: call this before pinning it.
    pub fn new(threads: usize) -> io::Result<Helpers> {
        Self::start(threads.max(1), false)
    }

    /// No threads: what is asked for is done at once, by whoever asks. For simulations, whose time must not depend on another thread.
    pub fn at_once() -> io::Result<Helpers> {
        Self::start(0, true)
    }

    fn start(threads: usize, at_once: bool) -> io::Result<Helpers> {
        let (jobs, receiver) = ring(JOBS);
        let (sleeper, notifier) = wakeup::pair()?;
        let shared = Arc::new(Shared { lead: Mutex::new(Lead { jobs: receiver, sleeper }), stop: AtomicBool::new(false) });
        let mut pool = Pool { shared, jobs, notifier, threads: Vec::new(), hung: AtomicU32::new(0), at_once };
        for number in 0..threads {
            let shared = pool.shared.clone();
            let body = move || {
                cpu::name_current(&format!("helper-{number}"));
                while let Some(job) = shared.next() {
                    job.run();
                }
            };
            pool.threads.push(std::thread::Builder::new().spawn(body)?);
        }
        Ok(Helpers { pool: Arc::new(pool) })
    }

    /// Has a helper call `work`: opening a file, reading a folder, whatever may block. How its result gets home is the caller's business
    /// (a ring and a notifier). Gives it back when too many jobs wait.
    pub fn call(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Box<dyn FnOnce() + Send>> {
        match self.push(Job::Call(work)) {
            Ok(()) => {
                self.kick();
                Ok(())
            }
            Err(Full(Job::Call(work))) => Err(work),
            Err(Full(Job::File(_))) => Ok(()),
        }
    }

    fn push(&self, job: Job) -> Result<(), Full<Job>> {
        if self.pool.at_once {
            job.run();
            return Ok(());
        }
        self.pool.jobs.push(job)
    }

    fn kick(&self) {
        self.pool.notifier.notify();
    }
}

impl Job {
    fn run(self) {
        match self {
            Job::File(job) => job.run(),
            // A bug in one call must not take a helper from all others. The panic hook has said what there is to say.
            Job::Call(work) => drop(catch_unwind(AssertUnwindSafe(work))),
        }
    }
}

impl Shared {
    /// The next job, as soon as there is one; `None` at the end.
    fn next(&self) -> Option<Job> {
        let mut lead = self.lead.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = lead.jobs.pop() {
                return Some(job);
            }
            if self.stop.load(Ordering::Acquire) {
                return None;
            }
            lead.sleeper.prepare();
            if lead.jobs.is_empty() && !self.stop.load(Ordering::Acquire) {
                // A signal ends it early, which does no harm.
                let _ = poll(&mut [PollFd::new(&lead.sleeper, PollFlags::IN)], None);
            }
            lead.sleeper.awake();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.notifier.notify();
        if self.hung.load(Ordering::Relaxed) == 0 {
            for thread in self.threads.drain(..) {
                // The last clone may be dropped by a helper's own call.
                if thread.thread().id() != std::thread::current().id() {
                    let _ = thread.join();
                }
            }
        }
    }
}
