//! The malloc device: blocks in memory, shared by all reactors, resident only where written.
//!
//! Its contents end with the process, so a completed write is as durable as anything on it: there is no cache to flush. Requests of one
//! queue run in order, in pieces, so that a large one does not hold up the turn. Nothing keeps requests of two reactors that overlap apart;
//! compare-and-write is the block layer's.

use crate::host::{Brings, Fresh, Host};
use crate::units;
use doorbell_block::{
    Abort, BlockDevice, BlockQueue, Cx, DeviceInfo, Done, Io, Op, OpSet, OpenError, ReadAfterUnmap, Shape, Status, Token,
};
use doorbell_control::{RpcError, Uuid, When, params};
use doorbell_mem::{Backing, Foreign, MemError, Region, Regions};
use memory::Memory;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

mod memory;
#[cfg(test)]
mod tests;

/// What a malloc device looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MallocOptions {
    /// Bytes of a block, as a power of two.
    pub block_shift: u8,
    /// How many blocks.
    pub blocks: u64,
    /// Bytes of a block on the medium that it pretends to have; at least a block.
    pub physical_block_bytes: u32,
    /// Requests are split at multiples of this many blocks; zero for never.
    pub boundary_blocks: u32,
    /// The NUMA node that its memory should lie on.
    pub numa_node: Option<u32>,
}

impl MallocOptions {
    /// Blocks of `1 << block_shift` bytes, anywhere.
    pub fn new(block_shift: u8, blocks: u64) -> MallocOptions {
        MallocOptions { block_shift, blocks, physical_block_bytes: 1 << block_shift, boundary_blocks: 0, numa_node: None }
    }
}

/// A malloc device.
pub struct Malloc {
    shape: Arc<Shape>,
    region: Arc<Region>,
    regions: Regions,
}

const OPS: OpSet =
    OpSet::of(&[Op::Read, Op::Write, Op::WriteZeroes, Op::Unmap, Op::Flush, Op::Reset, Op::Compare, Op::Copy, Op::SeekData, Op::SeekHole]);

impl Malloc {
    /// A new one, of zeroes.
    pub fn new(regions: &Regions, options: &MallocOptions) -> Result<Malloc, MemError> {
        let mut info = DeviceInfo::plain(options.block_shift, options.blocks);
        // What does not fit in an address space is refused by the mapping itself.
        let bytes = usize::try_from(info.bytes()).unwrap_or(usize::MAX);
        let region = regions.map(bytes, Backing::Ordinary, options.numa_node)?;
        (info.ops, info.fua, info.read_after_unmap) = (OPS, true, ReadAfterUnmap::Zeroes);
        info.physical_block_bytes = options.physical_block_bytes.max(info.block_size());
        info.limits.boundary_blocks = options.boundary_blocks;
        info.preferred.unmap_granularity = (region.page_size() as u32 >> options.block_shift).max(1);
        Ok(Malloc { shape: Shape::new(info), region, regions: regions.clone() })
    }
}

impl Drop for Malloc {
    fn drop(&mut self) {
        self.regions.retire(&self.region);
    }
}

impl BlockDevice for Malloc {
    fn info(&self) -> Arc<DeviceInfo> {
        self.shape.info()
    }

    fn open(&self, _cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        let depth = depth as usize;
        Ok(Box::new(Queue {
            who,
            shape: self.shape.clone(),
            memory: Memory::new(Foreign::of(self.region.clone())),
            waiting: VecDeque::with_capacity(depth),
            into_first: 0,
            finished: Vec::with_capacity(depth),
        }))
    }
}

/// Bytes that one poll moves before it lets others run.
const BUDGET_BYTES: u64 = 1 << 20;

struct Queue {
    who: Token,
    shape: Arc<Shape>,
    memory: Memory,
    waiting: VecDeque<Box<Io>>,
    /// Blocks of the first one waiting that are done.
    into_first: u32,
    /// Refused or aborted.
    finished: Done,
}

impl BlockQueue for Queue {
    #[inline]
    fn submit(&mut self, _cx: &mut Cx, mut io: Box<Io>) {
        io.status = self.shape.check(&io);
        match io.status {
            Status::Ok => self.waiting.push_back(io),
            _ => self.finished.push(io),
        }
    }

    #[inline]
    fn kick(&mut self, cx: &mut Cx) {
        if !self.waiting.is_empty() || !self.finished.is_empty() {
            cx.wake(self.who);
        }
    }

    fn poll(&mut self, cx: &mut Cx, done: &mut Done) {
        done.append(&mut self.finished);
        let mut budget = BUDGET_BYTES;
        while let Some(mut io) = self.waiting.pop_front() {
            if self.advance(&mut io, &mut budget) {
                self.into_first = 0;
                done.push(io);
            } else {
                self.waiting.push_front(io);
                cx.wake(self.who);
                break;
            }
        }
    }

    fn abort(&mut self, cx: &mut Cx, which: Abort) {
        for nth in 0..self.waiting.len() {
            let Some(mut io) = self.waiting.pop_front() else { break };
            if which == Abort::All || which == Abort::One(io.id()) {
                io.status = Status::Aborted;
                self.finished.push(io);
                if nth == 0 {
                    self.into_first = 0;
                }
            } else {
                self.waiting.push_back(io);
            }
        }
        self.kick(cx);
    }
}

impl Queue {
    /// Does as much of a request as the budget allows. True when it has ended.
    #[inline]
    fn advance(&mut self, io: &mut Io, budget: &mut u64) -> bool {
        let shift = self.shape.shift();
        match io.op {
            Op::Flush | Op::Reset => return true,
            Op::SeekData => io.result = self.memory.next_data(io.lba, shift),
            Op::SeekHole => io.result = self.memory.next_hole(io.lba, shift),
            _ => return self.advance_range(io, budget, shift),
        }
        true
    }

    fn advance_range(&mut self, io: &mut Io, budget: &mut u64, shift: u8) -> bool {
        while self.into_first < io.blocks {
            if *budget == 0 {
                return false;
            }
            let left = u64::from(io.blocks - self.into_first) << shift;
            let weight = if memory::is_punched(io.op, left) { memory::PUNCH_WEIGHT } else { 1 };
            let some = (*budget * weight) >> shift << shift;
            let len = left.min(some.max(1 << shift)) as u32;
            io.status = self.memory.piece(io, self.into_first, len, shift);
            if !io.status.is_ok() {
                return true;
            }
            *budget = budget.saturating_sub((u64::from(len) / weight).max(1));
            self.into_first += len >> shift;
        }
        true
    }
}

const MODULE: &str = "malloc";

params! {
    /// Makes a malloc device.
    struct Create {
        /// Name of the device; MallocN, counted up, when not given.
        name: Option<String>,
        /// Bytes of a block: a power of two, 512 or more.
        block_size: u32,
        /// Number of blocks.
        num_blocks: u64,
        /// UUID of the device; made at random when not given.
        uuid: Option<Uuid>,
        /// Blocks at whose multiples requests are split; 0 for never.
        optimal_io_boundary: u32 = 0,
        /// Bytes of metadata with each block; only 0 is supported.
        md_size: u32 = 0,
        /// Whether metadata lies in the block; means nothing without it.
        md_interleave: Option<bool>,
        /// Type of protection information; only 0 (none) is supported.
        dif_type: i32 = 0,
        /// Whether protection information comes first in the metadata; means nothing without it.
        dif_is_head_of_md: bool = false,
        /// Bytes of a block on the medium; those of a block when not given.
        physical_block_size: Option<u32>,
        /// Format of protection information; means nothing without it.
        dif_pi_format: u32 = 0,
        /// NUMA node on which its memory should lie; -1 for any.
        numa_id: i32 = -1,
    }
}

/// The methods of this back end.
pub(crate) fn bring(host: &Host, brings: &mut Brings<'_>) {
    let (h, count) = (host.clone(), Rc::new(Cell::new(0)));
    let create = move |params: Create| {
        let answer = create(&h, &count, params);
        async move { answer }
    };
    brings.methods.add("bdev_malloc_create", When::Runtime, "Makes a block device in memory. Its contents end with it.", create);
    brings.delete(host, MODULE, "bdev_malloc_delete", "Deletes a malloc device and what it holds.");
}

fn create(host: &Host, count: &Cell<u32>, mut params: Create) -> Result<String, RpcError> {
    units::no_metadata(params.md_size, params.dif_type)?;
    let block_shift = units::shift(params.block_size)?;
    let physical_block_bytes = units::physical(params.physical_block_size, params.block_size)?;
    let numa_node = match params.numa_id {
        -1 => None,
        node => Some(u32::try_from(node).map_err(|_| RpcError::invalid_argument().because("numa_id is a node, or -1 for any"))?),
    };
    let options = MallocOptions {
        block_shift,
        blocks: units::blocks(params.num_blocks, block_shift)?,
        physical_block_bytes,
        boundary_blocks: params.optimal_io_boundary,
        numa_node,
    };
    let name = params.name.take().unwrap_or_else(|| next_name(host, count));
    host.check_free(&name)?;
    let device = Malloc::new(&host.regions, &options).map_err(|error| RpcError::no_memory().because(error))?;
    let uuid = host.uuid(params.uuid);
    (params.name, params.uuid, params.physical_block_size) = (Some(name.clone()), Some(uuid), Some(physical_block_bytes));
    params.md_interleave = None;
    let fresh = Fresh {
        name: &name,
        uuid,
        product: "Malloc disk",
        module: MODULE,
        driver_specific: serde_json::json!({}),
        method: "bdev_malloc_create",
    };
    host.register(fresh, Arc::new(device), &params)?;
    Ok(name)
}

/// The next of Malloc0, Malloc1, ... that is free.
fn next_name(host: &Host, count: &Cell<u32>) -> String {
    loop {
        let name = format!("Malloc{}", count.replace(count.get().wrapping_add(1)));
        if host.registry.find(&name).is_none() {
            return name;
        }
    }
}
