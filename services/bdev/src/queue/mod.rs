//! The queue of services over a device's own queue.
//!
//! Fast path: a read or write that fits the device goes straight down with the time on its frame, if the device's shared word is what this
//! queue expects: one comparison on the way down and one on the way up. Everything else (wrong requests, splitting, emulation, limits, timeouts, holds, resets) is in `slow` and its modules.

mod fan;
mod hold;
mod slow;
mod watch;

use crate::info::Geometry;
use crate::registry::{Access, Bdev, Handle};
use crate::shared::{Entry, Shared, bits};
use crate::stats::{Histogram, OpStat};
use doorbell_block::{Abort, BlockQueue, Cx, Done, FRAMES, Io, OpenError, Status, Token};
use fan::Fan;
use hold::Holding;
use std::collections::VecDeque;
use std::sync::Arc;
use watch::Watch;

/// No word is ever this.
const NEVER: u64 = u64::MAX;

/// Frame words of children have this bit; times never do.
const CHILD: u64 = 1 << 63;

pub(crate) struct ServiceQueue {
    base: Box<dyn BlockQueue>,
    handle: Arc<Handle>,
    /// The handle's.
    bdev: Arc<Bdev>,
    entry: Arc<Entry>,
    token: Token,
    /// The shared word for which requests go straight through: as it was when last seen, while it is ordinary and nothing is going on in this
    /// layer; `NEVER` otherwise.
    expected: u64,
    seen: u64,
    geometry: Geometry,
    /// Boxes beneath, children included.
    out: u32,
    /// Something went down since the last kick, from within a poll.
    dirty: bool,
    /// Ended in this layer; given out by the next poll.
    finished: Done,
    scratch: Done,
    histogram: Option<Arc<Histogram>>,
    /// Waiting for a limit or a hold, in order.
    parked: VecDeque<Box<Io>>,
    fan: Fan,
    holding: Holding,
    watch: Watch,
}

impl ServiceQueue {
    pub(crate) fn open(cx: &mut Cx, handle: Arc<Handle>, token: Token, depth: u32) -> Result<ServiceQueue, OpenError> {
        let info = handle.bdev().device().info();
        let needed = info.frames.saturating_add(1);
        if needed as usize > FRAMES {
            return Err(OpenError::TooDeep { needed });
        }
        let geometry = Geometry::of(&info, handle.access() == Access::Write);
        let fan = Fan::open(cx, &geometry)?;
        let base = handle.bdev().device().open(cx, token, depth)?;
        let entry = handle.bdev().shared.join(cx.reactor(), token);
        let room = depth as usize;
        let mut queue = ServiceQueue {
            base,
            bdev: handle.bdev().clone(),
            handle,
            entry,
            token,
            expected: NEVER,
            seen: NEVER,
            geometry,
            out: 0,
            dirty: false,
            finished: Vec::with_capacity(room),
            scratch: Vec::with_capacity(room),
            histogram: None,
            parked: VecDeque::with_capacity(room),
            fan,
            holding: Holding::default(),
            watch: Watch::default(),
        };
        queue.refresh();
        queue.settle();
        Ok(queue)
    }

    #[inline]
    fn shared(&self) -> &Shared {
        &self.bdev.shared
    }

    /// Looks at the shared word, and at what it stands for if it has changed.
    fn refresh(&mut self) {
        let word = self.shared().word();
        if word == self.seen {
            return;
        }
        self.seen = word;
        let info = self.handle.bdev().device().info();
        self.geometry = Geometry::of(&info, self.handle.access() == Access::Write);
        self.histogram = if word & bits::HISTOGRAM != 0 { self.entry.histogram() } else { None };
        self.watch.set(self.shared().timeout_ns.load(std::sync::atomic::Ordering::Relaxed));
    }

    /// Opens the fast path, or closes it: after everything that is not on it.
    fn settle(&mut self) {
        self.expected = if self.seen & bits::SLOW == 0 && !self.is_involved() { self.seen } else { NEVER };
    }

    /// Ends a request in this layer.
    fn finish(&mut self, cx: &mut Cx, mut io: Box<Io>, status: Status) {
        io.status = status;
        self.finished.push(io);
        cx.wake(self.token);
    }
}

/// Counts requests that came back: latency from the time on their frame.
#[inline]
fn count(entry: &Entry, histogram: Option<&Histogram>, shift: u8, now: u64, boxes: &mut [Box<Io>]) {
    if let Some(h) = histogram {
        boxes.iter().for_each(|io| h.record(now.saturating_sub(io.top())));
    }
    if let [one] = boxes {
        return entry.stats.add_one(one.op, one.status, u64::from(one.blocks) << shift, now.wrapping_sub(one.pop()));
    }
    let Some(first) = boxes.first() else { return };
    // What finishes in one turn is mostly alike: a run of one operation is summed up and filed once.
    let (mut op, mut blocks, mut run) = (first.op, 0, OpStat::default());
    for io in boxes {
        let ns = now.wrapping_sub(io.pop()); // a reactor's time does not go back
        if io.op != op {
            entry.stats.add_run(op, &OpStat { bytes: blocks << shift, ..run });
            (op, blocks, run) = (io.op, 0, OpStat::default());
        }
        if io.status.is_ok() {
            run.ops += 1;
            blocks += u64::from(io.blocks);
            run.latency_ns += ns;
            run.latency_ns_min = run.latency_ns_min.min(ns);
            run.latency_ns_max = run.latency_ns_max.max(ns);
        } else {
            entry.stats.add_error(io);
        }
    }
    entry.stats.add_run(op, &OpStat { bytes: blocks << shift, ..run });
}

impl BlockQueue for ServiceQueue {
    fn submit(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        if self.shared().word() == self.expected && self.geometry.is_plain(&io) {
            io.push(cx.now().0);
            self.out += 1;
            self.base.submit(cx, io);
        } else {
            self.submit_slow(cx, io);
        }
    }

    fn kick(&mut self, cx: &mut Cx) {
        self.base.kick(cx);
    }

    fn poll(&mut self, cx: &mut Cx, done: &mut Done) {
        if self.shared().word() == self.expected {
            let from = done.len();
            self.base.poll(cx, done);
            if let Some(boxes) = done.get_mut(from..) {
                self.out -= boxes.len() as u32;
                count(&self.entry, self.histogram.as_deref(), self.geometry.shift, cx.now().0, boxes);
            }
        } else {
            self.poll_slow(cx, done);
        }
    }

    fn abort(&mut self, cx: &mut Cx, which: Abort) {
        self.abort_slow(cx, which);
    }
}

impl Drop for ServiceQueue {
    fn drop(&mut self) {
        self.handle.bdev().shared.leave(&self.entry);
    }
}

#[cfg(test)]
mod tests;
