//! What a queue's commands have moved, for the SMART log (Base 2.1, 5.1.12.1.3).
//!
//! A queue's own reactor adds, with plain loads and stores; whoever reads the log adds the queues up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Of one queue.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    reads: AtomicU64,
    writes: AtomicU64,
    read_units: AtomicU64,
    written_units: AtomicU64,
}

/// Of several. A unit is 512 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrafficSum {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) read_units: u64,
    pub(crate) written_units: u64,
}

#[inline]
fn add(to: &AtomicU64, n: u64) {
    to.store(to.load(Relaxed) + n, Relaxed);
}

impl Traffic {
    /// A command that read has succeeded.
    #[inline]
    pub(crate) fn read(&self, bytes: u32) {
        add(&self.reads, 1);
        add(&self.read_units, u64::from(bytes >> 9));
    }

    /// A command that wrote has succeeded.
    #[inline]
    pub(crate) fn written(&self, bytes: u32) {
        add(&self.writes, 1);
        add(&self.written_units, u64::from(bytes >> 9));
    }
}

impl TrafficSum {
    pub(crate) fn add(&mut self, of: &Traffic) {
        self.reads += of.reads.load(Relaxed);
        self.writes += of.writes.load(Relaxed);
        self.read_units += of.read_units.load(Relaxed);
        self.written_units += of.written_units.load(Relaxed);
    }
}
