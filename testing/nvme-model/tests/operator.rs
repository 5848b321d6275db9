//! What an operator asks of a controller, by the driver: formats, firmware, a sanitize, namespaces, security.

use doorbell_block::{BlockDevice, Op, Status};
use doorbell_mem::{ClassSpec, Foreign, Seg};
use doorbell_nvme::{Committed, Controller, Env, Namespace, Payload, State, within};
use doorbell_nvme_model::trial::Trial;
use doorbell_nvme_model::{Plan, Rates, firmware};
use doorbell_reactor::{AsyncQueue, Local};
use doorbell_wire_nvme::identify::{ControllerList, Namespace as Page};
use doorbell_wire_nvme::log::{FirmwareSlots, SanitizeState, SanitizeStatus};
use doorbell_wire_nvme::{
    AdminCommand, AdminOpcode, CommitAction, FormatNvm, GetLogPage, LogId, NSID_ALL, Sanitize, SanitizeAction, Sqe, U32, U64, Wire, bytes,
    view,
};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

const NOTHING: [&str; 0] = [];

async fn buffer(local: &Local, len: u32, byte: u8) -> Seg {
    let seg = local.with(move |cx| cx.pool().get(len)).await.unwrap();
    seg.write_at(0, &vec![byte; len as usize]);
    seg.slice(0, len)
}

/// The first and last byte of a run of blocks.
async fn read(local: &Local, queue: &AsyncQueue, lba: u64, blocks: u32, block: u32) -> (Status, [u8; 2]) {
    let (status, seg) = queue.read(lba, blocks, buffer(local, blocks * block, 0x5a).await).await;
    let mut bytes = vec![0; (blocks * block) as usize];
    seg.read_at(0, &mut bytes);
    (status, [bytes[0], *bytes.last().unwrap()])
}

async fn open(local: &Local, namespace: &Arc<Namespace>) -> AsyncQueue {
    AsyncQueue::open(local, namespace.clone(), 8).await.unwrap()
}

fn find(controller: &Controller, nsid: u32) -> Option<Arc<Namespace>> {
    controller.namespaces().into_iter().find(|n| n.nsid() == nsid)
}

/// The namespace of that number, once there is one that fits.
async fn wait_for(local: &Local, controller: &Controller, nsid: u32, fits: impl Fn(&Namespace) -> bool) -> Arc<Namespace> {
    loop {
        match find(controller, nsid).filter(|n| fits(n)) {
            Some(namespace) => return namespace,
            None => local.sleep_ns(1_000_000).await,
        }
    }
}

async fn log<T: Wire + Clone>(controller: &Controller, lid: LogId, len: u32) -> T {
    let what = GetLogPage { lid, len: len.into(), ..GetLogPage::default() };
    let answer = controller.admin(AdminCommand::GetLogPage(what).encode().with_nsid(NSID_ALL), Payload::In(len)).await.unwrap();
    view::<T>(&answer.data).unwrap().clone()
}

/// Somebody writes until the namespace has gone from under them. Nothing of theirs is in the namespace that comes back.
async fn format_under_load(env: Env, controller: Controller, done: Rc<Cell<u32>>) {
    let local = env.local.clone();
    let namespace = find(&controller, 1).unwrap();
    let (writes, ended) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (writer, count, over) = (local.clone(), writes.clone(), ended.clone());
    let written = namespace.clone();
    local.spawn(async move {
        let queue = open(&writer, &written).await;
        loop {
            let (status, _) = queue.write(count.get() % 256, 2, buffer(&writer, 1024, 0xee).await).await;
            count.set(count.get() + 1);
            if status == Status::Gone {
                break;
            }
        }
        over.set(true);
    });
    while writes.get() < 20 {
        local.sleep_ns(100_000).await;
    }
    let formatted = within(&local, 60_000_000_000, controller.format(1, FormatNvm { format: 1, ..FormatNvm::default() })).await;
    if !matches!(formatted, Some(Ok(()))) {
        return;
    }
    let now = wait_for(&local, &controller, 1, |n| n.info().block_shift == 12).await;
    while !ended.get() {
        local.sleep_ns(100_000).await;
    }
    assert!(namespace.is_gone());
    let queue = open(&local, &now).await;
    assert_eq!(now.info().blocks, 64);
    for lba in 0..64 {
        assert_eq!(read(&local, &queue, lba, 1, 4096).await, (Status::Ok, [0, 0]), "block {lba}");
    }
    done.set(done.get() + 1);
}

#[test]
fn a_namespace_leaves_before_it_is_formatted_and_comes_back_empty() {
    let done = Rc::new(Cell::new(0));
    for seed in 0..12 {
        let rates = match seed % 4 {
            0 => Rates::default(),
            1 => Rates { late: 100_000, ..Rates::default() },
            2 => Rates { duplicate: 200_000, wrong_id: 50_000, ..Rates::default() },
            _ => Rates { passing_error: 50_000, ..Rates::default() },
        };
        let counted = done.clone();
        let trial = Trial::of_plan(seed, Plan { rates, ..Plan::honest() });
        let outcome = trial.operate(move |env, controller| format_under_load(env, controller, counted));
        // One that fails at bring-up is not what is looked at here.
        let wrong: Vec<_> = outcome.wrong.iter().filter(|what| seed % 4 == 0 || !what.starts_with("attach")).collect();
        assert!(wrong.is_empty(), "seed {seed}: {wrong:?}");
    }
    assert!(done.get() >= 6, "{}", done.get());
}

#[test]
fn a_compare_and_write_is_offered_where_a_queue_holds_both_halves() {
    for (mqes, offered) in [(1, false), (2, true), (31, true)] {
        let looked = Rc::new(Cell::new(None));
        let seen = looked.clone();
        let outcome = Trial::of_plan(1, Plan { mqes, ..Plan::honest() }).operate(move |_, controller| async move {
            seen.set(find(&controller, 1).map(|namespace| namespace.info().ops.has(Op::CompareAndWrite)));
        });
        assert_eq!((outcome.wrong, looked.get()), (vec![], Some(offered)), "{mqes}");
    }
}

/// A controller that points by PRPs alone needs a copy of what does not lie on a dword.
#[test]
fn what_needs_a_longer_copy_than_there_are_buffers_is_refused_and_waits_for_nothing() {
    let classes = [(512, 64), (4096, 8)].map(|(size, count)| ClassSpec { size, count });
    let ended = Rc::new(RefCell::new(Vec::new()));
    let seen = ended.clone();
    let trial = Trial { classes: Some(classes.to_vec()), ..Trial::of_plan(1, Plan { sgls: 0, ..Plan::honest() }) };
    let outcome = trial.operate(move |env, controller| async move {
        let memory = Foreign::scratch(&env.regions, 1 << 17).unwrap();
        let namespace = find(&controller, 1).unwrap();
        let queue = open(&env.local, &namespace).await;
        for (at, blocks) in [(2, 16), (2, 128), (4, 128), (2, 64), (2, 65)] {
            let (status, _) = queue.read(0, blocks, memory.seg(at, blocks * 512).unwrap()).await;
            seen.borrow_mut().push(status);
        }
    });
    assert_eq!(outcome.wrong, NOTHING);
    assert_eq!(*ended.borrow(), [Status::Ok, Status::Invalid, Status::Ok, Status::Ok, Status::Invalid]);
}

#[test]
fn a_subsystem_is_reset_and_its_controller_comes_back() {
    for seed in 0..8 {
        let trial = Trial::of_plan(seed, Plan::honest());
        let outcome = trial.operate(|env, controller| async move {
            let local = env.local.clone();
            let queue = open(&local, &find(&controller, 1).unwrap()).await;
            let written = queue.write(3, 1, buffer(&local, 512, 0x77).await).await.0;
            assert_eq!(written, Status::Ok);
            // What is under way meanwhile is sent again.
            let (load, other) = (env.local.clone(), find(&controller, 1).unwrap());
            let reads = Rc::new(Cell::new(0));
            let count = reads.clone();
            local.spawn(async move {
                let queue = open(&load, &other).await;
                while count.get() < 200 {
                    assert_eq!(read(&load, &queue, 3, 1, 512).await, (Status::Ok, [0x77; 2]));
                    count.set(count.get() + 1);
                }
            });
            controller.reset_subsystem().await.unwrap();
            assert_eq!(read(&local, &queue, 3, 1, 512).await, (Status::Ok, [0x77; 2]));
            while reads.get() < 200 {
                local.sleep_ns(1_000_000).await;
            }
        });
        assert_eq!((outcome.wrong, outcome.counters.subsystem_resets), (vec![], 1), "seed {seed}");
    }
}

/// A reset that is asked for while another one brings the controller back is done after that: what the controller was told to do at the next
/// reset has been done when it ends.
async fn resets_beside_resets(env: Env, controller: Controller, done: Rc<Cell<u32>>) {
    let local = env.local.clone();
    for n in 0..64 {
        let other = controller.clone();
        local.spawn(async move { other.reset().await.unwrap() });
        // Somewhere in it, early or late.
        local.sleep_ns(n * 40_000).await;
        let revision = format!("r{n}");
        let image = firmware(&revision, 4096);
        while controller.update_firmware(&image, 2, CommitAction::ReplaceAndActivate, |_| ()).await.is_err() {}
        controller.reset().await.unwrap();
        assert_eq!(running(&controller).await, revision);
        done.set(done.get() + 1);
    }
}

#[test]
fn a_reset_that_was_asked_for_late_is_not_the_one_that_was_under_way() {
    let done = Rc::new(Cell::new(0));
    for seed in 0..4 {
        let counted = done.clone();
        let outcome = Trial::of_plan(seed, Plan::honest()).operate(move |env, controller| resets_beside_resets(env, controller, counted));
        assert_eq!(outcome.wrong, NOTHING, "seed {seed}");
    }
    assert_eq!(done.get(), 4 * 64);
}

async fn running(controller: &Controller) -> String {
    controller.identity().unwrap().firmware.clone()
}

async fn update(env: Env, controller: Controller, hot: bool) {
    let image = firmware("2.0", 200_000);
    let heard = Cell::new(0);
    let activate = CommitAction::ReplaceAndActivate;
    assert_eq!(controller.update_firmware(&image, 2, activate, |n| heard.set(n)).await.unwrap(), Committed::AsAsked);
    assert_eq!(heard.get(), image.len());
    assert_eq!(running(&controller).await, "1", "it runs from the next reset on");
    assert_eq!(log::<FirmwareSlots>(&controller, LogId::FIRMWARE_SLOT, 512).await.afi, 1 | 2 << 4);
    controller.reset().await.unwrap();
    assert_eq!(running(&controller).await, "2.0");
    let slots = log::<FirmwareSlots>(&controller, LogId::FIRMWARE_SLOT, 512).await;
    assert_eq!((slots.afi, slots.revisions[1].as_str()), (2, Some("2.0")));

    let mut broken = firmware("3.0", 10_000);
    broken[9_000] ^= 1;
    let refused = controller.update_firmware(&broken, 3, activate, |_| ()).await.unwrap_err().to_string();
    assert!(refused.contains("Invalid Firmware Image"), "{refused}");
    let refused = controller.update_firmware(&firmware("3.0", 10_000), 1, activate, |_| ()).await.unwrap_err().to_string();
    assert!(refused.contains("Invalid Firmware Slot"), "{refused}");

    let now = controller.update_firmware(&firmware("4.0", 70_000), 3, CommitAction::ReplaceAndActivateNow, |_| ()).await.unwrap();
    assert_eq!(now, if hot { Committed::AsAsked } else { Committed::ControllerReset });
    controller.reset().await.unwrap();
    assert_eq!(running(&controller).await, "4.0");
    // What is in a slot already needs no image.
    assert_eq!(controller.update_firmware(&[], 2, CommitAction::Activate, |_| ()).await.unwrap(), Committed::AsAsked);
    controller.reset().await.unwrap();
    assert_eq!(running(&controller).await, "2.0");
    assert_eq!(controller.state(), State::Live);
    drop(env);
}

#[test]
fn firmware_is_sent_in_pieces_and_runs_after_a_reset() {
    for hot in [false, true] {
        let plan = Plan { hot_firmware: hot, ..Plan::honest() };
        let outcome = Trial::of_plan(1, plan).operate(move |env, controller| update(env, controller, hot));
        assert_eq!(outcome.wrong, NOTHING);
        assert_eq!(outcome.counters.commits, 3);
    }
}

async fn sanitize(env: Env, controller: Controller) {
    let local = &env.local;
    let namespace = find(&controller, 3).unwrap();
    let queue = open(local, &namespace).await;
    assert_eq!(queue.write(0, 4, buffer(local, 4 * 4096, 0x77).await).await.0, Status::Ok);
    assert_eq!(queue.control(Op::WriteUncorrectable, 2, 1).await, Status::Ok);
    assert_eq!(read(local, &queue, 0, 2, 4096).await, (Status::Ok, [0x77, 0x77]));
    assert_eq!(read(local, &queue, 0, 4, 4096).await.0, Status::ReadError);
    assert_eq!(queue.control(Op::Verify, 1, 2).await, Status::ReadError);
    assert_eq!(log::<SanitizeStatus>(&controller, LogId::SANITIZE, 512).await.state.get(), 0);

    let sqe = Sanitize { action: SanitizeAction::BlockErase, unrestricted: true, no_deallocate: false }.encode();
    assert!(controller.admin(sqe, Payload::None).await.unwrap().cqe.status().is_ok());
    assert_eq!(queue.control(Op::Verify, 0, 1).await, Status::Busy);
    let under_way = log::<SanitizeStatus>(&controller, LogId::SANITIZE, 512).await;
    assert_eq!((SanitizeState::from_bits(under_way.state.get()).status(), under_way.cdw10.get()), (2, sqe.cdw10.get()));
    assert!(under_way.progress.get() < u16::MAX);
    // It goes on over a reset.
    controller.reset().await.unwrap();
    loop {
        let status = log::<SanitizeStatus>(&controller, LogId::SANITIZE, 512).await;
        let state = SanitizeState::from_bits(status.state.get());
        if state.status() == 1 {
            assert!(state.erased() && status.progress.get() == u16::MAX);
            break;
        }
        local.sleep_ns(1_000_000).await;
    }
    assert_eq!(read(local, &queue, 0, 4, 4096).await, (Status::Ok, [0, 0]));
}

#[test]
fn a_sanitize_keeps_everybody_out_until_it_has_erased_all() {
    assert_eq!(Trial::of_plan(1, Plan::honest()).operate(sanitize).wrong, NOTHING);
}

async fn admin(controller: &Controller, opcode: AdminOpcode, nsid: u32, cdw10: u32, payload: Payload) -> (bool, u32) {
    let answer = controller.admin(Sqe { cdw10: U32::new(cdw10), ..Sqe::new(opcode.0) }.with_nsid(nsid), payload).await.unwrap();
    (answer.cqe.status().is_ok(), answer.cqe.dw0.get())
}

async fn namespaces(env: Env, controller: Controller) {
    let (local, attachment) = (&env.local, AdminOpcode::NAMESPACE_ATTACHMENT);
    let page = Page { nsze: U64::new(100), ncap: U64::new(100), flbas: 1, ..Page::default() };
    let (made, nsid) = admin(&controller, AdminOpcode::NAMESPACE_MANAGEMENT, 0, 0, Payload::Out(bytes(&page).to_vec())).await;
    assert!(made && nsid == 2, "{made} {nsid}");
    let mut list = ControllerList::default();
    list.fill([1]);
    let list = bytes(&list).to_vec();
    assert!(admin(&controller, attachment, nsid, 0, Payload::Out(list.clone())).await.0);
    assert!(!admin(&controller, attachment, nsid, 0, Payload::Out(list.clone())).await.0, "attached twice");
    let namespace = wait_for(local, &controller, nsid, |_| true).await;
    assert_eq!((namespace.info().blocks, namespace.info().block_shift), (100, 12));
    let queue = open(local, &namespace).await;
    assert_eq!(queue.write(99, 1, buffer(local, 4096, 0x33).await).await.0, Status::Ok);
    assert_eq!(read(local, &queue, 99, 1, 4096).await, (Status::Ok, [0x33, 0x33]));
    assert!(admin(&controller, attachment, nsid, 1, Payload::Out(list)).await.0);
    while !namespace.is_gone() {
        local.sleep_ns(1_000_000).await;
    }
    assert_eq!(read(local, &queue, 99, 1, 4096).await.0, Status::Gone);
    assert!(admin(&controller, AdminOpcode::NAMESPACE_MANAGEMENT, nsid, 1, Payload::None).await.0);
    assert!(!admin(&controller, AdminOpcode::NAMESPACE_MANAGEMENT, nsid, 1, Payload::None).await.0, "deleted twice");
    assert!(find(&controller, 1).is_some() && find(&controller, 3).is_some());
}

#[test]
fn namespaces_are_made_attached_detached_and_deleted() {
    assert_eq!(Trial::of_plan(1, Plan::honest()).operate(namespaces).wrong, NOTHING);
}

async fn security(_env: Env, controller: Controller) {
    let said: Vec<u8> = (0..5000).map(|n| (n % 249) as u8).collect();
    let sqe = |opcode: AdminOpcode, len: u32| Sqe { cdw11: U32::new(len), ..Sqe::new(opcode.0) };
    let sent = controller.admin(sqe(AdminOpcode::SECURITY_SEND, 5000), Payload::Out(said.clone())).await.unwrap();
    assert!(sent.cqe.status().is_ok());
    let got = controller.admin(sqe(AdminOpcode::SECURITY_RECEIVE, 6000), Payload::In(6000)).await.unwrap();
    assert!(got.cqe.status().is_ok());
    assert_eq!(got.data[..5000], said);
    assert!(got.data[5000..].iter().all(|byte| *byte == 0));
}

#[test]
fn security_send_and_receive_carry_what_they_are_given() {
    assert_eq!(Trial::of_plan(1, Plan::honest()).operate(security).wrong, NOTHING);
}
