//! A stream of PDUs into either end of a connection, in pieces of any size.

use crate::show;
use doorbell_wire_nvme::{Cid, Cqe, IoCommand, ReadWrite, Status};
use doorbell_wire_nvme_tcp::{
    C2hData, C2hTransfer, Connection, ControllerOffer, Crc32c, Decoded, Frame, H2cData, H2cTransfer, HEADER_ROOM, HostOffer, Pdu, Phase,
    R2t, R2tWindow, TERM_ROOM,
};

/// Byte 0: which end (bit 0), digests (1, 2), whether a handshake came before (3), whether wrong header digests are put
/// right first (4). Byte 1: HPDA and CPDA. Byte 2: size of the pieces. Then the stream.
pub fn run(data: &[u8]) {
    let Some((&[flags, pda, piece], stream)) = data.split_first_chunk::<3>() else { return };
    let bit = |at: u8| flags & (1 << at) != 0;
    let host = HostOffer { hpda: pda & 31, header_digest: bit(1), data_digest: bit(2), max_r2t: 2 };
    let controller = ControllerOffer { cpda: pda >> 3, ..ControllerOffer::default() };
    let (mut host, mut controller) = (Connection::host(host), Connection::controller(controller));
    if bit(3) {
        shake_hands(&mut host, &mut controller);
    }
    let (end, peer) = if bit(0) { (controller, host) } else { (host, controller) };
    let mut stream = stream.to_vec();
    if bit(4) && bit(1) {
        put_digests_right(end, &mut stream);
    }
    let whole = feed(end, peer, &stream, stream.len().max(1));
    let pieces = feed(end, peer, &stream, usize::from(piece).max(1));
    assert_eq!(whole, pieces, "how the bytes were cut made a difference");
}

fn shake_hands(host: &mut Connection, controller: &mut Connection) {
    let mut wire = [0; HEADER_ROOM];
    let n = host.write_ic_req(&mut wire).expect("room");
    controller.decode(&wire[..n]).expect("a good ICReq");
    let n = controller.write_ic_resp(&mut wire).expect("room");
    host.decode(&wire[..n]).expect("a good ICResp");
}

/// Header digests cannot be guessed: without this nothing behind them would be reached.
fn put_digests_right(mut end: Connection, stream: &mut [u8]) {
    let mut at = 0;
    while at < stream.len() {
        let rest = &mut stream[at..];
        let hlen = usize::from(rest.get(2).copied().unwrap_or(0));
        if let Some((header, tail)) = rest.split_at_mut_checked(hlen)
            && let Some(digest) = tail.first_chunk_mut::<4>()
            && end.phase() == Phase::Ready
        {
            *digest = Crc32c::of(header).to_le_bytes();
        }
        match end.decode(rest) {
            Ok(Decoded::Pdu(frame)) => at += frame.len(),
            _ => return,
        }
    }
}

/// Feeds the stream and returns what came of it: a hash of the PDUs, how many, and the fault at the end.
fn feed(mut end: Connection, peer: Connection, stream: &[u8], piece: usize) -> (u32, usize, Option<String>) {
    let (mut seen, mut count, mut start, mut there) = (Crc32c::new(), 0, 0, 0);
    let mut transfers = Transfers::default();
    loop {
        match end.decode(&stream[start.min(there)..there]) {
            Ok(Decoded::Need(more)) => {
                assert!(more >= 1);
                if there == stream.len() {
                    return (seen.finish(), count, None);
                }
                there = (there + piece).min(stream.len());
            }
            Ok(Decoded::Pdu(frame)) => {
                assert!(frame.header.len() <= frame.data_offset && frame.data_offset < frame.len() + 1);
                again(&peer, &end, &frame);
                transfers.take(&frame);
                show(&frame.pdu);
                seen.update(frame.header);
                count += 1;
                start += frame.len();
                // The payload goes elsewhere; the next PDU is looked at when it has come.
                if start > stream.len() {
                    return (seen.finish(), count, None);
                }
                there = there.max(start);
            }
            Err(violation) => {
                let mut out = [0; TERM_ROOM];
                let n = end.write_term_req(&mut out, &violation).expect("room");
                assert!(n <= 152 && end.phase() == Phase::Closed);
                return (seen.finish(), count, Some(violation.to_string()));
            }
        }
    }
}

/// What was read and is written again by the peer says the same.
fn again(peer: &Connection, end: &Connection, frame: &Frame<'_>) {
    let mut out = [0; HEADER_ROOM];
    let n = match &frame.pdu {
        Pdu::CapsuleCmd(sqe) => peer.write_capsule_cmd(&mut out, sqe, frame.data_len),
        Pdu::CapsuleResp(cqe) => peer.write_capsule_resp(&mut out, cqe),
        Pdu::H2cData(data) => peer.write_h2c_data(&mut out, data),
        Pdu::C2hData(data) => peer.write_c2h_data(&mut out, data),
        Pdu::R2t(r2t) => peer.write_r2t(&mut out, r2t),
        _ => return,
    };
    // The peer never shook hands when the stream brought the handshake along.
    if peer.phase() != Phase::Ready {
        return;
    }
    let n = n.expect("what came fits");
    match end.clone().decode(&out[..n]) {
        Ok(Decoded::Pdu(copy)) => assert_eq!((copy.pdu, copy.data_len), (frame.pdu, frame.data_len)),
        other => panic!("{other:?}"),
    }
}

/// One transfer of each kind, as an owner would keep for one command.
struct Transfers {
    h2c: H2cTransfer,
    c2h: C2hTransfer,
    r2t: R2tWindow,
}

impl Default for Transfers {
    fn default() -> Self {
        let r2t = R2t { cccid: Cid(1), ttag: 1, offset: 0, len: 8192 };
        Self { h2c: H2cTransfer::new(&r2t).expect("fits"), c2h: C2hTransfer::new(8192), r2t: R2tWindow::new(8192, 2) }
    }
}

impl Transfers {
    fn take(&mut self, frame: &Frame<'_>) {
        let refused = match &frame.pdu {
            Pdu::H2cData(data) => self.h2c.accept(data).err(),
            Pdu::C2hData(data) => self.c2h.accept(data).err(),
            Pdu::R2t(r2t) => self.r2t.accept(r2t).err(),
            _ => None,
        };
        assert!(self.h2c.left() <= 8192 && self.c2h.received() <= 8192);
        if let Some(fault) = refused {
            show(&frame.violation(fault));
        }
    }
}

/// A handshake and some traffic into each end, with and without digests.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut out = [0; HEADER_ROOM];
    let mut ic_req = vec![0b0000_0001, 0, 7];
    let (mut host, mut controller) = (Connection::host(HostOffer::default()), Connection::controller(Default::default()));
    let n = host.write_ic_req(&mut out).expect("room");
    ic_req.extend_from_slice(&out[..n]);
    shake_hands(&mut host, &mut controller);
    let mut ic_resp = vec![0b0000_0000, 0, 7];
    let n = controller.write_ic_resp(&mut out).expect("room");
    ic_resp.extend_from_slice(&out[..n]);

    let offer = HostOffer { header_digest: true, data_digest: true, ..HostOffer::default() };
    let (mut host2, mut controller2) = (Connection::host(offer), Connection::controller(Default::default()));
    shake_hands(&mut host2, &mut controller2);
    vec![
        ("ic_req", ic_req),
        ("ic_resp", ic_resp),
        ("to_controller", [vec![0b0_1001, 0, 64], to_controller(&host)].concat()),
        ("to_controller_digests", [vec![0b1_1111, 0, 5], to_controller(&host2)].concat()),
        ("to_host", [vec![0b0_1000, 0, 64], to_host(&controller)].concat()),
        ("to_host_digests", [vec![0b1_1110, 0, 5], to_host(&controller2)].concat()),
        ("other_protocol", b"\x01\x00\x01GET / HTTP/1.1\r\n\r\n".to_vec()),
    ]
}

fn append(stream: &mut Vec<u8>, end: &Connection, len: u32, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
    let mut out = [0; HEADER_ROOM];
    let n = write(&mut out).expect("room");
    stream.extend_from_slice(&out[..n]);
    let payload = vec![0x5a; len as usize];
    stream.extend_from_slice(&payload);
    if len > 0 && end.agreed().data_digest {
        stream.extend_from_slice(&Crc32c::of(&payload).to_le_bytes());
    }
}

fn to_controller(host: &Connection) -> Vec<u8> {
    let mut stream = Vec::new();
    let write = IoCommand::Write(ReadWrite::default()).encode().with_cid(Cid(1)).with_nsid(1);
    append(&mut stream, host, 64, |out| host.write_capsule_cmd(out, &write, 64));
    append(&mut stream, host, 0, |out| host.write_capsule_cmd(out, &IoCommand::Flush.encode(), 0));
    let data = H2cData { cccid: Cid(1), ttag: 1, offset: 0, len: 32, last: false };
    append(&mut stream, host, 32, |out| host.write_h2c_data(out, &data));
    stream
}

fn to_host(controller: &Connection) -> Vec<u8> {
    let mut stream = Vec::new();
    let r2t = R2t { cccid: Cid(1), ttag: 1, offset: 0, len: 4096 };
    append(&mut stream, controller, 0, |out| controller.write_r2t(out, &r2t));
    let data = C2hData { cccid: Cid(1), offset: 0, len: 32, last: true, success: false };
    append(&mut stream, controller, 32, |out| controller.write_c2h_data(out, &data));
    append(&mut stream, controller, 0, |out| controller.write_capsule_resp(out, &Cqe::new(Cid(1), Status::SUCCESS)));
    stream
}
