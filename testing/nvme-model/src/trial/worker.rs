//! One who reads and writes blocks of its own, and knows what may be in them.

use super::{PATIENCE_NS, Run};
use doorbell_block::{DeviceInfo, Op, Status};
use doorbell_mem::Seg;
use doorbell_nvme::Namespace;
use doorbell_reactor::{AsyncQueue, Local};
use doorbell_sim::Entropy;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// What may be in a block: the stamps of writes that were acknowledged last, or that may have been done since.
type Possible = Vec<u64>;

/// A block that cannot be read (Write Uncorrectable). No block's content is made of it.
const UNREADABLE: u64 = u64::MAX;

fn fill(stamp: u64, bytes: &mut [u8]) {
    for (n, word) in bytes.chunks_exact_mut(8).enumerate() {
        let value = if stamp == 0 { 0 } else { stamp.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n as u64 };
        word.copy_from_slice(&value.to_le_bytes());
    }
}

/// Which of these a block holds.
fn which(possible: &[u64], block: &[u8]) -> Option<u64> {
    let mut expected = vec![0; block.len()];
    possible.iter().copied().filter(|stamp| *stamp != UNREADABLE).find(|stamp| {
        fill(*stamp, &mut expected);
        *block == *expected
    })
}

pub(super) struct Worker {
    run: Rc<Run>,
    local: Local,
    entropy: Entropy,
    first: u64,
    block: usize,
    most: u64,
    /// Blocks of a compare-and-write at most.
    pair: u64,
    ops: Vec<Op>,
    name: u64,
    next_stamp: u64,
    known: Vec<Possible>,
}

impl Worker {
    pub(super) fn new(
        run: Rc<Run>,
        local: Local,
        entropy: Entropy,
        info: &DeviceInfo,
        blocks: Range<u64>,
        most: u64,
        next_stamp: u64,
    ) -> Worker {
        let others = [Op::Verify, Op::WriteUncorrectable, Op::CompareAndWrite].into_iter().filter(|op| info.ops.has(*op));
        let usual = [Op::Read, Op::Read, Op::Read, Op::Write, Op::Write, Op::Write, Op::WriteZeroes, Op::Unmap, Op::Flush];
        let pair = match info.limits.compare_and_write_blocks {
            0 => most,
            pair => most.min(pair.into()),
        };
        let known = vec![vec![0]; (blocks.end - blocks.start) as usize];
        let ops = usual.into_iter().chain(others).collect();
        Worker {
            run,
            local,
            entropy,
            first: blocks.start,
            block: 1 << info.block_shift,
            most,
            pair,
            ops,
            name: next_stamp,
            next_stamp,
            known,
        }
    }

    pub(super) async fn work(mut self, device: Arc<Namespace>) {
        self.local.sleep_ns(self.entropy.below(8_000_000)).await;
        match AsyncQueue::open(&self.local, device, 4).await {
            Ok(queue) => {
                for _ in 0..self.run.operations {
                    if self.operation(&queue).await == Status::Gone {
                        break;
                    }
                    if self.entropy.chance(200_000) {
                        self.local.sleep_ns(self.entropy.below(2_000_000)).await;
                    }
                }
            }
            // A device that grants one queue serves one reactor.
            Err(error) if self.run.plan.is_harmless() && self.run.plan.queues > 0 => self.run.complain(format!("open: {error}")),
            Err(_) => {}
        }
        self.run.under_way.set(self.run.under_way.get() - 1);
    }

    async fn operation(&mut self, queue: &AsyncQueue) -> Status {
        let op = *self.entropy.pick(&self.ops);
        let most = if op == Op::CompareAndWrite { self.pair } else { self.most };
        let blocks = 1 + self.entropy.below(most);
        let at = self.entropy.below(self.known.len() as u64 - blocks + 1);
        let lba = self.first + at;
        let range = at as usize..(at + blocks) as usize;
        let began = self.local.now();
        self.run.doing.borrow_mut().insert(self.name, (op, lba));
        let status = match op {
            Op::Read => self.read(queue, lba, range.clone()).await,
            Op::Verify => queue.control(op, lba, blocks as u32).await,
            Op::Write => {
                let stamp = self.stamp();
                let status = self.transfer(queue, op, lba, self.blocks(range.len(), stamp)).await.0;
                self.note(range.clone(), stamp, status);
                status
            }
            Op::CompareAndWrite => self.compare_and_write(queue, lba, range.clone()).await,
            Op::Flush => queue.control(Op::Flush, 0, 0).await,
            _ => {
                let status = queue.control(op, lba, blocks as u32).await;
                self.note(range.clone(), if op == Op::WriteUncorrectable { UNREADABLE } else { 0 }, status);
                status
            }
        };
        self.run.doing.borrow_mut().remove(&self.name);
        self.judge(op, range, status, self.local.now().since(began));
        status
    }

    fn stamp(&mut self) -> u64 {
        self.next_stamp += 1;
        self.next_stamp
    }

    fn blocks(&self, n: usize, stamp: u64) -> Vec<u8> {
        let mut bytes = vec![0; n * self.block];
        bytes.chunks_mut(self.block).for_each(|block| fill(stamp, block));
        bytes
    }

    fn possible(&mut self, range: Range<usize>) -> &mut [Possible] {
        self.known.get_mut(range).unwrap_or_default()
    }

    /// A write of some kind has ended.
    fn note(&mut self, range: Range<usize>, stamp: u64, status: Status) {
        for known in self.possible(range) {
            if status.is_ok() {
                known.clear();
            }
            known.push(stamp);
        }
    }

    /// Is this an end that the device's state accounts for?
    fn judge(&mut self, op: Op, range: Range<usize>, status: Status, took_ns: u64) {
        let harmless = self.run.plan.is_harmless();
        if harmless && took_ns > PATIENCE_NS {
            self.run.complain(format!("{op:?} took {took_ns} ns: a wake-up was lost"));
        }
        let reads = matches!(op, Op::Read | Op::Verify | Op::CompareAndWrite);
        let (mut may_fail, mut must_fail) = (false, false);
        for known in self.possible(range) {
            may_fail |= known.contains(&UNREADABLE);
            must_fail |= known.iter().all(|stamp| *stamp == UNREADABLE);
        }
        let truthful = !self.run.plan.lies() && !self.run.plan.loses();
        if truthful && op == Op::Verify && status.is_ok() && must_fail {
            self.run.complain("Verify found blocks good that cannot be read".to_owned());
        }
        // A queue of one entry has never room for two; and what a reset meets half-way is not sent again.
        let pair =
            op == Op::CompareAndWrite && ((self.run.entries.get() < 3 && status == Status::Unsupported) || status == Status::Aborted);
        let accounted = status.is_ok() || (reads && may_fail && status == Status::ReadError) || pair;
        if harmless && !accounted {
            self.run.complain(format!("{op:?} gave {status:?}, and nothing is wrong with the device"));
        }
    }

    async fn read(&mut self, queue: &AsyncQueue, lba: u64, range: Range<usize>) -> Status {
        let (status, bytes) = self.transfer(queue, Op::Read, lba, vec![0xa5; range.len() * self.block]).await;
        if !status.is_ok() || self.run.plan.lies() {
            return status;
        }
        let run = self.run.clone();
        let size = self.block;
        for (n, (block, known)) in bytes.chunks(size).zip(self.possible(range)).enumerate() {
            match which(known, block) {
                Some(stamp) => *known = vec![stamp],
                None => {
                    let word = block.first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
                    run.complain(format!("block {} begins with {word:#x}, not as one of {known:?}", lba + n as u64));
                }
            }
        }
        status
    }

    /// Writes where there is still what is expected, as far as that is known.
    async fn compare_and_write(&mut self, queue: &AsyncQueue, lba: u64, range: Range<usize>) -> Status {
        let expected: Vec<u64> = self.possible(range.clone()).iter().map(|known| known.last().copied().unwrap_or(0)).collect();
        let sure = self.possible(range.clone()).iter().all(|known| known.len() == 1);
        // Now and then it has to fail.
        let wrong = self.entropy.chance(200_000);
        let stamp = self.stamp();
        let mut bytes = Vec::new();
        for n in &expected {
            bytes.extend(self.blocks(1, if wrong { stamp + (1 << 60) } else { *n }));
        }
        bytes.extend(self.blocks(range.len(), stamp));
        let status = self.transfer(queue, Op::CompareAndWrite, lba, bytes).await.0;
        let truthful = !self.run.plan.lies();
        match status {
            Status::Miscompare if truthful => {
                if sure && !wrong && !expected.contains(&UNREADABLE) {
                    self.run.complain(format!("blocks from {lba} compare as different, and hold {expected:?}"));
                }
            }
            Status::Ok if truthful && (wrong || expected.contains(&UNREADABLE)) => {
                self.run.complain(format!("blocks from {lba} compare as alike, and cannot be"));
            }
            status => self.note(range, stamp, status),
        }
        // A compare that fails as it should is none of the device's faults.
        if status == Status::Miscompare && (wrong || !sure) { Status::Ok } else { status }
    }

    async fn buffer(&self, len: u32) -> Seg {
        loop {
            let wanted = self.local.with(move |cx| cx.pool().get(len)).await;
            match wanted {
                Some(seg) => return seg,
                None => self.local.sleep_ns(100_000).await,
            }
        }
    }

    async fn transfer(&self, queue: &AsyncQueue, op: Op, lba: u64, mut bytes: Vec<u8>) -> (Status, Vec<u8>) {
        let parts = if op == Op::CompareAndWrite { 2 } else { 1 };
        let (blocks, len) = ((bytes.len() / self.block / parts) as u32, bytes.len() as u32);
        let seg = self.buffer(len).await;
        seg.write_at(0, &bytes);
        let buffer = seg.slice(0, len);
        drop(seg);
        let (status, buffer) = queue
            .request(
                move |io| {
                    (io.op, io.lba, io.blocks) = (op, lba, blocks);
                    io.sg.push(buffer);
                },
                |io| (io.status, io.sg.segs().first().cloned()),
            )
            .await;
        match buffer {
            Some(buffer) => buffer.read_at(0, &mut bytes),
            None => self.run.complain(format!("{op:?} came back without its payload")),
        }
        (status, bytes)
    }
}
