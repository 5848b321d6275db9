use super::*;
use doorbell_block::{Consumer, Cx, Ticks, Token};
use doorbell_mem::{Backing, ClassSpec};

fn config(reactors: u32) -> Config {
    let pool = PoolSpec { classes: vec![ClassSpec { size: 4096, count: 16 }], backing: Backing::Ordinary, node: None };
    Config { reactors, boxes: 16, pool, ..Config::default() }
}

/// Sends itself round a ring of reactors.
struct Runner {
    left: u32,
    done: Option<crate::Sender<u32>>,
}

impl Consumer for Runner {
    fn run(&mut self, cx: &mut Cx, token: Token) {
        self.left -= 1;
        if self.left == 0
            && let Some(done) = self.done.take()
        {
            done.send(cx.reactor().0);
        } else {
            cx.wake(token);
        }
    }
}

#[test]
fn visits_reach_every_reactor_and_a_sleeping_one_wakes() {
    let (answers, closed) = run(&config(3), |local| async move {
        let mut answers = vec![];
        for round in 0..50 {
            for n in 0..3 {
                answers.push(local.visit(ReactorId(n), move |cx| (cx.reactor().0, round)).await.unwrap());
            }
            local.sleep_ns(100_000).await; // long enough for the others to fall asleep
        }
        answers
    })
    .unwrap();
    assert_eq!(answers.len(), 150);
    assert!(answers.chunks(3).enumerate().all(|(n, c)| c == [(0, n), (1, n), (2, n)]));
    assert_eq!(closed.len(), 3);
    assert!(closed.iter().all(|c| c.boxes_out == 0 && c.buffers_out == 0));
}

#[test]
fn a_consumer_on_another_reactor_runs_until_it_is_done() {
    let (who, _) = run(&config(2), |local| async move {
        let (tx, rx) = crate::oneshot();
        let start = move |cx: &mut Cx| {
            cx.adopt(|cx, me| {
                let token = cx.token(me);
                cx.wake(token);
                Runner { left: 1000, done: Some(tx) }
            });
        };
        local.visit(ReactorId(1), start).await.unwrap();
        rx.await.unwrap()
    })
    .unwrap();
    assert_eq!(who, 1);
}

#[test]
fn sleepers_wake_in_order_of_time() {
    let (order, _) = run(&config(1), |local| async move {
        let order = Rc::new(RefCell::new(vec![]));
        let start = local.now();
        for ms in [3u64, 1, 2] {
            let (l, o) = (local.clone(), order.clone());
            local.spawn(async move {
                l.sleep_until(Ticks(start.0 + ms * 1_000_000)).await;
                o.borrow_mut().push(ms);
            });
        }
        local.sleep_until(Ticks(start.0 + 4_000_000)).await;
        order.take()
    })
    .unwrap();
    assert_eq!(order, [1, 2, 3]);
}

#[test]
fn a_lost_box_is_counted_at_the_end() {
    let (_, closed) = run(&config(1), |local| async move {
        local.with(|cx| std::mem::forget(cx.take_io())).await;
    })
    .unwrap();
    assert_eq!(closed[0].boxes_out, 1);
}

#[test]
fn an_idle_reactor_sleeps_and_turns_no_more() {
    let (turns, _) = run_with_loads(&config(1), |local, loads| async move {
        local.sleep_ns(5_000_000).await; // past the spin
        let before = loads[0].read();
        for _ in 0..20 {
            local.sleep_ns(2_000_000).await;
        }
        let after = loads[0].read();
        (after.turns - before.turns, after.sleeps - before.sleeps)
    })
    .unwrap();
    // Each sleep costs the turns of its spin budget; a reactor that polled would take hundreds of thousands.
    assert!(turns.1 >= 15, "{turns:?}");
}
