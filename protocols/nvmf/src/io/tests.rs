//! Checks and translation.

use super::*;
use doorbell_wire_nvme::{U32, U64, WriteZeroes};

fn facts() -> Facts {
    Facts { blocks: 100, shift: 12, read_only: false, volatile: false, ops: OpSet::of(&Op::COMMON), longest: 131_072 }
}

fn write(slba: u64, blocks: u32) -> Sqe {
    IoCommand::Write(ReadWrite { slba, blocks, fua: true, ..ReadWrite::default() }).encode()
}

#[test]
fn a_write_becomes_a_write() {
    let plan = plan(&write(68, 32), &facts()).unwrap();
    assert_eq!((plan.op, plan.lba, plan.blocks, plan.bytes, plan.way), (Op::Write, 68, 32, 131_072, Way::FromHost));
    assert!(plan.flags.has(Flags::FUA));
    assert_eq!(super::plan(&write(69, 32), &facts()), Err(Status::LBA_OUT_OF_RANGE));
    assert_eq!(super::plan(&write(0, 33), &facts()), Err(Status::INVALID_FIELD));
    assert_eq!(super::plan(&write(u64::MAX, 1), &facts()), Err(Status::LBA_OUT_OF_RANGE));
}

#[test]
fn what_a_namespace_cannot_do_is_refused() {
    let read_only = Facts { read_only: true, ..facts() };
    assert_eq!(plan(&write(0, 1), &read_only), Err(Status::WRITE_PROTECTED));
    assert!(plan(&IoCommand::Flush.encode(), &read_only).is_ok());
    let plain = Facts { ops: OpSet::of(&[Op::Read, Op::Write]), ..facts() };
    // A write-through device without flush has nothing to do; a cache that cannot be flushed is asked all the same, and will say so.
    assert_eq!(plan(&IoCommand::Flush.encode(), &plain), Ok(Plan::NOTHING));
    assert_eq!(plan(&IoCommand::Flush.encode(), &Facts { volatile: true, ..plain }).unwrap().op, Op::Flush);
    let zeroes = IoCommand::WriteZeroes(WriteZeroes { deallocate: true, ..WriteZeroes::default() }).encode();
    assert_eq!(plan(&zeroes, &plain), Err(Status::INVALID_OPCODE));
    assert!(plan(&zeroes, &facts()).unwrap().flags.has(Flags::MAY_UNMAP));
}

#[test]
fn ranges_are_held_against_the_namespace() {
    let range = |slba, blocks| DsmRange { attributes: U32::new(0), blocks: U32::new(blocks), slba: U64::new(slba) };
    assert_eq!(unmap_piece(&range(10, 5), &facts()), Ok(Some(Piece { lba: 10, source: 0, blocks: 5 })));
    assert_eq!(unmap_piece(&range(10, 0), &facts()), Ok(None));
    assert_eq!(unmap_piece(&range(96, 5), &facts()), Err(Status::LBA_OUT_OF_RANGE));
    assert_eq!(unmap_piece(&range(u64::MAX, 1), &facts()), Err(Status::LBA_OUT_OF_RANGE));
}
