use super::*;

#[test]
fn sequences_go_round() {
    let mut p = Picker::new(Pattern::Read, 50, 3, 7);
    let slots: Vec<u64> = (0..7).map(|_| p.slot()).collect();
    assert_eq!(slots, [0, 1, 2, 0, 1, 2, 0]);
    assert!((0..100).all(|_| p.op() == Op::Read));
}

#[test]
fn random_slots_are_all_reached_and_none_outside() {
    let mut p = Picker::new(Pattern::RandWrite, 50, 10, 7);
    let mut seen = [0u32; 10];
    for _ in 0..10_000 {
        seen[p.slot() as usize] += 1;
    }
    assert!(seen.iter().all(|n| (800..1200).contains(n)), "{seen:?}");
    assert!(!(0..100).any(|_| p.op() == Op::Read));
}

#[test]
fn the_mix_is_kept() {
    let mut p = Picker::new(Pattern::RandRw, 70, 10, 7);
    let reads = (0..10_000).filter(|_| p.op() == Op::Read).count();
    assert!((6700..7300).contains(&reads), "{reads}");
}
