//! Timeouts: while they are on, what is beneath is listed with the time at which it went; what is overdue is asked back, once.
//!
//! One timeout holds for all, so the list is in order of time and only its head is looked at. What has come back is left in it until it
//! reaches the head; when that is most of the list, the list is swept. A box goes down many times under one id: each time has its number.

use doorbell_block::{Cx, Io, IoId, Status, Ticks, Token};
use std::collections::{HashMap, VecDeque};

#[cfg(test)]
mod tests;

#[derive(Default)]
pub(super) struct Watch {
    timeout_ns: u64,
    /// The number of the latest time that a box went down.
    latest: u64,
    /// In order of time.
    list: VecDeque<Went>,
    /// What is beneath, by box.
    beneath: HashMap<IoId, State>,
}

#[derive(Clone, Copy)]
struct Went {
    id: IoId,
    number: u64,
    at: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Under this number.
    Awaited(u64),
    /// And asked back.
    Late,
}

/// Below this nothing is swept.
const SWEEP_MIN: usize = 64;

impl Watch {
    /// Takes the timeout in force, also for what is beneath already; zero: nothing is late any more.
    pub(super) fn set(&mut self, timeout_ns: u64) {
        self.timeout_ns = timeout_ns;
        if timeout_ns == 0 {
            self.list.clear();
            self.beneath.retain(|_, state| *state == State::Late);
        }
    }

    /// Is there anything to watch?
    pub(super) fn is_on(&self) -> bool {
        self.timeout_ns != 0 || !self.beneath.is_empty()
    }

    pub(super) fn begin(&mut self, cx: &mut Cx, token: Token, io: &Io) {
        if self.timeout_ns == 0 {
            return;
        }
        self.latest += 1;
        let went = Went { id: io.id(), number: self.latest, at: cx.now().0 };
        if self.list.is_empty() {
            cx.wake_at(token, Ticks(went.at.saturating_add(self.timeout_ns)));
        }
        self.list.push_back(went);
        self.beneath.insert(went.id, State::Awaited(went.number));
    }

    /// One came back; if it had been asked back for being late, it says so.
    pub(super) fn end(&mut self, io: &mut Io) {
        let state = self.beneath.remove(&io.id());
        if state == Some(State::Late) && io.status == Status::Aborted {
            io.status = Status::TimedOut;
        }
        if self.list.len() > SWEEP_MIN && self.list.len() > 2 * self.beneath.len() {
            let beneath = &self.beneath;
            self.list.retain(|went| beneath.get(&went.id) == Some(&State::Awaited(went.number)));
        }
    }

    /// Who is late and was not asked back yet. Sets the timer for the next.
    pub(super) fn overdue(&mut self, cx: &mut Cx, token: Token) -> Vec<IoId> {
        let now = cx.now().0;
        let mut late = Vec::new();
        while let Some(went) = self.list.front() {
            let due = went.at.saturating_add(self.timeout_ns);
            if let Some(state) = self.beneath.get_mut(&went.id).filter(|state| **state == State::Awaited(went.number)) {
                if due > now {
                    cx.wake_at(token, Ticks(due));
                    break;
                }
                *state = State::Late;
                late.push(went.id);
            }
            self.list.pop_front();
        }
        late
    }
}
