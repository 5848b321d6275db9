use super::*;
use crate::{Cqe, Fuse, IoCommand, ReadWrite, Sgl, U64};

#[test]
fn words_and_fields_say_the_same() {
    let read = |slba, blocks| IoCommand::Read(ReadWrite { slba, blocks, ..ReadWrite::default() }).encode().with_nsid(7);
    let sgl = Sgl::Address { addr: 0x1122_3344_5566, len: 4096 };
    let mut wanted = read(0x0102_0304_0506_0708, 65_536).with_cid(Cid(0xbeef)).with_sgl(sgl).with_fuse(Fuse::SECOND);
    wanted.mptr = U64::new(0x99);
    let pointer = {
        let raw = bytes(&wanted.dptr).as_chunks::<8>().0;
        [u64::from_le_bytes(raw[0]), u64::from_le_bytes(raw[1])]
    };
    let template = SqeWords::from(&read(3, 4).with_cid(Cid(0xffff)));
    let made = template.with_range(0x0102_0304_0506_0708, 65_536).with_cid(Cid(0xbeef)).with_pointer(Psdt::SGL_BUFFER, pointer);
    let made = made.with_metadata(0x99).with_fuse(Fuse::FIRST).with_fuse(Fuse::SECOND);
    assert_eq!((Sqe::from(made), made.opcode()), (wanted, wanted.opcode));
    assert_eq!(SqeWords::from(&wanted), made);
    assert_eq!(Sqe::from(made.with_pointer(Psdt::PRP, pointer)).flags.psdt(), Psdt::PRP);
    let ring: std::vec::Vec<u8> = made.to_ring().into_iter().flat_map(u64::to_ne_bytes).collect();
    assert_eq!(ring, bytes(&wanted));
}

#[test]
fn words_of_a_completion_say_what_its_fields_do() {
    for (status, phase) in [(Status::SUCCESS, true), (Status::SUCCESS, false), (Status::INVALID_FIELD.dnr().more().with_crd(3), true)] {
        let wanted = Cqe::new(Cid(0xbeef), status).with_result(0x0102_0304_0506_0708).with_sqhd(0x1234).with_sqid(0xfffe).with_phase(phase);
        let made = CqeWords::new(Cid(0xbeef), status, 0x0102_0304_0506_0708, (0xfffe, 0x1234)).to_ring(phase);
        let ring: std::vec::Vec<u8> = made.into_iter().flat_map(u64::to_ne_bytes).collect();
        assert_eq!(ring, bytes(&wanted));
        let read = CqeWords::from_ring(made);
        assert_eq!((Cqe::from(read), read.cid(), read.status()), (wanted, wanted.cid(), status));
        assert_eq!(read.to_ring(!phase)[1] ^ made[1], (1u64 << 48).to_le());
    }
}
