//! Holds: a reset has the whole device for itself, an emulated compare-and-write has a range.
//!
//! Whoever wants a hold takes it in the shared state; every other queue of the device parks what the hold forbids, lets what is beneath
//! come back, says so, and goes on. No lock is on the path of a request: the shared word tells that there is a hold at all.

use super::ServiceQueue;
use super::slow::Whole;
use crate::shared::{Exclusive, Hold, bits};
use doorbell_block::{Abort, Cx, Io, Message, Op, Status};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long a queue that waits for others sleeps before it looks again, should one of them have closed meanwhile.
const LOOK_AGAIN_NS: u64 = 1_000_000;

#[derive(Default)]
pub(super) struct Holding {
    wanted: VecDeque<Box<Io>>,
    mine: Option<(Exclusive, Phase)>,
    /// The epoch of another's hold for which this queue has asked its requests back.
    swept: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Draining,
    Running,
}

impl Holding {
    pub(super) fn is_busy(&self) -> bool {
        !self.wanted.is_empty() || self.mine.is_some()
    }

    pub(super) fn want(&mut self, io: Box<Io>) {
        self.wanted.push_back(io);
    }

    /// Takes back one that has not begun.
    pub(super) fn withdraw(&mut self, named: impl Fn(&Io) -> bool) -> Option<Box<Io>> {
        let first = usize::from(self.mine.is_some());
        let n = self.wanted.iter().skip(first).position(|io| named(io))?;
        self.wanted.remove(n + first)
    }
}

impl ServiceQueue {
    /// Does it need the device, or a part of it, for itself?
    pub(super) fn needs_hold(&self, io: &Io) -> bool {
        io.op == Op::Reset || (io.op == Op::CompareAndWrite && self.whole(io) != Whole::Yes)
    }

    /// Does a hold forbid it now?
    pub(super) fn is_held(&self, io: &Io) -> bool {
        if self.seen & bits::EXCLUSIVE == 0 {
            return false;
        }
        let Some(now) = self.shared().exclusive() else { return false };
        let drained = match &self.holding.mine {
            Some((_, phase)) => *phase == Phase::Running,
            None => self.entry.drained.load(Ordering::Relaxed) >= now.epoch,
        };
        match now.hold {
            Hold::All => true,
            // Until this queue has drained, everything waits; after that, only who would write the range.
            Hold::Writes { from, to } => !drained || (io.op.writes() && io.lba < to && io.lba + u64::from(io.blocks) > from),
        }
    }

    /// Sees to holds: others' and its own.
    pub(super) fn turn_hold(&mut self, cx: &mut Cx) {
        if self.seen & bits::EXCLUSIVE != 0
            && let Some(other) = self.shared().exclusive()
            && !Arc::ptr_eq(&other.owner, &self.entry)
        {
            self.yield_to(cx, &other);
        }
        self.take_hold(cx);
        self.use_hold(cx);
    }

    fn yield_to(&mut self, cx: &mut Cx, other: &Exclusive) {
        if self.entry.drained.load(Ordering::Relaxed) >= other.epoch {
            return;
        }
        if other.hold == Hold::All && self.holding.swept < other.epoch {
            self.holding.swept = other.epoch;
            self.abort_parents(cx, Abort::All);
            self.base.abort(cx, Abort::All);
        }
        if self.out == 0 && self.fan.is_empty() {
            self.entry.drained.store(other.epoch, Ordering::Release);
            cx.send(other.owner.reactor, Message::Wake(other.owner.token));
        }
    }

    fn take_hold(&mut self, cx: &mut Cx) {
        if self.holding.mine.is_some() {
            return;
        }
        let Some(io) = self.holding.wanted.front() else { return };
        let hold = match io.op {
            Op::Reset => Hold::All,
            _ => Hold::Writes { from: io.lba, to: io.lba + u64::from(io.blocks) },
        };
        let reset = io.op == Op::Reset;
        match self.handle.bdev().shared.hold(cx, &self.entry, hold) {
            Some(taken) => {
                self.holding.mine = Some((taken, Phase::Draining));
                self.refresh();
                if reset {
                    self.abort_parents(cx, Abort::All);
                    self.base.abort(cx, Abort::All);
                }
            }
            None => self.look_again(cx), // another's; its end wakes us too
        }
    }

    fn look_again(&mut self, cx: &mut Cx) {
        let at = cx.now().after(LOOK_AGAIN_NS);
        cx.wake_at(self.token, at);
    }

    fn use_hold(&mut self, cx: &mut Cx) {
        let Some((taken, Phase::Draining)) = &self.holding.mine else { return };
        if self.out > 0 || !self.fan.is_empty() || !self.shared().all_drained(taken) {
            return self.look_again(cx);
        }
        if let Some((_, phase)) = &mut self.holding.mine {
            *phase = Phase::Running;
        }
        let Some(mut io) = self.holding.wanted.pop_front() else { return self.end_hold(cx) };
        if io.op != Op::Reset {
            return self.fan_out(cx, io);
        }
        if self.geometry.ops.has(Op::Reset) {
            io.push(cx.now().0);
            self.down(cx, io);
        } else {
            self.finish(cx, io, Status::Ok);
            self.end_hold(cx);
        }
    }

    /// The device has answered the reset.
    pub(super) fn reset_back(&mut self, cx: &mut Cx) {
        self.end_hold(cx);
    }

    /// Gives the hold back and lets the others go on.
    pub(super) fn end_hold(&mut self, cx: &mut Cx) {
        self.holding.mine = None;
        if self.shared().release(&self.entry) {
            self.handle.bdev().shared.wake_all(cx);
        }
        self.refresh();
        cx.wake(self.token);
    }
}
