use super::{bars, ranges};
use crate::IovaRange;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// An answer of `VFIO_IOMMU_GET_INFO` with a migration capability and then ranges.
fn answer(list: &[(u64, u64)], count: u32) -> Vec<u8> {
    let mut bytes = words(&[0, 3, 0x1000, 0, 24, 0, 2 | 1 << 16, 40, 0, 0, 1 | 1 << 16, 0, count, 0]);
    list.iter().for_each(|(first, last)| [first, last].iter().for_each(|n| bytes.extend(n.to_ne_bytes())));
    bytes
}

#[test]
fn the_iommus_ranges_are_read_from_its_capabilities() {
    let narrow = [(0, 0xfedf_ffff), (0xfef0_0000, 0x7f_ffff_ffff)];
    let is = |first, last| IovaRange { first, last };
    assert_eq!(ranges::usable(&answer(&narrow, 2)), [is(0, 0xfedf_ffff), is(0xfef0_0000, 0x7f_ffff_ffff)]);
    assert_eq!(ranges::usable(&answer(&[(0, 0xffff_ffff_ffff)], 1)), [is(0, 0xffff_ffff_ffff)]);
    // A count beyond the answer ends with it.
    assert_eq!(ranges::usable(&answer(&narrow, u32::MAX)).len(), 2);
    // Old kernels tell nothing: what the narrowest common units can do.
    let silent = ranges::usable(&words(&[24, 1, 0x1000, 0, 0, 0]));
    assert_eq!(silent, [is(0, 0xfedf_ffff), is(0xfef0_0000, 0x7f_ffff_ffff)]);
    // A chain that leads back, or out, ends.
    assert_eq!(ranges::usable(&words(&[0, 3, 0x1000, 0, 24, 0, 2, 24])), silent);
    assert_eq!(ranges::usable(&words(&[0, 3, 0x1000, 0, 4000, 0])), silent);
}

/// A region of 16 KiB at 0x10000 that may be mapped, with a list of areas if there is one.
fn region(areas: &[(u64, u64)]) -> Vec<u8> {
    let listed = !areas.is_empty();
    let flags = 1 | 2 | 4 | if listed { 8 } else { 0 };
    let len = 32 + if listed { 16 + areas.len() as u32 * 16 } else { 0 };
    let mut bytes = words(&[len, flags, 0, if listed { 32 } else { 0 }, 0x4000, 0, 0x1_0000, 0]);
    if listed {
        bytes.extend(words(&[1 | 1 << 16, 0, areas.len() as u32, 0]));
        areas.iter().for_each(|(offset, len)| [offset, len].iter().for_each(|n| bytes.extend(n.to_ne_bytes())));
    }
    bytes
}

#[test]
fn what_can_be_mapped_is_whole_pages_inside_of_the_region() {
    let areas = |list: &[(u64, u64)]| bars::parse("test", &region(list)).unwrap().areas;
    assert_eq!(areas(&[]), [(0, 0x4000)]);
    assert_eq!(areas(&[(0x1000, 0x1000), (0x3000, 0x9000)]), [(0x1000, 0x1000), (0x3000, 0x1000)]);
    assert_eq!(areas(&[(0x10, 0x2000), (0x8000, 0x1000)]), [(0x1000, 0x1000)]);
    let info = bars::parse("test", &region(&[])).unwrap().info;
    assert_eq!((info.size, info.offset), (0x4000, 0x1_0000));
    let mut unmapped = region(&[]);
    unmapped[4] = 3;
    assert_eq!(bars::parse("test", &unmapped).unwrap().areas, []);
    let mut wraps = region(&[(u64::MAX, 2)]);
    assert!(bars::parse("test", &wraps).is_err());
    wraps.truncate(8);
    assert!(bars::parse("test", &wraps).is_err());
}
