use super::{Lock, all};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Polls until it is done: nothing here waits for anything but itself.
fn run<T>(future: impl Future<Output = T>) -> T {
    let (mut future, mut c) = (pin!(future), Context::from_waker(Waker::noop()));
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut c) {
            return answer;
        }
    }
}

/// Lets others run so many times.
async fn later(times: u32) {
    let mut left = times;
    poll_fn(|_| {
        left = left.saturating_sub(1);
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[test]
fn whoever_asks_first_has_it_first() {
    let (lock, order) = (Lock::new(0), RefCell::new(Vec::new()));
    let one = async |n: u32| {
        let mut held = lock.lock().await;
        *held += 1;
        let before = *held;
        later(5).await;
        assert_eq!(before, *held, "somebody else had it");
        order.borrow_mut().push(n);
        Ok::<(), ()>(())
    };
    run(all(8, (0..8).map(one))).unwrap();
    assert_eq!(*order.borrow(), (0..8).collect::<Vec<_>>());
}

#[test]
fn who_stops_waiting_is_passed_over() {
    let lock = Rc::new(Lock::new(()));
    let held = run(lock.lock());
    {
        let mut waiting = pin!(lock.lock());
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drop(held);
    drop(run(lock.lock()));
    drop(run(lock.lock()));
}

#[test]
fn no_more_run_than_were_asked_for_and_a_failure_waits_for_the_rest() {
    let (now, most, ended) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let one = async |n: u32| {
        now.set(now.get() + 1);
        most.set(most.get().max(now.get()));
        later(3 + n % 4).await;
        now.set(now.get() - 1);
        ended.set(ended.get() + 1);
        if n == 9 || n == 10 { Err(n) } else { Ok(()) }
    };
    assert_eq!(run(all(4, (0..9).map(one))), Ok(()));
    assert_eq!((most.get(), ended.get()), (4, 9));
    assert_eq!(run(all(4, (8..100).map(one))), Err(9));
    assert!(now.get() == 0 && ended.get() < 20);
}
