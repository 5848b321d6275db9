//! Admin commands: queues, doorbell buffers, aborts, events; everything else is the controller's (Base 2.1, 5; 5.2 for memory-based
//! transports).

use super::doorbell::Which;
use super::function::{Function, NO_ADDRESS, Place};
use super::irq::VECTORS;
use super::memory::Span;
use super::pointer::{Gather, PAGE};
use super::queue::{CQE, Cq, SQE, Sq, Wanted};
use super::slot::Step;
use crate::controller::{ABORTS, Env, Reply};
use crate::target::{Join, Where};
use doorbell_block::Cx;
use doorbell_mem::SgList;
use doorbell_wire_nvme::{AdminCommand, AdminOpcode, Cid, FeatureId, Psdt, Sqe, Status, bytes};

/// Bit 0 of dword 0 of an Abort: nothing was aborted.
const NOT_ABORTED: u64 = 1;

/// The two halves of a command dword.
fn halves(dword: u32) -> (u16, u16) {
    let [a, b, c, d] = dword.to_le_bytes();
    (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
}

/// The two PRP entries.
fn prps(sqe: &Sqe) -> (u64, u64) {
    let raw = bytes(&sqe.dptr);
    let word = |at: usize| raw.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b));
    (word(0), word(8))
}

impl Function {
    /// Answers an admin command.
    pub(super) fn admin(&mut self, cx: &mut Cx, place: &mut Place<'_>, slot: u16, sqe: &Sqe) {
        // Addresses of the admin queue are PRPs (Base 2.1, 4.3: PSDT).
        if sqe.flags.psdt() != Psdt::PRP {
            return self.finish(cx, place, slot, Status::INVALID_FIELD.dnr(), 0);
        }
        let done = match sqe.admin_opcode() {
            AdminOpcode::CREATE_CQ => self.create_cq(place, sqe),
            AdminOpcode::CREATE_SQ => self.create_sq(cx, place, sqe),
            AdminOpcode::DELETE_CQ => self.delete_cq(sqe),
            AdminOpcode::DELETE_SQ => return self.delete_sq(cx, place, slot, sqe),
            AdminOpcode::DOORBELL_BUFFER_CONFIG => self.doorbell_buffers(sqe),
            AdminOpcode::FABRICS => Err(Status::INVALID_OPCODE),
            _ => return self.ask_controller(cx, place, slot, sqe),
        };
        let status = done.map_or_else(Status::dnr, |()| Status::SUCCESS);
        self.finish(cx, place, slot, status, 0);
    }

    fn ask_controller(&mut self, cx: &mut Cx, place: &mut Place<'_>, slot: u16, sqe: &Sqe) {
        let mut data = Vec::new();
        // The one structure that an admin command brings here.
        if let AdminCommand::SetFeatures(set) = AdminCommand::parse(sqe)
            && set.fid == FeatureId::HOST_BEHAVIOR
        {
            data.resize(512, 0);
            let mut list = SgList::default();
            if let Err(status) = Gather::new(&self.memory, false, &mut list).all(sqe, 512, false) {
                return self.finish(cx, place, slot, status, 0);
            }
            list.read_at(0, &mut data);
        }
        let Some(controller) = &mut self.controller else { return };
        let mut page = std::mem::take(place.page);
        page.clear();
        let env = Env { snapshot: place.snapshot, registry: place.target.registry(), local: NO_ADDRESS };
        let reply = controller.command(sqe, slot, &data, &mut page, &env);
        let _ = controller.turned();
        match reply {
            Reply::Done { status, result } if status.is_ok() && !page.is_empty() => self.give_page(cx, place, slot, &page, result),
            Reply::Done { status, result } => self.finish(cx, place, slot, status, result),
            Reply::Held => self.hold(slot),
            Reply::Abort { sqid, cid } => self.abort(cx, place, slot, sqid, cid),
            // Comes of a register only.
            Reply::Shutdown => self.finish(cx, place, slot, Status::INTERNAL_ERROR, 0),
        }
        *place.page = page;
        self.tell_events(cx, place);
    }

    /// An event request waits, and takes no room of the completion queue for others until it is answered.
    fn hold(&mut self, slot: u16) {
        if let Some(s) = self.slots.get(slot) {
            s.step = Step::Waiting;
        }
        if let Some(Some(cq)) = self.cqs.get_mut(0) {
            cq.outstanding = cq.outstanding.saturating_sub(1);
        }
    }

    fn give_page(&mut self, cx: &mut Cx, place: &mut Place<'_>, slot: u16, page: &[u8], result: u64) {
        let Some(sqe) = self.slots.get(slot).map(|s| s.sqe) else { return };
        let len = u32::try_from(page.len()).unwrap_or(u32::MAX);
        let mut list = SgList::default();
        let status = match Gather::new(&self.memory, true, &mut list).all(&sqe, len, false) {
            Ok(()) => {
                list.write_at(0, page);
                Status::SUCCESS
            }
            Err(status) => status,
        };
        self.finish(cx, place, slot, status, if status.is_ok() { result } else { 0 });
    }

    /// Answers event requests for which there is an event, while there is room for the answer.
    pub(super) fn tell_events(&mut self, cx: &mut Cx, place: &mut Place<'_>) {
        loop {
            let room = self.cqs.get_mut(0).and_then(Option::as_mut).is_some_and(|cq| cq.room(&self.doorbells, 1) > 0);
            let event = self.controller.as_mut().filter(|_| room).and_then(|c| c.next_event());
            let Some((slot, dw0)) = event else { return };
            self.finish(cx, place, slot, Status::SUCCESS, dw0.into());
        }
    }

    // --- queues

    /// What a Create command asks, as far as both kinds have it.
    fn wanted(&self, place: &Place<'_>, sqe: &Sqe, taken: bool) -> Result<Wanted, Status> {
        let (qid, size) = halves(sqe.cdw10.get());
        let granted = self.controller.as_ref().map_or(0, |c| c.association.granted());
        if qid == 0 || qid > granted || taken {
            return Err(Status::INVALID_QUEUE_ID);
        }
        // Zero-based: two entries at least.
        if size == 0 || size >= place.snapshot.options.max_queue_depth {
            return Err(Status::INVALID_QUEUE_SIZE);
        }
        // CAP.CQR: only contiguous queues.
        if sqe.cdw11.get() & 1 == 0 {
            return Err(Status::INVALID_FIELD);
        }
        let (address, _) = prps(sqe);
        if address % u64::from(PAGE) != 0 {
            return Err(Status::PRP_OFFSET_INVALID);
        }
        Ok(Wanted { qid, size: u32::from(size) + 1, address })
    }

    fn create_cq(&mut self, place: &Place<'_>, sqe: &Sqe) -> Result<(), Status> {
        let at = usize::from(halves(sqe.cdw10.get()).0);
        let wanted = self.wanted(place, sqe, self.cqs.get(at).is_some_and(Option::is_some))?;
        let (flags, vector) = halves(sqe.cdw11.get());
        if u32::from(vector) >= VECTORS {
            return Err(Status::INVALID_INTERRUPT_VECTOR);
        }
        let ring = self.memory.ring(wanted.span(CQE.into()), true).ok_or(Status::DATA_TRANSFER_ERROR)?;
        self.doorbells.zero(Which::Head(wanted.qid));
        if self.cqs.len() <= at {
            self.cqs.resize_with(at + 1, || None);
        }
        if let Some(place) = self.cqs.get_mut(at) {
            *place = Some(Cq::new(wanted, ring, (flags & 2 != 0).then_some(vector)));
        }
        Ok(())
    }

    fn create_sq(&mut self, cx: &Cx, place: &Place<'_>, sqe: &Sqe) -> Result<(), Status> {
        let at = usize::from(halves(sqe.cdw10.get()).0);
        let wanted = self.wanted(place, sqe, self.sqs.get(at).is_some_and(Option::is_some))?;
        let (_, cqid) = halves(sqe.cdw11.get());
        if cqid == 0 || self.cqs.get(usize::from(cqid)).is_none_or(Option::is_none) {
            return Err(Status::INVALID_CQ);
        }
        let ring = self.memory.ring(wanted.span(SQE.into()), false).ok_or(Status::DATA_TRANSFER_ERROR)?;
        let controller = self.controller.as_ref().ok_or(Status::INTERNAL_ERROR)?;
        let a = &controller.association;
        let join = Join {
            host_nqn: &a.host_nqn,
            host_id: a.host_id,
            cntlid: a.cntlid,
            qid: wanted.qid,
            depth: u16::try_from(wanted.size).unwrap_or(u16::MAX),
            at: Where { reactor: cx.reactor(), token: place.token },
            peer: NO_ADDRESS,
            local: NO_ADDRESS,
            endpoint: a.endpoint(),
            traffic: self.traffic.clone(),
        };
        place.target.registry().join(a.subsystem, &join).map_err(|_| Status::INVALID_QUEUE_ID)?;
        self.doorbells.zero(Which::Tail(wanted.qid));
        if self.sqs.len() <= at {
            self.sqs.resize_with(at + 1, || None);
        }
        if let Some(place) = self.sqs.get_mut(at) {
            *place = Some(Sq::new(wanted, ring, cqid));
            self.io_queues += 1;
        }
        Ok(())
    }

    fn delete_cq(&mut self, sqe: &Sqe) -> Result<(), Status> {
        let (qid, _) = halves(sqe.cdw10.get());
        let exists = qid != 0 && self.cqs.get(usize::from(qid)).is_some_and(Option::is_some);
        if !exists {
            return Err(Status::INVALID_QUEUE_ID);
        }
        if self.sqs.iter().flatten().any(|sq| sq.cqid == qid) {
            return Err(Status::INVALID_QUEUE_DELETION);
        }
        if let Some(place) = self.cqs.get_mut(usize::from(qid)) {
            *place = None;
        }
        Ok(())
    }

    /// Asks the queue's commands back and waits for the last of them.
    fn delete_sq(&mut self, cx: &mut Cx, place: &mut Place<'_>, slot: u16, sqe: &Sqe) {
        let (qid, _) = halves(sqe.cdw10.get());
        let found = self.sqs.get_mut(usize::from(qid)).and_then(Option::as_mut).filter(|sq| qid != 0 && sq.deleter.is_none());
        let Some(sq) = found else { return self.finish(cx, place, slot, Status::INVALID_QUEUE_ID.dnr(), 0) };
        sq.deleter = Some(slot);
        let fused = sq.fused.take();
        if let Some(first) = fused {
            self.finish(cx, place, first, Status::ABORTED_SQ_DELETION, 0);
        }
        for (_, s) in self.slots.each().filter(|(_, s)| s.qid == qid && s.step == Step::AtDevice) {
            if let Some(id) = s.id {
                place.namespaces.abort(cx, s.queue, id);
            }
        }
        self.finish_deletion(cx, place, qid);
    }

    /// Was that the last command of a queue that is to go?
    #[inline]
    pub(super) fn finish_deletion(&mut self, cx: &mut Cx, place: &mut Place<'_>, qid: u16) {
        let Some(queue) = self.sqs.get_mut(usize::from(qid)) else { return };
        let Some(gone) = queue.take_if(|sq| sq.deleter.is_some() && sq.outstanding == 0) else { return };
        if let Some(c) = &self.controller {
            place.target.registry().leave(&c.association, qid);
        }
        self.io_queues = self.io_queues.saturating_sub(1);
        if let Some(slot) = gone.deleter {
            self.finish(cx, place, slot, Status::SUCCESS, 0);
        }
    }

    /// Base 2.1, 5.2.5.
    fn doorbell_buffers(&mut self, sqe: &Sqe) -> Result<(), Status> {
        if !self.offers_shadow() {
            return Err(Status::INVALID_OPCODE);
        }
        let (doorbells, events) = prps(sqe);
        let page = u64::from(PAGE);
        if doorbells % page != 0 || events % page != 0 || doorbells == events {
            return Err(Status::INVALID_FIELD);
        }
        let ring = |address| self.memory.ring(Span { address, len: page }, true).ok_or(Status::INVALID_FIELD);
        let (doorbells, events) = (ring(doorbells)?, ring(events)?);
        self.doorbells.set_shadow(doorbells, events);
        Ok(())
    }

    // --- aborts

    fn abort(&mut self, cx: &mut Cx, place: &mut Place<'_>, slot: u16, sqid: u16, cid: Cid) {
        let found = self.slots.find(sqid, cid.0).filter(|s| *s != slot);
        if sqid == 0 {
            let request = found.filter(|s| self.controller.as_mut().is_some_and(|c| c.abort_event_request(*s)));
            if let Some(request) = request {
                self.finish(cx, place, request, Status::ABORT_REQUESTED, 0);
            }
            return self.finish(cx, place, slot, Status::SUCCESS, if request.is_some() { 0 } else { NOT_ABORTED });
        }
        if self.aborts >= ABORTS {
            return self.finish(cx, place, slot, Status::ABORT_LIMIT_EXCEEDED, 0);
        }
        let under_way = found.and_then(|s| self.slots.get(s)).filter(|s| s.step == Step::AtDevice && s.aborter.is_none());
        match under_way.and_then(|s| Some((s.id?, s))) {
            Some((id, s)) => {
                let queue = s.queue;
                (s.aborter, s.direct) = (Some(slot), false);
                self.aborts += 1;
                place.namespaces.abort(cx, queue, id);
            }
            _ => self.finish(cx, place, slot, Status::SUCCESS, NOT_ABORTED),
        }
    }

    /// A command that was to be aborted has ended.
    pub(super) fn aborted(&mut self, cx: &mut Cx, place: &mut Place<'_>, aborter: u16, aborted: bool) {
        self.aborts = self.aborts.saturating_sub(1);
        self.finish(cx, place, aborter, Status::SUCCESS, if aborted { 0 } else { NOT_ABORTED });
    }
}
