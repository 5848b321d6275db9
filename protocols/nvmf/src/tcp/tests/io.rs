//! I/O commands.

use super::*;

#[test]
fn what_is_written_is_read_in_every_way_it_can_travel() {
    for n in 0..4 {
        let offer = HostOffer { header_digest: n & 1 != 0, data_digest: n & 2 != 0, ..HostOffer::default() };
        for cut in [usize::MAX, 1000, 7, 1] {
            let mut world = World::new(16);
            let mut host = connected(&mut world, offer);
            host.io.as_ref().unwrap().pipe.0.borrow_mut().cut = cut;
            let small = pattern(4096, n);
            done(host.io(&mut world, &in_capsule(IoCommand::Write(rw(8, 8)), 4096), &small));
            assert_eq!(get(&mut world, &mut host, 8, 8), small, "in the capsule, {offer:?}, cut {cut}");
            // Asked for, in two H2CData: the largest is as long as the largest command, so this is one; odd lengths are tried as well.
            // One byte at a time is enough for a few blocks.
            for blocks in [1, 9, 100, 256].into_iter().filter(|b| *b < 10 || cut > 1) {
                let data = pattern(bytes_of(blocks), blocks);
                put(&mut world, &mut host, 32, &data);
                assert_eq!(get(&mut world, &mut host, 32, blocks), data, "asked for, {offer:?}, cut {cut}");
            }
        }
    }
}

#[test]
fn a_data_digest_that_is_wrong_fails_its_command_only() {
    let mut world = World::new(16);
    let mut host = connected(&mut world, HostOffer { data_digest: true, ..HostOffer::default() });
    let sqe = in_capsule(IoCommand::Write(rw(0, 1)), 512).with_cid(host.cid());
    let io = host.io.as_mut().unwrap();
    io.capsule(&sqe, &[1; 512]);
    *io.pipe.0.borrow_mut().to_target.back_mut().unwrap() ^= 1;
    world.settle();
    io.read();
    assert_eq!(io.answers.pop_front().unwrap().status.code(), Status::TRANSIENT_TRANSPORT_ERROR);
    assert_eq!(get(&mut world, &mut host, 0, 1), [0; 512], "a spoiled write was carried out");
}

#[test]
fn ranges_and_lengths_are_checked() {
    let (mut world, mut host) = pair();
    let mut try_it = |sqe: &Sqe| status(host.io(&mut world, sqe, &[]));
    assert_eq!(try_it(&transport(IoCommand::Read(rw(2047, 2)), 1024)), Status::LBA_OUT_OF_RANGE);
    assert_eq!(try_it(&transport(IoCommand::Read(rw(u64::MAX, 2)), 1024)), Status::LBA_OUT_OF_RANGE);
    assert_eq!(try_it(&transport(IoCommand::Read(rw(0, 257)), 257 * 512)), Status::INVALID_FIELD);
    assert_eq!(try_it(&transport(IoCommand::Read(rw(0, 2)), 512)), Status::DATA_SGL_LENGTH_INVALID);
    assert_eq!(try_it(&transport(IoCommand::Read(rw(0, 1)), 512).with_nsid(2)), Status::INVALID_NAMESPACE);
    assert_eq!(try_it(&transport(IoCommand::Read(rw(0, 1)), 512).with_nsid(u32::MAX)), Status::INVALID_NAMESPACE);
    assert_eq!(try_it(&transport(IoCommand::Other(IoOpcode(0x55)), 0)), Status::INVALID_OPCODE);
    assert_eq!(
        try_it(&IoCommand::Read(rw(0, 1)).encode().with_nsid(1).with_sgl(Sgl::Address { addr: 9, len: 512 })),
        Status::SGL_TYPE_INVALID
    );
    assert_eq!(get(&mut world, &mut host, 2047, 1).len(), 512);
}

#[test]
fn commands_without_data() {
    let (mut world, mut host) = pair();
    put(&mut world, &mut host, 0, &pattern(4096, 1));
    done(host.io(&mut world, &IoCommand::Flush.encode().with_nsid(1), &[]));
    done(host.io(&mut world, &IoCommand::Flush.encode().with_nsid(NSID_ALL), &[]));
    done(host.io(&mut world, &IoCommand::Verify(rw(0, 8)).encode().with_nsid(1), &[]));
    let zeroes = WriteZeroes { slba: 2, blocks: 3, ..WriteZeroes::default() };
    done(host.io(&mut world, &IoCommand::WriteZeroes(zeroes).encode().with_nsid(1), &[]));
    let read = get(&mut world, &mut host, 0, 8);
    assert!(read[1024..2560].iter().all(|b| *b == 0));
    assert_eq!(read[2560..], pattern(4096, 1)[2560..]);
}

#[test]
fn compare_and_fused_compare_and_write() {
    let (mut world, mut host) = pair();
    let (old, new) = (pattern(512, 1), pattern(512, 2));
    put(&mut world, &mut host, 5, &old);
    let compare = in_capsule(IoCommand::Compare(rw(5, 1)), 512);
    done(host.io(&mut world, &compare, &old));
    assert_eq!(status(host.io(&mut world, &compare, &new)), Status::COMPARE_FAILURE);
    let fused = |world: &mut World, host: &mut Host, expected: &[u8], written: &[u8], ask: bool| {
        let (a, b) = (host.cid(), host.cid());
        let first = compare.with_fuse(Fuse::FIRST).with_cid(a);
        let write = IoCommand::Write(rw(5, 1));
        let second = if ask { transport(write, 512) } else { in_capsule(write, 512) };
        host.io.as_ref().unwrap().capsule(&first, expected);
        let second = done_or(host.io.as_mut().unwrap().command(world, &second.with_fuse(Fuse::SECOND).with_cid(b), written));
        let first = host.io.as_mut().unwrap().answers.pop_front().unwrap();
        assert_eq!(first.cid, a);
        (first.status.code(), second)
    };
    assert_eq!(fused(&mut world, &mut host, &new, &old, false), (Status::COMPARE_FAILURE, Status::ABORTED_FAILED_FUSED));
    assert_eq!(get(&mut world, &mut host, 5, 1), old);
    assert_eq!(fused(&mut world, &mut host, &old, &new, false), (Status::SUCCESS, Status::SUCCESS));
    assert_eq!(get(&mut world, &mut host, 5, 1), new);
    assert_eq!(fused(&mut world, &mut host, &new, &old, true), (Status::SUCCESS, Status::SUCCESS));
    assert_eq!(get(&mut world, &mut host, 5, 1), old);
}

fn done_or(answer: Option<Answer>) -> Status {
    answer.expect("no answer came").status.code()
}

#[test]
fn half_a_fused_pair_is_aborted() {
    let (mut world, mut host) = pair();
    let first = in_capsule(IoCommand::Compare(rw(5, 1)), 512).with_fuse(Fuse::FIRST).with_cid(host.cid());
    host.io.as_ref().unwrap().capsule(&first, &[0; 512]);
    // Something else follows: it is served, the half is not.
    assert_eq!(get(&mut world, &mut host, 0, 1).len(), 512);
    let io = host.io.as_mut().unwrap();
    assert_eq!(io.answers.pop_front().unwrap().status.code(), Status::ABORTED_MISSING_FUSED);
    let second = transport(IoCommand::Write(rw(5, 1)), 512).with_fuse(Fuse::SECOND);
    assert_eq!(status(host.io(&mut world, &second, &[1; 512])), Status::ABORTED_MISSING_FUSED);
    assert_eq!(get(&mut world, &mut host, 5, 1), [0; 512]);
}

#[test]
fn deallocate_and_copy_take_their_ranges_in_turn() {
    let (mut world, mut host) = pair();
    put(&mut world, &mut host, 0, &pattern(512 * 16, 3));
    let ranges: Vec<u8> = [(1u64, 2u32), (5, 0), (8, 4)]
        .iter()
        .flat_map(|(slba, blocks)| bytes(&DsmRange { slba: U64::new(*slba), blocks: U32::new(*blocks), attributes: U32::new(0) }).to_vec())
        .collect();
    let dsm = DatasetManagement { ranges: 3, deallocate: true, ..DatasetManagement::default() };
    // Linux sends room for 256 ranges, whatever their number.
    let mut padded = ranges.clone();
    padded.resize(4096, 0xee);
    done(host.io(&mut world, &in_capsule(IoCommand::DatasetManagement(dsm), 4096), &padded));
    let read = get(&mut world, &mut host, 0, 16);
    let mut expected = pattern(512 * 16, 3);
    expected[512..1536].fill(0);
    expected[4096..6144].fill(0);
    assert_eq!(read, expected);

    let mut source = [CopyRange::default(), CopyRange::default()];
    (source[0].slba, source[0].nlb) = (U64::new(3), U16::new(1));
    (source[1].slba, source[1].nlb) = (U64::new(12), U16::new(0));
    let raw: Vec<u8> = source.iter().flat_map(|r| bytes(r).to_vec()).collect();
    let copy = |sdlba| IoCommand::Copy(Copy { sdlba, ranges: 2, ..Copy::default() });
    done(host.io(&mut world, &in_capsule(copy(100), 64), &raw));
    let copied = get(&mut world, &mut host, 100, 3);
    assert_eq!(copied[..1024], expected[3 * 512..5 * 512]);
    assert_eq!(copied[1024..], expected[12 * 512..13 * 512]);
    assert_eq!(status(host.io(&mut world, &in_capsule(copy(2), 64), &raw)), Status::OVERLAPPING_IO_RANGE);
    assert_eq!(status(host.io(&mut world, &in_capsule(copy(2046), 64), &raw)), Status::LBA_OUT_OF_RANGE);
}

#[test]
fn a_queue_without_flow_control_needs_no_completions_for_reads() {
    use doorbell_wire_nvme::fabrics::ConnectAttributes;
    let mut world = World::new(16);
    let mut host = connected(&mut world, HostOffer::default());
    host.attributes = ConnectAttributes::new().with_disable_sqfc(true);
    let (end, answer) = host.connect_io(&mut world, 2).unwrap();
    done(Some(answer));
    host.io = Some(end);
    let before = host.io.as_ref().unwrap().successes;
    assert_eq!(get(&mut world, &mut host, 0, 1).len(), 512);
    assert_eq!(host.io.as_ref().unwrap().successes, before + 1);
}

#[test]
fn when_buffers_are_short_commands_wait_and_none_is_lost() {
    // Two buffers of each size, 31 writes of which each needs one.
    let mut world = World::new(2);
    let mut host = connected(&mut world, HostOffer::default());
    let io = host.io.as_mut().unwrap();
    for n in 0..31u16 {
        let sqe = in_capsule(IoCommand::Write(rw(u64::from(n), 1)), 512).with_cid(Cid(n));
        io.capsule(&sqe, &[n as u8 + 1; 512]);
    }
    world.settle();
    io.read();
    assert_eq!(io.answers.len(), 31);
    assert!(io.answers.drain(..).all(|a| a.status.is_ok()));
    for n in 0..31u16 {
        assert_eq!(get(&mut world, &mut host, u64::from(n), 1), [n as u8 + 1; 512]);
    }
}

#[test]
fn a_host_that_was_told_of_no_cache_gets_every_write_made_durable() {
    // What the device is asked: a namespace with a cache comes after the host identified the controller.
    let mut world = World::new(16);
    let mut host = connected(&mut world, HostOffer::default());
    let identify = AdminCommand::Identify(Identify { cns: Cns::CONTROLLER, ..Identify::default() });
    let page = done(host.admin(&mut world, &identify.encode().with_sgl(Sgl::Transport { len: 4096 }))).data;
    assert_eq!(view::<identify::Controller>(&page).unwrap().vwc & 1, 0);
    let device = MemoryDevice::new(9, 64).volatile();
    world.target.add_namespace(NQN, crate::fuzzing::namespace(device.clone(), "cached")).unwrap();
    world.settle();
    let write = in_capsule(IoCommand::Write(rw(0, 1)), 512).with_nsid(2);
    done(host.io(&mut world, &write, &[1; 512]));
    assert_eq!(device.forced(), 1, "the write may be lost although the host cannot know");
    // Whoever asks again (an administrator's tool) does not tell the host's block layer, which goes on without flushes.
    let ask = identify.encode().with_sgl(Sgl::Transport { len: 4096 });
    let page = done(host.admin(&mut world, &ask)).data;
    assert_eq!(view::<identify::Controller>(&page).unwrap().vwc & 1, 1);
    done(host.io(&mut world, &write, &[1; 512]));
    assert_eq!(device.forced(), 2, "a second Identify undid the first");
    // A reset begins anew: the host asks, and flushes by itself.
    done(host.set_cc(&mut world, register::Cc::new()));
    done(host.enable(&mut world));
    let (end, answer) = host.connect_io(&mut world, 1).unwrap();
    done(Some(answer));
    host.io = Some(end);
    done(host.admin(&mut world, &ask));
    done(host.io(&mut world, &write, &[1; 512]));
    assert_eq!(device.forced(), 2);
}

#[test]
fn the_smart_log_counts_what_was_read_and_written() {
    let (mut world, mut host) = pair();
    let smart = |world: &mut World, host: &mut Host| {
        let get = GetLogPage { lid: LogId::SMART, len: 512, ..GetLogPage::default() };
        let sqe = AdminCommand::GetLogPage(get).encode().with_nsid(NSID_ALL).with_sgl(Sgl::Transport { len: 512 });
        let page = done(host.admin(world, &sqe)).data;
        let log = view::<doorbell_wire_nvme::log::SmartLog>(&page).unwrap();
        [log.data_units_read, log.data_units_written, log.host_reads, log.host_writes].map(|n| n.get())
    };
    assert_eq!(smart(&mut world, &mut host), [0; 4]);
    // 4 x 250 units are one thousand, and one more is the second, begun.
    for n in 0..4 {
        put(&mut world, &mut host, 0, &pattern(250 * 512, n));
    }
    assert_eq!(smart(&mut world, &mut host), [0, 1, 0, 4]);
    put(&mut world, &mut host, 0, &pattern(512, 1));
    get(&mut world, &mut host, 0, 1);
    done(host.io(&mut world, &IoCommand::Verify(rw(0, 8)).encode().with_nsid(1), &[]));
    assert_eq!(smart(&mut world, &mut host), [1, 2, 2, 5]);
    // What fails and what moves no data of the host's is not counted.
    assert_eq!(status(host.io(&mut world, &in_capsule(IoCommand::Compare(rw(0, 1)), 512), &pattern(512, 2))), Status::COMPARE_FAILURE);
    let zeroes = WriteZeroes { slba: 2, blocks: 3, ..WriteZeroes::default() };
    done(host.io(&mut world, &IoCommand::WriteZeroes(zeroes).encode().with_nsid(1), &[]));
    done(host.io(&mut world, &IoCommand::Flush.encode().with_nsid(1), &[]));
    assert_eq!(smart(&mut world, &mut host), [1, 2, 2, 5]);
    // A queue that leaves takes nothing with it.
    host.io.as_ref().unwrap().pipe.0.borrow_mut().hung_up = true;
    world.settle();
    assert_eq!(world.connections(), 1);
    assert_eq!(smart(&mut world, &mut host), [1, 2, 2, 5]);
}
