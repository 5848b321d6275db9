//! For tests: random mixed requests, several at a time, against a plain model of what a device must hold.

use doorbell_block::{BlockDevice, DeviceInfo, Flags, Io, Op, ReadAfterUnmap, Status};
use doorbell_mem::Seg;
use doorbell_reactor::{AsyncQueue, Closed, Config, Local, oneshot, run};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

/// Runs `test` on reactors, and fails if a box or a buffer was lost.
pub(crate) fn on_reactors<R: 'static, F: Future<Output = R> + 'static>(reactors: u32, test: impl FnOnce(Local) -> F) -> R {
    let (answer, closed) = run(&Config { reactors, ..Config::default() }, test).unwrap();
    assert!(closed.iter().all(|Closed { boxes_out, buffers_out, .. }| (*boxes_out, *buffers_out) == (0, 0)), "{closed:?}");
    answer
}

/// Numbers that look random and are the same each time (xorshift64*).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A request without payload, by hand.
pub(crate) async fn plain(queue: &AsyncQueue, op: Op, lba: u64, blocks: u32) -> (Status, u64) {
    queue.request(move |io| (io.op, io.lba, io.blocks) = (op, lba, blocks), |io| (io.status, io.result)).await
}

/// A request with payload; the buffer comes back with it.
pub(crate) async fn transfer(queue: &AsyncQueue, op: Op, flags: Flags, lba: u64, blocks: u32, parts: Vec<Seg>) -> Status {
    let prepare = move |io: &mut Io| {
        (io.op, io.flags, io.lba, io.blocks) = (op, flags, lba, blocks);
        parts.into_iter().for_each(|seg| io.sg.push(seg));
    };
    queue.request(prepare, |io| io.status).await
}

/// One stretch of a device that one task works on, and what must be there.
struct Lane {
    queue: Rc<AsyncQueue>,
    local: Local,
    info: Arc<DeviceInfo>,
    first: u64,
    blocks: u64,
    held: Vec<u8>,
    random: Random,
}

/// Blocks of one request at most.
const LONGEST: u64 = 24;

impl Lane {
    fn size(&self) -> usize {
        self.info.block_size() as usize
    }

    fn held(&mut self, at: u64, blocks: u64) -> &mut [u8] {
        let size = self.size();
        &mut self.held[at as usize * size..(at + blocks) as usize * size]
    }

    /// A buffer cut at random multiples of `align`.
    async fn buffer(&mut self, bytes: u32) -> (Seg, Vec<Seg>) {
        let whole = self.local.with(move |cx| cx.buffer(bytes).unwrap()).await;
        let align = self.info.limits.align_bytes.max(1).next_multiple_of(4);
        let mut parts = vec![];
        let mut at = 0;
        while at < bytes {
            let left = u64::from((bytes - at) / align);
            let len = if self.random.below(2) == 0 { bytes - at } else { (1 + self.random.below(left)) as u32 * align };
            parts.push(whole.slice(at, len));
            at += len;
        }
        (whole, parts)
    }

    async fn step(&mut self) {
        let blocks = 1 + self.random.below(LONGEST.min(self.blocks));
        let at = self.random.below(self.blocks - blocks + 1);
        let fua = if self.info.fua && self.random.below(3) == 0 { Flags::FUA } else { Flags::NONE };
        let op = Op::ALL[self.random.below(Op::ALL.len() as u64) as usize];
        if !self.info.ops.has(op) {
            return self.verify(at, blocks).await;
        }
        match op {
            Op::Write => self.write(at, blocks, fua).await,
            Op::WriteZeroes | Op::Unmap => self.zero(op, at, blocks).await,
            Op::Compare => self.compare(at, blocks).await,
            Op::Copy => self.copy(at, blocks).await,
            Op::Flush => assert_eq!(plain(&self.queue, Op::Flush, 0, 0).await.0, Status::Ok),
            _ => self.verify(at, blocks).await,
        }
    }

    async fn write(&mut self, at: u64, blocks: u64, flags: Flags) {
        let (whole, parts) = self.buffer(blocks as u32 * self.info.block_size()).await;
        let seed = self.random.next();
        let bytes: Vec<u8> = (0..whole.len()).map(|n| ((u64::from(n) * 31) ^ seed ^ u64::from(n / 512)) as u8).collect();
        whole.write_at(0, &bytes);
        let status = transfer(&self.queue, Op::Write, flags, self.first + at, blocks as u32, parts).await;
        assert_eq!(status, Status::Ok);
        self.held(at, blocks).copy_from_slice(&bytes);
    }

    async fn zero(&mut self, op: Op, at: u64, blocks: u64) {
        let flags = if self.random.below(2) == 0 { Flags::MAY_UNMAP } else { Flags::NONE };
        assert_eq!(transfer(&self.queue, op, flags, self.first + at, blocks as u32, vec![]).await, Status::Ok);
        self.held(at, blocks).fill(0);
        if op == Op::Unmap && self.info.read_after_unmap == ReadAfterUnmap::Undefined {
            self.write(at, blocks, Flags::NONE).await;
        }
    }

    async fn compare(&mut self, at: u64, blocks: u64) {
        let (whole, parts) = self.buffer(blocks as u32 * self.info.block_size()).await;
        whole.write_at(0, self.held(at, blocks));
        let same = transfer(&self.queue, Op::Compare, Flags::NONE, self.first + at, blocks as u32, parts.clone()).await;
        assert_eq!(same, Status::Ok);
        let odd = self.random.below(whole.len().into()) as u32;
        let mut byte = [0];
        whole.read_at(odd, &mut byte);
        whole.write_at(odd, &[!byte[0]]);
        let other = transfer(&self.queue, Op::Compare, Flags::NONE, self.first + at, blocks as u32, parts).await;
        assert_eq!(other, Status::Miscompare);
    }

    async fn copy(&mut self, at: u64, blocks: u64) {
        let from = self.random.below(self.blocks - blocks + 1);
        let (to, source) = (self.first + at, self.first + from);
        let prepare = move |io: &mut Io| (io.op, io.lba, io.source, io.blocks) = (Op::Copy, to, source, blocks as u32);
        assert_eq!(self.queue.request(prepare, |io| io.status).await, Status::Ok);
        let bytes = self.held(from, blocks).to_vec();
        self.held(at, blocks).copy_from_slice(&bytes);
    }

    async fn verify(&mut self, at: u64, blocks: u64) {
        let (whole, parts) = self.buffer(blocks as u32 * self.info.block_size()).await;
        whole.fill(0, whole.len(), 0xa5);
        let status = transfer(&self.queue, Op::Read, Flags::NONE, self.first + at, blocks as u32, parts).await;
        assert_eq!(status, Status::Ok);
        let mut bytes = vec![0; whole.len() as usize];
        whole.read_at(0, &mut bytes);
        let wrong = bytes.iter().zip(self.held(at, blocks)).position(|(got, want)| got != want);
        assert_eq!(wrong, None, "blocks {at} to {}", at + blocks);
    }
}

/// Works on the whole of a device with `lanes` requests at a time, `steps` each; what was there before must read zero.
pub(crate) async fn exercise(local: &Local, device: Arc<dyn BlockDevice>, lanes: u64, steps: u32, seed: u64) {
    let info = device.info();
    let queue = Rc::new(AsyncQueue::open(local, device, lanes as u32).await.unwrap());
    let blocks = info.blocks / lanes;
    let mut ends = vec![];
    for n in 0..lanes {
        let mut lane = Lane {
            queue: queue.clone(),
            local: local.clone(),
            info: info.clone(),
            first: n * blocks,
            blocks,
            held: vec![0; (blocks << info.block_shift) as usize],
            random: Random(seed.wrapping_mul(977).wrapping_add(n * 7919 + 1)),
        };
        let (tx, rx) = oneshot();
        local.spawn(async move {
            for _ in 0..steps {
                lane.step().await;
            }
            for at in (0..lane.blocks).step_by(LONGEST as usize) {
                lane.verify(at, LONGEST.min(lane.blocks - at)).await;
            }
            tx.send(());
        });
        ends.push(rx);
    }
    for end in ends {
        end.await.expect("a lane failed");
    }
}

/// Sends what no device may carry out: outside of it, with a payload of the wrong length, of the wrong kind.
pub(crate) async fn refusals(local: &Local, device: Arc<dyn BlockDevice>) {
    let info = device.info();
    let queue = AsyncQueue::open(local, device, 4).await.unwrap();
    let buffer = local.with(|cx| cx.buffer(4096 * 4).unwrap()).await;
    let size = info.block_size();
    let two = buffer.slice(0, 2 * size);
    for op in [Op::Read, Op::Write] {
        for (lba, blocks, want) in [
            (info.blocks - 1, 2, Status::OutOfRange),
            (info.blocks, 2, Status::OutOfRange),
            (u64::MAX, 2, Status::OutOfRange),
            (u64::MAX - 1, 2, Status::OutOfRange),
            (0, 1, Status::Invalid),
            (0, 3, Status::Invalid),
        ] {
            let want = if op == Op::Write && info.read_only { Status::ReadOnly } else { want };
            let got = transfer(&queue, op, Flags::NONE, lba, blocks, vec![two.clone()]).await;
            assert_eq!(got, want, "{op:?} of {blocks} blocks at {lba}");
        }
    }
    for op in Op::ALL.into_iter().filter(|op| !info.ops.has(*op)) {
        let want = if op.writes() && info.read_only { Status::ReadOnly } else { Status::Unsupported };
        assert_eq!(plain(&queue, op, 0, 1).await.0, want, "{op:?}");
    }
}
