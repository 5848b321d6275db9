//! A link on one end of a pair of sockets, and a controller that is scripted on the other.

mod honest;
mod hostile;
mod states;

use super::*;
use crate::link::OwnerId;
use doorbell_block::Io;
use doorbell_mem::{Pool, SgList};
use doorbell_sys::socket::{Recv, Sent};
use doorbell_wire_nvme::fabrics::CNTLID_DYNAMIC;
use doorbell_wire_nvme::{AdminOpcode, IoCommand, ReadWrite, Status};
use doorbell_wire_nvme_tcp::{C2hData, Connection, ControllerOffer, Decoded, Pdu, R2t};
use std::time::{Duration, Instant};

pub(super) const NOW: Ticks = Ticks(1);

pub(super) fn spec(qid: u16) -> TcpSpec {
    TcpSpec {
        addresses: Vec::new(),
        source: None,
        priority: 0,
        subsystem: "nqn.2026-11.io.doorbell:scripted".to_string(),
        host: HostName { nqn: "nqn.2026-11.io.doorbell:host".to_string(), id: [7; 16] },
        offer: TcpOffer::default(),
        qid,
        cntlid: if qid == 0 { CNTLID_DYNAMIC } else { 1 },
        depth: 4,
        keep_alive_ms: 0,
        flow_control: false,
        in_capsule: 4096,
        connect_timeout_ns: 1_000,
    }
}

/// The scripted controller's end.
pub(super) struct Peer {
    pub(super) stream: Stream,
    pub(super) codec: Connection,
    got: Vec<u8>,
}

/// A PDU that came, and what came with it.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    IcReq,
    Command(Box<Sqe>, Vec<u8>),
    Data(pdu::H2cData, Vec<u8>),
    Term(pdu::Fault),
}

impl Peer {
    /// What comes next; `None` when nothing is there.
    pub(super) fn hear(&mut self) -> Option<Heard> {
        loop {
            if let Ok(Decoded::Pdu(frame)) = self.codec.decode(&self.got)
                && self.got.len() >= frame.len()
            {
                let data = self.got[frame.data_offset..frame.data_offset + frame.data_len as usize].to_vec();
                if frame.data_digest_len > 0 {
                    let digest = &self.got[frame.len() - 4..frame.len()];
                    assert_eq!(digest, pdu::Crc32c::of(&data).to_le_bytes(), "the digest of {:?}", frame.pdu);
                }
                let heard = match frame.pdu {
                    Pdu::IcReq(_) => Heard::IcReq,
                    Pdu::CapsuleCmd(sqe) => Heard::Command(Box::new(*sqe), data),
                    Pdu::H2cData(part) => Heard::Data(part, data),
                    Pdu::TermReq(fault) => Heard::Term(fault),
                    other => panic!("a host sent {other:?}"),
                };
                let len = frame.len();
                self.got.drain(..len);
                return Some(heard);
            }
            let mut bytes = [0; 4096];
            match self.stream.recv(&mut bytes).unwrap() {
                Recv::Bytes(n) => self.got.extend_from_slice(&bytes[..n]),
                Recv::WouldBlock | Recv::Closed(_) => return None,
            }
        }
    }

    pub(super) fn say(&mut self, bytes: &[u8]) {
        assert_eq!(self.stream.send(bytes).unwrap(), Sent::Bytes(bytes.len()));
    }

    pub(super) fn say_pdu(&mut self, write: impl FnOnce(&Connection, &mut [u8]) -> Option<usize>) {
        let mut out = [0; HEADER_ROOM];
        let n = write(&self.codec, &mut out).unwrap();
        self.say(&out[..n]);
    }

    pub(super) fn answer(&mut self, cqe: Cqe) {
        self.say_pdu(|codec, out| codec.write_capsule_resp(out, &cqe));
    }

    pub(super) fn ask(&mut self, cccid: Cid, ttag: u16, offset: u32, len: u32) {
        self.say_pdu(|codec, out| codec.write_r2t(out, &R2t { cccid, ttag, offset, len }));
    }

    /// C2HData with its payload and digest; `byte` is what the payload is made of.
    pub(super) fn data(&mut self, data: C2hData, byte: u8) {
        self.say_pdu(|codec, out| codec.write_c2h_data(out, &data));
        let payload = vec![byte; data.len as usize];
        self.say(&payload);
        if self.codec.agreed().data_digest {
            self.say(&pdu::Crc32c::of(&payload).to_le_bytes());
        }
    }

    /// A command that has come.
    pub(super) fn command(&mut self) -> (Sqe, Vec<u8>) {
        match self.hear() {
            Some(Heard::Command(sqe, data)) => (*sqe, data),
            other => panic!("{other:?} is no command"),
        }
    }
}

pub(super) fn part(cccid: Cid, offset: u32, len: u32, last: bool, success: bool) -> C2hData {
    C2hData { cccid, offset, len, last, success }
}

/// A link and its peer, before anything was said.
pub(super) fn strangers(spec: TcpSpec, offer: ControllerOffer) -> (TcpLink, Peer) {
    let (ours, theirs) = Stream::pair().unwrap();
    let link = TcpLink::over(NOW, spec, ours).unwrap();
    (link, Peer { stream: theirs, codec: Connection::controller(offer), got: Vec::new() })
}

/// A link that is ready, and its peer.
pub(super) fn friends(spec: TcpSpec, offer: ControllerOffer) -> (TcpLink, Peer) {
    let (mut link, mut peer) = strangers(spec, offer);
    assert_eq!(peer.hear(), Some(Heard::IcReq));
    peer.say_pdu(|codec, out| codec.write_ic_resp(out));
    assert!(reap(&mut link).is_empty());
    let (sqe, data) = peer.command();
    assert!(sqe.is_fabrics() && data.len() == 1024);
    peer.answer(Cqe::new(sqe.cid(), Status::SUCCESS).with_dw0(1).with_sqhd(1));
    assert!(reap(&mut link).is_empty());
    assert_eq!(link.progress(), Progress::Ready { cntlid: 1 });
    (link, peer)
}

pub(super) fn reap(link: &mut TcpLink) -> Vec<Completed> {
    let mut done = Vec::new();
    link.reap(NOW, 100, &mut done).unwrap();
    done
}

/// A flight with a payload of so many bytes of 0xee in two pieces.
pub(super) fn flight(pool: &Pool, bytes: u32) -> Flight {
    let mut io = Io::boxed(2);
    if bytes > 0 {
        let half = (bytes / 2) & !511;
        for len in [half, bytes - half].into_iter().filter(|len| *len > 0) {
            io.sg.push(pool.get(len).unwrap());
        }
        io.sg.fill(0, bytes, 0xee);
    }
    Flight { io, raw: None, owner: OwnerId { index: 0, generation: 0 }, since: NOW, tries: 0 }
}

pub(super) fn pool() -> Pool {
    Pool::small(128 << 10, 16)
}

pub(super) fn read(blocks: u32) -> Sqe {
    IoCommand::Read(ReadWrite { blocks, ..ReadWrite::default() }).encode().with_nsid(1)
}

pub(super) fn write(blocks: u32) -> Sqe {
    IoCommand::Write(ReadWrite { blocks, ..ReadWrite::default() }).encode().with_nsid(1)
}

pub(super) fn bytes_of(sg: &SgList) -> Vec<u8> {
    let mut bytes = vec![0; sg.bytes() as usize];
    sg.read_at(0, &mut bytes);
    bytes
}

/// Waits for the link's descriptor, as a reactor that sleeps would.
pub(super) fn sleeps_until_ready(link: &mut TcpLink) -> bool {
    let mut poller = Poller::new().unwrap();
    let ready = link.arm() == Armed::Ready || {
        poller.add(link.descriptor().unwrap(), 0, Interest::READ, Mode::Level).unwrap();
        poller.wait(Some(Duration::from_secs(10))).unwrap() > 0
    };
    link.disarm();
    ready
}

/// Reaps until there is a completion or an end.
pub(super) fn reap_some(link: &mut TcpLink) -> Result<Vec<Completed>, Lost> {
    let (mut done, end) = (Vec::new(), Instant::now() + Duration::from_secs(20));
    while done.is_empty() {
        assert!(Instant::now() < end, "nothing came");
        link.reap(NOW, 100, &mut done)?;
    }
    Ok(done)
}
