//! From the socket to PDUs and payload.
//!
//! One large receive into the group's buffer carries many capsules; what does not make a whole PDU is kept for the next. Payload whose
//! larger part has not come is received into its segments, and the headers behind it into the buffer, in one call.

use super::connection::{Connection, Life, Shared};
use super::request::Step;
use doorbell_block::Cx;
use doorbell_sys::socket::Recv;
use doorbell_wire_nvme::Status;
use doorbell_wire_nvme_tcp::{self as pdu, Decoded, Fault, Frame, Pdu, Phase, Progress, TERM_ROOM, Violation};

/// Bytes of the group's receive buffer. What a blocked connection keeps back fits as well.
pub(super) const SCRATCH: usize = 128 << 10;
/// Taken at once while data that was asked for is on its way, so that it is not copied.
const NARROW: usize = 4 << 10;
/// Bytes that a payload must lack to be received in place.
const IN_PLACE: u32 = 8 << 10;
/// Receives of one connection in one turn.
const ROUNDS: u32 = 4;

/// A payload that is coming.
#[derive(Clone, Copy, Debug)]
struct Payload {
    /// The command; `None`: nobody wants it.
    slot: Option<u16>,
    /// Where in the command's data, and how much.
    offset: u32,
    len: u32,
    got: u32,
    digest_len: usize,
    /// The command's data is complete after it.
    last: bool,
}

#[derive(Default)]
pub(super) struct Receiving {
    /// Received and not understood yet.
    stash: Vec<u8>,
    payload: Option<Payload>,
    /// There may be something at the socket.
    pub(super) readable: bool,
    /// Something is missing to go on: boxes, buffers, or room to send.
    blocked: bool,
    /// It is a box or buffer that is missing, for data that the host sends unasked.
    short: bool,
}

/// What became of a PDU.
pub(super) enum Taken {
    /// It is dealt with; its payload goes to this command, or to nobody.
    Yes(Option<u16>),
    /// Not now: boxes or buffers are missing.
    Later,
    /// The peer has broken a rule.
    Broken(Fault),
}

impl Connection {
    /// Receives and deals with what came. True if there was anything.
    pub(super) fn receive(&mut self, cx: &mut Cx, shared: &mut Shared, scratch: &mut [u8]) -> bool {
        let mut have = self.rx.stash.len();
        if have == 0 && !self.rx.readable {
            return false;
        }
        if let Some(start) = scratch.get_mut(..have) {
            start.copy_from_slice(&self.rx.stash);
            shared.count.copied_bytes += have as u64;
        }
        self.rx.stash.clear();
        let (mut traffic, mut round) = (false, 0);
        loop {
            let used = self.understand(cx, shared, scratch.get(..have).unwrap_or_default());
            if used > 0 {
                scratch.copy_within(used..have, 0);
                have -= used;
                shared.count.copied_bytes += have as u64;
            }
            if self.life != Life::Open || self.rx.blocked || !self.rx.readable {
                break;
            }
            if round == ROUNDS {
                cx.wake(self.token);
                break;
            }
            round += 1;
            shared.count.receives += 1;
            match self.take_in(scratch, have) {
                Ok((Recv::Bytes(n), direct)) => {
                    traffic = true;
                    have += n - direct;
                }
                Ok((Recv::WouldBlock, _)) => self.rx.readable = false,
                Ok((Recv::Closed(how), _)) => {
                    let why = how.to_string();
                    self.close(cx, shared, &why);
                }
                Err(error) => {
                    tracing::warn!(connection = self.id, peer = %self.peer, %error, "cannot receive");
                    self.close(cx, shared, "receiving failed");
                }
            }
        }
        if self.life == Life::Open {
            self.rx.stash.extend_from_slice(scratch.get(..have).unwrap_or_default());
            shared.count.copied_bytes += have as u64;
        }
        traffic
    }

    /// One system call. Says how many of its bytes went to their payload straight away.
    fn take_in(&mut self, scratch: &mut [u8], have: usize) -> std::io::Result<(Recv, usize)> {
        let in_place = self.rx.payload.filter(|p| have == 0 && p.len - p.got >= IN_PLACE);
        if let Some(p) = in_place
            && let Some(sg) = p.slot.and_then(|slot| self.requests.get(slot)).and_then(|r| r.io.as_ref()).map(|io| &io.sg)
        {
            let left = p.len - p.got;
            let tail = scratch.get_mut(..NARROW).unwrap_or_default();
            let room = left as usize + tail.len();
            let got = self.wire.recv_into(sg, p.offset + p.got, left, tail)?;
            let Recv::Bytes(n) = got else { return Ok((got, 0)) };
            self.rx.readable = n == room;
            let direct = n.min(left as usize);
            if let Some(p) = &mut self.rx.payload {
                p.got += u32::try_from(direct).unwrap_or(left);
            }
            return Ok((got, direct));
        }
        let end = if self.asked_bytes > 0 { (have + NARROW).min(scratch.len()) } else { scratch.len() };
        let room = end - have;
        let got = self.wire.recv(scratch.get_mut(have..end).unwrap_or_default())?;
        if let Recv::Bytes(n) = got {
            // A short receive has emptied the socket: the next arrival is a new edge.
            self.rx.readable = n == room;
        }
        Ok((got, 0))
    }

    /// Deals with as many of `bytes` as it can, and says how many.
    fn understand(&mut self, cx: &mut Cx, shared: &mut Shared, bytes: &[u8]) -> usize {
        let mut at = 0;
        (self.rx.blocked, self.rx.short) = (false, false);
        while self.life == Life::Open {
            let rest = bytes.get(at..).unwrap_or_default();
            if self.rx.payload.is_some() {
                match self.fill(cx, shared, rest) {
                    Some(used) => at += used,
                    None => break,
                }
                if self.rx.payload.is_some() {
                    break;
                }
                continue;
            }
            if rest.is_empty() {
                break;
            }
            if self.tx.is_backlogged(self.requests.depth()) {
                self.rx.blocked = true;
                break;
            }
            match self.codec.decode(rest) {
                Ok(Decoded::Need(_)) => break,
                Ok(Decoded::Pdu(frame)) if rest.len() < frame.data_offset => break,
                Ok(Decoded::Pdu(frame)) => match self.pdu(cx, shared, &frame) {
                    Taken::Yes(slot) => {
                        at += frame.data_offset;
                        self.expect(&frame, slot);
                    }
                    Taken::Later => {
                        (self.rx.blocked, self.rx.short) = (true, self.lacks);
                        break;
                    }
                    Taken::Broken(fault) => self.violated(cx, shared, &frame.violation(fault)),
                },
                Err(violation) => self.violated(cx, shared, &violation),
            }
        }
        at
    }

    fn expect(&mut self, frame: &Frame<'_>, slot: Option<u16>) {
        if frame.data_len == 0 {
            return;
        }
        let (offset, last) = match frame.pdu {
            Pdu::H2cData(d) => (d.offset, d.last),
            _ => (0, true),
        };
        self.rx.payload = Some(Payload { slot, offset, len: frame.data_len, got: 0, digest_len: frame.data_digest_len, last });
    }

    /// Puts what came of a payload in its place. Says how many bytes it took.
    fn fill(&mut self, cx: &mut Cx, shared: &mut Shared, bytes: &[u8]) -> Option<usize> {
        let p = self.rx.payload.as_mut()?;
        let n = bytes.len().min((p.len - p.got) as usize);
        let (part, rest) = bytes.split_at_checked(n)?;
        let sg = p.slot.and_then(|slot| self.requests.get(slot)).and_then(|r| r.io.as_ref()).map(|io| &io.sg);
        if let Some(sg) = sg.filter(|_| n > 0) {
            sg.write_at(p.offset + p.got, part);
            shared.count.copied_bytes += n as u64;
        }
        p.got += u32::try_from(n).ok()?;
        if p.got < p.len {
            return Some(n);
        }
        let digest = rest.first_chunk::<4>().filter(|_| p.digest_len > 0);
        if digest.is_none() && p.digest_len > 0 {
            // The digest has not all come; the payload before it is in its place.
            return Some(n);
        }
        let done = *p;
        let right = match (digest, sg) {
            (Some(d), Some(sg)) => sg.crc32c(done.offset, done.len) == u32::from_le_bytes(*d),
            _ => true,
        };
        self.rx.payload = None;
        if let Some(slot) = done.slot {
            if !right && let Some(r) = self.requests.get(slot) {
                // It may be sent again: nothing is done with it.
                r.doomed = Some(Status::TRANSIENT_TRANSPORT_ERROR);
            }
            if done.last {
                self.data_complete(cx, shared, slot);
            }
        }
        Some(n + done.digest_len)
    }

    /// The data of a command is there.
    fn data_complete(&mut self, cx: &mut Cx, shared: &mut Shared, slot: u16) {
        match self.requests.get(slot).and_then(|r| r.doomed) {
            Some(status) => self.fail(cx, shared, slot, status),
            None => self.execute(cx, shared, slot),
        }
    }

    fn pdu(&mut self, cx: &mut Cx, shared: &mut Shared, frame: &Frame<'_>) -> Taken {
        match frame.pdu {
            Pdu::CapsuleCmd(sqe) => self.capsule(cx, shared, sqe, frame.data_len),
            Pdu::H2cData(data) => match self.requests.get(data.ttag).filter(|r| r.step == Step::Asked) {
                Some(r) => match r.transfer.as_mut().map(|t| t.accept(&data)) {
                    Some(Ok(progress)) => {
                        self.asked_bytes = self.asked_bytes.saturating_sub(data.len);
                        debug_assert_eq!(data.last, progress == Progress::Done);
                        Taken::Yes(Some(data.ttag))
                    }
                    Some(Err(fault)) => Taken::Broken(fault),
                    None => Taken::Broken(Fault::TTAG),
                },
                None => Taken::Broken(Fault::TTAG),
            },
            Pdu::IcReq(_) => {
                let codec = &self.codec;
                self.tx.head(pdu::HEADER_ROOM, |out| codec.write_ic_resp(out));
                Taken::Yes(None)
            }
            Pdu::TermReq(fault) => {
                let why = format!("the host has ended it: {fault}");
                self.close(cx, shared, &why);
                Taken::Yes(None)
            }
            // The codec lets none of these through to a controller.
            Pdu::IcResp(_) | Pdu::CapsuleResp(_) | Pdu::C2hData(_) | Pdu::R2t(_) => Taken::Broken(Fault::TYPE),
        }
    }

    /// Tells the peer which rule it broke, and ends.
    fn violated(&mut self, cx: &mut Cx, shared: &mut Shared, violation: &Violation<'_>) {
        if shared.log.allow(cx.now(), self.peer.ip()) {
            let host = self.association().map_or("", |a| a.host_nqn.as_str());
            tracing::warn!(connection = self.id, peer = %self.peer, %host, fault = %violation.fault, "a host broke the rules of NVMe/TCP");
        }
        let mut room = [0; TERM_ROOM];
        if let Some(n) = self.codec.write_term_req(&mut room, violation) {
            self.tx.bytes(room.get(..n).unwrap_or_default());
        }
        self.finish(cx);
    }

    /// Throws away what the peer still sends. True once it has closed.
    pub(super) fn throw_away(&mut self, shared: &mut Shared, scratch: &mut [u8]) -> bool {
        for _ in 0..ROUNDS {
            shared.count.receives += 1;
            match self.wire.recv(scratch) {
                Ok(Recv::Bytes(_)) => {}
                Ok(Recv::WouldBlock) => return false,
                Ok(Recv::Closed(_)) | Err(_) => return true,
            }
        }
        false
    }

    /// Does what the host has sent wait for a box or buffer of ours?
    pub(super) fn is_held_up(&self) -> bool {
        self.rx.short
    }

    /// Is the handshake of PDUs done?
    pub(super) fn is_ready(&self) -> bool {
        self.codec.phase() == Phase::Ready
    }
}
