//! The Zoned Namespace command set's own structures: CNS 05h and 06h with CSI 02h (ZNS 1.1, 4.1.5.1 and 4.1.5.2).

use crate::{U16, U32, U64};
use bitfield_struct::bitfield;

/// ZOC: zone operation characteristics (ZNS 1.1, 4.1.5.1).
#[bitfield(u16)]
#[derive(PartialEq, Eq, Hash)]
pub struct Zoc {
    /// VZC: the capacity of a zone may change when it is reset.
    pub variable_capacity: bool,
    /// ZAE: the controller may finish active zones by itself.
    pub excursions: bool,
    #[bits(14)]
    __: u16,
}

/// OZCS: optional zoned command support (ZNS 1.1, 4.1.5.1).
#[bitfield(u16)]
#[derive(PartialEq, Eq, Hash)]
pub struct Ozcs {
    /// RAZB: reads may cross from one zone into the next.
    pub read_across: bool,
    /// ZRWASUP: zone random write area.
    pub random_write_area: bool,
    #[bits(14)]
    __: u16,
}

wire_struct! {
    /// Zones of an LBA format (ZNS 1.1, 4.1.5.1: LBA Format Extension).
    #[derive(Copy, Hash)]
    pub struct ZonedFormat, 16 bytes {
        /// ZSZE: size of each zone, in logical blocks.
        pub zsze: U64,
        /// ZDES: size of a zone's descriptor extension, in units of 64 bytes.
        pub zdes: u8,
        /// Reserved.
        pub reserved9: [u8; 7],
    }
}

wire_struct! {
    /// Identify Namespace specific to the Zoned Namespace command set (ZNS 1.1, 4.1.5.1).
    pub struct ZonedNamespace, 4096 bytes {
        /// ZOC: characteristics ([`Zoc`]).
        pub zoc: U16,
        /// OZCS: optional commands ([`Ozcs`]).
        pub ozcs: U16,
        /// MAR: active zones at most, zero-based; FFFFFFFFh for no limit.
        pub mar: U32,
        /// MOR: open zones at most, zero-based; FFFFFFFFh for no limit.
        pub mor: U32,
        /// RRL: seconds until the controller resets a zone after it recommends to.
        pub rrl_s: U32,
        /// FRL: seconds until the controller finishes a zone after it recommends to.
        pub frl_s: U32,
        /// RRL1 to RRL3: further limits.
        pub rrl_more_s: [U32; 3],
        /// FRL1 to FRL3: further limits.
        pub frl_more_s: [U32; 3],
        /// NUMZRWA: random write areas.
        pub numzrwa: U32,
        /// ZRWAFG: granularity of their flush, in logical blocks.
        pub zrwafg: U16,
        /// ZRWASZ: size of one, in logical blocks.
        pub zrwasz: U16,
        /// ZRWACAP: their capabilities.
        pub zrwacap: u8,
        /// Reserved.
        pub reserved53: [u8; 2763],
        /// LBAFE: zones of each LBA format.
        pub lbafe: [ZonedFormat; 64],
        /// VS: vendor specific.
        pub vs: [u8; 256],
    }
}

impl ZonedNamespace {
    /// A limit of zones, which is zero-based and all ones for none.
    pub fn limit(zero_based: U32) -> Option<u32> {
        zero_based.get().checked_add(1)
    }
}

wire_struct! {
    /// Identify Controller specific to the Zoned Namespace command set (ZNS 1.1, 4.1.5.2).
    pub struct ZonedController, 4096 bytes {
        /// ZASL: limit of an append, a power of two of minimum memory pages; 0: that of all transfers.
        pub zasl: u8,
        /// Reserved.
        pub reserved1: [u8; 4095],
    }
}
