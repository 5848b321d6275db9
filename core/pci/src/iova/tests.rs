use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

#[test]
fn the_hole_and_the_width_of_qemus_viommu_are_kept() {
    let mut iovas = Iovas::new(&[IovaRange { first: 0xfef0_0000, last: 0x7f_ffff_ffff }, IovaRange { first: 0, last: 0xfedf_ffff }]);
    let first = iovas.take(2 * MIB, 2 * MIB).unwrap();
    assert_eq!(first, FLOOR);
    // Larger than what is below the hole.
    let large = iovas.take(5 << 30, 2 * MIB).unwrap();
    assert!(large >= 0xfef0_0000 && large.is_multiple_of(2 * MIB));
    assert_eq!(iovas.take(1 << 39, 4096), None);
    iovas.give_back(first);
    assert_eq!(iovas.take(MIB, MIB), Some(FLOOR));
}

#[test]
fn nothing_wraps_at_the_top() {
    let mut iovas = Iovas::new(&[IovaRange { first: u64::MAX - 8191, last: u64::MAX }]);
    assert_eq!(iovas.take(8192, 4096), Some(u64::MAX - 8191));
    assert_eq!(iovas.take(1, 1), None);
    assert_eq!(Iovas::new(&[IovaRange { first: 0, last: u64::MAX }]).take(0, 1), None);
}

proptest! {
    #[test]
    fn what_is_taken_lies_in_a_range_is_aligned_and_overlaps_nothing(
        steps in proptest::collection::vec((1u64..40, 0u32..6, any::<bool>()), 1..60)
    ) {
        let usable = [IovaRange { first: 0, last: 20 * MIB - 1 }, IovaRange { first: 21 * MIB, last: 30 * MIB - 1 }];
        let mut iovas = Iovas::new(&usable);
        let mut held: Vec<(u64, u64)> = Vec::new();
        for (pages, shift, give) in steps {
            if give && !held.is_empty() {
                let (at, _) = held.swap_remove(pages as usize % held.len());
                iovas.give_back(at);
                continue;
            }
            let (len, align) = (pages * 65536, 4096u64 << shift);
            if let Some(at) = iovas.take(len, align) {
                prop_assert!(at.is_multiple_of(align));
                prop_assert!(usable.iter().any(|r| at >= r.first && at + len - 1 <= r.last));
                prop_assert!(held.iter().all(|&(a, l)| at + len <= a || a + l <= at));
                held.push((at, len));
            }
        }
    }
}
