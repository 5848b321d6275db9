//! The zones that changed by themselves (ZNS 1.1, 4.1.4.1).

use crate::{U16, U64};

wire_struct! {
    /// Changed zone list (ZNS 1.1, 4.1.4.1).
    pub struct ChangedZones, 4096 bytes {
        /// NRZID: identifiers that follow; FFFFh when there are too many to say.
        pub count: U16,
        /// Reserved.
        pub reserved2: [u8; 6],
        /// ZID: the zones, by their first block.
        pub zones: [U64; 511],
    }
}

impl ChangedZones {
    /// The first blocks of the zones; `None` when any zone may have changed. A count beyond the list is taken for that.
    pub fn iter(&self) -> Option<impl Iterator<Item = u64> + '_> {
        let listed = self.zones.get(..usize::from(self.count.get()))?;
        Some(listed.iter().map(|zone| zone.get()))
    }
}
