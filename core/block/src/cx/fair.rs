//! Turns at what is scarce. While anyone waits for boxes or buffers, only those whose turn it is are served, each its share.

use crate::Token;
use std::collections::VecDeque;

#[derive(Default)]
pub(super) struct Fair {
    /// Who waits, in order.
    waiting: VecDeque<Token>,
    /// Who was woken to try: served when it runs.
    called: Vec<Token>,
    /// Who runs now, and what it may still take.
    served: Option<u32>,
    /// Boxes and buffers that had come back when the last waiter came.
    seen: (usize, u64),
}

impl Fair {
    /// Does anyone wait, or try after waiting?
    #[inline]
    pub(super) fn contended(&self) -> bool {
        !self.waiting.is_empty() || !self.called.is_empty() || self.served.is_some()
    }

    /// May the runner take one?
    #[cold]
    pub(super) fn admit(&mut self) -> bool {
        match &mut self.served {
            Some(n) if *n > 0 => {
                *n -= 1;
                true
            }
            Some(_) => false,
            None => false,
        }
    }

    /// What was admitted was not to be had after all.
    pub(super) fn undo(&mut self) {
        if let Some(n) = &mut self.served {
            *n += 1;
        }
    }

    pub(super) fn wait(&mut self, who: Token, boxes: usize, returns: u64) {
        // Only the first waiter sets the mark: one that comes later may have been refused what came back since, because the first waits.
        // While some are being served, what they leave is for whoever comes now, so anything spare is news.
        if !self.called.is_empty() {
            self.seen = (0, returns);
        } else if self.waiting.is_empty() {
            self.seen = (boxes, returns);
        }
        if !self.waiting.contains(&who) {
            self.waiting.push_back(who);
        }
    }

    pub(super) fn forget(&mut self, who: Token) {
        self.waiting.retain(|t| *t != who);
        self.called.retain(|t| *t != who);
    }

    /// After the consumers ran: if something came back since the last look, calls those who wait, in order.
    pub(super) fn call(&mut self, boxes: usize, returns: u64, mut wake: impl FnMut(Token)) {
        if self.waiting.is_empty() || (boxes <= self.seen.0 && returns == self.seen.1) {
            self.seen.0 = self.seen.0.min(boxes);
            return;
        }
        self.seen = (boxes, returns);
        for t in self.waiting.drain(..) {
            wake(t);
            self.called.push(t);
        }
    }

    /// `who` begins to run: one that was called is served an equal share of what there is.
    #[cold]
    pub(super) fn begin(&mut self, who: Token, boxes: usize) {
        let called = self.called.len();
        if let Some(n) = self.called.iter().position(|t| *t == who) {
            self.called.remove(n);
            self.served = Some((boxes / called).max(1) as u32);
        }
    }

    /// It has run.
    pub(super) fn end(&mut self) {
        self.served = None;
    }
}
