//! Log pages (Base 2.1, 5.1.12.1). Get one with [`crate::view`].

mod discovery;
mod effects;
mod health;
mod zones;

pub use discovery::{DiscoveryEntry, DiscoveryHeader, TcpTsas, Treq};
pub use effects::{CommandEffects, Effects, LogPageSupport, SupportedLogPages};
pub use health::{CriticalWarning, ErrorEntry, FirmwareSlots, SanitizeState, SanitizeStatus, SmartLog};
pub use zones::ChangedZones;

use crate::U32;

wire_struct! {
    /// Changed attached namespaces: identifiers in rising order, ended by a 0; FFFFFFFFh alone when there are more
    /// than 1,024 (Base 2.1, 5.1.12.1.5).
    pub struct ChangedNamespaces, 4096 bytes {
        /// The identifiers.
        pub nsid: [U32; 1024],
    }
}

impl ChangedNamespaces {
    /// Fills the list, or says that there are too many.
    pub fn fill(&mut self, ids: impl IntoIterator<Item = u32>) {
        self.nsid.fill(U32::new(0));
        let mut ids = ids.into_iter();
        for (slot, id) in self.nsid.iter_mut().zip(&mut ids) {
            *slot = U32::new(id);
        }
        if ids.next().is_some() {
            self.nsid.fill(U32::new(0));
            self.nsid[0] = U32::new(crate::NSID_ALL);
        }
    }

    /// The identifiers, `None` when every namespace has to be looked at.
    pub fn iter(&self) -> Option<impl Iterator<Item = u32> + '_> {
        if self.nsid[0].get() == crate::NSID_ALL {
            return None;
        }
        Some(self.nsid.iter().map(|id| id.get()).take_while(|&id| id != 0))
    }
}

#[cfg(test)]
mod tests;
