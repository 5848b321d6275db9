//! The shutdown that a host announces (CC.SHN): its Property Set is answered, and the shutdown said to be complete, once every namespace of the
//! controller has flushed what it keeps in a volatile cache (Base 2.1, 3.6.2).
//!
//! It is the flush of all namespaces that an I/O queue knows, on the admin queue, which reaches the namespaces for as long as it takes.

use super::connection::{Connection, Queue, Shared};
use crate::io::Shape;
use crate::io::ranges::Progress;
use doorbell_block::Cx;
use doorbell_wire_nvme::Status;

/// A shutdown under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shutdown {
    /// The Property Set.
    slot: u16,
    /// The subsystem, as this group reaches it.
    pub(super) attached: u32,
}

impl Connection {
    /// Flushes every namespace for the Property Set of `slot`, which has a box with it.
    pub(super) fn begin_shutdown(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16) {
        let Queue::Admin(controller) = &self.queue else { return };
        let subsystem = controller.subsystem.id;
        let snapshot = shared.snapshot.clone();
        // A second announcement meanwhile has nothing to wait for but the first, and a subsystem that is gone nothing to flush.
        let attached = match self.shutdown {
            None => shared.namespaces.attach(cx, shared.me, &snapshot, subsystem),
            Some(_) => None,
        };
        let (Some(attached), Some(r)) = (attached, self.requests.get(slot)) else {
            return self.finish_with(cx, shared, slot, Status::SUCCESS);
        };
        (r.plan.shape, r.progress) = (Shape::FlushAll, Progress::default());
        self.shutdown = Some(Shutdown { slot, attached });
        self.next_flush(cx, shared, slot);
    }

    /// The command of `slot` is about to be answered: if that ends a shutdown, the controller says how far it came.
    pub(super) fn end_shutdown(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16, status: Status) {
        let Some(ended) = self.shutdown.take_if(|s| s.slot == slot) else { return };
        self.leave_shutdown(cx, shared, ended);
        match &mut self.queue {
            Queue::Admin(controller) if status.is_ok() => controller.shut_down(),
            _ => {
                tracing::error!(connection = self.id, peer = %self.peer, %status, "a host shuts down, and not all that it wrote could be flushed");
            }
        }
    }

    /// Lets go of the namespaces.
    pub(super) fn leave_shutdown(&mut self, cx: &mut Cx, shared: &mut Shared, ended: Shutdown) {
        let snapshot = shared.snapshot.clone();
        shared.namespaces.detach(cx, shared.me, &snapshot, ended.attached);
    }
}
