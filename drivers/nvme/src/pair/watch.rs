//! Which commands take too long.

use super::Pair;
use doorbell_block::Ticks;
use doorbell_wire_nvme::{AdminOpcode, Cid};

/// A command that takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overdue {
    pub(crate) cid: Cid,
    /// How long it has been with the device.
    pub(crate) age_ns: u64,
}

impl Pair {
    /// Commands that have been with the device for longer than `limit_ns`, the oldest first. Requests for events are not among them: they
    /// wait for ever.
    pub(crate) fn overdue(&self, now: Ticks, limit_ns: u64) -> Vec<Overdue> {
        let mut late = Vec::new();
        if let Some(link) = &self.link {
            link.each(&mut |cid, flight| {
                let waits = flight.raw.as_ref().is_some_and(|raw| raw.sqe.admin_opcode() == AdminOpcode::ASYNC_EVENT_REQUEST);
                let age_ns = now.since(flight.since);
                if age_ns > limit_ns && !waits {
                    late.push(Overdue { cid, age_ns });
                }
            });
        }
        late.sort_by_key(|o| std::cmp::Reverse(o.age_ns));
        late
    }
}
