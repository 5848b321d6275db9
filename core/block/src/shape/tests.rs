use super::*;

#[test]
fn a_read_only_device_refuses_every_operation_that_writes_and_says_why() {
    let info = DeviceInfo { ops: OpSet::of(&Op::ALL), read_only: true, ..DeviceInfo::plain(9, 100) };
    let shape = Shape::new(info);
    let mut io = Io::boxed(1);
    for op in Op::ALL {
        io.op = op;
        let want = if op.writes() { Status::ReadOnly } else { Status::Ok };
        assert_eq!(shape.check(&io), want, "{op:?}");
        assert_eq!(shape.info().ops.has(op), !op.writes());
    }
}

#[test]
fn both_ranges_of_a_copy_lie_inside() {
    let shape = Shape::new(DeviceInfo { ops: OpSet::of(&[Op::Copy]), ..DeviceInfo::plain(9, 100) });
    let mut io = Io::boxed(1);
    for (lba, source, want) in [(0, 90, Status::Ok), (90, 0, Status::Ok), (0, 91, Status::OutOfRange), (91, 0, Status::OutOfRange)] {
        (io.op, io.lba, io.source, io.blocks) = (Op::Copy, lba, source, 10);
        assert_eq!(shape.check(&io), want);
    }
}
