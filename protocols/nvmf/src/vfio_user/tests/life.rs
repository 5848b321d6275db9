//! Lives of clients: what is under way when memory goes, when they reset, shut down, die and come back.

use super::gate::Gate;
use super::*;
use doorbell_mem::Regions;
use doorbell_wire_nvme::event::AsyncEvent;

fn gated(stubborn: bool) -> (Rig, Gate, Guest) {
    let gate = Gate::new(stubborn);
    let mut rig = Rig::new(VfioUserOptions::default(), gate.clone(), 64);
    let guest = ready(&mut rig);
    (rig, gate, guest)
}

#[test]
fn memory_goes_only_when_nothing_uses_it() {
    let (mut rig, gate, mut guest) = gated(true);
    let data = pattern(4096, 2);
    guest.put(DATA, &data);
    gate.shut();
    guest.push(1, &write(0, 8, BASE + DATA, 0));
    guest.kick(&mut rig, 1);
    rig.settle();
    let unmap = DmaUnmap { argsz: 24, flags: DmaUnmapFlags(0), address: BASE, size: LEN };
    let id = guest.peer.tell(Command::DMA_UNMAP, &unmap.encode(), &[]);
    // What comes behind it waits too.
    let after = guest.peer.tell(Command::DEVICE_GET_INFO, &DeviceInfo { argsz: 16, ..DeviceInfo::default() }.encode(), &[]);
    rig.settle();
    assert!(guest.peer.hear().is_none(), "answered while a write reads the memory");
    gate.open(&mut rig);
    assert!(guest.peer.hear().unwrap().0.answers(id));
    assert!(guest.peer.hear().unwrap().0.answers(after));
    // Its completion was written before the memory went; its queues rest.
    assert_eq!(guest.reap(&mut rig, 1).unwrap().status(), Status::SUCCESS);
    guest.push(1, &read(0, 8, BASE + DATA, 0));
    guest.kick(&mut rig, 1);
    rig.settle();
    assert!(guest.reap(&mut rig, 1).is_none(), "a queue whose memory is gone");
    // They go on when it comes back.
    guest.put(DATA, &[0; 4096]);
    let file = guest.file.try_clone().unwrap();
    guest.peer.map(&mut rig, Some(file.as_fd()), 0, BASE, LEN, 3).unwrap();
    assert_eq!(guest.reap(&mut rig, 1).unwrap().status(), Status::SUCCESS);
    assert!(guest.get(DATA, 4096) == data);
}

#[test]
fn a_client_that_dies_leaves_nothing_and_the_next_one_is_served() {
    let (mut rig, gate, mut guest) = gated(false);
    for _ in 0..3 {
        gate.shut();
        for n in 0..8 {
            guest.push(1, &write(8 * n, 8, BASE + DATA, 0));
        }
        guest.push(1, &prp(IoCommand::Compare(rw(0, 8)).encode().with_nsid(1).with_fuse(Fuse::FIRST), BASE + DATA, 0));
        guest.kick(&mut rig, 1);
        rig.settle();
        assert_eq!(rig.target.queues(NQN).len(), 2);
        drop(guest.peer);
        rig.settle();
        assert!(!rig.is_busy(), "what is at the device was asked back");
        assert_eq!((rig.cx.boxes_out(), rig.target.controllers(NQN).len()), (0, 0));
        gate.open(&mut rig);
        guest = ready(&mut rig);
        assert!(guest.command(&mut rig, 1, &write(0, 8, BASE + DATA, 0)).status().is_ok());
    }
}

#[test]
fn the_next_client_waits_for_a_device_that_gives_nothing_back() {
    let (mut rig, gate, mut guest) = gated(true);
    gate.shut();
    guest.push(1, &read(0, 8, BASE + DATA, 0));
    guest.kick(&mut rig, 1);
    rig.settle();
    drop(guest.peer);
    rig.settle();
    assert!(rig.is_busy() && rig.cx.boxes_out() == 1, "the memory of the dead client is still the device's");
    gate.open(&mut rig);
    assert!(!rig.is_busy());
    assert_eq!(rig.cx.boxes_out(), 0);
    ready(&mut rig);
}

#[test]
fn resets_of_every_kind_wait_for_what_is_under_way() {
    for kind in 0..3 {
        let (mut rig, gate, mut guest) = gated(true);
        gate.shut();
        guest.push(1, &read(0, 8, BASE + DATA, 0));
        guest.kick(&mut rig, 1);
        let aer = guest.push(0, &prp(AdminCommand::AsyncEventRequest.encode(), 0, 0));
        guest.kick(&mut rig, 0);
        rig.settle();
        let access = |region, offset, data: &[u8]| {
            let a = RegionAccess { offset, region, count: data.len() as u32 };
            [&a.encode()[..], data].concat()
        };
        let (command, body) = match kind {
            0 => (Command::DEVICE_RESET, Vec::new()),
            1 => (Command::REGION_WRITE, access(0, 0x14, &0u32.to_le_bytes())),
            // A function-level reset, while another one is under way behind it.
            _ => (Command::REGION_WRITE, access(region::CONFIG, 0x50, &0x8000u16.to_le_bytes())),
        };
        let id = guest.peer.tell(command, &body, &[]);
        let again = guest.peer.tell(Command::DEVICE_RESET, &[], &[]);
        rig.settle();
        assert!(guest.peer.hear().is_none());
        gate.open(&mut rig);
        assert!(guest.peer.hear().unwrap().0.answers(id) && guest.peer.hear().unwrap().0.answers(again));
        assert_eq!((guest.peer.register(&mut rig, 0x14), guest.peer.register(&mut rig, 0x1c)), (0, 0));
        assert_eq!((rig.cx.boxes_out(), rig.target.queues(NQN).len()), (0, 1), "{kind}");
        assert!(guest.reap(&mut rig, 0).is_none_or(|c| c.cid() != aer), "event requests end in silence");
        guest.enable(&mut rig);
        guest.create(&mut rig, 1);
        assert!(guest.command(&mut rig, 1, &read(0, 8, BASE + DATA, 0)).status().is_ok());
    }
}

#[test]
fn a_shutdown_flushes_and_then_says_so() {
    let device = MemoryDevice::new(9, 4096).volatile();
    let mut rig = Rig::new(VfioUserOptions::default(), device.clone(), 64);
    let mut guest = ready(&mut rig);
    assert!(guest.command(&mut rig, 1, &write(0, 8, BASE + DATA, 0)).status().is_ok());
    let on = Cc::new().with_en(true).with_iosqes(6).with_iocqes(4);
    guest.set_cc(&mut rig, on.with_shn(ShutdownNotice::NORMAL));
    assert_eq!((guest.peer.csts(&mut rig).shst(), device.flushes()), (ShutdownStatus::COMPLETE, 1));
    guest.set_cc(&mut rig, Cc::new());
    guest.enable(&mut rig);
    // Turned on and off as fast as messages go.
    for n in 0..20 {
        guest.set_cc(&mut rig, if n % 2 == 0 { Cc::new() } else { on });
        assert_eq!(guest.peer.csts(&mut rig).rdy(), n % 2 == 1);
    }
    assert_eq!(rig.cx.boxes_out(), 0);
}

#[test]
fn namespaces_come_and_go_beneath_a_client() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    let config = SetFeatures { fid: FeatureId::ASYNC_EVENT_CONFIG, cdw11: 1 << 8, ..SetFeatures::default() };
    assert!(guest.command(&mut rig, 0, &prp(AdminCommand::SetFeatures(config).encode(), 0, 0)).status().is_ok());
    let aer = guest.push(0, &prp(AdminCommand::AsyncEventRequest.encode(), 0, 0));
    guest.kick(&mut rig, 0);
    rig.settle();
    assert!(guest.reap(&mut rig, 0).is_none());
    rig.target.remove_namespace(NQN, 1).unwrap();
    rig.settle();
    let told = guest.reap(&mut rig, 0).unwrap();
    assert_eq!((told.cid(), told.dw0.get()), (aer, AsyncEvent::NAMESPACE_CHANGED.into_bits()));
    assert_eq!(guest.command(&mut rig, 1, &read(0, 8, BASE + DATA, 0)).status().code(), Status::INVALID_NAMESPACE);
}

#[test]
fn only_who_is_admitted_is_served() {
    let mut rig = Rig::plain();
    rig.target.allow_any_host(NQN, false).unwrap();
    rig.settle();
    let mut peer = rig.connect();
    assert_eq!(peer.version(&mut rig).unwrap_err(), errno::EPERM);
    rig.settle();
    assert!(peer.is_closed() && !rig.is_busy());
    rig.target.add_host(NQN, crate::VFIO_USER_HOST).unwrap();
    let guest = Guest::new(&mut rig);
    assert_eq!(rig.target.controllers(NQN)[0].host_nqn, crate::VFIO_USER_HOST);
    rig.target.remove_host(NQN, crate::VFIO_USER_HOST).unwrap();
    rig.settle();
    assert!(guest.peer.is_closed() && rig.target.controllers(NQN).is_empty());
}

#[test]
fn a_client_that_cuts_its_memory_short_loses_its_connection_and_nobody_else() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    // Memory that is not sealed: a file.
    let path = std::env::temp_dir().join(format!("doorbell-cut-{}", std::process::id()));
    let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.set_len(1 << 20).unwrap();
    let at = BASE + LEN;
    guest.peer.map(&mut rig, Some(file.as_fd()), 0, at, 1 << 20, 3).unwrap();
    assert!(guest.command(&mut rig, 1, &write(0, 8, at, 0)).status().is_ok());
    file.set_len(0).unwrap();
    guest.push(1, &write(0, 8, at, 0));
    guest.kick(&mut rig, 1);
    rig.settle();
    rig.advance(1_000_000_000);
    assert!(guest.peer.is_closed(), "it is not served any more");
    ready(&mut rig);
}

#[test]
fn queue_memory_that_is_remapped_is_the_queue() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    guest.peer.unmap(&mut rig, BASE, LEN).unwrap();
    // Another file at the same addresses: as at a guest's reboot.
    let file = sealed_memory("another", LEN).unwrap();
    guest.peer.map(&mut rig, Some(file.as_fd()), 0, BASE, LEN, 3).unwrap();
    guest.memory = doorbell_mem::Foreign::map(&Regions::new(), file.try_clone().unwrap(), 0, LEN as usize).unwrap();
    assert!(guest.command(&mut rig, 1, &read(0, 8, BASE + DATA, 0)).status().is_ok());
}

#[test]
fn at_rest_it_looks_less_and_less_often() {
    let options = VfioUserOptions { idle_look_ns: 1_000_000, ..VfioUserOptions::default() };
    let mut rig = Rig::new(options, MemoryDevice::new(9, 64), 16);
    let mut guest = ready(&mut rig);
    rig.advance(1_000_000);
    let cid = guest.push(1, &read(0, 8, BASE + DATA, 0));
    guest.kick(&mut rig, 1);
    // Nobody is told: only time makes it look.
    for _ in 0..40 {
        rig.pass(100_000);
    }
    assert_eq!(guest.reap(&mut rig, 1).unwrap().cid(), cid);
    let looks = rig.turns_in(1_000_000_000, 1_000_000);
    assert!(looks <= 1100, "{looks} looks in a second");
}
