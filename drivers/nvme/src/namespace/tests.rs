//! Commands of requests.

use super::{Facts, Format};
use crate::pair::Translate;
use doorbell_block::{Cx, Flags, Op};
use doorbell_wire_nvme::{IoCommand, ReadWrite};

#[test]
fn the_short_way_to_a_command_gives_what_the_long_one_gives() {
    let mut cx = Cx::for_test(64, 4096, 4);
    for (op, lba, blocks, flags, is_short) in [
        (Op::Read, 0, 1, Flags::default(), true),
        (Op::Read, 0x1_2345_6789, 65_536, Flags::default(), true),
        (Op::Write, u64::MAX - 8, 8, Flags::default(), true),
        (Op::Write, 5, 300, Flags::FUA, false),
        (Op::Compare, 5, 300, Flags::default(), false),
    ] {
        let facts = Facts::of(7, Format::default());
        let mut io = cx.take_io().unwrap();
        (io.op, io.lba, io.blocks, io.flags) = (op, lba, blocks, flags);
        let (short, long) = (facts.plain(&io), facts.command(&io).unwrap());
        assert_eq!(short, is_short.then_some(long), "{op:?}");
        let wanted = ReadWrite { slba: lba, blocks, fua: flags.has(Flags::FUA), ..ReadWrite::default() };
        if op == Op::Read {
            assert_eq!(IoCommand::parse(&long.into()), IoCommand::Read(wanted));
        }
        facts.leave();
        assert_eq!((facts.plain(&io), facts.command(&io)), (None, None));
        cx.put_io(io);
    }
}

#[test]
fn a_namespace_with_protection_has_no_short_way() {
    let facts = Facts::of(1, Format { metadata_bytes: 8, protection: 1, ..Format::default() });
    let mut cx = Cx::for_test(64, 4096, 1);
    let mut io = cx.take_io().unwrap();
    (io.op, io.blocks) = (Op::Read, 1);
    // Whose its metadata is: nobody's.
    io.push(0);
    assert!(facts.plain(&io).is_none() && facts.command(&io).is_some());
    io.pop();
    cx.put_io(io);
}
