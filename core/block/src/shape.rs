//! What a device says of itself, where its queues can see it change, and the check of a request against it.
//!
//! Invariant: the size that queues check against and the `DeviceInfo` that openers see change together, by [`Shape::resize`] alone.

use crate::{DeviceInfo, Flags, Io, Op, OpSet, Status, Zone};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A device's `DeviceInfo`, which may be replaced while queues are open.
#[derive(Debug)]
pub struct Shape {
    info: Mutex<Arc<DeviceInfo>>,
    blocks: AtomicU64,
    ops: OpSet,
    /// Those of them that move their payload.
    moves: OpSet,
    shift: u8,
}

impl Shape {
    /// The shape of a new device. A read-only one has no operation that writes.
    pub fn new(mut info: DeviceInfo) -> Arc<Shape> {
        if info.read_only {
            info.ops = Op::ALL.iter().filter(|op| op.writes()).fold(info.ops, |ops, op| ops.without(*op));
        }
        let (blocks, ops, shift) = (AtomicU64::new(info.blocks), info.ops, info.block_shift);
        let moves = [Op::Read, Op::Write].into_iter().filter(|op| ops.has(*op)).fold(OpSet::default(), OpSet::with);
        Arc::new(Shape { info: Mutex::new(Arc::new(info)), blocks, ops, moves, shift })
    }

    /// The present snapshot. It locks: not for the path of a request.
    pub fn info(&self) -> Arc<DeviceInfo> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The device has `blocks` blocks from now on. Requests that were taken before are not looked at again.
    pub fn resize(&self, blocks: u64) {
        let mut info = self.info.lock().unwrap_or_else(PoisonError::into_inner);
        *info = Arc::new(DeviceInfo { blocks, ..(**info).clone() });
        self.blocks.store(blocks, Ordering::Release);
    }

    /// Bytes of a block, as a power of two.
    #[inline]
    pub fn shift(&self) -> u8 {
        self.shift
    }

    /// Blocks at present.
    #[inline]
    pub fn blocks(&self) -> u64 {
        self.blocks.load(Ordering::Relaxed)
    }

    /// Is it a read or write that can be done here? What nearly every request is, in as few steps as can be.
    #[inline]
    pub fn is_plain(&self, io: &Io) -> bool {
        self.moves.has(io.op)
            && io.end().is_some_and(|end| end <= self.blocks())
            && u64::from(io.blocks) << self.shift == u64::from(io.sg.bytes())
    }

    /// `Ok`, or why this request cannot be done here.
    #[inline]
    pub fn check(&self, io: &Io) -> Status {
        if self.is_plain(io) { Status::Ok } else { self.check_any(io) }
    }

    #[cold]
    fn check_any(&self, io: &Io) -> Status {
        if !self.ops.has(io.op) {
            return self.refusal(io.op);
        }
        let blocks = self.blocks();
        let inside = |first: u64| first.checked_add(u64::from(io.blocks)).is_some_and(|end| end <= blocks);
        let fits = match io.op {
            Op::Flush | Op::Reset => true,
            Op::SeekData | Op::SeekHole | Op::ZoneReport => io.lba < blocks,
            op if op.manages_zones() => io.flags.has(Flags::ALL_ZONES) || io.lba < blocks,
            Op::Copy => inside(io.lba) && inside(io.source),
            _ => inside(io.lba),
        };
        if !fits {
            return Status::OutOfRange;
        }
        match io.op {
            Op::ZoneReport if io.sg.bytes() as usize >= Zone::BYTES => Status::Ok,
            op if op.payload(io.blocks, self.shift) == u64::from(io.sg.bytes()) => Status::Ok,
            _ => Status::Invalid,
        }
    }

    #[cold]
    fn refusal(&self, op: Op) -> Status {
        match op.writes() && self.info().read_only {
            true => Status::ReadOnly,
            false => Status::Unsupported,
        }
    }
}

#[cfg(test)]
mod tests;
