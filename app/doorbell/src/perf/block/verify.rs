//! What was written where, and whether it is what comes back.
//!
//! Each block of a slot carries words made of a seed, its own number and how often its slot was written, so that data which is stale, torn
//! or of another place does not pass. A slot has at most one request at a time.

use doorbell_block::Io;

#[cfg(test)]
mod tests;

/// In the word of a slot: a request is out.
const BUSY: u32 = 1 << 31;

/// The most slots that are kept in memory (4 bytes each).
pub(super) const SLOTS_MAX: u64 = 1 << 24;

/// The first block that was not as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Which block.
    pub lba: u64,
    /// Which byte of it, at the earliest.
    pub byte: u32,
}

pub(super) struct Verify {
    /// How often each slot was written; zero: what it holds is not known.
    slots: Vec<u32>,
    seed: u64,
    scratch: Vec<u8>,
}

impl Verify {
    pub(super) fn new(slots: u64, io_bytes: u32, seed: u64) -> Verify {
        Verify { slots: vec![0; slots as usize], seed, scratch: vec![0; io_bytes as usize] }
    }

    /// The first slot from `from` on that has no request out; none when all have.
    pub(super) fn free_from(&self, from: u64) -> Option<u64> {
        let (before, after) = self.slots.split_at_checked(from as usize)?;
        let free = |part: &[u32]| part.iter().position(|word| word & BUSY == 0);
        match free(after) {
            Some(n) => Some(from + n as u64),
            None => free(before).map(|n| n as u64),
        }
    }

    /// Has it been written, so that a read can be judged?
    pub(super) fn known(&self, slot: u64) -> bool {
        self.slots.get(slot as usize).is_some_and(|word| word & !BUSY != 0)
    }

    /// The first slot from `from` on whose content is known.
    pub(super) fn known_from(&self, from: u64) -> Option<u64> {
        (from..self.slots.len() as u64).find(|slot| self.known(*slot))
    }

    /// A read goes out.
    pub(super) fn begin_read(&mut self, slot: u64) {
        if let Some(word) = self.slots.get_mut(slot as usize) {
            *word |= BUSY;
        }
    }

    /// A write goes out: fills its payload.
    pub(super) fn begin_write(&mut self, slot: u64, io: &mut Io, block_bytes: u32) {
        let Some(word) = self.slots.get_mut(slot as usize) else { return };
        let version = (*word & !BUSY) + 1;
        *word = version | BUSY;
        fill(&mut self.scratch, self.seed, io.lba, version, block_bytes);
        io.sg.write_at(0, &self.scratch);
    }

    /// A request is back. For a read, says where its data is wrong.
    pub(super) fn end(&mut self, slot: u64, io: &Io, block_bytes: u32) -> Option<Mismatch> {
        let word = self.slots.get_mut(slot as usize)?;
        *word &= !BUSY;
        let version = *word;
        if io.op.writes() {
            if !io.status.is_ok() {
                *word = 0; // old, new or torn
            }
            return None;
        }
        if !io.status.is_ok() || version == 0 {
            return None;
        }
        io.sg.read_at(0, &mut self.scratch);
        check(&self.scratch, self.seed, io.lba, version, block_bytes)
    }
}

fn words(seed: u64, lba: u64, version: u32) -> impl Iterator<Item = [u8; 8]> {
    // SplitMix64's finaliser over the three, then a step per word.
    let mut first = seed ^ lba.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(version) << 40;
    first = (first ^ first >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    first = (first ^ first >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    first ^= first >> 31;
    (0u64..).map(move |n| first.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
}

fn fill(bytes: &mut [u8], seed: u64, lba: u64, version: u32, block_bytes: u32) {
    for (block, n) in bytes.chunks_mut(block_bytes as usize).zip(0..) {
        for (at, word) in block.chunks_exact_mut(8).zip(words(seed, lba + n, version)) {
            at.copy_from_slice(&word);
        }
    }
}

fn check(bytes: &[u8], seed: u64, lba: u64, version: u32, block_bytes: u32) -> Option<Mismatch> {
    for (block, n) in bytes.chunks(block_bytes as usize).zip(0..) {
        for ((at, word), byte) in block.chunks_exact(8).zip(words(seed, lba + n, version)).zip((0u32..).step_by(8)) {
            if at != word {
                return Some(Mismatch { lba: lba + n, byte });
            }
        }
    }
    None
}
