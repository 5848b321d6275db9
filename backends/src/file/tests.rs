//! What every back end over a file must do, whichever ring it uses.

use super::*;
use crate::model::{Random, exercise, on_reactors, plain, refusals, transfer};
use doorbell_block::{Abort, BlockDevice, BlockQueue, ConsumerId, Cx, Flags, Io, Op, ReactorId, Status, WriteCache};
use doorbell_reactor::AsyncQueue;
use doorbell_sys::file::Direct;
use doorbell_sys::helper::Helpers;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A back end over files.
pub(crate) trait Backend: BlockDevice + Sized + 'static {
    fn make(options: &FileOptions, helpers: &Helpers) -> Result<Self, FileError>;
    fn look_again(&self) -> bool;
}

/// A folder that goes away with its test.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> TempDir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("doorbell-backends-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        TempDir(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const MIB: u64 = 1 << 20;

fn sized(path: PathBuf, bytes: u64, block_bytes: u32, direct: Direct) -> FileOptions {
    FileOptions { create_bytes: Some(bytes), block_bytes: Some(block_bytes), direct, ..FileOptions::new(path) }
}

fn made<B: Backend>(options: &FileOptions) -> Arc<B> {
    Arc::new(B::make(options, &Helpers::new(2).unwrap()).unwrap())
}

/// Whether the folder for temporary files takes direct I/O; said when it does not.
fn takes_direct(dir: &TempDir) -> bool {
    let probe = FileOptions { direct: Direct::Require, ..sized(dir.path("probe"), 4096, 4096, Direct::Require) };
    let taken = doorbell_sys::file::Target::open(
        &probe.path,
        &doorbell_sys::file::OpenOptions { direct: Direct::Require, create_bytes: Some(4096), ..Default::default() },
    );
    if let Err(error) = &taken {
        eprintln!("not tested with direct I/O: {error}");
    }
    taken.is_ok()
}

pub(crate) fn holds_what_was_written<B: Backend>() {
    for (direct, block_bytes) in [(Direct::Prefer, 4096), (Direct::Prefer, 512), (Direct::Off, 512)] {
        let dir = TempDir::new();
        let options = sized(dir.path("a"), 4 * MIB, block_bytes, direct);
        on_reactors(1, |local| async move {
            let device = made::<B>(&options);
            assert_eq!(device.info().write_cache, WriteCache::Volatile);
            assert!(device.info().ops.has(Op::Flush) && device.info().fua);
            exercise(&local, device.clone(), 16, 120, block_bytes.into()).await;
            refusals(&local, device).await;
        });
    }
}

/// Two queues on each of two reactors, all over one file.
pub(crate) fn reactors_share_it<B: Backend>() {
    let dir = TempDir::new();
    let options = sized(dir.path("a"), MIB, 4096, Direct::Prefer);
    on_reactors(2, |local| async move {
        let device = made::<B>(&options);
        let queues =
            [AsyncQueue::open(&local, device.clone(), 4).await.unwrap(), AsyncQueue::open(&local, device.clone(), 4).await.unwrap()];
        let there = device.clone();
        let there = local.visit(ReactorId(1), move |cx| write_blocking(cx, &*there, 7, 0x42)).await.unwrap();
        assert_eq!(there, Status::Ok);
        for queue in &queues {
            let buffer = local.with(|cx| cx.buffer(4096).unwrap()).await;
            let (status, mut buffer) = queue.read(7, 1, buffer).await;
            assert_eq!(status, Status::Ok);
            assert!(buffer.bytes().unwrap().iter().all(|byte| *byte == 0x42));
        }
    });
}

/// Writes one block from within one visit: turns the ring by hand.
fn write_blocking(cx: &mut Cx, device: &dyn BlockDevice, lba: u64, byte: u8) -> Status {
    let who = cx.token(ConsumerId(0));
    let mut queue = device.open(cx, who, 1).unwrap();
    let (mut io, buffer) = cx.request(4096).unwrap();
    buffer.fill(0, 4096, byte);
    (io.op, io.lba, io.blocks) = (Op::Write, lba, 1);
    io.sg.push(buffer);
    queue.submit(cx, io);
    queue.kick(cx);
    let source = cx.changes().unwrap().sources.pop().unwrap();
    let mut done = vec![];
    while done.is_empty() {
        source.borrow_mut().reap(cx, 8);
        queue.poll(cx, &mut done);
        std::thread::yield_now();
    }
    let io = done.pop().unwrap();
    let status = io.status;
    cx.put_io(io);
    drop((queue, source));
    cx.free_token(who);
    status
}

/// Payload at odd addresses and in odd pieces goes through the bounce buffer, piece by piece, several at a time.
pub(crate) fn misaligned_payload_is_right<B: Backend>() {
    let dir = TempDir::new();
    if !takes_direct(&dir) {
        return;
    }
    let options = sized(dir.path("a"), 4 * MIB, 4096, Direct::Require);
    on_reactors(1, |local| async move {
        let device = made::<B>(&options);
        let queue = Rc::new(AsyncQueue::open(&local, device, 8).await.unwrap());
        let mut ends = vec![];
        for n in 0..6u64 {
            let (queue, local_too) = (queue.clone(), local.clone());
            let (tx, rx) = doorbell_reactor::oneshot();
            local.spawn(async move {
                let bytes = 40u32 << 10; // more than two bounce buffers
                let whole = local_too.with(move |cx| cx.buffer(bytes + 4096).unwrap()).await;
                let shift = 1 + n as u32;
                // One segment off by a few bytes, or two that meet at an odd place.
                let parts = match n % 2 {
                    0 => vec![whole.slice(shift, bytes)],
                    _ => vec![whole.slice(0, 4096 + shift), whole.slice(4096 + shift, bytes - 4096 - shift)],
                };
                let start = if n % 2 == 0 { shift } else { 0 };
                let mut random = Random(n + 1);
                let data: Vec<u8> = (0..bytes).map(|_| random.next() as u8).collect();
                whole.write_at(start, &data);
                let flags = if n == 3 { Flags::FUA } else { Flags::NONE };
                assert_eq!(transfer(&queue, Op::Write, flags, n * 10, 10, parts.clone()).await, Status::Ok);
                whole.fill(0, whole.len(), 0);
                assert_eq!(transfer(&queue, Op::Read, Flags::NONE, n * 10, 10, parts).await, Status::Ok);
                let mut back = vec![0; bytes as usize];
                whole.read_at(start, &mut back);
                assert!(back == data, "lane {n}");
                tx.send(());
            });
            ends.push(rx);
        }
        for end in ends {
            end.await.expect("a lane failed");
        }
    });
}

/// More requests than the ring takes, from two queues: the rest waits in turn and nothing is lost.
pub(crate) fn more_than_the_ring_takes<B: Backend>() {
    let dir = TempDir::new();
    let options = sized(dir.path("a"), 8 * MIB, 4096, Direct::Prefer);
    let device = made::<B>(&options);
    let mut cx = Cx::for_test(3000, 16384, 2);
    let tokens = [cx.token(ConsumerId(0)), cx.token(ConsumerId(0))];
    let mut queues = tokens.map(|who| device.open(&mut cx, who, 1500).unwrap());
    let buffer = cx.buffer(4096).unwrap();
    for n in 0..3000u64 {
        let mut io = cx.take_io().unwrap();
        let op = [Op::Write, Op::Flush, Op::Read, Op::WriteZeroes][n as usize / 2 % 4];
        (io.op, io.lba, io.blocks, io.tag) = (op, n % 2048, 1, n);
        if matches!(op, Op::Read | Op::Write) {
            io.sg.push(buffer.clone());
        }
        queues[n as usize % 2].submit(&mut cx, io);
    }
    queues.iter_mut().for_each(|queue| queue.kick(&mut cx));
    let source = cx.changes().unwrap().sources.pop().unwrap();
    let (mut done, mut counts) = (vec![], [0u32; 2]);
    let mut aborted = false;
    while counts != [1500, 1500] {
        source.borrow_mut().reap(&mut cx, 64);
        for n in 0..2 {
            queues[n].poll(&mut cx, &mut done);
            for io in done.drain(..) {
                assert_eq!(io.tag % 2, n as u64);
                let recalled = aborted && n == 1 && io.status == Status::Aborted;
                assert!(io.status == Status::Ok || recalled, "{:?}: {}", io.op, io.status);
                counts[n] += 1;
                cx.put_io(io);
            }
        }
        // By turns: neither queue is let in long before the other.
        assert!(aborted || counts[0].abs_diff(counts[1]) < 700, "{counts:?}");
        if !aborted && counts[1] > 800 {
            queues[1].abort(&mut cx, Abort::All);
            aborted = true;
        }
    }
    assert!(aborted && !source.borrow().busy());
    assert_eq!(cx.boxes_out(), 0);
}

/// A file cut behind our back: reads beyond the end fail, others do not, and nothing else happens; whole again, all is well.
pub(crate) fn a_file_that_shrinks<B: Backend>() {
    let dir = TempDir::new();
    let path = dir.path("a");
    let options = sized(path.clone(), MIB, 4096, Direct::Prefer);
    on_reactors(1, |local| async move {
        let device = made::<B>(&options);
        let queue = AsyncQueue::open(&local, device.clone(), 8).await.unwrap();
        let buffer = local.with(|cx| cx.buffer(32768).unwrap()).await;
        assert_eq!(transfer(&queue, Op::Write, Flags::NONE, 0, 8, vec![buffer.clone()]).await, Status::Ok);
        // In the middle of block 4.
        File::options().write(true).open(&path).unwrap().set_len(4 * 4096 + 100).unwrap();
        for (lba, blocks, want) in [(0, 4, Status::Ok), (0, 8, Status::ReadError), (3, 2, Status::ReadError), (100, 8, Status::ReadError)] {
            let got = transfer(&queue, Op::Read, Flags::NONE, lba, blocks, vec![buffer.slice(0, blocks * 4096)]).await;
            assert_eq!(got, want, "{blocks} blocks at {lba}");
        }
        assert!(device.look_again());
        assert_eq!(device.info().blocks, 4);
        assert_eq!(transfer(&queue, Op::Read, Flags::NONE, 4, 1, vec![buffer.slice(0, 4096)]).await, Status::OutOfRange);
        File::options().write(true).open(&path).unwrap().set_len(2 * MIB).unwrap();
        assert!(device.look_again() && !device.look_again());
        assert_eq!(transfer(&queue, Op::Read, Flags::NONE, 504, 8, vec![buffer.clone()]).await, Status::Ok);
    });
}

/// Cut and grown again while requests run: each ends, well or with an error of the medium.
pub(crate) fn a_file_that_shrinks_under_load<B: Backend>() {
    let dir = TempDir::new();
    let path = dir.path("a");
    let options = sized(path.clone(), 4 * MIB, 4096, Direct::Prefer);
    on_reactors(1, |local| async move {
        let queue = Rc::new(AsyncQueue::open(&local, made::<B>(&options), 8).await.unwrap());
        let mut ends = vec![];
        for n in 0..8u64 {
            let (queue, local_too, path) = (queue.clone(), local.clone(), path.clone());
            let (tx, rx) = doorbell_reactor::oneshot();
            local.spawn(async move {
                let buffer = local_too.with(|cx| cx.buffer(16384).unwrap()).await;
                let mut random = Random(n + 1);
                let mut failed = 0;
                for step in 0..150 {
                    let op = if random.below(3) == 0 { Op::Write } else { Op::Read };
                    let status = transfer(&queue, op, Flags::NONE, random.below(1020), 4, vec![buffer.clone()]).await;
                    assert!(status == Status::Ok || (op == Op::Read && status == Status::ReadError), "{op:?}: {status}");
                    failed += u32::from(status != Status::Ok);
                    if n == 0 && step % 10 == 0 {
                        let file = File::options().write(true).open(&path).unwrap();
                        file.set_len(if step % 20 == 0 { MIB + 1000 } else { 4 * MIB }).unwrap();
                    }
                }
                tx.send(failed);
            });
            ends.push(rx);
        }
        let mut failed = 0;
        for end in ends {
            failed += end.await.expect("a lane failed");
        }
        assert!(failed > 0, "nothing was read beyond the end");
    });
}

/// A small file system, which fills up; none where this process may not mount.
struct Small(PathBuf);

impl Small {
    fn new(dir: &TempDir, bytes: u64) -> Option<Small> {
        let at = dir.path("small");
        fs::create_dir(&at).unwrap();
        let size = format!("size={bytes}");
        match Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&at).output() {
            Ok(out) if out.status.success() => Some(Small(at)),
            other => {
                eprintln!("skipped: no small file system: {other:?}");
                None
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A sparse file on a file system that is too small for it.
pub(crate) fn a_full_file_system<B: Backend>() {
    let dir = TempDir::new();
    let Some(small) = Small::new(&dir, MIB) else { return };
    let options = sized(small.0.join("a"), 4 * MIB, 4096, Direct::Prefer);
    on_reactors(1, |local| async move {
        let queue = AsyncQueue::open(&local, made::<B>(&options), 8).await.unwrap();
        let buffer = local.with(|cx| cx.buffer(65536).unwrap()).await;
        buffer.fill(0, 65536, 0x99);
        let mut ends = vec![];
        for n in 0..64 {
            ends.push(transfer(&queue, Op::Write, Flags::NONE, n * 16, 16, vec![buffer.clone()]).await);
        }
        let good = ends.iter().take_while(|status| **status == Status::Ok).count();
        assert!((8..=16).contains(&good), "{good} of 16 fit");
        assert!(ends[good..].iter().all(|status| *status == Status::NoSpace), "{ends:?}");
        // What was written is there, and room can be made.
        buffer.fill(0, 65536, 0);
        assert_eq!(transfer(&queue, Op::Read, Flags::NONE, 0, 16, vec![buffer.clone()]).await, Status::Ok);
        let mut back = vec![0; 65536];
        buffer.read_at(0, &mut back);
        assert!(back.iter().all(|byte| *byte == 0x99));
        assert_eq!(plain(&queue, Op::Unmap, 0, 64).await.0, Status::Ok);
        assert_eq!(transfer(&queue, Op::Write, Flags::NONE, 900, 16, vec![buffer.clone()]).await, Status::Ok);
    });
}

/// On a file system in memory nothing waits for a device, so no helper thread is asked: not even for a hole.
pub(crate) fn memory_needs_no_helper<B: Backend>() {
    let dir = TempDir::new();
    let Some(small) = Small::new(&dir, 4 * MIB) else { return };
    let options = sized(small.0.join("a"), MIB, 4096, Direct::Prefer);
    on_reactors(1, |local| async move {
        let helpers = Helpers::new(1).unwrap();
        let device = Arc::new(B::make(&options, &helpers).unwrap());
        let (go, stuck) = std::sync::mpsc::channel::<()>();
        let hold = move || {
            let _ = stuck.recv_timeout(Duration::from_secs(30));
        };
        assert!(helpers.call(Box::new(hold)).is_ok());
        let queue = AsyncQueue::open(&local, device, 1).await.unwrap();
        let buffer = local.with(|cx| cx.buffer(8192).unwrap()).await;
        for (op, lba) in [(Op::Read, 0), (Op::Write, 5), (Op::Read, 5), (Op::Write, 6)] {
            assert_eq!(transfer(&queue, op, Flags::NONE, lba, 2, vec![buffer.clone()]).await, Status::Ok);
        }
        assert!(go.send(()).is_ok(), "the only helper was held until all was done");
    });
}

pub(crate) fn it_is_held<B: Backend>() {
    let dir = TempDir::new();
    let helpers = Helpers::new(1).unwrap();
    let options = sized(dir.path("a"), MIB, 4096, Direct::Prefer);
    let first = B::make(&options, &helpers).unwrap();
    let second = B::make(&options, &helpers).err().unwrap();
    assert_eq!(second.errno(), 16);
    assert!(second.to_string().contains(&std::process::id().to_string()), "{second}");
    drop(first);
    let readers = FileOptions { read_only: true, create_bytes: None, ..options };
    let both = [B::make(&readers, &helpers).unwrap(), B::make(&readers, &helpers).unwrap()];
    assert!(both.iter().all(|reader| reader.info().read_only));
    on_reactors(1, |local| async move {
        let [reader, _] = both;
        refusals(&local, Arc::new(reader)).await;
    });
}

/// Whoever has closed queue and device can have the file again, also when helpers had part in it. A kernel's own io_uring worker may hold
/// it for a moment after its last completion; nothing of ours does. The plain open does not wait as [`doorbell_sys::file::Target::open`] does.
pub(crate) fn closing_lets_go<B: Backend>() {
    let dir = TempDir::new();
    let options = sized(dir.path("a"), MIB, 4096, Direct::Prefer);
    let helpers = Helpers::new(2).unwrap();
    for n in 0..20 {
        let device = Arc::new(B::make(&options, &helpers).unwrap());
        on_reactors(1, |local| async move {
            let queue = AsyncQueue::open(&local, device, 4).await.unwrap();
            let buffer = local.with(|cx| cx.buffer(4096).unwrap()).await;
            assert_eq!(transfer(&queue, Op::Write, Flags::NONE, n, 1, vec![buffer.clone()]).await, Status::Ok);
            assert_eq!(plain(&queue, Op::WriteZeroes, n, 1).await.0, Status::Ok);
            assert_eq!(transfer(&queue, Op::Read, Flags::NONE, n, 1, vec![buffer]).await, Status::Ok);
        });
        let file = File::options().read(true).write(true).open(&options.path).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while let Err(error) = rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            assert!(std::time::Instant::now() < deadline, "time {n}: {error}");
            std::thread::yield_now();
        }
    }
}

pub(crate) fn what_cannot_be_served<B: Backend>() {
    let dir = TempDir::new();
    let helpers = Helpers::new(1).unwrap();
    let refusal = |options: FileOptions| {
        let error = B::make(&options, &helpers).err().unwrap();
        (error.errno(), error.to_string())
    };
    let errno = |options| refusal(options).0;
    let file = |name: &str, bytes: u64| {
        File::create(dir.path(name)).unwrap().set_len(bytes).unwrap();
        FileOptions { block_bytes: Some(4096), ..FileOptions::new(dir.path(name)) }
    };
    assert_eq!(errno(FileOptions::new("/nonexistent")), 2);
    assert_eq!(errno(FileOptions::new("/")), 15);
    assert_eq!(errno(FileOptions::new("/dev/null")), 15);
    assert_eq!(errno(file("empty", 0)), 22);
    assert_eq!(errno(file("odd", 4097)), 22);
    assert_eq!(errno(FileOptions { block_bytes: Some(1000), ..file("a", MIB) }), 22);
    assert_eq!(errno(FileOptions { block_bytes: Some(256), ..file("a", MIB) }), 22);
    let (errno, text) = refusal(FileOptions { nowait: Nowait::Always, ..file("a", MIB) });
    assert!(errno == 22 && text.contains("regular file"), "{text}");
}

/// A block device made of a file; none where this process may not make one.
struct Loop(String);

impl Loop {
    fn new(backing: &Path, bytes: u64) -> Option<Loop> {
        File::create(backing).unwrap().set_len(bytes).unwrap();
        match Command::new("losetup").args(["--find", "--show"]).arg(backing).output() {
            Ok(out) if out.status.success() => Some(Loop(String::from_utf8(out.stdout).unwrap().trim().to_owned())),
            other => {
                eprintln!("skipped: no loop device: {other:?}");
                None
            }
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

pub(crate) fn a_block_device<B: Backend>() {
    let dir = TempDir::new();
    let Some(disk) = Loop::new(&dir.path("disk"), 4 * MIB) else { return };
    let options = FileOptions { nowait: Nowait::Always, ..FileOptions::new(&disk.0) };
    on_reactors(1, |local| async move {
        let device = made::<B>(&options);
        let info = device.info();
        assert_eq!((info.block_size(), info.blocks), (512, 8192));
        assert!(info.ops.has(Op::Unmap));
        exercise(&local, device.clone(), 8, 60, 9).await;
        let error = B::make(&options, &Helpers::new(1).unwrap()).err().unwrap();
        assert!(error.errno() == 16 && error.to_string().contains("in use"), "{error}");
    });
}

/// Flushes that a block device was sent, as the kernel counts them (Documentation/block/stat.rst: the 16th number).
fn flushes(disk: &Loop) -> u64 {
    let name = Path::new(&disk.0).file_name().unwrap().to_str().unwrap();
    let text = fs::read_to_string(format!("/sys/block/{name}/stat")).unwrap();
    text.split_whitespace().nth(15).unwrap().parse().unwrap()
}

/// A flush, and a write or zeroing with FUA, reach the device's cache; others do not.
pub(crate) fn durability_reaches_the_device<B: Backend>() {
    let dir = TempDir::new();
    let Some(disk) = Loop::new(&dir.path("disk"), 4 * MIB) else { return };
    on_reactors(1, |local| async move {
        let device = made::<B>(&FileOptions::new(&disk.0));
        assert_eq!(device.info().write_cache, WriteCache::Volatile);
        let queue = AsyncQueue::open(&local, device, 1).await.unwrap();
        let buffer = local.with(|cx| cx.buffer(512).unwrap()).await;
        for (op, flags, reaches) in [
            (Op::Write, Flags::NONE, false),
            (Op::Flush, Flags::NONE, true),
            (Op::Write, Flags::FUA, true),
            (Op::Read, Flags::NONE, false),
            (Op::WriteZeroes, Flags::FUA, true),
            (Op::WriteZeroes, Flags::NONE, false),
        ] {
            let before = flushes(&disk);
            let parts = if matches!(op, Op::Read | Op::Write) { vec![buffer.clone()] } else { vec![] };
            let blocks = u32::from(op != Op::Flush);
            assert_eq!(transfer(&queue, op, flags, 0, blocks, parts).await, Status::Ok);
            assert_eq!(flushes(&disk) > before, reaches, "{op:?} {flags:?}");
        }
    });
}

/// Runs one request at a time through a queue by hand, and says what it cost in allocations once warm.
pub(crate) fn allocates_nothing<B: Backend>() {
    let dir = TempDir::new();
    let options = sized(dir.path("a"), MIB, 4096, Direct::Prefer);
    let device = made::<B>(&options);
    let mut cx = Cx::for_test(8, 16384, 8);
    let who = cx.token(ConsumerId(0));
    let mut queue = device.open(&mut cx, who, 8).unwrap();
    let source = cx.changes().unwrap().sources.pop().unwrap();
    let mut done = Vec::with_capacity(8);
    let round = |cx: &mut Cx, queue: &mut Box<dyn BlockQueue>, done: &mut Vec<Box<Io>>| {
        for n in 0..4 {
            let (mut io, buffer) = cx.request(4096).unwrap();
            let op = [Op::Write, Op::Read, Op::Flush, Op::Write][n];
            (io.op, io.lba, io.blocks) = (op, n as u64, 1);
            if op != Op::Flush {
                io.sg.push(buffer);
            }
            queue.submit(cx, io);
        }
        queue.kick(cx);
        while done.len() < 4 {
            source.borrow_mut().reap(cx, 8);
            queue.poll(cx, done);
        }
        cx.take_ready();
        cx.begin_run(who);
        for io in done.drain(..) {
            assert_eq!(io.status, Status::Ok);
            cx.put_io(io);
        }
    };
    (0..50).for_each(|_| round(&mut cx, &mut queue, &mut done));
    let before = doorbell_sys::alloc_count::allocations();
    (0..50).for_each(|_| round(&mut cx, &mut queue, &mut done));
    assert_eq!(doorbell_sys::alloc_count::allocations() - before, 0);
}

/// The tests of a back end, given how it is opened.
macro_rules! suite {
    ($backend:ty, $open:expr) => {
        impl crate::file::tests::Backend for $backend {
            fn make(options: &FileOptions, helpers: &Helpers) -> Result<$backend, FileError> {
                $open(options, helpers)
            }

            fn look_again(&self) -> bool {
                self.rescan().unwrap()
            }
        }

        crate::file::tests::suite! { each $backend:
            holds_what_was_written
            reactors_share_it
            misaligned_payload_is_right
            more_than_the_ring_takes
            a_file_that_shrinks
            a_file_that_shrinks_under_load
            a_full_file_system
            memory_needs_no_helper
            it_is_held
            closing_lets_go
            what_cannot_be_served
            a_block_device
            durability_reaches_the_device
            allocates_nothing
        }
    };
    (each $backend:ty: $($name:ident)*) => {$(
        #[test]
        fn $name() {
            crate::file::tests::$name::<$backend>();
        }
    )*};
}
pub(crate) use suite;
