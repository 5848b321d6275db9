//! Rules that a peer may break, and what else happens to connections.

use super::*;

/// Breaks a rule on one connection; another host's I/O goes on, and the offender is told why, then gone.
fn breaks(offer: HostOffer, fault: impl Fn(Fault) -> bool, break_it: impl FnOnce(&mut World, &mut Host)) {
    let mut world = World::new(16);
    let mut neighbour = connected(&mut world, HostOffer::default());
    put(&mut world, &mut neighbour, 1000, &pattern(512, 9));
    let mut offender = connected(&mut world, offer);
    break_it(&mut world, &mut offender);
    world.settle();
    let io = offender.io.as_mut().unwrap();
    io.read();
    let told = io.ended.expect("nobody told the host what it did wrong");
    assert!(fault(told), "told {told}");
    assert!(io.is_closed());
    assert_eq!(get(&mut world, &mut neighbour, 1000, 1), pattern(512, 9));
    world.advance(2_000_000_000);
    assert_eq!(world.connections(), 3, "the neighbour's two, and the offender's admin queue");
}

fn is(fault: Fault) -> impl Fn(Fault) -> bool {
    move |told| told == fault
}

#[test]
fn garbage() {
    breaks(HostOffer::default(), is(Fault::TYPE), |_, host| host.raw(true, &[0xff; 64]));
}

#[test]
fn a_wrong_header_length() {
    breaks(HostOffer::default(), is(Fault::HLEN), |_, host| host.raw(true, &[4, 0, 71, 0, 72, 0, 0, 0]));
}

#[test]
fn a_wrong_pdu_length() {
    breaks(HostOffer::default(), is(Fault::PLEN), |_, host| host.raw(true, &[4, 0, 72, 72, 0, 0, 0, 0x80]));
}

#[test]
fn a_second_handshake() {
    breaks(HostOffer::default(), is(Fault::SEQUENCE), |_, host| host.raw(true, &[0, 0, 128, 0, 128, 0, 0, 0]));
}

#[test]
fn a_wrong_header_digest() {
    let offer = HostOffer { header_digest: true, ..HostOffer::default() };
    breaks(
        offer,
        |told| told.status == FatalStatus::HEADER_DIGEST,
        |_, host| {
            let io = host.io.as_mut().unwrap();
            io.capsule(&IoCommand::Flush.encode().with_nsid(1), &[]);
            *io.pipe.0.borrow_mut().to_target.back_mut().unwrap() ^= 1;
        },
    );
}

/// Begins a write of two blocks whose data is asked for, and says its tag.
fn asked_for(world: &mut World, host: &mut Host) -> H2cData {
    let cid = host.cid();
    let io = host.io.as_mut().unwrap();
    io.capsule(&transport(IoCommand::Write(rw(0, 2)), 1024).with_cid(cid), &[]);
    world.settle();
    io.read();
    let r2t = io.asked.pop_front().expect("nothing was asked for");
    assert_eq!((r2t.cccid, r2t.offset, r2t.len), (cid, 0, 1024));
    H2cData { cccid: cid, ttag: r2t.ttag, offset: 0, len: 512, last: false }
}

#[test]
fn data_that_nobody_asked_for() {
    let data = H2cData { cccid: Cid(1), ttag: 3, offset: 0, len: 512, last: true };
    breaks(HostOffer::default(), is(Fault::TTAG), |_, host| host.h2c(true, &data));
}

#[test]
fn data_of_another_command() {
    breaks(HostOffer::default(), is(Fault::CCCID), |world, host| {
        let data = asked_for(world, host);
        host.h2c(true, &H2cData { cccid: Cid(data.cccid.0 + 1), ..data });
    });
}

#[test]
fn data_out_of_order() {
    breaks(HostOffer::default(), is(Fault::OUT_OF_RANGE), |world, host| {
        let data = asked_for(world, host);
        host.h2c(true, &H2cData { offset: 512, last: true, ..data });
    });
}

#[test]
fn more_data_than_was_asked_for() {
    breaks(HostOffer::default(), is(Fault::OUT_OF_RANGE), |world, host| {
        let data = asked_for(world, host);
        host.h2c(true, &H2cData { len: 1536, last: true, ..data });
    });
}

#[test]
fn data_that_ends_early() {
    breaks(HostOffer::default(), is(Fault::FLAGS), |world, host| {
        let data = asked_for(world, host);
        host.h2c(true, &H2cData { last: true, ..data });
    });
}

#[test]
fn data_after_all_of_it() {
    breaks(HostOffer::default(), is(Fault::TTAG), |world, host| {
        let data = asked_for(world, host);
        host.h2c(true, &data);
        host.h2c(true, &H2cData { offset: 512, last: true, ..data });
        world.settle();
        host.h2c(true, &H2cData { offset: 512, last: true, ..data });
    });
}

#[test]
fn more_commands_than_the_queue_has_entries() {
    breaks(HostOffer::default(), is(Fault::SEQUENCE), |_, host| {
        for n in 0..33 {
            let sqe = transport(IoCommand::Write(rw(0, 2)), 1024).with_cid(Cid(n));
            host.capsule(true, &sqe, &[]);
        }
    });
}

#[test]
fn who_says_nothing_is_closed_after_ten_seconds() {
    let mut world = World::new(16);
    let mut neighbour = connected(&mut world, HostOffer::default());
    let silent = world.host(HostOffer::default());
    let mut half = world.host(HostOffer::default());
    half.raw(false, &[0, 0, 128]);
    let mut unconnected = world.host(HostOffer::default());
    unconnected.handshake(&mut world);
    world.advance(9_900_000_000);
    assert!(!silent.admin.is_closed() && !half.admin.is_closed() && !unconnected.admin.is_closed());
    world.advance(200_000_000);
    assert!(silent.admin.is_closed() && half.admin.is_closed() && unconnected.admin.is_closed());
    assert_eq!(get(&mut world, &mut neighbour, 0, 1).len(), 512);
    assert_eq!(world.connections(), 2);
}

#[test]
fn a_host_that_reads_nothing_holds_only_its_own() {
    let mut world = World::new(40);
    let mut neighbour = connected(&mut world, HostOffer::default());
    let mut deaf = connected(&mut world, HostOffer::default());
    deaf.io.as_ref().unwrap().pipe.0.borrow_mut().room = 0;
    for n in 0..2000u16 {
        let sqe = transport(IoCommand::Read(rw(0, 8)), 4096).with_cid(Cid(n & 31));
        deaf.capsule(true, &sqe, &[]);
        if n % 50 == 0 {
            world.settle();
        }
    }
    world.settle();
    // Its queue has 32 entries: so many boxes at most are its, and the rest of what it sent stays where it is.
    assert!(world.boxes_out() <= 32, "{} boxes are out", world.boxes_out());
    assert!(!deaf.io.as_ref().unwrap().pipe.0.borrow().to_target.is_empty());
    assert_eq!(get(&mut world, &mut neighbour, 0, 1).len(), 512);
    deaf.hang_up();
    world.settle();
    assert_eq!(world.boxes_out(), 0);
}

#[test]
fn a_host_that_stays_silent_beyond_its_keep_alive_loses_all_its_queues() {
    let mut world = World::new(16);
    let mut host = world.host(HostOffer::default());
    host.handshake(&mut world);
    // Rounded up to twenty seconds. In steps, since the timer of the handshake fires as well.
    done(host.connect_admin(&mut world, NQN, 15_000));
    done(host.enable(&mut world));
    let (end, _) = host.connect_io(&mut world, 1).unwrap();
    host.io = Some(end);
    world.advance(11_000_000_000);
    done(host.admin(&mut world, &AdminCommand::KeepAlive.encode()));
    world.advance(19_000_000_000);
    assert!(!host.admin.is_closed());
    world.advance(2_000_000_000);
    assert!(host.admin.is_closed() && host.io.as_ref().unwrap().is_closed());
    assert_eq!(world.connections(), 0);
    assert!(world.target.controllers(NQN).is_empty());
}

#[test]
fn namespaces_come_and_go_while_hosts_are_connected() {
    let (mut world, mut host) = pair();
    let config = AsyncEventConfig::new().with_namespace(true).into_bits();
    let set = AdminCommand::SetFeatures(SetFeatures { fid: FeatureId::ASYNC_EVENT_CONFIG, cdw11: config, ..SetFeatures::default() });
    done(host.admin(&mut world, &set.encode()));
    let aer = AdminCommand::AsyncEventRequest.encode().with_cid(Cid(999));
    host.capsule(false, &aer, &[]);
    world.settle();
    world.target.add_namespace(NQN, crate::fuzzing::namespace(MemoryDevice::new(12, 64), "memory1")).unwrap();
    world.settle();
    host.admin.read();
    let event = host.admin.answers.pop_front().expect("the host was not told");
    assert_eq!((event.cid, event.result), (Cid(999), AsyncEvent::NAMESPACE_CHANGED.into_bits().into()));
    let log = AdminCommand::GetLogPage(GetLogPage { lid: LogId::CHANGED_NAMESPACES, len: 4096, ..GetLogPage::default() });
    let page = done(host.admin(&mut world, &log.encode().with_sgl(Sgl::Transport { len: 4096 }))).data;
    assert_eq!(view::<ChangedNamespaces>(&page).unwrap().iter().unwrap().collect::<Vec<_>>(), [2]);
    done(host.io(&mut world, &transport(IoCommand::Read(rw(63, 1)), 4096).with_nsid(2), &[]));
    // Gone: the I/O queue stays, the namespace does not.
    world.target.remove_namespace(NQN, 2).unwrap();
    let read = transport(IoCommand::Read(rw(63, 1)), 4096).with_nsid(2);
    assert_eq!(status(host.io(&mut world, &read, &[])), Status::INVALID_NAMESPACE);
    assert_eq!(get(&mut world, &mut host, 0, 1).len(), 512);
    assert_eq!(world.cx.live_tokens(), 4, "the group, two connections, one queue");
}

#[test]
fn who_is_no_longer_allowed_is_disconnected() {
    let (mut world, host) = pair();
    world.target.allow_any_host(NQN, false).unwrap();
    world.settle();
    assert!(host.admin.is_closed() && host.io.as_ref().unwrap().is_closed());
    let mut again = world.host(HostOffer::default());
    again.handshake(&mut world);
    assert_eq!(status(again.connect_admin(&mut world, NQN, 0)), Status::CONNECT_INVALID_HOST);
    world.target.add_host(NQN, HOST_NQN).unwrap();
    let mut third = world.host(HostOffer::default());
    assert!(third.connect_all(&mut world));
    world.target.delete_subsystem(NQN).unwrap();
    world.settle();
    assert!(third.admin.is_closed());
    assert_eq!(world.boxes_out(), 0);
}

#[test]
fn a_stop_closes_everything_and_the_group_goes() {
    let mut world = World::with(16, &TransportOptions::default(), MemoryDevice::new(9, 64));
    let host = connected(&mut world, HostOffer::default());
    world.target.stop_for_test();
    world.settle();
    assert!(host.admin.is_closed());
    assert_eq!((world.connections(), world.cx.live_tokens()), (0, 0));
}

#[test]
fn an_abort_is_answered() {
    let (mut world, mut host) = pair();
    let abort = |sqid, cid| AdminCommand::Abort(Abort { sqid, cid: Cid(cid) }).encode();
    let aer = AdminCommand::AsyncEventRequest.encode().with_cid(Cid(999));
    host.capsule(false, &aer, &[]);
    assert_eq!(done(host.admin(&mut world, &abort(0, 999))).result, 0);
    assert_eq!(host.admin.answers.pop_front().unwrap().status.code(), Status::ABORT_REQUESTED);
    // Nothing of that name is there, on a queue that is and on one that is not.
    assert_eq!(done(host.admin(&mut world, &abort(1, 77))).result, 1);
    assert_eq!(done(host.admin(&mut world, &abort(9, 77))).result, 1);
}

/// Seconds until a host that owes data is given up.
const DATA_S: u64 = 60;
const SECOND: u64 = 1_000_000_000;

#[test]
fn data_that_was_asked_for_and_does_not_come_ends_the_connection() {
    let (mut world, mut host) = pair();
    asked_for(&mut world, &mut host);
    // Other commands go on meanwhile, and change nothing.
    for _ in 0..DATA_S - 1 {
        world.advance(SECOND);
        assert_eq!(get(&mut world, &mut host, 0, 1).len(), 512);
    }
    assert!(!host.io.as_ref().unwrap().is_closed());
    world.advance(2 * SECOND);
    assert!(host.io.as_ref().unwrap().is_closed());
    assert_eq!(world.connections(), 1, "only the admin queue");
}

#[test]
fn half_a_capsule_ends_the_connection() {
    let (mut world, mut host) = pair();
    let codec = doorbell_wire_nvme_tcp::Connection::host(HostOffer::default());
    let sqe = in_capsule(IoCommand::Write(rw(0, 8)), 4096).with_cid(host.cid());
    let mut room = [0; doorbell_wire_nvme_tcp::HEADER_ROOM];
    let n = codec.write_capsule_cmd(&mut room, &sqe, 4096).unwrap();
    host.raw(true, &room[..n]);
    host.raw(true, &[7; 1000]);
    world.settle();
    world.advance((DATA_S - 1) * SECOND);
    assert!(!host.io.as_ref().unwrap().is_closed());
    world.advance(2 * SECOND);
    assert!(host.io.as_ref().unwrap().is_closed());
}

#[test]
fn who_sends_its_data_is_not_ended() {
    let (mut world, mut host) = pair();
    for n in 0..4 {
        let data = asked_for(&mut world, &mut host);
        world.advance((DATA_S - 1) * SECOND);
        host.h2c(true, &data);
        host.h2c(true, &H2cData { offset: 512, last: true, ..data });
        world.settle();
        world.advance(n * DATA_S * SECOND);
    }
    assert_eq!(get(&mut world, &mut host, 0, 2), [0x5a; 1024]);
}
