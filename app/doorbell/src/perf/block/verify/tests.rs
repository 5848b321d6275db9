use super::*;
use doorbell_block::{Cx, Op, Status};

fn request(cx: &mut Cx, op: Op, lba: u64) -> Box<Io> {
    let (mut io, buffer) = cx.request(4096).unwrap();
    (io.op, io.lba, io.blocks, io.status) = (op, lba, 8, Status::Ok);
    io.sg.push(buffer);
    io
}

#[test]
fn what_was_written_passes_and_anything_else_does_not() {
    let mut cx = Cx::for_test(4, 4096, 4);
    let mut verify = Verify::new(16, 4096, 99);
    let mut old = request(&mut cx, Op::Write, 24);
    verify.begin_write(3, &mut old, 512);
    assert_eq!(verify.end(3, &old, 512), None);
    let mut new = request(&mut cx, Op::Write, 24);
    verify.begin_write(3, &mut new, 512);
    assert_eq!(verify.end(3, &new, 512), None);

    let read = request(&mut cx, Op::Read, 24);
    verify.begin_read(3);
    read.sg.copy_from(0, &new.sg, 0, 4096);
    assert_eq!(verify.end(3, &read, 512), None);
    // The first half is of the write before: stale.
    read.sg.copy_from(0, &old.sg, 0, 2048);
    assert_eq!(verify.end(3, &read, 512), Some(Mismatch { lba: 24, byte: 0 }));
    // One bit of one byte.
    read.sg.copy_from(0, &new.sg, 0, 4096);
    let mut byte = [0];
    read.sg.read_at(700, &mut byte);
    read.sg.write_at(700, &[byte[0] ^ 4]);
    assert_eq!(verify.end(3, &read, 512), Some(Mismatch { lba: 25, byte: 184 }));
    // A block of another place.
    read.sg.copy_from(512, &new.sg, 1024, 512);
    assert_eq!(verify.end(3, &read, 512), Some(Mismatch { lba: 25, byte: 0 }));
}

#[test]
fn busy_slots_are_passed_over() {
    let mut verify = Verify::new(3, 4096, 1);
    assert_eq!(verify.free_from(1), Some(1));
    verify.begin_read(1);
    verify.begin_read(2);
    assert_eq!(verify.free_from(1), Some(0));
    verify.begin_read(0);
    assert_eq!(verify.free_from(1), None);
}

#[test]
fn a_write_that_failed_leaves_nothing_to_judge() {
    let mut cx = Cx::for_test(1, 4096, 1);
    let mut verify = Verify::new(3, 4096, 1);
    let mut io = request(&mut cx, Op::Write, 0);
    verify.begin_write(0, &mut io, 4096);
    assert!(verify.known(0));
    io.status = Status::WriteError;
    verify.end(0, &io, 4096);
    assert!(!verify.known(0));
}
