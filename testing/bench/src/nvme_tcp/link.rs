//! One NVMe/TCP connection of the bench's host: handshake, and one command at a time. The load has its own loop (`load`).
//!
//! Invariant: whoever waits here waits with a deadline; a target that says nothing is an error and not a hang.

use doorbell_sys::socket::{Recv, Sent, Stream};
use doorbell_wire_nvme::{Cqe, Sqe};
use doorbell_wire_nvme_tcp::{Connection, Decoded, HEADER_ROOM, HostOffer, Pdu, Phase};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long the target may take over anything that is not load.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that arrive at once: what the kernel gives in one receive is rarely more.
const ROOM: usize = 1 << 20;

/// What a receive brought.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    Something,
    Nothing,
}

/// A connection.
pub(super) struct Link {
    pub(super) stream: Stream,
    pub(super) codec: Connection,
    room: Vec<u8>,
    have: usize,
}

impl Link {
    /// Connects and shakes hands. More R2Ts at once than the target ever sends are allowed.
    pub(super) fn open(address: SocketAddr) -> Result<Link, String> {
        let stream = Stream::connect(address).map_err(|e| format!("cannot connect to {address}: {e}"))?;
        wait(|| Ok(stream.connected().map_err(|e| e.to_string())?.then_some(())), "its socket")?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let codec = Connection::host(HostOffer { max_r2t: 16, ..HostOffer::default() });
        let mut link = Link { stream, codec, room: vec![0; ROOM], have: 0 };
        let mut head = [0; HEADER_ROOM];
        let n = link.codec.write_ic_req(&mut head).ok_or("no room for an ICReq")?;
        link.send(&head[..n])?;
        let answered = |link: &mut Link| {
            link.read(|_, _| Ok(()))?;
            Ok((link.codec.phase() == Phase::Ready).then_some(()))
        };
        wait(|| answered(&mut link), "its ICResp")?;
        Ok(link)
    }

    /// Sends all of it.
    fn send(&self, mut bytes: &[u8]) -> Result<(), String> {
        let once = || match self.stream.send(bytes).map_err(|e| e.to_string())? {
            Sent::Bytes(n) => {
                bytes = &bytes[n..];
                Ok(bytes.is_empty().then_some(()))
            }
            Sent::WouldBlock => Ok(None),
            Sent::Closed(how) => Err(format!("the target has gone: {how}")),
        };
        wait(once, "it to take a command")
    }

    /// Receives once and hands over each whole header with the payload behind it; `take` is told what the PDU says and its payload.
    /// Payload that has not all come is waited for, so this is for small ones.
    pub(super) fn read(&mut self, mut take: impl FnMut(&Pdu<'_>, &[u8]) -> Result<(), String>) -> Result<Came, String> {
        let came = self.receive()?;
        let mut at = 0;
        while at < self.have {
            let bytes = &self.room[at..self.have];
            match self.codec.decode(bytes).map_err(|v| format!("the target broke a rule: {v}"))? {
                Decoded::Pdu(frame) if frame.len() <= bytes.len() => {
                    take(&frame.pdu, &bytes[frame.data_offset..][..frame.data_len as usize])?;
                    at += frame.len();
                }
                _ => break,
            }
        }
        self.keep_from(at);
        Ok(came)
    }

    /// One receive behind what is there.
    pub(super) fn receive(&mut self) -> Result<Came, String> {
        match self.stream.recv(&mut self.room[self.have..]).map_err(|e| e.to_string())? {
            Recv::Bytes(n) => {
                self.have += n;
                Ok(Came::Something)
            }
            Recv::WouldBlock => Ok(Came::Nothing),
            Recv::Closed(how) => Err(format!("the target has gone: {how}")),
        }
    }

    /// What has come and not been taken.
    pub(super) fn bytes(&mut self) -> (&mut Connection, &[u8]) {
        (&mut self.codec, &self.room[..self.have])
    }

    /// Forgets the first `used` bytes.
    pub(super) fn keep_from(&mut self, used: usize) {
        self.room.copy_within(used..self.have, 0);
        self.have -= used;
    }

    /// One command with its data, if any, in the capsule; its completion and the data that came with it.
    pub(super) fn command(&mut self, sqe: &Sqe, data: &[u8]) -> Result<(Cqe, Vec<u8>), String> {
        let mut head = [0; HEADER_ROOM];
        let len = u32::try_from(data.len()).map_err(|e| e.to_string())?;
        let n = self.codec.write_capsule_cmd(&mut head, sqe, len).ok_or("no room for a command")?;
        self.send(&head[..n])?;
        self.send(data)?;
        let (mut answer, mut payload) = (None, Vec::new());
        let once = || {
            self.read(|pdu, bytes| {
                match pdu {
                    Pdu::CapsuleResp(cqe) => answer = Some(**cqe),
                    Pdu::C2hData(_) => payload.extend_from_slice(bytes),
                    other => return Err(format!("the target sent {other:?} unasked")),
                }
                Ok(())
            })?;
            Ok(answer)
        };
        let cqe = wait(once, "a completion")?;
        match cqe.status().is_ok() {
            true => Ok((cqe, payload)),
            false => Err(format!("the target refused command {:02x}h: {}", sqe.opcode, cqe.status())),
        }
    }
}

/// Tries until there is something, or for too long.
pub(super) fn wait<T>(mut once: impl FnMut() -> Result<Option<T>, String>, what: &str) -> Result<T, String> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(done) = once()? {
            return Ok(done);
        }
        if Instant::now() > end {
            return Err(format!("waited {} s for {what}", PATIENCE.as_secs()));
        }
        std::thread::yield_now();
    }
}
