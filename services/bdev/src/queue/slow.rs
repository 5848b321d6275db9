//! Whatever is not a plain read or write: checks first, then limits and holds, then down or apart.

use super::{CHILD, ServiceQueue, count};
use crate::info::overlaps;
use crate::shared::bits;
use crate::stats::OpStat;
use doorbell_block::{Abort, Cx, Done, Flags, Io, Op, Status, WriteCache, Zone};

impl ServiceQueue {
    /// Is anything going on that the fast poll does not see to?
    #[inline]
    pub(super) fn is_involved(&self) -> bool {
        !self.finished.is_empty() || !self.parked.is_empty() || self.fan.is_busy() || self.holding.is_busy() || self.watch.is_on()
    }

    #[cold]
    pub(super) fn submit_slow(&mut self, cx: &mut Cx, io: Box<Io>) {
        self.refresh();
        self.take(cx, io);
        self.settle();
    }

    fn take(&mut self, cx: &mut Cx, io: Box<Io>) {
        // Something is going on, but nothing that concerns this request.
        if self.seen & bits::SLOW == 0 && self.parked.is_empty() && self.geometry.is_plain(&io) {
            return self.start(cx, io);
        }
        if let Err(status) = self.check(&io) {
            self.entry.stats.add_error_status(status);
            return self.finish(cx, io, status);
        }
        if self.needs_hold(&io) {
            self.holding.want(io);
            return cx.wake(self.token); // poll takes the hold: submit does not run others
        }
        if !self.parked.is_empty() || self.must_wait(cx, &io) {
            return self.parked.push_back(io);
        }
        self.start(cx, io);
    }

    /// Is the request right in itself?
    fn check(&self, io: &Io) -> Result<(), Status> {
        let g = &self.geometry;
        if io.op.writes() && !g.may_write {
            return Err(Status::ReadOnly);
        }
        let by_hand = Op::COMMON.contains(&io.op) && (io.op != Op::Copy || g.copies_by_hand);
        if !by_hand && io.op != Op::Verify && !g.ops.has(io.op) {
            return Err(Status::Unsupported);
        }
        let room = io.op == Op::ZoneReport && io.sg.bytes() as usize >= Zone::BYTES;
        if (u64::from(io.sg.bytes()) != io.op.payload(io.blocks, g.shift) && !room) || !g.has_right_metadata(io) {
            return Err(Status::Invalid);
        }
        match io.op {
            // A flush that nobody beneath does would promise what nobody keeps.
            Op::Flush if !g.ops.has(Op::Flush) && g.write_cache == WriteCache::Volatile => return Err(Status::Unsupported),
            Op::Flush | Op::Reset => return Ok(()),
            Op::ZoneReport if !room => return Err(Status::Invalid),
            op if op.manages_zones() && io.flags.has(Flags::ALL_ZONES) => return Ok(()),
            op if op.manages_zones() && g.zone != 0 && !io.lba.is_multiple_of(g.zone) => return Err(Status::Invalid),
            op if op.manages_zones() => return if io.lba < g.blocks { Ok(()) } else { Err(Status::OutOfRange) },
            Op::SeekData | Op::SeekHole | Op::ZoneReport => return if io.lba < g.blocks { Ok(()) } else { Err(Status::OutOfRange) },
            _ => {}
        }
        if io.blocks == 0 {
            return Err(Status::Invalid);
        }
        let fits = |lba: u64| lba.checked_add(u64::from(io.blocks)).is_some_and(|end| end <= g.blocks);
        if !fits(io.lba) || (io.op == Op::Copy && !fits(io.source)) {
            return Err(Status::OutOfRange);
        }
        if io.op == Op::Unmap && !g.ops.has(Op::Unmap) {
            return Err(Status::Unsupported);
        }
        self.check_zone(io)?;
        if io.op == Op::CompareAndWrite && io.blocks > g.compare_and_write_blocks() {
            return Err(Status::Invalid);
        }
        // Parts side by side would read what others of them wrote.
        if io.op == Op::Copy && g.ops.has(Op::Copy) && overlaps(io) && io.blocks > g.limit(Op::Copy) && !g.is_copied_by_hand(io) {
            return Err(Status::Unsupported);
        }
        let unit = u64::from(g.write_unit);
        if io.op.writes() && io.op != Op::Unmap && unit > 1 && (!io.lba.is_multiple_of(unit) || !u64::from(io.blocks).is_multiple_of(unit))
        {
            return Err(Status::Invalid);
        }
        let read = matches!(io.op, Op::Read | Op::Compare | Op::CompareAndWrite | Op::Copy | Op::Verify);
        let lacks = (read && !g.ops.has(Op::Read)) || (io.op.writes() && io.op != Op::Unmap && !g.ops.has(Op::Write));
        if lacks { Err(Status::Unsupported) } else { Ok(()) }
    }

    /// Where there are zones: is it written where it could be, by the device itself, and before anything of it is written?
    fn check_zone(&self, io: &Io) -> Result<(), Status> {
        let g = &self.geometry;
        if g.zone == 0 {
            return Ok(());
        }
        match io.op {
            Op::WriteZeroes | Op::Copy | Op::CompareAndWrite if !g.ops.has(io.op) => Err(Status::Unsupported),
            Op::ZoneAppend if io.blocks > g.append_blocks || !io.lba.is_multiple_of(g.zone) => Err(Status::Invalid),
            _ if g.leaves_zone(io) => Err(Status::ZoneInvalidWrite),
            _ => Ok(()),
        }
    }

    /// Must it wait for a hold to end or a limit to allow it? Wakes this queue when a limit will.
    pub(super) fn must_wait(&mut self, cx: &mut Cx, io: &Io) -> bool {
        if self.is_held(io) {
            return true;
        }
        let bytes = u64::from(io.blocks) << self.geometry.shift;
        match self.shared().limits.admit(io, bytes, cx.now().0) {
            Ok(()) => false,
            Err(at) => {
                cx.wake_at(self.token, doorbell_block::Ticks(at));
                true
            }
        }
    }

    /// Sends it down as it is, or takes it apart.
    pub(super) fn start(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        match self.whole(&io) {
            Whole::Yes => {
                io.push(cx.now().0);
                self.down(cx, io);
            }
            Whole::Done => self.done_here(cx, io),
            Whole::No => self.fan_out(cx, io),
        }
    }

    /// Something that this layer answers by itself.
    fn done_here(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        match io.op {
            Op::SeekData => io.result = io.lba, // all is data
            Op::SeekHole => io.result = u64::MAX,
            _ => {}
        }
        let stat = OpStat { ops: 1, latency_ns_min: 0, ..OpStat::default() };
        self.entry.stats.add_run(io.op, &stat);
        self.finish(cx, io, Status::Ok);
    }

    /// One box to the device.
    pub(super) fn down(&mut self, cx: &mut Cx, io: Box<Io>) {
        self.out += 1;
        self.dirty = true;
        self.watch.begin(cx, self.token, &io);
        self.base.submit(cx, io);
    }

    pub(super) fn whole(&self, io: &Io) -> Whole {
        let g = &self.geometry;
        let native = g.ops.has(io.op);
        let fua_ok = !io.flags.has(Flags::FUA) || g.fua || !io.op.writes();
        match io.op {
            Op::Flush if !native => Whole::Done, // nothing is cached: `check` lets no other device come here
            Op::SeekData | Op::SeekHole if !native => Whole::Done,
            Op::Flush | Op::SeekData | Op::SeekHole | Op::Reset | Op::ZoneReport => Whole::Yes,
            op if op.manages_zones() => Whole::Yes,
            Op::ZoneAppend if fua_ok && g.direct_bytes(io, 0, io.sg.bytes()) == Some(io.sg.bytes()) => Whole::Yes,
            Op::Read | Op::Write if g.fits_device(io) => Whole::Yes,
            Op::Unmap | Op::WriteZeroes | Op::Copy | Op::Verify | Op::WriteUncorrectable
                if native && fua_ok && io.blocks <= g.limit(io.op) && self.within_boundary(io) && !g.is_copied_by_hand(io) =>
            {
                Whole::Yes
            }
            Op::Compare | Op::CompareAndWrite
                if native
                    && fua_ok
                    && io.blocks <= g.max_blocks
                    && self.within_boundary(io)
                    && g.direct_bytes(io, 0, io.sg.bytes()) == Some(io.sg.bytes()) =>
            {
                Whole::Yes
            }
            _ => Whole::No,
        }
    }

    fn within_boundary(&self, io: &Io) -> bool {
        matches!(io.op, Op::Unmap | Op::WriteZeroes | Op::Copy) || u64::from(io.blocks) <= self.geometry.to_boundary(io.lba)
    }

    #[cold]
    pub(super) fn poll_slow(&mut self, cx: &mut Cx, done: &mut Done) {
        self.refresh();
        self.take_back(cx, done);
        self.turn_hold(cx);
        self.unpark(cx);
        self.advance_stalled(cx);
        if self.watch.is_on() {
            let overdue = self.watch.overdue(cx, self.token);
            overdue.into_iter().for_each(|id| self.base.abort(cx, Abort::One(id)));
        }
        if std::mem::take(&mut self.dirty) {
            self.base.kick(cx);
        }
        done.append(&mut self.finished);
        self.settle();
    }

    /// What came back from the device: children to their parents, the rest to its owner.
    fn take_back(&mut self, cx: &mut Cx, done: &mut Done) {
        let mut back = std::mem::take(&mut self.scratch);
        self.base.poll(cx, &mut back);
        self.out -= back.len() as u32;
        for mut io in back.drain(..) {
            self.watch.end(&mut io);
            if io.top() & CHILD != 0 {
                self.child_back(cx, io);
                continue;
            }
            if io.op == Op::Reset {
                self.reset_back(cx);
            }
            count(&self.entry, self.histogram.as_deref(), self.geometry.shift, cx.now().0, std::slice::from_mut(&mut io));
            done.push(io);
        }
        self.scratch = back;
    }

    /// Starts what was parked, in order, as far as holds and limits let it.
    fn unpark(&mut self, cx: &mut Cx) {
        while let Some(io) = self.parked.pop_front() {
            if self.must_wait(cx, &io) {
                self.parked.push_front(io);
                return;
            }
            // The device may have shrunk while it waited.
            match self.check(&io) {
                Ok(()) => self.start(cx, io),
                Err(status) => self.finish(cx, io, status),
            }
        }
    }

    pub(super) fn abort_slow(&mut self, cx: &mut Cx, which: Abort) {
        let named = |io: &Io| match which {
            Abort::One(id) => io.id() == id,
            Abort::All => true,
        };
        let mut n = 0;
        while let Some(io) = self.parked.get(n) {
            if named(io)
                && let Some(io) = self.parked.remove(n)
            {
                self.finish(cx, io, Status::Aborted);
            } else {
                n += 1;
            }
        }
        while let Some(io) = self.holding.withdraw(named) {
            self.finish(cx, io, Status::Aborted);
        }
        self.abort_parents(cx, which);
        self.base.abort(cx, which);
        self.settle();
    }

    /// May a flush be left out, because nothing is cached?
    pub(super) fn is_write_through(&self) -> bool {
        self.geometry.write_cache == WriteCache::WriteThrough
    }
}

#[derive(PartialEq, Eq)]
pub(super) enum Whole {
    /// The device does it as it is.
    Yes,
    /// There is nothing to do.
    Done,
    /// In parts.
    No,
}
