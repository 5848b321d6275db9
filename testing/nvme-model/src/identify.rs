//! What the controller says of itself and its namespaces.

use crate::maintain::SLOTS;
use crate::model::Model;
use crate::plan::Absurd;
use doorbell_wire_nvme::identify::{Controller, Frmw, Fuses, Namespace, NamespaceList, NvmController, Oacs, Oncs};
use doorbell_wire_nvme::{Ascii, Cns, Identify, U16, U32, U64, bytes};

/// Its number in its subsystem.
pub(crate) const CNTLID: u16 = 1;

impl Model {
    pub(crate) fn page(&mut self, what: &Identify, nsid: u32) -> Option<Vec<u8>> {
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
        (page.sn, page.mn, page.fr) = (Ascii::new("MODEL1"), Ascii::new("Doorbell model"), self.maintenance.running());
        page.cntlid = U16::new(CNTLID);
        (page.sqes, page.cqes, page.aerl, page.mdts) = (0x66, 0x44, 3, 4);
        page.nn = U32::new(self.disks.len() as u32);
        page.oaes = U32::new(1 << 8);
        page.crdt_100ms = [U16::new(1), U16::new(2), U16::new(30_000)];
        let has = self.plan.offers;
        let oncs = Oncs::new().with_compare(true).with_dataset_management(true).with_write_zeroes(true);
        page.oncs = U16::new(oncs.with_verify(has.verify).with_write_uncorrectable(has.uncorrectable).into_bits());
        page.fuses = U16::new(Fuses::new().with_compare_write(has.fused).into_bits());
        page.acwu = U16::new(self.plan.acwu);
        page.frmw = Frmw::new().with_first_read_only(true).with_slots(SLOTS).with_without_reset(self.plan.hot_firmware).into_bits();
        // Pieces of 4 KiB; block erase, overwrite and cryptographic erase.
        (page.fwug, page.sanicap) = (1, U32::new(0b111));
        page.sgls = U32::new(self.plan.sgls.into());
        let oacs = Oacs::new().with_security(true).with_format(true).with_firmware(true).with_namespace_management(true);
        page.oacs = U16::new(oacs.with_doorbell_buffer(self.plan.shadows).into_bits());
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
        let shifts = disk.shifts();
        page.nlbaf = (shifts.len() - 1) as u8;
        page.flbas = shifts.iter().position(|shift| *shift == disk.spec.shift).unwrap_or(0) as u8;
        page.lbaf.iter_mut().zip(shifts).for_each(|(format, shift)| format.lbads = shift);
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
