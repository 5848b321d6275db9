//! Commands of requests.

use super::{Facts, Format, plain};
use crate::pair::Translate;
use doorbell_block::{Cx, Flags, Op};
use doorbell_wire_nvme::{IoCommand, ReadWrite};
use std::sync::atomic::AtomicBool;

#[test]
fn the_short_way_to_a_command_gives_what_the_long_one_gives() {
    let format = Format::default();
    let short = Facts {
        nsid: 7,
        format,
        zeroes_deallocate: false,
        zones: None,
        max_bytes: 4096,
        plain: plain(7, format),
        gone: AtomicBool::new(false),
    };
    let long = Facts { nsid: 7, format, zeroes_deallocate: false, zones: None, max_bytes: 4096, plain: None, gone: AtomicBool::new(false) };
    assert!(short.plain.is_some());
    let mut cx = Cx::for_test(64, 4096, 4);
    for (op, lba, blocks, flags) in [
        (Op::Read, 0, 1, Flags::default()),
        (Op::Read, 0x1_2345_6789, 65_536, Flags::default()),
        (Op::Write, u64::MAX - 8, 8, Flags::default()),
        (Op::Write, 5, 300, Flags::FUA),
        (Op::Compare, 5, 300, Flags::default()),
    ] {
        let mut io = cx.take_io().unwrap();
        (io.op, io.lba, io.blocks, io.flags) = (op, lba, blocks, flags);
        let (a, b) = (short.command(&io).unwrap(), long.command(&io).unwrap());
        assert_eq!(doorbell_wire_nvme::bytes(&a), doorbell_wire_nvme::bytes(&b), "{op:?}");
        let wanted = ReadWrite { slba: lba, blocks, fua: flags.has(Flags::FUA), ..ReadWrite::default() };
        if op == Op::Read {
            assert_eq!(IoCommand::parse(&a), IoCommand::Read(wanted));
        }
        cx.put_io(io);
    }
}

#[test]
fn a_namespace_with_protection_has_no_short_way() {
    assert!(plain(1, Format { metadata_bytes: 8, protection: 1, ..Format::default() }).is_none());
}
