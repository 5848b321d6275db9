//! A queue of a namespace: checks requests and hands them to its reactor's queue pair.
//!
//! What needs more than its own segments (a range list, a copy that lies as the device wants it, the second half of a fused pair) gets it
//! from the reactor's pool and waits for it in one line, which nothing of this queue overtakes.

use super::{Facts, zones};
use crate::link::OwnerId;
use crate::pair::{Finished, Pair, Translate};
use crate::status::ended;
use doorbell_block::{Abort, BlockQueue, Cx, Done, Io, IoId, Op, Shape, Status, Token};
use doorbell_mem::SgList;
use doorbell_wire_nvme::range::{CopyRange, DsmRange};
use doorbell_wire_nvme::{Fuse, U16, U32, U64, bytes};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) struct Queue {
    pair: Rc<RefCell<Pair>>,
    id: OwnerId,
    who: Token,
    facts: Arc<Facts>,
    shape: Arc<Shape>,
    /// Refused here.
    ready: Done,
    /// Wants a buffer first.
    wanting: VecDeque<Box<Io>>,
    /// Payloads that were set aside while their requests travel with another.
    aside: HashMap<IoId, SgList>,
    ended: Vec<(Box<Io>, Finished)>,
    /// Fused pairs that are out.
    fused: Vec<Fused>,
}

/// A compare and a write side by side: the request itself is the compare, a box from the pool the write.
struct Fused {
    compare: IoId,
    write: IoId,
    /// The one that has ended first, and how.
    first: Option<(Box<Io>, Status)>,
}

impl Queue {
    pub(super) fn new(pair: Rc<RefCell<Pair>>, id: OwnerId, who: Token, facts: Arc<Facts>, shape: Arc<Shape>, depth: u32) -> Queue {
        let depth = depth as usize;
        let (ready, ended) = (Vec::with_capacity(depth), Vec::with_capacity(depth));
        Queue { pair, id, who, facts, shape, ready, wanting: VecDeque::new(), aside: HashMap::new(), ended, fused: Vec::new() }
    }

    fn refuse(&mut self, cx: &mut Cx, mut io: Box<Io>, status: Status) {
        io.status = status;
        self.ready.push(io);
        cx.wake(self.who);
    }

    #[cold]
    fn submit_other(&mut self, cx: &mut Cx, io: Box<Io>) {
        if self.facts.gone.load(Ordering::Relaxed) {
            return self.refuse(cx, io, Status::Gone);
        }
        let status = self.shape.check(&io);
        if !status.is_ok() {
            return self.refuse(cx, io, status);
        }
        if let Some(zones) = &self.facts.zones
            && let status = zones::check(zones, &io)
            && !status.is_ok()
        {
            return self.refuse(cx, io, status);
        }
        match io.op {
            op if op.has_range() && io.blocks == 0 => self.refuse(cx, io, Status::Ok),
            Op::Reset => self.pair.borrow_mut().submit_reset(cx, io, self.id),
            Op::Unmap | Op::Copy | Op::ZoneReport => {
                self.wanting.push_back(io);
                self.provide(cx);
            }
            Op::CompareAndWrite => {
                self.wanting.push_back(io);
                self.provide(cx);
            }
            _ => self.pair.borrow_mut().submit(cx, io, None, self.id),
        }
    }

    /// Gives requests that want a buffer theirs, in turn.
    #[cold]
    fn provide(&mut self, cx: &mut Cx) {
        self.provide_some(cx);
        // Whatever it was that ended it: the device is told of what was submitted.
        self.pair.borrow_mut().kick();
    }

    fn provide_some(&mut self, cx: &mut Cx) {
        while let Some(mut io) = self.wanting.pop_front() {
            if io.op == Op::CompareAndWrite {
                match self.start_fused(cx, io) {
                    Ok(()) => continue,
                    Err(io) => return self.wanting.push_front(io),
                }
            }
            let bytes = match io.op {
                Op::Unmap => 16,
                Op::Copy => 32,
                Op::ZoneReport => zones::report_bytes(io.sg.bytes(), self.facts.max_bytes),
                _ => io.sg.bytes(),
            };
            let mut list = SgList::default();
            if !cx.gather(bytes, &mut list) {
                self.wanting.push_front(io);
                return cx.wait(self.who);
            }
            match io.op {
                Op::Unmap => {
                    let range = DsmRange { attributes: U32::new(0), blocks: U32::new(io.blocks), slba: U64::new(io.lba) };
                    list.write_at(0, bytes_of(&range));
                }
                Op::Copy => {
                    list.write_at(0, bytes_of(&copy_range(&io)));
                }
                // What the device does not write is nothing of somebody else's.
                Op::ZoneReport => list.fill(0, bytes, 0),
                Op::Read => {}
                _ => list.copy_from(0, &io.sg, 0, bytes),
            }
            std::mem::swap(&mut io.sg, &mut list);
            self.aside.insert(io.id(), list);
            self.pair.borrow_mut().submit(cx, io, None, self.id);
        }
    }

    /// Sends a compare and a write as a fused pair. Gives the request back when there is no box, or no room for both: it is woken then.
    #[cold]
    fn start_fused(&mut self, cx: &mut Cx, mut io: Box<Io>) -> Result<(), Box<Io>> {
        let Some(mut write) = cx.take_io() else {
            cx.wait(self.who);
            return Err(io);
        };
        let mut compared = SgList::default();
        if !halve(cx, &io.sg, &mut compared, &mut write.sg) {
            cx.put_io(write);
            cx.wait(self.who);
            return Err(io);
        }
        std::mem::swap(&mut io.sg, &mut compared);
        (write.op, write.lba, write.blocks, write.flags) = (Op::Write, io.lba, io.blocks, io.flags);
        io.op = Op::Compare;
        let (Some(first), Some(second)) = (self.facts.command(&io), self.facts.command(&write)) else {
            cx.put_io(write);
            io.op = Op::CompareAndWrite;
            std::mem::swap(&mut io.sg, &mut compared);
            self.refuse(cx, io, Status::Gone);
            return Ok(());
        };
        let (first, second) = (first.with_fuse(Fuse::FIRST), second.with_fuse(Fuse::SECOND));
        let ids = (io.id(), write.id());
        let refused = self.pair.borrow_mut().submit_fused(cx, [(io, first), (write, second)], self.id);
        match refused {
            None => {
                self.aside.insert(ids.0, compared);
                self.fused.push(Fused { compare: ids.0, write: ids.1, first: None });
                Ok(())
            }
            Some([mut io, write]) => {
                cx.put_io(write);
                io.op = Op::CompareAndWrite;
                std::mem::swap(&mut io.sg, &mut compared);
                Err(io)
            }
        }
    }

    /// One of a fused pair has ended; with the other the request has.
    #[cold]
    fn end_fused(&mut self, cx: &mut Cx, io: Box<Io>, status: Status, done: &mut Done) {
        let Some(at) = self.fused.iter().position(|f| f.compare == io.id() || f.write == io.id()) else { return cx.put_io(io) };
        let Some((other, other_status)) = self.fused.get_mut(at).and_then(|f| f.first.take()) else {
            if let Some(f) = self.fused.get_mut(at) {
                f.first = Some((io, status));
            }
            return;
        };
        let pair = self.fused.swap_remove(at);
        let is_compare = io.id() == pair.compare;
        let ((mut compare, compared), (write, written)) =
            if is_compare { ((io, status), (other, other_status)) } else { ((other, other_status), (io, status)) };
        cx.put_io(write);
        // A write that was not done because the compare failed says so itself; what the compare found is the answer.
        compare.status = if compared.is_ok() { written } else { compared };
        compare.op = Op::CompareAndWrite;
        self.restore(&mut compare);
        done.push(compare);
    }

    /// Restores a payload that was set aside.
    #[cold]
    fn restore(&mut self, io: &mut Io) {
        if let Some(mut list) = self.aside.remove(&io.id()) {
            std::mem::swap(&mut io.sg, &mut list);
            if io.op == Op::Read && io.status.is_ok() {
                io.sg.copy_from(0, &list, 0, io.sg.bytes());
            }
            if let (Op::ZoneReport, true, Some(zones)) = (io.op, io.status.is_ok(), &self.facts.zones) {
                zones::translate(io, &list, zones, self.shape.blocks());
            }
        }
    }
}

/// The two halves of a compare-and-write's payload: shared where each is one piece that lies well, copied where a device with PRPs alone might
/// not be able to reach it. False when there are no buffers for that.
fn halve(cx: &mut Cx, whole: &SgList, first: &mut SgList, second: &mut SgList) -> bool {
    let half = whole.bytes() / 2;
    if let [only] = whole.segs()
        && only.address().addr().is_multiple_of(4)
    {
        whole.share(0, half, first);
        whole.share(half, half, second);
        return true;
    }
    if !cx.gather(half, first) || !cx.gather(half, second) {
        first.clear();
        return false;
    }
    first.copy_from(0, whole, 0, half);
    second.copy_from(0, whole, half, half);
    true
}

#[allow(clippy::field_reassign_with_default)] // Wire structures have private reserved fields.
fn copy_range(io: &Io) -> CopyRange {
    let mut range = CopyRange::default();
    range.slba = U64::new(io.source);
    range.nlb = U16::new(io.blocks.saturating_sub(1).min(0xffff) as u16);
    range.reference_tag = U32::new((io.source & 0xffff_ffff) as u32);
    range
}

fn bytes_of<T: doorbell_wire_nvme::Wire>(value: &T) -> &[u8] {
    bytes(value)
}

impl BlockQueue for Queue {
    #[inline]
    fn submit(&mut self, cx: &mut Cx, io: Box<Io>) {
        if self.shape.is_plain(&io) && io.blocks > 0 && !self.facts.gone.load(Ordering::Relaxed) {
            return self.pair.borrow_mut().submit(cx, io, None, self.id);
        }
        self.submit_other(cx, io);
    }

    #[inline]
    fn kick(&mut self, _cx: &mut Cx) {
        self.pair.borrow_mut().kick();
    }

    #[inline]
    fn poll(&mut self, cx: &mut Cx, done: &mut Done) {
        done.append(&mut self.ready);
        let mut ended_now = std::mem::take(&mut self.ended);
        {
            let mut pair = self.pair.borrow_mut();
            pair.look(cx);
            pair.collect(self.id, &mut ended_now);
        }
        for (mut io, end) in ended_now.drain(..) {
            if !self.fused.is_empty() && self.fused.iter().any(|f| f.compare == io.id() || f.write == io.id()) {
                let status = match end {
                    Finished::Done(cqe) => ended(cqe.status(), io.op),
                    Finished::Failed(why) => why,
                    Finished::Misaligned => Status::Invalid,
                    Finished::Reset => Status::Ok,
                };
                self.end_fused(cx, io, status, done);
                continue;
            }
            match end {
                Finished::Done(cqe) => {
                    io.status = ended(cqe.status(), io.op);
                    if let (Op::ZoneAppend, true, Some(zones)) = (io.op, io.status.is_ok(), &self.facts.zones) {
                        zones::appended(&mut io, cqe.result(), zones);
                    }
                }
                Finished::Failed(why) => io.status = why,
                Finished::Reset => io.status = Status::Ok,
                Finished::Misaligned if self.aside.contains_key(&io.id()) => io.status = Status::Invalid,
                Finished::Misaligned => {
                    self.wanting.push_back(io);
                    continue;
                }
            }
            if !self.aside.is_empty() {
                self.restore(&mut io);
            }
            done.push(io);
        }
        self.ended = ended_now;
        if !self.wanting.is_empty() {
            self.provide(cx);
        }
    }

    fn abort(&mut self, cx: &mut Cx, which: Abort) {
        let asked = |io: &Io| which == Abort::All || which == Abort::One(io.id());
        let (back, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.wanting).into_iter().partition(|io| asked(io));
        self.wanting = kept;
        for io in back {
            self.refuse(cx, io, Status::Aborted);
        }
        self.pair.borrow_mut().abort(cx, self.id, which);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.pair.borrow_mut().leave(self.id);
    }
}
