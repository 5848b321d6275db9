//! What the layer offers of a device, and what its queues must know to keep to it.

use doorbell_block::{DeviceInfo, Flags, Io, Limits, Op, OpSet, WriteCache};
use doorbell_mem::Seg;

/// Bytes of a bounce buffer, as long as the pool has them.
const BOUNCE_BYTES: u32 = 64 << 10;
/// Bytes of the bounce buffer that a queue keeps for itself, so that emulation never depends on others.
const RESERVE_BYTES: u32 = 4096;

/// The information that openers see: limits that the layer lifts are gone, operations that it emulates are there.
pub(crate) fn offered(own: &DeviceInfo) -> DeviceInfo {
    let mut info = own.clone();
    let reads = own.ops.has(Op::Read);
    let writes = own.ops.has(Op::Write) && !own.read_only;
    let mut ops = own.ops.with(Op::Reset).with(Op::SeekData).with(Op::SeekHole);
    if own.write_cache == WriteCache::WriteThrough {
        ops = ops.with(Op::Flush);
    }
    if reads {
        ops = ops.with(Op::Compare).with(Op::Verify);
    }
    // Emulation would write where a zone is not written next.
    if writes && own.zones.is_none() {
        ops = ops.with(Op::WriteZeroes);
        if reads {
            ops = ops.with(Op::CompareAndWrite);
            if copies_by_hand(own) {
                ops = ops.with(Op::Copy);
            }
        }
    }
    info.ops = ops;
    // FUA is a flush after the write where the device has none of its own.
    info.fua = own.fua || ops.has(Op::Flush);
    // Whoever crosses a boundary is served all the same, but dearer.
    if own.limits.boundary_blocks != 0 {
        info.preferred.boundary = own.limits.boundary_blocks;
    }
    if let Some(zones) = &mut info.zones {
        zones.max_append_blocks = append_blocks(own);
    }
    let compared = if ops.has(Op::CompareAndWrite) { Geometry::of(own, true).compare_and_write_blocks() } else { 0 };
    info.limits = Limits {
        write_unit_blocks: own.limits.write_unit_blocks,
        compare_and_write_blocks: if compared == u32::MAX { 0 } else { compared },
        ..Limits::default()
    };
    info.frames = own.frames.saturating_add(1);
    info
}

/// Blocks of one append, which is never split: where it might have to lie otherwise, what one bounce buffer holds.
fn append_blocks(own: &DeviceInfo) -> u32 {
    let l = own.limits;
    let most = own.zones.map_or(0, |zones| zones.max_append_blocks);
    if l.segments == 0 && l.segment_bytes == 0 && l.align_bytes <= 1 {
        return most;
    }
    most.min(BOUNCE_BYTES.min(or_max(l.segment_bytes)) >> own.block_shift)
}

/// Is all of a block copied when its data is? Metadata that the device does not make anew by itself would be lost.
fn copies_by_hand(own: &DeviceInfo) -> bool {
    own.metadata.is_none_or(|m| m.protection.is_some_and(|p| p.guard.information_bytes() == m.bytes))
}

/// Does a copy write some of what it reads?
pub(crate) fn overlaps(io: &Io) -> bool {
    io.op == Op::Copy && io.source.abs_diff(io.lba) < u64::from(io.blocks)
}

/// A device's limits, turned into what the path of a request compares.
#[derive(Clone)]
pub(crate) struct Geometry {
    pub(crate) blocks: u64,
    pub(crate) shift: u8,
    pub(crate) ops: OpSet,
    /// Blocks of a read or write that need not be split; `u32::MAX` for no limit.
    pub(crate) max_blocks: u32,
    /// Bits of a block number that must be the same at both ends of a request.
    boundary_mask: u64,
    pub(crate) boundary: u32,
    max_segments: u16,
    segment_bytes: u32,
    align_mask: u32,
    /// Are segments to be looked at one by one?
    look_at_segments: bool,
    /// Has it neither boundaries nor limits to segments?
    shapeless: bool,
    /// Reads, and writes where they may be and of any length: what may go down as it is.
    plain: OpSet,
    /// Flags that the device does not honour itself.
    foreign: Flags,
    pub(crate) fua: bool,
    pub(crate) may_write: bool,
    pub(crate) write_unit: u32,
    pub(crate) write_cache: WriteCache,
    /// Blocks of a zone; 0 for a device without zones.
    pub(crate) zone: u64,
    /// Blocks of one append.
    pub(crate) append_blocks: u32,
    /// Bytes of metadata of a block.
    pub(crate) meta: u32,
    pub(crate) copies_by_hand: bool,
    limits: Limits,
}

fn or_max(limit: u32) -> u32 {
    if limit == 0 { u32::MAX } else { limit }
}

impl Geometry {
    pub(crate) fn of(own: &DeviceInfo, may_write: bool) -> Geometry {
        let l = own.limits;
        let unit = l.write_unit_blocks.max(1);
        // Only a power of two is a mask; any other boundary goes the slow way.
        let boundary_mask = match l.boundary_blocks {
            0 => 0,
            b if b.is_power_of_two() => !(u64::from(b) - 1),
            _ => u64::MAX,
        };
        Geometry {
            blocks: own.blocks,
            shift: own.block_shift,
            ops: own.ops,
            max_blocks: or_max(l.transfer_blocks),
            boundary_mask,
            boundary: l.boundary_blocks,
            max_segments: if l.segments == 0 { u16::MAX } else { l.segments },
            segment_bytes: l.segment_bytes,
            align_mask: l.align_bytes.saturating_sub(1),
            look_at_segments: l.segment_bytes != 0 || l.align_bytes > 1,
            shapeless: own.zones.is_none() && l.boundary_blocks == 0 && l.segments == 0 && l.segment_bytes == 0 && l.align_bytes <= 1,
            plain: if may_write && !own.read_only && unit == 1 { OpSet::of(&[Op::Read, Op::Write]) } else { OpSet::of(&[Op::Read]) },
            foreign: if own.fua { Flags::NONE } else { Flags::FUA },
            fua: own.fua,
            may_write: may_write && !own.read_only,
            write_unit: unit,
            write_cache: own.write_cache,
            zone: own.zones.map_or(0, |zones| zones.blocks),
            append_blocks: append_blocks(own),
            meta: own.metadata.map_or(0, |m| m.bytes.into()),
            copies_by_hand: copies_by_hand(own),
            limits: l,
        }
    }

    /// Can it go down as it is? False says nothing about whether it is right.
    #[inline]
    pub(crate) fn is_plain(&self, io: &Io) -> bool {
        self.fits_device(io) && io.meta.is_empty()
    }

    /// The same, whatever its metadata.
    #[inline]
    pub(crate) fn fits_device(&self, io: &Io) -> bool {
        self.plain.has(io.op)
            && io.blocks.wrapping_sub(1) < self.max_blocks
            && io.end().is_some_and(|end| end <= self.blocks)
            && u64::from(io.sg.bytes()) == u64::from(io.blocks) << self.shift
            && !io.flags.any(self.foreign)
            && (self.shapeless || self.fits(io))
    }

    /// Does a request of at least a block, inside the device, keep to boundaries and limits to segments?
    fn fits(&self, io: &Io) -> bool {
        let last = io.lba + u64::from(io.blocks) - 1;
        let segments = io.sg.segs();
        (io.lba ^ last) & self.boundary_mask == 0
            && !self.leaves_zone(io)
            && segments.len() <= self.max_segments as usize
            && (!self.look_at_segments || segments.iter().all(|s| self.segment_fits(s)))
    }

    /// Does it move a write pointer from one zone into the next?
    pub(crate) fn leaves_zone(&self, io: &Io) -> bool {
        self.moves_pointer(io.op) && !self.is_in_zone(io)
    }

    /// Does it write where its zone is written next? Then its parts have their order.
    pub(crate) fn moves_pointer(&self, op: Op) -> bool {
        self.zone != 0 && matches!(op, Op::Write | Op::WriteZeroes | Op::WriteUncorrectable | Op::Copy | Op::ZoneAppend)
    }

    fn is_in_zone(&self, io: &Io) -> bool {
        io.lba / self.zone == (io.lba + u64::from(io.blocks.max(1)) - 1) / self.zone
    }

    fn segment_fits(&self, s: &Seg) -> bool {
        let misaligned = (s.address().addr() | s.len() as usize) & self.align_mask as usize;
        misaligned == 0 && (self.segment_bytes == 0 || s.len() <= self.segment_bytes)
    }

    /// How many of `want` bytes from `offset` of the payload can go down as they lie; `None` when not even a block.
    pub(crate) fn direct_bytes(&self, io: &Io, offset: u32, want: u32) -> Option<u32> {
        let (mut at, mut got, mut segments) = (offset, 0, 0);
        for s in io.sg.segs() {
            if at >= s.len() {
                at -= s.len();
                continue;
            }
            let part = (s.len() - at).min(want - got);
            if ((s.address().addr() + at as usize) | part as usize) & self.align_mask as usize != 0 {
                break;
            }
            let taken = part.min(or_max(self.segment_bytes));
            got += taken;
            segments += 1;
            if taken < part || got == want || segments == self.max_segments {
                break;
            }
            at = 0;
        }
        let whole = got >> self.shift << self.shift;
        (whole > 0).then_some(whole)
    }

    /// Blocks of one request of this kind, when the device does it itself.
    pub(crate) fn limit(&self, op: Op) -> u32 {
        match op {
            Op::Unmap => or_max(self.limits.unmap_blocks),
            Op::WriteZeroes => or_max(self.limits.write_zeroes_blocks),
            Op::Copy => or_max(self.limits.copy_blocks),
            Op::ZoneAppend => self.append_blocks,
            Op::Verify => or_max(self.limits.verify_blocks),
            Op::WriteUncorrectable => or_max(self.limits.uncorrectable_blocks),
            _ => self.max_blocks,
        }
    }

    /// Is it a copy that the device does not do itself, though it copies? A controller may refuse one that writes what it reads, and what
    /// it does not refuse has no order. Zones have no such copies: what is written was not there to be read.
    pub(crate) fn is_copied_by_hand(&self, io: &Io) -> bool {
        overlaps(io) && self.copies_by_hand && self.zone == 0
    }

    /// Blocks to the next boundary.
    pub(crate) fn to_boundary(&self, lba: u64) -> u64 {
        match u64::from(self.boundary) {
            0 => u64::MAX,
            b => b - lba % b,
        }
    }

    /// Blocks of a compare-and-write: what the device does as one, or where it is emulated what the reserve holds.
    pub(crate) fn compare_and_write_blocks(&self) -> u32 {
        match self.ops.has(Op::CompareAndWrite) {
            true => self.max_blocks.min(or_max(self.limits.compare_and_write_blocks)),
            false => (self.reserve_bytes() >> self.shift).max(1),
        }
    }

    /// Bytes that a queue keeps for itself.
    pub(crate) fn reserve_bytes(&self) -> u32 {
        RESERVE_BYTES.max((1 << self.shift) + self.meta)
    }

    /// Blocks of one bounce buffer, which goes down as one segment.
    pub(crate) fn bounce_blocks(&self) -> u32 {
        (BOUNCE_BYTES.min(or_max(self.segment_bytes)) >> self.shift).max(1)
    }

    /// Is its metadata as long as it has to be, where it may have any? Two payloads, of a compare and a write, have none.
    pub(crate) fn has_right_metadata(&self, io: &Io) -> bool {
        let moves = matches!(io.op, Op::Read | Op::Write | Op::Compare);
        io.meta.is_empty() || (moves && u64::from(io.meta.bytes()) == u64::from(io.blocks) * u64::from(self.meta))
    }

    /// Does anything need a bounce buffer?
    pub(crate) fn may_bounce(&self) -> bool {
        let emulates = [Op::Compare, Op::CompareAndWrite, Op::Copy, Op::WriteZeroes, Op::Verify].iter().any(|op| !self.ops.has(*op));
        // A copy that overlaps, see `is_copied_by_hand`.
        let copies = self.copies_by_hand && self.zone == 0;
        emulates || copies || self.look_at_segments || self.max_segments != u16::MAX
    }
}
