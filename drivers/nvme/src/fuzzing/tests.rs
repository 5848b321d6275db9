use super::*;
use proptest::prelude::*;

/// Bytes that a fuzzer might find after a while: mostly meaningful operations.
fn story() -> impl Strategy<Value = Vec<u8>> {
    let op = prop_oneof![
        (0u8..4, 0u8..70).prop_map(|(kind, units)| vec![kind << 3 | 4, units]),
        (0u8..12, any::<u8>(), any::<u8>()).prop_map(|(pick, status, head)| vec![head << 3 | 1, pick, status]),
        (0u8..9, 0u8..12, any::<u8>(), 0u8..8).prop_map(|(pick, at, units, flags)| vec![flags << 3 | 2, pick, at, units]),
        (0u8..9, 0u8..70, 0u8..70).prop_map(|(pick, at, units)| vec![3, pick, at, units]),
        any::<u8>().prop_map(|n| vec![n << 3 | 5]),
        Just(vec![7]),
    ];
    (0u8..32, prop::collection::vec(op, 0..60)).prop_map(|(mode, ops)| [vec![mode | 4], ops.concat()].concat())
}

proptest! {
    #[test]
    fn stories(data in story()) {
        fuzz_link(&data);
    }

    #[test]
    fn noise(data in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz_link(&data);
    }
}

/// The stories do reach what matters: commands that end well, in both ways.
#[test]
fn an_honest_story_ends_well() {
    let mut world = World::new(4).unwrap();
    world.submit(3, 8);
    world.submit(1, 8);
    let [read, write] = [world.cid(0), world.cid(1)];
    world.drain();
    world.say(|codec, out| codec.write_c2h_data(out, &C2hData { cccid: read, offset: 0, len: 4096, last: true, success: true }));
    world.peer.send(&[1; 4096]).unwrap();
    world.say(|codec, out| codec.write_capsule_resp(out, &Cqe::new(write, Status::SUCCESS)));
    world.reap(10);
    assert!(world.out.is_empty() && matches!(world.link.progress(), Progress::Ready { .. }));
}
