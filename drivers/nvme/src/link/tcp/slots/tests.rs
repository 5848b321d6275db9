use super::*;
use crate::link::OwnerId;
use doorbell_block::{Io, Ticks};
use std::collections::HashSet;

fn put(slots: &mut Slots) -> Cid {
    let (index, cid) = slots.take_free().unwrap();
    let flight = Flight { io: Io::boxed(1), raw: None, owner: OwnerId { index: 0, generation: 0 }, since: Ticks(0), tries: 0 };
    slots.get_mut(index).unwrap().flight = Some(flight);
    cid
}

#[test]
fn an_identifier_is_not_used_again_soon() {
    for depth in [1, 3, 64, 16_383] {
        let mut slots = Slots::new(depth);
        let mut used = HashSet::new();
        let generations = (1 << (16 - slots.index_bits)) - 1;
        for _ in 0..generations.min(100) {
            let cid = put(&mut slots);
            assert!(used.insert(cid), "depth {depth}: {cid:?} came again");
            assert_ne!(cid.0, 0xffff);
            let (index, _) = slots.live(cid, 0).unwrap();
            slots.release(index).unwrap();
            assert!(slots.live(cid, 0).is_none());
            assert!(slots.release(index).is_none());
        }
    }
}

#[test]
fn a_full_table_has_no_room_and_gives_all_back() {
    let mut slots = Slots::new(5);
    let cids: Vec<_> = (0..5).map(|_| put(&mut slots)).collect();
    assert!(!slots.has_room_for(1) && slots.take_free().is_none());
    assert_eq!(slots.each().map(|(cid, _)| cid).collect::<HashSet<_>>(), cids.iter().copied().collect());
    assert_eq!((slots.reclaim().len(), slots.len()), (5, 0));
    assert!(cids.into_iter().all(|cid| slots.live(cid, 0).is_none()));
}
