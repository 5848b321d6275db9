//! Fabrics commands (Base 2.1, 6), which travel on the admin queue and on I/O queues alike.

use super::{bits, byte, high, join, low, split};
use crate::fabrics::ConnectAttributes;
use crate::register::Property;
use crate::{AdminOpcode, FabricsType, Sqe, U32};

/// A fabrics command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FabricsCommand {
    /// Connect (Base 2.1, 6.3).
    Connect(Connect),
    /// Property Get (Base 2.1, 6.5).
    PropertyGet(PropertyGet),
    /// Property Set (Base 2.1, 6.6).
    PropertySet(PropertySet),
    /// Disconnect (Base 2.1, 6.4).
    Disconnect {
        /// RECFMT: format of the record, 0.
        recfmt: u16,
    },
    /// Authentication Send (Base 2.1, 6.2).
    AuthSend(AuthTransfer),
    /// Authentication Receive (Base 2.1, 6.1).
    AuthReceive(AuthTransfer),
    /// Any other.
    Other(FabricsType),
}

/// Connect (Base 2.1, 6.3). Its data is [`crate::fabrics::ConnectData`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Connect {
    /// RECFMT: format of the record, 0.
    pub recfmt: u16,
    /// QID: 0 for the admin queue.
    pub qid: u16,
    /// SQSIZE: entries of the queue, zero-based as on the wire.
    pub sqsize: u16,
    /// CATTR: attributes.
    pub cattr: ConnectAttributes,
    /// KATO: keep alive timeout in milliseconds, 0 for none.
    pub kato_ms: u32,
}

/// Property Get (Base 2.1, 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PropertyGet {
    /// Length that ATTRIB asks for: 4 or 8 bytes; `None` when its code is reserved.
    pub len: Option<u32>,
    /// OFST: which property.
    pub property: Property,
}

/// Property Set (Base 2.1, 6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PropertySet {
    /// Length that ATTRIB gives: 4 or 8 bytes; `None` when its code is reserved.
    pub len: Option<u32>,
    /// OFST: which property.
    pub property: Property,
    /// VALUE: its new value (the low half when 4 bytes long).
    pub value: u64,
}

/// Authentication Send or Receive (Base 2.1, 6.1 and 6.2): a step of an in-band authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AuthTransfer {
    /// SPSP: protocol specific, 01h in byte 0 and 01h in byte 1.
    pub spsp: u16,
    /// SECP: security protocol, E9h.
    pub secp: u8,
    /// TL of a send, AL of a receive: bytes of data.
    pub len: u32,
}

impl FabricsCommand {
    /// What the entry asks for; its opcode must be 7Fh.
    pub fn parse(sqe: &Sqe) -> Self {
        let (d10, d11) = (sqe.cdw10.get(), sqe.cdw11.get());
        let auth = AuthTransfer { spsp: low(d10 >> 8), secp: byte(d10, 24), len: d11 };
        match sqe.fctype() {
            FabricsType::CONNECT => Self::Connect(Connect {
                recfmt: low(d10),
                qid: high(d10),
                sqsize: low(d11),
                cattr: ConnectAttributes::from_bits(byte(d11, 16)),
                kato_ms: sqe.cdw12.get(),
            }),
            FabricsType::PROPERTY_GET => Self::PropertyGet(PropertyGet { len: property_len(d10), property: Property(d11) }),
            FabricsType::PROPERTY_SET => Self::PropertySet(PropertySet {
                len: property_len(d10),
                property: Property(d11),
                value: join(sqe.cdw12.get(), sqe.cdw13.get()),
            }),
            FabricsType::DISCONNECT => Self::Disconnect { recfmt: low(d10) },
            FabricsType::AUTH_SEND => Self::AuthSend(auth),
            FabricsType::AUTH_RECEIVE => Self::AuthReceive(auth),
            other => Self::Other(other),
        }
    }

    /// The entry that asks for this.
    pub fn encode(self) -> Sqe {
        let (fctype, d10, d11, value) = match self {
            Self::Connect(c) => (
                FabricsType::CONNECT,
                u32::from(c.recfmt) | (u32::from(c.qid) << 16),
                u32::from(c.sqsize) | (u32::from(c.cattr.into_bits()) << 16),
                u64::from(c.kato_ms),
            ),
            Self::PropertyGet(c) => (FabricsType::PROPERTY_GET, property_attrib(c.len), c.property.0, 0),
            Self::PropertySet(c) => (FabricsType::PROPERTY_SET, property_attrib(c.len), c.property.0, c.value),
            Self::Disconnect { recfmt } => (FabricsType::DISCONNECT, u32::from(recfmt), 0, 0),
            Self::AuthSend(c) => (FabricsType::AUTH_SEND, c.d10(), c.len, 0),
            Self::AuthReceive(c) => (FabricsType::AUTH_RECEIVE, c.d10(), c.len, 0),
            Self::Other(fctype) => (fctype, 0, 0, 0),
        };
        let (d12, d13) = split(value);
        Sqe {
            nsid: U32::new(u32::from(fctype.0)),
            cdw10: U32::new(d10),
            cdw11: U32::new(d11),
            cdw12: U32::new(d12),
            cdw13: U32::new(d13),
            ..Sqe::new(AdminOpcode::FABRICS.0)
        }
    }
}

impl AuthTransfer {
    fn d10(self) -> u32 {
        (u32::from(self.spsp) << 8) | (u32::from(self.secp) << 24)
    }
}

/// ATTRIB bits 2:0: 0 is 4 bytes, 1 is 8 bytes.
const fn property_len(d10: u32) -> Option<u32> {
    match bits(d10, 0, 3) {
        0 => Some(4),
        1 => Some(8),
        _ => None,
    }
}

const fn property_attrib(len: Option<u32>) -> u32 {
    match len {
        Some(4) => 0,
        Some(8) => 1,
        _ => 7,
    }
}
