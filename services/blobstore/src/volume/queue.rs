//! The queue of a volume: the path of every request, and what leads off it.

use super::Volume;
use super::parked::Parked;
use super::walk::Walks;
use crate::hub::{Answer, Ask, Hub, Lane, SECOND};
use crate::view::{Outside, Shared, View, Word};
use doorbell_block::{Abort, Address, BlockQueue, Cx, Done, Io, Op, OpenError, Status, Token};
use doorbell_mem::SgList;
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// In a request's word: it is one of the walks, whose number follows.
const WALK: u64 = 1 << 62;
/// In a request's word: a part of a read went to the outside parent, and the rest is in the table.
const CUT: u64 = 1 << 62;

/// A read of which only the beginning lies in the parent outside.
struct Cut {
    lba: u64,
    blocks: u32,
    sg: SgList,
}

/// The owner of the store, as a queue knows it.
struct Owner {
    hub: Arc<Hub>,
    number: u32,
    /// The lane, and what keeps it for as long as the queue is there.
    lane: Rc<RefCell<Rc<Lane>>>,
}

pub(super) struct Queue {
    base: Box<dyn BlockQueue>,
    outside: Option<(Box<dyn BlockQueue>, Outside)>,
    shared: Arc<Shared>,
    word: Word,
    view: Arc<View>,
    lane: Rc<Lane>,
    address: Address,
    owner: Option<Owner>,
    depth: u32,
    /// Can the device beneath flush? One that needs not cannot.
    flushes: bool,
    /// Can it unmap?
    unmaps: bool,
    /// What ended here.
    ended: Vec<Box<Io>>,
    parked: Parked,
    walks: Walks,
    cut: Vec<Option<Cut>>,
}

impl Queue {
    pub(super) fn open(cx: &mut Cx, volume: &Volume, who: Token, depth: u32) -> Result<Queue, OpenError> {
        let base = volume.base.open(cx, who, depth)?;
        let address = Address { token: who, layer: cx.layer() };
        let owner = volume.owner.as_ref().map(|(hub, blob)| {
            let number = hub.join(*blob, cx.reactor(), address);
            Owner { hub: hub.clone(), number, lane: hub.lane(cx) }
        });
        let lane = owner.as_ref().map_or_else(Rc::default, |owner| owner.lane.borrow().clone());
        // After it is known to the owner: a view that is published from now on is told to it.
        let (word, view) = (volume.shared.word(), volume.shared.view());
        let ops = volume.base.info().ops;
        let mut queue = Queue {
            base,
            outside: None,
            shared: volume.shared.clone(),
            word,
            view,
            lane,
            address,
            owner,
            depth,
            flushes: ops.has(Op::Flush),
            unmaps: ops.has(Op::Unmap),
            ended: Vec::with_capacity(depth as usize),
            parked: Parked::default(),
            walks: Walks::default(),
            cut: Vec::new(),
        };
        queue.open_outside(cx)?;
        Ok(queue)
    }

    /// Opens the parent outside of the store that the view has, where it is another one than before.
    fn open_outside(&mut self, cx: &mut Cx) -> Result<(), OpenError> {
        let same = match (&self.outside, &self.view.outside) {
            (Some((_, have)), Some(want)) => Arc::ptr_eq(&have.device, &want.device),
            (None, None) => true,
            // What is still under way at one that is no parent any more comes back by it.
            (Some(_), None) => true,
            (None, Some(_)) => false,
        };
        if !same && let Some(outside) = self.view.outside.clone() {
            let queue = outside.device.open(cx, self.address.token, self.depth)?;
            self.outside = Some((queue, outside));
        }
        Ok(())
    }

    #[cold]
    fn refresh(&mut self, cx: &mut Cx) {
        self.word = self.shared.word();
        self.view = self.shared.view();
        if let Err(error) = self.open_outside(cx) {
            tracing::warn!(%error, "the parent of a volume cannot be opened on a reactor: what it would show cannot be read there");
        }
    }

    fn end(&mut self, cx: &mut Cx, mut io: Box<Io>, status: Status) {
        io.status = status;
        self.ended.push(io);
        cx.wake(self.address.token);
    }

    #[cold]
    fn submit_other(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        let status = self.shared.shape.check(&io);
        if !status.is_ok() {
            return self.end(cx, io, status);
        }
        match io.op {
            Op::SeekData | Op::SeekHole => {
                io.result = self.view.seek(io.lba, self.shared.shape.blocks(), io.op == Op::SeekData);
                self.end(cx, io, Status::Ok);
            }
            Op::Read => self.end(cx, io, Status::Invalid), // it crosses a boundary that is said to be one
            Op::Flush if self.flushes => {
                let word = io.lba | self.lane.enter();
                io.push(word);
                self.base.submit(cx, io);
            }
            Op::Flush => self.end(cx, io, Status::Ok),
            _ if self.word.is_read_only() => self.end(cx, io, Status::ReadOnly),
            Op::Write => {
                let (at, inside) = self.view.split(io.lba);
                if inside + u64::from(io.blocks) > self.view.cluster_blocks() {
                    self.end(cx, io, Status::Invalid);
                } else if self.word.is_held() {
                    self.parked.hold(io);
                } else {
                    self.ask_cluster(cx, io, at);
                }
            }
            _ => self.begin_walk(cx, io),
        }
    }

    /// What no cluster of the store has.
    #[cold]
    fn read_elsewhere(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        let blocks = self.view.outside_blocks();
        if io.lba >= blocks {
            io.sg.fill(0, io.sg.bytes(), 0);
            return self.end(cx, io, Status::Ok);
        }
        let Some((queue, outside)) = &mut self.outside else { return self.end(cx, io, Status::ReadError) };
        let there = blocks - io.lba;
        let word =
            if u64::from(io.blocks) <= there { io.lba } else { cut(&mut self.cut, &mut io, there as u32, self.shared.shape.shift()) };
        io.push(word | self.lane.enter());
        io.lba <<= outside.shift;
        io.blocks <<= outside.shift;
        queue.submit(cx, io);
    }

    /// The request waits until the blob has a cluster there.
    fn ask_cluster(&mut self, cx: &mut Cx, io: Box<Io>, at: u64) {
        let at = at as u32; // no blob that is opened has more
        if self.parked.wait(at, io) {
            self.ask(cx, Ask::Populate { at });
        }
    }

    fn ask(&mut self, cx: &mut Cx, ask: Ask) {
        let asked = self.owner.as_ref().is_some_and(|owner| owner.hub.ask(cx, owner.number, ask));
        if !asked {
            self.hear(cx, Answer::Closed);
        }
    }

    /// An answer of the owner's.
    fn hear(&mut self, cx: &mut Cx, answer: Answer) {
        match answer {
            Answer::Done(at, status) => {
                for io in self.parked.answered(at) {
                    match status.is_ok() {
                        true => self.resume(cx, io),
                        false => self.give_up(cx, io, status),
                    }
                }
            }
            Answer::Released(walk, status) => match (self.parked.given_back(walk), status.is_ok()) {
                (Some(io), true) => self.resume(cx, io),
                (Some(io), false) => self.give_up(cx, io, status),
                (None, _) => {}
            },
            Answer::Changed => {
                self.refresh(cx);
                for io in self.parked.released() {
                    self.resume(cx, io);
                }
            }
            Answer::Closed => {
                for io in self.parked.all() {
                    self.give_up(cx, io, Status::Gone);
                }
            }
        }
    }

    /// A request that was parked goes on.
    fn resume(&mut self, cx: &mut Cx, io: Box<Io>) {
        match self.walks.of(&io) {
            Some(slot) => self.step(cx, io, slot),
            None => self.submit(cx, io),
        }
    }

    /// A request that was parked ends.
    fn give_up(&mut self, cx: &mut Cx, mut io: Box<Io>, status: Status) {
        if let Some(slot) = self.walks.of(&io) {
            self.walks.end(&mut io, slot);
        }
        self.end(cx, io, status);
    }

    /// An unmap, or zeroes, which may be of several clusters: one after the other.
    fn begin_walk(&mut self, cx: &mut Cx, io: Box<Io>) {
        let slot = self.walks.begin(&io);
        self.step(cx, io, slot);
    }

    /// The next part of a walk.
    fn step(&mut self, cx: &mut Cx, mut io: Box<Io>, slot: usize) {
        if self.shared.word() != self.word {
            self.refresh(cx);
        }
        loop {
            let Range { start: lba, end } = self.walks.rest(slot);
            if lba >= end {
                self.walks.end(&mut io, slot);
                return self.end(cx, io, Status::Ok);
            }
            if self.word.is_read_only() {
                return self.give_up(cx, io, Status::ReadOnly);
            }
            if self.word.is_held() {
                return self.parked.hold(io);
            }
            let (at, inside) = self.view.split(lba);
            let whole = self.view.cluster_blocks();
            let blocks = (whole - inside).min(end - lba);
            let cluster = self.view.own(at);
            if !cluster.is_some() {
                if io.op == Op::WriteZeroes && self.view.is_backed(at) {
                    return self.ask_cluster(cx, io, at);
                }
                self.walks.advance(slot, blocks);
            } else if io.op == Op::Unmap && blocks == whole && self.view.releases {
                let count = (end - lba) / whole;
                self.walks.advance(slot, count * whole);
                self.parked.give_back(slot as u32, io);
                return self.ask(cx, Ask::Release { walk: slot as u32, at: at as u32, count: count as u32 });
            } else if io.op == Op::Unmap && !self.unmaps {
                self.walks.advance(slot, blocks);
            } else {
                io.lba = self.view.first_block(cluster) + inside;
                io.blocks = blocks as u32;
                self.walks.advance(slot, blocks);
                io.push(WALK | slot as u64 | self.lane.enter());
                return self.base.submit(cx, io);
            }
        }
    }
}

/// Shortens a read to `there` blocks; what is behind is zeroes. The word that brings it back.
#[cold]
fn cut(table: &mut Vec<Option<Cut>>, io: &mut Io, there: u32, shift: u8) -> u64 {
    let bytes = there << shift;
    io.sg.fill(bytes, io.sg.bytes() - bytes, 0);
    let mut head = SgList::default();
    io.sg.share(0, bytes, &mut head);
    let whole = std::mem::replace(&mut io.sg, head);
    let slot = table.iter().position(Option::is_none).unwrap_or_else(|| {
        table.push(None);
        table.len() - 1
    });
    table[slot] = Some(Cut { lba: io.lba, blocks: io.blocks, sg: whole });
    io.blocks = there;
    CUT | slot as u64
}

impl BlockQueue for Queue {
    #[inline]
    fn submit(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        if self.shared.word() != self.word {
            self.refresh(cx);
        }
        let (at, inside) = self.view.split(io.lba);
        if !self.shared.shape.is_plain(&io) || inside + u64::from(io.blocks) > self.view.cluster_blocks() {
            return self.submit_other(cx, io);
        }
        let cluster = match io.op {
            Op::Read => {
                let cluster = self.view.find(at);
                if !cluster.is_some() {
                    return self.read_elsewhere(cx, io);
                }
                cluster
            }
            _ => {
                let cluster = self.view.own(at);
                if !cluster.is_some() || self.word.restricts() {
                    return self.submit_other(cx, io);
                }
                cluster
            }
        };
        let word = io.lba | self.lane.enter();
        io.push(word);
        io.lba = self.view.first_block(cluster) + inside;
        self.base.submit(cx, io);
    }

    #[inline]
    fn kick(&mut self, cx: &mut Cx) {
        self.base.kick(cx);
        if let Some((queue, _)) = &mut self.outside {
            queue.kick(cx);
        }
    }

    #[inline]
    fn poll(&mut self, cx: &mut Cx, done: &mut Done) {
        let first = done.len();
        self.base.poll(cx, done);
        let (mut ended, mut walks) = ([0, 0], 0);
        for io in done.iter_mut().skip(first) {
            let word = io.top();
            ended[(word >> 63) as usize] += 1;
            if word & WALK == 0 {
                io.pop();
                io.lba = word & !SECOND;
            } else {
                walks += 1;
            }
        }
        if walks > 0 {
            self.go_on_walking(cx, done, first);
        }
        if let Some((queue, outside)) = &mut self.outside {
            let first = done.len();
            queue.poll(cx, done);
            for io in done.iter_mut().skip(first) {
                let word = io.pop();
                ended[(word >> 63) as usize] += 1;
                io.blocks >>= outside.shift;
                if word & CUT == 0 {
                    io.lba = word & !SECOND;
                } else if let Some(whole) = self.cut.get_mut((word & !(SECOND | CUT)) as usize).and_then(Option::take) {
                    (io.lba, io.blocks, io.sg) = (whole.lba, whole.blocks, whole.sg);
                }
            }
        }
        if ended != [0, 0] {
            self.lane.leave(ended);
        }
        if self.owner.is_some() {
            self.read_mail(cx);
        }
        done.append(&mut self.ended);
    }

    fn abort(&mut self, cx: &mut Cx, which: Abort) {
        for io in self.parked.asked_back(which) {
            self.give_up(cx, io, Status::Aborted);
        }
        self.base.abort(cx, which);
        if let Some((queue, _)) = &mut self.outside {
            queue.abort(cx, which);
        }
    }
}

impl Queue {
    #[inline]
    fn read_mail(&mut self, cx: &mut Cx) {
        let mut heard = false;
        while let Some(mail) = cx.mail(self.address) {
            heard = true;
            self.hear(cx, Answer::of_mail(mail));
        }
        if heard {
            self.kick(cx);
        }
    }

    /// Parts of walks came back from the device: each goes on, or ends.
    #[cold]
    fn go_on_walking(&mut self, cx: &mut Cx, done: &mut Done, first: usize) {
        let mut at = first;
        while at < done.len() {
            // Only a walk has kept its word.
            let Some(slot) = self.walks.of(&done[at]) else {
                at += 1;
                continue;
            };
            let mut io = done.swap_remove(at);
            io.pop();
            match io.status {
                Status::Ok => self.step(cx, io, slot),
                status => self.give_up(cx, io, status),
            }
        }
        self.base.kick(cx);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Some(owner) = &self.owner {
            owner.hub.leave(owner.number);
        }
    }
}
