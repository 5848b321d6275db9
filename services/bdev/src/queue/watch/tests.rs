use super::*;

const MS: u64 = 1_000_000;

fn cx() -> (Cx, Token) {
    struct Nobody;
    impl doorbell_block::Consumer for Nobody {
        fn run(&mut self, _: &mut Cx, _: Token) {}
    }
    let mut cx = Cx::for_test(300, 512, 1);
    let me = cx.adopt(|_, _| Nobody);
    let token = cx.token(me);
    (cx, token)
}

fn at(cx: &mut Cx, ns: u64) {
    cx.begin_turn(Ticks(ns));
}

/// Ids are for the life of a box: an earlier time under the same id must not make the later one late.
#[test]
fn a_box_that_went_again_is_late_by_its_last_time() {
    let (mut cx, token) = cx();
    let mut w = Watch::default();
    w.set(10 * MS);
    let (mut a, b) = (cx.take_io().unwrap(), cx.take_io().unwrap());
    at(&mut cx, 0);
    w.begin(&mut cx, token, &b);
    w.begin(&mut cx, token, &a);
    w.end(&mut a);
    at(&mut cx, 8 * MS);
    w.begin(&mut cx, token, &a);
    at(&mut cx, 10 * MS);
    assert_eq!(w.overdue(&mut cx, token), [b.id()]);
    at(&mut cx, 18 * MS);
    assert_eq!(w.overdue(&mut cx, token), [a.id()]);
    assert!(w.overdue(&mut cx, token).is_empty(), "once");
    a.status = Status::Aborted;
    w.end(&mut a);
    assert_eq!(a.status, Status::TimedOut);
    cx.put_io(a);
    cx.put_io(b);
}

#[test]
fn a_shorter_timeout_holds_for_what_is_beneath_and_none_forgets_it() {
    let (mut cx, token) = cx();
    let mut w = Watch::default();
    w.set(1000 * MS);
    let (mut a, mut b) = (cx.take_io().unwrap(), cx.take_io().unwrap());
    w.begin(&mut cx, token, &a);
    at(&mut cx, 5 * MS);
    w.begin(&mut cx, token, &b);
    w.set(5 * MS);
    assert_eq!(w.overdue(&mut cx, token), [a.id()]);
    w.set(0);
    at(&mut cx, 2000 * MS);
    assert!(w.overdue(&mut cx, token).is_empty());
    assert!(w.is_on(), "one that was asked back is still to be told apart");
    (a.status, b.status) = (Status::Aborted, Status::Aborted);
    w.end(&mut a);
    w.end(&mut b);
    assert_eq!((a.status, b.status), (Status::TimedOut, Status::Aborted));
    assert!(!w.is_on());
    cx.put_io(a);
    cx.put_io(b);
}

/// One request hangs while others pass behind it: the list stays as long as what is beneath, and each end costs the same.
#[test]
fn the_list_is_bounded_by_what_is_beneath() {
    let (mut cx, token) = cx();
    let mut w = Watch::default();
    w.set(1_000_000 * MS);
    let hung = cx.take_io().unwrap();
    w.begin(&mut cx, token, &hung);
    let mut depth: Vec<_> = (0..200).map(|_| cx.take_io().unwrap()).collect();
    depth.iter().for_each(|io| w.begin(&mut cx, token, io));
    for turn in 0..10_000u64 {
        at(&mut cx, turn * 1000);
        let n = (turn * 7919 % 200) as usize;
        w.end(&mut depth[n]);
        w.begin(&mut cx, token, &depth[n]);
        assert!(w.list.len() <= 2 * 201 + 1, "{}", w.list.len());
        assert!(w.overdue(&mut cx, token).is_empty());
    }
    depth.drain(..).chain([hung]).for_each(|io| cx.put_io(io));
}
