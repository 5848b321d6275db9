//! What the queues of one device share across reactors: one word that says whether anything is out of the ordinary, and behind it, for those who
//! then look, what it is.

use crate::limits::RateLimits;
use crate::stats::{Histogram, IoStat, QueueStats};
use doorbell_block::{Cx, Message, ReactorId, Token};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bits of the word. The rest of it counts changes.
pub(crate) mod bits {
    /// Someone has the device for itself: a reset, or a range.
    pub(crate) const EXCLUSIVE: u64 = 1;
    /// Rate limits are set.
    pub(crate) const LIMITS: u64 = 2;
    /// Requests may not take for ever.
    pub(crate) const TIMEOUT: u64 = 4;
    /// Latencies go to histograms.
    pub(crate) const HISTOGRAM: u64 = 8;
    /// Everything that keeps requests off the fast path.
    pub(crate) const SLOW: u64 = EXCLUSIVE | LIMITS | TIMEOUT;
    /// One change.
    pub(crate) const STEP: u64 = 16;
}

/// One open queue.
pub(crate) struct Entry {
    pub(crate) reactor: ReactorId,
    pub(crate) token: Token,
    /// The exclusive epoch for which it has drained.
    pub(crate) drained: AtomicU64,
    pub(crate) stats: QueueStats,
    pub(crate) histogram: Mutex<Option<Arc<Histogram>>>,
}

/// What someone has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Everything.
    All,
    /// Nobody else writes these blocks.
    Writes {
        /// First block.
        from: u64,
        /// One past the last.
        to: u64,
    },
}

/// A hold in force.
#[derive(Clone)]
pub(crate) struct Exclusive {
    pub(crate) epoch: u64,
    pub(crate) hold: Hold,
    pub(crate) owner: Arc<Entry>,
}

#[derive(Default)]
pub(crate) struct Shared {
    word: AtomicU64,
    pub(crate) limits: RateLimits,
    pub(crate) timeout_ns: AtomicU64,
    queues: Mutex<Vec<Arc<Entry>>>,
    exclusive: Mutex<(u64, Option<Exclusive>)>,
    /// Counters of queues that are closed.
    closed: Mutex<(IoStat, Vec<u64>)>,
    /// What a reset of the counters subtracts.
    base: Mutex<IoStat>,
    histograms: AtomicBool,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// The word: what the fast path compares with what it saw last.
    #[inline]
    pub(crate) fn word(&self) -> u64 {
        self.word.load(Ordering::Acquire)
    }

    /// Changes the word, so that every queue looks; the control plane wakes them with `wake_all`.
    pub(crate) fn change(&self, set: u64, clear: u64) {
        let step = |w: u64| Some((w & !clear | set).wrapping_add(bits::STEP));
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
    }

    pub(crate) fn set_bit(&self, bit: u64, on: bool) {
        if on { self.change(bit, 0) } else { self.change(0, bit) }
    }

    pub(crate) fn wake_all(&self, cx: &mut Cx) {
        for q in self.entries() {
            cx.send(q.reactor, Message::Wake(q.token));
        }
    }

    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        lock(&self.queues).clone()
    }

    pub(crate) fn join(&self, reactor: ReactorId, token: Token) -> Arc<Entry> {
        let exclusive = lock(&self.exclusive);
        let histogram = self.histograms.load(Ordering::Relaxed).then(|| Arc::new(Histogram::new()));
        let entry = Arc::new(Entry {
            reactor,
            token,
            drained: AtomicU64::new(exclusive.0), // it has nothing outstanding
            stats: QueueStats::new(),
            histogram: Mutex::new(histogram),
        });
        lock(&self.queues).push(entry.clone());
        entry
    }

    pub(crate) fn leave(&self, entry: &Arc<Entry>) {
        self.release(entry);
        lock(&self.queues).retain(|e| !Arc::ptr_eq(e, entry));
        let mut closed = lock(&self.closed);
        closed.0 = closed.0.plus(&entry.stats.read());
        if let Some(h) = &*lock(&entry.histogram) {
            h.add_into(&mut closed.1);
        }
    }

    /// Takes a hold; `None` when someone else has one.
    pub(crate) fn hold(&self, cx: &mut Cx, owner: &Arc<Entry>, hold: Hold) -> Option<Exclusive> {
        let mut now = lock(&self.exclusive);
        if now.1.is_some() {
            return None;
        }
        now.0 += 1;
        let taken = Exclusive { epoch: now.0, hold, owner: owner.clone() };
        now.1 = Some(taken.clone());
        // While whoever joins must wait: it sees the hold in the word, or is among those that have to drain.
        self.change(bits::EXCLUSIVE, 0);
        drop(now);
        self.wake_all(cx);
        Some(taken)
    }

    /// Has every other queue drained for this hold?
    pub(crate) fn all_drained(&self, taken: &Exclusive) -> bool {
        let drained = |e: &Arc<Entry>| Arc::ptr_eq(e, &taken.owner) || e.drained.load(Ordering::Acquire) >= taken.epoch;
        lock(&self.queues).iter().all(drained)
    }

    /// Ends the owner's hold, if it has one. The caller wakes the others.
    pub(crate) fn release(&self, owner: &Arc<Entry>) -> bool {
        let mut now = lock(&self.exclusive);
        let mine = now.1.as_ref().is_some_and(|e| Arc::ptr_eq(&e.owner, owner));
        if mine {
            now.1 = None;
            self.change(0, bits::EXCLUSIVE);
        }
        mine
    }

    pub(crate) fn exclusive(&self) -> Option<Exclusive> {
        lock(&self.exclusive).1.clone()
    }

    fn raw_stat(&self) -> IoStat {
        let open = self.entries().iter().fold(IoStat::default(), |sum, e| sum.plus(&e.stats.read()));
        open.plus(&lock(&self.closed).0)
    }

    pub(crate) fn stat(&self) -> IoStat {
        self.raw_stat().since(&lock(&self.base))
    }

    pub(crate) fn reset_stat(&self, mode: crate::ResetMode) {
        use crate::ResetMode as M;
        if mode != M::Errors {
            self.entries().iter().for_each(|e| e.stats.forget_extremes());
            let mut closed = lock(&self.closed);
            closed.0 = closed.0.without_extremes();
        }
        let all = self.raw_stat();
        let mut base = lock(&self.base);
        match mode {
            M::All => *base = all,
            M::Errors => *base = base.with_errors_of(&all),
            M::Extremes => {}
        }
    }

    pub(crate) fn set_histograms(&self, on: bool) {
        self.histograms.store(on, Ordering::Relaxed);
        lock(&self.closed).1 = if on { vec![0; Histogram::len()] } else { Vec::new() };
        for e in self.entries() {
            *lock(&e.histogram) = on.then(|| Arc::new(Histogram::new()));
        }
        self.set_bit(bits::HISTOGRAM, on);
    }

    pub(crate) fn histogram(&self) -> Option<Vec<u64>> {
        if !self.histograms.load(Ordering::Relaxed) {
            return None;
        }
        let mut sum = lock(&self.closed).1.clone();
        for e in self.entries() {
            if let Some(h) = &*lock(&e.histogram) {
                h.add_into(&mut sum);
            }
        }
        Some(sum)
    }
}

impl Entry {
    pub(crate) fn histogram(&self) -> Option<Arc<Histogram>> {
        lock(&self.histogram).clone()
    }
}
