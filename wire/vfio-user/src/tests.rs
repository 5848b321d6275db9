//! Layouts against the numbers of the specification, round trips, and sizes that lie.

use crate::*;
use proptest::prelude::*;
use std::vec::Vec;

fn le(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn structures_lie_as_the_specification_says() {
    // Byte by byte, for a little-endian machine: what the other implementations send.
    let h = Header { id: 0x1122, command: Command::DMA_MAP, size: 48, flags: HeaderFlags::NO_REPLY, error: 0 };
    assert_eq!(h.encode().to_vec(), le(&[&[0x22, 0x11, 2, 0], &[48, 0, 0, 0], &[0x10, 0, 0, 0], &[0; 4]]));
    let m = DmaMap { argsz: 32, flags: DmaMapFlags(3), offset: 0x1000, address: 0x1_0000_0000, size: 0x20_0000 };
    let at = |n: u64| n.to_le_bytes();
    assert_eq!(m.encode().to_vec(), le(&[&[32, 0, 0, 0], &[3, 0, 0, 0], &at(0x1000), &at(0x1_0000_0000), &at(0x20_0000)]));
    let u = DmaUnmap { argsz: 24, flags: DmaUnmapFlags(0), address: 5, size: 6 };
    assert_eq!(u.encode().to_vec(), le(&[&[24, 0, 0, 0, 0, 0, 0, 0], &at(5), &at(6)]));
    let r = RegionInfo { argsz: 64, flags: RegionInfoFlags(15), index: 0, cap_offset: 32, size: 0x4000, offset: 7 };
    assert_eq!(r.encode().to_vec(), le(&[&[64, 0, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0], &at(0x4000), &at(7)]));
    let a = RegionAccess { offset: 0x1c, region: 7, count: 4 };
    assert_eq!(a.encode().to_vec(), le(&[&at(0x1c), &[7, 0, 0, 0, 4, 0, 0, 0]]));
    let s = SetIrqs { action: IrqAction::Trigger, data: IrqData::Events, index: 2, start: 1, count: 3 };
    assert_eq!(s.encode_fixed().to_vec(), le(&[&[20, 0, 0, 0, 0x24, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0]]));
    assert_eq!(Version { major: 0, minor: 1, text: None }.encode_fixed(), [0, 0, 1, 0]);
    let mut cap = [0; 32];
    assert_eq!(SparseMmap::encode(&[Area { offset: 0x1000, size: 0x1000 }], &mut cap), Some(32));
    assert_eq!(cap.to_vec(), le(&[&[1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], &at(0x1000), &at(0x1000)]));
}

#[test]
fn a_header_knows_its_kind_and_its_body() {
    let h = Header::request(9, Command::DEVICE_RESET, 0).unwrap();
    assert!(h.is_command() && h.wants_reply() && !h.answers(9) && h.failure().is_none());
    assert_eq!(h.body_len(0), Ok(0));
    let r = h.reply(0).unwrap();
    assert!(r.is_reply() && r.answers(9) && !r.answers(8) && r.failure().is_none());
    let e = h.error_reply(errno::EBUSY);
    assert_eq!((e.size, e.failure()), (16, Some(errno::EBUSY)));
    assert_eq!(h.error_reply(0).failure(), Some(errno::EIO), "an error that is none is one all the same");
    for size in [0, 1, 15] {
        assert_eq!(Header { size, ..h }.body_len(4096), Err(Malformed::Size));
    }
    assert_eq!(Header { size: 4113, ..h }.body_len(4096), Err(Malformed::Size));
    assert_eq!(Header { size: u32::MAX, ..h }.body_len(1 << 20), Err(Malformed::Size));
    assert_eq!(Header::request(0, Command::VERSION, usize::MAX), None);
    assert_eq!(Header { flags: HeaderFlags(2), ..h }.is_command(), Header { flags: HeaderFlags(2), ..h }.is_reply(), "neither");
}

#[test]
fn a_version_may_be_without_text_but_not_without_its_end() {
    assert_eq!(Version::decode(&[0, 0, 1, 0]), Ok(Version { major: 0, minor: 1, text: None }));
    assert_eq!(Version::decode(&[0, 0, 1, 0, 0]).unwrap().text, None);
    assert_eq!(Version::decode(b"\0\0\x01\0{}\0").unwrap().text, Some(&b"{}"[..]));
    assert_eq!(Version::decode(b"\0\0\x01\0{}\0\0\0").unwrap().text, Some(&b"{}"[..]));
    assert_eq!(Version::decode(b"\0\0\x01\0{}"), Err(Malformed::Text));
    assert_eq!(Version::decode(b"\0\0\x01"), Err(Malformed::Short));
    let v = Version::ours(b"{\"capabilities\":{}}");
    assert_eq!(v.len(), 4 + 19 + 1);
}

#[test]
fn ranges_that_wrap_or_are_empty_are_refused() {
    let map = |address, size, offset| DmaMap::decode(&DmaMap { argsz: 32, flags: DmaMapFlags(3), offset, address, size }.encode());
    assert!(map(0, 1, 0).is_ok());
    assert!(map(u64::MAX, 1, 0).is_ok(), "the last byte of all");
    assert_eq!(map(0, 0, 0), Err(Malformed::Range));
    assert_eq!(map(u64::MAX, 2, 0), Err(Malformed::Range));
    assert_eq!(map(0, 4096, u64::MAX - 100), Err(Malformed::Range));
    let unmap = |flags, address, size| DmaUnmap::decode(&DmaUnmap { argsz: 24, flags: DmaUnmapFlags(flags), address, size }.encode());
    assert!(unmap(0, 4096, 4096).is_ok() && unmap(2, 0, 0).is_ok());
    assert_eq!(unmap(2, 4096, 4096), Err(Malformed::Flags));
    assert_eq!(unmap(3, 0, 0), Err(Malformed::Flags));
    assert_eq!(unmap(0, 0, 0), Err(Malformed::Range));
    assert_eq!(unmap(1, 4096, 4096), Err(Malformed::Short), "the bitmap's header is not there");
    let access = |offset, count| RegionAccess::decode(&RegionAccess { offset, region: 0, count }.encode());
    assert!(access(u64::MAX - 4, 4).is_ok());
    assert_eq!(access(u64::MAX - 3, 4), Err(Malformed::Range));
    assert!(RegionAccess { offset: 12, region: 0, count: 4 }.is_within(16));
    assert!(!RegionAccess { offset: 13, region: 0, count: 4 }.is_within(16));
}

#[test]
fn argsz_that_holds_too_little_is_refused() {
    assert_eq!(DeviceInfo::decode(&DeviceInfo { argsz: 15, ..DeviceInfo::default() }.encode()), Err(Malformed::Argsz));
    assert_eq!(RegionInfo::decode(&RegionInfo { argsz: 31, ..RegionInfo::default() }.encode()), Err(Malformed::Argsz));
    assert_eq!(IrqInfo::decode(&IrqInfo { argsz: 0, ..IrqInfo::default() }.encode()), Err(Malformed::Argsz));
    assert_eq!(DmaMap::decode(&DmaMap { argsz: 31, size: 1, ..DmaMap::default() }.encode()), Err(Malformed::Argsz));
    // A client of which the request is as long as its room for the answer.
    let mut long = std::vec![0; 4064];
    long[..32].copy_from_slice(&RegionInfo { argsz: 4064, index: 7, ..RegionInfo::default() }.encode());
    assert!(matches!(Request::decode(Command::DEVICE_GET_REGION_INFO, &long), Ok(Request::RegionInfo(r)) if r.index == 7));
}

fn set(flags: u32, start: u32, count: u32, data: &[u8]) -> Vec<u8> {
    let words = [20 + data.len() as u32, flags, irq::MSIX, start, count];
    words.iter().flat_map(|w| w.to_ne_bytes()).chain(data.iter().copied()).collect()
}

#[test]
fn interrupts_have_exactly_one_action_and_one_kind_of_data() {
    for flags in 0..128u32 {
        let one = |bits: u32| (flags & bits).count_ones() == 1;
        let right = one(7) && one(56) && flags < 64;
        assert_eq!(SetIrqs::decode(&set(flags, 0, 1, &[1])).is_ok(), right, "{flags:#x}");
    }
    let bytes = set(0x24, 0, 3, &[]);
    let s = SetIrqs::decode(&bytes).unwrap();
    assert_eq!((s.check(3, 3), s.check(3, 0)), (Ok(()), Ok(())));
    assert_eq!(s.check(3, 2), Err(Malformed::Descriptors));
    assert_eq!(s.check(2, 3), Err(Malformed::Range));
    assert_eq!(SetIrqs::decode(&set(0x24, u32::MAX, 2, &[])), Err(Malformed::Range));
    assert_eq!(SetIrqs::decode(&set(0x22, 0, 3, &[1, 0])), Err(Malformed::Short), "two bytes for three vectors");
    let bytes = set(0x21, 0, 0, &[]);
    let s = SetIrqs::decode(&bytes).unwrap();
    assert!(s.disables() && s.check(0, 0).is_ok());
    assert_eq!(s.check(4, 1), Err(Malformed::Descriptors), "a descriptor for no vector");
    let bytes = set(0x22, 0, 2, &[1, 0]);
    assert_eq!(SetIrqs::decode(&bytes).unwrap().check(4, 2), Err(Malformed::Descriptors), "descriptors beside bytes");
}

#[test]
fn a_chain_of_capabilities_is_followed_and_ends() {
    let mut body = [0u8; 96];
    let info = RegionInfo { argsz: 96, flags: RegionInfoFlags(15), index: 0, cap_offset: 32, size: 0x4000, offset: 0 };
    body[..32].copy_from_slice(&info.encode());
    // One of another kind, then the sparse one at 48.
    body[32..40].copy_from_slice(&[9, 0, 1, 0, 48, 0, 0, 0]);
    let areas = [Area { offset: 0x1000, size: 0x1000 }, Area { offset: 0x3000, size: 0x1000 }];
    assert_eq!(SparseMmap::encode(&areas, &mut body[48..]), Some(48));
    let (seen, caps) = RegionInfo::decode_reply(&body).unwrap();
    assert_eq!(seen, info);
    let caps: Vec<_> = caps.collect();
    assert_eq!(caps[0], Ok(Capability::Other(9)));
    let Ok(Capability::SparseMmap(sparse)) = caps[1] else { panic!("{caps:?}") };
    assert_eq!((sparse.iter().collect::<Vec<_>>(), caps.len()), (areas.to_vec(), 2));
    // One that points at itself, backwards, outside.
    for next in [32u32, 8, 40_000, 39] {
        body[36..40].copy_from_slice(&next.to_ne_bytes());
        let all: Vec<_> = RegionInfo::decode_reply(&body).unwrap().1.collect();
        assert_eq!((all.len(), all[1].is_err()), (2, true), "{next}");
    }
    // More areas than there are bytes.
    body[36..40].copy_from_slice(&48u32.to_ne_bytes());
    body[56..60].copy_from_slice(&u32::MAX.to_ne_bytes());
    assert_eq!(RegionInfo::decode_reply(&body).unwrap().1.last(), Some(Err(Malformed::Short)));
    // Only the structure came: the client had room for no more.
    assert_eq!(RegionInfo::decode_reply(&body[..32]).unwrap().1.count(), 0);
}

#[test]
fn several_writes_are_all_there_or_none_is() {
    let one = MultiWrite { offset: 0x1000, region: 0, count: 4, data: 0x1122_3344 };
    let message = |count: u64, entries: &[MultiWrite]| {
        let entries = entries.iter().flat_map(|e| e.encode());
        count.to_ne_bytes().into_iter().chain(entries).collect::<Vec<u8>>()
    };
    let bytes = message(2, &[one, MultiWrite { count: 8, ..one }]);
    let all = WriteMulti::decode(&bytes).unwrap();
    assert_eq!((all.len(), all.iter().next()), (2, Some(one)));
    assert_eq!(WriteMulti::decode(&message(3, &[one, one])), Err(Malformed::Short));
    assert_eq!(WriteMulti::decode(&message(u64::MAX, &[one])), Err(Malformed::Short));
    assert_eq!(WriteMulti::decode(&message(1, &[MultiWrite { count: 9, ..one }])), Err(Malformed::Range));
    assert_eq!(WriteMulti::decode(&message(1, &[MultiWrite { count: 0, ..one }])), Err(Malformed::Range));
    assert_eq!(one.bytes().1, 4);
}

#[test]
fn data_that_did_not_come_is_missed() {
    let access = RegionAccess { offset: 0, region: 0, count: 8 }.encode();
    let body = [&access[..], &[1; 7]].concat();
    assert_eq!(Request::decode(Command::REGION_WRITE, &body), Err(Malformed::Short));
    let body = DmaAccess { address: 0, count: u64::MAX }.encode();
    assert_eq!(Request::decode(Command::DMA_WRITE, &body), Err(Malformed::Short));
    let body = MigrationData { argsz: 8, size: 1 }.encode();
    assert_eq!(Request::decode(Command::MIG_DATA_WRITE, &body), Err(Malformed::Short));
    assert_eq!(Request::decode(Command(14), &[0; 64]), Err(Malformed::Command), "the old dirty-pages command");
    assert_eq!(Command(14).name(), None);
}

proptest! {
    #[test]
    fn no_bytes_make_anything_panic(command in 0u16..24, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Request::decode(Command(command), &body);
        let _ = Header::decode(&body);
        if let Ok((_, caps)) = RegionInfo::decode_reply(&body) {
            prop_assert!(caps.count() <= body.len());
        }
    }

    #[test]
    fn what_was_encoded_decodes_to_the_same(a: u64, b: u64, c in 1u64..1 << 40, n: u32, d: u16) {
        let h = Header { id: d, command: Command(d), size: n, flags: HeaderFlags(n), error: n };
        prop_assert_eq!(Header::decode(&h.encode()).map(|(h, _)| h), Ok(h));
        let m = DmaMap { argsz: 32, flags: DmaMapFlags(n), offset: a >> 1, address: b >> 1, size: c };
        prop_assert_eq!(DmaMap::decode(&m.encode()), Ok(m));
        let u = DmaUnmap { argsz: 24, flags: DmaUnmapFlags(0), address: b >> 1, size: c };
        prop_assert_eq!(DmaUnmap::decode(&u.encode()), Ok((u, None)));
        let r = RegionInfo { argsz: 32, flags: RegionInfoFlags(n), index: n, cap_offset: n, size: a, offset: b };
        prop_assert_eq!(RegionInfo::decode(&r.encode()), Ok(r));
        let i = IrqInfo { argsz: 16, flags: IrqInfoFlags(n), index: n, count: n };
        prop_assert_eq!(IrqInfo::decode(&i.encode()), Ok(i));
        let x = RegionAccess { offset: a >> 1, region: n, count: n };
        prop_assert_eq!(RegionAccess::decode(&x.encode()), Ok(x));
        let data = [1u8; 5];
        let s = SetIrqs { action: IrqAction::Trigger, data: IrqData::Bools(&data), index: n, start: n >> 1, count: 5 };
        let body = [&s.encode_fixed()[..], &data].concat();
        prop_assert_eq!(SetIrqs::decode(&body), Ok(s));
    }
}
