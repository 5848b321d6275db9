//! Known checksums, the places of fields, and every layout against itself.

use super::*;
use proptest::prelude::*;
use std::vec;

fn layout(kind: Type, guard: Guard, storage: u8, first: bool, bytes: u16) -> Layout {
    Layout::new(kind, guard, storage, first, bytes).unwrap()
}

#[test]
fn guards_are_those_of_the_specification() {
    let guard = |guard: Guard, data: &[u8]| {
        let bits = if guard == Guard::Crc32c { 16 } else { 0 };
        layout(Type::One, guard, bits, true, 16).guard_of([data], &[0; 16]).unwrap()
    };
    // The check values of the catalogue of CRCs: CRC-16/T10-DIF, CRC-32/ISCSI, CRC-64/NVME.
    assert_eq!(guard(Guard::Crc16, b"123456789"), 0xd0db);
    assert_eq!(guard(Guard::Crc32c, b"123456789"), 0xe306_9283);
    assert_eq!(guard(Guard::Crc64, b"123456789"), 0xae8b_1486_0a79_9888);
    // Those that the NVM Command Set Specification gives for 4 KiB (5.3.1.3.4), and RFC 3720 for 32 bytes (B.4).
    assert_eq!(guard(Guard::Crc64, &[0; 4096]), 0x6482_d367_eb22_b64e);
    assert_eq!(guard(Guard::Crc64, &[0xff; 4096]), 0xc0dd_ba73_02ec_a3ac);
    assert_eq!(guard(Guard::Crc32c, &[0; 32]), 0x8a91_36aa);
    assert_eq!(guard(Guard::Crc16, &[0; 512]), 0);
}

#[test]
fn fields_lie_where_the_specification_has_them() {
    let information = Information { guard: 0x1122_3344_5566_7788, application_tag: 0x99aa, storage_tag: 0xb, reference_tag: 0xccdd_eeff };
    let mut metadata = [0; 24];
    let eight = layout(Type::One, Guard::Crc16, 4, false, 16);
    assert!(eight.write(&mut metadata[..16], &information));
    assert_eq!(metadata[..16], [0, 0, 0, 0, 0, 0, 0, 0, 0x77, 0x88, 0x99, 0xaa, 0xbc, 0xdd, 0xee, 0xff]);
    let sixty_four = layout(Type::One, Guard::Crc64, 8, true, 24);
    assert!(sixty_four.write(&mut metadata, &information));
    let expected = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0x0b, 0, 0xcc, 0xdd, 0xee, 0xff];
    assert_eq!(metadata[..16], expected);
    let thirty_two = layout(Type::One, Guard::Crc32c, 16, false, 16);
    assert!(thirty_two.write(&mut metadata[..16], &information));
    assert_eq!(metadata[..16], [0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0, 0xb, 0, 0, 0, 0, 0xcc, 0xdd, 0xee, 0xff]);
    assert!(!thirty_two.write(&mut metadata[..15], &information));
    assert_eq!(thirty_two.read(&metadata[..15]), None);
}

#[test]
fn commands_carry_the_same_tags() {
    let lba = 0x8877_6655_4433_2211;
    assert_eq!(layout(Type::One, Guard::Crc16, 0, true, 8).command_tags(0, lba), (0x4433_2211, 0));
    assert_eq!(layout(Type::One, Guard::Crc16, 32, true, 8).command_tags(7, lba), (7, 0));
    assert_eq!(layout(Type::One, Guard::Crc64, 0, true, 16).command_tags(0, lba), (0x4433_2211, 0x6655 << 32));
    assert_eq!(layout(Type::One, Guard::Crc64, 16, true, 16).command_tags(0xabcd, lba), (0x4433_2211, 0xabcd << 32));
    assert_eq!(layout(Type::One, Guard::Crc32c, 16, true, 16).command_tags(0xabcd, lba), (0x4433_2211, 0x8877_6655_0000_abcd));
    let tags = layout(Type::One, Guard::Crc64, 0, true, 16).range_tags(0, lba);
    assert_eq!(tags, [0, 0, 0, 0, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
}

#[test]
fn what_the_specification_does_not_allow_is_no_layout() {
    assert_eq!(Layout::new(Type::One, Guard::Crc16, 0, true, 7), None);
    assert_eq!(Layout::new(Type::One, Guard::Crc64, 0, true, 8), None);
    assert_eq!(Layout::new(Type::One, Guard::Crc16, 33, true, 8), None);
    assert_eq!(Layout::new(Type::One, Guard::Crc32c, 15, true, 16), None);
    assert_eq!(Layout::new(Type::One, Guard::Crc32c, 65, true, 16), None);
    assert_eq!(Layout::new(Type::One, Guard::Crc64, 49, true, 16), None);
    assert_eq!((Type::new(0), Type::new(3), Type::new(4)), (None, Some(Type::Three), None));
    let mut page = NvmNamespace::default();
    page.elbaf[1] = U32::new(2 << 7 | 16);
    page.elbaf[2] = U32::new(3 << 7);
    let format = |index| page.extended_format(index);
    assert_eq!((format(0), format(1), format(2)), (Some((Guard::Crc16, 0)), Some((Guard::Crc64, 16)), None));
    assert_eq!(format(64), Some((Guard::Crc16, 0)));
}

#[test]
fn blocks_that_say_so_are_not_checked() {
    let all = Expected { guard: true, application_tag: Some((1, 0xffff)), storage_tag: None, reference_tag: Some(1) };
    for (kind, reference_tag, passes) in
        [(Type::One, 5, true), (Type::Two, 5, true), (Type::Three, 5, false), (Type::Three, u64::MAX, true)]
    {
        let layout = layout(kind, Guard::Crc16, 0, true, 8);
        let mut metadata = [0; 8];
        layout.write(&mut metadata, &Information { guard: 1, application_tag: 0xffff, storage_tag: 0, reference_tag });
        assert_eq!(layout.check([&[0u8; 512][..]], &metadata, &all).is_ok(), passes, "{kind:?} {reference_tag:x}");
    }
}

fn any_layout() -> impl Strategy<Value = Layout> {
    let guard = prop_oneof![Just(Guard::Crc16), Just(Guard::Crc32c), Just(Guard::Crc64)];
    let kind = prop_oneof![Just(Type::One), Just(Type::Two), Just(Type::Three)];
    (guard, kind, any::<bool>(), 0u16..64, any::<u8>()).prop_map(|(guard, kind, first, more, bits)| {
        let (least, most) = guard.storage_bits();
        layout(kind, guard, least + bits % (most - least + 1), first, guard.information_bytes() + more)
    })
}

proptest! {
    #[test]
    fn what_is_made_is_read_and_passes(layout in any_layout(), data in proptest::collection::vec(any::<u8>(), 512), cut in 0usize..512,
        application_tag in 0u16..0xffff, storage in any::<u64>(), lba in any::<u64>(), at in any::<usize>(), bit in 0u8..8) {
        let storage_tag = if layout.storage_tag_bits() == 64 { storage } else { storage & ((1 << layout.storage_tag_bits()) - 1) };
        let mut metadata = vec![0x5a; usize::from(layout.metadata_bytes)];
        let pieces = [&data[..cut], &data[cut..]];
        prop_assert!(layout.protect(pieces, &mut metadata, application_tag, storage_tag, lba));
        let found = layout.read(&metadata).unwrap();
        prop_assert_eq!((found.application_tag, found.storage_tag), (application_tag, storage_tag));
        prop_assert_eq!(found.reference_tag, layout.reference_tag(lba));
        let all = Expected { guard: true, application_tag: Some((application_tag, u16::MAX)), storage_tag: Some(storage_tag), reference_tag: Some(lba) };
        prop_assert_eq!(layout.check(pieces, &metadata, &all), Ok(()));
        // Every bit of the data, and of the metadata before the information, is guarded.
        let mut wrong = data.clone();
        wrong[at % 512] ^= 1 << bit;
        prop_assert_eq!(layout.check([&wrong[..]], &metadata, &all), Err(Fault::Guard));
        if !layout.first && !layout.is_whole() {
            let mut metadata = metadata.clone();
            metadata[at % layout.place().start] ^= 1 << bit;
            prop_assert_eq!(layout.check(pieces, &metadata, &all), Err(Fault::Guard));
        }
        // The tags, each by itself.
        let other = Expected { application_tag: Some((application_tag ^ 0x100, 0x100)), ..all };
        prop_assert_eq!(layout.check(pieces, &metadata, &other), Err(Fault::ApplicationTag));
        let masked = Expected { application_tag: Some((application_tag ^ 0x100, 0xfeff)), ..all };
        prop_assert_eq!(layout.check(pieces, &metadata, &masked), Ok(()));
        if layout.reference_tag_bits() > 0 {
            let other = Expected { reference_tag: Some(lba ^ 1), ..all };
            let end = if layout.kind == Type::Three { Ok(()) } else { Err(Fault::ReferenceTag) };
            prop_assert_eq!(layout.check(pieces, &metadata, &other), end);
        }
    }

    #[test]
    fn any_metadata_is_read_without_harm(layout in any_layout(), metadata in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = (layout.read(&metadata), layout.guard_of([], &metadata), layout.check([], &metadata, &Expected::default()));
    }
}
