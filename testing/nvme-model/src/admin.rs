//! Commands of the admin queue.

use crate::io::prps;
use crate::memory::Pointer;
use crate::model::Model;
use doorbell_wire_nvme::event::AsyncEvent;
use doorbell_wire_nvme::{AdminCommand, AdminOpcode, Cid, FeatureId, LogId, Sqe, Status, bytes};

/// How a command has ended, with dword 0 of its answer; `None` when it is not to be answered now.
pub(crate) type Ended = Option<(Status, u32)>;

pub(crate) const OK: Ended = Some((Status::SUCCESS, 0));

pub(crate) fn failed(status: Status) -> Ended {
    Some((status.dnr(), 0))
}

impl Model {
    /// Does an admin command; `None` when it is not to be answered now.
    pub(crate) fn administer(&mut self, sqe: &Sqe) -> Ended {
        match AdminCommand::parse(sqe) {
            AdminCommand::Identify(what) => {
                let Some(page) = self.page(&what, sqe.nsid.get()) else { return failed(Status::INVALID_FIELD) };
                self.send(sqe, &page)
            }
            AdminCommand::GetLogPage(log) => {
                let mut page = match log.lid {
                    LogId::FIRMWARE_SLOT => bytes(&self.maintenance.slots_page()).to_vec(),
                    LogId::SANITIZE => bytes(&self.maintenance.sanitize_page(self.now())).to_vec(),
                    _ => Vec::new(),
                };
                page.resize(log.len.min(1 << 16) as usize, 0);
                self.send(sqe, &page)
            }
            AdminCommand::SetFeatures(set) if set.fid == FeatureId::NUMBER_OF_QUEUES => {
                let queues = u32::from(self.plan.queues);
                Some((Status::SUCCESS, queues << 16 | queues))
            }
            AdminCommand::SetFeatures(_) | AdminCommand::KeepAlive => OK,
            AdminCommand::AsyncEventRequest => {
                self.awaiting.push(Cid(sqe.cid.get()));
                None
            }
            AdminCommand::Abort(abort) => Some((Status::SUCCESS, self.abort(abort.sqid, abort.cid))),
            AdminCommand::Other(AdminOpcode::DOORBELL_BUFFER_CONFIG) if self.plan.shadows => self.configure_shadows(sqe),
            AdminCommand::Other(AdminOpcode::CREATE_CQ) => self.create_completion(sqe),
            AdminCommand::Other(AdminOpcode::CREATE_SQ) => self.create_submission(sqe),
            AdminCommand::Other(AdminOpcode::DELETE_SQ) => self.delete_submission(sqe.cdw10.get() as u16),
            AdminCommand::Other(AdminOpcode::DELETE_CQ) => {
                let cqid = sqe.cdw10.get() as u16;
                let used = self.submissions.values().any(|q| q.cqid == cqid);
                let known = cqid > 0 && !used && self.completions.remove(&cqid).is_some();
                if known { OK } else { failed(Status::INVALID_QUEUE_ID) }
            }
            _ => self.maintain(sqe).unwrap_or_else(|| failed(Status::INVALID_OPCODE)),
        }
    }

    pub(crate) fn send(&mut self, sqe: &Sqe, page: &[u8]) -> Ended {
        match self.memory.scatter(Pointer::Prps(prps(sqe).0, prps(sqe).1), page) {
            Some(()) => OK,
            None => Some((Status::DATA_TRANSFER_ERROR, 0)),
        }
    }

    /// Bit 0 of the answer: it was not aborted.
    fn abort(&mut self, sqid: u16, cid: Cid) -> u32 {
        let found = self.under.iter().position(|u| u.sqid == sqid && u.cids().any(|is| is == cid));
        match found {
            Some(at) if self.entropy.coin() => {
                // One half of a fused pair takes the other with it.
                let under = self.under.remove(at);
                under.cids().for_each(|cid| self.answer(sqid, cid, Status::ABORT_REQUESTED, 0));
                0
            }
            _ => 1,
        }
    }

    fn create_completion(&mut self, sqe: &Sqe) -> Ended {
        let (cqid, size) = (sqe.cdw10.get() as u16, (sqe.cdw10.get() >> 16) as u16);
        // One that is asked for twice is no breach: the answer to its deletion may have been lost, or an error.
        if cqid == 0 || self.completions.contains_key(&cqid) {
            return failed(Status::INVALID_QUEUE_ID);
        }
        if size == 0 || size > self.plan.mqes {
            self.counters.driver_errors += 1;
            return failed(Status::INVALID_QUEUE_SIZE);
        }
        const INTERRUPTS: u32 = 1 << 1;
        let how = sqe.cdw11.get();
        let vector = (how & INTERRUPTS != 0).then_some((how >> 16) as u16);
        if vector.is_some_and(|vector| vector >= self.plan.vectors) {
            self.counters.driver_errors += 1;
            return failed(Status::INVALID_INTERRUPT_VECTOR);
        }
        self.add_completion(cqid, prps(sqe).0, size + 1, vector);
        OK
    }

    fn create_submission(&mut self, sqe: &Sqe) -> Ended {
        let (sqid, size, cqid) = (sqe.cdw10.get() as u16, (sqe.cdw10.get() >> 16) as u16, (sqe.cdw11.get() >> 16) as u16);
        if sqid == 0 || self.submissions.contains_key(&sqid) || !self.completions.contains_key(&cqid) {
            return failed(Status::INVALID_QUEUE_ID);
        }
        if size == 0 || size > self.plan.mqes {
            self.counters.driver_errors += 1;
            return failed(Status::INVALID_QUEUE_SIZE);
        }
        self.add_submission(sqid, cqid, prps(sqe).0, size + 1);
        OK
    }

    fn delete_submission(&mut self, sqid: u16) -> Ended {
        if sqid == 0 || !self.submissions.contains_key(&sqid) {
            return failed(Status::INVALID_QUEUE_ID);
        }
        let (theirs, others) = std::mem::take(&mut self.under).into_iter().partition(|u| u.sqid == sqid);
        self.under = others;
        let theirs: Vec<_> = theirs;
        for under in theirs {
            under.cids().for_each(|cid| self.answer(sqid, cid, Status::ABORTED_SQ_DELETION, 0));
        }
        self.submissions.remove(&sqid);
        OK
    }

    /// Takes a namespace away, or gives it back.
    pub(crate) fn maybe_change(&mut self) {
        if self.plan.comes_and_goes > 0 && self.entropy.chance(self.plan.comes_and_goes) {
            let at = self.entropy.below(self.disks.len() as u64) as usize;
            if let Some(disk) = self.disks.get_mut(at) {
                disk.present = !disk.present;
                self.changed = true;
                self.counters.changes += 1;
            }
        }
    }

    /// Tells of what has happened; and of changed namespaces now and then for nothing.
    pub(crate) fn maybe_tell(&mut self) {
        if !self.maintenance.events.is_empty()
            && self.has_room(0, 1)
            && let Some(cid) = self.awaiting.pop()
        {
            let event = self.maintenance.events.remove(0);
            self.answer(0, cid, Status::SUCCESS, event.into_bits());
        }
        if (self.entropy.chance(self.plan.events) || self.changed)
            && self.has_room(0, 1)
            && let Some(cid) = self.awaiting.pop()
        {
            self.changed = false;
            self.answer(0, cid, Status::SUCCESS, AsyncEvent::NAMESPACE_CHANGED.into_bits());
        }
    }
}
