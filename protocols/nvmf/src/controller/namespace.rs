//! What a namespace says of itself, as its device does (NVM 1.1, 4.1.5).

use super::identify::zero_based;
use crate::Namespace;
use doorbell_block::{AtomicUnits, Op, ReadAfterUnmap};
use doorbell_wire_nvme::identify::NvmNamespace;
use doorbell_wire_nvme::identify::{
    self, DlFeat, IndependentNamespace, LbaFormat, NamespaceId, NamespaceIdsWriter, Nmic, NsAttr, NsFeat, NsStat,
};
use doorbell_wire_nvme::{Csi, PAGE_LEN, U16, U32, U64, U128};

/// Source ranges of one Copy at most.
const COPY_RANGES: u32 = 256;
/// Blocks of one Copy source range at most, as 16 bits can say it.
const COPY_RANGE_BLOCKS: u16 = u16::MAX;

impl Namespace {
    /// The largest write that no other request is seen in the middle of, in blocks, when a compare goes before it.
    pub(super) fn compare_and_write_blocks(&self) -> u32 {
        let blocks = if self.info.ops.has(Op::CompareAndWrite) { self.info.atomic.normal_blocks.max(1) } else { 1 };
        match self.info.limits.compare_and_write_blocks {
            0 => blocks,
            most => blocks.min(most),
        }
    }

    fn features(&self) -> u8 {
        let p = &self.info.preferred;
        let optimal = p.write_granularity > 0 || p.write_size > 0 || p.unmap_granularity > 0;
        let AtomicUnits { normal_blocks, power_fail_blocks } = self.info.atomic;
        NsFeat::new().with_atomic(normal_blocks > 1 || power_fail_blocks > 1).with_optimal(optimal).with_id_stable(true).into_bits()
    }

    fn attributes(&self) -> u8 {
        NsAttr::new().with_write_protected(self.is_read_only()).into_bits()
    }

    pub(super) fn identify(&self) -> Box<identify::Namespace> {
        let info = &self.info;
        let mut n = Box::<identify::Namespace>::default();
        n.nsze = U64::new(info.blocks);
        n.ncap = U64::new(info.blocks);
        n.nuse = U64::new(info.blocks);
        n.nsfeat = self.features();
        n.nmic = Nmic::new().with_shared(true).into_bits();
        let zeroes = info.read_after_unmap == ReadAfterUnmap::Zeroes;
        let deallocates = zeroes && info.ops.has(Op::Unmap);
        n.dlfeat = DlFeat::new().with_read(u8::from(zeroes)).with_write_zeroes_deallocate(deallocates).into_bits();
        let atomic = info.atomic;
        if atomic.normal_blocks > 1 || atomic.power_fail_blocks > 1 {
            n.nawun = zero_based(atomic.normal_blocks);
            n.nawupf = zero_based(atomic.power_fail_blocks);
            n.nacwu = zero_based(self.compare_and_write_blocks());
        }
        n.noiob = U16::new(u16::try_from(info.preferred.boundary).unwrap_or(0));
        n.nvmcap = U128::new(u128::from(info.blocks) << info.block_shift);
        let p = &info.preferred;
        n.npwg = zero_based(p.write_granularity);
        n.npwa = zero_based(p.write_alignment);
        n.npdg = zero_based(p.unmap_granularity);
        n.npda = zero_based(p.unmap_alignment);
        n.nows = zero_based(p.write_size);
        if info.ops.has(Op::Copy) {
            n.mssrl = U16::new(COPY_RANGE_BLOCKS);
            n.mcl = U32::new(u32::from(COPY_RANGE_BLOCKS) * COPY_RANGES);
            n.msrc = u8::MAX;
        }
        n.nsattr = self.attributes();
        n.nguid = self.nguid_or_uuid();
        n.eui64 = self.eui64.unwrap_or_default();
        n.lbaf[0] = LbaFormat { lbads: info.block_shift, ..LbaFormat::default() };
        n
    }

    pub(super) fn identify_nvm(&self) -> Box<NvmNamespace> {
        let mut n = Box::<NvmNamespace>::default();
        let p = &self.info.preferred;
        n.npdgl = U32::new(p.unmap_granularity);
        n.npdal = U32::new(p.unmap_alignment);
        n
    }

    pub(super) fn identify_independent(&self) -> Box<IndependentNamespace> {
        let mut n = Box::<IndependentNamespace>::default();
        n.nsfeat = self.features();
        n.nmic = Nmic::new().with_shared(true).into_bits();
        n.nsattr = self.attributes();
        n.nstat = NsStat::new().with_ready(true).into_bits();
        n
    }

    /// Its identifiers.
    pub(super) fn descriptors(&self, page: &mut [u8; PAGE_LEN]) {
        let mut list = NamespaceIdsWriter::new(page);
        if let Some(eui64) = self.eui64 {
            list.push(NamespaceId::Eui64(eui64));
        }
        list.push(NamespaceId::Nguid(self.nguid_or_uuid()));
        list.push(NamespaceId::Uuid(self.uuid));
        list.push(NamespaceId::Csi(Csi::NVM));
    }
}
