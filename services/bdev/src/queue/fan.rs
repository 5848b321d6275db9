//! Requests that go down in parts: split to the device's limits, or emulated from reads and writes.
//!
//! A parent stays here while its children are beneath. Children come from the reactor's pool; one box and one small buffer are kept for
//! this queue alone, so that one part at a time can always go on. The first error in time wins, and stops further parts.

use super::{CHILD, ServiceQueue};
use crate::info::{Geometry, overlaps};
use crate::stats::OpStat;
use doorbell_block::{Abort, Cx, Flags, Io, IoId, Op, OpenError, Status};
use doorbell_mem::Seg;
use std::collections::VecDeque;

/// Children of one parent at a time.
const KIDS: usize = 8;
/// In a child's frame word: its payload is a bounce buffer.
const BOUNCED: u64 = 1 << 62;

/// How a parent is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plan {
    /// The same operation in smaller parts.
    Parts,
    /// Writes of zeroes.
    Zeroes,
    /// Reads, compared here.
    Compare,
    /// Reads, of which nothing is kept.
    Verify,
    /// Read a part, write it elsewhere.
    Copy {
        /// From the end, because the ranges overlap that way.
        backward: bool,
    },
    /// Reads, compared here, alone on the range; when all are equal, what `SecondHalf` does.
    CompareAndWrite,
    /// Writes of the payload's second half, still alone on the range.
    SecondHalf,
}

struct Parent {
    io: Box<Io>,
    started: u64,
    plan: Plan,
    /// Blocks handed out.
    issued: u32,
    left: u8,
    status: Status,
    flush: Flush,
    kids: [Option<IoId>; KIDS],
}

/// Where a write with FUA stands, when the device has no FUA.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flush {
    NotNeeded,
    Needed,
    Sent,
}

pub(super) struct Fan {
    parents: Vec<Option<Parent>>,
    free: Vec<u16>,
    live: usize,
    /// Parents that could not go on for want of a box or a buffer, in order.
    stalled: VecDeque<u16>,
    spare_box: Option<Box<Io>>,
    spare_buffer: Option<Seg>,
    keeps_buffer: bool,
}

/// One part.
struct Part {
    offset: u32,
    blocks: u32,
    bounce: bool,
}

impl Fan {
    pub(super) fn open(cx: &mut Cx, g: &Geometry) -> Result<Fan, OpenError> {
        let keeps_buffer = g.may_bounce();
        let spare_buffer = if keeps_buffer { cx.pool().get(g.reserve_bytes()) } else { None };
        if keeps_buffer && spare_buffer.is_none() {
            let text = format!("no buffer of {} bytes is free for the queue's reserve: raise the pool's size", g.reserve_bytes());
            return Err(OpenError::Resources(text));
        }
        Ok(Fan {
            parents: Vec::new(),
            free: Vec::new(),
            live: 0,
            stalled: VecDeque::new(),
            spare_box: Some(Io::boxed(4)),
            spare_buffer,
            keeps_buffer,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Must every poll look here?
    #[inline]
    pub(super) fn is_busy(&self) -> bool {
        self.live > 0
    }

    fn insert(&mut self, parent: Parent) -> u16 {
        self.live += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.parents.push(None);
            (self.parents.len() - 1) as u16
        });
        self.parents[slot as usize] = Some(parent);
        slot
    }

    fn take(&mut self, slot: u16) -> Option<Parent> {
        let parent = self.parents.get_mut(slot as usize)?.take()?;
        self.live -= 1;
        self.free.push(slot);
        Some(parent)
    }

    fn child(&mut self, cx: &mut Cx) -> Option<Box<Io>> {
        cx.take_io().or_else(|| self.spare_box.take())
    }

    fn child_done(&mut self, cx: &mut Cx, mut child: Box<Io>, bounced: bool) {
        // It may be a part of the same buffer.
        child.meta.clear();
        if bounced
            && self.keeps_buffer
            && self.spare_buffer.is_none()
            && let Some(mut seg) = child.sg.pop()
            && seg.reset(1)
        {
            self.spare_buffer = Some(seg);
        }
        child.clean();
        match self.spare_box {
            None => self.spare_box = Some(child),
            Some(_) => cx.put_io(child),
        }
    }

    fn buffer(&mut self, cx: &mut Cx, want: u32, least: u32) -> Option<Seg> {
        if let Some(b) = cx.buffer(want) {
            return Some(b);
        }
        let mut spare = self.spare_buffer.take()?;
        // It holds at least what was asked for at open; the part shrinks to that.
        if spare.reset(want) || spare.reset(least) {
            return Some(spare);
        }
        self.spare_buffer = Some(spare);
        None
    }
}

impl ServiceQueue {
    /// Takes a request apart.
    pub(super) fn fan_out(&mut self, cx: &mut Cx, io: Box<Io>) {
        let g = &self.geometry;
        let native = g.ops.has(io.op);
        let plan = match io.op {
            Op::WriteZeroes if !native => Plan::Zeroes,
            Op::Compare if !native => Plan::Compare,
            Op::Verify if !native => Plan::Verify,
            Op::Copy if !native || g.is_copied_by_hand(&io) => Plan::Copy { backward: io.source < io.lba && overlaps(&io) },
            Op::CompareAndWrite => Plan::CompareAndWrite,
            _ => Plan::Parts,
        };
        let fua = io.flags.has(Flags::FUA) && io.op.writes() && !g.fua && !self.is_write_through();
        let flush = if fua { Flush::Needed } else { Flush::NotNeeded };
        let parent = Parent { io, started: cx.now().0, plan, issued: 0, left: 0, status: Status::Ok, flush, kids: [None; KIDS] };
        let slot = self.fan.insert(parent);
        self.advance(cx, slot);
    }

    pub(super) fn advance_stalled(&mut self, cx: &mut Cx) {
        for _ in 0..self.fan.stalled.len() {
            if let Some(slot) = self.fan.stalled.pop_front() {
                self.advance(cx, slot);
            }
        }
    }

    /// Hands out as many parts as may be; ends the parent when all is done.
    fn advance(&mut self, cx: &mut Cx, slot: u16) {
        loop {
            let Some(Some(p)) = self.fan.parents.get_mut(slot as usize) else { return };
            // Side by side, parts of a write would not begin where their zone is written next.
            let ordered = self.geometry.moves_pointer(p.io.op);
            let at_once = if matches!(p.plan, Plan::Parts | Plan::Zeroes) && !ordered { KIDS } else { 1 };
            let more = p.status.is_ok() && p.issued < p.io.blocks;
            if !more {
                if p.left > 0 {
                    return;
                }
                if p.plan == Plan::CompareAndWrite && p.status.is_ok() {
                    (p.plan, p.issued) = (Plan::SecondHalf, 0);
                    continue;
                }
                return self.end_or_flush(cx, slot);
            }
            if p.left as usize >= at_once {
                return;
            }
            let Some(Some(p)) = self.fan.parents.get(slot as usize) else { return };
            let part = self.next_part(p);
            if !self.send_part(cx, slot, part) {
                // Children that are out bring it on; if there are none, whoever puts a box or buffer back does.
                self.fan.stalled.push_back(slot);
                return cx.wait(self.token);
            }
        }
    }

    fn next_part(&self, p: &Parent) -> Part {
        let g = &self.geometry;
        let rest = p.io.blocks - p.issued;
        let bounce_blocks = g.bounce_blocks();
        let lba = p.io.lba + u64::from(p.issued);
        let to_boundary = g.to_boundary(lba).min(u64::from(rest)) as u32;
        match p.plan {
            Plan::Copy { backward } => {
                let most = rest.min(bounce_blocks).min(g.max_blocks);
                if backward {
                    let end = p.io.lba + u64::from(rest);
                    let blocks = copy_blocks(g, most, end - 1, p.io.source + u64::from(rest) - 1, Toward::Start);
                    Part { offset: rest - blocks, blocks, bounce: true }
                } else {
                    let blocks = copy_blocks(g, most, lba, p.io.source + u64::from(p.issued), Toward::End);
                    Part { offset: p.issued, blocks, bounce: true }
                }
            }
            Plan::Compare | Plan::CompareAndWrite | Plan::Verify => {
                Part { offset: p.issued, blocks: to_boundary.min(bounce_blocks).min(g.max_blocks), bounce: true }
            }
            Plan::Zeroes | Plan::SecondHalf => {
                let blocks = whole_units(to_boundary.min(bounce_blocks).min(g.max_blocks), g.write_unit);
                Part { offset: p.issued, blocks, bounce: true }
            }
            Plan::Parts => {
                let limit = g.limit(p.io.op);
                if p.io.sg.is_empty() {
                    let whole = matches!(p.io.op, Op::Verify | Op::WriteUncorrectable);
                    let most = if whole { to_boundary } else { rest };
                    return Part { offset: p.issued, blocks: most.min(limit), bounce: false };
                }
                let unit = match p.io.op {
                    Op::Write => g.write_unit,
                    // Never split.
                    Op::ZoneAppend => rest,
                    _ => 1,
                };
                let to_boundary = if p.io.op == Op::ZoneAppend { rest } else { to_boundary };
                let want = whole_units(to_boundary.min(limit), unit);
                match g.direct_bytes(&p.io, p.issued << g.shift, want << g.shift) {
                    Some(bytes) if bytes >> g.shift >= unit => {
                        Part { offset: p.issued, blocks: whole_units(bytes >> g.shift, unit), bounce: false }
                    }
                    _ => Part { offset: p.issued, blocks: whole_units(want.min(bounce_blocks), unit), bounce: true },
                }
            }
        }
    }

    /// False when there was no box or no buffer for it.
    fn send_part(&mut self, cx: &mut Cx, slot: u16, mut part: Part) -> bool {
        let shift = self.geometry.shift;
        let Some(mut child) = self.fan.child(cx) else { return false };
        if part.bounce {
            let beside = self.beside(slot);
            let each = (1 << shift) + beside;
            let want = part.blocks * each;
            let least = if self.must_be_whole(slot) { want } else { self.geometry.reserve_bytes() / each * each };
            let Some(buffer) = self.fan.buffer(cx, want, least.min(want)) else {
                self.fan.child_done(cx, child, false);
                return false;
            };
            let blocks = buffer.len() / each;
            if let Some(Some(Parent { plan: Plan::Copy { backward: true }, .. })) = self.fan.parents.get(slot as usize) {
                part.offset += part.blocks - blocks;
            }
            part.blocks = blocks;
            match beside {
                0 => child.sg.push(buffer),
                _ => {
                    child.sg.push(buffer.slice(0, blocks << shift));
                    child.meta.push(buffer.slice(blocks << shift, blocks * beside));
                }
            }
        }
        let Some(Some(p)) = self.fan.parents.get_mut(slot as usize) else {
            self.fan.child_done(cx, child, part.bounce);
            return true;
        };
        fill_child(p, &mut child, &part, &self.geometry);
        let mark = if part.bounce { BOUNCED } else { 0 };
        child.push(CHILD | mark | u64::from(slot) << 32 | u64::from(part.offset));
        p.issued += part.blocks;
        p.left += 1;
        if let Some(k) = p.kids.iter_mut().find(|k| k.is_none()) {
            *k = Some(child.id());
        }
        self.down(cx, child);
        true
    }

    /// Bytes of metadata of each block that a part's own buffer has to hold.
    fn beside(&self, slot: u16) -> u32 {
        match self.fan.parents.get(slot as usize) {
            Some(Some(Parent { plan: Plan::Compare, io, .. })) if !io.meta.is_empty() => self.geometry.meta,
            _ => 0,
        }
    }

    fn must_be_whole(&self, slot: u16) -> bool {
        let unit = self.geometry.write_unit > 1;
        matches!(self.fan.parents.get(slot as usize), Some(Some(p)) if unit || p.io.op == Op::ZoneAppend)
    }

    /// A child is back.
    pub(super) fn child_back(&mut self, cx: &mut Cx, mut child: Box<Io>) {
        let word = child.pop();
        let (slot, offset) = ((word >> 32) as u16, word as u32);
        let bounced = word & BOUNCED != 0;
        let (shift, meta) = (self.geometry.shift, self.geometry.meta);
        let Some(Some(p)) = self.fan.parents.get_mut(slot as usize) else {
            return self.fan.child_done(cx, child, bounced);
        };
        p.left -= 1;
        p.kids.iter_mut().filter(|k| **k == Some(child.id())).for_each(|k| *k = None);
        let status = if child.status.is_ok() { digest(p, &child, bounced, offset, (shift, meta)) } else { Err(child.status) };
        match status {
            Ok(Next::Done) => {}
            Ok(Next::Write) if p.status.is_ok() => {
                p.left += 1;
                if let Some(k) = p.kids.iter_mut().find(|k| k.is_none()) {
                    *k = Some(child.id());
                }
                second_step(p, &mut child, offset, self.geometry.fua);
                child.push(word);
                return self.down(cx, child);
            }
            Ok(Next::Write) => {}
            Err(e) if p.status.is_ok() => p.status = e,
            Err(_) => {}
        }
        self.fan.child_done(cx, child, bounced);
        if !self.fan.stalled.contains(&slot) {
            self.advance(cx, slot);
        }
    }

    /// All parts are back: a flush if one is owed, else the end.
    fn end_or_flush(&mut self, cx: &mut Cx, slot: u16) {
        if let Some(Some(p)) = self.fan.parents.get_mut(slot as usize)
            && p.flush == Flush::Needed
            && p.status.is_ok()
        {
            let Some(mut child) = self.fan.child(cx) else {
                self.fan.stalled.push_back(slot);
                return cx.wait(self.token);
            };
            let Some(Some(p)) = self.fan.parents.get_mut(slot as usize) else { return };
            (p.flush, p.left) = (Flush::Sent, 1);
            (child.op, child.lba, child.blocks) = (Op::Flush, 0, 0);
            child.push(CHILD | u64::from(slot) << 32);
            return self.down(cx, child);
        }
        let Some(p) = self.fan.take(slot) else { return };
        let ns = cx.now().0.saturating_sub(p.started);
        if p.status.is_ok() {
            let bytes = u64::from(p.io.blocks) << self.geometry.shift;
            let run = OpStat { ops: 1, bytes, latency_ns: ns, latency_ns_min: ns, latency_ns_max: ns };
            self.entry.stats.add_run(p.io.op, &run);
        } else {
            self.entry.stats.add_error_status(p.status);
        }
        if let Some(h) = &self.histogram {
            h.record(ns);
        }
        let held = matches!(p.plan, Plan::CompareAndWrite | Plan::SecondHalf);
        self.finish(cx, p.io, p.status);
        if held {
            self.end_hold(cx);
        }
    }

    /// Stops the parents named, and asks their children back.
    pub(super) fn abort_parents(&mut self, cx: &mut Cx, which: Abort) {
        let mut ask = Vec::new();
        let mut idle = Vec::new();
        for (slot, p) in self.fan.parents.iter_mut().enumerate() {
            let Some(p) = p else { continue };
            if matches!(which, Abort::One(id) if p.io.id() != id) {
                continue;
            }
            if p.status.is_ok() {
                p.status = Status::Aborted;
            }
            ask.extend(p.kids.iter().flatten());
            if p.left == 0 {
                idle.push(slot as u16);
            }
        }
        if which != Abort::All {
            ask.into_iter().for_each(|id| self.base.abort(cx, Abort::One(id)));
        }
        for slot in idle {
            self.fan.stalled.retain(|s| *s != slot);
            self.advance(cx, slot);
        }
    }
}

/// What a child that is back asks for.
enum Next {
    Done,
    /// Its payload is to be written.
    Write,
}

fn whole_units(blocks: u32, unit: u32) -> u32 {
    if unit <= 1 { blocks } else { (blocks / unit * unit).max(unit) }
}

enum Toward {
    Start,
    End,
}

/// Blocks of one part of a copy: neither its read nor its write crosses a boundary.
fn copy_blocks(g: &Geometry, most: u32, a: u64, b: u64, toward: Toward) -> u32 {
    if g.boundary == 0 {
        return most;
    }
    let boundary = u64::from(g.boundary);
    let room = |lba: u64| match toward {
        Toward::End => boundary - lba % boundary,
        Toward::Start => lba % boundary + 1,
    };
    room(a).min(room(b)).min(u64::from(most)) as u32
}

/// Makes a child of a part.
fn fill_child(p: &mut Parent, child: &mut Io, part: &Part, g: &Geometry) {
    let shift = g.shift;
    let lba = p.io.lba + u64::from(part.offset);
    let bytes = part.blocks << shift;
    let keep = if g.fua { p.io.flags } else { p.io.flags.without(Flags::FUA) };
    (child.op, child.lba, child.blocks, child.flags) = (p.io.op, lba, part.blocks, Flags::NONE);
    (child.application_tag, child.application_mask) = (p.io.application_tag, p.io.application_mask);
    match p.plan {
        Plan::Parts => {
            child.flags = keep;
            child.source = p.io.source + u64::from(part.offset);
            if !p.io.meta.is_empty() {
                p.io.meta.share(part.offset * g.meta, part.blocks * g.meta, &mut child.meta);
            }
            if !part.bounce {
                if !p.io.sg.is_empty() {
                    p.io.sg.share(part.offset << shift, bytes, &mut child.sg);
                }
            } else if p.io.op != Op::Read {
                child.sg.copy_from(0, &p.io.sg, part.offset << shift, bytes);
            }
        }
        Plan::Zeroes => {
            (child.op, child.flags) = (Op::Write, keep.without(Flags::MAY_UNMAP));
            child.sg.fill(0, bytes, 0);
        }
        Plan::CompareAndWrite => child.op = Op::Read,
        // What is checked on the way is checked here too.
        Plan::Compare | Plan::Verify => (child.op, child.flags) = (Op::Read, p.io.flags.without(Flags::FUA)),
        Plan::SecondHalf => {
            (child.op, child.flags) = (Op::Write, keep);
            child.sg.copy_from(0, &p.io.sg, (p.io.blocks + part.offset) << shift, bytes);
        }
        Plan::Copy { .. } => (child.op, child.lba) = (Op::Read, p.io.source + u64::from(part.offset)),
    }
}

/// What a child brought.
fn digest(p: &mut Parent, child: &Io, bounced: bool, offset: u32, (shift, meta): (u8, u32)) -> Result<Next, Status> {
    let at = offset << shift;
    match (p.plan, child.op) {
        (_, Op::Flush) => Ok(Next::Done),
        (Plan::Parts, Op::Read) if bounced => {
            p.io.sg.copy_from(at, &child.sg, 0, child.sg.bytes());
            Ok(Next::Done)
        }
        (Plan::Compare | Plan::CompareAndWrite, Op::Read) => match p.io.sg.first_difference(at, &child.sg, 0, child.sg.bytes()) {
            Some(_) => Err(Status::Miscompare),
            None if child.meta.is_empty() => Ok(Next::Done),
            None => match p.io.meta.first_difference(offset * meta, &child.meta, 0, child.meta.bytes()) {
                Some(_) => Err(Status::Miscompare),
                None => Ok(Next::Done),
            },
        },
        (Plan::Copy { .. }, Op::Read) => Ok(Next::Write),
        (_, Op::ZoneAppend) => {
            p.io.result = child.result;
            Ok(Next::Done)
        }
        _ => Ok(Next::Done),
    }
}

/// Turns a child that has read into one that writes.
fn second_step(p: &Parent, child: &mut Io, offset: u32, fua: bool) {
    child.op = Op::Write;
    child.status = Status::Ok;
    child.lba = p.io.lba + u64::from(offset);
    child.flags = if fua && p.io.flags.has(Flags::FUA) { Flags::FUA } else { Flags::NONE };
}
