//! Where lines go out: a bounded ring, and a thread that writes from it what may block.
//!
//! Whoever logs never waits: a reactor that logs while nobody reads the pipe behind stderr goes on. What finds the ring full is dropped and
//! counted, and the count is written where the lines are missing. Lines come out in the order in which they went in.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, ThreadId};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Lines that wait at most.
const ROOM: usize = 4096;

struct Entry {
    text: String,
    /// Lines lost just before it.
    dropped: u64,
}

#[derive(Default)]
struct State {
    /// Lines that went into the ring.
    taken: AtomicU64,
    /// Lines lost since one went in.
    dropped: AtomicU64,
    /// Lines that are out, or never will be.
    done: Mutex<u64>,
    moved: Condvar,
}

/// Writes lines elsewhere.
pub(super) struct Outlet {
    ring: SyncSender<Entry>,
    state: Arc<State>,
    thread: ThreadId,
}

impl Outlet {
    /// Writes to `sink`; `lost` makes the line that says how many are missing.
    pub(super) fn start(
        name: &str,
        sink: impl FnMut(&str) + Send + 'static,
        lost: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Outlet> {
        Self::with_room(ROOM, name, sink, lost)
    }

    fn with_room(
        room: usize,
        name: &str,
        sink: impl FnMut(&str) + Send + 'static,
        lost: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Outlet> {
        let (ring, lines) = sync_channel(room);
        let state = Arc::new(State::default());
        let theirs = state.clone();
        let thread = Builder::new().name(name.to_owned()).spawn(move || write_out(&lines, &theirs, sink, lost))?;
        Ok(Outlet { ring, state, thread: thread.thread().id() })
    }

    /// Takes a line, or drops it. Never waits.
    pub(super) fn put(&self, text: String) {
        let dropped = self.state.dropped.swap(0, Relaxed);
        match self.ring.try_send(Entry { text, dropped }) {
            Ok(()) => self.state.taken.fetch_add(1, Relaxed),
            Err(_) => self.state.dropped.fetch_add(dropped + 1, Relaxed),
        };
    }

    /// Waits until what was put is out, as long as `patience` lasts. True if it is.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        if std::thread::current().id() == self.thread {
            return false; // it would wait for itself
        }
        let wanted = self.state.taken.load(Relaxed);
        let done = self.state.done.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.state.moved.wait_timeout_while(done, patience, |done| *done < wanted);
        waited.is_ok_and(|(_, timeout)| !timeout.timed_out())
    }
}

fn write_out(lines: &Receiver<Entry>, state: &State, mut sink: impl FnMut(&str), lost: impl Fn(u64) -> String) {
    let missing = |dropped: u64, sink: &mut dyn FnMut(&str)| {
        if dropped > 0 {
            sink(&lost(dropped));
        }
    };
    loop {
        let entry = match lines.try_recv() {
            Ok(entry) => entry,
            Err(TryRecvError::Empty) => {
                // Nothing follows that could carry the count.
                missing(state.dropped.swap(0, Relaxed), &mut sink);
                let Ok(entry) = lines.recv() else { return };
                entry
            }
            Err(TryRecvError::Disconnected) => return,
        };
        missing(entry.dropped, &mut sink);
        sink(&entry.text);
        *state.done.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        state.moved.notify_all();
    }
}
