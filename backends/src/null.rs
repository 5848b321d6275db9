//! The null device: completes everything in the next poll and keeps nothing.
//!
//! Reads leave the buffer as it was, as SPDK's do, so it has no compare: there is nothing to compare with. What it measures is the path to it.

use crate::shape::Shape;
use doorbell_block::{BlockDevice, BlockQueue, Cx, DeviceInfo, Done, Io, Op, OpSet, OpenError, Preferred, Token, WriteCache};
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// What a null device looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NullOptions {
    /// Bytes of a block, as a power of two.
    pub block_shift: u8,
    /// How many blocks.
    pub blocks: u64,
    /// Bytes of a block on the medium that it pretends to have; at least a block.
    pub physical_block_bytes: u32,
    /// What it says that it likes.
    pub preferred: Preferred,
}

impl NullOptions {
    /// Blocks of `1 << block_shift` bytes, with no preferences.
    pub fn new(block_shift: u8, blocks: u64) -> NullOptions {
        NullOptions { block_shift, blocks, physical_block_bytes: 1 << block_shift, preferred: Preferred::default() }
    }
}

/// A null device.
#[derive(Debug)]
pub struct Null {
    shape: Arc<Shape>,
}

const OPS: OpSet = OpSet::of(&[Op::Read, Op::Write, Op::WriteZeroes, Op::Unmap, Op::Flush, Op::Reset, Op::Copy]);

impl Null {
    /// A new one.
    pub fn new(options: &NullOptions) -> Null {
        let plain = DeviceInfo::plain(options.block_shift, options.blocks);
        let physical_block_bytes = options.physical_block_bytes.max(plain.block_size());
        // Nothing is kept, so nothing is lost when the power goes.
        let (fua, write_cache) = (true, WriteCache::WriteThrough);
        Null { shape: Shape::new(DeviceInfo { ops: OPS, fua, write_cache, physical_block_bytes, preferred: options.preferred, ..plain }) }
    }

    /// It has `blocks` blocks from now on.
    pub fn resize(&self, blocks: u64) {
        self.shape.resize(blocks);
    }
}

impl BlockDevice for Null {
    fn info(&self) -> Arc<DeviceInfo> {
        self.shape.info()
    }

    fn open(&self, _cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        let taken = Vec::with_capacity(depth as usize);
        Ok(Box::new(Queue { who, taken, shape: self.shape.clone() }))
    }
}

struct Queue {
    who: Token,
    taken: Done,
    shape: Arc<Shape>,
}

impl BlockQueue for Queue {
    #[inline]
    fn submit(&mut self, _cx: &mut Cx, mut io: Box<Io>) {
        io.status = self.shape.check(&io);
        self.taken.push(io);
    }

    #[inline]
    fn kick(&mut self, cx: &mut Cx) {
        if !self.taken.is_empty() {
            cx.wake(self.who);
        }
    }

    #[inline]
    fn poll(&mut self, _cx: &mut Cx, done: &mut Done) {
        done.append(&mut self.taken);
    }
}
