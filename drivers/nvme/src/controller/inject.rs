//! Faults that an operator asks for, to see what those who use a controller make of them.

use super::Controller;
use crate::link::{Fault, QueueKind};

impl Controller {
    /// From now on commands of an opcode end as `fault` says, until its count is used up, also over resets; it takes the place of what was
    /// asked for of the same opcode. The driver's own commands are among them. Those that are with the controller already are not.
    pub async fn inject(&self, kind: QueueKind, fault: Fault) {
        let inner = &self.0;
        inner.shared.faults(kind).set(fault);
        match kind {
            QueueKind::Admin => {
                let pair = inner.admin_pair.clone();
                inner.env.local.with(move |_| pair.borrow_mut().admit_faults()).await;
            }
            QueueKind::Io => {
                // A pair that gets its link later looks by itself.
                for id in inner.pairs() {
                    inner.visit(id, |_, pair| pair.admit_faults()).await;
                }
            }
        }
    }

    /// Asks for no faults of an opcode any more. False when none were asked for, or all have been had.
    pub fn inject_no_more(&self, kind: QueueKind, opcode: u8) -> bool {
        self.0.shared.faults(kind).clear(opcode)
    }
}
