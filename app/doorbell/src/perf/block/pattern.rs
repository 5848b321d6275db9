//! Which block comes next, and whether it is read or written. No division on the way: a random word is scaled by a multiplication.

use doorbell_block::Op;

#[cfg(test)]
mod tests;

/// What the load does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub enum Pattern {
    /// Reads one after another.
    Read,
    /// Writes one after another.
    Write,
    /// Reads anywhere.
    RandRead,
    /// Writes anywhere.
    RandWrite,
    /// Reads and writes one after another.
    Rw,
    /// Reads and writes anywhere.
    RandRw,
}

impl Pattern {
    /// Its name, as fio has it.
    pub fn name(self) -> &'static str {
        match self {
            Pattern::Read => "read",
            Pattern::Write => "write",
            Pattern::RandRead => "randread",
            Pattern::RandWrite => "randwrite",
            Pattern::Rw => "rw",
            Pattern::RandRw => "randrw",
        }
    }

    /// Does it write?
    pub fn writes(self) -> bool {
        !matches!(self, Pattern::Read | Pattern::RandRead)
    }

    fn random(self) -> bool {
        matches!(self, Pattern::RandRead | Pattern::RandWrite | Pattern::RandRw)
    }

    /// How many of 2^32 requests are reads.
    fn reads(self, mix_percent: u8) -> u64 {
        match self {
            Pattern::Read | Pattern::RandRead => 1 << 32,
            Pattern::Write | Pattern::RandWrite => 0,
            Pattern::Rw | Pattern::RandRw => (1u64 << 32) * u64::from(mix_percent.min(100)) / 100,
        }
    }
}

/// Chooses.
pub(super) struct Picker {
    random: bool,
    mixed: bool,
    reads: u64,
    slots: u64,
    next: u64,
    seed: u64,
}

impl Picker {
    pub(super) fn new(pattern: Pattern, mix_percent: u8, slots: u64, seed: u64) -> Picker {
        let reads = pattern.reads(mix_percent);
        Picker { random: pattern.random(), mixed: reads != 0 && reads != 1 << 32, reads, slots, next: 0, seed: seed | 1 }
    }

    /// A multiplicative congruential generator (Knuth's factor, an odd seed): not for secrets; its upper bits, which alone are used, are good.
    #[inline]
    fn word(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005);
        self.seed
    }

    /// Are there both reads and writes?
    #[inline]
    pub(super) fn is_mixed(&self) -> bool {
        self.mixed
    }

    /// Is the next one a read?
    #[inline]
    pub(super) fn op(&mut self) -> Op {
        // Without a mix the comparison comes out the same for every word.
        if self.word() >> 32 < self.reads { Op::Read } else { Op::Write }
    }

    /// The number of the next slot.
    #[inline]
    pub(super) fn slot(&mut self) -> u64 {
        if self.random {
            return ((u128::from(self.word()) * u128::from(self.slots)) >> 64) as u64;
        }
        let slot = self.next;
        self.next = if slot + 1 == self.slots { 0 } else { slot + 1 };
        slot
    }
}
