//! Timeouts: while they are on, what is beneath is listed with its time; what is overdue is asked back.

use doorbell_block::{Cx, Io, IoId, Status, Ticks, Token};

#[derive(Default)]
pub(super) struct Watch {
    timeout_ns: u64,
    beneath: Vec<(IoId, u64)>,
    late: Vec<IoId>,
}

impl Watch {
    pub(super) fn set(&mut self, timeout_ns: u64) {
        self.timeout_ns = timeout_ns;
    }

    /// Is there anything to watch?
    pub(super) fn is_on(&self) -> bool {
        self.timeout_ns != 0 || !self.beneath.is_empty()
    }

    pub(super) fn begin(&mut self, cx: &mut Cx, token: Token, io: &Io) {
        if self.timeout_ns != 0 {
            let due = cx.now().0.saturating_add(self.timeout_ns);
            self.beneath.push((io.id(), due));
            cx.wake_at(token, Ticks(due));
        }
    }

    /// One came back; if it had been asked back for being late, it says so.
    pub(super) fn end(&mut self, io: &mut Io) {
        if !self.beneath.is_empty() {
            self.beneath.retain(|(id, _)| *id != io.id());
        }
        if let Some(n) = self.late.iter().position(|id| *id == io.id()) {
            self.late.swap_remove(n);
            if io.status == Status::Aborted {
                io.status = Status::TimedOut;
            }
        }
    }

    /// Who is late and was not asked back yet.
    pub(super) fn overdue(&mut self, cx: &mut Cx, token: Token) -> Vec<IoId> {
        let now = cx.now().0;
        let mut late = Vec::new();
        self.beneath.retain(|(id, due)| {
            let over = *due <= now;
            if over {
                late.push(*id);
            }
            !over
        });
        self.late.extend_from_slice(&late);
        if let Some(next) = self.beneath.iter().map(|(_, due)| *due).min() {
            cx.wake_at(token, Ticks(next));
        }
        late
    }
}
