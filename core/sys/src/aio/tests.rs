use std::time::Duration;

use doorbell_mem::{Pool, SgList, leaked};
use rustix::io::Errno;

use super::{AioError, AioRing, BUSY_AFTER};
use crate::{
    file::{
        Armed, Direct, FileOp, OpKind,
        testkit::{self, Engine, Request, list, op, target, watch},
    },
    temp::TempDir,
};

testkit::engine!(AioRing<Request>);

fn ring(depth: u16) -> AioRing<Request> {
    AioRing::new(depth).unwrap()
}

/// A ring that takes completions by system call.
fn ring_without_peek(depth: u16) -> AioRing<Request> {
    let mut ring = ring(depth);
    assert!(ring.context.peek, "this kernel's ring is known");
    ring.context.peek = false;
    ring
}

#[test]
fn moves_data() {
    testkit::moves_data(&mut ring(8));
    testkit::moves_data(&mut ring_without_peek(8));
}

#[test]
fn tells_errors() {
    testkit::tells_errors(&mut ring(8));
    testkit::tells_errors(&mut ring_without_peek(8));
}

#[test]
fn keeps_its_depth() {
    testkit::keeps_its_depth(&mut ring(4));
    testkit::keeps_its_depth(&mut ring_without_peek(4));
}

#[test]
fn keeps_integrity() {
    testkit::keeps_integrity(&mut ring(32), 32);
    testkit::keeps_integrity(&mut ring_without_peek(32), 32);
}

#[test]
fn allocates_nothing() {
    testkit::allocates_nothing(&mut ring(8));
}

#[test]
fn what_aio_cannot_do_is_said() {
    let dir = TempDir::new();
    let target = target(&dir, 8, Direct::Off);
    let mut ring = ring(2);
    let file = ring.add_file(target.handle());
    for kind in [OpKind::Discard, OpKind::WriteZeroes] {
        assert!(!AioRing::<Request>::supports(kind));
        assert_eq!(ring.one(SgList::default(), file, op(kind, 0, 1)).1, Err(Errno::OPNOTSUPP));
    }
}

/// On a hole, a write that must not block is refused or done, never waited for.
#[test]
fn nowait_is_passed_on() {
    let dir = TempDir::new();
    let pool = Pool::small(4096, 4);
    let target = target(&dir, 8, Direct::Prefer);
    let mut ring = ring(2);
    let file = ring.add_file(target.handle());
    let result = ring.one(list(&pool, 1, 1), file, FileOp { nowait: true, ..op(OpKind::Write, 0, 1) }).1;
    assert!(matches!(result, Ok(4096) | Err(Errno::AGAIN | Errno::OPNOTSUPP)), "{result:?}");
}

#[test]
fn a_busy_ring_is_silent_and_a_sleepy_one_notices() {
    let dir = TempDir::new();
    let pool = Pool::small(4096, 4);
    let target = target(&dir, 8, Direct::Prefer);
    let mut ring = ring(2);
    let mut poller = watch(ring.fd());
    let file = ring.add_file(target.handle());
    let mut done = Vec::new();
    let write = |ring: &mut AioRing<Request>| {
        ring.push(Request { id: 1, sg: list(&pool, 1, 1) }, file, &op(OpKind::Write, 0, 1)).unwrap();
        ring.kick();
    };
    write(&mut ring);
    assert_eq!(ring.silent, 1);
    assert_eq!(ring.arm(), Armed::Ready, "a silent request cannot end a sleep");
    while Engine::reap(&mut ring, 1, &mut done) == 0 {}
    assert_eq!((poller.wait(Some(Duration::ZERO)).unwrap(), ring.silent), (0, 0));
    assert_eq!(ring.arm(), Armed::Armed, "nothing in flight");
    write(&mut ring);
    assert_eq!(poller.wait(Some(Duration::from_secs(30))).unwrap(), 1);
    assert_eq!(ring.arm(), Armed::Ready, "done already");
    while Engine::reap(&mut ring, 1, &mut done) == 0 {}
    ring.disarm();
    assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), 0, "drained");
    for _ in 0..BUSY_AFTER {
        assert_eq!(ring.silent, 0);
        write(&mut ring);
        while Engine::reap(&mut ring, 1, &mut done) == 0 {}
        done.clear();
    }
    write(&mut ring);
    assert_eq!(ring.silent, 1, "busy again");
}

#[test]
fn dropping_waits_for_the_kernel() {
    let dir = TempDir::new();
    let pool = Pool::small(4096, 16);
    let target = target(&dir, 64, Direct::Prefer);
    let mut ring = ring(16);
    let file = ring.add_file(target.handle());
    for id in 0..12 {
        ring.push(Request { id, sg: list(&pool, 1, 1) }, file, &op(OpKind::Write, id, 1)).unwrap();
        if id == 7 {
            ring.kick();
        }
    }
    assert_eq!(ring.len(), 12);
    let before = leaked();
    drop(ring);
    assert_eq!((leaked() - before, pool.out()), (0, 0));
}

#[test]
#[should_panic(expected = "more bytes than its request has")]
fn more_than_the_request_has_is_a_bug() {
    let pool = Pool::small(4096, 1);
    let dir = TempDir::new();
    let target = target(&dir, 8, Direct::Off);
    let mut ring = ring(1);
    let file = ring.add_file(target.handle());
    let _ = ring.push(Request { id: 1, sg: list(&pool, 1, 1) }, file, &op(OpKind::Write, 0, 2));
}

#[test]
fn errors_tell_what_to_do() {
    let text = AioError::Limit { now: "65536".into(), depth: 128 }.to_string();
    assert!(text.contains("fs.aio-max-nr (now 65536)") && text.contains("128"), "{text}");
    assert!(AioError::Unsupported.to_string().contains("io_uring"));
}
