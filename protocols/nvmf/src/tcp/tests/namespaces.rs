//! Namespaces that cannot be opened, and those that go while a command of theirs is under way.

use super::*;

#[test]
fn a_namespace_that_could_not_be_opened_is_tried_again() {
    let (mut world, mut host) = pair();
    let device = MemoryDevice::new(9, 64);
    device.refuse(3);
    world.target.add_namespace(NQN, crate::fuzzing::namespace(device.clone(), "late")).unwrap();
    let read = transport(IoCommand::Read(rw(0, 1)), 512).with_nsid(2);
    assert_eq!(status(host.io(&mut world, &read, &[])), Status::NAMESPACE_NOT_READY);
    // The first try was when it came; then each second.
    for _ in 0..2 {
        world.advance(1_100_000_000);
        assert_eq!(status(host.io(&mut world, &read, &[])), Status::NAMESPACE_NOT_READY);
    }
    world.advance(1_100_000_000);
    done(host.io(&mut world, &read, &[]));
    // And by the next connection, without waiting.
    let other = MemoryDevice::new(9, 64);
    other.refuse(1);
    world.target.add_namespace(NQN, crate::fuzzing::namespace(other, "later")).unwrap();
    let read = read.with_nsid(3);
    assert_eq!(status(host.io(&mut world, &read, &[])), Status::NAMESPACE_NOT_READY);
    let (end, answer) = host.connect_io(&mut world, 2).unwrap();
    done(Some(answer));
    host.io = Some(end);
    done(host.io(&mut world, &read, &[]));
}

#[test]
fn data_that_comes_after_its_namespace_went_reaches_no_other() {
    let (mut world, mut host) = pair();
    let cid = host.cid();
    let io = host.io.as_mut().unwrap();
    io.capsule(&transport(IoCommand::Write(rw(0, 8)), 4096).with_cid(cid), &[]);
    world.settle();
    io.read();
    let r2t = io.asked.pop_front().expect("nothing was asked for");
    world.target.remove_namespace(NQN, 1).unwrap();
    world.settle();
    // Another comes, of the same name and id; the group has room where the first one was.
    world.target.add_namespace(NQN, crate::fuzzing::namespace(MemoryDevice::new(9, 2048), "another")).unwrap();
    world.settle();
    let io = host.io.as_mut().unwrap();
    for part in r2t.answers(4096) {
        io.h2c(&part, &[7; 4096]);
    }
    world.settle();
    io.read();
    assert_eq!(io.answers.pop_front().map(|a| a.status.code()), Some(Status::INVALID_NAMESPACE));
    assert_eq!(get(&mut world, &mut host, 0, 8), [0; 4096], "a write went to a namespace that it was not meant for");
}

#[test]
fn who_heeds_retry_delays_is_asked_to_wait() {
    let (mut world, mut host) = pair();
    world.target.set_retry_delays([5, 0, 0]);
    let device = MemoryDevice::new(9, 64);
    device.refuse(u32::MAX);
    world.target.add_namespace(NQN, crate::fuzzing::namespace(device, "broken")).unwrap();
    let read = transport(IoCommand::Read(rw(0, 1)), 512).with_nsid(2);
    let crd = |world: &mut World, host: &mut Host| host.io(world, &read, &[]).unwrap().status.crd();
    assert_eq!(crd(&mut world, &mut host), 0, "the host has not enabled it");
    let set = AdminCommand::SetFeatures(SetFeatures { fid: FeatureId::HOST_BEHAVIOR, ..SetFeatures::default() });
    let sqe = set.encode().with_cid(host.cid()).with_sgl(Sgl::Offset { offset: 0, len: 512 });
    let mut behavior = vec![0; 512];
    behavior[0] = 1;
    done(host.admin.command(&mut world, &sqe, &behavior));
    assert_eq!(crd(&mut world, &mut host), 1);
    let identify = AdminCommand::Identify(Identify { cns: Cns::CONTROLLER, ..Identify::default() });
    let page = done(host.admin(&mut world, &identify.encode().with_sgl(Sgl::Transport { len: 4096 }))).data;
    assert_eq!(view::<identify::Controller>(&page).unwrap().crdt_100ms.map(|d| d.get()), [5, 0, 0]);
}
