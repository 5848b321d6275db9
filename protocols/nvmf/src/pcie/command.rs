//! From an entry of a submission queue to a request at a namespace's queue, or to an answer.

use super::function::{Function, Place};
use super::pointer::Gather;
use crate::controller::Controller;
use crate::io::{self, Plan, Shape, Way};
use crate::namespaces::{Found, QueueId};
use doorbell_block::{Cx, Flags, Io, Op};
use doorbell_wire_nvme::{Fuse, Sqe, Status};

/// What a command asks, and of whom.
struct Asked {
    plan: Plan,
    queue: QueueId,
    /// Does the namespace lose what was not flushed when the power goes?
    volatile: bool,
}

/// What became of the entry at the head of a queue.
enum Taken {
    /// It is on its way.
    Yes,
    /// There is none, or no slot for it.
    No,
    /// It lies in the slot that is free next, and is more than a plain transfer.
    Copied,
}

/// What became of a command before it was taken.
enum Prepared {
    /// It can go its way.
    Ready,
    /// It is answered so.
    Refused(Status),
    /// It waits for a box.
    Waits,
}

impl Function {
    /// Takes the entry at the head of a queue, for which there is one, and room for its completion. False if it has to wait.
    #[inline]
    pub(super) fn take_command(&mut self, cx: &mut Cx, place: &mut Place<'_>, at: usize) -> bool {
        match self.take_plain(cx, place, at) {
            Taken::Yes => true,
            Taken::No => false,
            Taken::Copied => self.take_other(cx, place, at),
        }
    }

    /// Copies the entry into a slot, where the host changes it no more, and sends it on its way if it is a read or a write with nothing
    /// special about it. Whatever is special, missing or wrong is found again by who takes other commands.
    #[inline(always)]
    fn take_plain(&mut self, cx: &mut Cx, place: &mut Place<'_>, at: usize) -> Taken {
        let Some(Some(sq)) = self.sqs.get_mut(at) else { return Taken::No };
        let Some(next) = self.slots.next() else { return Taken::No };
        let (number, sqe) = (next.number, &mut next.slot.sqe);
        if !sq.fetch(sqe) {
            return Taken::No;
        }
        if at == 0 || sqe.fuse() != Fuse::NORMAL || sq.fused.is_some() {
            return Taken::Copied;
        }
        let reached = self.attached.and_then(|attached| place.namespaces.reach(attached, sqe.nsid()));
        let Some((queue, plan)) = reached.and_then(|queue| io::plain(sqe, queue.facts()).map(|plan| (queue, plan))) else {
            return Taken::Copied;
        };
        if plan.op == Op::Write && queue.facts().volatile && forces_unit_access(self.controller.as_deref()) {
            return Taken::Copied;
        }
        let Some(cq) = self.cqs.get_mut(usize::from(sq.cqid)).and_then(Option::as_mut) else { return Taken::Copied };
        let Some(mut io) = cx.take_io() else { return Taken::Copied };
        if Gather::new(&self.memory, plan.way == Way::ToHost, &mut io.sg).all(sqe, plan.bytes, plan.loose).is_err() {
            cx.put_io(io);
            return Taken::Copied;
        }
        (io.op, io.flags, io.lba, io.blocks, io.tag) = (plan.op, plan.flags, plan.lba, plan.blocks, number.into());
        next.slot.plan = plan;
        next.take_direct(sq.wanted.qid, queue.id, io.id());
        sq.advance();
        sq.outstanding += 1;
        cq.outstanding += 1;
        self.at_device += 1;
        queue.submit(cx, io);
        Taken::Yes
    }

    /// Takes the command that lies in the slot that is free next.
    fn take_other(&mut self, cx: &mut Cx, place: &mut Place<'_>, at: usize) -> bool {
        let Some(Some(sq)) = self.sqs.get(at) else { return false };
        let (qid, cqid) = (sq.wanted.qid, usize::from(sq.cqid));
        let Some(sqe) = self.slots.next().map(|next| next.slot.sqe) else { return false };
        let Some(slot) = self.slots.take(qid, &sqe) else { return false };
        // What needs a box gets it before the entry counts as taken.
        let prepared = if qid == 0 { Prepared::Ready } else { self.prepare(cx, place, slot, &sqe) };
        if let Prepared::Waits = prepared {
            self.slots.give_back(slot);
            return false;
        }
        let Some(Some(sq)) = self.sqs.get_mut(at) else { return false };
        sq.advance();
        sq.outstanding += 1;
        let alone = sqe.fuse() == Fuse::NORMAL && sq.fused.is_none();
        if let Some(Some(cq)) = self.cqs.get_mut(cqid) {
            cq.outstanding += 1;
        }
        match prepared {
            Prepared::Ready if qid == 0 => self.admin(cx, place, slot, &sqe),
            Prepared::Ready if alone => self.execute(cx, place, slot),
            Prepared::Ready => self.execute_paired(cx, place, slot),
            Prepared::Refused(status) => {
                self.pair(cx, place, slot, false);
                self.finish(cx, place, slot, status, 0);
            }
            Prepared::Waits => {}
        }
        true
    }

    /// Everything that can be done before an I/O command is taken: checks, a box, its data.
    fn prepare(&mut self, cx: &mut Cx, place: &mut Place<'_>, slot: u16, sqe: &Sqe) -> Prepared {
        let asked = match self.examine(place, sqe) {
            Ok(asked) => asked,
            Err(status) => return Prepared::Refused(status),
        };
        let plan = &asked.plan;
        let io = if plan.shape == Shape::One && plan.way != Way::None {
            let Some(mut io) = cx.take_io() else {
                cx.wait(place.token);
                return Prepared::Waits;
            };
            if let Err(status) = Gather::new(&self.memory, plan.way == Way::ToHost, &mut io.sg).all(sqe, plan.bytes, plan.loose) {
                cx.put_io(io);
                return Prepared::Refused(status);
            }
            Some(io)
        } else {
            match self.prepare_other(cx, place, sqe, plan) {
                Ok(io) => io,
                Err(prepared) => return prepared,
            }
        };
        if let Some(s) = self.slots.get(slot) {
            (s.plan, s.queue, s.io) = (asked.plan, asked.queue, io);
            if asked.volatile && matches!(plan.op, Op::Write | Op::WriteZeroes | Op::Copy) && forces_unit_access(self.controller.as_deref())
            {
                s.plan.flags = s.plan.flags.with(Flags::FUA);
            }
        }
        Prepared::Ready
    }

    /// The box of a command that is no transfer between the host and a device, if it needs one.
    fn prepare_other(&mut self, cx: &mut Cx, place: &Place<'_>, sqe: &Sqe, plan: &Plan) -> Result<Option<Box<Io>>, Prepared> {
        if plan.shape == Shape::Nothing {
            return Ok(None);
        }
        // Ranges are copied, so that what is checked is what is done; what a Verify reads is nobody's.
        let own = match plan.shape {
            Shape::Unmaps { .. } | Shape::Copies { .. } | Shape::Verify => plan.bytes,
            _ => 0,
        };
        let Some(mut io) = (if own > 0 { cx.request_long(own) } else { cx.take_io() }) else {
            cx.wait(place.token);
            return Err(Prepared::Waits);
        };
        if plan.way == Way::FromHost
            && let Err(status) = self.copy_in(sqe, plan, &mut io)
        {
            cx.put_io(io);
            return Err(Prepared::Refused(status));
        }
        Ok(Some(io))
    }

    fn examine(&self, place: &Place<'_>, sqe: &Sqe) -> Result<Asked, Status> {
        if sqe.is_fabrics() {
            return Err(Status::INVALID_OPCODE.dnr());
        }
        if io::is_flush_all(sqe) {
            return Ok(Asked { plan: io::FLUSH_ALL, queue: QueueId::default(), volatile: false });
        }
        let attached = self.attached.ok_or(Status::NAMESPACE_NOT_READY)?;
        let queue = match place.namespaces.find(attached, sqe.nsid()) {
            Found::Queue(queue) => queue,
            Found::Broken => return Err(Status::NAMESPACE_NOT_READY),
            Found::Nothing => return Err(Status::INVALID_NAMESPACE.dnr()),
        };
        let facts = place.namespaces.facts(queue).ok_or(Status::INTERNAL_ERROR)?;
        Ok(Asked { plan: io::plan(sqe, facts).map_err(Status::dnr)?, queue, volatile: facts.volatile })
    }

    /// Copies the data of a command into its buffers.
    fn copy_in(&self, sqe: &Sqe, plan: &Plan, io: &mut Io) -> Result<(), Status> {
        let mut from = doorbell_mem::SgList::default();
        Gather::new(&self.memory, false, &mut from).all(sqe, plan.bytes, plan.loose)?;
        io.sg.copy_from(0, &from, 0, plan.bytes);
        Ok(())
    }

    /// Keeps fused commands in pairs: the second has to follow the first at once. False when this command has been answered.
    pub(super) fn pair(&mut self, cx: &mut Cx, place: &mut Place<'_>, slot: u16, good: bool) -> bool {
        let Some((qid, fuse)) = self.slots.get(slot).map(|s| (s.qid, s.sqe.fuse())) else { return false };
        let Some(Some(sq)) = self.sqs.get_mut(usize::from(qid)) else { return false };
        let first = sq.fused.take();
        match (fuse, first) {
            (Fuse::NORMAL, None) => true,
            (Fuse::FIRST, None) if good => {
                sq.fused = Some(slot);
                true
            }
            (Fuse::SECOND, Some(first)) if good && self.are_pair(first, slot) => {
                if let Some(s) = self.slots.get(slot) {
                    s.partner = Some(first);
                }
                true
            }
            (fuse, first) => {
                if let Some(first) = first {
                    self.finish(cx, place, first, Status::ABORTED_MISSING_FUSED, 0);
                }
                if fuse != Fuse::NORMAL && good {
                    self.finish(cx, place, slot, Status::ABORTED_MISSING_FUSED, 0);
                    return false;
                }
                true
            }
        }
    }

    fn are_pair(&mut self, first: u16, second: u16) -> bool {
        let Some(a) = self.slots.get(first).map(|s| (s.plan, s.queue)) else { return false };
        self.slots.get(second).is_some_and(|b| a.1 == b.queue && io::is_pair(&a.0, &b.plan))
    }

    /// A command that may be half of a pair, or stands where the second half should.
    fn execute_paired(&mut self, cx: &mut Cx, place: &mut Place<'_>, slot: u16) {
        if !self.pair(cx, place, slot, true) {
            return;
        }
        let fused = self.slots.get(slot).is_some_and(|s| s.sqe.fuse() != Fuse::NORMAL);
        if fused { self.execute_fused(cx, place, slot) } else { self.execute(cx, place, slot) }
    }

    /// A command that was prepared goes its way.
    fn execute(&mut self, cx: &mut Cx, place: &mut Place<'_>, slot: u16) {
        let Some(s) = self.slots.get(slot) else { return };
        let plan = &s.plan;
        match plan.shape {
            Shape::One | Shape::Verify => {
                let Some(mut io) = s.io.take() else { return };
                (io.op, io.flags, io.lba, io.blocks) = (plan.op, plan.flags, plan.lba, plan.blocks);
                self.submit(cx, place, slot, io);
            }
            Shape::Nothing => self.finish(cx, place, slot, Status::SUCCESS, 0),
            Shape::FlushAll => self.next_flush(cx, place, slot),
            Shape::Unmaps { .. } | Shape::Copies { .. } => self.begin_ranges(cx, place, slot),
        }
    }
}

/// Has the host switched its write cache off?
#[inline]
fn forces_unit_access(controller: Option<&Controller>) -> bool {
    controller.is_some_and(|c| c.association.forces_unit_access())
}
