//! Faults that an operator asked for: the link is put behind one that has them.

use super::Pair;
use crate::link::{AnyLink, Faults, FaultyLink, QueueKind};
use std::sync::Arc;

impl Pair {
    /// Those that were asked for of its kind.
    pub(super) fn faults(&self) -> &Arc<Faults> {
        self.shared.faults(if self.is_io { QueueKind::Io } else { QueueKind::Admin })
    }

    /// Its commands end as was asked for from now on, if that is asked for.
    pub(crate) fn admit_faults(&mut self) {
        if self.admits_faults {
            return;
        }
        if let Some(link) = self.link.take() {
            self.link = Some(AnyLink::other(FaultyLink::around(link, self.faults().clone())));
            self.admits_faults = true;
        }
    }
}
