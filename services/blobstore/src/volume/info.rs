//! What a volume says of itself.

use crate::view::Outside;
use doorbell_block::{DeviceInfo, Limits, Op, OpSet, Preferred, ReadAfterUnmap, Shape};
use std::sync::Arc;

/// The shape of a volume on a device, of clusters of so many blocks.
pub(crate) fn shape_of(below: &DeviceInfo, cluster_blocks: u64, clusters: u64, outside: Option<&Outside>, writable: bool) -> Arc<Shape> {
    let boundary = greatest_common(u64::from(below.limits.boundary_blocks), cluster_blocks) as u32;
    let mut ops = OpSet::of(&[Op::Read, Op::Flush, Op::SeekData, Op::SeekHole]);
    if writable && !below.read_only {
        ops = ops.with(Op::Write).with(Op::Unmap);
        if below.ops.has(Op::WriteZeroes) {
            ops = ops.with(Op::WriteZeroes);
        }
    }
    let mut info = DeviceInfo {
        blocks: clusters.saturating_mul(cluster_blocks),
        ops,
        read_only: !writable || below.read_only,
        // Where a parent shows through it is not zeroes.
        read_after_unmap: ReadAfterUnmap::Undefined,
        limits: Limits { boundary_blocks: boundary, ..below.limits },
        preferred: Preferred { unmap_granularity: cluster_blocks as u32, unmap_alignment: 0, ..below.preferred },
        zones: None,
        metadata: None,
        frames: below.frames.saturating_add(1),
        ..below.clone()
    };
    if let Some(outside) = outside {
        let theirs = outside.device.info();
        info.limits = stricter(info.limits, theirs.limits, outside.shift);
        info.frames = info.frames.max(theirs.frames.saturating_add(1));
    }
    Shape::new(info)
}

/// Zero, of which everything is a divisor, leaves the other.
fn greatest_common(a: u64, b: u64) -> u64 {
    if a == 0 { b } else { greatest_common(b % a, a) }
}

/// What reads through either have to keep to; `theirs` are in blocks smaller by `shift`.
fn stricter(ours: Limits, theirs: Limits, shift: u8) -> Limits {
    let either = |a: u32, b: u32| if a == 0 || b == 0 { a.max(b) } else { a.min(b) };
    let boundary = greatest_common(u64::from(theirs.boundary_blocks), u64::from(ours.boundary_blocks) << shift) >> shift;
    Limits {
        boundary_blocks: boundary.max(1) as u32,
        transfer_blocks: either(
            ours.transfer_blocks,
            if theirs.transfer_blocks == 0 { 0 } else { (theirs.transfer_blocks >> shift).max(1) },
        ),
        segments: either(ours.segments.into(), theirs.segments.into()) as u16,
        segment_bytes: either(ours.segment_bytes, theirs.segment_bytes),
        align_bytes: ours.align_bytes.max(theirs.align_bytes),
        ..ours
    }
}
