use std::{io, time::Duration};

use doorbell_mem::{Pool, SgList, leaked};
use rustix::io::Errno;

use super::{UringError, UringOptions, UringRing, setup::explain};
use crate::{
    file::{
        Armed, Direct, FileId, FileOp, OpKind, OpenOptions, Target,
        testkit::{self, BLOCK, Engine, Request, bytes, list, op, target, watch},
    },
    temp::{LoopDevice, TempDir},
};

testkit::engine!(UringRing<Request>);

/// A ring, or `None`, said on stderr, where this process may have none.
fn ring(depth: u16) -> Option<UringRing<Request>> {
    match UringRing::new(&UringOptions { depth, iopoll: false }) {
        Ok(ring) => Some(ring),
        Err(UringError::Os(error)) => panic!("{error}"),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// A ring as an older kernel has it: nothing registered, nothing put off.
fn old_ring(depth: u16) -> Option<UringRing<Request>> {
    let mut ring = ring(depth)?;
    ring.take_table();
    ring.can.fixed_files = false;
    if ring.can.deferred {
        ring.ring.completion().enable_eventfd();
    }
    Some(ring)
}

fn both(depth: u16, mut check: impl FnMut(&mut UringRing<Request>)) {
    for mut ring in [ring(depth), old_ring(depth)].into_iter().flatten() {
        check(&mut ring);
        assert_eq!(ring.strays(), 0);
    }
}

#[test]
fn moves_data() {
    both(8, testkit::moves_data);
}

#[test]
fn tells_errors() {
    both(8, testkit::tells_errors);
}

#[test]
fn keeps_its_depth() {
    both(4, testkit::keeps_its_depth);
}

#[test]
fn keeps_integrity() {
    both(32, |ring| testkit::keeps_integrity(ring, 32));
}

#[test]
fn allocates_nothing() {
    both(8, testkit::allocates_nothing);
}

#[test]
fn discards_and_zeroes() {
    let Some(mut ring) = ring(2) else { return };
    let dir = TempDir::new();
    let pool = Pool::small(BLOCK, 8);
    let target = target(&dir, 8, Direct::Prefer);
    let file = ring.add_file(target.handle());
    assert_eq!(ring.one(list(&pool, 4, 1), file, op(OpKind::Write, 0, 4)).1, Ok(4 * BLOCK));
    for (kind, block) in [(OpKind::Discard, 1), (OpKind::WriteZeroes, 2)] {
        assert!(ring.supports(kind));
        assert_eq!(ring.one(SgList::default(), file, op(kind, block, 1)).1, Ok(0));
    }
    let (back, result) = ring.one(list(&pool, 4, 9), file, op(OpKind::Read, 0, 4));
    assert_eq!(result, Ok(4 * BLOCK));
    let expected = [1, 0, 0, 4].map(|fill| vec![fill; BLOCK as usize]).concat();
    assert_eq!(bytes(&back.sg), expected);
    assert_eq!(target.current_size().unwrap(), 8 * u64::from(BLOCK));
    assert_eq!(target.next_hole(0).unwrap(), Some(u64::from(BLOCK)), "a discard makes a hole");
}

#[test]
fn registered_memory_is_used() {
    let Some(mut ring) = ring(8) else { return };
    let pool = Pool::small(BLOCK, 64);
    ring.register(pool.region()).unwrap();
    let inside = pool.get(BLOCK).unwrap();
    let outside = Pool::small(BLOCK, 1).get(BLOCK).unwrap();
    let vector = |seg: doorbell_mem::Seg| {
        let mut sg = SgList::default();
        sg.push(seg);
        let mut vectors = Vec::new();
        sg.iovecs(0, BLOCK, &mut vectors);
        super::registered(&ring.memory, &vectors[0])
    };
    assert_eq!((vector(inside), vector(outside)), (Some(0), None));
    testkit::keeps_integrity(&mut ring, 8);
    // And with buffers of that very pool.
    let dir = TempDir::new();
    let target = target(&dir, 8, Direct::Prefer);
    let file = ring.add_file(target.handle());
    assert_eq!(ring.one(list(&pool, 1, 5), file, op(OpKind::Write, 1, 1)).1, Ok(BLOCK));
    let (back, result) = ring.one(list(&pool, 1, 0), file, op(OpKind::Read, 1, 1));
    assert_eq!((result, bytes(&back.sg)), (Ok(BLOCK), vec![5; BLOCK as usize]));
}

#[test]
fn writes_no_notice_unless_armed() {
    let Some(mut ring) = ring(2) else { return };
    if !ring.can.deferred {
        return eprintln!("skipped: this kernel puts nothing off");
    }
    let dir = TempDir::new();
    let pool = Pool::small(BLOCK, 8);
    let target = target(&dir, 8, Direct::Prefer);
    let file = ring.add_file(target.handle());
    let mut poller = watch(ring.fd());
    let mut done = Vec::new();
    for armed in [false, true, false] {
        if armed {
            assert_eq!(ring.arm(), Armed::Armed);
        }
        ring.push(Request { id: 1, sg: list(&pool, 1, 1) }, file, &op(OpKind::Write, 0, 1)).unwrap();
        ring.kick();
        if armed {
            assert_eq!(poller.wait(Some(Duration::from_secs(30))).unwrap(), 1);
            assert_eq!(ring.arm(), Armed::Ready, "done already");
            ring.disarm();
        }
        while Engine::reap(&mut ring, 1, &mut done) == 0 {}
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), 0);
    }
}

#[test]
fn more_files_than_the_table_has_places() {
    let Some(mut ring) = ring(2) else { return };
    let dir = TempDir::new();
    let pool = Pool::small(BLOCK, 8);
    let target = target(&dir, 8, Direct::Prefer);
    let files: Vec<FileId> = (0..super::FILES + 3).map(|_| ring.add_file(target.handle())).collect();
    for file in [files[0], files[super::FILES as usize + 2]] {
        assert_eq!(ring.one(list(&pool, 1, 1), file, op(OpKind::Write, 0, 1)).1, Ok(BLOCK));
    }
    ring.remove_file(files[0]);
    let again = ring.add_file(target.handle());
    assert_eq!(again.index(), 0);
    assert_eq!(ring.one(list(&pool, 1, 1), again, op(OpKind::Write, 0, 1)).1, Ok(BLOCK));
    assert_eq!(ring.one(list(&pool, 1, 1), files[0], op(OpKind::Write, 0, 1)).1, Err(Errno::BADF), "stale");
}

/// Where the device has no poll queues the kernel says so for each request; nothing hangs.
#[test]
fn a_polling_ring_answers() {
    let mut ring = match UringRing::new(&UringOptions { depth: 4, iopoll: true }) {
        Ok(ring) => ring,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let dir = TempDir::new();
    let pool = Pool::small(BLOCK, 8);
    let target = target(&dir, 8, Direct::Prefer);
    let file = ring.add_file(target.handle());
    let (_, result) = ring.one(list(&pool, 1, 1), file, op(OpKind::Write, 0, 1));
    assert!(matches!(result, Ok(BLOCK) | Err(Errno::OPNOTSUPP)), "{result:?}");
    assert!(!ring.supports(OpKind::Fdatasync));
    assert_eq!(ring.one(SgList::default(), file, FileOp::new(OpKind::Fdatasync, 0, 0)).1, Err(Errno::OPNOTSUPP));
}

#[test]
fn on_a_block_device() {
    let dir = TempDir::new();
    let (Some(mut ring), Some(device)) = (ring(4), LoopDevice::new(&dir, 1 << 20)) else { return };
    let pool = Pool::small(BLOCK, 8);
    let target = Target::open(device.path(), &OpenOptions::default()).unwrap();
    let file = ring.add_file(target.handle());
    assert_eq!(ring.one(list(&pool, 4, 1), file, op(OpKind::Write, 0, 4)).1, Ok(4 * BLOCK));
    assert_eq!(ring.one(SgList::default(), file, op(OpKind::WriteZeroes, 1, 1)).1, Ok(0));
    assert_eq!(ring.one(SgList::default(), file, FileOp::new(OpKind::Fdatasync, 0, 0)).1, Ok(0));
    let (back, _) = ring.one(list(&pool, 4, 9), file, op(OpKind::Read, 0, 4));
    assert_eq!(bytes(&back.sg), [1, 0, 3, 4].map(|fill| vec![fill; BLOCK as usize]).concat());
    let (_, result) = ring.one(SgList::default(), file, op(OpKind::Discard, 0, 4));
    assert!(matches!(result, Ok(0) | Err(Errno::OPNOTSUPP)), "{result:?}");
}

#[test]
fn dropping_waits_for_the_kernel() {
    let Some(mut ring) = ring(16) else { return };
    let dir = TempDir::new();
    let pool = Pool::small(BLOCK, 16);
    let target = target(&dir, 64, Direct::Prefer);
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
fn refusals_tell_what_to_do() {
    let text = |errno, switch: Option<&str>| explain(io::Error::from_raw_os_error(errno), switch).to_string();
    assert!(text(libc::EPERM, Some("2")).contains("kernel.io_uring_disabled is 2"));
    assert!(text(libc::EPERM, Some("0")).contains("seccomp"));
    assert!(text(libc::EPERM, None).contains("seccomp"));
    assert!(text(libc::ENOSYS, None).contains("aio back end"));
    assert!(text(libc::ENOMEM, None).contains("LimitMEMLOCK"));
}
