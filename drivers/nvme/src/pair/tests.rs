use super::*;
use crate::link::{Flight, Link};
use crate::options::Policy;
use doorbell_block::{ConsumerId, Op};
use doorbell_wire_nvme::{Cid, IoCommand, Sqe};
use std::cell::RefCell;
use std::collections::VecDeque;

/// A link whose device does what the test says.
#[derive(Default)]
struct Desk {
    room: usize,
    given: VecDeque<(Flight, Sqe)>,
    answers: VecDeque<Completed>,
    silent: bool,
    lost: bool,
    kicks: u32,
}

struct FakeLink(Rc<RefCell<Desk>>);

impl Link for FakeLink {
    fn has_room(&self) -> bool {
        let desk = self.0.borrow();
        desk.given.len() < desk.room
    }

    fn submit(&mut self, flight: Flight, sqe: &Sqe) -> Result<(), (Flight, Refusal)> {
        self.0.borrow_mut().given.push_back((flight, *sqe));
        Ok(())
    }

    fn submit_pair(&mut self, first: (Flight, &Sqe), second: (Flight, &Sqe)) -> Result<(), (Flight, Flight, Refusal)> {
        let mut desk = self.0.borrow_mut();
        if desk.given.len() + 2 > desk.room {
            return Err((first.0, second.0, Refusal::Full));
        }
        desk.given.push_back((first.0, *first.1));
        desk.given.push_back((second.0, *second.1));
        Ok(())
    }

    fn kick(&mut self) {
        self.0.borrow_mut().kicks += 1;
    }

    fn reap(&mut self, _: Ticks, budget: u32, done: &mut Vec<Completed>) -> Result<u32, Lost> {
        let mut desk = self.0.borrow_mut();
        if desk.lost {
            return Err(Lost::Connection("the test cut it".into()));
        }
        let n = desk.answers.len().min(budget as usize);
        done.extend(desk.answers.drain(..n));
        Ok(n as u32)
    }

    fn in_flight(&self) -> usize {
        let desk = self.0.borrow();
        desk.given.len() + desk.answers.len()
    }

    fn each(&self, show: &mut dyn FnMut(Cid, &Flight)) {
        self.0.borrow().given.iter().enumerate().for_each(|(n, (flight, _))| show(Cid(n as u16), flight));
    }

    fn reclaim(&mut self) -> Option<Vec<Flight>> {
        let mut desk = self.0.borrow_mut();
        desk.silent.then(|| desk.given.drain(..).map(|(flight, _)| flight).collect())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn arm(&mut self) -> Armed {
        Armed::Armed
    }

    fn disarm(&mut self) {}
}

/// A block of a namespace that has gone.
const GONE: u64 = 0xdead;

/// A block whose command must not be done twice.
const ONCE: u64 = 0xacce;

struct Reads(u32);

impl Translate for Reads {
    fn command(&self, io: &Io) -> Option<SqeWords> {
        if io.lba == GONE {
            return None;
        }
        let mut sqe = IoCommand::Flush.encode().with_nsid(self.0);
        sqe.cdw10 = (io.lba as u32).into();
        Some(SqeWords::from(&sqe))
    }

    fn may_repeat(&self, io: &Io) -> bool {
        io.lba != ONCE
    }
}

struct World {
    cx: Cx,
    pair: Pair,
    desk: Rc<RefCell<Desk>>,
    owners: Vec<OwnerId>,
}

impl World {
    fn new(room: usize, owners: u32) -> World {
        let mut cx = Cx::for_test(64, 4096, 4);
        let shared = Arc::new(Shared::new("test", Policy { retries: 2, ..Policy::default() }));
        let id = shared.pair_id(cx.reactor());
        let mut pair = Pair::new(shared, id, cx.now()).unwrap();
        let desk = Rc::new(RefCell::new(Desk { room, ..Desk::default() }));
        pair.set_link(AnyLink::other(FakeLink(desk.clone()))).unwrap();
        let owners = (0..owners).map(|n| pair.join(cx.token(ConsumerId(n)), 8, Wants::All, Arc::new(Reads(n + 1)))).collect();
        World { cx, pair, desk, owners }
    }

    fn live(mut self) -> World {
        self.pair.go_live(&mut self.cx);
        self
    }

    fn send(&mut self, owner: usize, lba: u64) {
        let mut io = self.cx.take_io().unwrap();
        (io.op, io.lba) = (Op::Read, lba);
        self.pair.submit(&mut self.cx, io, self.owners[owner], &Reads(owner as u32 + 1));
    }

    /// Namespace and block of what the device has.
    fn given(&self) -> Vec<(u32, u32)> {
        self.desk.borrow().given.iter().map(|(_, sqe)| (sqe.nsid(), sqe.cdw10.get())).collect()
    }

    fn answer(&mut self, at: usize, status: Status) {
        let (flight, _) = self.desk.borrow_mut().given.remove(at).unwrap();
        let cqe = doorbell_wire_nvme::Cqe::new(Cid(0), status);
        self.desk.borrow_mut().answers.push_back(Completed { flight, cqe });
        self.pair.reap(&mut self.cx, 64);
    }

    /// What an owner gets back: blocks, and whether the device said so.
    fn back(&mut self, owner: usize) -> Vec<(u64, Result<Status, Ended>)> {
        let (mut all, mut ended) = (Vec::new(), Vec::new());
        let cx = &mut self.cx;
        self.pair.collect(self.owners[owner], &mut ended, &mut Vec::new());
        for (io, end) in ended {
            let end = match end {
                Finished::Done(cqe) => Ok(cqe.status()),
                Finished::Failed(why) => Err(why),
                Finished::Misaligned => Err(Ended::Invalid),
                Finished::Reset => Err(Ended::Ok),
            };
            all.push((io.lba, end));
            cx.put_io(io);
        }
        all
    }
}

#[test]
fn who_finds_no_room_waits_in_order_and_owners_take_turns() {
    let mut w = World::new(1, 2).live();
    for lba in 1..=3 {
        w.send(0, lba);
    }
    w.send(1, 9);
    assert_eq!(w.given(), [(1, 1)]);
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(w.given()[0]);
        w.answer(0, Status::SUCCESS);
    }
    assert_eq!(order, [(1, 1), (2, 9), (1, 2), (1, 3)]);
    assert_eq!(w.back(0).iter().map(|b| b.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(w.back(1), [(9, Ok(Status::SUCCESS))]);
    assert_eq!(w.cx.boxes_out(), 0);
}

#[test]
fn what_comes_before_the_link_is_held_and_goes_once_it_is_live() {
    let mut w = World::new(8, 1);
    w.send(0, 1);
    w.send(0, 2);
    assert!(w.given().is_empty());
    w.pair.go_live(&mut w.cx);
    assert_eq!(w.given(), [(1, 1), (1, 2)]);
    assert!(w.desk.borrow().kicks > 0, "what was let in was not kicked");
}

#[test]
fn a_command_that_may_succeed_is_sent_again_so_many_times() {
    let mut w = World::new(8, 1).live();
    w.send(0, 5);
    for _ in 0..2 {
        w.answer(0, Status::NAMESPACE_NOT_READY);
        assert!(w.back(0).is_empty());
        assert_eq!(w.given(), [(1, 5)]);
    }
    w.answer(0, Status::NAMESPACE_NOT_READY);
    assert_eq!(w.back(0), [(5, Ok(Status::NAMESPACE_NOT_READY))]);
    w.send(0, 6);
    w.answer(0, Status::NAMESPACE_NOT_READY.dnr());
    assert_eq!(w.back(0), [(6, Ok(Status::NAMESPACE_NOT_READY.dnr()))]);
}

#[test]
fn what_waited_for_a_namespace_that_has_gone_is_not_sent() {
    let mut w = World::new(8, 1);
    w.send(0, GONE);
    w.send(0, 2);
    w.pair.go_live(&mut w.cx);
    assert_eq!((w.given(), w.back(0)), (vec![(1, 2)], vec![(GONE, Err(Ended::Gone))]));
}

#[test]
fn what_was_asked_back_is_not_sent_again() {
    let mut w = World::new(8, 1).live();
    w.send(0, 5);
    w.pair.abort(&mut w.cx, w.owners[0], Abort::All);
    w.answer(0, Status::ABORT_REQUESTED);
    assert_eq!(w.back(0), [(5, Ok(Status::ABORT_REQUESTED))]);
    assert!(w.given().is_empty());
}

#[test]
fn a_delay_that_the_controller_asks_for_is_kept() {
    let mut w = World::new(8, 1).live();
    w.pair.shared.set_retry_delays([3, 0, 0]);
    w.send(0, 5);
    w.answer(0, Status::NAMESPACE_NOT_READY.with_crd(1));
    assert!(w.given().is_empty() && w.back(0).is_empty());
    w.cx.begin_turn(Ticks(299_999_999));
    w.pair.look(&mut w.cx);
    assert!(w.given().is_empty());
    w.cx.begin_turn(Ticks(300_000_000));
    w.pair.look(&mut w.cx);
    assert_eq!(w.given(), [(1, 5)]);
}

#[test]
fn nothing_comes_back_from_a_link_before_its_device_is_silent() {
    let mut w = World::new(2, 1).live();
    (1..=3).for_each(|lba| w.send(0, lba));
    w.pair.hold_back();
    assert!(!w.pair.take_back(&mut w.cx) && w.back(0).is_empty());
    w.desk.borrow_mut().silent = true;
    assert!(w.pair.take_back(&mut w.cx));
    assert!(w.back(0).is_empty(), "they wait for the controller to come back");
    w.desk.borrow_mut().room = 8;
    w.pair.go_live(&mut w.cx);
    assert_eq!(w.given(), [(1, 1), (1, 2), (1, 3)], "in the order in which they came");
}

#[test]
fn what_must_not_be_done_twice_is_sent_again_only_where_it_was_refused() {
    let mut w = World::new(8, 1).live();
    w.send(0, ONCE);
    w.answer(0, Status::NAMESPACE_NOT_READY);
    assert_eq!((w.back(0), w.given()), (vec![], vec![(1, ONCE as u32)]));
    // Part of it may have been done.
    w.answer(0, Status::ABORTED_SQ_DELETION);
    assert_eq!((w.back(0), w.given()), (vec![(ONCE, Ok(Status::ABORTED_SQ_DELETION))], vec![]));
    w.send(0, 1);
    w.send(0, ONCE);
    w.pair.hold_back();
    w.send(0, ONCE);
    w.desk.borrow_mut().silent = true;
    assert!(w.pair.take_back(&mut w.cx));
    assert_eq!(w.back(0), [(ONCE, Err(Ended::Aborted))], "nobody knows whether the device did it");
    w.pair.go_live(&mut w.cx);
    assert_eq!(w.given(), [(1, 1), (1, ONCE as u32)], "the last one was never with the device");
}

#[test]
fn a_lost_link_is_told_once_and_polled_no_more() {
    let mut w = World::new(8, 1).live();
    w.send(0, 1);
    assert!(w.pair.busy());
    w.desk.borrow_mut().lost = true;
    w.pair.reap(&mut w.cx, 8);
    w.pair.reap(&mut w.cx, 8);
    assert!(!w.pair.busy());
    w.send(0, 2);
    assert_eq!(w.given().len(), 1, "nothing goes into a lost link");
}

#[test]
fn those_who_wait_and_those_who_come_fail_at_once_when_told_to() {
    let mut w = World::new(8, 1);
    w.send(0, 1);
    w.pair.fail_fast(&mut w.cx);
    w.send(0, 2);
    assert_eq!(w.back(0), [(1, Err(Ended::Aborted)), (2, Err(Ended::Aborted))]);
    w.pair.go_live(&mut w.cx);
    w.send(0, 3);
    assert_eq!(w.given(), [(1, 3)]);
    w.desk.borrow_mut().silent = true;
    w.pair.hold_back();
    w.pair.take_back(&mut w.cx);
    w.pair.end(&mut w.cx);
    w.send(0, 4);
    assert_eq!(w.back(0), [(3, Err(Ended::Gone)), (4, Err(Ended::Gone))]);
    assert_eq!(w.cx.boxes_out(), 0);
}

#[test]
fn an_abort_gives_back_what_waits_and_asks_for_the_rest() {
    let mut w = World::new(1, 1).live();
    w.send(0, 1);
    w.send(0, 2);
    w.pair.abort(&mut w.cx, w.owners[0], Abort::All);
    assert_eq!(w.back(0), [(2, Err(Ended::Aborted))]);
    assert_eq!(w.given(), [(1, 1)]);
}

#[test]
fn a_fused_pair_is_neither_torn_nor_sent_again_by_itself() {
    let mut w = World::new(2, 1).live();
    w.send(0, 1);
    let boxes = [w.cx.take_io().unwrap(), w.cx.take_io().unwrap()];
    let sqe = IoCommand::Flush.encode();
    let [a, b] = boxes;
    let back = w.pair.submit_fused(&mut w.cx, [(a, sqe), (b, sqe)], w.owners[0]);
    let [a, b] = back.expect("there is room for one only");
    w.answer(0, Status::SUCCESS);
    assert!(w.pair.submit_fused(&mut w.cx, [(a, sqe), (b, sqe)], w.owners[0]).is_none());
    w.answer(0, Status::NAMESPACE_NOT_READY);
    assert_eq!(w.given().len(), 1);
    w.answer(0, Status::SUCCESS);
    assert_eq!(w.back(0).len(), 3);
    assert_eq!(w.cx.boxes_out(), 0);
}

impl World {
    /// Asks for a fused pair on a block; true when it was taken.
    fn fuse(&mut self, owner: usize, lba: u64) -> bool {
        let pair = [(); 2].map(|()| {
            let mut io = self.cx.take_io().unwrap();
            (io.op, io.lba) = (Op::Compare, lba);
            let sqe = Reads(owner as u32 + 1).command(&io).unwrap().into();
            (io, sqe)
        });
        match self.pair.submit_fused(&mut self.cx, pair, self.owners[owner]) {
            None => true,
            Some(back) => {
                back.into_iter().for_each(|io| self.cx.put_io(io));
                false
            }
        }
    }

    fn reset(&mut self, owner: usize) {
        let mut io = self.cx.take_io().unwrap();
        (io.op, io.lba) = (Op::Reset, 77);
        self.pair.submit_reset(&mut self.cx, io, self.owners[owner]);
    }
}

#[test]
fn a_fused_pair_gets_its_room_however_busy_the_others_are() {
    let mut w = World::new(2, 2).live();
    w.send(0, 1);
    w.send(0, 2);
    assert!(!w.fuse(1, 9), "there is no room");
    w.send(0, 3);
    w.answer(0, Status::SUCCESS);
    assert_eq!(w.given(), [(1, 2)], "the third waits for the pair");
    assert!(!w.fuse(1, 9));
    w.answer(0, Status::SUCCESS);
    assert!(w.fuse(1, 9) && w.given() == [(2, 9), (2, 9)]);
    w.answer(0, Status::SUCCESS);
    assert_eq!(w.given(), [(2, 9), (1, 3)], "and then it goes");
    w.answer(0, Status::SUCCESS);
    w.answer(0, Status::SUCCESS);
    assert_eq!((w.back(0).len(), w.back(1).len(), w.cx.boxes_out()), (3, 2, 0));
}

#[test]
fn who_gives_up_its_fused_pair_stops_nobody() {
    let mut w = World::new(2, 2).live();
    w.send(0, 1);
    assert!(!w.fuse(1, 9));
    w.send(0, 2);
    w.answer(0, Status::SUCCESS);
    assert_eq!(w.given(), []);
    w.pair.leave(w.owners[1]);
    assert!(w.pair.busy(), "somebody waits, and nothing is in flight that would bring a look");
    w.pair.reap(&mut w.cx, 64);
    assert_eq!(w.given(), [(1, 2)]);
    w.answer(0, Status::SUCCESS);
    assert_eq!((w.back(0).len(), w.cx.boxes_out()), (2, 0));
}

#[test]
fn a_queue_of_one_entry_refuses_fused_pairs_and_one_that_fails_fast_too() {
    let mut w = World::new(1, 1).live();
    assert!(w.fuse(0, 4));
    assert_eq!(w.back(0), [(4, Err(Ended::Unsupported)), (4, Err(Ended::Unsupported))]);
    w.pair.hold_back();
    w.pair.fail_fast(&mut w.cx);
    assert!(w.fuse(0, 5));
    assert_eq!(w.back(0), [(5, Err(Ended::Aborted)), (5, Err(Ended::Aborted))]);
    assert_eq!(w.cx.boxes_out(), 0);
}

#[test]
fn a_reset_ends_with_a_bring_up_that_began_after_it() {
    let mut w = World::new(2, 2).live();
    w.reset(0);
    w.pair.hold_back();
    w.pair.go_live(&mut w.cx);
    assert_eq!(w.back(0), [], "that was the bring-up before");
    w.pair.shared.epoch.fetch_add(1, Ordering::AcqRel);
    w.reset(1);
    w.pair.set_link(AnyLink::other(FakeLink(w.desk.clone()))).unwrap();
    w.pair.go_live(&mut w.cx);
    assert_eq!(w.back(0), [(77, Err(Ended::Ok))]);
    assert_eq!(w.back(1), [], "asked for while it was under way");
    w.pair.abort(&mut w.cx, w.owners[1], Abort::All);
    assert_eq!(w.back(1), [(77, Err(Ended::Aborted))]);
    w.reset(0);
    w.pair.end(&mut w.cx);
    w.reset(0);
    assert_eq!(w.back(0), [(77, Err(Ended::Gone)), (77, Err(Ended::Gone))]);
    assert_eq!(w.cx.boxes_out(), 0);
}

impl World {
    /// Flushes, which is what `Reads` sends, end this way from now on.
    fn fault(&mut self, is_sent: bool, delay_ns: u64, count: u32, status: Status) {
        let fault = crate::link::Fault { opcode: IoCommand::Flush.encode().opcode, is_sent, delay_ns, count, status };
        self.pair.faults().set(fault);
        self.pair.admit_faults();
    }

    fn at(&mut self, now_ns: u64) {
        self.cx.begin_turn(Ticks(now_ns));
        self.pair.reap(&mut self.cx, 64);
    }
}

#[test]
fn a_fault_ends_so_many_commands_that_the_device_never_sees() {
    let mut w = World::new(8, 1).live();
    w.fault(false, 0, 2, Status::UNRECOVERED_READ);
    (1..=3).for_each(|lba| w.send(0, lba));
    assert_eq!(w.given(), [(1, 3)], "two were kept from it");
    assert!(w.pair.busy());
    w.at(0);
    assert_eq!(w.back(0), [(1, Ok(Status::UNRECOVERED_READ)), (2, Ok(Status::UNRECOVERED_READ))]);
    w.answer(0, Status::SUCCESS);
    assert_eq!(w.back(0), [(3, Ok(Status::SUCCESS))]);
    assert!(!w.pair.faults().any() && w.cx.boxes_out() == 0);
}

#[test]
fn a_fault_of_what_is_sent_changes_a_success_and_waits_its_time() {
    let mut w = World::new(8, 1).live();
    w.send(0, 1);
    w.fault(true, 1000, 1, Status::UNRECOVERED_READ);
    (2..=4).for_each(|lba| w.send(0, lba));
    assert_eq!(w.given().len(), 4);
    w.answer(0, Status::SUCCESS);
    assert_eq!(w.back(0), [(1, Ok(Status::SUCCESS))], "it was sent before");
    w.answer(0, Status::LBA_OUT_OF_RANGE);
    assert_eq!(w.back(0), [(2, Ok(Status::LBA_OUT_OF_RANGE))], "it failed by itself");
    w.answer(0, Status::SUCCESS);
    w.answer(0, Status::SUCCESS);
    assert_eq!(w.back(0), [(4, Ok(Status::SUCCESS))]);
    assert!(w.pair.busy() && w.pair.arm() == Armed::Ready, "nothing would end a sleep");
    w.at(999);
    assert_eq!(w.back(0), []);
    w.at(1000);
    assert_eq!(w.back(0), [(3, Ok(Status::UNRECOVERED_READ))]);
    assert!(!w.pair.busy() && w.pair.arm() == Armed::Armed);
}

#[test]
fn what_a_fault_holds_is_late_as_others_are_and_goes_again_after_a_reset() {
    let mut w = World::new(8, 1).live();
    w.fault(false, 1 << 40, 1, Status::INTERNAL_ERROR);
    w.send(0, 1);
    assert_eq!(w.pair.overdue(Ticks(101), 100).len(), 1);
    w.pair.hold_back();
    assert!(!w.pair.take_back(&mut w.cx), "the device is not silent yet");
    w.desk.borrow_mut().silent = true;
    assert!(w.pair.take_back(&mut w.cx));
    w.pair.go_live(&mut w.cx);
    assert_eq!(w.given(), [(1, 1)]);
}

#[test]
fn faults_are_forgotten_when_asked_and_kept_for_the_next_link() {
    let mut w = World::new(8, 1).live();
    w.fault(false, 0, 9, Status::UNRECOVERED_READ);
    w.pair.set_link(AnyLink::other(FakeLink(w.desk.clone()))).unwrap();
    w.send(0, 1);
    assert!(w.given().is_empty());
    assert!(w.pair.faults().clear(0) && !w.pair.faults().clear(0));
    w.send(0, 2);
    assert_eq!(w.given(), [(1, 2)]);
}

#[test]
fn a_fault_of_one_of_a_fused_pair_takes_both() {
    let mut w = World::new(8, 1).live();
    w.fault(false, 0, 1, Status::COMPARE_FAILURE);
    assert!(w.fuse(0, 4));
    assert!(w.given().is_empty());
    w.at(0);
    assert_eq!(w.back(0), [(4, Ok(Status::COMPARE_FAILURE)), (4, Ok(Status::ABORTED_FAILED_FUSED))]);
    assert_eq!(w.cx.boxes_out(), 0);
}

impl World {
    fn send_raw(&mut self, owner: usize, lba: u64) {
        let mut io = self.cx.take_io().unwrap();
        (io.op, io.lba) = (Op::Write, lba);
        let raw = Raw { sqe: Reads(1).command(&io).unwrap().into(), pages: None };
        self.pair.submit_raw(&mut self.cx, io, Box::new(raw), self.owners[owner]);
    }
}

#[test]
fn a_command_from_elsewhere_does_not_outlive_a_reset_wherever_it_waits() {
    let mut w = World::new(1, 1).live();
    w.send_raw(0, 1);
    w.send_raw(0, 2);
    w.send(0, 3);
    w.pair.hold_back();
    w.desk.borrow_mut().silent = true;
    assert!(w.pair.take_back(&mut w.cx));
    let mut back = w.back(0);
    back.sort_by_key(|b| b.0);
    assert_eq!(back, [(1, Err(Ended::Aborted)), (2, Err(Ended::Aborted))]);
    w.pair.go_live(&mut w.cx);
    assert_eq!(w.given(), [(1, 3)], "a request of a namespace is made anew");
    w.answer(0, Status::SUCCESS);
    assert_eq!((w.back(0).len(), w.cx.boxes_out()), (1, 0));
}

#[test]
fn what_nobody_waits_for_is_not_sent() {
    let mut w = World::new(1, 1);
    w.send_raw(0, 1);
    w.send_raw(0, 2);
    w.pair.withdraw(&mut w.cx, w.owners[0], |io| io.lba == 1);
    assert_eq!(w.back(0), [(1, Err(Ended::Aborted))]);
    w.pair.go_live(&mut w.cx);
    assert_eq!(w.given(), [(1, 2)]);
    w.answer(0, Status::SUCCESS);
    assert_eq!((w.back(0).len(), w.cx.boxes_out()), (1, 0));
}

#[test]
fn an_admin_queue_that_is_lost_says_so_to_all_who_wait() {
    let mut w = World::new(1, 1).live();
    w.send_raw(0, 1);
    w.send_raw(0, 2);
    w.desk.borrow_mut().silent = true;
    w.desk.borrow_mut().lost = true;
    w.pair.reap(&mut w.cx, 8);
    w.send_raw(0, 3);
    let mut back: Vec<u64> = w.back(0).iter().map(|b| b.0).collect();
    back.sort_unstable();
    assert_eq!(back, [1, 2, 3]);
    assert_eq!(w.cx.boxes_out(), 0);
}

#[test]
fn who_wants_no_more_than_a_status_gets_what_went_well_apart_and_one_wake() {
    let mut w = World::new(8, 0).live();
    let token = w.cx.token(ConsumerId(7));
    w.owners.push(w.pair.join(token, 8, Wants::Status, Arc::new(Reads(1))));
    (1..=3).for_each(|lba| w.send(0, lba));
    w.send_raw(0, 4);
    w.answer(0, Status::SUCCESS);
    w.answer(0, Status::LBA_OUT_OF_RANGE);
    w.answer(0, Status::SUCCESS);
    w.answer(0, Status::SUCCESS);
    assert_eq!(w.cx.take_ready().len(), 1);
    let (mut rest, mut fine) = (Vec::new(), Vec::new());
    w.pair.collect(w.owners[0], &mut rest, &mut fine);
    let told: Vec<_> = fine.iter().map(|io| (io.lba, io.status)).collect();
    assert_eq!(told, [(1, Ended::Ok), (3, Ended::Ok)]);
    let rest_told: Vec<_> = rest.iter().map(|(io, end)| (io.lba, matches!(end, Finished::Done(cqe) if cqe.status().is_ok()))).collect();
    assert_eq!(rest_told, [(2, false), (4, true)], "what failed, and what brought its own command, is told whole");
    fine.into_iter().chain(rest.into_iter().map(|(io, _)| io)).for_each(|io| w.cx.put_io(io));
    assert_eq!(w.cx.boxes_out(), 0);
}
