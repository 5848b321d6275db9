//! PDUs as values (TCP 1.1, 3.6.2).

use crate::{Fault, Violation};
use doorbell_wire_nvme::{Cid, Cqe, Sqe};

/// A PDU that passed every check that needs no memory of earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pdu<'a> {
    /// Initialize Connection Request.
    IcReq(IcReq),
    /// Initialize Connection Response.
    IcResp(IcResp),
    /// The peer ends the connection; the payload is the header that it found fault with.
    TermReq(Fault),
    /// A command. Its in-capsule data, if any, is the payload.
    CapsuleCmd(&'a Sqe),
    /// A completion.
    CapsuleResp(&'a Cqe),
    /// Data of a write, asked for by an R2T: the payload.
    H2cData(H2cData),
    /// Data of a read: the payload.
    C2hData(C2hData),
    /// The controller asks for data.
    R2t(R2t),
}

/// What a host asks for (TCP 1.1, 3.6.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcReq {
    /// HPDA: 0 to 31.
    pub hpda: u8,
    /// Header digest asked for.
    pub header_digest: bool,
    /// Data digest asked for.
    pub data_digest: bool,
    /// R2Ts at once of one command, 1 or more (zero-based on the wire).
    pub max_r2t: u32,
}

/// What a controller answers (TCP 1.1, 3.6.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcResp {
    /// CPDA: 0 to 31.
    pub cpda: u8,
    /// Header digest in use.
    pub header_digest: bool,
    /// Data digest in use.
    pub data_digest: bool,
    /// MAXH2CDATA in bytes.
    pub max_h2c_data: u32,
}

/// Data from host to controller (TCP 1.1, 3.6.2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct H2cData {
    /// The command.
    pub cccid: Cid,
    /// The R2T that asked for it.
    pub ttag: u16,
    /// Where it belongs in the command's data.
    pub offset: u32,
    /// Bytes, 1 at least.
    pub len: u32,
    /// Nothing more follows for the R2T.
    pub last: bool,
}

/// Data from controller to host (TCP 1.1, 3.6.2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct C2hData {
    /// The command.
    pub cccid: Cid,
    /// Where it belongs in the command's data.
    pub offset: u32,
    /// Bytes, 1 at least.
    pub len: u32,
    /// Nothing more follows for the command.
    pub last: bool,
    /// The command succeeded and no completion follows; only with `last`.
    pub success: bool,
}

/// Ready to Transfer (TCP 1.1, 3.6.2.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct R2t {
    /// The command.
    pub cccid: Cid,
    /// The controller's tag, which the data brings back.
    pub ttag: u16,
    /// Offset in the command's data.
    pub offset: u32,
    /// Bytes, 1 at least.
    pub len: u32,
}

impl R2t {
    /// The H2CData PDUs that answer this, none longer than `max_h2c_data`.
    pub fn answers(self, max_h2c_data: u32) -> impl Iterator<Item = H2cData> {
        let mut done = 0;
        core::iter::from_fn(move || {
            let left = self.len.checked_sub(done).filter(|&left| left > 0)?;
            let len = left.min(max_h2c_data.max(1));
            let offset = self.offset.checked_add(done)?;
            done += len;
            Some(H2cData { cccid: self.cccid, ttag: self.ttag, offset, len, last: len == left })
        })
    }
}

/// A PDU at the start of the bytes, and where its parts lie. Its payload may not have come yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it says.
    pub pdu: Pdu<'a>,
    /// Its header, without digest.
    pub header: &'a [u8],
    /// Where the payload begins, from the start of the PDU: header, digest and padding are before it.
    pub data_offset: usize,
    /// Bytes of payload.
    pub data_len: u32,
    /// Bytes of data digest after the payload, 4 or 0.
    pub data_digest_len: usize,
}

impl<'a> Frame<'a> {
    /// Bytes of the whole PDU.
    pub const fn len(&self) -> usize {
        self.data_offset + self.data_len as usize + self.data_digest_len
    }

    /// Never: a PDU has a header.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The fault as one of this PDU.
    pub const fn violation(&self, fault: Fault) -> Violation<'a> {
        Violation { fault, header: self.header }
    }
}
