//! Counters of a queue, written by its reactor with plain stores and read by anyone; and latency histograms.

use doorbell_block::{Io, Op, Status};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const OPS: usize = Op::ALL.len();
const STATUSES: usize = Status::ALL.len();

/// Counters of one kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpStat {
    /// Requests that ended well.
    pub ops: u64,
    /// Bytes they moved.
    pub bytes: u64,
    /// Sum of their latencies.
    pub latency_ns: u64,
    /// The least; `u64::MAX` when there was none.
    pub latency_ns_min: u64,
    /// The most.
    pub latency_ns_max: u64,
}

impl Default for OpStat {
    fn default() -> Self {
        OpStat { ops: 0, bytes: 0, latency_ns: 0, latency_ns_min: u64::MAX, latency_ns_max: 0 }
    }
}

/// Counters of a device or a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoStat {
    ops: [OpStat; OPS],
    errors: [u64; STATUSES],
}

impl Default for IoStat {
    fn default() -> Self {
        IoStat { ops: [OpStat::default(); OPS], errors: [0; STATUSES] }
    }
}

impl IoStat {
    /// Counters of one operation.
    pub fn op(&self, op: Op) -> OpStat {
        self.ops[op as usize]
    }

    /// Requests that ended with this status (none are counted for `Ok`).
    pub fn errors(&self, status: Status) -> u64 {
        self.errors[status as usize]
    }

    /// With another's added.
    pub fn plus(mut self, other: &IoStat) -> IoStat {
        for (a, b) in self.ops.iter_mut().zip(&other.ops) {
            a.ops += b.ops;
            a.bytes += b.bytes;
            a.latency_ns += b.latency_ns;
            a.latency_ns_min = a.latency_ns_min.min(b.latency_ns_min);
            a.latency_ns_max = a.latency_ns_max.max(b.latency_ns_max);
        }
        for (a, b) in self.errors.iter_mut().zip(&other.errors) {
            *a += b;
        }
        self
    }

    pub(crate) fn without_extremes(mut self) -> IoStat {
        for o in &mut self.ops {
            (o.latency_ns_min, o.latency_ns_max) = (u64::MAX, 0);
        }
        self
    }

    pub(crate) fn with_errors_of(mut self, other: &IoStat) -> IoStat {
        self.errors = other.errors;
        self
    }

    /// What has come since `base` was taken. Extremes cannot be subtracted and stay.
    pub fn since(mut self, base: &IoStat) -> IoStat {
        for (a, b) in self.ops.iter_mut().zip(&base.ops) {
            a.ops -= b.ops.min(a.ops);
            a.bytes -= b.bytes.min(a.bytes);
            a.latency_ns -= b.latency_ns.min(a.latency_ns);
        }
        for (a, b) in self.errors.iter_mut().zip(&base.errors) {
            *a -= (*b).min(*a);
        }
        self
    }
}

/// What a reset of counters forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetMode {
    /// Everything.
    All,
    /// Least and most.
    Extremes,
    /// Errors.
    Errors,
}

#[derive(Default)]
struct OpCell {
    ops: AtomicU64,
    bytes: AtomicU64,
    latency: AtomicU64,
    least: AtomicU64,
    most: AtomicU64,
}

/// A queue's counters. Only its reactor writes, so loads and stores do and no read-modify-write is needed.
pub(crate) struct QueueStats {
    ops: [OpCell; OPS],
    errors: [AtomicU64; STATUSES],
}

#[inline]
fn add(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
}

impl QueueStats {
    pub(crate) fn new() -> Self {
        let s = QueueStats { ops: std::array::from_fn(|_| OpCell::default()), errors: std::array::from_fn(|_| AtomicU64::new(0)) };
        s.ops.iter().for_each(|o| o.least.store(u64::MAX, Relaxed));
        s
    }

    /// Counts a run of requests of one operation that all ended well.
    #[inline]
    pub(crate) fn add_run(&self, op: Op, run: &OpStat) {
        let cell = &self.ops[op as usize];
        add(&cell.ops, run.ops);
        add(&cell.bytes, run.bytes);
        add(&cell.latency, run.latency_ns);
        if run.latency_ns_min < cell.least.load(Relaxed) {
            cell.least.store(run.latency_ns_min, Relaxed);
        }
        if run.latency_ns_max > cell.most.load(Relaxed) {
            cell.most.store(run.latency_ns_max, Relaxed);
        }
    }

    /// Counts a request by itself.
    #[inline]
    pub(crate) fn add_one(&self, op: Op, status: Status, bytes: u64, ns: u64) {
        if !status.is_ok() {
            return self.add_error_status(status);
        }
        self.add_run(op, &OpStat { ops: 1, bytes, latency_ns: ns, latency_ns_min: ns, latency_ns_max: ns });
    }

    #[cold]
    pub(crate) fn add_error(&self, io: &Io) {
        self.add_error_status(io.status);
    }

    #[cold]
    pub(crate) fn add_error_status(&self, status: Status) {
        add(&self.errors[status as usize], 1);
    }

    /// Forgets least and most. A racing store of the reactor costs one stale extreme.
    pub(crate) fn forget_extremes(&self) {
        for o in &self.ops {
            o.least.store(u64::MAX, Relaxed);
            o.most.store(0, Relaxed);
        }
    }

    pub(crate) fn read(&self) -> IoStat {
        IoStat {
            ops: std::array::from_fn(|n| {
                let c = &self.ops[n];
                OpStat {
                    ops: c.ops.load(Relaxed),
                    bytes: c.bytes.load(Relaxed),
                    latency_ns: c.latency.load(Relaxed),
                    latency_ns_min: c.least.load(Relaxed),
                    latency_ns_max: c.most.load(Relaxed),
                }
            }),
            errors: std::array::from_fn(|n| self.errors[n].load(Relaxed)),
        }
    }
}

/// Buckets of a range of latencies: 2 to this power.
pub const HISTOGRAM_SHIFT: u32 = 7;
/// Powers of two that a latency can have above the first range.
const POWERS: u32 = 64 - HISTOGRAM_SHIFT;
const RANGES: u32 = POWERS + 1;

/// Latencies in buckets that are 1/128 of a power of two wide (SPDK's layout, so that its tools read it).
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram { buckets: (0..RANGES << HISTOGRAM_SHIFT).map(|_| AtomicU64::new(0)).collect() }
    }

    fn bucket(ns: u64) -> usize {
        let ns = ns.max(1);
        let range = POWERS.saturating_sub(ns.leading_zeros());
        let shift = range.saturating_sub(1);
        let within = (ns >> shift) & ((1 << HISTOGRAM_SHIFT) - 1);
        ((range << HISTOGRAM_SHIFT) as u64 + within) as usize
    }

    pub(crate) fn record(&self, ns: u64) {
        if let Some(b) = self.buckets.get(Self::bucket(ns)) {
            add(b, 1);
        }
    }

    pub(crate) fn add_into(&self, sum: &mut [u64]) {
        for (s, b) in sum.iter_mut().zip(&self.buckets) {
            *s += b.load(Relaxed);
        }
    }

    /// How many buckets there are.
    pub const fn len() -> usize {
        (RANGES << HISTOGRAM_SHIFT) as usize
    }
}

#[cfg(test)]
mod tests;
