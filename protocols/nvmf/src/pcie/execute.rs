//! Requests at the namespaces' queues, and completions.

use super::function::{Function, Place, Stillness};
use super::slot::{NOBODY, Step};
use crate::io::{Shape, ranges};
use crate::status::{answered, nvme};
use doorbell_block::{Cx, Flags, Io, Op, Status as Ended};
use doorbell_wire_nvme::{Cid, CqeWords, Fuse, Sqe, Status};

impl Function {
    pub(super) fn submit(&mut self, cx: &mut Cx, place: &mut Place<'_>, slot: u16, mut io: Box<Io>) {
        let Some(s) = self.slots.get(slot) else { return cx.put_io(io) };
        io.tag = slot.into();
        s.id = Some(io.id());
        s.step = Step::AtDevice;
        match place.namespaces.submit(cx, s.queue, io) {
            Ok(()) => self.at_device += 1,
            Err(io) => {
                s.step = Step::Held;
                cx.put_io(io);
                self.finish(cx, place, slot, Status::INVALID_NAMESPACE.dnr(), 0);
            }
        }
    }

    /// A box is back.
    #[inline]
    pub(crate) fn completed(&mut self, cx: &mut Cx, place: &mut Place<'_>, io: Box<Io>) {
        debug_assert!(self.at_device > 0, "a box that was at no device");
        self.at_device = self.at_device.saturating_sub(1);
        if io.status.is_ok()
            && let Some((qid, cid, bytes)) = self.slots.give_back_direct(io.tag)
        {
            // A read or a write: nothing else goes directly.
            if io.op == Op::Read {
                self.traffic.read(bytes)
            } else {
                self.traffic.written(bytes)
            }
            cx.put_io(io);
            *place.completed += 1;
            if self.post(qid, cid, Status::SUCCESS, 0, false) {
                self.finish_deletion(cx, place, qid);
            }
            return;
        }
        self.completed_otherwise(cx, place, io);
    }

    /// A box is back that failed, or whose command goes on.
    fn completed_otherwise(&mut self, cx: &mut Cx, place: &mut Place<'_>, io: Box<Io>) {
        let slot = u16::try_from(io.tag).unwrap_or(NOBODY);
        let Some(s) = self.slots.get(slot).filter(|s| s.step == Step::AtDevice) else { return cx.put_io(io) };
        s.step = Step::Held;
        let (status, bytes, partner) = (io.status, s.plan.bytes, s.partner);
        let several = matches!(s.plan.shape, Shape::FlushAll | Shape::Unmaps { .. } | Shape::Copies { .. });
        if let Some(aborter) = s.aborter.take() {
            self.aborted(cx, place, aborter, status == Ended::Aborted);
        }
        if status.is_ok() {
            // Which commands count: NVM 1.1, 4.1.4.2.
            match io.op {
                Op::Read | Op::Compare => self.traffic.read(bytes),
                Op::Write => self.traffic.written(bytes),
                Op::CompareAndWrite => {
                    self.traffic.read(bytes);
                    self.traffic.written(bytes);
                }
                _ => {}
            }
            if several {
                let Some(s) = self.slots.get(slot) else { return cx.put_io(io) };
                s.io = Some(io);
                if self.stillness == Stillness::Aborting {
                    return self.finish(cx, place, slot, Status::ABORTED_SQ_DELETION, 0);
                }
                return if matches!(self.shape(slot), Some(Shape::FlushAll)) {
                    self.next_flush(cx, place, slot)
                } else {
                    self.next_range(cx, place, slot)
                };
            }
        }
        cx.put_io(io);
        match partner {
            Some(first) => self.fused_done(cx, place, (first, slot), status),
            None => self.finish(cx, place, slot, nvme(status), 0),
        }
    }

    fn shape(&mut self, slot: u16) -> Option<Shape> {
        self.slots.get(slot).map(|s| s.plan.shape)
    }

    /// Answers a command; its box goes back.
    pub(super) fn finish(&mut self, cx: &mut Cx, place: &mut Place<'_>, slot: u16, status: Status, result: u64) {
        let Some(s) = self.slots.get(slot) else { return };
        let (qid, cid, waited) = (s.qid, s.sqe.cid(), s.step == Step::Waiting);
        if let Some(io) = s.io.take() {
            cx.put_io(io);
        }
        let status = if status.is_ok() { status } else { self.told(place, slot, status) };
        self.slots.give_back(slot);
        if qid == NOBODY {
            return self.end_shutdown(status);
        }
        let deletes = self.post(qid, cid, status, result, waited);
        *place.completed += u64::from(qid != 0);
        if deletes {
            self.finish_deletion(cx, place, qid);
        }
    }

    /// The status of a command that failed, as its host is told, and as it is kept for it.
    #[cold]
    fn told(&mut self, place: &Place<'_>, slot: u16, status: Status) -> Status {
        match (self.slots.get(slot), &self.controller) {
            (Some(s), Some(c)) if s.qid != NOBODY => answered(&c.association, place.snapshot, &s.sqe, s.qid, status),
            _ => status,
        }
    }

    /// Writes a completion. True if its submission queue is to be deleted.
    #[inline]
    fn post(&mut self, qid: u16, cid: Cid, status: Status, result: u64, waited: bool) -> bool {
        let Some(Some(sq)) = self.sqs.get_mut(usize::from(qid)) else { return false };
        sq.outstanding = sq.outstanding.saturating_sub(1);
        let (head, cqid, deletes) = (u16::try_from(sq.head).unwrap_or(0), usize::from(sq.cqid), sq.deleter.is_some());
        if let Some(Some(cq)) = self.cqs.get_mut(cqid) {
            if !waited {
                cq.outstanding = cq.outstanding.saturating_sub(1);
            }
            cq.post(CqeWords::new(cid, status, result, (qid, head)));
            self.owing |= cq.owes();
        }
        deletes
    }

    // --- commands of several requests: one box goes to the queue again and again

    pub(super) fn next_flush(&mut self, cx: &mut Cx, place: &mut Place<'_>, slot: u16) {
        let attached = self.attached.unwrap_or(u32::MAX);
        let Some(s) = self.slots.get(slot) else { return };
        let Some((nsid, queue)) = place.namespaces.next_to_flush(attached, s.progress.next) else {
            return self.finish(cx, place, slot, Status::SUCCESS, 0);
        };
        (s.progress.next, s.queue) = (nsid, queue);
        let Some(mut io) = s.io.take() else { return };
        (io.op, io.flags, io.lba, io.blocks) = (Op::Flush, Flags::NONE, 0, 0);
        self.submit(cx, place, slot, io);
    }

    /// Keeps the ranges aside, so that the box that brought them can be the request.
    pub(super) fn begin_ranges(&mut self, cx: &mut Cx, place: &mut Place<'_>, slot: u16) {
        let Some(s) = self.slots.get(slot) else { return };
        if let Some(io) = &mut s.io {
            std::mem::swap(&mut io.sg, &mut s.ranges);
        }
        let Some(facts) = place.namespaces.facts(s.queue).copied() else {
            return self.finish(cx, place, slot, Status::INVALID_NAMESPACE.dnr(), 0);
        };
        match ranges::check(&s.plan, &s.ranges, &facts) {
            Ok(()) => self.next_range(cx, place, slot),
            Err(status) => self.finish(cx, place, slot, status.dnr(), 0),
        }
    }

    fn next_range(&mut self, cx: &mut Cx, place: &mut Place<'_>, slot: u16) {
        let Some(s) = self.slots.get(slot) else { return };
        let Some(facts) = place.namespaces.facts(s.queue).copied() else {
            return self.finish(cx, place, slot, Status::INVALID_NAMESPACE.dnr(), 0);
        };
        match ranges::next(&s.plan, &s.ranges, &mut s.progress, &facts) {
            None => self.finish(cx, place, slot, Status::SUCCESS, 0),
            Some(Err(status)) => self.finish(cx, place, slot, status.dnr(), 0),
            Some(Ok(piece)) => {
                let Some(mut io) = s.io.take() else { return };
                (io.op, io.flags, io.lba, io.blocks, io.source) = (s.plan.op, s.plan.flags, piece.lba, piece.blocks, piece.source);
                self.submit(cx, place, slot, io);
            }
        }
    }

    // --- fused compare and write

    /// The first half waits; the second takes it along as one request.
    pub(super) fn execute_fused(&mut self, cx: &mut Cx, place: &mut Place<'_>, slot: u16) {
        let Some(s) = self.slots.get(slot) else { return };
        if s.sqe.fuse() == Fuse::FIRST {
            return;
        }
        let (Some(first), Some(written), flags, queue) = (s.partner, s.io.take(), s.plan.flags, s.queue) else { return };
        let Some(f) = self.slots.get(first) else { return cx.put_io(written) };
        let Some(mut io) = f.io.take() else { return cx.put_io(written) };
        (io.op, io.lba, io.blocks, io.flags) = (Op::CompareAndWrite, f.plan.lba, f.plan.blocks, flags);
        for seg in written.sg.segs() {
            io.sg.push(seg.clone());
        }
        cx.put_io(written);
        let supported = place.namespaces.facts(queue).is_some_and(|f| f.ops.has(Op::CompareAndWrite) && !f.read_only);
        if !supported {
            cx.put_io(io);
            return self.fused_done(cx, place, (first, slot), Ended::Unsupported);
        }
        self.submit(cx, place, slot, io);
    }

    fn fused_done(&mut self, cx: &mut Cx, place: &mut Place<'_>, pair: (u16, u16), status: Ended) {
        self.finish(cx, place, pair.0, nvme(status), 0);
        let second = if status.is_ok() { Status::SUCCESS } else { Status::ABORTED_FAILED_FUSED };
        self.finish(cx, place, pair.1, second, 0);
    }

    // --- shutdown

    /// The host shuts down: every namespace is flushed, then the controller says that it is complete.
    pub(super) fn begin_shutdown(&mut self, cx: &mut Cx, place: &mut Place<'_>) {
        let slot = self.slots.take(NOBODY, &Sqe::default());
        let (Some(slot), Some(io)) = (slot, cx.take_io()) else {
            if let Some(slot) = slot {
                self.slots.give_back(slot);
            }
            // Tried again when boxes are back: the controller goes on saying that it is under way.
            self.registers.shutdown_waits = true;
            return cx.wait(place.token);
        };
        self.registers.shutdown_waits = false;
        if let Some(s) = self.slots.get(slot) {
            (s.plan, s.io) = (crate::io::FLUSH_ALL, Some(io));
        }
        self.next_flush(cx, place, slot);
        place.namespaces.kick(cx);
    }

    fn end_shutdown(&mut self, status: Status) {
        if !status.is_ok() {
            tracing::error!(%status, "a host shuts down, and not all that it wrote could be flushed");
            return;
        }
        if let Some(c) = &mut self.controller {
            c.shut_down();
        }
    }
}
