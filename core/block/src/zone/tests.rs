use super::*;

#[test]
fn a_zone_lies_in_a_payload_and_is_found_there() {
    for state in [1, 2, 3, 4, 13, 14, 15].map(|n| ZoneState::of(n).unwrap()) {
        let zone = Zone { kind: ZoneKind::SequentialWriteRequired, state, start: 1 << 40, capacity: 77, write_pointer: (1 << 40) + 5 };
        assert_eq!(Zone::decode(&zone.encode()), Some(zone));
    }
    let mut bytes = [0; Zone::BYTES];
    assert_eq!(Zone::decode(&bytes), None, "zeroes are no zone");
    bytes[..2].copy_from_slice(&[2, 5]);
    assert_eq!(Zone::decode(&bytes), None, "no such state");
}
