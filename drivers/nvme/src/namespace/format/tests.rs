//! Formats as namespaces give them, and what commands say of them.

use super::*;
use doorbell_wire_nvme::identify::LbaFormat;
use doorbell_wire_nvme::{U16, U32};

fn namespace(ms: u16, dps: u8, flbas: u8) -> Namespace {
    let mut raw = Namespace::default();
    (raw.dps, raw.flbas, raw.nlbaf) = (dps, flbas, 1);
    raw.lbaf[usize::from(flbas & 15)] = LbaFormat { ms: U16::new(ms), lbads: 9, ..LbaFormat::default() };
    raw
}

fn wide(guard: u32, storage: u32) -> Box<NvmNamespace> {
    let mut page = Box::new(NvmNamespace::default());
    page.elbaf[0] = U32::new(guard << 7 | storage);
    page
}

#[test]
fn what_a_namespace_says_is_what_the_block_layer_hears() {
    assert_eq!(Format::new(&namespace(0, 1, 0), None), Format::default());
    let plain = Format::new(&namespace(64, 0, 0x10), None);
    assert_eq!((plain.extended, plain.beside_bytes(), plain.layout, plain.is_all_made()), (true, 64, None, false));
    assert_eq!(plain.metadata(), Some(Metadata { bytes: 64, interleaved: true, protection: None }));
    let eight = Format::new(&namespace(8, 9, 0), None);
    let protection = Protected { kind: ProtectionType::One, guard: Guard::Crc16, first: true, storage_tag_bits: 0 };
    assert_eq!(eight.metadata(), Some(Metadata { bytes: 8, interleaved: false, protection: Some(protection) }));
    assert!(eight.is_all_made() && !Format::new(&namespace(16, 9, 0), None).is_all_made());
    assert!(Format::new(&namespace(16, 1, 0), Some(&wide(2, 0))).is_all_made());
    // Not enough metadata, an unknown guard, an unknown type.
    for (ms, dps, page) in [(4, 1, None), (8, 1, Some(wide(2, 0))), (16, 1, Some(wide(3, 0))), (16, 1, Some(wide(1, 0))), (8, 5, None)] {
        let format = Format::new(&namespace(ms, dps, 0), page.as_deref());
        assert!(format.protection != 0 && format.layout.is_none(), "{ms} {dps}");
    }
    assert_eq!((eight.longest(1 << 16), Format::default().longest(1 << 16), plain.longest(1 << 16)), (8192, 1 << 16, 1024));
    let (narrow, wide) = (eight, Format::new(&namespace(16, 1, 0), Some(&wide(1, 16))));
    assert!(narrow.may_copy(1) && !narrow.may_copy(2) && wide.may_copy(2) && !wide.may_copy(1));
}

#[test]
fn checks_are_those_asked_for_of_own_metadata_and_all_of_the_rest() {
    let mut io = Io::boxed(1);
    (io.lba, io.application_tag, io.application_mask) = (0x1_2345_6789, 0xaa, 0xff);
    let one = Format::new(&namespace(8, 1, 0), None);
    let left = one.protection(&io, Maker::Controller);
    let all = Protection { act: true, check_guard: true, check_reference: true, reference_tag: 0x2345_6789, ..Protection::default() };
    assert_eq!(left, all);
    let own = one.protection(&io, Maker::Sender);
    let tags = Protection { application_tag: 0xaa, application_mask: 0xff, ..all };
    assert_eq!(own, Protection { act: false, check_guard: false, check_reference: false, ..tags });
    io.flags = Flags::CHECK_REFERENCE.with(Flags::CHECK_APPLICATION);
    assert_eq!(one.protection(&io, Maker::Sender), Protection { act: false, check_guard: false, check_application: true, ..tags });
    io.op = Op::Verify;
    assert_eq!(one.protection(&io, Maker::Controller), Protection { act: false, check_guard: false, check_application: true, ..tags });
    io.flags = Flags::NONE;
    assert_eq!(one.protection(&io, Maker::Controller), Protection { act: false, ..all });
    let three = Format::new(&namespace(8, 3, 0), None);
    assert_eq!(three.protection(&io, Maker::Controller), Protection { act: false, check_reference: false, reference_tag: 0, ..all });
    let wide = Format::new(&namespace(16, 1, 0), Some(&wide(2, 0)));
    assert_eq!(wide.protection(&io, Maker::Controller), Protection { act: false, tag_upper: 1 << 32, ..all });
    assert_eq!(Format::default().protection(&io, Maker::Controller), Protection::default());
}
