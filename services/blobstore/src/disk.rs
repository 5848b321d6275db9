//! The device of a store as bytes: reads in pieces that it takes, with buffers that are kept for it.

use crate::Error;
use doorbell_block::{BlockDevice, DeviceInfo, Status};
use doorbell_mem::Seg;
use doorbell_reactor::{AsyncQueue, Local};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

/// Requests that are kept at the device.
const DEPTH: usize = 8;
/// Bytes of one, where the pool has buffers as large.
const PIECE: u32 = 64 << 10;

/// A device, opened for metadata.
pub(crate) struct Disk {
    queue: AsyncQueue,
    info: Arc<DeviceInfo>,
    buffers: Vec<Seg>,
    piece: u32,
}

/// How a read ended, and its buffer.
type Ended = (Result<(), Error>, Seg);
type Reading<'a> = Pin<Box<dyn Future<Output = (usize, Ended)> + 'a>>;

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
        Ok(Disk { queue, info, buffers, piece })
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

    /// Reads each `(offset, bytes)` of `wanted` with one request, as many at a time as there are buffers, and hands them over in the order in which
    /// they come; so does what the medium cannot give, and anything else ends it. Offsets and lengths are multiples of blocks, and no longer than a piece.
    pub(crate) async fn read_each(
        &mut self,
        wanted: impl Iterator<Item = (u64, u32)>,
        mut take: impl FnMut(u64, Result<&[u8], Error>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (queue, shift) = (&self.queue, self.info.block_shift);
        let boundary = u64::from(self.info.limits.boundary_blocks) << shift;
        let mut wanted = wanted.flat_map(|(offset, len)| pieces(offset, len, boundary)).peekable();
        let (mut free, mut running, mut offsets) = (std::mem::take(&mut self.buffers), Vec::<Reading<'_>>::new(), Vec::new());
        let mut failed = None;
        while failed.is_none() && (wanted.peek().is_some() || !running.is_empty()) {
            while let Some(buffer) = free.pop() {
                let Some((offset, len)) = wanted.next() else {
                    free.push(buffer);
                    break;
                };
                let at = offsets.len();
                offsets.push((offset, len));
                running.push(Box::pin(async move { (at, read(queue, shift, offset, len, buffer).await) }));
            }
            let (at, (answer, mut buffer)) = first(&mut running).await;
            let (offset, len) = offsets[at];
            failed = match (answer, buffer.bytes()) {
                (Ok(()), Some(bytes)) => take(offset, Ok(&bytes[..len as usize])).err(),
                (Err(error @ Error::Read { status: Status::ReadError, .. }), _) => take(offset, Err(error)).err(),
                (Err(error), _) => Some(error),
                (Ok(()), None) => Some(Error::Lent),
            };
            buffer.reset(self.piece);
            free.push(buffer);
        }
        self.buffers = free;
        // Whatever still runs after a failure is waited for: its buffer comes back.
        while !running.is_empty() {
            let (_, (_, mut buffer)) = first(&mut running).await;
            buffer.reset(self.piece);
            self.buffers.push(buffer);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Reads bytes of any number; offset and length are multiples of blocks.
    pub(crate) async fn read(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; len];
        let (end, step) = (offset + len as u64, self.piece as usize);
        let wanted = (offset..end).step_by(step).map(|at| (at, (end - at).min(step as u64) as u32));
        self.read_each(wanted, |at, bytes| {
            let from = (at - offset) as usize;
            let bytes = bytes?;
            out[from..from + bytes.len()].copy_from_slice(bytes);
            Ok(())
        })
        .await?;
        Ok(out)
    }
}

fn if_any(limit: u32) -> u32 {
    if limit == 0 { u32::MAX } else { limit }
}

/// `[offset, offset + len)` in parts that cross no multiple of `boundary` (zero: there is none).
fn pieces(offset: u64, len: u32, boundary: u64) -> impl Iterator<Item = (u64, u32)> {
    let end = offset + u64::from(len);
    let mut at = offset;
    std::iter::from_fn(move || {
        let stop = at.checked_div(boundary).map_or(end, |n| ((n + 1) * boundary).min(end));
        let part = (at < end).then_some((at, (stop - at) as u32));
        at = stop;
        part
    })
}

async fn read(queue: &AsyncQueue, shift: u8, offset: u64, len: u32, mut buffer: Seg) -> Ended {
    if !buffer.reset(len) {
        return (Err(Error::Lent), buffer);
    }
    match queue.read(offset >> shift, len >> shift, buffer).await {
        (status, buffer) if status.is_ok() => (Ok(()), buffer),
        (status, buffer) => (Err(Error::Read { offset, len, status }), buffer),
    }
}

/// The first of them to end, taken out.
async fn first<'a>(running: &mut Vec<Reading<'a>>) -> (usize, Ended) {
    poll_fn(|c| {
        for at in 0..running.len() {
            if let Poll::Ready(answer) = running[at].as_mut().poll(c) {
                drop(running.swap_remove(at));
                return Poll::Ready(answer);
            }
        }
        Poll::Pending
    })
    .await
}
