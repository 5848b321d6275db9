//! Queues: making and deleting them, flow control, doorbells, shadow doorbells, interrupts, aborts.

use super::gate::Gate;
use super::*;
use doorbell_wire_nvme::event::AsyncEvent;

fn create(opcode: u8, qid: u16, size: u32, cdw11: u32, at: u64) -> Sqe {
    Sqe { cdw10: U32::new(u32::from(qid) | (size - 1) << 16), cdw11: U32::new(cdw11), ..prp(raw(opcode), at, 0) }
}

fn delete(opcode: u8, qid: u16) -> Sqe {
    Sqe { cdw10: U32::new(qid.into()), ..raw(opcode) }
}

#[test]
fn queues_that_cannot_be_are_refused() {
    let mut rig = Rig::plain();
    let mut guest = Guest::new(&mut rig);
    let at = BASE + 0x2_0000;
    let (cq, sq) = (5, 1);
    for (sqe, wanted) in [
        (create(sq, 1, 32, 1 | 1 << 16, at), Status::INVALID_CQ),
        (create(cq, 0, 32, 1, at), Status::INVALID_QUEUE_ID),
        (create(cq, 128, 32, 1, at), Status::INVALID_QUEUE_ID),
        (create(cq, 1, 1, 1, at), Status::INVALID_QUEUE_SIZE),
        (create(cq, 1, 257, 1, at), Status::INVALID_QUEUE_SIZE),
        (create(cq, 1, 32, 0, at), Status::INVALID_FIELD),
        (create(cq, 1, 32, 3 | 512 << 16, at), Status::INVALID_INTERRUPT_VECTOR),
        (create(cq, 1, 32, 1, at + 16), Status::PRP_OFFSET_INVALID),
        (create(cq, 1, 32, 1, BASE + LEN), Status::DATA_TRANSFER_ERROR),
        (create(cq, 1, 256, 1, BASE + LEN - 4096), Status::SUCCESS),
        (create(cq, 1, 256, 1, BASE + LEN - 4096), Status::INVALID_QUEUE_ID),
        (create(sq, 1, 256, 1 | 1 << 16, BASE + LEN - 4096), Status::DATA_TRANSFER_ERROR),
        (create(sq, 1, 32, 1 | 2 << 16, at), Status::INVALID_CQ),
        (create(sq, 1, 32, 1, at), Status::INVALID_CQ),
        (create(sq, 1, 32, 1 | 1 << 16, at), Status::SUCCESS),
        (delete(4, 1), Status::INVALID_QUEUE_DELETION),
        (delete(0, 0), Status::INVALID_QUEUE_ID),
        (delete(0, 9), Status::INVALID_QUEUE_ID),
        (delete(0, 1), Status::SUCCESS),
        (delete(4, 1), Status::SUCCESS),
        (delete(4, 1), Status::INVALID_QUEUE_ID),
        (raw(0x7c), Status::INVALID_OPCODE),
        (raw(0x7f), Status::INVALID_OPCODE),
    ] {
        assert_eq!(guest.command(&mut rig, 0, &sqe).status().code(), wanted, "{sqe:?}");
    }
    let by_sgl = AdminCommand::Identify(Identify::default()).encode().with_sgl(Sgl::Address { addr: at, len: 4096 });
    assert_eq!(guest.command(&mut rig, 0, &by_sgl).status().code(), Status::INVALID_FIELD);
    // An admin queue that cannot be is fatal, until the controller is turned off.
    guest.set_cc(&mut rig, Cc::new());
    guest.peer.write(&mut rig, 0, 0x28, &(BASE + LEN).to_le_bytes()).unwrap();
    guest.set_cc(&mut rig, Cc::new().with_en(true));
    let csts = guest.peer.csts(&mut rig);
    assert!(csts.cfs() && !csts.rdy());
    guest.set_cc(&mut rig, Cc::new());
    assert!(!guest.peer.csts(&mut rig).cfs());
    guest.enable(&mut rig);
}

#[test]
fn a_completion_queue_that_is_not_drained_holds_its_commands_and_no_others() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    guest.create(&mut rig, 2);
    let fill = usize::from(ENTRIES) - 1;
    for _ in 0..fill {
        guest.push(1, &read(0, 8, BASE + DATA, 0));
    }
    guest.kick(&mut rig, 1);
    rig.settle();
    // All completed, none reaped: the ring of submissions is empty, that of completions full.
    for _ in 0..5 {
        guest.push(1, &read(0, 8, BASE + DATA, 0));
    }
    guest.kick(&mut rig, 1);
    rig.settle();
    assert!(guest.command(&mut rig, 2, &read(0, 8, BASE + DATA, 0)).status().is_ok());
    let seen: Vec<_> = std::iter::from_fn(|| guest.reap(&mut rig, 1)).collect();
    assert_eq!(seen.len(), fill, "no completion has run over another");
    rig.settle();
    let rest: Vec<_> = std::iter::from_fn(|| guest.reap(&mut rig, 1)).collect();
    assert_eq!((rest.len(), rig.cx.boxes_out()), (5, 0));
}

#[test]
fn rings_go_round_and_phases_turn() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    for n in 0..u64::from(ENTRIES) * 5 {
        let data = pattern(4096, n as usize);
        guest.put(DATA, &data);
        assert!(guest.command(&mut rig, 1, &write(n % 500, 8, BASE + DATA, 0)).status().is_ok(), "{n}");
    }
    // Bursts, of as many as fit.
    for _ in 0..20 {
        let cids: Vec<_> = (0..ENTRIES - 1).map(|n| guest.push(1, &read(n.into(), 8, BASE + DATA, 0))).collect();
        guest.kick(&mut rig, 1);
        rig.settle();
        let mut seen: Vec<_> = std::iter::from_fn(|| guest.reap(&mut rig, 1)).map(|c| c.cid()).collect();
        seen.sort();
        assert_eq!(seen, cids);
    }
}

#[test]
fn a_tail_that_cannot_be_is_told_once_and_harms_nobody() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    guest.create(&mut rig, 2);
    let aer = guest.push(0, &prp(AdminCommand::AsyncEventRequest.encode(), 0, 0));
    guest.kick(&mut rig, 0);
    rig.settle();
    for value in [32, 40, 0xffff] {
        guest.ring(&mut rig, 8, value);
        rig.settle();
    }
    let told = guest.reap(&mut rig, 0).unwrap();
    assert_eq!((told.cid(), told.dw0.get()), (aer, AsyncEvent::INVALID_DOORBELL.into_bits()));
    assert!(guest.command(&mut rig, 2, &read(0, 8, BASE + DATA, 0)).status().is_ok());
    // A head that cannot be is not believed.
    guest.ring(&mut rig, 12, 77);
    assert!(guest.command(&mut rig, 1, &read(0, 8, BASE + DATA, 0)).status().is_ok(), "the tail is a good one again");
}

#[test]
fn an_abort_that_was_not_heeded_says_so_when_its_command_ends() {
    let gate = Gate::new(true);
    let mut rig = Rig::new(VfioUserOptions::default(), gate.clone(), 64);
    let mut guest = ready(&mut rig);
    gate.shut();
    let one = guest.push(1, &read(0, 8, BASE + DATA, 0));
    guest.kick(&mut rig, 1);
    rig.settle();
    let abort = guest.push(0, &prp(AdminCommand::Abort(Abort { sqid: 1, cid: one }).encode(), 0, 0));
    guest.kick(&mut rig, 0);
    rig.settle();
    assert!(guest.reap(&mut rig, 0).is_none() && guest.reap(&mut rig, 1).is_none());
    gate.open(&mut rig);
    let (c, a) = (guest.reap(&mut rig, 1).unwrap(), guest.reap(&mut rig, 0).unwrap());
    assert_eq!((c.cid(), c.status(), a.cid(), a.dw0.get()), (one, Status::SUCCESS, abort, 1));
    assert_eq!(rig.cx.boxes_out(), 0);
}

#[test]
fn an_abort_asks_one_command_back() {
    let gate = Gate::new(false);
    let mut rig = Rig::new(VfioUserOptions::default(), gate.clone(), 64);
    let mut guest = ready(&mut rig);
    gate.shut();
    let one = guest.push(1, &read(0, 8, BASE + DATA, 0));
    let two = guest.push(1, &read(8, 8, BASE + DATA, 0));
    guest.kick(&mut rig, 1);
    rig.settle();
    let abort = |sqid, cid| prp(AdminCommand::Abort(Abort { sqid, cid }).encode(), 0, 0);
    assert_eq!(guest.command(&mut rig, 0, &abort(1, one)).dw0.get(), 0);
    let c = guest.reap(&mut rig, 1).unwrap();
    assert_eq!((c.cid(), c.status().code()), (one, Status::ABORT_REQUESTED));
    assert_eq!(guest.command(&mut rig, 0, &abort(1, one)).dw0.get(), 1, "it is not there any more");
    let aer = guest.push(0, &prp(AdminCommand::AsyncEventRequest.encode(), 0, 0));
    guest.kick(&mut rig, 0);
    rig.settle();
    guest.push(0, &abort(0, aer));
    guest.kick(&mut rig, 0);
    rig.settle();
    let (c, a) = (guest.reap(&mut rig, 0).unwrap(), guest.reap(&mut rig, 0).unwrap());
    assert_eq!((c.cid(), c.status().code(), a.dw0.get()), (aer, Status::ABORT_REQUESTED, 0));
    // A queue is deleted with a command under way: that comes back first.
    let gone = guest.command(&mut rig, 0, &delete(0, 1));
    assert!(gone.status().is_ok());
    assert_eq!(guest.reap(&mut rig, 1).unwrap().cid(), two);
    assert_eq!(rig.cx.boxes_out(), 0);
}

#[test]
fn shadow_doorbells_are_read_where_the_host_has_them() {
    let options = VfioUserOptions { mappable_doorbells: false, ..VfioUserOptions::default() };
    let mut rig = Rig::new(options, MemoryDevice::new(9, 4096), 64);
    let mut guest = ready(&mut rig);
    let page = |n: u64| BASE + 0x30_0000 + n * 4096;
    let set = |one, two| prp(raw(0x7c), one, two);
    for (one, two) in [(page(0), page(0)), (page(0) + 8, page(1)), (page(0), BASE + LEN), (0, page(1))] {
        assert_eq!(guest.command(&mut rig, 0, &set(one, two)).status().code(), Status::INVALID_FIELD);
    }
    assert!(guest.command(&mut rig, 1, &read(0, 8, BASE + DATA, 0)).status().is_ok());
    guest.put(0x30_0000, &[0xee; 8192]);
    assert!(guest.command(&mut rig, 0, &set(page(0), page(1))).status().is_ok());
    let word = |guest: &Guest, at: u64| u32::from_le_bytes(guest.get(0x30_0000 + at, 4).try_into().unwrap());
    assert_eq!((word(&guest, 8), word(&guest, 12)), (1, 1), "what the doorbells are is there already");
    // The admin queue's stay where they were. At rest the host is asked to ring: the event index is the tail seen.
    rig.advance(10_000_000);
    assert_eq!(word(&guest, 4096 + 8), 1);
    let cid = guest.push(1, &read(0, 8, BASE + DATA, 0));
    guest.put(0x30_0000 + 8, &2u32.to_le_bytes());
    guest.peer.write(&mut rig, 0, 0x1008, &2u32.to_le_bytes()).unwrap();
    assert_eq!(guest.reap_shadow(1, 0x30_0000).unwrap().cid(), cid);
    // Its memory goes: the doorbells are the registers again.
    guest.peer.unmap(&mut rig, BASE, LEN).unwrap();
    let file = guest.file.try_clone().unwrap();
    guest.peer.map(&mut rig, Some(file.as_fd()), 0, BASE, LEN, 3).unwrap();
    assert!(guest.command(&mut rig, 1, &read(0, 8, BASE + DATA, 0)).status().is_ok());
}

#[test]
fn completions_of_one_turn_make_one_interrupt() {
    let mut rig = Rig::plain();
    let mut guest = Guest::attached(&mut rig);
    let bells: Vec<_> = (0..3).map(|_| Bell::of_our_own().unwrap()).collect();
    let set = SetIrqs { action: IrqAction::Trigger, data: IrqData::Events, index: irq::MSIX, start: 0, count: 3 };
    guest.peer.irqs(&mut rig, &set, &bells.iter().collect::<Vec<_>>()).unwrap();
    guest.enable(&mut rig);
    guest.create(&mut rig, 1);
    for b in &bells {
        let _ = b.count();
    }
    // Completions of one turn make one interrupt.
    for _ in 0..8 {
        guest.push(1, &read(0, 8, BASE + DATA, 0));
    }
    guest.kick(&mut rig, 1);
    rig.settle();
    assert_eq!((bells[1].count(), bells[0].count(), bells[2].count()), (1, 0, 0));
    // Fired by hand, and by none when the vector has no descriptor.
    let fire = SetIrqs { data: IrqData::Bools(&[0, 1, 1]), ..set };
    let body = [&fire.encode_fixed()[..], &[0, 1, 1]].concat();
    guest.peer.call(&mut rig, Command::DEVICE_SET_IRQS, &body, &[]).unwrap();
    assert_eq!((bells[0].count(), bells[1].count(), bells[2].count()), (0, 1, 1));
}

#[test]
fn boxes_that_are_scarce_are_waited_for() {
    let mut rig = Rig::new(VfioUserOptions::default(), MemoryDevice::new(9, 4096), 3);
    let mut guest = ready(&mut rig);
    let cids: Vec<_> = (0..ENTRIES - 1).map(|n| guest.push(1, &read(n.into(), 8, BASE + DATA, 0))).collect();
    guest.kick(&mut rig, 1);
    rig.settle();
    let mut seen: Vec<_> = std::iter::from_fn(|| guest.reap(&mut rig, 1)).map(|c| c.cid()).collect();
    seen.sort();
    assert_eq!(seen, cids);
}
