//! Queue entries as the words that they are in a ring, where each field of a [`Sqe`] or a [`Cqe`] would be a store of its own: what a driver
//! makes most of its commands in, and a controller its completions.

use crate::{Cid, Cqe, Fuse, Psdt, Sqe, Status, bytes, view};

/// A submission queue entry (Base 2.1, 4.1.1) as numbers: bytes 8n to 8n + 7 are word n, the first of them its lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqeWords([u64; 8]);

const CID_SHIFT: u32 = 16;
const PSDT_SHIFT: u32 = 14;
const FUSE_SHIFT: u32 = 8;
// What of word 0 each sets.
const FUSE: u64 = 0b11 << FUSE_SHIFT;
const PSDT: u64 = 0b11 << PSDT_SHIFT;
const CID: u64 = 0xffff << CID_SHIFT;
/// The number of blocks, in dword 12.
const NLB: u64 = 0xffff;

impl SqeWords {
    /// Opcode.
    #[inline]
    pub const fn opcode(&self) -> u8 {
        self.0[0].to_le_bytes()[0]
    }

    /// The same with another command identifier.
    #[inline]
    #[must_use]
    pub const fn with_cid(mut self, cid: Cid) -> Self {
        self.0[0] = (self.0[0] & !CID) | (cid.0 as u64) << CID_SHIFT;
        self
    }

    /// The same as part of a fused operation.
    #[must_use]
    pub const fn with_fuse(mut self, fuse: Fuse) -> Self {
        self.0[0] = (self.0[0] & !FUSE) | (fuse.0 as u64 & 0b11) << FUSE_SHIFT;
        self
    }

    /// The same for other blocks, of a command that has them where Read and Write do (NVM 1.1, 3.3.4: SLBA and NLB): `blocks` is 1 to 65,536.
    #[inline]
    #[must_use]
    pub const fn with_range(mut self, slba: u64, blocks: u32) -> Self {
        self.0[5] = slba;
        self.0[6] = (self.0[6] & !NLB) | (blocks.wrapping_sub(1) as u64 & NLB);
        self
    }

    /// The same with its data at `pointer` (DPTR), which is what `psdt` says.
    #[inline]
    #[must_use]
    pub const fn with_pointer(mut self, psdt: Psdt, pointer: [u64; 2]) -> Self {
        self.0[0] = (self.0[0] & !PSDT) | (psdt.0 as u64 & 0b11) << PSDT_SHIFT;
        [self.0[3], self.0[4]] = pointer;
        self
    }

    /// The same with its metadata at `address` (MPTR).
    #[inline]
    #[must_use]
    pub const fn with_metadata(mut self, address: u64) -> Self {
        self.0[2] = address;
        self
    }

    /// The words, in the order of a ring, which has their bytes in little-endian order.
    #[inline]
    pub const fn to_ring(self) -> [u64; 8] {
        let [a, b, c, d, e, f, g, h] = self.0;
        [a.to_le(), b.to_le(), c.to_le(), d.to_le(), e.to_le(), f.to_le(), g.to_le(), h.to_le()]
    }
}

impl From<&Sqe> for SqeWords {
    #[inline]
    fn from(sqe: &Sqe) -> Self {
        let mut words = [0; 8];
        for (word, part) in words.iter_mut().zip(bytes(sqe).as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*part);
        }
        SqeWords(words)
    }
}

impl From<SqeWords> for Sqe {
    #[inline]
    fn from(words: SqeWords) -> Self {
        let mut raw = [0; 64];
        for (word, part) in words.0.iter().zip(raw.as_chunks_mut::<8>().0) {
            *part = word.to_le_bytes();
        }
        view::<Sqe>(&raw).copied().unwrap_or_default()
    }
}

const PHASE_BIT: u32 = 48;
const PHASE: u64 = 1 << PHASE_BIT;

/// A completion queue entry (Base 2.1, 4.2.1) as numbers, as [`SqeWords`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CqeWords([u64; 2]);

impl CqeWords {
    /// An answer to a command: its status and result, what its submission queue is and where its head; phase 0.
    #[inline]
    #[must_use]
    pub const fn new(cid: Cid, status: Status, result: u64, (sqid, sqhd): (u16, u16)) -> Self {
        Self([result, sqhd as u64 | (sqid as u64) << 16 | (cid.0 as u64) << 32 | (status.bits() as u64) << (PHASE_BIT + 1)])
    }

    /// The words as they lie in a ring.
    #[inline]
    #[must_use]
    pub const fn from_ring([result, rest]: [u64; 2]) -> Self {
        Self([u64::from_le(result), u64::from_le(rest)])
    }

    /// The words, in the order of a ring, with the phase tag.
    #[inline]
    pub const fn to_ring(self, phase: bool) -> [u64; 2] {
        let [result, rest] = self.0;
        [result.to_le(), (rest & !PHASE | (phase as u64) << PHASE_BIT).to_le()]
    }

    /// Command identifier.
    #[inline]
    pub const fn cid(self) -> Cid {
        Cid((self.0[1] >> 32 & 0xffff) as u16)
    }

    /// Status, without the phase.
    #[inline]
    pub const fn status(self) -> Status {
        Status::from_bits((self.0[1] >> (PHASE_BIT + 1)) as u16)
    }
}

impl From<CqeWords> for Cqe {
    fn from(words: CqeWords) -> Self {
        let mut raw = [0; 16];
        for (word, part) in words.0.iter().zip(raw.as_chunks_mut::<8>().0) {
            *part = word.to_le_bytes();
        }
        view::<Cqe>(&raw).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
