//! One connection: what was agreed on, what may come next (TCP 1.1, 3.1 and 3.6.2).

use crate::decode::{self, Head, MAX_H2C_DATA_MIN, PDA_MAX};
use crate::header::{COMMON_LEN, CommonHeader, PduType};
use crate::{C2hData, Fault, Frame, H2cData, IcReq, IcResp, Pdu, R2t, Violation, encode};
use doorbell_wire_nvme::{Cqe, Sqe, view};

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The controller: a target.
    Controller,
    /// The host: an initiator.
    Host,
}

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// ICReq or ICResp comes next.
    Handshake,
    /// Capsules and data.
    Ready,
    /// A violation, or the peer's Terminate Connection Request: nothing more is read.
    Closed,
}

/// What a controller offers. The digests are used when it offers them and the host asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControllerOffer {
    /// CPDA: alignment of data that it receives, in dwords, zero-based: 0 to 31.
    pub cpda: u8,
    /// Header digest allowed.
    pub header_digest: bool,
    /// Data digest allowed.
    pub data_digest: bool,
    /// MAXH2CDATA: longest data of one H2CData in bytes (4,096 at least, rounded down to a multiple of 4).
    pub max_h2c_data: u32,
    /// Longest in-capsule data in bytes, until [`Connection::set_max_capsule_data`].
    pub max_capsule_data: u32,
}

/// What a host asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostOffer {
    /// HPDA: alignment of data that it receives, in dwords, zero-based: 0 to 31.
    pub hpda: u8,
    /// Header digest asked for.
    pub header_digest: bool,
    /// Data digest asked for.
    pub data_digest: bool,
    /// R2Ts at once of one command, 1 at least.
    pub max_r2t: u32,
}

impl Default for ControllerOffer {
    /// No alignment, both digests allowed, 128 KiB in one H2CData, 8 KiB in a capsule.
    fn default() -> Self {
        Self { cpda: 0, header_digest: true, data_digest: true, max_h2c_data: 1 << 17, max_capsule_data: 8192 }
    }
}

impl Default for HostOffer {
    /// No alignment, no digests, one R2T at once.
    fn default() -> Self {
        Self { hpda: 0, header_digest: false, data_digest: false, max_r2t: 1 }
    }
}

/// What both sides agreed on, as this side sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Header digests are in use.
    pub header_digest: bool,
    /// Data digests are in use.
    pub data_digest: bool,
    /// Longest data of one H2CData in bytes.
    pub max_h2c_data: u32,
    /// R2Ts at once of one command.
    pub max_r2t: u32,
    /// Longest in-capsule data that this side takes, in bytes (controller).
    pub max_capsule_data: u32,
    /// PDA of data that this side receives.
    recv_pda: u8,
    /// PDA of data that this side sends.
    send_pda: u8,
}

impl Agreed {
    /// Alignment of received data, in bytes from the start of the PDU.
    pub const fn recv_alignment(&self) -> usize {
        (self.recv_pda as usize + 1) * 4
    }

    /// Alignment of sent data, in bytes from the start of the PDU.
    pub const fn send_alignment(&self) -> usize {
        (self.send_pda as usize + 1) * 4
    }

    /// Whether received data may begin at `offset`. The usual alignment of 4 is spared the division.
    pub(crate) const fn is_aligned(&self, offset: usize) -> bool {
        if self.recv_pda == 0 { offset & 3 == 0 } else { offset.is_multiple_of(self.recv_alignment()) }
    }

    /// Where sent data begins after a header of `len` bytes, itself a multiple of 4.
    pub(crate) const fn align(&self, len: usize) -> usize {
        if self.send_pda == 0 { len } else { len.next_multiple_of(self.send_alignment()) }
    }
}

/// What [`Connection::decode`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// The header is not all there; at least this many bytes (one or more) must follow.
    Need(usize),
    /// A PDU; its payload may still have to come.
    Pdu(Frame<'a>),
}

/// One end of an NVMe/TCP connection: reads and writes its PDUs and knows which may come. It owns no bytes.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    role: Role,
    phase: Phase,
    agreed: Agreed,
}

impl Connection {
    /// The controller's end: waits for an ICReq.
    pub fn controller(offer: ControllerOffer) -> Self {
        let agreed = Agreed {
            header_digest: offer.header_digest,
            data_digest: offer.data_digest,
            max_h2c_data: (offer.max_h2c_data & !3).max(MAX_H2C_DATA_MIN),
            max_r2t: 1,
            max_capsule_data: offer.max_capsule_data,
            recv_pda: offer.cpda.min(PDA_MAX),
            send_pda: 0,
        };
        Self { role: Role::Controller, phase: Phase::Handshake, agreed }
    }

    /// The host's end: to send [`Connection::write_ic_req`] first, then waits for an ICResp.
    pub fn host(offer: HostOffer) -> Self {
        let agreed = Agreed {
            header_digest: offer.header_digest,
            data_digest: offer.data_digest,
            max_h2c_data: MAX_H2C_DATA_MIN,
            max_r2t: offer.max_r2t.max(1),
            max_capsule_data: 0,
            recv_pda: offer.hpda.min(PDA_MAX),
            send_pda: 0,
        };
        Self { role: Role::Host, phase: Phase::Handshake, agreed }
    }

    /// Which end this is.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// How far it is.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// What was agreed on; before [`Phase::Ready`], what this side offers.
    pub const fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// Sets the longest in-capsule data, once it is known which queue this is (an admin queue takes 8 KiB, an I/O queue
    /// what IOCCSZ says).
    pub fn set_max_capsule_data(&mut self, bytes: u32) {
        self.agreed.max_capsule_data = bytes;
    }

    /// Reads the PDU at the start of `bytes`. Call it again with more bytes after [`Decoded::Need`]; after a PDU with the
    /// bytes behind all of it ([`Frame::len`]). Once it has failed it fails always.
    ///
    /// An ICReq or ICResp takes effect here: the connection is [`Phase::Ready`] after it, and the controller answers
    /// with [`Connection::write_ic_resp`].
    pub fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<'a>, Violation<'a>> {
        match self.step(bytes) {
            Ok(decoded) => Ok(decoded),
            Err(fault) => {
                self.phase = Phase::Closed;
                Err(Violation { fault, header: offending(bytes) })
            }
        }
    }

    fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<'a>, Fault> {
        let Some(&first) = bytes.first() else {
            return Ok(Decoded::Need(COMMON_LEN));
        };
        self.check_turn(PduType(first))?;
        let frame = match decode::decode(self.role, &self.agreed, bytes)? {
            Head::Need(more) => return Ok(Decoded::Need(more)),
            Head::Frame(frame) => frame,
        };
        match frame.pdu {
            Pdu::IcReq(req) => self.agree_controller(&req),
            Pdu::IcResp(resp) => self.agree_host(&resp),
            Pdu::TermReq(_) => self.phase = Phase::Closed,
            _ => {}
        }
        Ok(Decoded::Pdu(frame))
    }

    /// Whether a PDU of this type may come now. One that may never come is left to the decoder.
    fn check_turn(&self, pdu_type: PduType) -> Result<(), Fault> {
        let handshake = match self.role {
            Role::Controller => PduType::IC_REQ,
            Role::Host => PduType::IC_RESP,
        };
        let mine = match self.role {
            Role::Controller => matches!(pdu_type, PduType::CAPSULE_CMD | PduType::H2C_DATA),
            Role::Host => matches!(pdu_type, PduType::CAPSULE_RESP | PduType::C2H_DATA | PduType::R2T),
        };
        let out_of_turn = match self.phase {
            Phase::Handshake => mine,
            Phase::Ready => pdu_type == handshake,
            Phase::Closed => true,
        };
        if out_of_turn { Err(Fault::SEQUENCE) } else { Ok(()) }
    }

    fn agree_controller(&mut self, req: &IcReq) {
        self.agreed.header_digest &= req.header_digest;
        self.agreed.data_digest &= req.data_digest;
        self.agreed.send_pda = req.hpda;
        self.agreed.max_r2t = req.max_r2t;
        self.phase = Phase::Ready;
    }

    fn agree_host(&mut self, resp: &IcResp) {
        self.agreed.header_digest = resp.header_digest;
        self.agreed.data_digest = resp.data_digest;
        self.agreed.send_pda = resp.cpda;
        self.agreed.max_h2c_data = resp.max_h2c_data;
        self.phase = Phase::Ready;
    }

    /// Writes the host's ICReq. Like every writer it returns the bytes written, `None` when `out` is too short.
    pub fn write_ic_req(&self, out: &mut [u8]) -> Option<usize> {
        let a = &self.agreed;
        let req = IcReq { hpda: a.recv_pda, header_digest: a.header_digest, data_digest: a.data_digest, max_r2t: a.max_r2t };
        encode::ic_req(out, &req)
    }

    /// Writes the controller's ICResp, after [`Connection::decode`] gave the ICReq.
    pub fn write_ic_resp(&self, out: &mut [u8]) -> Option<usize> {
        let a = &self.agreed;
        let resp = IcResp { cpda: a.recv_pda, header_digest: a.header_digest, data_digest: a.data_digest, max_h2c_data: a.max_h2c_data };
        encode::ic_resp(out, &resp)
    }

    /// Writes the head of a command capsule, whose `data_len` bytes of data (0 for none) and their digest follow.
    #[inline]
    pub fn write_capsule_cmd(&self, out: &mut [u8], sqe: &Sqe, data_len: u32) -> Option<usize> {
        encode::capsule_cmd(&self.agreed, out, sqe, data_len)
    }

    /// Writes a response capsule.
    #[inline]
    pub fn write_capsule_resp(&self, out: &mut [u8], cqe: &Cqe) -> Option<usize> {
        encode::capsule_resp(&self.agreed, out, cqe)
    }

    /// Writes the head of an H2CData, whose data and digest follow.
    #[inline]
    pub fn write_h2c_data(&self, out: &mut [u8], data: &H2cData) -> Option<usize> {
        encode::h2c_data(&self.agreed, out, data)
    }

    /// Writes the head of a C2HData, whose data and digest follow.
    #[inline]
    pub fn write_c2h_data(&self, out: &mut [u8], data: &C2hData) -> Option<usize> {
        encode::c2h_data(&self.agreed, out, data)
    }

    /// Writes an R2T.
    #[inline]
    pub fn write_r2t(&self, out: &mut [u8], r2t: &R2t) -> Option<usize> {
        encode::r2t(&self.agreed, out, r2t)
    }

    /// Writes the Terminate Connection Request that answers a violation, at most [`crate::TERM_ROOM`] bytes.
    pub fn write_term_req(&self, out: &mut [u8], violation: &Violation<'_>) -> Option<usize> {
        let pdu_type = match self.role {
            Role::Controller => PduType::C2H_TERM_REQ,
            Role::Host => PduType::H2C_TERM_REQ,
        };
        encode::term_req(out, pdu_type, violation)
    }
}

/// The header at the start of `bytes`, as much as its HLEN says and as there is, 128 bytes at most.
fn offending(bytes: &[u8]) -> &[u8] {
    let hlen = view::<CommonHeader>(bytes).map_or(bytes.len(), |ch| usize::from(ch.hlen).max(COMMON_LEN));
    bytes.get(..hlen.min(bytes.len()).min(decode::ECHO_LEN_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
