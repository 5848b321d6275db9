//! A blob as a block device that is read: a layer that only translates, and fills in zeroes where there is nothing.
//!
//! A read stays within a cluster (`limits.boundary_blocks` says so; the block layer splits what does not). It goes where the first of the blob and
//! its parents has a cluster of its own, which all lie on one device; else to the parent outside of the store; else it is zeroes. No table is kept:
//! the one word of a request is the address that it was asked for, but for reads that reach past the end of an outside parent, which are few.
//!
//! Invariant: it holds the maps that it was made with, which nothing changes while the store is opened for reading.

use crate::Error;
use crate::blob::Shared;
use doorbell_block::{
    Abort, BlockDevice, BlockQueue, Cx, DeviceInfo, Done, FRAMES, Io, Limits, Op, OpSet, OpenError, ReadAfterUnmap, Shape, Status, Token,
};
use doorbell_mem::SgList;
use doorbell_wire_blob::{Cluster, Geometry};
use std::sync::Arc;

/// In a request's word: it went to the parent outside of the store.
const OUTSIDE: u64 = 1 << 63;
/// In a request's word: a part of it did, and the rest is in the table.
const CUT: u64 = 1 << 62;

/// A blob, to be read.
pub struct Volume {
    base: Arc<dyn BlockDevice>,
    shape: Arc<Shape>,
    lookup: Lookup,
    outside: Option<Outside>,
}

/// A parent outside of the store.
#[derive(Clone)]
struct Outside {
    device: Arc<dyn BlockDevice>,
    /// Its blocks are so much smaller, as a power of two.
    shift: u8,
    /// Blocks of the store that it has, whole.
    blocks: u64,
}

#[derive(Clone)]
struct Lookup {
    /// The blob, then its parents.
    chain: Arc<[Shared]>,
    cluster_blocks: u64,
    /// The same as a power of two, where it is one.
    shift: Option<u8>,
}

impl Lookup {
    /// The cluster of the blob that a block lies in, and where in it.
    #[inline]
    fn split(&self, lba: u64) -> (u64, u64) {
        match self.shift {
            Some(shift) => (lba >> shift, lba & (self.cluster_blocks - 1)),
            None => (lba / self.cluster_blocks, lba % self.cluster_blocks),
        }
    }

    /// Where cluster `at` is read.
    #[inline]
    fn find(&self, at: u64) -> Cluster {
        self.chain.iter().map(|blob| blob.map.get(at)).find(|cluster| cluster.is_some()).unwrap_or_default()
    }

    /// The first block from `lba` on that has data, or has none; those of an outside parent count as data.
    fn seek(&self, lba: u64, blocks: u64, data: bool, outside: u64) -> u64 {
        let clusters = blocks / self.cluster_blocks;
        let (mut at, _) = self.split(lba);
        while at < clusters {
            let has = self.find(at).is_some() || at * self.cluster_blocks < outside;
            if has == data {
                return (at * self.cluster_blocks).max(lba);
            }
            // Where nobody has an extent there is nothing for many clusters on.
            let absent = if data && at * self.cluster_blocks >= outside {
                self.chain.iter().map(|blob| blob.map.skip_absent(at)).min()
            } else {
                None
            };
            at = absent.unwrap_or_default().max(at + 1);
        }
        u64::MAX
    }
}

impl Volume {
    pub(crate) fn new(
        base: &Arc<dyn BlockDevice>,
        geometry: &Geometry,
        chain: Vec<Shared>,
        outside: Option<Arc<dyn BlockDevice>>,
    ) -> Result<Volume, Error> {
        let below = base.info();
        let cluster_blocks = u64::from(geometry.cluster_bytes >> below.block_shift);
        let outside = match outside {
            None => None,
            Some(device) => {
                let info = device.info();
                let shift = below.block_shift.checked_sub(info.block_shift);
                let shift = shift.ok_or(Error::ExternalBlocks { parent: info.block_size(), store: below.block_size() })?;
                Some(Outside { blocks: info.blocks >> shift, device, shift })
            }
        };
        let clusters = chain.first().map_or(0, |blob| blob.map.clusters());
        let mut info = info_of(&below, cluster_blocks, clusters);
        if let Some(outside) = &outside {
            let theirs = outside.device.info();
            info.limits = stricter(info.limits, theirs.limits, outside.shift);
            info.frames = info.frames.max(theirs.frames.saturating_add(1));
        }
        let shift = cluster_blocks.is_power_of_two().then(|| cluster_blocks.trailing_zeros() as u8);
        let lookup = Lookup { chain: chain.into(), cluster_blocks, shift };
        Ok(Volume { base: base.clone(), shape: Shape::new(info), lookup, outside })
    }
}

fn info_of(below: &DeviceInfo, cluster_blocks: u64, clusters: u64) -> DeviceInfo {
    let boundary = greatest_common(u64::from(below.limits.boundary_blocks), cluster_blocks) as u32;
    DeviceInfo {
        blocks: clusters.saturating_mul(cluster_blocks),
        ops: OpSet::of(&[Op::Read, Op::Flush, Op::SeekData, Op::SeekHole]),
        read_only: true,
        read_after_unmap: ReadAfterUnmap::Undefined,
        limits: Limits { boundary_blocks: boundary, ..below.limits },
        zones: None,
        metadata: None,
        frames: below.frames.saturating_add(1),
        ..below.clone()
    }
}

/// Zero, of which everything is a divisor, leaves the other.
fn greatest_common(a: u64, b: u64) -> u64 {
    if a == 0 { b } else { greatest_common(b % a, a) }
}

/// What reads through either have to keep to; `theirs` are in blocks smaller by `shift`.
fn stricter(ours: Limits, theirs: Limits, shift: u8) -> Limits {
    let either = |a: u32, b: u32| if a == 0 || b == 0 { a.max(b) } else { a.min(b) };
    let boundary = greatest_common(u64::from(theirs.boundary_blocks), u64::from(ours.boundary_blocks) << shift) >> shift;
    Limits {
        boundary_blocks: boundary.max(1) as u32,
        transfer_blocks: either(
            ours.transfer_blocks,
            if theirs.transfer_blocks == 0 { 0 } else { (theirs.transfer_blocks >> shift).max(1) },
        ),
        segments: either(ours.segments.into(), theirs.segments.into()) as u16,
        segment_bytes: either(ours.segment_bytes, theirs.segment_bytes),
        align_bytes: ours.align_bytes.max(theirs.align_bytes),
        ..ours
    }
}

impl BlockDevice for Volume {
    fn info(&self) -> Arc<DeviceInfo> {
        self.shape.info()
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        let needed = self.shape.info().frames;
        if usize::from(needed) > FRAMES {
            return Err(OpenError::TooDeep { needed });
        }
        let outside = match &self.outside {
            Some(outside) => Some((outside.device.open(cx, who, depth)?, outside.clone())),
            None => None,
        };
        Ok(Box::new(Queue {
            base: self.base.open(cx, who, depth)?,
            outside,
            shape: self.shape.clone(),
            lookup: self.lookup.clone(),
            token: who,
            ended: Vec::with_capacity(depth as usize),
            cut: Vec::new(),
        }))
    }
}

/// A read of which only the beginning lies in the parent outside.
struct Cut {
    lba: u64,
    blocks: u32,
    sg: SgList,
}

struct Queue {
    base: Box<dyn BlockQueue>,
    outside: Option<(Box<dyn BlockQueue>, Outside)>,
    shape: Arc<Shape>,
    lookup: Lookup,
    token: Token,
    /// What ended here.
    ended: Vec<Box<Io>>,
    cut: Vec<Option<Cut>>,
}

impl Queue {
    fn end(&mut self, cx: &mut Cx, mut io: Box<Io>, status: Status) {
        io.status = status;
        self.ended.push(io);
        cx.wake(self.token);
    }

    #[cold]
    fn submit_other(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        let status = self.shape.check(&io);
        if !status.is_ok() {
            return self.end(cx, io, status);
        }
        let outside = self.outside.as_ref().map_or(0, |(_, outside)| outside.blocks);
        match io.op {
            Op::SeekData | Op::SeekHole => {
                io.result = self.lookup.seek(io.lba, self.shape.blocks(), io.op == Op::SeekData, outside);
                self.end(cx, io, Status::Ok);
            }
            Op::Read => self.end(cx, io, Status::Invalid), // it crosses a boundary that is said to be one
            // Nothing is written here, so that there is nothing to flush.
            _ => self.end(cx, io, Status::Ok),
        }
    }

    /// What no cluster of the store has.
    fn read_elsewhere(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        let Some((queue, outside)) = self.outside.as_mut().filter(|(_, outside)| io.lba < outside.blocks) else {
            io.sg.fill(0, io.sg.bytes(), 0);
            return self.end(cx, io, Status::Ok);
        };
        let there = outside.blocks - io.lba;
        let word =
            if u64::from(io.blocks) <= there { io.lba | OUTSIDE } else { cut(&mut self.cut, &mut io, there as u32, self.shape.shift()) };
        io.push(word);
        io.lba <<= outside.shift;
        io.blocks <<= outside.shift;
        queue.submit(cx, io);
    }
}

/// Shortens a read to `there` blocks; what is behind is zeroes. The word that brings it back.
#[cold]
fn cut(table: &mut Vec<Option<Cut>>, io: &mut Io, there: u32, shift: u8) -> u64 {
    let bytes = there << shift;
    io.sg.fill(bytes, io.sg.bytes() - bytes, 0);
    let mut head = SgList::default();
    io.sg.share(0, bytes, &mut head);
    let whole = std::mem::replace(&mut io.sg, head);
    let slot = table.iter().position(Option::is_none).unwrap_or_else(|| {
        table.push(None);
        table.len() - 1
    });
    table[slot] = Some(Cut { lba: io.lba, blocks: io.blocks, sg: whole });
    io.blocks = there;
    OUTSIDE | CUT | slot as u64
}

impl BlockQueue for Queue {
    #[inline]
    fn submit(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        let (at, inside) = self.lookup.split(io.lba);
        if io.op != Op::Read || !self.shape.is_plain(&io) || inside + u64::from(io.blocks) > self.lookup.cluster_blocks {
            return self.submit_other(cx, io);
        }
        let cluster = self.lookup.find(at);
        if !cluster.is_some() {
            return self.read_elsewhere(cx, io);
        }
        let lba = io.lba;
        io.push(lba);
        io.lba = u64::from(cluster.0) * self.lookup.cluster_blocks + inside;
        self.base.submit(cx, io);
    }

    #[inline]
    fn kick(&mut self, cx: &mut Cx) {
        self.base.kick(cx);
        if let Some((queue, _)) = &mut self.outside {
            queue.kick(cx);
        }
    }

    #[inline]
    fn poll(&mut self, cx: &mut Cx, done: &mut Done) {
        let first = done.len();
        self.base.poll(cx, done);
        for io in done.iter_mut().skip(first) {
            io.lba = io.pop();
        }
        if let Some((queue, outside)) = &mut self.outside {
            let first = done.len();
            queue.poll(cx, done);
            for io in done.iter_mut().skip(first) {
                let word = io.pop();
                io.blocks >>= outside.shift;
                if word & CUT == 0 {
                    io.lba = word & !OUTSIDE;
                } else if let Some(whole) = self.cut.get_mut((word & !(OUTSIDE | CUT)) as usize).and_then(Option::take) {
                    (io.lba, io.blocks, io.sg) = (whole.lba, whole.blocks, whole.sg);
                }
            }
        }
        done.append(&mut self.ended);
    }

    fn abort(&mut self, cx: &mut Cx, which: Abort) {
        self.base.abort(cx, which);
        if let Some((queue, _)) = &mut self.outside {
            queue.abort(cx, which);
        }
    }
}
