//! Reading a PDU: the checks of one PDU by itself (TCP 1.1, 3.6). Nothing here remembers anything.
//!
//! What the first eight bytes can tell is checked as soon as they are there, so that a peer that sends something
//! else than NVMe/TCP is refused at once. Reserved bits are not looked at.

use crate::header::*;
use crate::{Agreed, C2hData, Crc32c, DIGEST_LEN, FatalStatus, Fault, Frame, H2cData, IcReq, IcResp, Pdu, R2t, Role};
use doorbell_wire_nvme::{Cid, view};

/// The start of a PDU, whose common header passed.
pub(crate) enum Head<'a> {
    /// The header is not all there: bytes that are missing.
    Need(usize),
    /// Parsed.
    Frame(Frame<'a>),
}

/// Where the parts of a PDU lie, by its common header.
struct Layout {
    hlen: usize,
    header_digest: bool,
    data_offset: usize,
    data_len: u32,
    data_digest: bool,
}

/// Reads the PDU at the start of `bytes`, which `role` received.
pub(crate) fn decode<'a>(role: Role, agreed: &Agreed, bytes: &'a [u8]) -> Result<Head<'a>, Fault> {
    let Some(ch) = view::<CommonHeader>(bytes) else {
        return Ok(Head::Need(COMMON_LEN - bytes.len()));
    };
    let layout = layout(role, agreed, ch)?;
    let digest_len = if layout.header_digest { DIGEST_LEN } else { 0 };
    let Some((header, rest)) = bytes.split_at_checked(layout.hlen) else {
        return Ok(Head::Need(layout.hlen + digest_len - bytes.len()));
    };
    if layout.header_digest {
        let Some(digest) = rest.first_chunk::<DIGEST_LEN>() else {
            return Ok(Head::Need(digest_len - rest.len()));
        };
        let received = u32::from_le_bytes(*digest);
        if Crc32c::of(header) != received {
            return Err(Fault::header_digest(received));
        }
    }
    let pdu = body(agreed, ch, header, &layout)?;
    Ok(Head::Frame(Frame {
        pdu,
        header,
        data_offset: layout.data_offset,
        data_len: layout.data_len,
        data_digest_len: if layout.data_digest { DIGEST_LEN } else { 0 },
    }))
}

/// Checks type, HLEN, FLAGS, PDO and PLEN.
fn layout(role: Role, agreed: &Agreed, ch: &CommonHeader) -> Result<Layout, Fault> {
    let hlen = match (role, ch.pdu_type) {
        (Role::Controller, PduType::IC_REQ) => IC_LEN,
        (Role::Host, PduType::IC_RESP) => IC_RESP_LEN,
        (Role::Controller, PduType::H2C_TERM_REQ) | (Role::Host, PduType::C2H_TERM_REQ) => TERM_LEN,
        (Role::Controller, PduType::CAPSULE_CMD) => CMD_LEN,
        (Role::Host, PduType::CAPSULE_RESP) => RESP_LEN,
        (Role::Controller, PduType::H2C_DATA) | (Role::Host, PduType::C2H_DATA | PduType::R2T) => TRANSFER_LEN,
        _ => return Err(Fault::TYPE),
    };
    if usize::from(ch.hlen) != hlen {
        return Err(Fault::HLEN);
    }
    let plain = |data_offset: usize, data_len: u32| Layout { hlen, header_digest: false, data_offset, data_len, data_digest: false };
    let plen = ch.plen.get();
    match ch.pdu_type {
        PduType::IC_REQ | PduType::IC_RESP => {
            if plen as usize != hlen {
                Err(Fault::PLEN)
            } else {
                Ok(plain(hlen, 0))
            }
        }
        PduType::H2C_TERM_REQ | PduType::C2H_TERM_REQ => {
            let echo = plen.checked_sub(ch.hlen.into()).filter(|&echo| echo as usize <= ECHO_LEN_MAX);
            Ok(plain(hlen, echo.ok_or(Fault::PLEN)?))
        }
        _ => data_layout(agreed, ch, hlen),
    }
}

/// Longest header that a Terminate Connection Request brings back: its PLEN is 152 at most (TCP 1.1, 3.6.2.4).
pub(crate) const ECHO_LEN_MAX: usize = 128;

/// FLAGS, PDO and PLEN of the types that have digests.
fn data_layout(agreed: &Agreed, ch: &CommonHeader, hlen: usize) -> Result<Layout, Fault> {
    let may_have_data = matches!(ch.pdu_type, PduType::CAPSULE_CMD | PduType::H2C_DATA | PduType::C2H_DATA);
    let header_digest = ch.flags & FLAG_HDGST != 0;
    let flag_ddgst = may_have_data && ch.flags & FLAG_DDGST != 0;
    if header_digest != agreed.header_digest || (flag_ddgst && !agreed.data_digest) {
        return Err(Fault::FLAGS);
    }
    let header_len = hlen + if header_digest { DIGEST_LEN } else { 0 };
    let plen = ch.plen.get() as usize;
    if plen == header_len {
        // PDO says nothing without data: hosts send 0, or the length of the header.
        return match ch.pdu_type {
            PduType::H2C_DATA | PduType::C2H_DATA => Err(Fault::PLEN),
            _ => Ok(Layout { hlen, header_digest, data_offset: header_len, data_len: 0, data_digest: false }),
        };
    }
    if plen < header_len || !may_have_data {
        return Err(Fault::PLEN);
    }
    if agreed.data_digest && !flag_ddgst {
        return Err(Fault::FLAGS);
    }
    let pdo = usize::from(ch.pdo);
    if pdo < header_len || !agreed.is_aligned(pdo) {
        return Err(Fault::PDO);
    }
    let data_len = plen
        .checked_sub(pdo + if flag_ddgst { DIGEST_LEN } else { 0 })
        .and_then(|len| u32::try_from(len).ok())
        .filter(|&len| len > 0)
        .ok_or(Fault::PLEN)?;
    if ch.pdu_type == PduType::CAPSULE_CMD && data_len > agreed.max_capsule_data {
        return Err(Fault::PLEN);
    }
    if ch.pdu_type == PduType::H2C_DATA && data_len > agreed.max_h2c_data {
        return Err(Fault::LIMIT);
    }
    Ok(Layout { hlen, header_digest, data_offset: pdo, data_len, data_digest: flag_ddgst })
}

/// What the header says beyond its first eight bytes.
fn body<'a>(agreed: &Agreed, ch: &CommonHeader, header: &'a [u8], layout: &Layout) -> Result<Pdu<'a>, Fault> {
    // The header has the length of its type: no view fails.
    match ch.pdu_type {
        PduType::CAPSULE_CMD => Ok(Pdu::CapsuleCmd(&view::<CapsuleCmdHeader>(header).ok_or(Fault::HLEN)?.sqe)),
        PduType::CAPSULE_RESP => Ok(Pdu::CapsuleResp(&view::<CapsuleRespHeader>(header).ok_or(Fault::HLEN)?.cqe)),
        PduType::IC_REQ => ic_req(view(header).ok_or(Fault::HLEN)?),
        PduType::IC_RESP => ic_resp(agreed, view(header).ok_or(Fault::HLEN)?),
        PduType::H2C_TERM_REQ | PduType::C2H_TERM_REQ => {
            let term = view::<TermReqHeader>(header).ok_or(Fault::HLEN)?;
            Ok(Pdu::TermReq(Fault { status: FatalStatus(term.fes.get()), info: term.fei.get() }))
        }
        _ => transfer(ch, view(header).ok_or(Fault::HLEN)?, layout),
    }
}

fn transfer<'a>(ch: &CommonHeader, t: &TransferHeader, layout: &Layout) -> Result<Pdu<'a>, Fault> {
    let (cccid, ttag, offset, len) = (Cid(t.cccid.get()), t.ttag.get(), t.offset.get(), t.len.get());
    if offset.checked_add(len).is_none() {
        return Err(Fault::OUT_OF_RANGE);
    }
    let last = ch.flags & FLAG_LAST != 0;
    let success = ch.flags & FLAG_SUCCESS != 0;
    if ch.pdu_type == PduType::R2T {
        if len == 0 {
            return Err(Fault::LEN);
        }
        return Ok(Pdu::R2t(R2t { cccid, ttag, offset, len }));
    }
    if len != layout.data_len {
        return Err(Fault::LEN);
    }
    if ch.pdu_type == PduType::H2C_DATA {
        return Ok(Pdu::H2cData(H2cData { cccid, ttag, offset, len, last }));
    }
    if success && !last {
        return Err(Fault::FLAGS);
    }
    Ok(Pdu::C2hData(C2hData { cccid, offset, len, last, success }))
}

/// Largest HPDA and CPDA (TCP 1.1, 3.6.2.2).
pub(crate) const PDA_MAX: u8 = 31;

/// Smallest MAXH2CDATA (TCP 1.1, 3.6.2.3).
pub(crate) const MAX_H2C_DATA_MIN: u32 = 4096;

fn ic_req<'a>(req: &IcReqHeader) -> Result<Pdu<'a>, Fault> {
    if req.pfv.get() != 0 {
        return Err(Fault::unsupported(8));
    }
    if req.hpda > PDA_MAX {
        return Err(Fault::field(10));
    }
    Ok(Pdu::IcReq(IcReq {
        hpda: req.hpda,
        header_digest: req.dgst & FLAG_HDGST != 0,
        data_digest: req.dgst & FLAG_DDGST != 0,
        max_r2t: req.maxr2t.get().saturating_add(1),
    }))
}

/// `asked` holds the digests that the host asked for.
fn ic_resp<'a>(asked: &Agreed, resp: &IcRespHeader) -> Result<Pdu<'a>, Fault> {
    if resp.pfv.get() != 0 {
        return Err(Fault::unsupported(8));
    }
    if resp.cpda > PDA_MAX {
        return Err(Fault::field(10));
    }
    let (header_digest, data_digest) = (resp.dgst & FLAG_HDGST != 0, resp.dgst & FLAG_DDGST != 0);
    if (header_digest && !asked.header_digest) || (data_digest && !asked.data_digest) {
        return Err(Fault::field(11));
    }
    let max_h2c_data = resp.maxh2cdata.get();
    if max_h2c_data < MAX_H2C_DATA_MIN || !max_h2c_data.is_multiple_of(4) {
        return Err(Fault::field(12));
    }
    Ok(Pdu::IcResp(IcResp { cpda: resp.cpda, header_digest, data_digest, max_h2c_data }))
}
