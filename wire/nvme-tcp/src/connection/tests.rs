//! Every PDU in both directions: round trips, truncation, corruption, and each rule with its fault.

use crate::header::*;
use crate::*;
use doorbell_wire_nvme::{Cid, Cqe, IoCommand, ReadWrite, Sgl, Sqe, Status, U32, bytes};
use proptest::prelude::*;
use std::vec::Vec;

/// Two ends that shook hands.
fn pair(host: HostOffer, controller: ControllerOffer) -> (Connection, Connection) {
    let (mut host, mut controller) = (Connection::host(host), Connection::controller(controller));
    let mut wire = [0; HEADER_ROOM];
    let n = host.write_ic_req(&mut wire).unwrap();
    assert_eq!(n, 128);
    assert!(matches!(controller.decode(&wire[..n]), Ok(Decoded::Pdu(Frame { pdu: Pdu::IcReq(_), data_len: 0, .. }))));
    let n = controller.write_ic_resp(&mut wire).unwrap();
    assert!(matches!(host.decode(&wire[..n]), Ok(Decoded::Pdu(Frame { pdu: Pdu::IcResp(_), .. }))));
    assert_eq!((host.phase(), controller.phase()), (Phase::Ready, Phase::Ready));
    (host, controller)
}

fn plain() -> (Connection, Connection) {
    pair(HostOffer::default(), ControllerOffer::default())
}

fn digests() -> (Connection, Connection) {
    pair(HostOffer { header_digest: true, data_digest: true, ..HostOffer::default() }, ControllerOffer::default())
}

/// A PDU that either end can send.
#[derive(Clone, Debug)]
enum Sent {
    Cmd(Sqe, u32),
    Resp(Cqe),
    H2c(H2cData),
    C2h(C2hData),
    R2t(R2t),
}

impl Sent {
    /// Writes the whole PDU with a payload, and its data digest; returns the receiver too.
    fn write(&self, ends: (Connection, Connection)) -> (Vec<u8>, Connection) {
        let (host, controller) = ends;
        let mut head = [0xee; HEADER_ROOM];
        let (n, data_len, to) = match self {
            Self::Cmd(sqe, len) => (host.write_capsule_cmd(&mut head, sqe, *len), *len, controller),
            Self::Resp(cqe) => (controller.write_capsule_resp(&mut head, cqe), 0, host),
            Self::H2c(data) => (host.write_h2c_data(&mut head, data), data.len, controller),
            Self::C2h(data) => (controller.write_c2h_data(&mut head, data), data.len, host),
            Self::R2t(r2t) => (controller.write_r2t(&mut head, r2t), 0, host),
        };
        let mut wire = head[..n.unwrap()].to_vec();
        let payload: Vec<u8> = (0..data_len).map(|at| (at % 251) as u8).collect();
        wire.extend_from_slice(&payload);
        if data_len > 0 && to.agreed().data_digest {
            let mut crc = Crc32c::new();
            payload.chunks(100).for_each(|chunk| crc.update(chunk));
            wire.extend_from_slice(&crc.to_bytes());
        }
        (wire, to)
    }

    fn pdu(&self) -> Pdu<'_> {
        match self {
            Self::Cmd(sqe, _) => Pdu::CapsuleCmd(sqe),
            Self::Resp(cqe) => Pdu::CapsuleResp(cqe),
            Self::H2c(data) => Pdu::H2cData(*data),
            Self::C2h(data) => Pdu::C2hData(*data),
            Self::R2t(r2t) => Pdu::R2t(*r2t),
        }
    }
}

fn frame(decoded: Decoded<'_>) -> Frame<'_> {
    match decoded {
        Decoded::Pdu(frame) => frame,
        Decoded::Need(n) => panic!("needs {n} more"),
    }
}

fn any_sent() -> impl Strategy<Value = Sent> {
    let sqe = any::<[[u8; 32]; 2]>().prop_map(|raw| *doorbell_wire_nvme::view::<Sqe>(&raw.concat()).unwrap());
    let cqe = any::<[u8; 16]>().prop_map(|raw| *doorbell_wire_nvme::view::<Cqe>(&raw).unwrap());
    let range = (any::<u16>(), any::<u16>(), 0u32..1 << 30, 1u32..4096);
    prop_oneof![
        (sqe, 0u32..4096).prop_map(|(sqe, len)| Sent::Cmd(sqe, len)),
        cqe.prop_map(Sent::Resp),
        (range.clone(), any::<bool>())
            .prop_map(|((cid, ttag, offset, len), last)| { Sent::H2c(H2cData { cccid: Cid(cid), ttag, offset, len, last }) }),
        (range.clone(), 0..3).prop_map(|((cid, _, offset, len), flags)| {
            Sent::C2h(C2hData { cccid: Cid(cid), offset, len, last: flags > 0, success: flags > 1 })
        }),
        range.prop_map(|(cid, ttag, offset, len)| Sent::R2t(R2t { cccid: Cid(cid), ttag, offset, len })),
    ]
}

fn any_pair() -> impl Strategy<Value = (Connection, Connection)> {
    (0..32u8, 0..32u8, any::<bool>(), any::<bool>()).prop_map(|(hpda, cpda, header_digest, data_digest)| {
        pair(HostOffer { hpda, header_digest, data_digest, max_r2t: 4 }, ControllerOffer { cpda, ..ControllerOffer::default() })
    })
}

proptest! {
    #[test]
    fn round_trip(sent in any_sent(), ends in any_pair()) {
        let (wire, mut to) = sent.write(ends);
        let frame = frame(to.decode(&wire).unwrap());
        prop_assert_eq!(frame.pdu, sent.pdu());
        prop_assert_eq!(frame.len(), wire.len());
        prop_assert_eq!(frame.data_digest_len, if frame.data_len > 0 && to.agreed().data_digest { 4 } else { 0 });
        if frame.data_len > 0 {
            prop_assert_eq!(frame.data_offset % to.agreed().recv_alignment(), 0);
        }
        let head = frame.header.len() + if to.agreed().header_digest { 4 } else { 0 };
        prop_assert!(wire[head..frame.data_offset].iter().all(|&pad| pad == 0));
        let data = &wire[frame.data_offset..][..frame.data_len as usize];
        prop_assert!(data.iter().enumerate().all(|(at, &b)| b == (at % 251) as u8));
        if frame.data_digest_len > 0 {
            let mut crc = Crc32c::new();
            crc.update(data);
            prop_assert!(crc.matches(wire[wire.len() - 4..].try_into().unwrap()));
        }
    }

    /// Any beginning of a PDU says how much is missing: never too much, never nothing.
    #[test]
    fn truncation_asks_for_more(sent in any_sent(), ends in any_pair()) {
        let (wire, to) = sent.write(ends);
        let whole = frame(to.clone().decode(&wire).unwrap());
        let head = whole.header.len() + if to.agreed().header_digest { 4 } else { 0 };
        for cut in 0..wire.len() {
            match to.clone().decode(&wire[..cut]).unwrap() {
                Decoded::Need(more) => prop_assert!(more >= 1 && cut + more <= head && cut < head),
                Decoded::Pdu(frame) => prop_assert!(frame == whole && cut >= head),
            }
        }
    }

    /// With header digests every changed byte of the header or its digest is found out, and the answer can be written.
    #[test]
    fn corruption_is_found_by_the_digest(sent in any_sent(), ends in any_pair(), flip in 1..=255u8) {
        let (wire, to) = sent.write(ends);
        let head = frame(to.clone().decode(&wire).unwrap()).header.len();
        for at in 0..wire.len().min(HEADER_ROOM) {
            let mut wire = wire.clone();
            wire[at] ^= flip;
            let mut to = to;
            let decoded = to.decode(&wire);
            // Termination requests carry no digest: a type that became one ends the connection just the same.
            let ended = matches!(&decoded, Ok(Decoded::Pdu(Frame { pdu: Pdu::TermReq(_), .. })));
            if to.agreed().header_digest && at < head + 4 && !(at == 0 && ended) {
                prop_assert!(decoded.is_err(), "byte {}", at);
                if at >= 8 {
                    prop_assert_eq!(decoded.unwrap_err().fault.status, FatalStatus::HEADER_DIGEST);
                }
            }
            if let Err(violation) = decoded {
                let mut out = [0; TERM_ROOM];
                let n = to.write_term_req(&mut out, &violation).unwrap();
                prop_assert_eq!(&out[24..n], violation.header);
                prop_assert_eq!(to.phase(), Phase::Closed);
                prop_assert_eq!(to.decode(&wire).unwrap_err().fault, Fault::SEQUENCE);
            }
        }
    }

    #[test]
    fn a_changed_payload_changes_its_digest(len in 1usize..3000, at in any::<prop::sample::Index>(), flip in 1..=255u8, cuts in proptest::collection::vec(0usize..3000, 0..6)) {
        let mut data: Vec<u8> = (0..len).map(|at| (at * 7) as u8).collect();
        let whole = Crc32c::of(&data);
        let mut crc = Crc32c::new();
        let mut from = 0;
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(len)).collect();
        cuts.sort_unstable();
        cuts.push(len);
        for cut in cuts {
            crc.update(&data[from..cut]);
            crc = Crc32c::resume(crc.finish());
            from = cut;
        }
        prop_assert_eq!(crc.finish(), whole);
        let at = at.index(len);
        data[at] ^= flip;
        prop_assert_ne!(Crc32c::of(&data), whole);
    }

    /// Bytes of any kind, in either role and phase: an answer, no panic, and no PDU shorter than its header.
    #[test]
    fn garbage_is_survived(mut raw in proptest::collection::vec(any::<u8>(), 0..200), (host, controller) in any_pair(), shape in any::<bool>()) {
        if shape && raw.len() > 8 {
            // Near the truth, so that more than the type is looked at.
            let hlen = [128, 128, 24, 24, 72, 24, 24, 24, 0, 24][usize::from(raw[0] % 10)];
            raw[0] %= 10;
            raw[2] = hlen;
            raw[5] = 0;
            raw[6] = 0;
            raw[7] = 0;
        }
        for mut end in [host, controller, Connection::host(HostOffer::default()), Connection::controller(ControllerOffer::default())] {
            match end.decode(&raw) {
                Ok(Decoded::Need(n)) => prop_assert!(n >= 1),
                Ok(Decoded::Pdu(frame)) => prop_assert!(frame.len() >= frame.header.len() && frame.data_offset >= frame.header.len()),
                Err(violation) => prop_assert!(violation.header.len() <= 128),
            }
        }
    }
}

#[test]
fn what_is_agreed_is_what_both_want() {
    let (host, controller) = pair(
        HostOffer { hpda: 3, header_digest: true, data_digest: false, max_r2t: 16 },
        ControllerOffer { cpda: 1, header_digest: true, data_digest: true, max_h2c_data: 8195, max_capsule_data: 0 },
    );
    assert!(host.agreed().header_digest && !controller.agreed().data_digest);
    assert_eq!((host.agreed().max_h2c_data, controller.agreed().max_h2c_data), (8192, 8192));
    assert_eq!(controller.agreed().max_r2t, 16);
    assert_eq!((host.agreed().recv_alignment(), host.agreed().send_alignment()), (16, 8));
    assert_eq!((controller.agreed().recv_alignment(), controller.agreed().send_alignment()), (8, 16));
    let (host, controller) = pair(
        HostOffer { header_digest: true, ..HostOffer::default() },
        ControllerOffer { header_digest: false, ..ControllerOffer::default() },
    );
    assert!(!host.agreed().header_digest && !controller.agreed().header_digest);
}

/// The fault of a PDU after its bytes were changed.
fn fault_of(mut end: Connection, wire: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Fault {
    let mut wire = wire.to_vec();
    change(&mut wire);
    end.decode(&wire).expect_err("must be refused").fault
}

#[test]
fn a_wrong_handshake_is_refused() {
    let host = Connection::host(HostOffer::default());
    let controller = Connection::controller(ControllerOffer::default());
    let (mut req, mut resp) = ([0; 128], [0; 128]);
    host.write_ic_req(&mut req).unwrap();
    controller.write_ic_resp(&mut resp).unwrap();
    resp[11] = 0;
    for (at, value, fault) in [
        (0, 1, Fault::TYPE),
        (0, 0x42, Fault::TYPE),
        (0, 4, Fault::SEQUENCE),
        (0, 6, Fault::SEQUENCE),
        (2, 127, Fault::HLEN),
        (4, 129, Fault::PLEN),
        (8, 1, Fault::unsupported(8)),
        (9, 1, Fault::unsupported(8)),
        (10, 32, Fault::field(10)),
    ] {
        assert_eq!(fault_of(controller, &req, |wire| wire[at] = value), fault, "ICReq byte {at}");
    }
    for (at, value, fault) in [
        (0, 0, Fault::TYPE),
        (0, 5, Fault::SEQUENCE),
        (0, 9, Fault::SEQUENCE),
        (8, 1, Fault::unsupported(8)),
        (10, 32, Fault::field(10)),
        (11, 1, Fault::field(11)),
        (11, 2, Fault::field(11)),
        (12, 1, Fault::field(12)),
        (14, 0, Fault::field(12)),
    ] {
        assert_eq!(fault_of(host, &resp, |wire| wire[at] = value), fault, "ICResp byte {at}");
    }
    let (ready_host, ready_controller) = plain();
    assert_eq!(fault_of(ready_controller, &req, |_| ()), Fault::SEQUENCE);
    assert_eq!(fault_of(ready_host, &resp, |_| ()), Fault::SEQUENCE);
}

#[test]
fn a_peer_of_another_protocol_is_refused_by_its_first_bytes() {
    let controller = Connection::controller(ControllerOffer::default());
    assert_eq!(fault_of(controller, b"GET / HTTP/1.1\r\n", |_| ()), Fault::TYPE);
    assert_eq!(fault_of(controller, b"\x04", |_| ()), Fault::SEQUENCE);
}

#[test]
fn each_rule_of_a_command_capsule_has_its_fault() {
    let sqe = IoCommand::Write(ReadWrite::default()).encode().with_sgl(Sgl::Offset { offset: 0, len: 512 });
    let (wire, to) = Sent::Cmd(sqe, 512).write(plain());
    let plen = |plen: u32| move |wire: &mut Vec<u8>| wire[4..8].copy_from_slice(bytes(&U32::new(plen)));
    assert_eq!(fault_of(to, &wire, |wire| wire[0] = 7), Fault::TYPE);
    assert_eq!(fault_of(to, &wire, |wire| wire[0] = 3), Fault::TYPE);
    assert_eq!(fault_of(to, &wire, |wire| wire[2] = 71), Fault::HLEN);
    assert_eq!(fault_of(to, &wire, |wire| wire[1] = FLAG_HDGST), Fault::FLAGS);
    assert_eq!(fault_of(to, &wire, |wire| wire[1] = FLAG_DDGST), Fault::FLAGS);
    assert_eq!(fault_of(to, &wire, |wire| wire[3] = 68), Fault::PDO);
    assert_eq!(fault_of(to, &wire, |wire| wire[3] = 74), Fault::PDO);
    assert_eq!(fault_of(to, &wire, plen(71)), Fault::PLEN);
    assert_eq!(fault_of(to, &wire, plen(0)), Fault::PLEN);
    assert_eq!(fault_of(to, &wire, plen(u32::MAX)), Fault::PLEN);
    assert_eq!(fault_of(to, &wire, plen(72 + 8193)), Fault::PLEN);
    // All padding, no data.
    let no_data = |wire: &mut Vec<u8>| {
        wire[3] = 80;
        plen(80)(wire);
    };
    assert_eq!(fault_of(to, &wire, no_data), Fault::PLEN);
    // Without data PDO means nothing.
    let mut empty = wire.clone();
    plen(72)(&mut empty);
    assert_eq!(frame(to.clone().decode(&empty).unwrap()).data_len, 0);
    // The limit is the controller's to set.
    let mut small = to;
    small.set_max_capsule_data(511);
    assert_eq!(fault_of(small, &wire, |_| ()), Fault::PLEN);

    let (wire, to) = Sent::Cmd(sqe, 512).write(digests());
    assert_eq!(fault_of(to, &wire, |wire| wire[1] &= !FLAG_HDGST), Fault::FLAGS);
    assert_eq!(fault_of(to, &wire, |wire| wire[1] &= !FLAG_DDGST), Fault::FLAGS);
    assert_eq!(fault_of(to, &wire, |wire| wire[3] = 72), Fault::PDO);
    let received = u32::from_le_bytes(wire[72..76].try_into().unwrap());
    assert_eq!(fault_of(to, &wire, |wire| wire[9] ^= 1), Fault::header_digest(received));
    // A data digest that does not fit before the end.
    assert_eq!(fault_of(to, &wire, plen(79)), Fault::PLEN);
    assert_eq!(fault_of(to, &wire, plen(80)), Fault::PLEN);
}

#[test]
fn each_rule_of_data_has_its_fault() {
    let data = H2cData { cccid: Cid(1), ttag: 2, offset: 0, len: 4096, last: true };
    let (wire, to) = Sent::H2c(data).write(plain());
    assert_eq!(fault_of(to, &wire, |wire| wire[16] = 1), Fault::LEN);
    assert_eq!(fault_of(to, &wire, |wire| wire[12..16].fill(0xff)), Fault::OUT_OF_RANGE);
    assert_eq!(fault_of(to, &wire, |wire| wire[4..8].copy_from_slice(&[24, 0, 0, 0])), Fault::PLEN);
    let (wire, _) = Sent::H2c(H2cData { len: (1 << 17) + 4, ..data }).write(plain());
    assert_eq!(fault_of(to, &wire, |_| ()), Fault::LIMIT);

    let data = C2hData { cccid: Cid(1), offset: 0, len: 512, last: true, success: true };
    let (wire, to) = Sent::C2h(data).write(plain());
    assert_eq!(fault_of(to, &wire, |wire| wire[1] = FLAG_SUCCESS), Fault::FLAGS);
    assert_eq!(fault_of(to, &wire, |wire| wire[16] = 1), Fault::LEN);

    let (wire, to) = Sent::R2t(R2t { cccid: Cid(1), ttag: 2, offset: 0, len: 512 }).write(plain());
    assert_eq!(fault_of(to, &wire, |wire| wire[17] = 0), Fault::LEN);
    assert_eq!(fault_of(to, &wire, |wire| wire[12..16].fill(0xff)), Fault::OUT_OF_RANGE);
    assert_eq!(fault_of(to, &wire, |wire| wire[4] = 28), Fault::PLEN);
    let (wire, to) = Sent::Resp(Cqe::new(Cid(1), Status::SUCCESS)).write(plain());
    assert_eq!(fault_of(to, &wire, |wire| wire[4] = 28), Fault::PLEN);
}

#[test]
fn a_termination_says_why_and_ends_the_connection() {
    let (host, mut controller) = plain();
    let mut junk = [0; 200];
    junk[0] = 0x55;
    junk[2] = 200;
    let violation = controller.decode(&junk).unwrap_err();
    assert_eq!((violation.fault, violation.header.len()), (Fault::TYPE, 128));
    let mut wire = [0; TERM_ROOM];
    let n = controller.write_term_req(&mut wire, &violation).unwrap();
    assert_eq!(n, 152);
    assert_eq!(wire[..16], [3, 0, 24, 0, 152, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(controller.write_term_req(&mut wire[..151], &violation), None);

    let mut receiver = host;
    let got = frame(receiver.decode(&wire[..24]).unwrap());
    assert_eq!((got.pdu, got.data_offset, got.data_len), (Pdu::TermReq(Fault::TYPE), 24, 128));
    assert_eq!(receiver.phase(), Phase::Closed);
    assert_eq!(receiver.decode(&wire).unwrap_err().fault, Fault::SEQUENCE);
    assert_eq!(fault_of(host, &wire, |wire| wire[4] = 153), Fault::PLEN);
    assert_eq!(fault_of(host, &wire, |wire| wire[4] = 23), Fault::PLEN);
    // A termination may come during the handshake too.
    let mut early = Connection::host(HostOffer::default());
    assert!(early.decode(&wire).is_ok());
}

#[test]
fn a_short_buffer_and_an_absurd_length_are_no_panic() {
    let (host, controller) = digests();
    let sqe = IoCommand::Flush.encode();
    for room in 0..76 {
        assert_eq!(host.write_capsule_cmd(&mut [0; 76][..room], &sqe, 0), None);
    }
    assert_eq!(host.write_capsule_cmd(&mut [0; 76], &sqe, 0), Some(76));
    let data = C2hData { cccid: Cid(0), offset: 0, len: u32::MAX, last: true, success: false };
    assert_eq!(controller.write_c2h_data(&mut [0; HEADER_ROOM], &data), None);
    assert_eq!(host.write_ic_req(&mut [0; 127]), None);
    assert_eq!(controller.write_ic_resp(&mut [0; 127]), None);
}

#[test]
fn headers_lie_where_the_specification_says() {
    use core::mem::offset_of;
    assert_eq!((offset_of!(CommonHeader, hlen), offset_of!(CommonHeader, pdo), offset_of!(CommonHeader, plen)), (2, 3, 4));
    assert_eq!((offset_of!(IcReqHeader, hpda), offset_of!(IcReqHeader, dgst), offset_of!(IcReqHeader, maxr2t)), (10, 11, 12));
    assert_eq!((offset_of!(IcRespHeader, cpda), offset_of!(IcRespHeader, maxh2cdata)), (10, 12));
    assert_eq!((offset_of!(TermReqHeader, fes), offset_of!(TermReqHeader, fei)), (8, 10));
    assert_eq!((offset_of!(TransferHeader, ttag), offset_of!(TransferHeader, offset), offset_of!(TransferHeader, len)), (10, 12, 16));
    let (host, controller) = plain();
    let mut wire = [0xee; 24];
    controller.write_r2t(&mut wire, &R2t { cccid: Cid(0x0102), ttag: 0x0304, offset: 8, len: 16 }).unwrap();
    assert_eq!(wire, [9, 0, 24, 0, 24, 0, 0, 0, 2, 1, 4, 3, 8, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0]);
    host.write_h2c_data(&mut wire, &H2cData { cccid: Cid(0x0102), ttag: 0x0304, offset: 8, len: 16, last: true }).unwrap();
    assert_eq!(wire[..20], [6, 4, 24, 24, 40, 0, 0, 0, 2, 1, 4, 3, 8, 0, 0, 0, 16, 0, 0, 0]);
}

#[test]
fn known_digests() {
    // RFC 3720, B.4.
    assert_eq!(Crc32c::of(&[0; 32]), 0x8a91_36aa);
    assert_eq!(Crc32c::of(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(Crc32c::new().finish(), 0);
    assert_eq!(Crc32c::new().to_bytes(), [0; 4]);
}
