//! The device of a store as bytes: reads, writes, zeroes and copies in pieces that it takes, with buffers that are kept for it.

use crate::Error;
use crate::tasks::{all, first};
use doorbell_block::{BlockDevice, DeviceInfo, Flags, Io, Op, ReadAfterUnmap, Status, WriteCache};
use doorbell_mem::Seg;
use doorbell_reactor::{AsyncQueue, Local};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// Requests that are kept at the device.
pub(crate) const DEPTH: usize = 8;
/// Bytes of one, where the pool has buffers as large.
const PIECE: u32 = 64 << 10;
/// Bytes of one request that has no payload, where the device has no limit.
const LONG: u64 = 1 << 30;

/// A device, opened for metadata.
pub(crate) struct Disk {
    queue: AsyncQueue,
    info: Arc<DeviceInfo>,
    buffers: RefCell<Vec<Seg>>,
    waiting: RefCell<VecDeque<Waker>>,
    piece: u32,
}

/// A buffer of the disk's, until it is dropped.
struct Lent<'a> {
    disk: &'a Disk,
    buffer: Option<Seg>,
}

impl Lent<'_> {
    /// The buffer, of `len` bytes; it is to be put back.
    fn take(&mut self, len: u32) -> Result<Seg, Error> {
        let mut buffer = self.buffer.take().ok_or(Error::Lent)?;
        if buffer.reset(len) {
            return Ok(buffer);
        }
        self.buffer = Some(buffer);
        Err(Error::Lent)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(mut buffer) = self.buffer.take() {
            buffer.reset(self.disk.piece);
            self.disk.buffers.borrow_mut().push(buffer);
        }
        if let Some(waker) = self.disk.waiting.borrow_mut().pop_front() {
            waker.wake();
        }
    }
}

impl Disk {
    pub(crate) async fn open(local: &Local, device: Arc<dyn BlockDevice>) -> Result<Disk, Error> {
        let info = device.info();
        let queue = AsyncQueue::open(local, device, DEPTH as u32).await?;
        let (limits, shift) = (info.limits, info.block_shift);
        let bytes_of = |blocks: u32| if blocks == 0 { u32::MAX } else { blocks.saturating_mul(1 << shift) };
        let most = [bytes_of(limits.transfer_blocks), bytes_of(limits.boundary_blocks), if_any(limits.segment_bytes), PIECE];
        let most = most.into_iter().min().unwrap_or(PIECE);
        let buffers = local.with(move |cx| {
            let piece = most.min(cx.largest_buffer()) >> shift << shift;
            let buffers = (0..DEPTH).map_while(|_| cx.pool().get(piece.max(1))).collect::<Vec<_>>();
            (piece, buffers)
        });
        let (piece, buffers) = buffers.await;
        if piece == 0 || buffers.is_empty() {
            return Err(Error::NoBuffers { bytes: piece.max(1 << shift) });
        }
        Ok(Disk { queue, info, buffers: RefCell::new(buffers), waiting: RefCell::default(), piece })
    }

    pub(crate) fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Bytes of one piece; a multiple of the device's blocks.
    pub(crate) fn piece(&self) -> u32 {
        self.piece
    }

    /// Are reads that begin and end at multiples of `bytes` split at such multiples only?
    pub(crate) fn splits_at_multiples_of(&self, bytes: u32) -> bool {
        (u64::from(self.info.limits.boundary_blocks) << self.info.block_shift).is_multiple_of(bytes.into())
    }

    async fn lend(&self) -> Lent<'_> {
        let buffer = poll_fn(|c| match self.buffers.borrow_mut().pop() {
            Some(buffer) => Poll::Ready(buffer),
            None => {
                self.waiting.borrow_mut().push_back(c.waker().clone());
                Poll::Pending
            }
        });
        Lent { disk: self, buffer: Some(buffer.await) }
    }

    fn boundary(&self) -> u64 {
        u64::from(self.info.limits.boundary_blocks) << self.info.block_shift
    }

    /// `[offset, offset + len)` in parts that one request with payload may be.
    fn pieces(&self, offset: u64, len: u64) -> impl Iterator<Item = (u64, u32)> + use<> {
        pieces(offset, len, self.boundary(), u64::from(self.piece)).map(|(at, len)| (at, len as u32))
    }

    /// One read of one piece.
    async fn fetch(&self, offset: u64, len: u32) -> (u64, u32, Result<(), Error>, Lent<'_>) {
        let mut lent = self.lend().await;
        let answer = match lent.take(len) {
            Ok(buffer) => {
                let (status, buffer) = self.queue.read(offset >> self.info.block_shift, len >> self.info.block_shift, buffer).await;
                lent.buffer = Some(buffer);
                if status.is_ok() { Ok(()) } else { Err(Error::Read { offset, len, status }) }
            }
            Err(error) => Err(error),
        };
        (offset, len, answer, lent)
    }

    /// Writes what a buffer holds, and puts that back.
    async fn put(&self, lent: &mut Lent<'_>, buffer: Seg, offset: u64) -> Result<(), Error> {
        let len = buffer.len();
        let (status, buffer) = self.queue.write(offset >> self.info.block_shift, len >> self.info.block_shift, buffer).await;
        lent.buffer = Some(buffer);
        if status.is_ok() { Ok(()) } else { Err(Error::Write { offset, len: len.into(), status }) }
    }

    /// Reads each `(offset, bytes)` of `wanted` with one request, as many at a time as there are buffers, and hands them over in the order in which
    /// they come; so does what the medium cannot give, and anything else ends it. Offsets and lengths are multiples of blocks, and no longer than a piece.
    pub(crate) async fn read_each(
        &self,
        wanted: impl Iterator<Item = (u64, u32)>,
        mut take: impl FnMut(u64, Result<&[u8], Error>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut wanted = wanted.flat_map(|(offset, len)| self.pieces(offset, len.into()));
        let (mut running, mut failed) = (Vec::new(), None);
        loop {
            while failed.is_none()
                && running.len() < DEPTH
                && let Some((offset, len)) = wanted.next()
            {
                running.push(Box::pin(self.fetch(offset, len)));
            }
            if running.is_empty() {
                return failed.map_or(Ok(()), Err);
            }
            let (offset, len, answer, mut lent) = first(&mut running).await;
            if failed.is_some() {
                continue;
            }
            failed = match (answer, lent.buffer.as_mut().and_then(Seg::bytes)) {
                (Ok(()), Some(bytes)) => take(offset, Ok(&bytes[..len as usize])).err(),
                (Err(error @ Error::Read { status: Status::ReadError, .. }), _) => take(offset, Err(error)).err(),
                (Err(error), _) => Some(error),
                (Ok(()), None) => Some(Error::Lent),
            };
        }
    }

    /// Reads bytes of any number; offset and length are multiples of blocks.
    pub(crate) async fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; len];
        let wanted = self.pieces(offset, len as u64);
        self.read_each(wanted, |at, bytes| {
            let from = (at - offset) as usize;
            let bytes = bytes?;
            out[from..from + bytes.len()].copy_from_slice(bytes);
            Ok(())
        })
        .await?;
        Ok(out)
    }

    /// Writes bytes of any number; offset and length are multiples of blocks.
    pub(crate) async fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let store = async |at: u64, len: u32| {
            let mut lent = self.lend().await;
            let from = (at - offset) as usize;
            let buffer = lent.take(len)?;
            buffer.write_at(0, &bytes[from..from + len as usize]);
            self.put(&mut lent, buffer, at).await
        };
        all(DEPTH, self.pieces(offset, bytes.len() as u64).map(|(at, len)| store(at, len))).await
    }

    /// Makes bytes zero; offset and length are multiples of blocks. They need not take space on the device.
    pub(crate) async fn zero(&self, offset: u64, len: u64) -> Result<(), Error> {
        if self.info.ops.has(Op::WriteZeroes) {
            return self.long(Op::WriteZeroes, self.info.limits.write_zeroes_blocks, offset, len).await;
        }
        let store = async |at: u64, len: u32| {
            let mut lent = self.lend().await;
            let buffer = lent.take(len)?;
            buffer.fill(0, len, 0);
            self.put(&mut lent, buffer, at).await
        };
        all(DEPTH, self.pieces(offset, len).map(|(at, len)| store(at, len))).await
    }

    /// Tells the device that it may forget bytes, and says whether they are zeroes then for certain. An unmap is a hint, whatever is said of what
    /// was unmapped; so where that is zeroes, they are written as zeroes that may be unmapped. A device that can do neither is told nothing.
    pub(crate) async fn discard(&self, offset: u64, len: u64) -> Result<bool, Error> {
        let ops = self.info.ops;
        if ops.has(Op::WriteZeroes) && ops.has(Op::Unmap) && self.info.read_after_unmap == ReadAfterUnmap::Zeroes {
            return self.zero(offset, len).await.map(|()| true);
        }
        if ops.has(Op::Unmap) {
            self.long(Op::Unmap, self.info.limits.unmap_blocks, offset, len).await?;
        }
        Ok(false)
    }

    async fn long(&self, op: Op, limit: u32, offset: u64, len: u64) -> Result<(), Error> {
        let shift = self.info.block_shift;
        let most = if limit == 0 { LONG } else { (u64::from(limit) << shift).min(LONG) };
        let flags = if op == Op::WriteZeroes { Flags::MAY_UNMAP } else { Flags::NONE };
        let each = async |(offset, len): (u64, u64)| {
            let prepare = move |io: &mut Io| (io.op, io.flags, io.lba, io.blocks) = (op, flags, offset >> shift, (len >> shift) as u32);
            match self.queue.request(prepare, |io| io.status).await {
                Status::Ok => Ok(()),
                status => Err(Error::Write { offset, len, status }),
            }
        };
        all(DEPTH, pieces(offset, len, 0, most).map(each)).await
    }

    /// Copies bytes from one place to another that does not overlap it.
    pub(crate) async fn copy(&self, from: u64, to: u64, len: u64) -> Result<(), Error> {
        self.copy_from(self, from, to, len).await
    }

    /// The same from another device, whose blocks divide offset and length too.
    pub(crate) async fn copy_from(&self, source: &Disk, from: u64, to: u64, len: u64) -> Result<(), Error> {
        let most = u64::from(self.piece.min(source.piece));
        let each = async |(at, len): (u64, u64)| {
            let (_, len, answer, mut lent) = source.fetch(at, len as u32).await;
            answer?;
            let buffer = lent.take(len)?;
            self.put(&mut lent, buffer, to + (at - from)).await
        };
        // Where either has a boundary the parts keep to that: clusters begin at multiples of this one's.
        let theirs = pieces(from, len, source.boundary(), most);
        let boundary = self.boundary();
        let both = theirs.flat_map(move |(at, len)| {
            pieces(to + (at - from), len, boundary, u64::MAX).map(move |(there, len)| (from + (there - to), len))
        });
        all(DEPTH, both.map(each)).await
    }

    /// What was written is durable.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        if self.info.write_cache == WriteCache::WriteThrough || !self.info.ops.has(Op::Flush) {
            return Ok(());
        }
        match self.queue.control(Op::Flush, 0, 0).await {
            Status::Ok => Ok(()),
            status => Err(Error::Flush { status }),
        }
    }
}

fn if_any(limit: u32) -> u32 {
    if limit == 0 { u32::MAX } else { limit }
}

/// `[offset, offset + len)` in parts of at most `most` that cross no multiple of `boundary` (zero: there is none).
fn pieces(offset: u64, len: u64, boundary: u64, most: u64) -> impl Iterator<Item = (u64, u64)> {
    let end = offset + len;
    let mut at = offset;
    std::iter::from_fn(move || {
        let stop = at.checked_div(boundary).map_or(end, |n| ((n + 1) * boundary).min(end));
        let stop = stop.min(at.saturating_add(most));
        let part = (at < end).then_some((at, stop - at));
        at = stop;
        part
    })
}
