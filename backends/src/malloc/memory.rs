//! The memory behind a malloc device, as one reactor sees it: pieces of requests carried out by copies between segments.
//!
//! Another reactor may write the same bytes meanwhile, so they are foreign: copied, never borrowed.

use doorbell_block::{Io, Op, Status};
use doorbell_mem::{Foreign, SgList};
use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};

/// How many bytes are punched in the time in which one is filled, roughly, when they were in use.
pub(super) const PUNCH_WEIGHT: u64 = 8;
/// From here on, giving pages back costs less than filling them with zeroes.
const PUNCH_FROM_BYTES: u64 = 64 << 10;
/// Holes looked at before a search gives up and calls the rest data.
const HOLES_TRIED: u32 = 64;

/// Are `left` bytes of this operation given back to the system rather than filled?
pub(super) fn is_punched(op: Op, left: u64) -> bool {
    matches!(op, Op::Unmap | Op::WriteZeroes) && left >= PUNCH_FROM_BYTES
}

pub(super) struct Memory {
    foreign: Foreign,
    /// The piece at hand, and where it is copied from.
    to: SgList,
    from: SgList,
}

impl Memory {
    pub(super) fn new(foreign: Foreign) -> Memory {
        Memory { foreign, to: SgList::with_capacity(4), from: SgList::with_capacity(4) }
    }

    /// Carries out `len` bytes of a request whose first `done` blocks are done. The range was checked.
    pub(super) fn piece(&mut self, io: &Io, done: u32, len: u32, shift: u8) -> Status {
        if io.op == Op::Copy {
            return self.copy(io, done, len, shift);
        }
        let offset = (io.lba + u64::from(done)) << shift;
        if is_punched(io.op, u64::from(len)) {
            return self.punch(offset, len);
        }
        if !window(&self.foreign, offset, len, &mut self.to) {
            return Status::Internal;
        }
        // Payloads are below 4 GiB, and this lies within one.
        let at = done.wrapping_shl(u32::from(shift));
        match io.op {
            Op::Read => io.sg.copy_from(at, &self.to, 0, len),
            Op::Write => self.to.copy_from(0, &io.sg, at, len),
            Op::Compare => {
                if io.sg.first_difference(at, &self.to, 0, len).is_some() {
                    return Status::Miscompare;
                }
            }
            _ => self.to.fill(0, len, 0),
        }
        Status::Ok
    }

    /// Ranges may overlap: upwards it goes from the end, so that nothing is read after it was written.
    fn copy(&mut self, io: &Io, done: u32, len: u32, shift: u8) -> Status {
        let first = if io.lba > io.source { io.blocks - done - (len >> shift) } else { done };
        let (to, from) = ((io.lba + u64::from(first)) << shift, (io.source + u64::from(first)) << shift);
        if !window(&self.foreign, to, len, &mut self.to) || !window(&self.foreign, from, len, &mut self.from) {
            return Status::Internal;
        }
        match (self.to.segs(), self.from.segs()) {
            ([to], [from]) => to.copy_from(0, from, 0, len),
            // Across the edge of a span the order within the piece matters too.
            _ if to > from => (0..len >> shift).rev().for_each(|n| self.to.copy_from(n << shift, &self.from, n << shift, 1 << shift)),
            _ => (0..len >> shift).for_each(|n| self.to.copy_from(n << shift, &self.from, n << shift, 1 << shift)),
        }
        Status::Ok
    }

    /// Gives whole pages back to the system, and fills what is left at both ends.
    fn punch(&mut self, offset: u64, len: u32) -> Status {
        let region = self.foreign.region();
        let (page, end) = (region.page_size() as u64, offset + u64::from(len));
        let (first, last) = (offset.next_multiple_of(page), end - end % page);
        let punched = region.memfd().is_some_and(|fd| {
            let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            first < last && fallocate(fd, how, first, last - first).is_ok()
        });
        if !punched {
            return self.fill(offset, end);
        }
        match (self.fill(offset, first), self.fill(last, end)) {
            (Status::Ok, Status::Ok) => Status::Ok,
            _ => Status::Internal,
        }
    }

    fn fill(&mut self, from: u64, to: u64) -> Status {
        let len = (to - from) as u32;
        if !window(&self.foreign, from, len, &mut self.to) {
            return Status::Internal;
        }
        self.to.fill(0, len, 0);
        Status::Ok
    }

    /// The first block at or after `lba` that may hold data; `u64::MAX` when there is none.
    pub(super) fn next_data(&self, lba: u64, shift: u8) -> u64 {
        match self.region_seek(SeekFrom::Data(lba << shift)) {
            Some(Ok(at)) => (at >> shift).max(lba),
            Some(Err(rustix::io::Errno::NXIO)) => u64::MAX,
            _ => lba,
        }
    }

    /// The first block at or after `lba` of which no byte was ever written; `u64::MAX` when there is none, or none was found in time.
    pub(super) fn next_hole(&self, lba: u64, shift: u8) -> u64 {
        let mut lba = lba;
        let len = self.foreign.region().len() as u64;
        for _ in 0..HOLES_TRIED {
            let Some(Ok(hole)) = self.region_seek(SeekFrom::Hole(lba << shift)) else { return u64::MAX };
            if hole >= len {
                return u64::MAX;
            }
            let block = hole.div_ceil(1 << shift).max(lba);
            let data = self.next_data(block, shift);
            if data > block {
                return block;
            }
            lba = block + 1;
        }
        u64::MAX
    }

    fn region_seek(&self, to: SeekFrom) -> Option<rustix::io::Result<u64>> {
        self.foreign.region().memfd().map(|fd| seek(fd, to))
    }
}

/// Makes `into` the bytes `[offset, offset + len)`. False when they lie outside.
fn window(foreign: &Foreign, mut offset: u64, mut len: u32, into: &mut SgList) -> bool {
    into.clear();
    while len > 0 {
        let Some(seg) = foreign.run(offset, len).filter(|seg| !seg.is_empty()) else { return false };
        offset += u64::from(seg.len());
        len -= seg.len();
        into.push(seg);
    }
    true
}
