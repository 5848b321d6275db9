use super::*;
use crate::{Abort, ConsumerId, Done};
use doorbell_mem::{Backing, ClassSpec, PoolSpec, Regions};

fn cx(boxes: u32) -> Cx {
    Cx::for_test(boxes, 512, boxes)
}

#[test]
fn a_wake_is_idempotent_and_a_freed_token_wakes_nobody() {
    let mut cx = cx(1);
    let (a, b) = (cx.token(ConsumerId(1)), cx.token(ConsumerId(2)));
    cx.wake(a);
    cx.wake(b);
    cx.wake(a);
    let ready = cx.take_ready().to_vec();
    assert_eq!(ready, [a, b]);
    assert!(matches!(cx.begin_run(a), Turn::Run(ConsumerId(1))));
    cx.wake(a); // during its own run: runs again
    assert!(cx.any_ready());
    cx.free_token(b);
    assert!(matches!(cx.begin_run(b), Turn::Nothing));
    let c = cx.token(ConsumerId(3)); // the same slot, another generation
    cx.wake(b);
    let ready = cx.take_ready().to_vec();
    assert_eq!(ready, [a]);
    assert_ne!(b, c);
}

#[test]
fn timers_fire_in_order_and_the_earliest_of_a_token_stands() {
    let mut cx = cx(1);
    let (a, b) = (cx.token(ConsumerId(1)), cx.token(ConsumerId(2)));
    cx.wake_at(a, Ticks(50));
    cx.wake_at(a, Ticks(30));
    cx.wake_at(a, Ticks(90)); // later than what stands: nothing new
    cx.wake_at(b, Ticks(20));
    assert_eq!(cx.next_timer(), Some(Ticks(20)));
    cx.begin_turn(Ticks(40));
    assert!(cx.fire_timers());
    let ready = cx.take_ready().to_vec();
    assert_eq!(ready, [b, a]);
    for t in ready {
        cx.begin_run(t);
    }
    cx.begin_turn(Ticks(60));
    assert!(!cx.fire_timers(), "the timer at 50 was overtaken");
}

#[test]
fn who_waits_is_served_in_turn_and_nobody_overtakes() {
    let mut cx = cx(4);
    let (a, b) = (cx.token(ConsumerId(1)), cx.token(ConsumerId(2)));
    let held: Vec<_> = std::iter::from_fn(|| cx.take_io()).collect();
    assert_eq!(held.len(), 4);
    cx.wait(a);
    cx.wait(b);
    cx.end_turn();
    assert!(!cx.any_ready(), "nothing came back: nobody is called");
    held.into_iter().for_each(|io| cx.put_io(io));
    assert!(cx.take_io().is_none(), "whoever did not wait must not overtake");
    cx.end_turn();
    let ready = cx.take_ready().to_vec();
    assert_eq!(ready, [a, b]);
    cx.begin_run(a);
    let first: Vec<_> = std::iter::from_fn(|| cx.take_io()).collect();
    assert_eq!(first.len(), 2, "half is the other's");
    cx.end_run();
    cx.begin_run(b);
    let second: Vec<_> = std::iter::from_fn(|| cx.take_io()).collect();
    assert_eq!(second.len(), 2);
    cx.end_run();
    for io in first.into_iter().chain(second) {
        cx.put_io(io);
    }
    assert!(cx.take_io().is_some_and(|io| (cx.put_io(io), true).1), "nobody waits: free for all");
    assert_eq!(cx.boxes_out(), 0);
}

fn ready(cx: &mut Cx) -> Vec<Token> {
    cx.end_turn();
    cx.take_ready().to_vec()
}

#[test]
fn whoever_is_refused_because_another_waits_is_called_when_that_one_leaves_it() {
    let mut cx = cx(1);
    let (a, b) = (cx.token(ConsumerId(1)), cx.token(ConsumerId(2)));
    let held = cx.take_io().unwrap();
    assert!(cx.take_io().is_none());
    cx.wait(a);
    assert_eq!(ready(&mut cx), [], "nothing came back: nobody is called");
    cx.put_io(held);
    assert!(cx.take_io().is_none(), "a waits, so nobody overtakes it");
    cx.wait(b); // after the box came back
    cx.wait(a); // woken for something else meanwhile, and refused like anybody
    assert_eq!(ready(&mut cx), [a]);
    // It leaves it: what it does not take is for who was refused meanwhile.
    cx.begin_run(a);
    cx.end_run();
    assert_eq!(ready(&mut cx), [b]);
    cx.begin_run(b);
    let io = cx.take_io().unwrap();
    cx.end_run();
    cx.put_io(io);
    assert_eq!(ready(&mut cx), []);
    assert!(cx.take_io().map(|io| cx.put_io(io)).is_some(), "nobody waits: free for all");
}

#[test]
fn whoever_left_while_it_was_called_keeps_nothing_from_others() {
    let mut cx = cx(1);
    let (a, b) = (cx.token(ConsumerId(1)), cx.token(ConsumerId(2)));
    let held = cx.take_io().unwrap();
    for t in [a, b] {
        assert!(cx.take_io().is_none());
        cx.wait(t);
    }
    cx.put_io(held);
    assert_eq!(ready(&mut cx), [a]);
    cx.free_token(a);
    assert_eq!(ready(&mut cx), [b]);
}

/// Two small buffers and four large ones.
fn two_classes() -> Cx {
    let classes = vec![ClassSpec { size: 4096, count: 2 }, ClassSpec { size: 65536, count: 4 }];
    let spec = PoolSpec { classes, backing: Backing::Ordinary, node: None };
    let pool = Pool::new(&Regions::new(), &spec).unwrap();
    Cx::new(CxParts { id: ReactorId(0), boxes: 8, pool, ports: Vec::new(), poller: None })
}

#[test]
fn whoever_waits_for_large_buffers_does_not_keep_others_from_small_ones() {
    let mut cx = two_classes();
    let deaf = cx.token(ConsumerId(1));
    let hoard: Vec<_> = std::iter::from_fn(|| cx.request(65536)).collect();
    assert_eq!(hoard.len(), 4);
    assert!(cx.request(65536).is_none());
    cx.wait(deaf);
    for _ in 0..100 {
        assert_eq!(ready(&mut cx), [], "there is nothing to call it for");
    }
    let (io, small) = cx.request(4096).expect("nobody waits for these");
    let second = cx.buffer(100).expect("nor for the other");
    assert!(cx.buffer(100).is_none(), "all are out, and the larger ones too");
    let other = cx.token(ConsumerId(2));
    cx.wait(other);
    drop((small, second));
    assert_eq!(ready(&mut cx), [other]);
    drop((io, hoard));
}

#[test]
fn small_requests_take_large_buffers_that_nobody_waits_for() {
    let mut cx = two_classes();
    let (a, b) = (cx.token(ConsumerId(1)), cx.token(ConsumerId(2)));
    let mut all: Vec<_> = std::iter::from_fn(|| cx.buffer(4096)).collect();
    assert_eq!(all.len(), 6);
    cx.wait(a);
    assert!(cx.buffer(65536).is_none());
    cx.wait(b);
    all.pop();
    assert_eq!(ready(&mut cx), [b], "a large one is for who needs a large one");
    cx.begin_run(b);
    let large = cx.buffer(65536).unwrap();
    cx.end_run();
    drop(large);
    assert_eq!(ready(&mut cx), [a], "nobody waits for it any more");
    cx.begin_run(a);
    assert!(cx.buffer(4096).is_some());
    cx.end_run();
}

#[test]
fn a_long_request_is_not_overtaken_for_ever() {
    let mut cx = two_classes();
    let (long, short) = (cx.token(ConsumerId(1)), cx.token(ConsumerId(2)));
    let mut held: Vec<_> = std::iter::from_fn(|| cx.buffer(65536)).collect();
    assert!(cx.request_long(3 * 65536).is_none());
    cx.wait(long);
    for _ in 0..2 {
        held.pop();
        assert_eq!(ready(&mut cx), [], "too few for the first in line");
        assert!(cx.buffer(65536).is_none(), "and the others wait behind it");
        cx.wait(short);
    }
    held.pop();
    assert_eq!(ready(&mut cx), [long]);
    cx.begin_run(long);
    let io = cx.request_long(3 * 65536).unwrap();
    assert_eq!((io.sg.bytes(), io.sg.segs().len()), (3 * 65536, 3));
    cx.end_run();
    cx.put_io(io);
    assert_eq!(ready(&mut cx), [short]);
    assert_eq!(cx.boxes_out(), 0);
}

#[test]
fn mail_reaches_its_layer_and_only_that() {
    let mut cx = cx(1);
    let token = cx.token(ConsumerId(1));
    let (x, y) = (cx.layer(), cx.layer());
    let me = cx.reactor();
    cx.send(me, Message::Mail(Address { token, layer: y }, [1, 2]));
    cx.send(me, Message::Mail(Address { token, layer: y }, [3, 4]));
    assert!(cx.has_mail_to_move() && cx.move_mail());
    assert!(cx.any_ready());
    assert_eq!(cx.mail(Address { token, layer: x }), None);
    assert_eq!(cx.mail(Address { token, layer: y }), Some([1, 2]));
    assert_eq!(cx.mail(Address { token, layer: y }), Some([3, 4]));
    assert_eq!(cx.mail(Address { token, layer: y }), None);
}

#[test]
fn locals_are_one_per_device_and_type_and_go_with_their_last_user() {
    let mut cx = cx(1);
    let d = DeviceId::new();
    let a = cx.local(d, |_| 5u32);
    let b = cx.local(d, |_| 6u32);
    assert!(Rc::ptr_eq(&a, &b));
    assert_eq!(*cx.local(d, |_| 7u64).borrow(), 7);
    drop((a, b));
    assert_eq!(*cx.local(d, |_| 8u32).borrow(), 8);
}

struct Slow {
    held: Vec<Box<Io>>,
    release: Rc<std::cell::Cell<bool>>,
}

impl BlockQueue for Slow {
    fn submit(&mut self, _cx: &mut Cx, io: Box<Io>) {
        self.held.push(io);
    }
    fn kick(&mut self, _cx: &mut Cx) {}
    fn poll(&mut self, _cx: &mut Cx, done: &mut Done) {
        if self.release.get() {
            done.append(&mut self.held);
        }
    }
    fn abort(&mut self, _cx: &mut Cx, _which: Abort) {}
}

#[test]
fn a_retired_queue_is_polled_until_its_last_box_is_back() {
    let mut cx = cx(2);
    let token = cx.token(ConsumerId(1));
    let release = Rc::new(std::cell::Cell::new(false));
    let mut q = Slow { held: vec![], release: release.clone() };
    for _ in 0..2 {
        let io = cx.take_io().unwrap();
        q.submit(&mut cx, io);
    }
    cx.retire(token, 2, Box::new(q));
    assert!(matches!(cx.begin_run(token), Turn::Nothing));
    assert_eq!((cx.retired(), cx.boxes_out()), (1, 2));
    release.set(true);
    cx.begin_run(token);
    assert_eq!((cx.retired(), cx.boxes_out(), cx.live_tokens()), (0, 0, 0));
}
