//! Writing headers: header, header digest and padding, up to where the payload begins (TCP 1.1, 3.6). The payload and
//! its digest are the caller's to send after them.

use crate::header::*;
use crate::{Agreed, C2hData, Crc32c, DIGEST_LEN, H2cData, R2t, Violation};
use doorbell_wire_nvme::{Cqe, Sqe, Wire, bytes};

/// Bytes that hold the longest header with digest and padding: 76 bytes of a command and its digest, rounded up to a
/// multiple of 72 in the worst case. A Terminate Connection Request may take [`TERM_ROOM`].
pub const HEADER_ROOM: usize = 144;

/// Bytes that hold the longest Terminate Connection Request.
pub const TERM_ROOM: usize = TERM_LEN + crate::decode::ECHO_LEN_MAX;

/// What of a header varies: its type, its flags other than those of the digests, its payload.
struct Shape {
    pdu_type: PduType,
    flags: u8,
    hlen: usize,
    data_len: u32,
}

/// Writes a header of `shape`; `None` when `out` is too short, or the PDU too long for PLEN.
fn put<T: Wire>(agreed: &Agreed, out: &mut [u8], shape: &Shape, header: impl FnOnce(CommonHeader) -> T) -> Option<usize> {
    let has_data = shape.data_len > 0;
    let with_digest = shape.hlen + if agreed.header_digest { DIGEST_LEN } else { 0 };
    let start = if has_data { agreed.align(with_digest) } else { with_digest };
    let data_digest = has_data && agreed.data_digest;
    let tail = if data_digest { DIGEST_LEN } else { 0 };
    let mut flags = shape.flags;
    if agreed.header_digest {
        flags |= FLAG_HDGST;
    }
    if data_digest {
        flags |= FLAG_DDGST;
    }
    let plen = u32::try_from(start + tail).ok()?.checked_add(shape.data_len)?;
    let pdo = if has_data { u8::try_from(start).ok()? } else { 0 };
    let ch = CommonHeader::new(shape.pdu_type, flags, u8::try_from(shape.hlen).ok()?, pdo, plen);
    let header = header(ch);
    let out = out.get_mut(..start)?;
    let (head, rest) = out.split_at_mut_checked(shape.hlen)?;
    head.copy_from_slice(bytes(&header));
    rest.fill(0);
    if agreed.header_digest {
        *rest.first_chunk_mut()? = Crc32c::of(head).to_le_bytes();
    }
    Some(start)
}

/// Command capsule with `data_len` bytes of in-capsule data to follow.
pub(crate) fn capsule_cmd(agreed: &Agreed, out: &mut [u8], sqe: &Sqe, data_len: u32) -> Option<usize> {
    let shape = Shape { pdu_type: PduType::CAPSULE_CMD, flags: 0, hlen: CMD_LEN, data_len };
    put(agreed, out, &shape, |ch| CapsuleCmdHeader { ch, sqe: *sqe })
}

/// Response capsule.
pub(crate) fn capsule_resp(agreed: &Agreed, out: &mut [u8], cqe: &Cqe) -> Option<usize> {
    let shape = Shape { pdu_type: PduType::CAPSULE_RESP, flags: 0, hlen: RESP_LEN, data_len: 0 };
    put(agreed, out, &shape, |ch| CapsuleRespHeader { ch, cqe: *cqe })
}

/// Data to the controller.
pub(crate) fn h2c_data(agreed: &Agreed, out: &mut [u8], data: &H2cData) -> Option<usize> {
    let flags = if data.last { FLAG_LAST } else { 0 };
    let shape = Shape { pdu_type: PduType::H2C_DATA, flags, hlen: TRANSFER_LEN, data_len: data.len };
    put(agreed, out, &shape, |ch| TransferHeader::new(ch, data.cccid.0, data.ttag, data.offset, data.len))
}

/// Data to the host.
pub(crate) fn c2h_data(agreed: &Agreed, out: &mut [u8], data: &C2hData) -> Option<usize> {
    let last = if data.last { FLAG_LAST } else { 0 };
    let success = if data.success { FLAG_SUCCESS } else { 0 };
    let shape = Shape { pdu_type: PduType::C2H_DATA, flags: last | success, hlen: TRANSFER_LEN, data_len: data.len };
    put(agreed, out, &shape, |ch| TransferHeader::new(ch, data.cccid.0, 0, data.offset, data.len))
}

/// Ready to Transfer.
pub(crate) fn r2t(agreed: &Agreed, out: &mut [u8], r2t: &R2t) -> Option<usize> {
    let shape = Shape { pdu_type: PduType::R2T, flags: 0, hlen: TRANSFER_LEN, data_len: 0 };
    put(agreed, out, &shape, |ch| TransferHeader::new(ch, r2t.cccid.0, r2t.ttag, r2t.offset, r2t.len))
}

fn dgst(header: bool, data: bool) -> u8 {
    (if header { FLAG_HDGST } else { 0 }) | (if data { FLAG_DDGST } else { 0 })
}

/// Initialize Connection Request; `max_r2t` is 1 or more.
pub(crate) fn ic_req(out: &mut [u8], req: &crate::IcReq) -> Option<usize> {
    let ch = CommonHeader::new(PduType::IC_REQ, 0, 128, 0, 128);
    let dgst = dgst(req.header_digest, req.data_digest);
    let header = IcReqHeader::new(ch, req.hpda, dgst, req.max_r2t.saturating_sub(1));
    out.get_mut(..IC_LEN)?.copy_from_slice(bytes(&header));
    Some(IC_LEN)
}

/// Initialize Connection Response.
pub(crate) fn ic_resp(out: &mut [u8], resp: &crate::IcResp) -> Option<usize> {
    let ch = CommonHeader::new(PduType::IC_RESP, 0, 128, 0, 128);
    let dgst = dgst(resp.header_digest, resp.data_digest);
    let header = IcRespHeader::new(ch, resp.cpda, dgst, resp.max_h2c_data);
    out.get_mut(..IC_RESP_LEN)?.copy_from_slice(bytes(&header));
    Some(IC_RESP_LEN)
}

/// Terminate Connection Request, whole: it has no digests.
pub(crate) fn term_req(out: &mut [u8], pdu_type: PduType, violation: &Violation<'_>) -> Option<usize> {
    let echo = violation.header;
    let echo = echo.get(..echo.len().min(crate::decode::ECHO_LEN_MAX))?;
    let len = TERM_LEN + echo.len();
    let ch = CommonHeader::new(pdu_type, 0, 24, 0, u32::try_from(len).ok()?);
    let header = TermReqHeader::new(ch, violation.fault.status.0, violation.fault.info);
    let (head, rest) = out.get_mut(..len)?.split_at_mut_checked(TERM_LEN)?;
    head.copy_from_slice(bytes(&header));
    rest.copy_from_slice(echo);
    Some(len)
}
