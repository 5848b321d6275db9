use super::*;
use crate::{DiskSpec, PipeSpec, SimDisk, StormLog, StormSpec, storm};
use crate::{DurabilityModel, seeds};
use doorbell_block::{BlockDevice, Consumer, Op, Token};
use doorbell_reactor::AsyncQueue;
use std::sync::Arc;

const SECOND: u64 = 1_000_000_000;

/// Something of everything: a storm on a disk from each of three reactors, visits between them, and a pipe.
fn busy(seed: u64) -> (u64, u64) {
    let mut m = Machine::new(seed, 3);
    let disk = SimDisk::new(DiskSpec::new(seed, 9, 256));
    let log = StormLog::new(DurabilityModel::new(seed, 9, 256));
    for n in 0..3 {
        let spec = StormSpec { seed: seed + u64::from(n), depth: 4, ..StormSpec::default() };
        storm(m.cx(n), &disk, spec, log.clone()).unwrap();
    }
    let (mut a, mut b) = m.network().pipe(PipeSpec::default());
    a.write(&[7; 5_000]).unwrap();
    let answer = m.run(SECOND, |local| async move {
        let mut sum = 0;
        for n in 0..20 {
            sum += local.visit(ReactorId(n % 3), move |cx| cx.reactor().0 + n).await.unwrap();
            local.sleep_ns(10_000).await;
        }
        sum
    });
    assert_eq!(answer, Ok((0..20).map(|n| n + n % 3).sum()));
    m.run_until(SECOND, |_| log.borrow().done > 500).unwrap();
    let _ = b.read(&mut [0; 4_096]);
    assert_eq!(log.borrow().breach, None);
    (m.trace().hash(), m.now().0)
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    for seed in seeds(3) {
        let first = busy(seed);
        assert_eq!(first, busy(seed), "seed {seed}");
        assert_ne!(first.0, busy(seed + 1_000).0, "seed {seed}");
    }
}

#[test]
fn what_nobody_will_ever_wake_is_a_deadlock() {
    let mut m = Machine::new(5, 2);
    let stalled = m.run(SECOND, |_| std::future::pending::<()>());
    assert!(matches!(stalled, Err(Stalled::Deadlock { seed: 5, .. })), "{stalled:?}");
}

#[test]
fn what_never_ends_runs_out_of_budget() {
    let mut m = Machine::new(6, 1);
    let forever = m.run(SECOND, |local| async move {
        loop {
            local.sleep_ns(1_000_000).await;
        }
        #[allow(unreachable_code, reason = "the type of a future that never ends")]
        ()
    });
    assert_eq!(forever, Err(Stalled::OverBudget { seed: 6, budget_ns: SECOND }));
    assert!(m.now().0 > SECOND);
}

#[test]
fn virtual_time_costs_nothing() {
    let mut m = Machine::new(7, 1);
    let hour = 3_600 * SECOND;
    m.run(2 * hour, |local| async move { local.sleep_ns(hour).await }).unwrap();
    assert!(m.now().0 >= hour && m.now().0 < hour + SECOND);
    assert!(m.close(SECOND).iter().all(|c| c.boxes_out == 0 && c.buffers_out == 0));
}

struct Ping {
    to: ReactorId,
    peer: Rc<RefCell<Option<Token>>>,
    runs: Rc<RefCell<Vec<u64>>>,
}

impl Consumer for Ping {
    fn run(&mut self, cx: &mut Cx, _token: Token) {
        self.runs.borrow_mut().push(cx.now().0);
        if let Some(peer) = *self.peer.borrow() {
            cx.send(self.to, doorbell_block::Message::Wake(peer));
        }
    }
}

#[test]
fn messages_between_reactors_arrive_whatever_the_order_of_turns() {
    for seed in seeds(10) {
        let mut m = Machine::new(seed, 2);
        let runs = Rc::new(RefCell::new(Vec::new()));
        let peers = [Rc::new(RefCell::new(None)), Rc::new(RefCell::new(None))];
        for n in 0..2u32 {
            let ping = Ping { to: ReactorId(1 - n), peer: peers[1 - n as usize].clone(), runs: runs.clone() };
            let cx = m.cx(n);
            let mut token = None;
            cx.adopt(|cx, me| {
                token = Some(cx.token(me));
                ping
            });
            *peers[n as usize].borrow_mut() = token;
        }
        let first = peers[0].borrow().unwrap();
        m.cx(0).wake(first);
        m.run_until(SECOND, |_| runs.borrow().len() >= 100).unwrap();
        assert!(runs.borrow().is_sorted(), "time went back");
    }
}

#[test]
fn a_lost_box_shows_when_the_machine_closes() {
    let mut m = Machine::new(8, 1);
    let held = m.cx(0).take_io();
    assert_eq!(m.close(SECOND)[0].boxes_out, 1);
    drop(held);
}

#[test]
fn queues_for_async_code_work_in_it() {
    let disk = SimDisk::new(DiskSpec::new(9, 12, 64));
    let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
    let mut m = Machine::new(9, 1);
    m.run(SECOND, |local| async move {
        let queue = AsyncQueue::open(&local, device, 1).await.unwrap();
        let buffer = local.with(|cx| cx.buffer(4096)).await.unwrap();
        buffer.write_at(0, &[5; 4096]);
        let (status, buffer) = queue.write(3, 1, buffer).await;
        assert!(status.is_ok());
        buffer.write_at(0, &[0; 4096]);
        let (status, mut buffer) = queue.read(3, 1, buffer).await;
        assert!(status.is_ok() && buffer.bytes().unwrap().iter().all(|b| *b == 5));
        assert!(queue.control(Op::Flush, 0, 0).await.is_ok());
    })
    .unwrap();
    assert_eq!(disk.counters().flushes, 1);
    assert!(m.close(SECOND).iter().all(|c| c.boxes_out == 0 && c.buffers_out == 0));
}
