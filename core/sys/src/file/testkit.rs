//! What the tests of all engines share: requests, files, and the checks that every engine must pass.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use doorbell_mem::{Carrier, Pool, SgList};
use rustix::io::Errno;

use super::{Armed, Direct, FileId, FileOp, Handle, OpKind, OpenOptions, Target};
use crate::{
    epoll::{Interest, Mode, Poller},
    temp::TempDir,
};

/// A request: a number, and segments.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) sg: SgList,
}

impl Carrier for Request {
    fn sg(&self) -> &SgList {
        &self.sg
    }
}

/// Longer than anything takes: a sleep that lasts so long has lost its wake-up.
const SLEEP: Duration = Duration::from_secs(30);

pub(crate) type Done = (Request, Result<u32, Errno>);

/// An engine, as tests see it.
pub(crate) trait Engine {
    fn add(&mut self, file: &Handle) -> FileId;
    fn remove(&mut self, id: FileId);
    fn push(&mut self, item: Request, file: FileId, op: &FileOp) -> Result<(), Request>;
    fn kick(&mut self);
    fn reap(&mut self, budget: u32, done: &mut Vec<Done>) -> u32;
    fn in_flight(&self) -> usize;
    fn arm(&mut self) -> Armed;
    fn disarm(&mut self);
    fn poller(&self) -> Poller;

    /// Sleeps until `count` more are done.
    fn wait(&mut self, count: usize) -> Vec<Done> {
        let mut poller = self.poller();
        let mut done = Vec::new();
        self.kick();
        while done.len() < count {
            if self.reap(u32::MAX, &mut done) == 0 && self.arm() == Armed::Armed {
                let start = Instant::now();
                let notices = poller.wait(Some(SLEEP)).unwrap();
                // The kernel may also end a sleep without any, as by a signal.
                assert!(notices > 0 || start.elapsed() < SLEEP, "a completion without a notice");
            }
            self.disarm();
        }
        assert_eq!(done.len(), count);
        done
    }

    fn one(&mut self, sg: SgList, file: FileId, op: FileOp) -> Done {
        self.push(Request { id: 7, sg }, file, &op).unwrap();
        self.wait(1).pop().unwrap()
    }
}

pub(crate) fn watch(fd: impl AsFd) -> Poller {
    let poller = Poller::new().unwrap();
    poller.add(fd.as_fd(), 0, Interest::READ, Mode::Level).unwrap();
    poller
}

/// The trait by the methods that every engine has.
macro_rules! engine {
    ($engine:ty) => {
        impl crate::file::testkit::Engine for $engine {
            fn add(&mut self, file: &crate::file::Handle) -> crate::file::FileId {
                self.add_file(file)
            }
            fn remove(&mut self, id: crate::file::FileId) {
                self.remove_file(id);
            }
            fn push(&mut self, item: Request, file: crate::file::FileId, op: &crate::file::FileOp) -> Result<(), Request> {
                <$engine>::push(self, item, file, op)
            }
            fn kick(&mut self) {
                <$engine>::kick(self);
            }
            fn reap(&mut self, budget: u32, done: &mut Vec<crate::file::testkit::Done>) -> u32 {
                <$engine>::reap(self, budget, &mut |request, result| done.push((request, result)))
            }
            fn in_flight(&self) -> usize {
                self.len()
            }
            fn arm(&mut self) -> crate::file::Armed {
                <$engine>::arm(self)
            }
            fn disarm(&mut self) {
                <$engine>::disarm(self);
            }
            fn poller(&self) -> crate::epoll::Poller {
                crate::file::testkit::watch(self.fd())
            }
        }
    };
}
pub(crate) use engine;

pub(crate) const BLOCK: u32 = 4096;

pub(crate) fn target(dir: &TempDir, blocks: u64, direct: Direct) -> Target {
    let options = OpenOptions { create_bytes: Some(blocks * u64::from(BLOCK)), direct, ..Default::default() };
    Target::open(&dir.path().join(format!("{direct:?}")), &options).unwrap()
}

/// A list of `blocks` segments, each filled with its own pattern.
pub(crate) fn list(pool: &Pool, blocks: u32, seed: u8) -> SgList {
    let mut sg = SgList::default();
    for block in 0..blocks {
        let seg = pool.get(BLOCK).unwrap();
        seg.fill(0, BLOCK, seed.wrapping_add(block as u8));
        sg.push(seg);
    }
    sg
}

pub(crate) fn bytes(sg: &SgList) -> Vec<u8> {
    let mut bytes = vec![0; sg.bytes() as usize];
    sg.read_at(0, &mut bytes);
    bytes
}

pub(crate) fn op(kind: OpKind, block: u64, blocks: u64) -> FileOp {
    FileOp::new(kind, block * u64::from(BLOCK), blocks * u64::from(BLOCK))
}

/// Data comes back as it went, one segment or many, direct or not, in part or whole; sync and the end of the file.
pub(crate) fn moves_data(engine: &mut impl Engine) {
    let dir = TempDir::new();
    let pool = Pool::small(BLOCK, 64);
    for direct in [Direct::Off, Direct::Prefer] {
        let target = target(&dir, 64, direct);
        let file = engine.add(target.handle());
        let (written, result) = engine.one(list(&pool, 1, 10), file, op(OpKind::Write, 3, 1));
        assert_eq!((written.id, result), (7, Ok(BLOCK)));
        let (many, result) = engine.one(list(&pool, 5, 20), file, op(OpKind::Write, 10, 5));
        assert_eq!(result, Ok(5 * BLOCK));
        assert_eq!(bytes(&many.sg), bytes(&list(&pool, 5, 20)), "a write changes nothing");
        let (_, result) = engine.one(SgList::default(), file, FileOp::new(OpKind::Fdatasync, 0, 0));
        assert_eq!(result, Ok(0));
        let (back, result) = engine.one(list(&pool, 1, 0), file, op(OpKind::Read, 3, 1));
        assert_eq!((result, bytes(&back.sg)), (Ok(BLOCK), bytes(&list(&pool, 1, 10))));
        // The middle of a longer list, and of what was written.
        let part = FileOp { sg_offset: BLOCK, ..op(OpKind::Read, 11, 3) };
        let (back, result) = engine.one(list(&pool, 5, 90), file, part);
        assert_eq!(result, Ok(3 * BLOCK));
        let expected = [90, 21, 22, 23, 94].map(|fill| vec![fill; BLOCK as usize]).concat();
        assert_eq!(bytes(&back.sg), expected);
        let durable = FileOp { dsync: true, ..op(OpKind::Write, 63, 1) };
        assert_eq!(engine.one(list(&pool, 1, 1), file, durable).1, Ok(BLOCK));
        // Short at the end, nothing beyond it.
        assert_eq!(engine.one(list(&pool, 4, 0), file, op(OpKind::Read, 62, 4)).1, Ok(2 * BLOCK));
        assert_eq!(engine.one(list(&pool, 1, 0), file, op(OpKind::Read, 99, 1)).1, Ok(0));
        engine.remove(file);
    }
    assert_eq!((pool.out(), engine.in_flight()), (0, 0), "every buffer is home");
}

/// Errors come back with their request and stop no other.
pub(crate) fn tells_errors(engine: &mut impl Engine) {
    let dir = TempDir::new();
    let pool = Pool::small(BLOCK, 8);
    let target = target(&dir, 8, Direct::Prefer);
    let file = engine.add(target.handle());
    let path = dir.path().join("Prefer");
    let reader = OpenOptions { access: super::Access::ReadOnly, force: true, ..Default::default() };
    let reader = engine.add(Target::open(&path, &reader).unwrap().handle());
    let gone = engine.add(target.handle());
    engine.remove(gone);
    let good = op(OpKind::Write, 0, 1);
    let attempts = [
        (1, reader, good, Err(Errno::BADF)),
        (2, file, good, Ok(BLOCK)),
        (3, gone, good, Err(Errno::BADF)),
        (4, file, FileOp { offset: u64::MAX - 4095, ..good }, Err(Errno::INVAL)),
        (5, file, good, Ok(BLOCK)),
    ];
    for (id, file, op, _) in attempts {
        engine.push(Request { id, sg: list(&pool, 1, 1) }, file, &op).unwrap();
    }
    let mut done = engine.wait(attempts.len());
    done.sort_by_key(|(request, _)| request.id);
    for ((request, result), (id, _, _, expected)) in done.iter().zip(&attempts) {
        assert_eq!((request.id, result), (*id, expected));
    }
    drop(done);
    // A file that is removed behind a queued request still serves it.
    engine.push(Request { id: 1, sg: list(&pool, 1, 1) }, file, &good).unwrap();
    engine.remove(file);
    drop(target);
    assert_eq!(engine.wait(1)[0].1, Ok(BLOCK));
    assert_eq!(pool.out(), 0);
}

/// An engine of depth 4: no more than that, and room again after completions.
pub(crate) fn keeps_its_depth(engine: &mut impl Engine) {
    let dir = TempDir::new();
    let pool = Pool::small(BLOCK, 16);
    let target = target(&dir, 8, Direct::Prefer);
    let file = engine.add(target.handle());
    for round in 0..5 {
        for id in 0..4 {
            engine.push(Request { id, sg: list(&pool, 1, 1) }, file, &op(OpKind::Write, id, 1)).unwrap();
        }
        let refused = engine.push(Request { id: 99, sg: list(&pool, 1, 1) }, file, &op(OpKind::Write, 7, 1)).unwrap_err();
        assert_eq!((refused.id, refused.sg.bytes(), engine.in_flight()), (99, BLOCK, 4), "round {round}: it came back whole");
        drop(refused);
        engine.kick();
        let mut done = Vec::new();
        while engine.reap(1, &mut done) != 1 {
            std::thread::yield_now();
        }
        assert_eq!(done.len(), 1, "a budget of one");
        engine.wait(3);
    }
    assert_eq!((pool.out(), engine.in_flight()), (0, 0));
}

/// Many requests at random against a plain copy of the file.
pub(crate) fn keeps_integrity(engine: &mut impl Engine, depth: usize) {
    const BLOCKS: u64 = 64;
    let dir = TempDir::new();
    let pool = Pool::small(BLOCK, 8 * depth as u32);
    let target = target(&dir, BLOCKS, Direct::Prefer);
    let file = engine.add(target.handle());
    let mut model = vec![0u8; BLOCKS as usize];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut busy = vec![false; BLOCKS as usize];
    let mut flight: std::collections::HashMap<u64, (u64, u64, Option<u8>)> = std::collections::HashMap::new();
    let mut done = Vec::new();
    let mut next = 0;
    while next < 3000 || !flight.is_empty() {
        while flight.len() < depth && next < 3000 {
            let (at, write) = (random(BLOCKS), random(2) == 0);
            let len = (1 + random(6)).min(BLOCKS - at);
            if busy[at as usize..(at + len) as usize].iter().any(|busy| *busy) {
                break;
            }
            busy[at as usize..(at + len) as usize].fill(true);
            let seed = write.then(|| random(256) as u8);
            let kind = if write { OpKind::Write } else { OpKind::Read };
            engine.push(Request { id: next, sg: list(&pool, len as u32, seed.unwrap_or(0xee)) }, file, &op(kind, at, len)).unwrap();
            flight.insert(next, (at, len, seed));
            next += 1;
        }
        engine.kick();
        engine.reap(1 + random(8) as u32, &mut done);
        for (request, result) in done.drain(..) {
            let (at, len, seed) = flight.remove(&request.id).expect("in flight, and once");
            assert_eq!(result, Ok(len as u32 * BLOCK));
            for block in 0..len {
                busy[(at + block) as usize] = false;
                let fill = &mut model[(at + block) as usize];
                match seed {
                    Some(seed) => *fill = seed.wrapping_add(block as u8),
                    None => assert!(bytes(&request.sg)[(block * 4096) as usize..][..4096].iter().all(|byte| byte == fill)),
                }
            }
        }
    }
    assert_eq!((pool.out(), engine.in_flight()), (0, 0));
}

/// Once warm, a request costs no allocation.
pub(crate) fn allocates_nothing(engine: &mut impl Engine) {
    let dir = TempDir::new();
    let pool = Pool::small(BLOCK, 8);
    let target = target(&dir, 8, Direct::Prefer);
    let file = engine.add(target.handle());
    let mut requests: Vec<Request> = (0..4).map(|id| Request { id, sg: list(&pool, 2, 1) }).collect();
    let mut done: Vec<Done> = Vec::with_capacity(8);
    let mut before = 0;
    for round in 0..20 {
        if round == 10 {
            before = crate::alloc_count::allocations();
        }
        for request in requests.drain(..) {
            let op = op(OpKind::Write, request.id * 2, 2);
            engine.push(request, file, &op).unwrap();
        }
        engine.kick();
        while done.len() < 4 {
            engine.reap(8, &mut done);
        }
        requests.extend(done.drain(..).map(|(request, _)| request));
    }
    assert_eq!(crate::alloc_count::allocations(), before);
}
