//! Offsets against the specification, and reports that say more than they hold.

use super::*;
use crate::{bytes, view};
use core::mem::offset_of;
use proptest::prelude::*;

#[test]
fn a_descriptor_lies_where_the_specification_says() {
    assert_eq!(offset_of!(ZoneDescriptor, attributes), 2);
    assert_eq!(offset_of!(ZoneDescriptor, zcap), 8);
    assert_eq!(offset_of!(ZoneDescriptor, zslba), 16);
    assert_eq!(offset_of!(ZoneDescriptor, wp), 24);
    let zone = ZoneDescriptor::new(ZoneType::SEQUENTIAL_WRITE_REQUIRED, ZoneCondition::FULL, 0x100, 0x80, 0x180);
    assert_eq!(&bytes(&zone)[..4], [2, 0xe0, 0, 0]);
    assert_eq!((zone.kind(), zone.state()), (ZoneType::SEQUENTIAL_WRITE_REQUIRED, ZoneCondition::FULL));
}

proptest! {
    #[test]
    fn a_report_is_read_as_far_as_it_goes(raw in proptest::collection::vec(any::<u8>(), 0..400), said in prop_oneof![0..8u64, any::<u64>()]) {
        let mut raw = raw;
        if let Some(header) = crate::view_mut::<ReportHeader>(&mut raw) {
            header.zones.set(said);
        }
        let zones = ZoneDescriptor::of_report(&raw);
        let holds = (raw.len().saturating_sub(64) / 64) as u64;
        let said = view::<ReportHeader>(&raw).map_or(0, |h| h.zones.get());
        prop_assert_eq!(zones.len() as u64, said.min(holds));
        for (i, zone) in zones.iter().enumerate() {
            prop_assert_eq!(bytes(zone), &raw[64 + 64 * i..128 + 64 * i]);
        }
    }
}
