//! That something is done which takes longer than a second, and how far it is: one line on a terminal, gone at the end.

use crate::size::Size;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// Nothing is said before so long, and then so often.
const QUIET: Duration = Duration::from_secs(1);
const SAID: Duration = Duration::from_millis(250);
/// Columns of the bar.
const BAR: u64 = 24;

/// How far it is, in bytes.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) done: AtomicU64,
    /// 0: nobody knows.
    pub(super) of: AtomicU64,
}

/// Says so until it is dropped. A thread of its own: whoever does the work may be waiting for a server.
pub(super) struct Progress {
    pub(super) steps: Arc<Steps>,
    ended: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    pub(super) fn of(what: String) -> Progress {
        let steps = Arc::new(Steps::default());
        let (ended, end) = mpsc::channel();
        let told = steps.clone();
        let thread = io::stderr().is_terminal().then(|| {
            std::thread::spawn(move || {
                let began = Instant::now();
                let mut wait = QUIET;
                while end.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                    wait = SAID;
                    eprint!("\r\u{1b}[K{}", line(&what, &told, began.elapsed().as_secs()));
                }
                if wait == SAID {
                    eprint!("\r\u{1b}[K");
                }
            })
        });
        Progress { steps, ended: Some(ended), thread }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.ended.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn line(what: &str, steps: &Steps, seconds: u64) -> String {
    let (done, of) = (steps.done.load(Ordering::Relaxed), steps.of.load(Ordering::Relaxed));
    let done = done.min(of);
    match (done * BAR).checked_div(of) {
        None => format!("  {what}: {seconds} s"),
        Some(full) => {
            let bar: String = (0..BAR).map(|column| if column < full { '#' } else { '-' }).collect();
            format!("  {what} [{bar}] {} of {}", Size(done), Size(of))
        }
    }
}
