use std::{
    sync::{Arc, Barrier, mpsc},
    time::Duration,
};

use doorbell_mem::{Pool, SgList, leaked};

use super::{HelperQueue, Helpers};
use crate::{
    file::{
        Direct, OpKind,
        testkit::{self, BLOCK, Engine, Request, bytes, list, op, target},
    },
    temp::TempDir,
};

testkit::engine!(HelperQueue<Request>);

fn queue(threads: usize, depth: u16) -> HelperQueue<Request> {
    HelperQueue::new(&Helpers::new(threads).unwrap(), depth).unwrap()
}

const LONG: Duration = Duration::from_secs(30);

#[test]
fn moves_data() {
    testkit::moves_data(&mut queue(2, 8));
}

#[test]
fn tells_errors() {
    testkit::tells_errors(&mut queue(1, 8));
}

#[test]
fn keeps_its_depth() {
    testkit::keeps_its_depth(&mut queue(2, 4));
}

#[test]
fn keeps_integrity() {
    testkit::keeps_integrity(&mut queue(3, 32), 32);
}

#[test]
fn allocates_nothing() {
    testkit::allocates_nothing(&mut queue(1, 8));
}

#[test]
fn discards_and_zeroes() {
    let mut queue = queue(1, 4);
    let dir = TempDir::new();
    let pool = Pool::small(BLOCK, 8);
    let target = target(&dir, 8, Direct::Off);
    let file = queue.add_file(target.handle());
    assert_eq!(queue.one(list(&pool, 4, 1), file, op(OpKind::Write, 0, 4)).1, Ok(4 * BLOCK));
    assert_eq!(queue.one(SgList::default(), file, op(OpKind::Discard, 1, 1)).1, Ok(0));
    assert_eq!(queue.one(SgList::default(), file, op(OpKind::WriteZeroes, 2, 1)).1, Ok(0));
    let (back, _) = queue.one(list(&pool, 4, 9), file, op(OpKind::Read, 0, 4));
    assert_eq!(bytes(&back.sg), [1, 0, 0, 4].map(|fill| vec![fill; BLOCK as usize]).concat());
}

/// Several reactors, one pool: each gets its own back.
#[test]
fn queues_share_the_helpers() {
    let helpers = Helpers::new(2).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| testkit::keeps_integrity(&mut HelperQueue::new(&helpers, 8).unwrap(), 8));
        }
    });
}

/// With two helpers, one that is stuck holds up nobody.
#[test]
fn a_stuck_job_holds_up_no_other() {
    let helpers = Helpers::new(2).unwrap();
    let gate = Arc::new(Barrier::new(2));
    let (tell, told) = mpsc::channel();
    let stuck = {
        let gate = gate.clone();
        move || {
            gate.wait();
        }
    };
    assert!(helpers.call(Box::new(stuck)).is_ok());
    for n in 0..10 {
        let tell = tell.clone();
        assert!(helpers.call(Box::new(move || tell.send(n).unwrap())).is_ok());
    }
    let got: Vec<i32> = (0..10).map(|_| told.recv_timeout(LONG).unwrap()).collect();
    assert_eq!(got, (0..10).collect::<Vec<_>>());
    gate.wait();
}

#[test]
fn a_panicking_call_costs_no_helper() {
    let helpers = Helpers::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    assert!(helpers.call(Box::new(|| std::panic::resume_unwind(Box::new("on purpose")))).is_ok());
    assert!(helpers.call(Box::new(move || tell.send(std::thread::current().id()).unwrap())).is_ok());
    assert_ne!(told.recv_timeout(LONG).unwrap(), std::thread::current().id());
}

#[test]
fn the_last_clone_ends_the_threads() {
    let helpers = Helpers::new(3).unwrap();
    let shared = Arc::downgrade(&helpers.pool.shared);
    let queue: HelperQueue<Request> = HelperQueue::new(&helpers, 1).unwrap();
    drop(helpers);
    assert!(shared.strong_count() > 1, "the queue keeps them");
    drop(queue);
    assert_eq!(shared.strong_count(), 0, "joined");
}

#[test]
fn dropping_waits_for_the_helpers() {
    let dir = TempDir::new();
    let pool = Pool::small(BLOCK, 16);
    let target = target(&dir, 64, Direct::Prefer);
    let mut queue = queue(1, 16);
    let file = queue.add_file(target.handle());
    for id in 0..12 {
        queue.push(Request { id, sg: list(&pool, 1, 1) }, file, &op(OpKind::Write, id, 1)).unwrap();
    }
    let before = leaked();
    drop(queue);
    assert_eq!((leaked() - before, pool.out()), (0, 0));
}

/// Too many waiting jobs: the request comes back as it was, and the table has room again.
#[test]
fn a_full_pool_gives_requests_back() {
    let helpers = Helpers::new(1).unwrap();
    let gate = Arc::new(Barrier::new(2));
    let started = Arc::new(Barrier::new(2));
    let stuck = {
        let (gate, started) = (gate.clone(), started.clone());
        move || {
            started.wait();
            gate.wait();
        }
    };
    assert!(helpers.call(Box::new(stuck)).is_ok());
    started.wait();
    while helpers.call(Box::new(|| {})).is_ok() {}
    let dir = TempDir::new();
    let pool = Pool::small(BLOCK, 2);
    let target = target(&dir, 8, Direct::Prefer);
    let mut queue: HelperQueue<Request> = HelperQueue::new(&helpers, 2).unwrap();
    let file = queue.add_file(target.handle());
    let back = queue.push(Request { id: 5, sg: list(&pool, 1, 1) }, file, &op(OpKind::Write, 0, 1)).unwrap_err();
    assert_eq!((back.id, back.sg.bytes(), queue.len()), (5, BLOCK, 0));
    gate.wait();
    drop(back);
    let done = loop {
        match queue.push(Request { id: 6, sg: list(&pool, 1, 1) }, file, &op(OpKind::Write, 0, 1)) {
            Ok(()) => break queue.wait(1),
            Err(_) => std::thread::yield_now(),
        }
    };
    assert_eq!(done[0].1, Ok(BLOCK));
}
