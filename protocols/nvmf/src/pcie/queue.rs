//! Submission and completion queues in the host's memory (Base 2.1, 3.3).

use super::doorbell::{Doorbells, Which};
use super::memory::{Ring, Span};
use doorbell_wire_nvme::{CqeWords, Sqe, bytes_mut};

/// What the host asks a queue to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) qid: u16,
    /// Entries.
    pub(super) size: u32,
    pub(super) address: u64,
}

impl Wanted {
    /// The bytes of entries of so many bytes.
    pub(super) fn span(self, entry: u64) -> Span {
        Span { address: self.address, len: u64::from(self.size) * entry }
    }
}

pub(super) const SQE: u32 = 64;
pub(super) const CQE: u32 = 16;

/// A submission queue.
pub(super) struct Sq {
    pub(super) wanted: Wanted,
    /// None while its memory is away.
    pub(super) ring: Option<Ring>,
    pub(super) head: u32,
    pub(super) cqid: u16,
    /// Commands under way.
    pub(super) outstanding: u32,
    /// The first of a fused pair, whose second has to come next.
    pub(super) fused: Option<u16>,
    /// A Delete command that waits for its last command.
    pub(super) deleter: Option<u16>,
    /// A doorbell value that was wrong and has been told.
    pub(super) wrong: Option<u32>,
}

impl Sq {
    pub(super) fn new(wanted: Wanted, ring: Ring, cqid: u16) -> Sq {
        Sq { wanted, ring: Some(ring), head: 0, cqid, outstanding: 0, fused: None, deleter: None, wrong: None }
    }

    /// Copies the entry at the head to where nobody changes it any more; false if the queue's memory is away.
    #[inline]
    pub(super) fn fetch(&self, into: &mut Sqe) -> bool {
        let Some((seg, at)) = self.ring.as_ref().and_then(|ring| ring.at(self.head * SQE)) else { return false };
        seg.read_at(at, bytes_mut(into));
        true
    }

    /// How many entries there are up to a tail; `None` if the queue cannot have that one.
    #[inline]
    pub(super) fn up_to(&self, tail: u32) -> Option<u32> {
        let there = if tail >= self.head { tail - self.head } else { tail + self.wanted.size - self.head };
        (tail < self.wanted.size).then_some(there)
    }

    #[inline]
    pub(super) fn advance(&mut self) {
        self.head = if self.head + 1 >= self.wanted.size { 0 } else { self.head + 1 };
    }
}

/// A completion queue.
pub(super) struct Cq {
    pub(super) wanted: Wanted,
    /// None while its memory is away.
    pub(super) ring: Option<Ring>,
    tail: u32,
    head: u32,
    phase: bool,
    /// Its interrupt, if it has one.
    pub(super) vector: Option<u16>,
    /// Commands under way whose completions come here, those held for events apart.
    pub(super) outstanding: u32,
    /// Completions since the last interrupt, and where the host's head was then.
    owed: Option<u32>,
}

impl Cq {
    pub(super) fn new(wanted: Wanted, ring: Ring, vector: Option<u16>) -> Cq {
        Cq { wanted, ring: Some(ring), tail: 0, head: 0, phase: true, vector, outstanding: 0, owed: None }
    }

    fn free(&self) -> u32 {
        let used = if self.tail >= self.head { self.tail - self.head } else { self.tail + self.wanted.size - self.head };
        self.wanted.size - 1 - used
    }

    /// Takes the host's head; false if it is none.
    #[inline]
    pub(super) fn look(&mut self, doorbells: &Doorbells) -> bool {
        let head = doorbells.get(Which::Head(self.wanted.qid)) & 0xffff;
        if head < self.wanted.size {
            self.head = head;
        }
        head < self.wanted.size
    }

    /// For how many completions more than those that are under way there is room, `wanted` at most. The host's head is looked at only when
    /// what is known of it is not enough.
    #[inline]
    pub(super) fn room(&mut self, doorbells: &Doorbells, wanted: u32) -> u32 {
        if self.ring.is_none() {
            return 0;
        }
        let known = self.free().saturating_sub(self.outstanding);
        if known >= wanted {
            return wanted;
        }
        self.look(doorbells);
        self.free().saturating_sub(self.outstanding).min(wanted)
    }

    /// Writes a completion. The word with the phase comes last and all at once.
    #[inline]
    pub(super) fn post(&mut self, cqe: CqeWords) {
        let Some((seg, at)) = self.ring.as_ref().and_then(|r| r.at(self.tail * CQE)) else { return };
        seg.store_words(at, cqe.to_ring(self.phase));
        self.tail += 1;
        if self.tail >= self.wanted.size {
            (self.tail, self.phase) = (0, !self.phase);
        }
        if self.vector.is_some() && self.owed.is_none() {
            self.owed = Some(self.head);
        }
    }

    /// Is an interrupt due? With `spare` only when the host has not moved its head since the completion was posted: it looks by itself then.
    #[inline]
    pub(super) fn take_due(&mut self, doorbells: &Doorbells, spare: bool) -> Option<u16> {
        let (before, vector) = (self.owed?, self.vector?);
        if spare {
            self.look(doorbells);
            if self.head == self.tail {
                self.owed = None;
                return None;
            }
            if self.head != before {
                self.owed = Some(self.head);
                return None;
            }
        }
        self.owed = None;
        Some(vector)
    }

    /// May an interrupt still be due?
    #[inline]
    pub(super) fn owes(&self) -> bool {
        self.owed.is_some()
    }
}
