//! Asynchronous events (Base 2.1, 5.1.2): what happened, who waits to be told, and what is not told twice before its log is read.

use super::{EVENT_REQUESTS, Reply, refuse};
use crate::Subsystem;
use doorbell_wire_nvme::Status;
use doorbell_wire_nvme::event::AsyncEvent;
use doorbell_wire_nvme::feature::AsyncEventConfig;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One kind of event.
#[derive(Clone, Copy, Default)]
struct Notice {
    pending: bool,
    /// Told, and its log not read since.
    told: bool,
}

impl Notice {
    fn take(&mut self, wanted: bool) -> bool {
        let now = self.pending && !self.told && wanted;
        if now {
            (self.pending, self.told) = (false, true);
        }
        now
    }
}

#[derive(Default)]
pub(super) struct Events {
    requests: Vec<u16>,
    namespaces: Notice,
    discovery: Notice,
    doorbell: Notice,
    changed: BTreeSet<u32>,
}

impl Events {
    pub(super) fn request(&mut self, slot: u16) -> Reply {
        if self.requests.len() >= EVENT_REQUESTS {
            return refuse(Status::AER_LIMIT_EXCEEDED);
        }
        self.requests.push(slot);
        Reply::Held
    }

    pub(super) fn withdraw(&mut self, slot: u16) -> bool {
        let before = self.requests.len();
        self.requests.retain(|s| *s != slot);
        self.requests.len() < before
    }

    /// What happened is forgotten; requests stay, the host sends them once.
    pub(super) fn reset(&mut self) {
        (self.namespaces, self.discovery, self.doorbell) = (Notice::default(), Notice::default(), Notice::default());
        self.changed.clear();
    }

    pub(super) fn forget_requests(&mut self) {
        self.requests.clear();
    }

    pub(super) fn doorbell_invalid(&mut self) {
        self.doorbell.pending = true;
    }

    /// The error log was read: errors may be told again.
    pub(super) fn errors_read(&mut self) {
        self.doorbell.told = false;
    }

    pub(super) fn discovery_changed(&mut self) {
        self.discovery.pending = true;
    }

    pub(super) fn namespaces_changed(&mut self, old: &Subsystem, new: &Subsystem) {
        let ids: BTreeSet<u32> = old.namespaces.keys().chain(new.namespaces.keys()).copied().collect();
        for nsid in ids {
            let same = match (old.namespaces.get(&nsid), new.namespaces.get(&nsid)) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b) || (a.id == b.id && a.info == b.info),
                _ => false,
            };
            if !same {
                self.changed.insert(nsid);
                self.namespaces.pending = true;
            }
        }
    }

    pub(super) fn next(&mut self, wanted: AsyncEventConfig) -> Option<(u16, u32)> {
        let slot = *self.requests.first()?;
        // Errors are always told (Base 2.1, 5.1.25.1.5).
        let event = if self.doorbell.take(true) {
            AsyncEvent::INVALID_DOORBELL
        } else if self.namespaces.take(wanted.namespace()) {
            AsyncEvent::NAMESPACE_CHANGED
        } else if self.discovery.take(wanted.discovery()) {
            AsyncEvent::DISCOVERY_CHANGED
        } else {
            return None;
        };
        self.requests.remove(0);
        Some((slot, event.into_bits()))
    }

    /// The changed namespaces. Reading clears them, and lets the event come again; with `retain` only the list is given.
    pub(super) fn changed(&mut self, retain: bool) -> BTreeSet<u32> {
        if retain {
            return self.changed.clone();
        }
        self.namespaces.told = false;
        std::mem::take(&mut self.changed)
    }

    pub(super) fn discovery_read(&mut self) {
        self.discovery.told = false;
    }
}
