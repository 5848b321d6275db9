//! A queue of a namespace: checks requests and hands them to its reactor's queue pair.
//!
//! What needs more than its own segments (a range list, a copy that lies as the device wants it, the second half of a fused pair) gets it
//! from the reactor's pool and waits for it in one line, which nothing of this queue overtakes.

use super::carry::{self, Aside, Copied};
use super::{Facts, zones};
use crate::link::OwnerId;
use crate::pair::{Finished, Pair, Translate};
use crate::status::ended;
use doorbell_block::{Abort, BlockQueue, Cx, Done, Io, IoId, Op, Shape, Status, Token};
use doorbell_mem::SgList;
use doorbell_wire_nvme::range::{CopyRange, CopyRangeWide, DsmRange};
use doorbell_wire_nvme::{Fuse, U16, U32, U64, bytes};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What is beside the data of a read or a write that comes without metadata.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    /// Nothing.
    Nothing,
    /// What the controller makes and checks by itself.
    Made,
    /// What has to travel.
    Carried,
}

pub(super) struct Queue {
    pair: Rc<RefCell<Pair>>,
    id: OwnerId,
    who: Token,
    facts: Arc<Facts>,
    shape: Arc<Shape>,
    beside: Beside,
    /// Refused here.
    ready: Done,
    /// Wants a buffer first.
    wanting: VecDeque<(Box<Io>, Copied)>,
    /// What of requests was set aside while they travel with something else.
    aside: HashMap<IoId, Aside>,
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
        let beside = match facts.has_metadata() {
            false => Beside::Nothing,
            true if facts.format.is_all_made() => Beside::Made,
            true => Beside::Carried,
        };
        Queue { pair, id, who, facts, shape, beside, ready, wanting: VecDeque::new(), aside: HashMap::new(), ended, fused: Vec::new() }
    }

    /// Gives a request to the pair: as its own lists are, before anything of it is set aside, `word` says whose its metadata is.
    #[cold]
    fn send(&mut self, cx: &mut Cx, mut io: Box<Io>, word: u64) {
        if self.facts.has_metadata() {
            io.push(word);
        }
        self.pair.borrow_mut().submit(cx, io, self.id, self.facts.as_ref());
    }

    /// Is the metadata of a request as long as it has to be, where it may have any?
    fn has_right_metadata(&self, io: &Io) -> bool {
        let moves = matches!(io.op, Op::Read | Op::Write | Op::Compare);
        let bytes = u64::from(io.blocks) * u64::from(self.facts.format.metadata_bytes);
        io.meta.is_empty() || (moves && u64::from(io.meta.bytes()) == bytes)
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
        if !self.has_right_metadata(&io) {
            return self.refuse(cx, io, Status::Invalid);
        }
        match io.op {
            op if op.has_range() && io.blocks == 0 => self.refuse(cx, io, Status::Ok),
            Op::Reset => {
                let mut io = io;
                if self.facts.has_metadata() {
                    io.push(0);
                }
                self.pair.borrow_mut().submit_reset(cx, io, self.id);
            }
            Op::Unmap | Op::Copy | Op::CompareAndWrite | Op::ZoneReport => {
                self.wanting.push_back((io, Copied::Least));
                self.provide(cx);
            }
            Op::Read | Op::Write if self.facts.has_metadata() => {
                self.wanting.push_back((io, Copied::Least));
                self.provide(cx);
            }
            _ => self.send(cx, io, 0),
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
        let (format, shift) = (self.facts.format, self.shape.shift());
        while let Some((mut io, copied)) = self.wanting.pop_front() {
            if self.wants_too_much(cx, &io, copied) {
                self.refuse(cx, io, Status::Invalid);
                continue;
            }
            let moves = matches!(io.op, Op::Read | Op::Write) && format.metadata_bytes > 0;
            if io.op == Op::CompareAndWrite {
                match self.start_fused(cx, io) {
                    Ok(()) => continue,
                    Err(io) => return self.wanting.push_front((io, copied)),
                }
            }
            let word = carry::word(&io);
            let prepared = match io.op {
                Op::Unmap | Op::Copy => self.ranges(cx, &mut io).map(Some),
                Op::ZoneReport => self.report(cx, &mut io).map(Some),
                Op::Read | Op::Write if moves => carry::prepare(cx, &mut io, format, shift, copied),
                _ => carry::payload(cx, &mut io).map(Some),
            };
            let Some(aside) = prepared else {
                self.wanting.push_front((io, copied));
                return cx.wait(self.who);
            };
            if let Some(aside) = aside {
                self.aside.insert(io.id(), aside);
            }
            self.send(cx, io, word);
        }
    }

    /// Does a request want more buffers than there ever are? It would wait for ever: the layer above is to ask for less.
    fn wants_too_much(&self, cx: &Cx, io: &Io, copied: Copied) -> bool {
        let format = self.facts.format;
        let bytes = match io.op {
            Op::Unmap | Op::Copy => 0,
            Op::ZoneReport => zones::report_bytes(io.sg.bytes(), self.facts.max_bytes),
            Op::CompareAndWrite => {
                if lies_well(&io.sg) {
                    0
                } else {
                    io.sg.bytes()
                }
            }
            Op::Read | Op::Write if format.metadata_bytes > 0 => {
                // Metadata goes in one piece.
                if carry::in_one_piece(io, format, copied) > cx.largest_buffer() {
                    return true;
                }
                carry::gathered(io, format, copied)
            }
            _ => io.sg.bytes(),
        };
        u64::from(bytes) > cx.pool().longest()
    }

    /// Gives a request for a report room for what the device says of its zones.
    fn report(&self, cx: &mut Cx, io: &mut Io) -> Option<Aside> {
        let bytes = zones::report_bytes(io.sg.bytes(), self.facts.max_bytes);
        let mut list = SgList::default();
        if !cx.gather(bytes, &mut list) {
            return None;
        }
        // What the device does not write is nothing of somebody else's.
        list.fill(0, bytes, 0);
        Some(Aside::payload(std::mem::replace(&mut io.sg, list)))
    }

    /// Gives a request whose payload is a list of ranges that list.
    fn ranges(&self, cx: &mut Cx, io: &mut Io) -> Option<Aside> {
        let is_wide = self.facts.format.range_format() == 1;
        let bytes = match io.op {
            Op::Unmap => size_of::<DsmRange>(),
            _ if is_wide => size_of::<CopyRangeWide>(),
            _ => size_of::<CopyRange>(),
        };
        let mut list = SgList::default();
        list.push(cx.buffer(bytes as u32)?);
        match io.op {
            Op::Unmap => {
                let range = DsmRange { attributes: U32::new(0), blocks: U32::new(io.blocks), slba: U64::new(io.lba) };
                list.write_at(0, bytes_of(&range));
            }
            _ if is_wide => list.write_at(0, bytes_of(&self.wide_copy_range(io))),
            _ => list.write_at(0, bytes_of(&copy_range(io))),
        }
        Some(Aside::payload(std::mem::replace(&mut io.sg, list)))
    }

    #[allow(clippy::field_reassign_with_default)] // Wire structures have private reserved fields.
    fn wide_copy_range(&self, io: &Io) -> CopyRangeWide {
        let mut range = CopyRangeWide::default();
        range.slba = U64::new(io.source);
        range.nlb = U16::new(io.blocks.saturating_sub(1).min(0xffff) as u16);
        range.tags = self.facts.format.layout.map_or([0; 10], |layout| layout.range_tags(0, io.source));
        range
    }

    /// Sends a compare and a write as a fused pair. Gives the request back when there is no box, or no room for both: it is woken then.
    #[cold]
    fn start_fused(&mut self, cx: &mut Cx, mut io: Box<Io>) -> Result<(), Box<Io>> {
        let Some(mut write) = cx.take_io() else {
            // Who waits for a box holds nobody up who might have one.
            self.pair.borrow_mut().gather_no_more(self.id);
            cx.wait(self.who);
            return Err(io);
        };
        let mut compared = SgList::default();
        if !halve(cx, &io.sg, &mut compared, &mut write.sg) {
            cx.put_io(write);
            self.pair.borrow_mut().gather_no_more(self.id);
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
        let (first, second) = (first.with_fuse(Fuse::FIRST).into(), second.with_fuse(Fuse::SECOND).into());
        let ids = (io.id(), write.id());
        let refused = self.pair.borrow_mut().submit_fused(cx, [(io, first), (write, second)], self.id);
        match refused {
            None => {
                self.aside.insert(ids.0, Aside::payload(compared));
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

    /// Ends what did not just go well, or of which there is more to say.
    fn end(&mut self, cx: &mut Cx, done: &mut Done) {
        let mut ended_now = std::mem::take(&mut self.ended);
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
            if self.facts.has_metadata() {
                io.pop();
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
                Finished::Misaligned => match self.copy_first(io) {
                    Some(refused) => io = refused,
                    None => continue,
                },
            }
            self.restore(&mut io);
            done.push(io);
        }
        self.ended = ended_now;
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

    /// Restores what was set aside.
    #[cold]
    fn restore(&mut self, io: &mut Io) {
        let Some(aside) = self.aside.remove(&io.id()) else { return };
        let report = (io.op == Op::ZoneReport).then(|| std::mem::take(&mut io.sg));
        aside.restore(io, self.facts.format, self.shape.shift());
        if let (Some(report), true, Some(zones)) = (report, io.status.is_ok(), &self.facts.zones) {
            zones::translate(io, &report, zones, self.shape.blocks());
        }
    }

    /// Its pieces do not lie as the controller wants them: copied they do, unless they were.
    #[cold]
    fn copy_first(&mut self, mut io: Box<Io>) -> Option<Box<Io>> {
        let was_copied = self.aside.get(&io.id()).is_some_and(Aside::is_copied);
        io.status = Status::Invalid;
        self.restore(&mut io);
        if was_copied {
            return Some(io);
        }
        self.wanting.push_back((io, Copied::All));
        None
    }
}

/// Can the halves of a payload be pointed at by any device?
fn lies_well(whole: &SgList) -> bool {
    matches!(whole.segs(), [only] if only.address().addr().is_multiple_of(4))
}

/// The two halves of a compare-and-write's payload: shared where each is one piece that lies well, copied where a device with PRPs alone might
/// not be able to reach it. False when there are no buffers for that.
fn halve(cx: &mut Cx, whole: &SgList, first: &mut SgList, second: &mut SgList) -> bool {
    let half = whole.bytes() / 2;
    if lies_well(whole) {
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
        // Of one whose namespace has gone its pair makes no command.
        if io.meta.is_empty() && io.blocks > 0 && self.shape.is_plain(&io) {
            match self.beside {
                Beside::Nothing => return self.pair.borrow_mut().submit(cx, io, self.id, self.facts.as_ref()),
                Beside::Made => return self.send(cx, io, 0),
                Beside::Carried => {}
            }
        }
        self.submit_other(cx, io);
    }

    #[inline]
    fn kick(&mut self, _cx: &mut Cx) {
        self.pair.borrow_mut().kick();
    }

    #[inline]
    fn poll(&mut self, cx: &mut Cx, done: &mut Done) {
        if !self.ready.is_empty() {
            done.append(&mut self.ready);
        }
        let before = done.len();
        {
            let mut pair = self.pair.borrow_mut();
            pair.look(cx);
            pair.collect(self.id, &mut self.ended, done);
        }
        if !self.aside.is_empty() {
            done.iter_mut().skip(before).for_each(|io| self.restore(io));
        }
        if !self.ended.is_empty() {
            self.end(cx, done);
        }
        if !self.wanting.is_empty() {
            self.provide(cx);
        }
    }

    fn abort(&mut self, cx: &mut Cx, which: Abort) {
        let asked = |io: &Io| which == Abort::All || which == Abort::One(io.id());
        let (back, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.wanting).into_iter().partition(|(io, _)| asked(io));
        self.wanting = kept;
        for (io, _) in back {
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
