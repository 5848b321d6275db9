//! Memory of another process or a device: mapped, cut into segments, never lent as a slice.

use crate::pool::Block;
use crate::{MemError, Reach, Region, Regions, Seg};
use rustix::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

/// A mapping that another party writes too. One per thread; the mapping itself is shared.
#[derive(Clone)]
pub struct Foreign {
    region: Arc<Region>,
    /// One block per 2 GiB, since a segment's offset is 32 bits wide.
    blocks: Rc<[Rc<Block>]>,
}

const SPAN: u64 = 1 << 31;

impl Foreign {
    /// Maps `len` bytes of `fd` from `offset` and shows them to devices.
    pub fn map(regions: &Regions, fd: OwnedFd, offset: u64, len: usize) -> Result<Foreign, MemError> {
        Self::map_as(regions, fd, offset, len, Reach::ReadWrite)
    }

    /// The same, of memory that may only be read: its owner's descriptor may not even allow more.
    pub fn map_as(regions: &Regions, fd: OwnedFd, offset: u64, len: usize, may: Reach) -> Result<Foreign, MemError> {
        Ok(Self::of(regions.adopt(Region::map_foreign(fd, offset, len, may)?)?))
    }

    /// Has its owner taken away what lies beneath it? What was read from there is zeroes that nobody wrote.
    #[inline]
    pub fn is_broken(&self) -> bool {
        self.region.is_broken()
    }

    /// Memory of our own that is treated as another's: what tests and device models stand in for guests with.
    pub fn scratch(regions: &Regions, len: usize) -> Result<Foreign, MemError> {
        Ok(Self::of(regions.map(len, crate::Backing::Ordinary, None)?))
    }

    /// The same mapping for another thread.
    ///
    /// # Panics
    /// If it is a pool's memory, which the pool lends as slices.
    pub fn of(region: Arc<Region>) -> Foreign {
        assert!(!region.is_pooled(), "a pool's memory is not another's");
        let len = region.len() as u64;
        let spans = (0..len.div_ceil(SPAN)).filter_map(|n| {
            let size = SPAN.min(len - n * SPAN);
            let base = region.at((n * SPAN) as usize, size as usize)?;
            Some(Block::foreign(region.clone(), base, size as u32))
        });
        Foreign { blocks: spans.collect(), region }
    }

    /// The mapping, to make a `Foreign` of it on another thread.
    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// A segment of it; `None` when the range lies outside or crosses a 2 GiB span.
    #[inline]
    pub fn seg(&self, offset: u64, len: u32) -> Option<Seg> {
        let block = self.blocks.get((offset / SPAN) as usize)?;
        Seg::part(block, (offset % SPAN) as u32, len)
    }

    /// As much of `[offset, offset + len)` as one segment can be; `None` when it begins outside. For ranges that may cross a 2 GiB span.
    #[inline]
    pub fn run(&self, offset: u64, len: u32) -> Option<Seg> {
        let block = self.blocks.get((offset / SPAN) as usize)?;
        let within = (offset % SPAN) as u32;
        let len = len.min(block.len.checked_sub(within)?);
        Seg::part(block, within, len)
    }
}
