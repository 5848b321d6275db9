//! A disk that passes over some flushes: those after a page of metadata was written that is no root. What such a page holds may then reach the
//! medium after the root that refers to it.

use crate::history::PAGES;
use doorbell_block::{Abort, BlockDevice, BlockQueue, Cx, DeviceInfo, Done, Io, Op, OpenError, Status, Token};
use doorbell_sim::SimDisk;
use std::sync::Arc;

/// The first block of the metadata: super block and masks take a page each.
const FIRST: u64 = 4 * 8;

pub(crate) struct Forgetful(pub(crate) SimDisk);

struct Queue {
    below: Box<dyn BlockQueue>,
    who: Token,
    /// Was the last write one of a page that is no root?
    fresh: bool,
    ended: Vec<Box<Io>>,
}

impl BlockDevice for Forgetful {
    fn info(&self) -> Arc<DeviceInfo> {
        self.0.info()
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        let below = self.0.open(cx, who, depth)?;
        Ok(Box::new(Queue { below, who, fresh: false, ended: Vec::new() }))
    }
}

impl BlockQueue for Queue {
    fn submit(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        if io.op == Op::Write && (FIRST..FIRST + u64::from(PAGES) * 8).contains(&io.lba) {
            let (page, mut head) = ((io.lba - FIRST) / 8, [0; 16]);
            io.sg.read_at(0, &mut head);
            let [id, sequence] = [&head[..8], &head[8..]].map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
            self.fresh = id != 1 << 32 | page || sequence != 0;
        }
        if io.op == Op::Flush && std::mem::take(&mut self.fresh) {
            io.status = Status::Ok;
            self.ended.push(io);
            return cx.wake(self.who);
        }
        self.below.submit(cx, io);
    }

    fn kick(&mut self, cx: &mut Cx) {
        self.below.kick(cx);
    }

    fn poll(&mut self, cx: &mut Cx, done: &mut Done) {
        self.below.poll(cx, done);
        done.append(&mut self.ended);
    }

    fn abort(&mut self, cx: &mut Cx, which: Abort) {
        self.below.abort(cx, which);
    }
}
