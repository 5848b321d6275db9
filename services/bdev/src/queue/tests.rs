use crate::{Access, Bdev, Handle, Limit, LimitKind, NewBdev, Registry};
use doorbell_block::*;
use doorbell_control::Uuid;
use doorbell_mem::Seg;
use doorbell_reactor::{AsyncQueue, Closed, Config, Local, run};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

mod metadata;
mod zones;

const BLOCKS: u64 = 256;

/// A disk in memory that does only what `info` says, holds back what it is told to, and notes what reached it.
struct Ram {
    info: DeviceInfo,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    data: Mutex<Vec<u8>>,
    /// Metadata of the blocks, where the device has any.
    meta: Mutex<Vec<u8>>,
    seen: Mutex<Vec<(Op, u64, u32, Flags)>>,
    /// Keeps reads until they are aborted.
    hang: AtomicU32,
    resets: AtomicU32,
    /// Where each zone is written next, by its number.
    pointers: Mutex<BTreeMap<u64, u64>>,
    /// Most requests that were there at one time.
    at_once: AtomicU32,
}

struct RamQueue {
    who: Token,
    taken: Done,
    hung: Done,
    info: DeviceInfo,
    state: Arc<State>,
}

impl BlockDevice for Ram {
    fn info(&self) -> Arc<DeviceInfo> {
        Arc::new(self.info.clone())
    }
    fn open(&self, _cx: &mut Cx, who: Token, _depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        Ok(Box::new(RamQueue { who, taken: vec![], hung: vec![], info: self.info.clone(), state: self.state.clone() }))
    }
}

impl RamQueue {
    fn serve(&self, io: &mut Io) {
        let l = self.info.limits;
        self.state.seen.lock().unwrap().push((io.op, io.lba, io.blocks, io.flags));
        assert!(self.info.ops.has(io.op), "{:?} must not reach this device", io.op);
        assert!(l.transfer_blocks == 0 || io.sg.is_empty() || io.blocks <= l.transfer_blocks, "too long");
        assert!(l.segments == 0 || io.sg.segs().len() <= l.segments as usize, "too many segments");
        let crosses = |b: u64| b != 0 && io.blocks > 0 && io.lba / b != (io.lba + u64::from(io.blocks) - 1) / b;
        assert!(!crosses(l.boundary_blocks.into()), "crosses a boundary");
        let aligned = |s: &Seg| l.align_bytes == 0 || (s.address().addr() as u32 | s.len()).is_multiple_of(l.align_bytes);
        assert!(io.sg.segs().iter().all(aligned), "misaligned");
        if let Some(zones) = self.info.zones {
            self.keep_zones(&zones, io);
        }
        let first = if io.op == Op::ZoneAppend { io.result } else { io.lba };
        let mut data = self.state.data.lock().unwrap();
        let range = first as usize * 512..(first as usize + io.blocks as usize) * 512;
        match io.op {
            Op::Read => io.sg.write_at(0, &data[range]),
            Op::Write | Op::ZoneAppend => io.sg.read_at(0, &mut data[range]),
            Op::Verify => assert!(l.verify_blocks == 0 || io.blocks <= l.verify_blocks, "too long"),
            Op::WriteUncorrectable => data[range].fill(0xee),
            Op::Reset => drop(self.state.resets.fetch_add(1, Ordering::SeqCst)),
            _ => {}
        }
        self.serve_metadata(io);
        io.status = Status::Ok;
    }

    /// Moves write pointers, and sees that nothing is written elsewhere.
    fn keep_zones(&self, zones: &Zones, io: &mut Io) {
        if !matches!(io.op, Op::Write | Op::ZoneAppend) {
            return;
        }
        let start = io.lba - io.lba % zones.blocks;
        let mut pointers = self.state.pointers.lock().unwrap();
        let pointer = pointers.entry(start).or_insert(start);
        match io.op {
            Op::ZoneAppend => io.result = *pointer,
            _ => assert_eq!(io.lba, *pointer, "a write that is not where its zone is written next"),
        }
        *pointer += u64::from(io.blocks);
        assert!(*pointer <= start + zones.blocks, "a write beyond the end of its zone");
    }

    /// A write without metadata leaves zeroes.
    fn serve_metadata(&self, io: &mut Io) {
        let Some(metadata) = self.info.metadata else { return };
        let each = usize::from(metadata.bytes);
        let range = io.lba as usize * each..(io.lba as usize + io.blocks as usize) * each;
        assert!(io.meta.is_empty() || io.meta.bytes() as usize == range.len(), "metadata of the wrong length");
        let mut meta = self.state.meta.lock().unwrap();
        match io.op {
            Op::Read if !io.meta.is_empty() => io.meta.write_at(0, &meta[range]),
            Op::Write if io.meta.is_empty() => meta[range].fill(0),
            Op::Write => io.meta.read_at(0, &mut meta[range]),
            _ => {}
        }
    }
}

impl BlockQueue for RamQueue {
    fn submit(&mut self, _cx: &mut Cx, io: Box<Io>) {
        self.taken.push(io);
    }
    fn kick(&mut self, cx: &mut Cx) {
        cx.wake(self.who);
    }
    fn poll(&mut self, _cx: &mut Cx, done: &mut Done) {
        self.state.at_once.fetch_max(self.taken.len() as u32, Ordering::SeqCst);
        for mut io in std::mem::take(&mut self.taken) {
            if io.op == Op::Read && self.state.hang.load(Ordering::SeqCst) > 0 {
                self.hung.push(io);
                continue;
            }
            self.serve(&mut io);
            done.push(io);
        }
        let aborted = self.hung.iter().position(|io| io.status == Status::Aborted);
        if let Some(n) = aborted {
            done.push(self.hung.remove(n));
        }
    }
    fn abort(&mut self, cx: &mut Cx, which: Abort) {
        for io in &mut self.hung {
            if which == Abort::All || which == Abort::One(io.id()) {
                io.status = Status::Aborted;
                cx.wake(self.who);
            }
        }
    }
}

fn ops(more: &[Op]) -> OpSet {
    more.iter().fold(OpSet::of(&[Op::Read, Op::Write]), |s, op| s.with(*op))
}

fn info() -> DeviceInfo {
    DeviceInfo { ops: ops(&[]), ..DeviceInfo::plain(9, BLOCKS) }
}

/// Runs `test` on a device of this kind, and checks that nothing was lost.
fn on<F: Future<Output = ()> + 'static>(info: DeviceInfo, test: impl FnOnce(Local, Arc<Handle>, Arc<State>) -> F + 'static) {
    let meta = vec![0; BLOCKS as usize * info.metadata.map_or(0, |m| usize::from(m.bytes))];
    let data = (0..BLOCKS as usize * 512).map(|n| (n / 512 * 7 + n) as u8).collect();
    let state = Arc::new(State { data: Mutex::new(data), meta: Mutex::new(meta), ..State::default() });
    let device = Arc::new(Ram { info, state: state.clone() });
    let config = Config { reactors: 2, ..Config::default() };
    let (_, closed): (_, Vec<Closed>) = run(&config, |local| async move {
        let registry = Registry::new();
        registry
            .register(NewBdev {
                name: "R".into(),
                aliases: vec![],
                uuid: Uuid([3; 16]),
                product: "",
                module: "",
                device,
                driver_specific: Box::new(|| serde_json::Value::Null),
                created_by: None,
            })
            .unwrap();
        let handle = registry.open("R", Access::Write, Box::new(|_| {})).unwrap();
        test(local.clone(), handle, state).await;
        local.sleep_ns(2_000_000).await; // retired queues
    })
    .unwrap();
    assert!(closed.iter().all(|c| c.boxes_out == 0 && c.buffers_out == 0), "{closed:?}");
}

async fn open(local: &Local, handle: &Arc<Handle>) -> AsyncQueue {
    AsyncQueue::open(local, handle.clone(), 32).await.unwrap()
}

/// A buffer of `bytes` holding `byte`.
async fn buffer(local: &Local, bytes: u32, byte: u8) -> Seg {
    local
        .with(move |cx| {
            let s = cx.buffer(bytes).unwrap();
            s.fill(0, bytes, byte);
            s
        })
        .await
}

fn stored(state: &State, lba: u64, blocks: u64) -> Vec<u8> {
    state.data.lock().unwrap()[lba as usize * 512..(lba + blocks) as usize * 512].to_vec()
}

fn all_bytes(s: &Seg) -> Vec<u8> {
    let mut v = vec![0; s.len() as usize];
    s.read_at(0, &mut v);
    v
}

#[test]
fn wrong_requests_come_back_as_what_they_are() {
    on(info(), |local, handle, state| async move {
        let q = open(&local, &handle).await;
        for (lba, blocks, want) in [
            (BLOCKS, 1, Status::OutOfRange),
            (BLOCKS - 1, 2, Status::OutOfRange),
            (u64::MAX, 1, Status::OutOfRange),
            (0, 0, Status::Invalid),
        ] {
            let b = buffer(&local, (blocks * 512).max(512), 0).await;
            let b = if blocks == 0 { b.slice(0, 0) } else { b };
            assert_eq!(q.read(lba, blocks, b).await.0, want, "{lba} {blocks}");
        }
        let short = buffer(&local, 512, 0).await;
        assert_eq!(q.read(0, 2, short).await.0, Status::Invalid);
        assert_eq!(q.control(Op::Unmap, 0, 8).await, Status::Unsupported);
        assert!(state.seen.lock().unwrap().is_empty(), "none reached the device");
        assert_eq!(handle.bdev().stat().errors(Status::OutOfRange), 3);
    });
}

#[test]
fn requests_are_split_to_every_limit_and_data_is_right() {
    let limits = Limits { boundary_blocks: 8, transfer_blocks: 5, segments: 1, align_bytes: 512, ..Limits::default() };
    on(DeviceInfo { limits, ..info() }, |local, handle, state| async move {
        let offered = handle.info();
        // But for what is done as one, in a buffer of the queue's own.
        let lifted = Limits { compare_and_write_blocks: 8, ..Limits::default() };
        assert_eq!((offered.limits, offered.preferred.boundary), (lifted, 8), "lifted, and told as what it likes");
        let q = open(&local, &handle).await;
        let want = stored(&state, 3, 40);
        let (status, b) = q.read(3, 40, buffer(&local, 40 * 512, 0).await).await;
        assert_eq!((status, all_bytes(&b) == want), (Status::Ok, true));
        // A payload that begins in the middle of nowhere is bounced.
        let odd = buffer(&local, 8192, 9).await.slice(100, 4 * 512);
        assert_eq!(q.write(6, 4, odd).await.0, Status::Ok);
        assert!(stored(&state, 6, 4).iter().all(|b| *b == 9));
        assert_ne!(stored(&state, 10, 1)[0], 9);
        let stat = handle.bdev().stat();
        assert_eq!((stat.op(Op::Read).ops, stat.op(Op::Write).ops), (1, 1), "parents are counted, parts are not");
        assert!(state.seen.lock().unwrap().len() >= 10);
    });
}

#[test]
fn what_the_device_lacks_is_emulated() {
    on(info(), |local, handle, state| async move {
        let q = open(&local, &handle).await;
        assert_eq!(q.control(Op::WriteZeroes, 10, 200).await, Status::Ok);
        assert!(stored(&state, 10, 200).iter().all(|b| *b == 0));
        assert_ne!(stored(&state, 9, 1)[1], 0);
        // Copy, also onto itself in both directions.
        for (source, lba, blocks) in [(0u64, 100u64, 10u32), (0, 4, 180), (60, 20, 150)] {
            let mut want = stored(&state, 0, BLOCKS);
            want.copy_within(source as usize * 512..(source as usize + blocks as usize) * 512, lba as usize * 512);
            let copy = move |io: &mut Io| (io.op, io.source, io.lba, io.blocks) = (Op::Copy, source, lba, blocks);
            assert_eq!(q.request(copy, |io| io.status).await, Status::Ok);
            assert!(stored(&state, 0, BLOCKS) == want, "copy of {blocks} from {source} to {lba}");
        }
        let same = buffer(&local, 4 * 512, 0).await;
        same.write_at(0, &stored(&state, 30, 4));
        let compare = |s: Seg| {
            move |io: &mut Io| {
                (io.op, io.lba, io.blocks) = (Op::Compare, 30, 4);
                io.sg.push(s);
            }
        };
        assert_eq!(q.request(compare(same.clone()), |io| io.status).await, Status::Ok);
        same.fill(3 * 512 + 7, 1, 0xee);
        assert_eq!(q.request(compare(same), |io| io.status).await, Status::Miscompare);
        assert_eq!(q.control(Op::Flush, 0, 0).await, Status::Ok, "write-through: nothing to flush");
        assert!(state.seen.lock().unwrap().iter().all(|(op, ..)| matches!(op, Op::Read | Op::Write)));
    });
}

#[test]
fn a_copy_that_overlaps_is_done_by_hand_also_where_the_device_copies() {
    let ops = info().ops.with(Op::Copy);
    on(DeviceInfo { ops, limits: Limits { copy_blocks: 16, ..Limits::default() }, ..info() }, |local, handle, state| async move {
        let q = open(&local, &handle).await;
        for (source, lba, blocks) in [(0u64, 4u64, 180u32), (60, 20, 150), (10, 12, 8)] {
            let mut want = stored(&state, 0, BLOCKS);
            want.copy_within(source as usize * 512..(source as usize + blocks as usize) * 512, lba as usize * 512);
            let copy = move |io: &mut Io| (io.op, io.source, io.lba, io.blocks) = (Op::Copy, source, lba, blocks);
            assert_eq!(q.request(copy, |io| io.status).await, Status::Ok);
            assert!(stored(&state, 0, BLOCKS) == want, "copy of {blocks} from {source} to {lba}");
        }
        assert!(state.seen.lock().unwrap().iter().all(|(op, ..)| *op != Op::Copy));
        let copy = |io: &mut Io| (io.op, io.source, io.lba, io.blocks) = (Op::Copy, 0, 32, 32);
        assert_eq!(q.request(copy, |io| io.status).await, Status::Ok);
        assert_eq!(state.seen.lock().unwrap().iter().filter(|(op, ..)| *op == Op::Copy).count(), 2, "apart from itself the device copies");
    });
}

#[test]
fn compare_and_write_writes_only_what_it_found() {
    on(info(), |local, handle, state| async move {
        let q = open(&local, &handle).await;
        let two = buffer(&local, 1024, 5).await;
        two.write_at(0, &stored(&state, 50, 1));
        let caw = |s: Seg| {
            move |io: &mut Io| {
                (io.op, io.lba, io.blocks) = (Op::CompareAndWrite, 50, 1);
                io.sg.push(s);
            }
        };
        assert_eq!(q.request(caw(two.clone()), |io| io.status).await, Status::Ok);
        assert!(stored(&state, 50, 1).iter().all(|b| *b == 5));
        assert_eq!(q.request(caw(two), |io| io.status).await, Status::Miscompare, "it has changed");
        // The hold was given back: others write.
        assert_eq!(q.write(50, 1, buffer(&local, 512, 6).await).await.0, Status::Ok);
    });
}

/// Counters that two reactors raise by compare-and-write: none is lost.
#[test]
fn compare_and_write_is_atomic_across_reactors() {
    const ROUNDS: u64 = 60;
    on(info(), |local, handle, state| async move {
        state.data.lock().unwrap()[..512].fill(0);
        let done = Arc::new(AtomicU32::new(0));
        for reactor in [ReactorId(0), ReactorId(1)] {
            let (handle, done) = (handle.clone(), done.clone());
            local.visit(reactor, move |cx| Raiser::start(cx, handle, ROUNDS, done)).await.unwrap();
        }
        while done.load(Ordering::SeqCst) < 2 {
            local.sleep_ns(200_000).await;
        }
        let first: [u8; 8] = state.data.lock().unwrap()[..8].try_into().unwrap();
        assert_eq!(u64::from_le_bytes(first), 2 * ROUNDS);
    });
}

/// Reads block 0, then compares-and-writes it with one more, until it has succeeded often enough.
struct Raiser {
    queue: Option<Box<dyn BlockQueue>>,
    left: u64,
    done: Arc<AtomicU32>,
    token: Token,
    me: ConsumerId,
}

impl Raiser {
    fn start(cx: &mut Cx, handle: Arc<Handle>, left: u64, done: Arc<AtomicU32>) {
        cx.adopt(|cx, me| {
            let token = cx.token(me);
            let queue = handle.open(cx, token, 4).unwrap();
            let mut r = Raiser { queue: Some(queue), left, done, token, me };
            r.read(cx);
            r
        });
    }

    fn send(&mut self, cx: &mut Cx, op: Op, fill: impl FnOnce(&mut Io, Seg)) {
        let (mut io, seg) = cx.request(1024).unwrap();
        (io.op, io.lba, io.blocks) = (op, 0, 1);
        fill(&mut io, seg);
        let q = self.queue.as_mut().unwrap();
        q.submit(cx, io);
        q.kick(cx);
    }

    fn read(&mut self, cx: &mut Cx) {
        self.send(cx, Op::Read, |io, s| io.sg.push(s.slice(0, 512)));
    }
}

impl Consumer for Raiser {
    fn run(&mut self, cx: &mut Cx, _token: Token) {
        let mut done = vec![];
        if let Some(q) = &mut self.queue {
            q.poll(cx, &mut done);
        }
        for io in done {
            let (op, status) = (io.op, io.status);
            let mut block = [0u8; 512];
            io.sg.read_at(0, &mut block);
            cx.put_io(io);
            if op == Op::CompareAndWrite {
                assert!(matches!(status, Status::Ok | Status::Miscompare));
                self.left -= u64::from(status.is_ok());
                if self.left == 0 {
                    self.queue = None;
                    cx.free_token(self.token);
                    cx.dismiss(self.me);
                    self.done.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                self.read(cx);
            } else {
                let next = u64::from_le_bytes(block[..8].try_into().unwrap()) + 1;
                self.send(cx, Op::CompareAndWrite, |io, s| {
                    s.write_at(0, &block);
                    block[..8].copy_from_slice(&next.to_le_bytes());
                    s.write_at(512, &block);
                    io.sg.push(s);
                });
            }
        }
    }
}

#[test]
fn fua_is_a_flush_after_the_write_where_the_device_has_none() {
    let cached = DeviceInfo { write_cache: WriteCache::Volatile, ops: ops(&[Op::Flush]), ..info() };
    on(cached, |local, handle, state| async move {
        assert!(handle.info().fua);
        let q = open(&local, &handle).await;
        let b = buffer(&local, 512, 1).await;
        let fua = move |io: &mut Io| {
            (io.op, io.lba, io.blocks, io.flags) = (Op::Write, 5, 1, Flags::FUA);
            io.sg.push(b);
        };
        assert_eq!(q.request(fua, |io| io.status).await, Status::Ok);
        assert_eq!(q.control(Op::Flush, 0, 0).await, Status::Ok);
        let seen = state.seen.lock().unwrap().clone();
        assert_eq!(seen, [(Op::Write, 5, 1, Flags::NONE), (Op::Flush, 0, 0, Flags::NONE), (Op::Flush, 0, 0, Flags::NONE)]);
    });
}

#[test]
fn a_reset_drains_every_reactor_sweeps_what_hangs_and_lets_all_go_on() {
    let resets = DeviceInfo { ops: ops(&[Op::Reset]), ..info() };
    on(resets, |local, handle, state| async move {
        let q = open(&local, &handle).await;
        let other = handle.clone();
        let stuck = Arc::new(Mutex::new(None));
        let note = stuck.clone();
        state.hang.store(1, Ordering::SeqCst);
        local.visit(ReactorId(1), move |cx| Hanger::start(cx, other, note)).await.unwrap();
        local.sleep_ns(1_000_000).await;
        assert_eq!(*stuck.lock().unwrap(), None, "it hangs");
        assert_eq!(q.control(Op::Reset, 0, 0).await, Status::Ok);
        assert_eq!(*stuck.lock().unwrap(), Some(Status::Aborted));
        assert_eq!(state.resets.load(Ordering::SeqCst), 1);
        state.hang.store(0, Ordering::SeqCst);
        assert_eq!(q.read(0, 1, buffer(&local, 512, 0).await).await.0, Status::Ok);
    });
}

/// Sends one read and notes how it ended.
struct Hanger {
    queue: Box<dyn BlockQueue>,
    note: Arc<Mutex<Option<Status>>>,
    me: ConsumerId,
}

impl Hanger {
    fn start(cx: &mut Cx, handle: Arc<Handle>, note: Arc<Mutex<Option<Status>>>) {
        cx.adopt(|cx, me| {
            let token = cx.token(me);
            let mut queue = handle.open(cx, token, 1).unwrap();
            let (mut io, seg) = cx.request(512).unwrap();
            (io.op, io.blocks) = (Op::Read, 1);
            io.sg.push(seg);
            queue.submit(cx, io);
            queue.kick(cx);
            Hanger { queue, note, me }
        });
    }
}

impl Consumer for Hanger {
    fn run(&mut self, cx: &mut Cx, _token: Token) {
        let mut done = vec![];
        self.queue.poll(cx, &mut done);
        for io in done {
            *self.note.lock().unwrap() = Some(io.status);
            cx.put_io(io);
            cx.dismiss(self.me);
        }
    }
}

#[test]
fn a_late_request_is_asked_back_and_says_that_it_timed_out() {
    on(info(), |local, handle, state| async move {
        let q = open(&local, &handle).await;
        let bdev: Arc<Bdev> = handle.bdev().clone();
        local.with(move |cx| bdev.set_timeout(cx, 3_000_000)).await;
        assert_eq!(q.read(0, 1, buffer(&local, 512, 0).await).await.0, Status::Ok);
        state.hang.store(1, Ordering::SeqCst);
        assert_eq!(q.read(0, 1, buffer(&local, 512, 0).await).await.0, Status::TimedOut);
        assert_eq!(handle.bdev().stat().errors(Status::TimedOut), 1);
        state.hang.store(0, Ordering::SeqCst);
    });
}

#[test]
fn a_limit_holds_requests_back_and_lets_them_go_when_it_is_lifted() {
    on(info(), |local, handle, _| async move {
        let q = open(&local, &handle).await;
        let bdev = handle.bdev().clone();
        local.with(move |cx| bdev.set_limit(cx, Limit { kind: LimitKind::ReadWriteIos, per_second: 100 })).await;
        let start = local.now();
        for _ in 0..4 {
            assert_eq!(q.read(0, 1, buffer(&local, 512, 0).await).await.0, Status::Ok);
        }
        // One at once, then one every ten milliseconds, less the window.
        assert!(local.now().since(start) >= 25_000_000, "{}", local.now().since(start));
        let bdev = handle.bdev().clone();
        local.with(move |cx| bdev.set_limit(cx, Limit { kind: LimitKind::ReadWriteIos, per_second: 0 })).await;
        for _ in 0..100 {
            assert_eq!(q.read(0, 1, buffer(&local, 512, 0).await).await.0, Status::Ok);
        }
        assert_eq!(handle.bdev().stat().op(Op::Read).ops, 104);
    });
}

#[test]
fn what_a_limit_held_back_is_not_overtaken_when_it_is_lifted() {
    on(info(), |local, handle, state| async move {
        let q = std::rc::Rc::new(open(&local, &handle).await);
        let set = |per_second| {
            let bdev = handle.bdev().clone();
            local.with(move |cx| bdev.set_limit(cx, Limit { kind: LimitKind::ReadWriteIos, per_second }))
        };
        set(1).await;
        assert_eq!(q.write(0, 1, buffer(&local, 512, 0).await).await.0, Status::Ok);
        let (held, payload) = (q.clone(), buffer(&local, 512, 1).await);
        local.spawn(async move { drop(held.write(1, 1, payload).await) });
        local.sleep_ns(1_000_000).await;
        let payload = buffer(&local, 512, 2).await;
        set(0).await;
        assert_eq!(q.write(2, 1, payload).await.0, Status::Ok); // in the turn of the lifting
        let order: Vec<u64> = state.seen.lock().unwrap().iter().map(|(_, lba, ..)| *lba).collect();
        assert_eq!(order, [0, 1, 2]);
    });
}

#[test]
fn a_payload_of_too_many_segments_is_split() {
    on(DeviceInfo { limits: Limits { segments: 2, ..Limits::default() }, ..info() }, |local, handle, state| async move {
        let q = open(&local, &handle).await;
        let mut pieces = Vec::new();
        for byte in 1..=3 {
            pieces.push(buffer(&local, 512, byte).await);
        }
        let write = |io: &mut Io| {
            (io.op, io.lba, io.blocks) = (Op::Write, 20, 3);
            pieces.into_iter().for_each(|piece| io.sg.push(piece));
        };
        assert_eq!(q.request(write, |io| io.status).await, Status::Ok);
        assert_eq!(stored(&state, 20, 3).chunks(512).map(|block| block[0]).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(state.seen.lock().unwrap().len() >= 2);
    });
}

#[test]
fn histograms_count_every_request_while_they_are_on() {
    on(info(), |local, handle, _| async move {
        let q = open(&local, &handle).await;
        assert!(handle.bdev().histogram().is_none());
        let bdev = handle.bdev().clone();
        local.with(move |cx| bdev.set_histogram(cx, true)).await;
        for _ in 0..10 {
            assert_eq!(q.read(0, 1, buffer(&local, 512, 0).await).await.0, Status::Ok);
        }
        assert_eq!(handle.bdev().histogram().unwrap().iter().sum::<u64>(), 10);
        drop(q);
        local.sleep_ns(1_000_000).await;
        assert_eq!(handle.bdev().histogram().unwrap().iter().sum::<u64>(), 10, "also when the queue is closed");
    });
}
