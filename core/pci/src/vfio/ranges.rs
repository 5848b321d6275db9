//! Which I/O addresses a container's IOMMU can translate.

use crate::IovaRange;
use vfio_bindings::bindings::vfio as v;

/// What to count on where the kernel (before 5.4) does not say: 39 bits, and the window of x86 interrupts left out.
const USUAL: [IovaRange; 2] = [IovaRange { first: 0, last: 0xfedf_ffff }, IovaRange { first: 0xfef0_0000, last: (1 << 39) - 1 }];

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// The ranges that `VFIO_IOMMU_GET_INFO`'s answer tells.
pub(super) fn usable(answer: &[u8]) -> Vec<IovaRange> {
    // argsz, flags, page sizes (8 bytes), where the first capability is.
    let flags = u32_at(answer, 4).unwrap_or(0);
    let mut at = if flags & v::VFIO_IOMMU_INFO_CAPS != 0 { u32_at(answer, 16).unwrap_or(0) as usize } else { 0 };
    while at != 0 {
        // id (2 bytes), version (2), where the next is.
        let Some((id, next)) = u32_at(answer, at).zip(u32_at(answer, at + 4)) else { break };
        if id & 0xffff == v::VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE {
            return listed(answer, at + 8);
        }
        // Forwards only, so that it ends.
        at = if next as usize > at { next as usize } else { 0 };
    }
    USUAL.to_vec()
}

fn listed(answer: &[u8], at: usize) -> Vec<IovaRange> {
    let count = u32_at(answer, at).unwrap_or(0) as usize;
    let one = |n: usize| {
        let at = at + 8 + n * 16;
        Some(IovaRange { first: u64_at(answer, at)?, last: u64_at(answer, at + 8)? })
    };
    (0..count).map_while(one).collect()
}
