//! Virtual time and a seeded order of turns: what a simulated reactor has instead of a clock and a queue.

use crate::entropy::{Entropy, mix};
use doorbell_block::{Ticks, Token};
use doorbell_reactor::{Clock, Order};
use std::cell::Cell;
use std::rc::Rc;

/// A clock that stands still until it is moved. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct SimClock(Rc<Cell<u64>>);

impl SimClock {
    /// At nanosecond zero.
    pub fn new() -> SimClock {
        SimClock::default()
    }

    /// Moves on by `ns`.
    pub fn advance(&self, ns: u64) {
        self.0.set(self.0.get().saturating_add(ns));
    }

    /// Moves on to `at`, unless it is past that already.
    pub fn advance_to(&self, at: Ticks) {
        self.0.set(self.0.get().max(at.0));
    }
}

impl Clock for SimClock {
    fn now(&self) -> Ticks {
        Ticks(self.0.get())
    }
}

/// What happened so far, as one number. Two runs with the same number took the same turns in the same order at the same times.
#[derive(Clone, Debug, Default)]
pub struct Trace(Rc<Cell<u64>>);

impl Trace {
    /// Notes a word.
    pub fn note(&self, word: u64) {
        self.0.set(mix(self.0.get() ^ word).wrapping_add(1));
    }

    /// Notes bytes.
    pub fn note_bytes(&self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.note(u64::from_le_bytes(word));
        }
    }

    /// The number.
    pub fn hash(&self) -> u64 {
        self.0.get()
    }
}

/// Runs those who are ready in an order that the seed fixes.
#[derive(Debug)]
pub struct SimOrder {
    entropy: Entropy,
    trace: Trace,
}

impl SimOrder {
    /// An order from a stream; what it chooses is noted in `trace`.
    pub fn new(entropy: Entropy, trace: Trace) -> SimOrder {
        SimOrder { entropy, trace }
    }
}

impl Order for SimOrder {
    fn arrange(&mut self, ready: &mut [Token]) {
        self.entropy.shuffle(ready);
        for token in ready {
            self.trace.note(token.to_word());
        }
    }
}
