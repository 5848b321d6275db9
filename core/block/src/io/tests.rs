use super::*;

#[test]
fn ids_are_for_life_and_frames_come_back_in_order() {
    let (mut a, b) = (Io::boxed(1), Io::boxed(1));
    assert_ne!(a.id(), b.id());
    let id = a.id();
    a.push(1);
    a.push(2);
    assert_eq!((a.top(), a.pop(), a.pop(), a.depth()), (2, 2, 1, 0));
    a.push(9);
    a.flags = Flags::FUA;
    a.clean();
    assert_eq!((a.depth(), a.flags, a.id()), (0, Flags::NONE, id));
}

#[test]
fn sets_of_operations() {
    let s = OpSet::of(&[Op::Read, Op::SeekHole]).with(Op::Flush).without(Op::Read);
    assert!(s.has(Op::Flush) && s.has(Op::SeekHole) && !s.has(Op::Read) && !s.has(Op::Write));
    assert!(Flags::FUA.with(Flags::MAY_UNMAP).has(Flags::FUA) && !Flags::FUA.has(Flags::MAY_UNMAP));
    assert_eq!(Flags::FUA.with(Flags::MAY_UNMAP).without(Flags::FUA), Flags::MAY_UNMAP);
}

#[test]
fn payloads() {
    assert_eq!(Op::Read.payload(3, 9), 1536);
    assert_eq!(Op::CompareAndWrite.payload(1, 12), 8192);
    assert_eq!(Op::Unmap.payload(u32::MAX, 12), 0);
    assert_eq!(Op::Write.payload(u32::MAX, 12), (u32::MAX as u64) << 12);
}

#[test]
fn the_end_of_a_range_that_wraps_is_none() {
    let mut io = Io::boxed(0);
    (io.lba, io.blocks) = (u64::MAX, 1);
    assert_eq!(io.end(), None);
    (io.lba, io.blocks) = (5, 3);
    assert_eq!(io.end(), Some(8));
}
