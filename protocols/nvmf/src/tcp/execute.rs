//! From a request whose data is there to its answer.

use super::connection::{Connection, Life, Queue, Shared};
use super::request::Step;
use super::share::Charge;
use crate::io::{Shape, Way, ranges};
use crate::status::{answered, nvme};
use doorbell_block::{Address, Cx, Io, Layer, Message, Op, Status as Ended};
use doorbell_wire_nvme::{Cqe, Fuse, Status};
use doorbell_wire_nvme_tcp::{C2hData, HEADER_ROOM};

/// First word of mail to a connection.
pub(super) mod mail {
    /// Abort the command of this identifier; the second word says who asks. From an admin queue to an I/O queue.
    pub(in crate::tcp) const ABORT: u64 = 1 << 32;
    /// What became of an abort. From an I/O queue to an admin queue.
    pub(in crate::tcp) const ABORTED: u64 = 2 << 32;
}

impl Connection {
    /// The data of a command is there, or it has none.
    pub(super) fn execute(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16) {
        let Some(r) = self.requests.get(slot) else { return };
        if !matches!(self.queue, Queue::Io { .. }) || r.sqe.is_fabrics() {
            return self.execute_admin(cx, shared, slot);
        }
        if r.sqe.fuse() != Fuse::NORMAL {
            return self.execute_fused(cx, shared, slot);
        }
        match r.plan.shape {
            Shape::One | Shape::Verify => {
                let (op, flags, lba, blocks) = (r.plan.op, r.plan.flags, r.plan.lba, r.plan.blocks);
                let Some(mut io) = r.io.take() else { return };
                (io.op, io.flags, io.lba, io.blocks) = (op, flags, lba, blocks);
                self.submit(cx, shared, slot, io);
            }
            Shape::Nothing => self.finish_with(cx, shared, slot, Status::SUCCESS),
            Shape::FlushAll => self.next_flush(cx, shared, slot),
            Shape::Unmaps { .. } | Shape::Copies { .. } => self.begin_ranges(cx, shared, slot),
        }
    }

    #[inline]
    fn submit(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16, mut io: Box<Io>) {
        let index = self.index;
        let Some(r) = self.requests.get(slot) else { return cx.put_io(io) };
        io.tag = u64::from(index) << 32 | u64::from(slot);
        r.id = Some(io.id());
        r.step = Step::AtDevice;
        let queue = r.queue;
        match shared.namespaces.submit(cx, queue, io) {
            Ok(()) => self.at_device += 1,
            Err(io) => {
                cx.put_io(io);
                self.fail(cx, shared, slot, Status::INVALID_NAMESPACE.dnr());
            }
        }
    }

    /// A box is back.
    pub(super) fn completed(&mut self, cx: &mut Cx, shared: &mut Shared, io: Box<Io>) {
        self.at_device = self.at_device.saturating_sub(1);
        let Ok(slot) = u16::try_from(io.tag & 0xffff) else { return cx.put_io(io) };
        cx.wake(self.token);
        let Some(r) = self.requests.get(slot).filter(|r| r.step == Step::AtDevice) else { return cx.put_io(io) };
        let status = io.status;
        r.step = Step::Held;
        if let Some(aborter) = r.aborter.take() {
            answer_abort(cx, aborter, status == Ended::Aborted);
        }
        if self.life != Life::Open {
            self.requests.give_back(slot);
            return cx.put_io(io);
        }
        if status.is_ok() {
            let bytes = r.plan.bytes;
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
            match r.plan.shape {
                Shape::One if r.plan.way == Way::ToHost => return self.give(shared, slot, io),
                Shape::FlushAll => {
                    r.io = Some(io);
                    return self.next_flush(cx, shared, slot);
                }
                Shape::Unmaps { .. } | Shape::Copies { .. } => {
                    r.io = Some(io);
                    return self.next_range(cx, shared, slot);
                }
                _ => {}
            }
        }
        let partner = r.partner;
        cx.put_io(io);
        if let Some(second) = partner {
            return self.fused_done(cx, shared, (slot, second), status);
        }
        self.finish_with(cx, shared, slot, nvme(status));
    }

    /// Sends a read's data, and its completion if the host wants one.
    fn give(&mut self, shared: &mut Shared, slot: u16, io: Box<Io>) {
        let Some(r) = self.requests.get(slot) else { return };
        let (cid, len) = (r.sqe.cid(), r.plan.bytes);
        let charge = self.requests.take_charge(slot);
        self.requests.give_back(slot);
        let success = !self.flow_control && shared.snapshot.options.c2h_success;
        self.send_data(cid, (io, charge), len, success);
        if !success {
            let cqe = self.cqe(cid, Status::SUCCESS);
            self.send_cqe(&cqe);
        }
        shared.count.completed += 1;
    }

    /// Sends the first `len` bytes of a box, which takes its command's charge along.
    pub(super) fn send_data(&mut self, cccid: doorbell_wire_nvme::Cid, from: (Box<Io>, Option<Charge>), len: u32, success: bool) {
        let (io, charge) = from;
        let data = C2hData { cccid, offset: 0, len, last: true, success };
        let codec = &self.codec;
        self.tx.head(HEADER_ROOM, |out| codec.write_c2h_data(out, &data));
        let digest = self.codec.agreed().data_digest.then(|| io.sg.crc32c(0, len));
        self.tx.payload(io, len, charge);
        if let Some(digest) = digest {
            self.tx.bytes(&digest.to_le_bytes());
        }
    }

    pub(super) fn cqe(&self, cid: doorbell_wire_nvme::Cid, status: Status) -> Cqe {
        let head = if self.flow_control { self.sq_head } else { u16::MAX };
        Cqe::new(cid, status).with_sqhd(head)
    }

    pub(super) fn send_cqe(&mut self, cqe: &Cqe) {
        let codec = &self.codec;
        self.tx.head(HEADER_ROOM, |out| codec.write_capsule_resp(out, cqe));
    }

    /// Answers a command without data; its box goes back.
    pub(super) fn finish_with(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16, status: Status) {
        self.answer(cx, shared, slot, status, 0);
    }

    /// As `finish_with`, with dwords 0 and 1.
    pub(super) fn answer(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16, status: Status, result: u64) {
        let qid = self.qid;
        if self.shutdown.is_some() {
            self.end_shutdown(cx, shared, slot, status);
        }
        let Some(r) = self.requests.get(slot) else { return };
        let sqe = r.sqe;
        if sqe.fuse() != Fuse::NORMAL {
            self.part(cx, shared, slot);
        }
        let Some(r) = self.requests.get(slot) else { return };
        if let Some(io) = r.io.take() {
            cx.put_io(io);
        }
        self.requests.give_back(slot);
        let mut status = status;
        if !status.is_ok()
            && let Some(association) = self.association()
        {
            status = answered(association, &shared.snapshot, &sqe, qid, status);
        }
        let cqe = self.cqe(sqe.cid(), status).with_result(result);
        self.send_cqe(&cqe);
        cx.wake(self.token);
        shared.count.completed += u64::from(qid != 0);
    }

    /// Refuses a command.
    pub(super) fn fail(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16, status: Status) {
        self.finish_with(cx, shared, slot, status);
    }

    // --- commands of several requests: one box goes to the queue again and again

    pub(super) fn next_flush(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16) {
        let attached = match (&self.queue, self.shutdown) {
            (Queue::Io { attached, .. }, _) => *attached,
            (Queue::Admin(_), Some(shutdown)) => shutdown.attached,
            _ => return,
        };
        let Some(r) = self.requests.get(slot) else { return };
        match shared.namespaces.next_to_flush(attached, r.progress.next) {
            Some((nsid, queue)) => {
                (r.progress.next, r.queue) = (nsid, queue);
                let Some(mut io) = r.io.take() else { return };
                (io.op, io.flags, io.lba, io.blocks) = (Op::Flush, r.plan.flags, 0, 0);
                self.submit(cx, shared, slot, io);
            }
            None => self.finish_with(cx, shared, slot, Status::SUCCESS),
        }
    }

    /// Keeps the ranges aside, so that the box that brought them can be the request.
    fn begin_ranges(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16) {
        let Some(r) = self.requests.get(slot) else { return };
        if let Some(io) = &mut r.io {
            std::mem::swap(&mut io.sg, &mut r.ranges);
        }
        let queue = r.queue;
        let Some(facts) = shared.namespaces.facts(queue).copied() else {
            return self.fail(cx, shared, slot, Status::INVALID_NAMESPACE.dnr());
        };
        let checked = ranges::check(&r.plan, &r.ranges, &facts);
        match checked {
            Ok(()) => self.next_range(cx, shared, slot),
            Err(status) => self.fail(cx, shared, slot, status.dnr()),
        }
    }

    fn next_range(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16) {
        let Some(r) = self.requests.get(slot) else { return };
        let Some(facts) = shared.namespaces.facts(r.queue).copied() else {
            return self.fail(cx, shared, slot, Status::INVALID_NAMESPACE.dnr());
        };
        match ranges::next(&r.plan, &r.ranges, &mut r.progress, &facts) {
            None => self.finish_with(cx, shared, slot, Status::SUCCESS),
            Some(Err(status)) => self.fail(cx, shared, slot, status.dnr()),
            Some(Ok(piece)) => {
                let Some(mut io) = r.io.take() else { return };
                (io.op, io.flags, io.lba, io.blocks, io.source) = (r.plan.op, r.plan.flags, piece.lba, piece.blocks, piece.source);
                self.submit(cx, shared, slot, io);
            }
        }
    }

    // --- fused compare and write

    /// One half has its data. When both have, they run as one request.
    fn execute_fused(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16) {
        let Some(r) = self.requests.get(slot) else { return };
        r.step = Step::Paired;
        let is_first = r.sqe.fuse() == Fuse::FIRST;
        let Some(partner) = r.partner else { return };
        if self.requests.get(partner).is_none_or(|p| p.step != Step::Paired) {
            return;
        }
        let (first, second) = if is_first { (slot, partner) } else { (partner, slot) };
        let Some(written) = self.requests.get(second).and_then(|r| r.io.take()) else { return };
        let Some(r) = self.requests.get(first) else { return cx.put_io(written) };
        let Some(mut io) = r.io.take() else { return cx.put_io(written) };
        (io.op, io.lba, io.blocks) = (Op::CompareAndWrite, r.plan.lba, r.plan.blocks);
        for seg in written.sg.segs() {
            io.sg.push(seg.clone());
        }
        cx.put_io(written);
        let supported = shared.namespaces.facts(r.queue).is_some_and(|f| f.ops.has(Op::CompareAndWrite) && !f.read_only);
        io.flags = self.requests.get(second).map_or(doorbell_block::Flags::NONE, |r| r.plan.flags);
        if !supported {
            cx.put_io(io);
            return self.fused_done(cx, shared, (first, second), Ended::Unsupported);
        }
        self.submit(cx, shared, first, io);
    }

    fn fused_done(&mut self, cx: &mut Cx, shared: &mut Shared, pair: (u16, u16), status: Ended) {
        // Each is answered by itself: neither takes the other along.
        if let Some(r) = self.requests.get(pair.0) {
            r.partner = None;
        }
        self.finish_with(cx, shared, pair.0, nvme(status));
        let second = if status.is_ok() { Status::SUCCESS } else { Status::ABORTED_FAILED_FUSED };
        self.finish_with(cx, shared, pair.1, second);
    }

    // --- aborts

    /// Mail from the other queues of its controller.
    pub(super) fn read_mail(&mut self, cx: &mut Cx, shared: &mut Shared) {
        while let Some([what, words]) = cx.mail(Address { token: self.token, layer: Layer(0) }) {
            let low = u16::try_from(what & 0xffff).unwrap_or(0);
            match what & !0xffff_ffff {
                mail::ABORT => self.abort_here(cx, shared, low, (what >> 16) & 0xffff, words),
                mail::ABORTED => {
                    self.aborts = self.aborts.saturating_sub(1);
                    self.answer(cx, shared, low, Status::SUCCESS, words & 1);
                }
                _ => {}
            }
        }
    }

    /// Asks the command `cid` of this queue back, for an Abort command in slot `slot` of the admin connection `word` on its reactor.
    fn abort_here(&mut self, cx: &mut Cx, shared: &mut Shared, cid: u16, slot: u64, word: u64) {
        let Some(admin) = self.association().and_then(|a| a.queue(0)) else { return };
        let Ok(slot) = u16::try_from(slot) else { return };
        if admin.token.to_word() != word {
            return;
        }
        let found = self.requests.find(cid).and_then(|s| self.requests.get(s)).filter(|r| r.step == Step::AtDevice && r.aborter.is_none());
        match found.map(|r| (r.id, r.queue, &mut r.aborter)) {
            Some((Some(id), queue, aborter)) => {
                *aborter = Some((admin, slot));
                shared.namespaces.abort(cx, queue, id);
            }
            // Not there any more, or its data is on its way: it ends by itself.
            _ => answer_abort(cx, (admin, slot), false),
        }
    }
}

/// Tells the admin queue what became of its Abort: bit 0 of dword 0 says that nothing was aborted (Base 2.1, 5.1.1).
fn answer_abort(cx: &mut Cx, to: (crate::target::Where, u16), aborted: bool) {
    let (at, slot) = to;
    let words = [mail::ABORTED | u64::from(slot), u64::from(!aborted)];
    cx.send(at.reactor, Message::Mail(Address { token: at.token, layer: Layer(0) }, words));
}
