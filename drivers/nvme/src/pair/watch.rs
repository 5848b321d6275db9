//! Which commands take too long.

use super::Pair;
use doorbell_block::{IoId, Ticks};
use doorbell_wire_nvme::{AdminOpcode, Cid};

/// A command that takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overdue {
    pub(crate) cid: Cid,
    pub(crate) io: IoId,
    /// How long it has been with the device.
    pub(crate) age_ns: u64,
}

impl Pair {
    /// Commands that have been with the device for longer than `limit_ns`, the oldest first. Those of the admin queue that take as long as they
    /// take are not among them.
    pub(crate) fn overdue(&self, now: Ticks, limit_ns: u64) -> Vec<Overdue> {
        let mut late = Vec::new();
        if let Some(link) = &self.link {
            link.each(&mut |cid, flight| {
                let waits = !self.is_io && flight.raw.as_ref().is_some_and(|raw| takes_long(raw.sqe.admin_opcode()));
                let age_ns = now.since(flight.since);
                if age_ns > limit_ns && !waits {
                    late.push(Overdue { cid, io: flight.io.id(), age_ns });
                }
            });
        }
        late.sort_by_key(|o| std::cmp::Reverse(o.age_ns));
        late
    }
}

/// Requests for events wait for ever; the others write to the medium as much as there is of it, and are not to be interrupted.
fn takes_long(opcode: AdminOpcode) -> bool {
    matches!(
        opcode,
        AdminOpcode::ASYNC_EVENT_REQUEST | AdminOpcode::FORMAT_NVM | AdminOpcode::FIRMWARE_COMMIT | AdminOpcode::NAMESPACE_MANAGEMENT
    )
}
