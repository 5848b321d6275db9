//! The requests that an engine has, with the addresses of their segments: those that the kernel (or a helper) works on, and those that it was
//! never given and that are only to be handed back.
//!
//! A request and its buffers stay here from `insert` until it is handed back; which ones the other side is done with only the engine knows,
//! and says so by the unsafe calls. Invariant: a refused number is one that the other side was never given.

use std::collections::VecDeque;

use doorbell_mem::{Carrier, InFlight, IoVec, QueueKey};
use rustix::io::Errno;

use super::FileOp;

pub(crate) struct Requests<T: Carrier> {
    key: QueueKey,
    table: InFlight<T>,
    /// By number. Capacities are kept; a list is touched again only when its number is given anew.
    vectors: Box<[Vec<IoVec>]>,
    refused: VecDeque<(u16, Errno)>,
}

impl<T: Carrier> Requests<T> {
    /// Room for `depth` requests.
    pub(crate) fn new(depth: u16) -> Requests<T> {
        let key = QueueKey::new();
        Requests {
            table: InFlight::new(&key, depth),
            key,
            vectors: (0..depth).map(|_| Vec::new()).collect(),
            refused: VecDeque::with_capacity(depth.into()),
        }
    }

    /// Takes a request in, and gives its number and the addresses that `op` names; gives it back when there is no room.
    ///
    /// # Panics
    /// If the operation names more bytes than the request has.
    #[inline]
    pub(crate) fn insert(&mut self, item: T, op: &FileOp) -> Result<(u16, &[IoVec]), T> {
        let (sg_offset, len) = op.range_of(item.sg());
        let cid = self.table.insert(item)?;
        // There is a list for every number of the table.
        let vectors = &mut self.vectors[usize::from(cid.0)];
        vectors.clear();
        if let Some(sg) = self.table.segments(cid) {
            sg.iovecs(sg_offset, len, vectors);
        }
        Ok((cid.0, vectors))
    }

    /// This one is not given to the other side: `take_refused` hands it back with the error.
    pub(crate) fn refuse(&mut self, cid: u16, error: Errno) {
        self.refused.push_back((cid, error));
    }

    /// How many are refused and not handed back yet.
    #[inline]
    pub(crate) fn refused(&self) -> usize {
        self.refused.len()
    }

    /// Hands back up to `budget` of the refused. Answers how many.
    #[inline]
    pub(crate) fn take_refused(&mut self, budget: u32, each: &mut impl FnMut(T, Result<u32, Errno>)) -> u32 {
        let mut count = 0;
        while count < budget
            && let Some((cid, error)) = self.refused.pop_front()
        {
            // SAFETY: the other side never got this one, by the invariant.
            if let Some(item) = unsafe { self.finish(cid) } {
                count += 1;
                each(item, Err(error));
            }
        }
        count
    }

    /// Hands a request back. `None`, and counted, when the number names none.
    ///
    /// # Safety
    /// The other side is done with the request of this number and with its memory, or never got it.
    #[inline]
    pub(crate) unsafe fn finish(&mut self, cid: u16) -> Option<T> {
        // SAFETY: the caller's promise.
        let witness = unsafe { self.key.completion(cid) };
        self.table.finish(&witness)
    }

    /// Drops every request.
    ///
    /// # Safety
    /// The other side is done with all of them, and with their memory.
    pub(crate) unsafe fn drop_all(&mut self) {
        // SAFETY: the caller's promise; the epoch is the one that runs.
        let quiet = unsafe { self.key.quiesced(self.table.epoch()) };
        self.refused.clear();
        drop(self.table.reclaim(&quiet));
    }

    /// The lists of addresses are never freed: what is left here is read by the other side for ever.
    pub(crate) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.vectors));
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.table.has_room()
    }

    pub(crate) fn strays(&self) -> u64 {
        self.table.strays()
    }
}
