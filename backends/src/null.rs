//! The null device: completes everything in the next poll and keeps nothing.
//!
//! Reads leave the buffer as it was, as SPDK's do, so it has no compare: there is nothing to compare with. What it measures is the path to it.

use crate::host::{Brings, Fresh, Host, Known};
use crate::units;
use doorbell_block::{
    BlockDevice, BlockQueue, Cx, DeviceInfo, Done, Io, Op, OpSet, OpenError, Preferred, Shape, Status, Token, WriteCache,
};
use doorbell_control::{RpcError, Uuid, When, params};
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

impl Queue {
    #[cold]
    fn submit_other(&mut self, mut io: Box<Io>) {
        io.status = self.shape.check(&io);
        self.taken.push(io);
    }
}

impl BlockQueue for Queue {
    #[inline]
    fn submit(&mut self, _cx: &mut Cx, mut io: Box<Io>) {
        if self.shape.is_plain(&io) && self.taken.len() < self.taken.capacity() {
            io.status = Status::Ok;
            self.taken.push(io);
        } else {
            self.submit_other(io);
        }
    }

    #[inline]
    fn kick(&mut self, cx: &mut Cx) {
        if !self.taken.is_empty() {
            cx.wake(self.who);
        }
    }

    #[inline]
    fn poll(&mut self, _cx: &mut Cx, done: &mut Done) {
        if done.is_empty() && done.capacity() >= self.taken.capacity() {
            std::mem::swap(done, &mut self.taken);
        } else {
            done.append(&mut self.taken);
        }
    }
}

const MODULE: &str = "null";

params! {
    /// Makes a null device.
    struct Create {
        /// Name of the device.
        name: String,
        /// Bytes of a block: a power of two, 512 or more.
        block_size: u32,
        /// Number of blocks.
        num_blocks: u64,
        /// UUID of the device; made at random when not given.
        uuid: Option<Uuid>,
        /// Bytes of a block on the medium; those of a block when not given.
        physical_block_size: Option<u32>,
        /// Bytes of metadata with each block; only 0 is supported.
        md_size: u32 = 0,
        /// Type of protection information; only 0 (none) is supported.
        dif_type: i32 = 0,
        /// Format of protection information; means nothing without it.
        dif_pi_format: u32 = 0,
        /// Whether protection information comes first in the metadata; means nothing without it.
        dif_is_head_of_md: bool = false,
        /// Blocks of which writes are best multiples.
        preferred_write_granularity: u32 = 0,
        /// Blocks at whose multiples writes best begin.
        preferred_write_alignment: u32 = 0,
        /// Blocks of the best write.
        optimal_write_size: u32 = 0,
        /// Blocks of which unmaps are best multiples.
        preferred_unmap_granularity: u32 = 0,
        /// Blocks at whose multiples unmaps best begin.
        preferred_unmap_alignment: u32 = 0,
    }

    /// Gives a null device another size.
    struct Resize {
        /// Name of the device.
        name: String,
        /// The new size in MiB, not less than it has.
        new_size: u64,
    }
}

/// The methods of this back end.
pub(crate) fn bring(host: &Host, brings: &mut Brings<'_>) {
    let known = Known::new();
    let (h, k) = (host.clone(), known.clone());
    let create = move |params: Create| {
        let answer = create(&h, &k, params);
        async move { answer }
    };
    brings.methods.add(
        "bdev_null_create",
        When::Runtime,
        "Makes a block device that keeps nothing: writes are dropped, reads leave the buffer as it is.",
        create,
    );
    brings.delete(host, MODULE, "bdev_null_delete", "Deletes a null device.");
    let h = host.clone();
    let resize = move |params: Resize| {
        let (h, k) = (h.clone(), known.clone());
        async move { resize(&h, &k, &params).await }
    };
    brings.methods.add("bdev_null_resize", When::Runtime, "Makes a null device larger.", resize);
}

fn create(host: &Host, known: &Known<Null>, mut params: Create) -> Result<String, RpcError> {
    units::no_metadata(params.md_size, params.dif_type)?;
    let block_shift = units::shift(params.block_size)?;
    let physical_block_bytes = units::physical(params.physical_block_size, params.block_size)?;
    let options = NullOptions {
        block_shift,
        blocks: units::blocks(params.num_blocks, block_shift)?,
        physical_block_bytes,
        preferred: Preferred {
            write_granularity: params.preferred_write_granularity,
            write_alignment: params.preferred_write_alignment,
            write_size: params.optimal_write_size,
            unmap_granularity: params.preferred_unmap_granularity,
            unmap_alignment: params.preferred_unmap_alignment,
            boundary: 0,
        },
    };
    let uuid = host.uuid(params.uuid);
    (params.uuid, params.physical_block_size) = (Some(uuid), Some(physical_block_bytes));
    let device = Arc::new(Null::new(&options));
    let fresh = Fresh {
        name: &params.name,
        uuid,
        product: "Null disk",
        module: MODULE,
        driver_specific: serde_json::json!({}),
        method: "bdev_null_create",
    };
    host.register(fresh, device.clone(), &params)?;
    known.add(&params.name, &device);
    Ok(params.name)
}

async fn resize(host: &Host, known: &Known<Null>, params: &Resize) -> Result<bool, RpcError> {
    let bdev = host.own(&params.name, MODULE)?;
    let device = known.get(bdev.name()).ok_or_else(RpcError::no_device)?;
    let info = device.info();
    let bytes = params.new_size.checked_mul(1 << 20).filter(|bytes| *bytes <= i64::MAX as u64);
    let bytes = bytes.ok_or_else(|| RpcError::invalid_argument().because("new_size is more than 2^63 bytes"))?;
    if bytes < info.bytes() {
        return Err(RpcError::invalid_argument().because(format!("it has {} bytes, and cannot be made smaller", info.bytes())));
    }
    device.resize(bytes >> info.block_shift);
    host.resized(bdev.name()).await;
    Ok(true)
}
