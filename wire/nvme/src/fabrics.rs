//! Data and results of the fabrics commands (Base 2.1, 6.3).

use crate::{NqnField, U16};
use bitfield_struct::bitfield;

wire_struct! {
    /// Data of a Connect (Base 2.1, 6.3).
    pub struct ConnectData, 1024 bytes {
        /// HOSTID: host identifier, 128 bits.
        pub hostid: [u8; 16],
        /// CNTLID: FFFFh asks for a new controller (dynamic model); an I/O queue names its controller.
        pub cntlid: U16,
        /// Reserved.
        pub reserved18: [u8; 238],
        /// SUBNQN: the subsystem to connect to.
        pub subnqn: NqnField,
        /// HOSTNQN: who connects.
        pub hostnqn: NqnField,
        /// Reserved.
        pub reserved768: [u8; 256],
    }
}

/// CNTLID that asks for any controller (dynamic controller model; Base 2.1, 6.3).
pub const CNTLID_DYNAMIC: u16 = 0xffff;

/// CNTLID that asks for any controller of the static model (Base 2.1, 6.3).
pub const CNTLID_STATIC_ANY: u16 = 0xfffe;

/// Largest controller identifier that names a controller (Base 2.1, 3.1.1).
pub const CNTLID_MAX: u16 = 0xffef;

/// CATTR: attributes of a Connect (Base 2.1, 6.3).
#[bitfield(u8)]
#[derive(PartialEq, Eq, Hash)]
pub struct ConnectAttributes {
    /// Priority class of the queue (0 urgent … 3 low); only with weighted round robin.
    #[bits(2)]
    pub priority: u8,
    /// The host will not use submission queue flow control.
    pub disable_sqfc: bool,
    /// Support for deleting an individual I/O queue (Disconnect).
    pub individual_delete: bool,
    #[bits(4)]
    __: u8,
}

/// Result of a Connect that succeeded, dword 0 of its response (Base 2.1, 6.3).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct ConnectResult {
    /// CNTLID: the controller that the queue belongs to now.
    pub cntlid: u16,
    #[bits(1)]
    __: u8,
    /// AUTHREQ.ATR: NVMe in-band authentication is required.
    pub authentication: bool,
    /// AUTHREQ.ASCR: authentication by a secure channel is required.
    pub secure_channel: bool,
    #[bits(13)]
    __: u16,
}

/// Result of a Connect refused with Connect Invalid Parameters, dword 0 (Base 2.1, 6.3).
#[bitfield(u32)]
#[derive(PartialEq, Eq, Hash)]
pub struct ConnectInvalid {
    /// IPO: byte offset of the first wrong parameter.
    pub offset: u16,
    /// IATTR bit 0: the offset is into the data (else into the command).
    pub in_data: bool,
    #[bits(15)]
    __: u16,
}

impl ConnectInvalid {
    /// The parameter at `offset` of the Connect command is wrong.
    pub const fn in_command(offset: u16) -> Self {
        Self::new().with_offset(offset)
    }
    /// The parameter at `offset` of the Connect data is wrong.
    pub const fn data(offset: u16) -> Self {
        Self::new().with_offset(offset).with_in_data(true)
    }
    /// RECFMT of the command.
    pub const RECFMT: Self = Self::in_command(40);
    /// QID of the command.
    pub const QID: Self = Self::in_command(42);
    /// SQSIZE of the command.
    pub const SQSIZE: Self = Self::in_command(44);
    /// CATTR of the command.
    pub const CATTR: Self = Self::in_command(46);
    /// KATO of the command.
    pub const KATO: Self = Self::in_command(48);
    /// HOSTID of the data.
    pub const HOSTID: Self = Self::data(0);
    /// CNTLID of the data.
    pub const CNTLID: Self = Self::data(16);
    /// SUBNQN of the data.
    pub const SUBNQN: Self = Self::data(256);
    /// HOSTNQN of the data.
    pub const HOSTNQN: Self = Self::data(512);
}
