//! Entropy from a seed: SplitMix64, one word of state, the same numbers on every machine.
//!
//! It is not for secrets. Each word is the state, advanced by an odd constant, through a mixing function; so all 2^64 states lie on one
//! cycle, and a fork is a new place on it that depends on nothing but the parent's words so far.

use std::ops::{Range, RangeInclusive};

/// A stream of numbers that its seed fixes.
#[derive(Clone, Debug)]
pub struct Entropy {
    state: u64,
}

impl Entropy {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Entropy {
        Entropy { state: seed }
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number below `n`; zero when `n` is. The bias is below `n / 2^64`.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(n)) >> 64) as u64
    }

    /// A number of an inclusive range.
    pub fn within(&mut self, range: &RangeInclusive<u64>) -> u64 {
        let span = range.end().saturating_sub(*range.start());
        range.start() + if span == u64::MAX { self.word() } else { self.below(span + 1) }
    }

    /// True `per_million` times in a million.
    pub fn chance(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.below(1_000_000) < u64::from(per_million)
    }

    /// True half of the time.
    pub fn coin(&mut self) -> bool {
        self.word() >> 63 == 1
    }

    /// One of `from`.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Puts `what` in a random order, each as likely as any.
    pub fn shuffle<T>(&mut self, what: &mut [T]) {
        for n in (1..what.len()).rev() {
            what.swap(n, self.below(n as u64 + 1) as usize);
        }
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.word().to_le_bytes()[..part.len()]);
        }
    }

    /// A stream of its own for a part of the simulation, so that one part's draws do not shift another's.
    pub fn fork(&mut self) -> Entropy {
        Entropy { state: self.word() }
    }
}

/// SplitMix64's finaliser: every input bit reaches every output bit.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The seeds a test runs over: the first `usual`, or as many as `DOORBELL_SEEDS` says, or the one that `DOORBELL_SEED` names.
///
/// # Panics
/// If a variable is set and is no number: a typing error must not look like a passed soak.
pub fn seeds(usual: u64) -> Range<u64> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.trim().parse::<u64>().unwrap_or_else(|_| panic!("{name} is `{text}`, and should be a number")))
    };
    match number("DOORBELL_SEED") {
        Some(one) => one..one.saturating_add(1),
        None => 0..number("DOORBELL_SEEDS").unwrap_or(usual),
    }
}

#[cfg(test)]
mod tests;
