//! The way for payload that lies where the device cannot reach it: through one aligned buffer, a piece at a time.
//!
//! The buffer is taken when the first queue opens, so that a misaligned request needs nothing to make progress; others like it wait in
//! line. Invariant: while the buffer is in use the payload of its user is in `payload`, and the user's own list is the buffer.

use super::flight::Flight;
use doorbell_mem::{Seg, SgList};
use std::collections::VecDeque;

/// What every segment's address and length must be multiples of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Align {
    pub(super) address: u32,
    pub(super) length: u32,
}

impl Align {
    /// Does any payload do?
    pub(super) fn is_none(self) -> bool {
        self.address <= 1 && self.length <= 1
    }
}

pub(super) struct Bounce {
    /// The buffer, or while it is in use the payload of its user.
    payload: SgList,
    bytes: u32,
    /// Bits that no segment's address, and no segment's length, may have.
    address_mask: usize,
    length_mask: u32,
    busy: bool,
    pub(super) waiting: VecDeque<Flight>,
}

impl Bounce {
    /// `buffer` is none where any payload will do.
    pub(super) fn new(buffer: Option<Seg>, align: Align) -> Bounce {
        let mut payload = SgList::with_capacity(4);
        let bytes = buffer.as_ref().map_or(0, Seg::len);
        buffer.into_iter().for_each(|seg| payload.push(seg));
        let (address_mask, length_mask) = (align.address.max(1) as usize - 1, align.length.max(1) - 1);
        Bounce { payload, bytes, address_mask, length_mask, busy: false, waiting: VecDeque::new() }
    }

    /// Must this go through the buffer?
    #[inline]
    pub(super) fn is_needed(&self, sg: &SgList) -> bool {
        let misplaced = |seg: &Seg| seg.address().addr() & self.address_mask != 0 || seg.len() & self.length_mask != 0;
        self.bytes > 0 && sg.segs().iter().any(misplaced)
    }

    /// Is it in use?
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Puts the buffer in the payload's place, filled for a write. Answers how many bytes of the payload the piece has.
    pub(super) fn enter(&mut self, flight: &mut Flight, left: u32) -> u32 {
        let piece = left.min(self.bytes);
        std::mem::swap(&mut self.payload, &mut flight.io.sg);
        (self.busy, flight.bounced) = (true, true);
        if flight.is_write() {
            flight.io.sg.copy_from(0, &self.payload, flight.done, piece);
        }
        piece
    }

    /// Gives the payload back, with the `moved` bytes that were read.
    pub(super) fn leave(&mut self, flight: &mut Flight, moved: u32) {
        std::mem::swap(&mut self.payload, &mut flight.io.sg);
        (self.busy, flight.bounced) = (false, false);
        if !flight.is_write() {
            flight.io.sg.copy_from(flight.done, &self.payload, 0, moved);
        }
    }
}
