//! Turns at what is scarce: boxes, and the buffers of each class. While anyone waits for one of them, it goes to those who wait, in the order
//! in which they came; whoever wants another is not held up.
//!
//! Invariants: nobody is called for what there is not, so nothing spins while nothing comes back; what is kept for those who were called is
//! not given to others before they ran; nobody overtakes the first in line, however much that one needs.

use crate::Token;
use std::collections::VecDeque;

/// Which of the scarce things: boxes, or the buffers of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line(usize);

impl Line {
    pub(super) const BOXES: Line = Line(0);

    /// Whose buffers; `None` for boxes.
    pub(super) fn class(self) -> Option<usize> {
        self.0.checked_sub(1)
    }

    /// The buffers of a class.
    pub(super) fn of_class(class: usize) -> Line {
        Line(class + 1)
    }
}

#[derive(Default)]
struct Queue {
    /// Who waits, and for how many.
    waiting: VecDeque<(Token, u32)>,
    /// Who was woken to try, and how many are kept for it.
    called: Vec<(Token, u32)>,
    /// How many are kept for those who were called, in all.
    kept: u32,
    /// How many the runner may still take of those that were kept for it.
    served: u32,
}

impl Queue {
    fn is_contended(&self) -> bool {
        !self.waiting.is_empty() || !self.called.is_empty() || self.served > 0
    }

    /// May the runner take `n`, when there are `free`?
    fn admits(&self, n: u32, free: u32) -> bool {
        self.served >= n || (self.waiting.is_empty() && free >= self.kept.saturating_add(n))
    }

    /// Calls those who wait, in order, as far as it reaches: each an equal share, but at least what it needs.
    fn call(&mut self, free: u32, wake: &mut impl FnMut(Token)) {
        let mut left = free.saturating_sub(self.kept);
        let share = left / (self.waiting.len() as u32).max(1);
        while let Some((who, need)) = self.waiting.pop_front_if(|(_, need)| *need <= left) {
            let keep = share.max(need);
            self.called.push((who, keep));
            self.kept += keep;
            left -= keep;
            wake(who);
        }
    }

    fn begin(&mut self, who: Token) {
        if let Some(n) = self.called.iter().position(|(t, _)| *t == who) {
            let (_, keep) = self.called.remove(n);
            self.kept -= keep;
            self.served = keep;
        }
    }

    fn forget(&mut self, who: Token) {
        self.waiting.retain(|(t, _)| *t != who);
        self.begin(who);
        self.served = 0;
    }
}

pub(super) struct Fair {
    lines: Vec<Queue>,
    /// Is anyone in any line? Kept as one flag, since every turn asks.
    contended: bool,
    /// What was refused last, and how many of it: what a waiter waits for.
    refused: (Line, u32),
}

impl Fair {
    pub(super) fn new(classes: usize) -> Fair {
        Fair { lines: (0..=classes).map(|_| Queue::default()).collect(), contended: false, refused: (Line::BOXES, 1) }
    }

    /// Does anyone wait, or try after waiting?
    #[inline]
    pub(super) fn contended(&self) -> bool {
        self.contended
    }

    /// Notes what the runner could not have.
    #[cold]
    pub(super) fn refuse(&mut self, line: Line, need: u32) {
        self.refused = (line, need);
    }

    /// May the runner take `n` of those that are `free`?
    pub(super) fn admits(&self, line: Line, n: u32, free: u32) -> bool {
        self.lines.get(line.0).is_some_and(|q| q.admits(n, free))
    }

    /// The runner took `n`.
    pub(super) fn took(&mut self, line: Line, n: u32) {
        if let Some(q) = self.lines.get_mut(line.0) {
            q.served = q.served.saturating_sub(n);
        }
    }

    /// `who` waits for what was refused last.
    pub(super) fn wait(&mut self, who: Token) {
        let (line, need) = self.refused;
        if let Some(q) = self.lines.get_mut(line.0) {
            match q.waiting.iter_mut().find(|(t, _)| *t == who) {
                Some((_, n)) => *n = (*n).max(need),
                None => q.waiting.push_back((who, need)),
            }
            self.contended = true;
        }
    }

    pub(super) fn forget(&mut self, who: Token) {
        if self.contended {
            self.lines.iter_mut().for_each(|q| q.forget(who));
            self.look();
        }
    }

    fn look(&mut self) {
        self.contended = self.lines.iter().any(Queue::is_contended);
    }

    /// How many buffers a request of a class can have: its own, and of larger ones those that nobody there waits for.
    fn reach(&self, class: usize, free: &impl Fn(Line) -> u32) -> u32 {
        let own = free(Line::of_class(class));
        let larger = (class + 1..self.lines.len().saturating_sub(1)).map(Line::of_class);
        let spare = larger.filter_map(|line| {
            let q = self.lines.get(line.0)?;
            q.waiting.is_empty().then(|| free(line).saturating_sub(q.kept))
        });
        spare.fold(own, u32::saturating_add)
    }

    /// After the consumers ran: calls those who wait, in order, for what there is.
    #[cold]
    pub(super) fn call(&mut self, free: impl Fn(Line) -> u32, mut wake: impl FnMut(Token)) {
        for n in 0..self.lines.len() {
            let reach = match n {
                0 => free(Line::BOXES),
                n => self.reach(n - 1, &free),
            };
            if let Some(q) = self.lines.get_mut(n)
                && !q.waiting.is_empty()
            {
                q.call(reach, &mut wake);
            }
        }
    }

    /// `who` begins to run: what was kept for it is its own to take.
    #[cold]
    pub(super) fn begin(&mut self, who: Token) {
        self.lines.iter_mut().for_each(|q| q.begin(who));
    }

    /// It has run.
    #[cold]
    pub(super) fn end(&mut self) {
        self.lines.iter_mut().for_each(|q| q.served = 0);
        self.look();
    }
}
