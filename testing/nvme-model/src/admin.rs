//! Commands of the admin queue, and what the controller says of itself.

use crate::io::prps;
use crate::memory::Pointer;
use crate::model::Model;
use crate::plan::Absurd;
use doorbell_wire_nvme::event::AsyncEvent;
use doorbell_wire_nvme::identify::{Controller, Namespace, NamespaceList, NvmController, Oacs, Oncs};
use doorbell_wire_nvme::{AdminCommand, AdminOpcode, Ascii, Cid, Cns, FeatureId, Identify, Sqe, Status, U16, U32, U64, bytes};

const OK: Option<(Status, u32)> = Some((Status::SUCCESS, 0));

fn failed(status: Status) -> Option<(Status, u32)> {
    Some((status.dnr(), 0))
}

impl Model {
    /// Does an admin command; `None` when it is not to be answered now.
    pub(crate) fn administer(&mut self, sqe: &Sqe) -> Option<(Status, u32)> {
        match AdminCommand::parse(sqe) {
            AdminCommand::Identify(what) => {
                let Some(page) = self.page(&what, sqe.nsid.get()) else { return failed(Status::INVALID_FIELD) };
                self.send(sqe, &page)
            }
            AdminCommand::GetLogPage(log) => self.send(sqe, &vec![0; log.len.min(1 << 16) as usize]),
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
            _ => failed(Status::INVALID_OPCODE),
        }
    }

    fn send(&mut self, sqe: &Sqe, page: &[u8]) -> Option<(Status, u32)> {
        match self.memory.scatter(Pointer::Prps(prps(sqe).0, prps(sqe).1), page) {
            Some(()) => OK,
            None => Some((Status::DATA_TRANSFER_ERROR, 0)),
        }
    }

    /// Bit 0 of the answer: it was not aborted.
    fn abort(&mut self, sqid: u16, cid: Cid) -> u32 {
        let found = self.under.iter().position(|u| u.sqid == sqid && u.sqe.cid.get() == cid.0);
        match found {
            Some(at) if self.entropy.coin() => {
                self.under.remove(at);
                self.answer(sqid, cid, Status::ABORT_REQUESTED, 0);
                0
            }
            _ => 1,
        }
    }

    fn create_completion(&mut self, sqe: &Sqe) -> Option<(Status, u32)> {
        let (cqid, size) = (sqe.cdw10.get() as u16, (sqe.cdw10.get() >> 16) as u16);
        // One that is asked for twice is no breach: the answer to its deletion may have been lost, or an error.
        if cqid == 0 || self.completions.contains_key(&cqid) {
            return failed(Status::INVALID_QUEUE_ID);
        }
        if size == 0 || size > self.plan.mqes {
            self.counters.driver_errors += 1;
            return failed(Status::INVALID_QUEUE_SIZE);
        }
        self.add_completion(cqid, prps(sqe).0, size + 1);
        OK
    }

    fn create_submission(&mut self, sqe: &Sqe) -> Option<(Status, u32)> {
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

    fn delete_submission(&mut self, sqid: u16) -> Option<(Status, u32)> {
        if sqid == 0 || !self.submissions.contains_key(&sqid) {
            return failed(Status::INVALID_QUEUE_ID);
        }
        let (theirs, others) = std::mem::take(&mut self.under).into_iter().partition(|u| u.sqid == sqid);
        self.under = others;
        let theirs: Vec<_> = theirs;
        for under in theirs {
            self.answer(sqid, Cid(under.sqe.cid.get()), Status::ABORTED_SQ_DELETION, 0);
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

    /// Tells of changed namespaces: once they have, and now and then for nothing.
    pub(crate) fn maybe_tell(&mut self) {
        if (self.entropy.chance(self.plan.events) || self.changed)
            && self.has_room(0, 1)
            && let Some(cid) = self.awaiting.pop()
        {
            self.changed = false;
            self.answer(0, cid, Status::SUCCESS, AsyncEvent::NAMESPACE_CHANGED.into_bits());
        }
    }

    fn page(&mut self, what: &Identify, nsid: u32) -> Option<Vec<u8>> {
        if self.plan.absurd == Absurd::Noise {
            let mut noise = vec![0; 4096];
            self.entropy.fill(&mut noise);
            // Now and then a page that gets further.
            if what.cns != Cns::CONTROLLER || self.entropy.coin() {
                return Some(noise);
            }
        }
        match what.cns {
            Cns::CONTROLLER => Some(bytes(&self.controller()).to_vec()),
            Cns::NAMESPACE => self.namespace(nsid).map(|page| bytes(&page).to_vec()),
            Cns::ACTIVE_NAMESPACES => Some(bytes(&self.list(nsid)).to_vec()),
            Cns::NAMESPACE_DESCRIPTORS => Some(vec![0; 4096]),
            Cns::CSI_CONTROLLER => {
                let mut page = NvmController::default();
                if let Absurd::Limits(all) = self.plan.absurd {
                    (page.vsl, page.wzsl, page.dmrl, page.dmrsl) = (all, all, all, U32::new(all.into()));
                }
                Some(bytes(&page).to_vec())
            }
            _ => None,
        }
    }

    #[allow(clippy::field_reassign_with_default)] // Wire structures have private reserved fields.
    fn controller(&self) -> Controller {
        let mut page = Controller::default();
        (page.sn, page.mn, page.fr) = (Ascii::new("MODEL1"), Ascii::new("Doorbell model"), Ascii::new("1"));
        (page.sqes, page.cqes, page.aerl, page.mdts) = (0x66, 0x44, 3, 4);
        page.nn = U32::new(self.disks.len() as u32);
        page.oaes = U32::new(1 << 8);
        page.crdt_100ms = [U16::new(1), U16::new(2), U16::new(30_000)];
        page.oncs = U16::new(Oncs::new().with_compare(true).with_dataset_management(true).with_write_zeroes(true).into_bits());
        page.sgls = U32::new(self.plan.sgls.into());
        page.oacs = U16::new(Oacs::new().with_doorbell_buffer(self.plan.shadows).into_bits());
        match self.plan.absurd {
            Absurd::Mdts(mdts) => page.mdts = mdts,
            Absurd::EntrySizes => (page.sqes, page.cqes) = (0x77, 0x33),
            Absurd::Limits(all) => (page.aerl, page.acl, page.nn) = (all, all, U32::new(all.into())),
            _ => {}
        }
        page
    }

    #[allow(clippy::field_reassign_with_default)] // As above.
    fn namespace(&self, nsid: u32) -> Option<Namespace> {
        let mut page = Namespace::default();
        let Some(disk) = self.disks.iter().find(|d| d.spec.nsid == nsid && d.present) else { return Some(page) };
        let blocks = U64::new(disk.spec.blocks.into());
        (page.nsze, page.ncap, page.nuse, page.dlfeat) = (blocks, blocks, blocks, 1);
        if let Some(format) = page.lbaf.first_mut() {
            format.lbads = disk.spec.shift;
        }
        match self.plan.absurd {
            Absurd::BlockShift(shift) => page.lbaf.iter_mut().for_each(|f| f.lbads = shift),
            Absurd::Blocks(blocks) => page.nsze = U64::new(blocks),
            Absurd::Format(flbas) => page.flbas = flbas,
            Absurd::Limits(all) => {
                let wide = U16::new(u16::from(all) * 257);
                (page.noiob, page.npwg, page.npwa, page.npdg, page.npda) = (wide, wide, wide, wide, wide);
                (page.nows, page.nawun, page.mssrl, page.nsfeat) = (wide, wide, wide, 0xff);
            }
            _ => {}
        }
        Some(page)
    }

    fn list(&self, after: u32) -> NamespaceList {
        let mut page = NamespaceList::default();
        match self.plan.absurd {
            Absurd::FallingList => page.fill([2, 1]),
            Absurd::EndlessList => page.fill((after..).skip(1).take(1024)),
            _ => page.fill(self.disks.iter().filter(|d| d.present).map(|d| d.spec.nsid).filter(|id| *id > after)),
        }
        page
    }
}
