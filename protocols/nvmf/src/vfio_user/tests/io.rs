//! Data, by PRPs and SGLs, and what is refused.

use super::gate::Gate;
use super::*;
use doorbell_wire_nvme::range::DsmRange;

#[test]
fn blocks_are_written_and_read_by_every_form_of_prps() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    // Bytes, offset in the first page: one entry, two, a list; beginning inside of a page and at its end.
    for (n, (len, offset)) in
        [(512, 0), (4096, 0), (4096, 512), (8192, 0), (8192, 4), (65536, 0), (65536, 2048), (131_072, 0), (131_072, 4092)]
            .into_iter()
            .enumerate()
    {
        let data = pattern(len, n);
        let blocks = (len / 512) as u32;
        // The pages lie scattered: every other one.
        let pages = (len + offset).div_ceil(4096);
        let at = |page: usize| DATA + 8192 * page as u64;
        let scatter = |guest: &Guest, data: &[u8]| {
            let mut done = 0;
            for page in 0..pages {
                let from = if page == 0 { offset } else { 0 };
                let part = (4096 - from).min(len - done);
                guest.put(at(page) + from as u64, &data[done..done + part]);
                done += part;
            }
        };
        let list = 0x30_0000 + 16;
        let entries: Vec<u8> = (1..pages).flat_map(|p| (BASE + at(p)).to_le_bytes()).collect();
        guest.put(list, &entries);
        let two = if pages <= 2 { BASE + at(1) } else { BASE + list };
        let one = BASE + at(0) + offset as u64;
        scatter(&guest, &data);
        assert_eq!(guest.command(&mut rig, 1, &write(64, blocks, one, two)).status(), Status::SUCCESS, "{len} {offset}");
        scatter(&guest, &vec![0; len]);
        assert_eq!(guest.command(&mut rig, 1, &read(64, blocks, one, two)).status(), Status::SUCCESS, "{len} {offset}");
        let mut back = Vec::new();
        for page in 0..pages {
            let from = if page == 0 { offset } else { 0 };
            back.extend(guest.get(at(page) + from as u64, (4096 - from).min(len - back.len())));
        }
        assert!(back == data, "{len} {offset}");
    }
    assert_eq!(rig.cx.boxes_out(), 0);
}

#[test]
fn a_prp_list_goes_on_in_another_page() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    let data = pattern(131_072, 5);
    guest.put(DATA, &data);
    // The list begins 3 entries before the end of its page: two pages, then where it goes on.
    let (list, more) = (0x30_0000 + 4096 - 24, 0x31_0000u64);
    let page = |n: u64| (BASE + DATA + n * 4096).to_le_bytes();
    guest.put(list, &[page(1), page(2), (BASE + more).to_le_bytes()].concat());
    guest.put(more, &(3..32).flat_map(page).collect::<Vec<_>>());
    assert_eq!(guest.command(&mut rig, 1, &write(0, 256, BASE + DATA, BASE + list)).status(), Status::SUCCESS);
    let to = 0x20_0000;
    assert_eq!(guest.command(&mut rig, 1, &read(0, 8, BASE + to, 0)).status(), Status::SUCCESS);
    assert!(guest.get(to, 4096) == data[..4096]);
    assert_eq!(guest.command(&mut rig, 1, &read(248, 8, BASE + to, 0)).status(), Status::SUCCESS);
    assert!(guest.get(to, 4096) == data[126_976..]);
}

#[test]
fn blocks_are_written_and_read_by_sgls() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    let data = pattern(8192, 9);
    guest.put(DATA, &data[..3000]);
    guest.put(DATA + 0x8001, &data[3000..]);
    let block = |at: u64, len: u32| bytes(&Sgl::Address { addr: BASE + at, len }.encode()).to_vec();
    let (one, two) = (0x30_0000u64, 0x30_1000u64);
    let chain = Sgl::LastSegment { addr: BASE + two, len: 32, in_capsule: false };
    guest.put(one, &[block(DATA, 3000), bytes(&chain.encode()).to_vec()].concat());
    guest.put(two, &[block(DATA + 0x8001, 5000), block(DATA + 0x8001 + 5000, 192)].concat());
    let first = Sgl::Segment { addr: BASE + one, len: 32, in_capsule: false };
    let sqe = IoCommand::Write(rw(0, 16)).encode().with_nsid(1).with_sgl(first);
    assert_eq!(guest.command(&mut rig, 1, &sqe).status(), Status::SUCCESS);
    let sqe = IoCommand::Read(rw(0, 16)).encode().with_nsid(1).with_sgl(Sgl::Address { addr: BASE + 0x20_0000, len: 8192 });
    assert_eq!(guest.command(&mut rig, 1, &sqe).status(), Status::SUCCESS);
    assert!(guest.get(0x20_0000, 8192) == data);
    for (sgl, wanted) in [
        (Sgl::Address { addr: BASE + DATA, len: 4096 }, Status::DATA_SGL_LENGTH_INVALID),
        (Sgl::Address { addr: BASE + DATA, len: 16384 }, Status::DATA_SGL_LENGTH_INVALID),
        (Sgl::Address { addr: BASE - 512, len: 8192 }, Status::DATA_TRANSFER_ERROR),
        (Sgl::Segment { addr: BASE + one, len: 31, in_capsule: false }, Status::INVALID_SGL_SEGMENT),
        (Sgl::Segment { addr: BASE + one, len: 0, in_capsule: false }, Status::INVALID_SGL_SEGMENT),
        (Sgl::LastSegment { addr: BASE + one, len: 32, in_capsule: false }, Status::INVALID_SGL_SEGMENT),
        (Sgl::Segment { addr: BASE + two, len: 32, in_capsule: false }, Status::INVALID_SGL_SEGMENT),
        (Sgl::Transport { len: 8192 }, Status::SGL_TYPE_INVALID),
        (Sgl::Segment { addr: BASE + one, len: !15, in_capsule: false }, Status::INVALID_SGL_COUNT),
    ] {
        let sqe = IoCommand::Read(rw(0, 16)).encode().with_nsid(1).with_sgl(sgl);
        assert_eq!(guest.command(&mut rig, 1, &sqe).status().code(), wanted, "{sgl:?}");
    }
    // A segment that leads to itself.
    let circle = Sgl::Segment { addr: BASE + one, len: 16, in_capsule: false };
    guest.put(one, bytes(&circle.encode()));
    let sqe = IoCommand::Read(rw(0, 16)).encode().with_nsid(1).with_sgl(circle);
    assert_eq!(guest.command(&mut rig, 1, &sqe).status().code(), Status::INVALID_SGL_COUNT);
    assert_eq!(rig.cx.boxes_out(), 0);
}

#[test]
fn data_may_straddle_two_ranges_and_no_further() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    let more = sealed_memory("more", 8192).unwrap();
    guest.peer.map(&mut rig, Some(more.as_fd()), 0, BASE + LEN, 8192, 3).unwrap();
    let data = pattern(8192, 1);
    guest.put(0, &[]);
    guest.put(LEN - 4096, &data[..4096]);
    assert_eq!(guest.command(&mut rig, 1, &write(0, 16, BASE + LEN - 4096, BASE + LEN)).status(), Status::SUCCESS);
    let past = BASE + LEN + 8192;
    assert_eq!(guest.command(&mut rig, 1, &write(0, 16, BASE + LEN + 4096, past)).status().code(), Status::DATA_TRANSFER_ERROR);
    // What may only be read is not written; by a device's read, that is.
    let mapped = guest.peer.map(&mut rig, Some(more.as_fd()), 0, past + 4096, 4096, 1);
    mapped.unwrap();
    assert_eq!(guest.command(&mut rig, 1, &write(0, 8, past + 4096, 0)).status(), Status::SUCCESS);
    assert_eq!(guest.command(&mut rig, 1, &read(0, 8, past + 4096, 0)).status().code(), Status::DATA_TRANSFER_ERROR);
}

#[test]
fn a_range_that_was_used_last_and_went_away_is_not_used_again() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    let more = sealed_memory("more", 8192).unwrap();
    let (below, above) = (BASE - 8192, BASE + LEN);
    for address in [below, above] {
        guest.peer.map(&mut rig, Some(more.as_fd()), 0, address, 8192, 3).unwrap();
    }
    let ends = |guest: &mut Guest, rig: &mut Rig, at| guest.command(rig, 1, &read(0, 8, at, 0)).status().code();
    // The place of each other range changes when the lowest goes, and there is none at all where the highest was.
    for gone in [below, above] {
        assert_eq!(ends(&mut guest, &mut rig, gone), Status::SUCCESS);
        guest.peer.unmap(&mut rig, gone, 8192).unwrap();
        for (at, wanted) in [
            (gone, Status::DATA_TRANSFER_ERROR),
            (BASE + DATA, Status::SUCCESS),
            (gone, Status::DATA_TRANSFER_ERROR),
            (BASE + LEN - 4096, Status::SUCCESS),
            (gone + 4096, Status::DATA_TRANSFER_ERROR),
        ] {
            assert_eq!(ends(&mut guest, &mut rig, at), wanted, "{at:x}");
        }
    }
}

#[test]
fn the_other_commands_do_what_they_do_over_tcp() {
    let mut rig = Rig::new(VfioUserOptions::default(), MemoryDevice::new(9, 4096).volatile(), 64);
    let mut guest = ready(&mut rig);
    let data = pattern(4096, 3);
    guest.put(DATA, &data);
    assert!(guest.command(&mut rig, 1, &write(8, 8, BASE + DATA, 0)).status().is_ok());
    let compare = prp(IoCommand::Compare(rw(8, 8)).encode().with_nsid(1), BASE + DATA, 0);
    assert_eq!(guest.command(&mut rig, 1, &compare).status(), Status::SUCCESS);
    guest.put(DATA + 100, &[0xee]);
    assert_eq!(guest.command(&mut rig, 1, &compare).status().code(), Status::COMPARE_FAILURE);
    for sqe in [IoCommand::Flush.encode().with_nsid(1), IoCommand::Flush.encode().with_nsid(NSID_ALL)] {
        assert_eq!(guest.command(&mut rig, 1, &prp(sqe, 0, 0)).status(), Status::SUCCESS);
    }
    let zeroes = WriteZeroes { slba: 8, blocks: 4, ..WriteZeroes::default() };
    assert_eq!(guest.command(&mut rig, 1, &prp(IoCommand::WriteZeroes(zeroes).encode().with_nsid(1), 0, 0)).status(), Status::SUCCESS);
    assert_eq!(guest.command(&mut rig, 1, &read(8, 8, BASE + DATA, 0)).status(), Status::SUCCESS);
    assert!(guest.get(DATA, 2048).iter().all(|b| *b == 0) && guest.get(DATA + 2048, 2048) == data[2048..]);
    let verify = prp(IoCommand::Verify(rw(0, 16)).encode().with_nsid(1), 0, 0);
    assert_eq!(guest.command(&mut rig, 1, &verify).status(), Status::SUCCESS);
    let range = DsmRange { attributes: U32::new(0), blocks: U32::new(2), slba: U64::new(12) };
    guest.put(DATA, &[bytes(&range), bytes(&range)].concat());
    let dsm = DatasetManagement { ranges: 2, deallocate: true, ..DatasetManagement::default() };
    assert_eq!(
        guest.command(&mut rig, 1, &prp(IoCommand::DatasetManagement(dsm).encode().with_nsid(1), BASE + DATA, 0)).status(),
        Status::SUCCESS
    );
    assert_eq!(guest.command(&mut rig, 1, &read(12, 2, BASE + DATA, 0)).status(), Status::SUCCESS);
    assert!(guest.get(DATA, 1024).iter().all(|b| *b == 0));
    for (sqe, wanted) in [
        (read(4090, 8, BASE + DATA, 0), Status::LBA_OUT_OF_RANGE),
        (read(0, 8, BASE + DATA, 0).with_nsid(7), Status::INVALID_NAMESPACE),
        (read(0, 8, BASE + DATA + 2, 0), Status::PRP_OFFSET_INVALID),
        (read(0, 16, BASE + DATA, BASE + DATA + 0x1004), Status::PRP_OFFSET_INVALID),
        (read(0, 8, 0, 0), Status::DATA_TRANSFER_ERROR),
        (read(0, 8, !4095, 0), Status::DATA_TRANSFER_ERROR),
        (raw(0x7f), Status::INVALID_OPCODE),
        (raw(0x66).with_nsid(1), Status::INVALID_OPCODE),
    ] {
        assert_eq!(guest.command(&mut rig, 1, &sqe).status().code(), wanted, "{sqe:?}");
    }
    assert_eq!(rig.cx.boxes_out(), 0);
}

#[test]
fn fused_commands_are_one_and_halves_fail() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    let compare = |at| prp(IoCommand::Compare(rw(0, 8)).encode().with_nsid(1).with_fuse(Fuse::FIRST), BASE + at, 0);
    let swap = |at| write(0, 8, BASE + at, 0).with_fuse(Fuse::SECOND);
    let new = pattern(4096, 4);
    guest.put(DATA + 4096, &new);
    let both = |guest: &mut Guest, rig: &mut Rig| {
        guest.push(1, &compare(DATA));
        guest.push(1, &swap(DATA + 4096));
        guest.kick(rig, 1);
        rig.settle();
        [guest.reap(rig, 1), guest.reap(rig, 1)].map(|c| c.unwrap().status().code())
    };
    assert_eq!(both(&mut guest, &mut rig), [Status::SUCCESS; 2]);
    assert_eq!(both(&mut guest, &mut rig), [Status::COMPARE_FAILURE, Status::ABORTED_FAILED_FUSED]);
    assert_eq!(guest.command(&mut rig, 1, &swap(DATA)).status().code(), Status::ABORTED_MISSING_FUSED);
    guest.push(1, &compare(DATA));
    let plain = guest.push(1, &read(0, 8, BASE + DATA, 0));
    guest.kick(&mut rig, 1);
    rig.settle();
    assert_eq!(guest.reap(&mut rig, 1).unwrap().status().code(), Status::ABORTED_MISSING_FUSED);
    let second = guest.reap(&mut rig, 1).unwrap();
    assert_eq!((second.cid(), second.status()), (plain, Status::SUCCESS));
    assert!(guest.get(DATA, 4096) == new);
    assert_eq!(rig.cx.boxes_out(), 0);
}

#[test]
fn a_host_that_has_switched_the_write_cache_off_has_every_write_forced() {
    let gate = Gate::before(MemoryDevice::new(9, 4096).volatile(), false);
    let mut rig = Rig::new(VfioUserOptions::default(), gate.clone(), 64);
    let mut guest = ready(&mut rig);
    let write = write(0, 8, BASE + DATA, 0);
    for (on, forced) in [(1, 0), (0, 1), (0, 2), (1, 2)] {
        let cache = Sqe { cdw10: U32::new(6), cdw11: U32::new(on), ..raw(9) };
        assert_eq!(guest.command(&mut rig, 0, &cache).status(), Status::SUCCESS);
        assert_eq!(guest.command(&mut rig, 1, &write).status(), Status::SUCCESS);
        assert_eq!(gate.forced(), forced);
    }
}
