use super::*;
use doorbell_block::{Port, ReactorId};
use doorbell_mem::Pool;
use std::cell::Cell;

#[derive(Clone, Default)]
struct Manual(Rc<Cell<u64>>);

impl Clock for Manual {
    fn now(&self) -> Ticks {
        Ticks(self.0.get())
    }
}

struct Backwards;

impl Order for Backwards {
    fn arrange(&mut self, ready: &mut [Token]) {
        ready.reverse();
    }
}

fn machine<O: Order>(n: u32, order: impl Fn() -> O) -> (Manual, Vec<Reactor<Manual, O>>) {
    let clock = Manual::default();
    let mut ports = vec![];
    let mut inboxes = vec![];
    for _ in 0..n {
        let (sender, receiver) = doorbell_sys::ring::ring(4);
        let (_, notifier) = doorbell_sys::wakeup::pair().unwrap();
        ports.push(Port { sender, notifier });
        inboxes.push(receiver);
    }
    let make = |(id, inbox)| {
        let cx = CxParts { id: ReactorId(id), boxes: 8, pool: Pool::small(512, 8), ports: ports.clone(), poller: None };
        Reactor::new(ReactorParts { cx, inbox, sleeper: None, clock: clock.clone(), order: order(), polling: Polling::Always })
    };
    let reactors = (0..n).zip(inboxes).map(make).collect();
    (clock, reactors)
}

struct Log(Rc<RefCell<Vec<Token>>>);

impl Consumer for Log {
    fn run(&mut self, _cx: &mut Cx, token: Token) {
        self.0.borrow_mut().push(token);
    }
}

#[test]
fn the_order_of_a_turn_is_a_parameter() {
    let (_, mut rs) = machine(1, || Backwards);
    let log = Rc::new(RefCell::new(vec![]));
    let seen = log.clone();
    let me = rs[0].cx().adopt(|_, _| Log(seen));
    let tokens: Vec<_> = (0..3).map(|_| rs[0].cx().token(me)).collect();
    rs[0].turn(); // installs it
    tokens.iter().for_each(|t| rs[0].cx().wake(*t));
    assert!(rs[0].turn());
    assert_eq!(*log.borrow(), [tokens[2], tokens[1], tokens[0]]);
    assert!(!rs[0].turn());
}

#[test]
fn four_reactors_in_one_thread_pass_more_messages_than_an_inbox_holds() {
    let (_, mut rs) = machine(4, || Fifo);
    let got = Rc::new(Cell::new(0));
    let local = rs[0].local();
    let sum = got.clone();
    local.spawn({
        let local = local.clone();
        async move {
            for n in 0..40u32 {
                let at = ReactorId(n % 4);
                let there = local.visit(at, move |cx| cx.reactor().0 + n).await.unwrap();
                sum.set(sum.get() + there);
            }
        }
    });
    // And a burst that does not fit: what is parked arrives all the same, in order.
    let order = std::sync::Arc::new(std::sync::Mutex::new(vec![]));
    for n in 0..20 {
        let order = order.clone();
        rs[0].cx().send(ReactorId(1), Message::Visit(Box::new(move |_| order.lock().unwrap().push(n))));
    }
    for _ in 0..400 {
        rs.iter_mut().for_each(|r| {
            r.turn();
        });
    }
    assert_eq!(got.get(), (0..40).map(|n| n + n % 4).sum::<u32>());
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_dismissed_consumer_runs_no_more() {
    let (_, mut rs) = machine(1, || Fifo);
    let log = Rc::new(RefCell::new(vec![]));
    let seen = log.clone();
    let me = rs[0].cx().adopt(|_, _| Log(seen));
    let t = rs[0].cx().token(me);
    rs[0].cx().dismiss(me);
    rs[0].turn();
    rs[0].cx().wake(t);
    rs[0].turn();
    assert!(log.borrow().is_empty());
}

#[test]
fn virtual_time_drives_timers() {
    let (clock, mut rs) = machine(1, || Fifo);
    let local = rs[0].local();
    let done = Rc::new(Cell::new(false));
    let there = done.clone();
    local.spawn({
        let local = local.clone();
        async move {
            local.sleep_ns(1_000).await;
            there.set(true);
        }
    });
    for _ in 0..20 {
        rs[0].turn();
    }
    assert!(!done.get());
    clock.0.set(1_000);
    for _ in 0..5 {
        rs[0].turn();
    }
    assert!(done.get());
    assert_eq!(rs[0].cx().live_tokens(), 0, "the sleep gave its token back");
}

struct Quiet(#[expect(dead_code, reason = "its count tells whether the source lives")] Rc<()>);

impl Source for Quiet {
    fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
    fn reap(&mut self, _cx: &mut Cx, _budget: u32) -> u32 {
        0
    }
    fn arm(&mut self) -> Armed {
        Armed::Armed
    }
    fn disarm(&mut self) {}
    fn busy(&self) -> bool {
        false
    }
}

#[test]
fn a_source_that_nobody_uses_goes_although_the_reactor_never_sleeps() {
    let (_, mut rs) = machine(1, || Fifo);
    let (life, device) = (Rc::new(()), doorbell_block::DeviceId::new());
    let part = life.clone();
    let user = rs[0].cx().local_source(device, |_| Ok::<_, ()>(Quiet(part))).unwrap();
    for _ in 0..2 * SWEEP_EVERY {
        rs[0].turn();
    }
    assert_eq!(Rc::strong_count(&life), 2, "it is used");
    drop(user);
    for _ in 0..SWEEP_EVERY {
        rs[0].turn();
    }
    assert_eq!(Rc::strong_count(&life), 1, "nobody uses it");
}
