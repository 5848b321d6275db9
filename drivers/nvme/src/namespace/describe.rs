//! What a namespace says of itself, checked, as a block device's description.

use super::zones::{self, Found};
use super::{Format, ZonedPages};
use crate::controller::Identity;
use doorbell_block::{AtomicUnits, DeviceInfo, Limits, Op, OpSet, Preferred, ReadAfterUnmap, WriteCache};
use doorbell_wire_nvme::Csi;
use doorbell_wire_nvme::identify::{DlFeat, Namespace, NsAttr, NsFeat, NvmController, NvmNamespace};

/// Names of a namespace; zeroes and `None` where it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Ids {
    /// UUID.
    pub uuid: Option<[u8; 16]>,
    /// Globally unique identifier.
    pub nguid: [u8; 16],
    /// Extended unique identifier.
    pub eui64: [u8; 8],
}

/// A namespace's description.
#[derive(Clone, Debug)]
pub struct Described {
    /// As a block device.
    pub info: DeviceInfo,
    /// Its names.
    pub ids: Ids,
    /// Its command set.
    pub csi: Csi,
    /// Metadata and protection.
    pub format: Format,
    /// Can it be shared by several controllers?
    pub shared: bool,
    /// Can it be used as a block device? Why not, if not.
    pub usable: Result<(), String>,
    pub(super) zeroes_deallocate: bool,
    pub(super) max_bytes: u32,
    /// All of it.
    pub raw: Box<Namespace>,
}

/// What the NVM command set says of a controller and a namespace, where they follow a version that has it, and what its queues can do.
pub(crate) struct Pages<'a> {
    pub(crate) limits: Option<&'a NvmController>,
    pub(crate) extended: Option<&'a NvmNamespace>,
    /// Can an I/O queue of it hold two commands, as the halves of a fused pair are?
    pub(crate) holds_pairs: bool,
}

/// Blocks of a command at most: the field has 16 bits and is zero-based.
pub(super) const BLOCKS_MAX: u32 = 1 << 16;

impl Described {
    pub(crate) fn new(
        raw: Box<Namespace>,
        of: &Identity,
        max_bytes: u32,
        pages: &Pages<'_>,
        csi: Csi,
        zoned: Option<&ZonedPages>,
        ids: (Option<[u8; 16]>, [u8; 16], [u8; 8]),
    ) -> Result<Described, String> {
        let block = raw.block_len().ok_or_else(|| format!("namespace blocks of 2^{} bytes cannot be used", raw.format().lbads))?;
        let shift = block.trailing_zeros() as u8;
        if block > max_bytes {
            return Err(format!("a block has {block} bytes, a command carries {max_bytes}"));
        }
        let format = Format::new(&raw, pages.extended);
        let transfer = max_bytes / (block + u32::from(format.beside_bytes()));
        if transfer == 0 {
            return Err(format!(
                "a block and its metadata have {} bytes, a command carries {max_bytes}",
                block + u32::from(format.beside_bytes())
            ));
        }
        let usable = usable(csi, format, of.is_remote());
        let mut found = zoned.map(|pages| pages.find(&raw, max_bytes, shift)).transpose()?;
        if let Some(found) = found.as_mut().filter(|_| format.metadata_bytes > 0 && !format.is_all_made()) {
            // An append brings no metadata: it is for the controller to make, all of it.
            found.zones.max_append_blocks = 0;
        }
        let dlfeat = DlFeat::from_bits(raw.dlfeat);
        let zeroed = dlfeat.read() == 1;
        let info = DeviceInfo {
            blocks: raw.nsze.get(),
            physical_block_bytes: physical(&raw, block),
            ops: zoned_ops(ops(of, format, &raw, pages.holds_pairs), found.as_ref()),
            fua: true,
            write_cache: if of.is_volatile() { WriteCache::Volatile } else { WriteCache::WriteThrough },
            read_only: NsAttr::from_bits(raw.nsattr).write_protected(),
            read_after_unmap: if zeroed { ReadAfterUnmap::Zeroes } else { ReadAfterUnmap::Undefined },
            limits: Limits {
                compare_and_write_blocks: compared(&raw, of),
                ..self::limits(&raw, format.longest(transfer), pages.limits, found.as_ref())
            },
            preferred: preferred(&raw),
            atomic: atomic(&raw, of),
            metadata: format.metadata(),
            // What a request's metadata is, is said in a word on it.
            frames: u8::from(format.metadata_bytes > 0),
            zones: found.map(|found| found.zones),
            ..DeviceInfo::plain(shift, raw.nsze.get())
        };
        let (uuid, nguid, eui64) = ids;
        let ids = Ids { uuid: uuid.filter(|id| *id != [0; 16]), nguid, eui64 };
        let zeroes_deallocate = dlfeat.write_zeroes_deallocate() && zeroed;
        Ok(Described { info, ids, csi, format, shared: raw.nmic & 1 != 0, usable, zeroes_deallocate, max_bytes, raw })
    }
}

fn usable(csi: Csi, format: Format, remote: bool) -> Result<(), String> {
    if !matches!(csi, Csi::NVM | Csi::ZONED) {
        let name = csi.name().unwrap_or("an unknown command set");
        return Err(format!("it follows the {name}, which is no block device"));
    }
    if format.protection != 0 && format.layout.is_none() {
        return Err(format!(
            "type {} of protection information in {} bytes of metadata is not known",
            format.protection, format.metadata_bytes
        ));
    }
    // A command over a network has one data pointer (Base 2.1, 3.3.2.1.1).
    if remote && format.metadata_bytes > 0 && !format.extended {
        return Err("its metadata lies apart from the data, which no command over a network can carry".to_owned());
    }
    Ok(())
}

fn physical(raw: &Namespace, block: u32) -> u32 {
    let optimal = NsFeat::from_bits(raw.nsfeat).optimal();
    let blocks = if optimal { u32::from(raw.npwg.get()) + 1 } else { 1 };
    block.checked_mul(blocks).filter(|b| b.is_power_of_two()).unwrap_or(block)
}

fn ops(of: &Identity, format: Format, raw: &Namespace, holds_pairs: bool) -> OpSet {
    let oncs = of.oncs();
    // A compare without metadata would find it different: it can leave none out (NVM 1.1, 3.3.1).
    let compare = oncs.compare() && format.metadata_bytes == 0;
    // A device that copies says how much: QEMU's implicit namespace offers Copy and limits it to nothing.
    let copy = oncs.copy() && format.may_copy(of.raw.ocfs.get()) && raw.mssrl.get() > 0 && raw.mcl.get() > 0;
    let mut ops = OpSet::of(&[Op::Read, Op::Write, Op::Flush, Op::Reset]);
    for (has, op) in [
        (compare, Op::Compare),
        (compare && holds_pairs && of.fuses().compare_write(), Op::CompareAndWrite),
        (oncs.write_zeroes(), Op::WriteZeroes),
        (oncs.dataset_management(), Op::Unmap),
        (copy, Op::Copy),
        (oncs.verify(), Op::Verify),
        (oncs.write_uncorrectable(), Op::WriteUncorrectable),
    ] {
        if has {
            ops = ops.with(op);
        }
    }
    ops
}

/// What is written where a zone is written next cannot be compared first; the rest, and what only zones know, can be done.
fn zoned_ops(ops: OpSet, found: Option<&Found>) -> OpSet {
    match found {
        None => ops,
        Some(found) => {
            let all = zones::OPS.into_iter().filter(|op| *op != Op::ZoneAppend || found.zones.max_append_blocks > 0);
            all.fold(ops.without(Op::CompareAndWrite), OpSet::with)
        }
    }
}

fn limits(raw: &Namespace, transfer: u32, nvm: Option<&NvmController>, found: Option<&Found>) -> Limits {
    let transfer_blocks = transfer.clamp(1, BLOCKS_MAX);
    let block = u64::from(raw.block_len().unwrap_or(512));
    // A power of two of memory pages of 4 KiB. Before 2.0 the limit of transfers holds, if there is any.
    let of_pages = |log2: Option<u8>| match log2 {
        None => transfer_blocks,
        Some(0) => BLOCKS_MAX,
        Some(log2) => {
            let bytes = 1u64.checked_shl(log2.into()).unwrap_or(u64::MAX).saturating_mul(4096);
            u32::try_from(bytes / block).unwrap_or(BLOCKS_MAX).clamp(1, BLOCKS_MAX)
        }
    };
    let unmap_blocks = nvm.map_or(0, |n| n.dmrsl.get());
    let one_copy = [u32::from(raw.mssrl.get()), raw.mcl.get(), BLOCKS_MAX].into_iter().filter(|n| *n > 0).min().unwrap_or(1);
    Limits {
        transfer_blocks,
        // That of its zones is one that reads may not cross; the other is for speed.
        boundary_blocks: found.map(|f| f.boundary).filter(|b| *b > 0).unwrap_or(raw.noiob.get().into()),
        unmap_blocks,
        write_zeroes_blocks: of_pages(nvm.map(|n| n.wzsl)),
        copy_blocks: one_copy,
        verify_blocks: of_pages(nvm.map(|n| n.vsl)),
        uncorrectable_blocks: of_pages(nvm.map(|n| n.wusl)),
        ..Limits::default()
    }
}

fn preferred(raw: &Namespace) -> Preferred {
    if !NsFeat::from_bits(raw.nsfeat).optimal() {
        return Preferred::default();
    }
    let blocks = |zero_based: u16| u32::from(zero_based) + 1;
    Preferred {
        write_granularity: blocks(raw.npwg.get()),
        write_alignment: blocks(raw.npwa.get()),
        write_size: if raw.nows.get() == 0 { 0 } else { blocks(raw.nows.get()) },
        unmap_granularity: blocks(raw.npdg.get()),
        unmap_alignment: blocks(raw.npda.get()),
        boundary: 0,
    }
}

/// Blocks of the namespace's own field, where it has those of atomic writes, or else of the controller's; both are zero-based.
fn unit(raw: &Namespace, namespace: u16, controller: u16) -> u32 {
    u32::from(if NsFeat::from_bits(raw.nsfeat).atomic() { namespace } else { controller }) + 1
}

/// Blocks of a fused compare and write at most (NVM 1.1, 2.1.4.2).
fn compared(raw: &Namespace, of: &Identity) -> u32 {
    unit(raw, raw.nacwu.get(), of.raw.acwu.get())
}

fn atomic(raw: &Namespace, of: &Identity) -> AtomicUnits {
    let pick = |namespace, controller| unit(raw, namespace, controller);
    AtomicUnits { normal_blocks: pick(raw.nawun.get(), of.raw.awun.get()), power_fail_blocks: pick(raw.nawupf.get(), of.raw.awupf.get()) }
}
