//! PDU headers as they lie on the wire (TCP 1.1, 3.6). All fields are little-endian.

use doorbell_wire_nvme::{Cqe, Sqe, U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Type of a PDU, byte 0 (TCP 1.1, 3.6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct PduType(pub u8);

impl PduType {
    /// Initialize Connection Request, host to controller.
    pub const IC_REQ: Self = Self(0x00);
    /// Initialize Connection Response, controller to host.
    pub const IC_RESP: Self = Self(0x01);
    /// Terminate connection, sent by the host.
    pub const H2C_TERM_REQ: Self = Self(0x02);
    /// Terminate connection, sent by the controller.
    pub const C2H_TERM_REQ: Self = Self(0x03);
    /// Command capsule, host to controller.
    pub const CAPSULE_CMD: Self = Self(0x04);
    /// Response capsule, controller to host.
    pub const CAPSULE_RESP: Self = Self(0x05);
    /// Data, host to controller, as an R2T asked for.
    pub const H2C_DATA: Self = Self(0x06);
    /// Data, controller to host.
    pub const C2H_DATA: Self = Self(0x07);
    /// Ready to Transfer: the controller asks for data.
    pub const R2T: Self = Self(0x09);

    /// The name that the specification gives the type; `None` for one that it does not.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::IC_REQ => "ICReq",
            Self::IC_RESP => "ICResp",
            Self::H2C_TERM_REQ => "H2CTermReq",
            Self::C2H_TERM_REQ => "C2HTermReq",
            Self::CAPSULE_CMD => "CapsuleCmd",
            Self::CAPSULE_RESP => "CapsuleResp",
            Self::H2C_DATA => "H2CData",
            Self::C2H_DATA => "C2HData",
            Self::R2T => "R2T",
            _ => return None,
        })
    }
}

/// FLAGS: a header digest follows the header (TCP 1.1, 3.6).
pub const FLAG_HDGST: u8 = 1 << 0;
/// FLAGS: a data digest follows the data.
pub const FLAG_DDGST: u8 = 1 << 1;
/// FLAGS: the last data PDU of its R2T or command.
pub const FLAG_LAST: u8 = 1 << 2;
/// FLAGS: the command succeeded, no response capsule follows (C2HData only).
pub const FLAG_SUCCESS: u8 = 1 << 3;

macro_rules! header {
    ($(#[$meta:meta])* $name:ident, $len:ident = $value:literal { $( $(#[$fmeta:meta])* $vis:vis $field:ident: $ty:ty, )* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
        #[repr(C)]
        pub struct $name { $( $(#[$fmeta])* $vis $field: $ty, )* }

        #[doc = concat!("Bytes of a [`", stringify!($name), "`], and the value of its HLEN where it has one.")]
        pub const $len: usize = $value;
        const _: () = assert!(size_of::<$name>() == $len);
    };
}

header! {
    /// What every PDU begins with (TCP 1.1, 3.6).
    CommonHeader, COMMON_LEN = 8 {
        /// Type.
        pub pdu_type: PduType,
        /// FLAGS, of which each type uses some.
        pub flags: u8,
        /// HLEN: bytes of the header, without its digest.
        pub hlen: u8,
        /// PDO: offset of the data from the start of the PDU.
        pub pdo: u8,
        /// PLEN: bytes of the whole PDU: header, digests, padding and data.
        pub plen: U32,
    }
}

header! {
    /// Initialize Connection Request (TCP 1.1, 3.6.2.2).
    IcReqHeader, IC_LEN = 128 {
        /// Common header.
        pub ch: CommonHeader,
        /// PFV: PDU format version, 0.
        pub pfv: U16,
        /// HPDA: alignment that the host wants for data it receives, in dwords, zero-based.
        pub hpda: u8,
        /// DGST: bit 0 header digest, bit 1 data digest asked for.
        pub dgst: u8,
        /// MAXR2T: R2Ts at once of one command, zero-based.
        pub maxr2t: U32,
        reserved16: [u8; 112],
    }
}

header! {
    /// Initialize Connection Response (TCP 1.1, 3.6.2.3).
    IcRespHeader, IC_RESP_LEN = 128 {
        /// Common header.
        pub ch: CommonHeader,
        /// PFV: PDU format version, 0.
        pub pfv: U16,
        /// CPDA: alignment that the controller wants for data it receives, in dwords, zero-based.
        pub cpda: u8,
        /// DGST: bit 0 header digest, bit 1 data digest in use from now on.
        pub dgst: u8,
        /// MAXH2CDATA: longest data of one H2CData PDU in bytes, 4,096 at least, a multiple of 4.
        pub maxh2cdata: U32,
        reserved16: [u8; 112],
    }
}

header! {
    /// Terminate connection, either direction (TCP 1.1, 3.6.2.4 and 3.6.2.5). Up to 128 bytes of the offending
    /// header follow.
    TermReqHeader, TERM_LEN = 24 {
        /// Common header.
        pub ch: CommonHeader,
        /// FES: fatal error status.
        pub fes: U16,
        /// FEI: fatal error information.
        pub fei: U32,
        reserved14: [u8; 10],
    }
}

header! {
    /// Command capsule (TCP 1.1, 3.6.2.6).
    CapsuleCmdHeader, CMD_LEN = 72 {
        /// Common header.
        pub ch: CommonHeader,
        /// The command.
        pub sqe: Sqe,
    }
}

header! {
    /// Response capsule (TCP 1.1, 3.6.2.7).
    CapsuleRespHeader, RESP_LEN = 24 {
        /// Common header.
        pub ch: CommonHeader,
        /// The completion.
        pub cqe: Cqe,
    }
}

header! {
    /// Data in either direction, and Ready to Transfer: three PDUs of one layout (TCP 1.1, 3.6.2.8 to 3.6.2.10).
    TransferHeader, TRANSFER_LEN = 24 {
        /// Common header.
        pub ch: CommonHeader,
        /// CCCID: identifier of the command.
        pub cccid: U16,
        /// TTAG: transfer tag of the controller; reserved in C2HData.
        pub ttag: U16,
        /// DATAO or R2TO: offset in the command's data.
        pub offset: U32,
        /// DATAL or R2TL: bytes.
        pub len: U32,
        reserved20: U32,
    }
}

impl CommonHeader {
    pub(crate) const fn new(pdu_type: PduType, flags: u8, hlen: u8, pdo: u8, plen: u32) -> Self {
        Self { pdu_type, flags, hlen, pdo, plen: U32::new(plen) }
    }
}

impl IcReqHeader {
    pub(crate) fn new(ch: CommonHeader, hpda: u8, dgst: u8, maxr2t: u32) -> Self {
        Self { ch, pfv: U16::new(0), hpda, dgst, maxr2t: U32::new(maxr2t), reserved16: [0; 112] }
    }
}

impl IcRespHeader {
    pub(crate) fn new(ch: CommonHeader, cpda: u8, dgst: u8, maxh2cdata: u32) -> Self {
        Self { ch, pfv: U16::new(0), cpda, dgst, maxh2cdata: U32::new(maxh2cdata), reserved16: [0; 112] }
    }
}

impl TermReqHeader {
    pub(crate) fn new(ch: CommonHeader, fes: u16, fei: u32) -> Self {
        Self { ch, fes: U16::new(fes), fei: U32::new(fei), reserved14: [0; 10] }
    }
}

impl TransferHeader {
    pub(crate) fn new(ch: CommonHeader, cccid: u16, ttag: u16, offset: u32, len: u32) -> Self {
        Self { ch, cccid: U16::new(cccid), ttag: U16::new(ttag), offset: U32::new(offset), len: U32::new(len), reserved20: U32::new(0) }
    }
}
