//! Fatal transport errors: what a Terminate Connection Request says (TCP 1.1, 3.6.2.4).

use core::fmt;

/// FES: fatal error status (TCP 1.1, 3.6.2.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FatalStatus(pub u16);

impl FatalStatus {
    /// A header field is wrong; FEI is its offset in the header.
    pub const INVALID_HEADER_FIELD: Self = Self(0x01);
    /// A PDU came that cannot come now.
    pub const PDU_SEQUENCE: Self = Self(0x02);
    /// The header digest is wrong; FEI is the digest received.
    pub const HEADER_DIGEST: Self = Self(0x03);
    /// Data outside what was asked for.
    pub const DATA_OUT_OF_RANGE: Self = Self(0x04);
    /// More data in one PDU, or more R2Ts at once, than was agreed on.
    pub const LIMIT_EXCEEDED: Self = Self(0x05);
    /// A parameter that is not supported; FEI is its offset in the header.
    pub const UNSUPPORTED_PARAMETER: Self = Self(0x06);

    /// The name that the specification gives the status; `None` for one that it does not.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::INVALID_HEADER_FIELD => "Invalid PDU Header Field",
            Self::PDU_SEQUENCE => "PDU Sequence Error",
            Self::HEADER_DIGEST => "Header Digest Error",
            Self::DATA_OUT_OF_RANGE => "Data Transfer Out of Range",
            Self::LIMIT_EXCEEDED => "Data Transfer Limit Exceeded",
            Self::UNSUPPORTED_PARAMETER => "Unsupported Parameter",
            _ => return None,
        })
    }
}

impl fmt::Display for FatalStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "unknown fatal error ({:04x}h)", self.0),
        }
    }
}

impl fmt::Debug for FatalStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FatalStatus({:04x}h: {self})", self.0)
    }
}

/// A rule that the peer broke: status and information of the Terminate Connection Request that it gets.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fault {
    /// FES.
    pub status: FatalStatus,
    /// FEI.
    pub info: u32,
}

impl Fault {
    /// The header field at `offset` is wrong.
    pub const fn field(offset: u32) -> Self {
        Self { status: FatalStatus::INVALID_HEADER_FIELD, info: offset }
    }
    /// The header field at `offset` asks for what is not supported.
    pub const fn unsupported(offset: u32) -> Self {
        Self { status: FatalStatus::UNSUPPORTED_PARAMETER, info: offset }
    }
    /// The header digest does not match; `received` is what came.
    pub const fn header_digest(received: u32) -> Self {
        Self { status: FatalStatus::HEADER_DIGEST, info: received }
    }

    /// The PDU cannot come now.
    pub const SEQUENCE: Self = Self { status: FatalStatus::PDU_SEQUENCE, info: 0 };
    /// Data outside what was asked for.
    pub const OUT_OF_RANGE: Self = Self { status: FatalStatus::DATA_OUT_OF_RANGE, info: 0 };
    /// More than was agreed on.
    pub const LIMIT: Self = Self { status: FatalStatus::LIMIT_EXCEEDED, info: 0 };

    /// The type.
    pub const TYPE: Self = Self::field(0);
    /// FLAGS.
    pub const FLAGS: Self = Self::field(1);
    /// HLEN.
    pub const HLEN: Self = Self::field(2);
    /// PDO.
    pub const PDO: Self = Self::field(3);
    /// PLEN.
    pub const PLEN: Self = Self::field(4);
    /// CCCID names no command, or not the one that the tag belongs to.
    pub const CCCID: Self = Self::field(8);
    /// TTAG names no transfer.
    pub const TTAG: Self = Self::field(10);
    /// DATAO or R2TO.
    pub const OFFSET: Self = Self::field(12);
    /// DATAL or R2TL.
    pub const LEN: Self = Self::field(16);
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            FatalStatus::INVALID_HEADER_FIELD | FatalStatus::UNSUPPORTED_PARAMETER => {
                write!(f, "{} at byte {} of the header", self.status, self.info)
            }
            FatalStatus::HEADER_DIGEST => write!(f, "{} (received {:08x}h)", self.status, self.info),
            _ => write!(f, "{}", self.status),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({self})")
    }
}

impl core::error::Error for Fault {}

/// A fault and the header that has it, as much of it as came (at most 128 bytes), to be echoed to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation<'a> {
    /// What is wrong.
    pub fault: Fault,
    /// The header of the offending PDU.
    pub header: &'a [u8],
}

impl fmt::Display for Violation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}
