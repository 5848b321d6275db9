//! Timers of a reactor: a heap of tokens. Cancelling is not needed: one that fires for nothing wakes somebody who finds nothing.

use super::Ticks;
use crate::Token;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Who is to be woken when.
pub struct Timers {
    heap: BinaryHeap<Reverse<(Ticks, u64, u64)>>,
    order: u64,
    /// When the first is due: what every turn compares with.
    first: Ticks,
}

const NEVER: Ticks = Ticks(u64::MAX);

impl Default for Timers {
    fn default() -> Timers {
        Timers { heap: BinaryHeap::new(), order: 0, first: NEVER }
    }
}

impl Timers {
    /// Wakes `who` at `at`.
    pub fn add(&mut self, at: Ticks, who: Token) {
        self.order += 1;
        self.heap.push(Reverse((at, self.order, who.to_word())));
        self.first = self.first.min(at);
    }

    /// The next due at or before `now`, in order of time and then of coming.
    #[inline]
    pub fn due(&mut self, now: Ticks) -> Option<(Token, Ticks)> {
        if self.first > now { None } else { self.take() }
    }

    #[cold]
    fn take(&mut self) -> Option<(Token, Ticks)> {
        let Reverse((at, _, word)) = self.heap.pop()?;
        self.first = self.next().unwrap_or(NEVER);
        Some((Token::from_word(word), at))
    }

    /// When the next is due.
    #[inline]
    pub fn next(&self) -> Option<Ticks> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }
}
