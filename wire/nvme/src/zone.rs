//! What a zone report says (ZNS 1.1, 3.4.2.2). Get one with [`crate::view`].
//!
//! A report comes from a device that is not trusted: it is read as far as its bytes go, and whether its zones make sense is for their
//! reader to see, who knows the namespace.

use crate::U64;

open_enum! {
    /// ZT: type of a zone (ZNS 1.1, 3.4.2.2.3).
    pub struct ZoneType(u8) {
        SEQUENTIAL_WRITE_REQUIRED = 2 => "Sequential Write Required",
    }
}

open_enum! {
    /// ZS: state of a zone (ZNS 1.1, 2.1.1.2).
    pub struct ZoneCondition(u8) {
        EMPTY = 0x1 => "Empty",
        IMPLICITLY_OPEN = 0x2 => "Implicitly Opened",
        EXPLICITLY_OPEN = 0x3 => "Explicitly Opened",
        CLOSED = 0x4 => "Closed",
        READ_ONLY = 0xd => "Read Only",
        FULL = 0xe => "Full",
        OFFLINE = 0xf => "Offline",
    }
}

wire_struct! {
    /// What a report begins with (ZNS 1.1, 3.4.2.2.2).
    pub struct ReportHeader, 64 bytes {
        /// NZ: zones that there are, or with Partial Report those that follow.
        pub zones: U64,
        /// Reserved.
        pub reserved8: [u8; 56],
    }
}

wire_struct! {
    /// A zone of a report (ZNS 1.1, 3.4.2.2.3).
    #[derive(Copy, Hash)]
    pub struct ZoneDescriptor, 64 bytes {
        /// ZT: type, in bits 3:0.
        pub kind: u8,
        /// ZS: state, in bits 7:4.
        pub state: u8,
        /// ZA: attributes (bit 0 finished by the controller, 1 finish recommended, 2 reset recommended, 7 descriptor extension).
        pub attributes: u8,
        /// ZAI: information on the recommendations.
        pub information: u8,
        /// Reserved.
        pub reserved4: [u8; 4],
        /// ZCAP: blocks that can be written.
        pub zcap: U64,
        /// ZSLBA: first block.
        pub zslba: U64,
        /// WP: write pointer.
        pub wp: U64,
        /// Reserved.
        pub reserved32: [u8; 32],
    }
}

impl ZoneDescriptor {
    /// A zone's description.
    pub fn new(kind: ZoneType, state: ZoneCondition, zslba: u64, zcap: u64, wp: u64) -> Self {
        Self { kind: kind.0 & 0xf, state: state.0 << 4, zcap: U64::new(zcap), zslba: U64::new(zslba), wp: U64::new(wp), ..Self::default() }
    }

    /// Its type.
    pub fn kind(&self) -> ZoneType {
        ZoneType(self.kind & 0xf)
    }

    /// Its state.
    pub fn state(&self) -> ZoneCondition {
        ZoneCondition(self.state >> 4)
    }

    /// The descriptors of a report without extensions: as many as its header says, and no more than its bytes hold.
    pub fn of_report(report: &[u8]) -> &[ZoneDescriptor] {
        let said = crate::view::<ReportHeader>(report).map_or(0, |header| header.zones.get());
        let rest = report.get(size_of::<ReportHeader>()..).unwrap_or_default();
        let held = rest.len() / size_of::<ZoneDescriptor>();
        let count = usize::try_from(said).unwrap_or(usize::MAX).min(held);
        <[ZoneDescriptor] as zerocopy::FromBytes>::ref_from_prefix_with_elems(rest, count).map_or(&[], |(zones, _)| zones)
    }
}

#[cfg(test)]
mod tests;
