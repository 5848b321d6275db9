//! A queue of a simulated disk: requests start at `kick`, take their time, and complete in the order in which they become due.

use super::medium::{Change, Content, Durable, Medium};
use super::{Counters, Power, Shared, State};
use crate::entropy::Entropy;
use doorbell_block::{Abort, BlockQueue, Cx, DeviceInfo, Done, Flags, Io, IoId, Limits, Op, Status, Ticks, Token, WriteCache};
use doorbell_mem::SgList;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A request under way.
struct Running {
    due: Ticks,
    epoch: u64,
    fate: Fate,
    io: Box<Io>,
}

/// What was decided when a request started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It ends like this and has done nothing.
    Refused(Status),
    /// It ends like this, and a change may have happened in part.
    Failed(Status, Option<u64>),
    /// A change, by ticket.
    Change(u64),
    /// A flush of everything up to this mark.
    Flush(u64),
    /// What is decided when it completes.
    AtTheEnd,
}

pub(super) struct SimQueue {
    disk: Arc<Shared>,
    token: Token,
    fresh: Vec<Box<Io>>,
    running: Vec<Running>,
}

impl SimQueue {
    pub(super) fn new(disk: Arc<Shared>, token: Token) -> SimQueue {
        SimQueue { disk, token, fresh: Vec::new(), running: Vec::new() }
    }

    /// Ends what `which` picks at once. What was changing is torn.
    fn sweep(&mut self, cx: &mut Cx, which: impl Fn(IoId) -> bool) {
        for io in std::mem::take(&mut self.fresh) {
            if which(io.id()) {
                self.running.push(Running { due: cx.now(), epoch: u64::MAX, fate: Fate::Refused(Status::Aborted), io });
            } else {
                self.fresh.push(io);
            }
        }
        for r in &mut self.running {
            if which(r.io.id()) {
                (r.due, r.fate) = (cx.now(), aborted(r.fate));
            }
        }
        cx.wake(self.token);
    }
}

/// The fate of what is asked back early. What was refused or had failed stays so.
fn aborted(fate: Fate) -> Fate {
    match fate {
        Fate::Change(ticket) => Fate::Failed(Status::Aborted, Some(ticket)),
        Fate::Flush(_) | Fate::AtTheEnd => Fate::Refused(Status::Aborted),
        ended => ended,
    }
}

impl BlockQueue for SimQueue {
    fn submit(&mut self, _cx: &mut Cx, io: Box<Io>) {
        self.fresh.push(io);
    }

    fn kick(&mut self, cx: &mut Cx) {
        if self.fresh.is_empty() {
            return;
        }
        let info = self.disk.info();
        let mut state = self.disk.state();
        for io in self.fresh.drain(..) {
            let fate = start(&mut state, &self.disk, &info, &io);
            let delay = if matches!(fate, Fate::Refused(_)) { 0 } else { state.entropy.within(&self.disk.spec.delay_ns) };
            let due = cx.now().after(delay);
            cx.wake_at(self.token, due);
            self.running.push(Running { due, epoch: state.epoch, fate, io });
        }
    }

    fn poll(&mut self, cx: &mut Cx, done: &mut Done) {
        let shared = self.disk.clone();
        let mut state = shared.state();
        let now = cx.now();
        let mut due: Vec<Running> = Vec::new();
        let (epoch, off) = (state.epoch, state.power == Power::Off);
        for mut r in std::mem::take(&mut self.running) {
            if off {
                r.fate = Fate::Refused(Status::Gone);
            } else if r.epoch < epoch {
                r.fate = aborted(r.fate);
            }
            if r.due <= now || off || r.epoch < epoch { due.push(r) } else { self.running.push(r) }
        }
        due.sort_by_key(|r| r.due);
        for Running { mut fate, mut io, .. } in due {
            if state.power == Power::Off {
                fate = Fate::Refused(Status::Gone); // it went while these were looked at
            }
            io.status = finish(&mut state, &shared, fate, &mut io);
            done.push(io);
        }
        if state.epoch != epoch && !self.running.is_empty() {
            cx.wake(self.token); // a reset swept away the rest
        }
        if let Some(next) = self.running.iter().map(|r| r.due).min() {
            cx.wake_at(self.token, next);
        }
    }

    fn abort(&mut self, cx: &mut Cx, which: Abort) {
        match which {
            Abort::All => self.sweep(cx, |_| true),
            Abort::One(id) => self.sweep(cx, |other| other == id),
        }
    }
}

impl Drop for SimQueue {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.power == Power::Off {
            return; // what was under way when it went may have happened
        }
        for r in &self.running {
            if let Fate::Change(ticket) | Fate::Failed(_, Some(ticket)) = r.fate {
                state.medium.forget(ticket);
            }
        }
    }
}

fn start(state: &mut State, disk: &Shared, info: &DeviceInfo, io: &Io) -> Fate {
    if state.power == Power::Off {
        return Fate::Refused(Status::Gone);
    }
    if let Err(status) = check(info, io) {
        return Fate::Refused(status);
    }
    let nth = state.counters.requests;
    count(&mut state.counters, io);
    let faults = &disk.spec.faults;
    let random = if io.op.writes() || io.op == Op::Flush { Status::WriteError } else { Status::ReadError };
    let fault = match faults.plan.get(&nth).copied().or_else(|| place_fault(state, io)) {
        Some(status) => Some(status),
        None => state.entropy.chance(faults.fail_per_million).then_some(random),
    };
    let ticket = change_of(info, &state.medium, &mut state.entropy, io).map(|mut change| {
        if fault.is_none() && state.entropy.chance(faults.misdirect_per_million) {
            change.lba = state.entropy.below(info.blocks - change.blocks + 1);
            state.counters.misdirected += 1;
        }
        state.medium.start(change)
    });
    match (fault, ticket) {
        (Some(status), ticket) => {
            state.counters.faults += 1;
            Fate::Failed(status, ticket)
        }
        (None, Some(ticket)) => Fate::Change(ticket),
        (None, None) if io.op == Op::Flush => Fate::Flush(state.medium.mark()),
        (None, None) => Fate::AtTheEnd,
    }
}

/// What a request will change, when that does not depend on what is stored.
fn change_of(info: &DeviceInfo, medium: &Medium, entropy: &mut Entropy, io: &Io) -> Option<Change> {
    let (content, mapped) = match io.op {
        Op::Write => return Some(Change::bytes(io.lba, info.block_shift, bytes_of(&io.sg, 0, io.sg.bytes()))),
        Op::WriteZeroes => (Content::Zeroes, !io.flags.has(Flags::MAY_UNMAP)),
        Op::Unmap => (medium.unmapped(entropy), false),
        _ => return None,
    };
    Some(Change { lba: io.lba, blocks: u64::from(io.blocks), content, mapped })
}

/// How a request ends because of where it goes.
fn place_fault(state: &State, io: &Io) -> Option<Status> {
    let hits = |blocks: &BTreeSet<u64>, lba: u64| io.op.has_range() && blocks.range(lba..lba + u64::from(io.blocks)).next().is_some();
    let reads = match io.op {
        Op::Read | Op::Compare | Op::CompareAndWrite | Op::Verify => Some(io.lba),
        Op::Copy => Some(io.source),
        _ => None,
    };
    if reads.is_some_and(|lba| hits(&state.unreadable, lba)) {
        return Some(Status::ReadError);
    }
    (io.op.writes() && hits(&state.unwritable, io.lba)).then_some(Status::WriteError)
}

/// A change of these blocks has completed.
fn changed(state: &mut State, disk: &Shared, lba: u64, blocks: u64) {
    if !state.unreadable.is_empty() {
        state.unreadable.retain(|block| !(lba..lba + blocks).contains(block));
    }
    state.counters.changes += 1;
    if disk.spec.cut_after.is_some_and(|n| state.counters.changes >= n) {
        state.power = Power::Off;
    }
}

fn bytes_of(sg: &SgList, offset: u32, len: u32) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    sg.read_at(offset, &mut bytes);
    bytes
}

fn count(counters: &mut Counters, io: &Io) {
    counters.requests += 1;
    match io.op {
        Op::Read => counters.reads += 1,
        Op::Flush => counters.flushes += 1,
        Op::Unmap => counters.unmaps += 1,
        Op::Write | Op::WriteZeroes | Op::Copy | Op::CompareAndWrite => {
            counters.writes += 1;
            counters.fua_writes += u64::from(io.flags.has(Flags::FUA));
        }
        _ => {}
    }
}

fn finish(state: &mut State, disk: &Shared, fate: Fate, io: &mut Io) -> Status {
    let info = disk.info();
    let durable = match info.write_cache {
        WriteCache::WriteThrough => Durable::Now,
        WriteCache::Volatile if info.fua && io.flags.has(Flags::FUA) => Durable::Now,
        WriteCache::Volatile => Durable::AfterFlush,
    };
    match fate {
        Fate::Refused(status) => status,
        Fate::Failed(status, ticket) => {
            if let Some(ticket) = ticket {
                state.medium.tear(ticket, &mut state.entropy);
            }
            status
        }
        Fate::Change(ticket) => {
            state.medium.finish(ticket, durable);
            changed(state, disk, io.lba, io.blocks.into());
            if state.entropy.chance(disk.spec.faults.rot_per_million) {
                let lba = state.entropy.below(info.blocks);
                state.medium.rot(lba, &mut state.entropy);
                state.counters.rotten += 1;
            }
            Status::Ok
        }
        Fate::Flush(mark) => {
            state.medium.flush(mark);
            Status::Ok
        }
        Fate::AtTheEnd => {
            let status = at_the_end(state, &info, durable, io);
            if status.is_ok() && matches!(io.op, Op::Copy | Op::CompareAndWrite) {
                changed(state, disk, io.lba, io.blocks.into());
            }
            status
        }
    }
}

/// Requests whose outcome depends on what is stored when they complete.
fn at_the_end(state: &mut State, info: &DeviceInfo, durable: Durable, io: &mut Io) -> Status {
    if check(info, io).is_err() {
        return Status::OutOfRange; // it shrank meanwhile
    }
    let blocks = u64::from(io.blocks);
    let medium = &mut state.medium;
    match io.op {
        Op::Read => {
            io.sg.write_at(0, &medium.current().blocks(io.lba, blocks));
        }
        Op::Compare | Op::CompareAndWrite => {
            let half = io.blocks << info.block_shift;
            if bytes_of(&io.sg, 0, half) != medium.current().blocks(io.lba, blocks) {
                return Status::Miscompare;
            }
            if io.op == Op::CompareAndWrite {
                medium.apply(Change::bytes(io.lba, info.block_shift, bytes_of(&io.sg, half, half)), durable);
            }
        }
        Op::Copy => {
            let bytes = medium.current().blocks(io.source, blocks);
            medium.apply(Change::bytes(io.lba, info.block_shift, bytes), durable);
        }
        Op::SeekData | Op::SeekHole => {
            let wanted = io.op == Op::SeekData;
            io.result = medium.current().seek(io.lba, wanted).unwrap_or(u64::MAX);
        }
        Op::Reset => state.epoch += 1,
        // Writes and flushes have fates of their own; what the disk has not, `check` has refused.
        _ => {}
    }
    Status::Ok
}

/// Holds a request against what the disk says of itself, to the letter.
fn check(info: &DeviceInfo, io: &Io) -> Result<(), Status> {
    if !info.ops.has(io.op) {
        return Err(Status::Unsupported);
    }
    if io.op.writes() && info.read_only {
        return Err(Status::ReadOnly);
    }
    if matches!(io.op, Op::Flush | Op::Reset) {
        return if io.sg.is_empty() { Ok(()) } else { Err(Status::Invalid) };
    }
    let source_end = if io.op == Op::Copy { io.source.checked_add(u64::from(io.blocks)) } else { Some(0) };
    match (io.end(), source_end) {
        (Some(end), Some(source)) if end <= info.blocks && source <= info.blocks && io.lba < info.blocks => {}
        _ => return Err(Status::OutOfRange),
    }
    if !io.meta.is_empty() || io.op.has_range() && io.blocks == 0 || u64::from(io.sg.bytes()) != io.op.payload(io.blocks, info.block_shift)
    {
        return Err(Status::Invalid);
    }
    if within_limits(&info.limits, io) { Ok(()) } else { Err(Status::Invalid) }
}

fn within_limits(limits: &Limits, io: &Io) -> bool {
    let most = |limit: u32| limit == 0 || io.blocks <= limit;
    let size = match io.op {
        Op::Read | Op::Write | Op::Compare | Op::CompareAndWrite => most(limits.transfer_blocks),
        Op::Unmap => most(limits.unmap_blocks),
        Op::WriteZeroes => most(limits.write_zeroes_blocks),
        Op::Copy => most(limits.copy_blocks),
        _ => return true,
    };
    let last = io.lba + u64::from(io.blocks) - 1;
    let boundary = u64::from(limits.boundary_blocks);
    let crosses =
        matches!(io.op, Op::Read | Op::Write | Op::Compare | Op::CompareAndWrite) && boundary > 0 && io.lba / boundary != last / boundary;
    let unit = u64::from(limits.write_unit_blocks.max(1));
    let whole = !io.op.writes() || io.op == Op::Unmap || (io.lba.is_multiple_of(unit) && (last + 1).is_multiple_of(unit));
    let segments = io.sg.segs();
    let align = limits.align_bytes.max(1) as usize;
    let aligned = |s: &doorbell_mem::Seg| (s.address() as usize).is_multiple_of(align) && (s.len() as usize).is_multiple_of(align);
    let short = |s: &doorbell_mem::Seg| limits.segment_bytes == 0 || s.len() <= limits.segment_bytes;
    size && !crosses
        && whole
        && (limits.segments == 0 || segments.len() <= usize::from(limits.segments))
        && segments.iter().all(|s| aligned(s) && short(s))
}
