//! Devices, their queues, and what a device says of itself.

use crate::{Cx, FRAMES, Io, IoId, Metadata, Op, OpSet, Token, Zones};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Finished requests.
pub type Done = Vec<Box<Io>>;

/// Names a device among all of a process: what a reactor's one hardware queue pair of it is filed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(u64);

impl DeviceId {
    /// One that no other device has.
    #[allow(clippy::new_without_default)] // a default would hide that each is unique
    pub fn new() -> DeviceId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        DeviceId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Which requests to ask back early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// One box.
    One(IoId),
    /// All of this queue.
    All,
}

/// A queue of a device, owned by one reactor.
///
/// The contract: `submit` always takes, and neither completes, blocks, re-enters nor allocates. A box comes back from `poll` exactly once,
/// also when it is wrong or cannot start yet. Whatever `poll` submits below, `poll` kicks. Whoever owns what is scarce parks.
pub trait BlockQueue {
    /// Takes a request.
    fn submit(&mut self, cx: &mut Cx, io: Box<Io>);

    /// One doorbell, system call or message for everything submitted since the last.
    fn kick(&mut self, cx: &mut Cx);

    /// Appends finished requests. May submit below (children, parked work), and kicks what it submitted.
    fn poll(&mut self, cx: &mut Cx, done: &mut Done);

    /// Asks for an early return. Best effort: what is asked back still comes from `poll`.
    fn abort(&mut self, _cx: &mut Cx, _which: Abort) {}
}

/// Why a device gave no queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The device has gone.
    #[error("the device has gone")]
    Gone,
    /// More layers than a request has room for.
    #[error("the stack of layers needs {needed} words on a request, and there are {FRAMES}: take a layer out")]
    TooDeep {
        /// Words needed.
        needed: u8,
    },
    /// This reactor lacks what the queue needs (descriptors, memory, kernel rings).
    #[error("{0}")]
    Resources(String),
}

/// What a write to it means when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteCache {
    /// A completed write is durable.
    WriteThrough,
    /// A completed write is durable after the next flush, or at once with FUA.
    Volatile,
}

/// What unmapped blocks read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAfterUnmap {
    /// Anything.
    Undefined,
    /// Zeroes.
    Zeroes,
}

/// What one request may be. Zero means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Limits {
    /// No request crosses a multiple of this many blocks.
    pub boundary_blocks: u32,
    /// Blocks of one read, write or compare.
    pub transfer_blocks: u32,
    /// Segments of one payload.
    pub segments: u16,
    /// Bytes of one segment.
    pub segment_bytes: u32,
    /// Writes begin and end at multiples of this many blocks.
    pub write_unit_blocks: u32,
    /// Blocks of one unmap.
    pub unmap_blocks: u32,
    /// Blocks of one write zeroes.
    pub write_zeroes_blocks: u32,
    /// Blocks of one copy.
    pub copy_blocks: u32,
    /// Blocks of one compare-and-write.
    pub compare_and_write_blocks: u32,
    /// Blocks of one verify.
    pub verify_blocks: u32,
    /// Blocks of one write uncorrectable.
    pub uncorrectable_blocks: u32,
    /// Address and length of every segment are multiples of this many bytes.
    pub align_bytes: u32,
}

/// What it likes, in blocks; zero for no preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Preferred {
    /// Writes that are multiples of this are not read-modify-written.
    pub write_granularity: u32,
    /// Where such writes best begin.
    pub write_alignment: u32,
    /// The size of write it does best.
    pub write_size: u32,
    /// Unmaps of this size free something.
    pub unmap_granularity: u32,
    /// Where such unmaps best begin.
    pub unmap_alignment: u32,
    /// Requests that cross a multiple of this are split on the way.
    pub boundary: u32,
}

/// How many blocks are written all or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtomicUnits {
    /// As other requests see it.
    pub normal_blocks: u32,
    /// Across a power cut.
    pub power_fail_blocks: u32,
}

/// What a device says of itself: a snapshot. A change makes a new one and tells openers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Bytes of a block: `1 << block_shift`.
    pub block_shift: u8,
    /// Blocks in all.
    pub blocks: u64,
    /// Bytes of a block on the medium, at least `block_size`.
    pub physical_block_bytes: u32,
    /// What it does itself; the block layer emulates what it can of the rest.
    pub ops: OpSet,
    /// Does it honour FUA on writes itself?
    pub fua: bool,
    /// Write cache.
    pub write_cache: WriteCache,
    /// Does it refuse writes?
    pub read_only: bool,
    /// What unmapped blocks read as.
    pub read_after_unmap: ReadAfterUnmap,
    /// Limits of one request.
    pub limits: Limits,
    /// Preferences.
    pub preferred: Preferred,
    /// Atomic writes.
    pub atomic: AtomicUnits,
    /// Does it rotate?
    pub rotational: bool,
    /// Its zones; `None` for one whose blocks are written in any order.
    pub zones: Option<Zones>,
    /// Metadata of each block; `None` for none that a request could carry.
    pub metadata: Option<Metadata>,
    /// Words that the stack from here down keeps on a request.
    pub frames: u8,
}

impl DeviceInfo {
    /// A plain device: reads and writes `blocks` of `1 << block_shift` bytes, write-through, no limits.
    pub fn plain(block_shift: u8, blocks: u64) -> DeviceInfo {
        DeviceInfo {
            block_shift,
            blocks,
            physical_block_bytes: 1 << block_shift,
            ops: OpSet::of(&[Op::Read, Op::Write]),
            fua: false,
            write_cache: WriteCache::WriteThrough,
            read_only: false,
            read_after_unmap: ReadAfterUnmap::Undefined,
            limits: Limits::default(),
            preferred: Preferred::default(),
            atomic: AtomicUnits { normal_blocks: 1, power_fail_blocks: 1 },
            rotational: false,
            zones: None,
            metadata: None,
            frames: 0,
        }
    }

    /// Bytes of a block.
    #[inline]
    pub const fn block_size(&self) -> u32 {
        1 << self.block_shift
    }

    /// Bytes in all, as far as 64 bits go.
    pub const fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(1 << self.block_shift)
    }
}

/// Anything that opens queues.
pub trait BlockDevice: Send + Sync {
    /// Geometry, limits, write cache, words needed by the stack beneath.
    fn info(&self) -> Arc<DeviceInfo>;

    /// Opens a queue on this reactor. Usable at once: requests are held while the queue connects. `who` is woken when `poll` has something;
    /// `depth` is what the caller will keep outstanding.
    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError>;
}
