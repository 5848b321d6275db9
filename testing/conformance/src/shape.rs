//! Which requests a device takes: random ones within its limits.

use crate::rig::Cuts;
use doorbell_block::{DeviceInfo, Op};
use doorbell_sim::Entropy;
use std::ops::Range;

/// The most that one request of a test moves.
const PAYLOAD_MOST: u64 = 128 << 10;

/// The most that one compare-and-write covers. `Limits` has no word for it: whoever claims the operation does this much, or one block.
const COMPARE_AND_WRITE_MOST: u64 = 4096;

/// Does `op` begin and end at write units? What only forgets data does not.
fn keeps_units(op: Op) -> bool {
    op.writes() && op != Op::Unmap
}

/// Random ranges and cuts that `info` allows.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    info: DeviceInfo,
}

impl Shape {
    pub(crate) fn of(info: &DeviceInfo) -> Shape {
        Shape { info: info.clone() }
    }

    /// The most blocks of one `op`.
    pub(crate) fn most(&self, op: Op) -> u64 {
        let l = &self.info.limits;
        let limit = match op {
            Op::Unmap => l.unmap_blocks,
            Op::WriteZeroes => l.write_zeroes_blocks,
            Op::Copy => l.copy_blocks,
            _ => l.transfer_blocks,
        };
        let payload = match op {
            Op::CompareAndWrite => COMPARE_AND_WRITE_MOST,
            _ => PAYLOAD_MOST,
        };
        let mut most = (payload >> self.info.block_shift).max(1);
        if limit > 0 {
            most = most.min(u64::from(limit));
        }
        if l.segments > 0 && l.segment_bytes > 0 {
            let bytes = u64::from(l.segments) * u64::from(l.segment_bytes);
            most = most.min((bytes >> self.info.block_shift).max(1));
        }
        most
    }

    /// A range inside of `region`; `None` when the limits leave none there.
    pub(crate) fn range(&self, entropy: &mut Entropy, op: Op, region: &Range<u64>) -> Option<(u64, u32)> {
        let unit = if keeps_units(op) { u64::from(self.info.limits.write_unit_blocks.max(1)) } else { 1 };
        let first = region.start.div_ceil(unit) * unit;
        let units = region.end.checked_sub(first)? / unit;
        if units == 0 {
            return None;
        }
        let lba = first + entropy.below(units) * unit;
        // Short ones are the common ones, and one in four is as long as it may be.
        let most = self.most(op).min(region.end - lba);
        let wanted = if entropy.below(4) == 0 { most } else { 1 + entropy.below(most.min(9)) };
        let mut blocks = (wanted.div_ceil(unit) * unit).min(most / unit * unit);
        let boundary = u64::from(self.info.limits.boundary_blocks);
        if boundary > 0 && !matches!(op, Op::Unmap | Op::WriteZeroes | Op::Copy) {
            blocks = blocks.min(boundary - lba % boundary);
        }
        (blocks > 0 && blocks.is_multiple_of(unit)).then_some((lba, blocks as u32))
    }

    /// Cuts for a payload of `len` bytes.
    pub(crate) fn cuts(&self, entropy: &mut Entropy, len: u32) -> Cuts {
        let l = &self.info.limits;
        let align = l.align_bytes.max(1);
        let down = |n: u32| (n / align * align).max(align);
        // Of more than sixteen segments a test learns nothing new, and runs out of buffers.
        let pieces = if l.segments == 0 { 16 } else { u32::from(l.segments).min(16) };
        let least = len.div_ceil(pieces).next_multiple_of(align);
        let longest = if l.segment_bytes == 0 { u32::MAX } else { down(l.segment_bytes) };
        let fits_one = len <= longest;
        let cut =
            |entropy: &mut Entropy| (least + down(1 + entropy.below(u64::from(len.max(1))) as u32)).next_multiple_of(align).min(longest);
        match entropy.below(4) {
            0 if fits_one => Cuts::One,
            1 if fits_one => Cuts::Skewed((1 + entropy.below(300) as u32).next_multiple_of(align)),
            2 => Cuts::Shares(vec![cut(entropy), cut(entropy)]),
            _ => Cuts::Apart(vec![cut(entropy), cut(entropy)]),
        }
    }
}
