//! How busy a reactor is, readable from any thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters that one reactor writes now and then and anyone reads.
#[derive(Debug, Default)]
pub struct Load {
    busy_ns: AtomicU64,
    idle_ns: AtomicU64,
    turns: AtomicU64,
    sleeps: AtomicU64,
    tid: AtomicU64,
}

/// A reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadSnapshot {
    /// Time in turns that found work.
    pub busy_ns: u64,
    /// Time in turns that found none, and asleep.
    pub idle_ns: u64,
    /// Turns.
    pub turns: u64,
    /// Sleeps.
    pub sleeps: u64,
    /// The thread's number, as the kernel knows it.
    pub tid: u64,
}

impl Load {
    /// Only the reactor itself writes, so plain stores do.
    pub(crate) fn publish(&self, s: &LoadSnapshot) {
        self.busy_ns.store(s.busy_ns, Relaxed);
        self.idle_ns.store(s.idle_ns, Relaxed);
        self.turns.store(s.turns, Relaxed);
        self.sleeps.store(s.sleeps, Relaxed);
        self.tid.store(s.tid, Relaxed);
    }

    /// What it stood at when it was last published (at most a thousand turns ago).
    pub fn read(&self) -> LoadSnapshot {
        LoadSnapshot {
            busy_ns: self.busy_ns.load(Relaxed),
            idle_ns: self.idle_ns.load(Relaxed),
            turns: self.turns.load(Relaxed),
            sleeps: self.sleeps.load(Relaxed),
            tid: self.tid.load(Relaxed),
        }
    }
}
