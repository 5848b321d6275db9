//! Random writes, zeroes, flushes and reads that overlap freely, every one of them noted in a durability model: what runs when the power
//! goes.
//!
//! A storm is an ordinary consumer and works on any device, so the whole stack above a simulated disk can be put under it.

use crate::durability::{Breach, DurabilityModel, WriteId, stamp_block};
use crate::entropy::Entropy;
use doorbell_block::{
    BlockDevice, BlockQueue, Consumer, ConsumerId, Cx, DeviceInfo, Done, Flags, Io, Op, OpenError, ReadAfterUnmap, Token,
};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// What a storm does.
#[derive(Clone, Debug)]
pub struct StormSpec {
    /// Its chance.
    pub seed: u64,
    /// How many requests at a time.
    pub depth: u32,
    /// The most blocks of one request.
    pub most_blocks: u32,
    /// Flushes in a million requests.
    pub flushes_per_million: u32,
    /// Writes in a million that ask for FUA.
    pub fua_per_million: u32,
}

impl Default for StormSpec {
    fn default() -> Self {
        StormSpec { seed: 0, depth: 16, most_blocks: 24, flushes_per_million: 40_000, fua_per_million: 50_000 }
    }
}

/// How a storm stands. Several may share one.
#[derive(Debug)]
pub struct StormLog {
    /// What the disk may hold.
    pub model: DurabilityModel,
    /// The first read that brought what it must not.
    pub breach: Option<Breach>,
    /// Requests that came back.
    pub done: u64,
    /// Writes among them that were acknowledged.
    pub acked: u64,
    /// Flushes that were acknowledged.
    pub flushed: u64,
    /// Requests that failed.
    pub failed: u64,
}

impl StormLog {
    /// A log that begins with this model.
    pub fn new(model: DurabilityModel) -> Rc<RefCell<StormLog>> {
        Rc::new(RefCell::new(StormLog { model, breach: None, done: 0, acked: 0, flushed: 0, failed: 0 }))
    }
}

#[derive(Clone, Copy)]
enum Sent {
    Write(WriteId),
    Flush(u64),
    Read(u64),
}

struct Storm {
    spec: StormSpec,
    info: DeviceInfo,
    ops: Vec<Op>,
    entropy: Entropy,
    queue: Option<Box<dyn BlockQueue>>,
    log: Rc<RefCell<StormLog>>,
    sent: HashMap<u64, Sent>,
    next: u64,
    done: Done,
    token: Token,
}

/// Lets a storm loose on `device`. It blows until its reactor is dropped.
pub fn storm(cx: &mut Cx, device: &dyn BlockDevice, spec: StormSpec, log: Rc<RefCell<StormLog>>) -> Result<(), OpenError> {
    let info = (*device.info()).clone();
    let mut ops = vec![Op::Write, Op::Write, Op::Write, Op::Write, Op::Read, Op::WriteZeroes];
    if info.read_after_unmap == ReadAfterUnmap::Zeroes {
        ops.push(Op::Unmap);
    }
    ops.retain(|op| info.ops.has(*op));
    let mut failed = None;
    cx.adopt(|cx, me: ConsumerId| {
        let token = cx.token(me);
        let queue = match device.open(cx, token, spec.depth) {
            Ok(queue) => Some(queue),
            Err(e) => {
                failed = Some(e);
                cx.dismiss(me);
                None
            }
        };
        cx.wake(token);
        Storm { entropy: Entropy::new(spec.seed), spec, info, ops, queue, log, sent: HashMap::new(), next: 0, done: Vec::new(), token }
    });
    failed.map_or(Ok(()), Err)
}

impl Storm {
    /// Fills a box. False when there is no buffer for it.
    fn prepare(&mut self, cx: &mut Cx, io: &mut Io) -> bool {
        let flush = self.info.ops.has(Op::Flush) && self.entropy.chance(self.spec.flushes_per_million);
        io.op = if flush { Op::Flush } else { *self.entropy.pick(&self.ops) };
        (io.lba, io.blocks) = (0, 0);
        if !flush {
            let most = u64::from(self.spec.most_blocks).min(self.info.blocks);
            let blocks = if self.entropy.coin() { 1 + self.entropy.below(most.min(3)) } else { 1 + self.entropy.below(most) };
            (io.lba, io.blocks) = (self.entropy.below(self.info.blocks - blocks + 1), blocks as u32);
        }
        let fua = self.info.fua && matches!(io.op, Op::Write | Op::WriteZeroes) && self.entropy.chance(self.spec.fua_per_million);
        let bytes = io.op.payload(io.blocks, self.info.block_shift) as u32;
        if bytes > 0 {
            let Some(buffer) = cx.buffer(bytes) else { return false };
            io.sg.push(buffer);
        }
        if fua {
            io.flags = Flags::FUA;
        }
        let mut log = self.log.borrow_mut();
        let blocks = u64::from(io.blocks);
        let sent = match io.op {
            Op::Flush => Sent::Flush(log.model.flush()),
            Op::Read => Sent::Read(log.model.read()),
            Op::Write => {
                let id = log.model.write(io.lba, blocks, fua);
                let mut data = vec![0; bytes as usize];
                for (lba, block) in (io.lba..).zip(data.chunks_mut(1 << self.info.block_shift)) {
                    stamp_block(block, lba, id);
                }
                io.sg.write_at(0, &data);
                Sent::Write(id)
            }
            _ => Sent::Write(log.model.zeroes(io.lba, blocks, fua)),
        };
        io.tag = self.next;
        self.next += 1;
        self.sent.insert(io.tag, sent);
        true
    }

    fn settle(&mut self, io: &Io) {
        let Some(sent) = self.sent.remove(&io.tag) else { return };
        let mut log = self.log.borrow_mut();
        let log = &mut *log;
        log.done += 1;
        log.failed += u64::from(!io.status.is_ok());
        match (sent, io.status.is_ok()) {
            (Sent::Write(id), true) => {
                log.acked += 1;
                log.model.acked(id);
            }
            (Sent::Write(id), false) => log.model.failed(id),
            (Sent::Flush(flush), true) => {
                log.flushed += 1;
                log.model.flushed(flush);
            }
            (Sent::Flush(flush), false) => log.model.flush_failed(flush),
            (Sent::Read(began), true) => {
                let mut data = vec![0; io.sg.bytes() as usize];
                io.sg.read_at(0, &mut data);
                if let Err(breach) = log.model.check_read(began, io.lba, &data) {
                    log.breach.get_or_insert(breach);
                }
            }
            (Sent::Read(began), false) => log.model.read_failed(began),
        }
    }
}

impl Consumer for Storm {
    fn run(&mut self, cx: &mut Cx, _token: Token) {
        let Some(mut queue) = self.queue.take() else { return };
        queue.poll(cx, &mut self.done);
        for io in std::mem::take(&mut self.done) {
            self.settle(&io);
            cx.put_io(io);
        }
        while self.sent.len() < self.spec.depth as usize {
            let Some(mut io) = cx.take_io() else {
                cx.wait(self.token);
                break;
            };
            if !self.prepare(cx, &mut io) {
                cx.put_io(io);
                cx.wait(self.token);
                break;
            }
            queue.submit(cx, io);
        }
        queue.kick(cx);
        self.queue = Some(queue);
    }
}
