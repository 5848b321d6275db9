//! From the socket to completions and payload.
//!
//! One large receive carries many small PDUs, whose payload is copied to its place; payload whose larger part has not come is received
//! there, and the headers behind it into the buffer, in one call.

use super::{Failure, Step, TcpLink};
use crate::link::Completed;
use doorbell_sys::socket::Recv;
use doorbell_wire_nvme::{Cqe, Status};
use doorbell_wire_nvme_tcp::{C2hData, Decoded, Fault, Frame, HEADER_ROOM, Pdu, R2t, TERM_ROOM, Violation};
use std::io;

/// Bytes of the receive buffer: 32 answers of 4 KiB and their headers fit.
const SCRATCH: usize = 160 << 10;
/// Taken at once while long data is on its way, so that little of it is copied.
const NARROW: usize = 4 << 10;
/// Bytes that a payload must lack to be received in place.
const IN_PLACE: u32 = 8 << 10;
/// Reads from which on their data is called long.
const LONG: u32 = 16 << 10;
/// Receives in one reap.
const ROUNDS: u32 = 4;

/// Data of a read that is coming.
#[derive(Clone, Copy)]
struct Payload {
    slot: u16,
    /// Where in the command's data, and how much.
    offset: u32,
    len: u32,
    got: u32,
    digest_len: usize,
    /// What ends the command with it, when no response follows.
    ends: Option<Cqe>,
}

#[derive(Default)]
pub(super) struct Receiving {
    /// `room[at..have]` is received and not understood yet.
    room: Vec<u8>,
    at: usize,
    have: usize,
    payload: Option<Payload>,
    /// It stopped at a budget.
    more: bool,
    /// Long reads in flight.
    long: u32,
    /// Calls made, and bytes that came.
    pub(super) calls: u64,
    pub(super) bytes: u64,
}

impl Receiving {
    /// A command with so many bytes to come is on its way.
    #[inline]
    pub(super) fn expect(&mut self, bytes: u32) {
        self.long += u32::from(bytes >= LONG);
    }

    /// It is over.
    #[inline]
    pub(super) fn expected(&mut self, bytes: u32) {
        self.long = self.long.saturating_sub(u32::from(bytes >= LONG));
    }

    /// Is there something to look at that no descriptor tells of?
    #[inline]
    pub(super) fn has_more(&self) -> bool {
        self.more
    }

    /// Nothing comes any more.
    pub(super) fn forget(&mut self) {
        let (calls, bytes) = (self.calls, self.bytes);
        *self = Receiving { calls, bytes, ..Receiving::default() };
    }
}

impl TcpLink {
    /// Receives, and deals with what came, until the socket is empty or there are about `budget` completions.
    #[inline]
    pub(super) fn receive(&mut self, budget: usize, done: &mut Vec<Completed>) {
        let limit = done.len().saturating_add(budget);
        let mut room = std::mem::take(&mut self.rx.room);
        if room.is_empty() {
            room = vec![0; SCRATCH];
        }
        let (mut round, mut drained) = (0, false);
        loop {
            let used = self.understand(room.get(self.rx.at..self.rx.have).unwrap_or_default(), limit, done);
            if self.step == Step::Over {
                return;
            }
            self.rx.at += used;
            if self.rx.more || drained {
                break;
            }
            if round == ROUNDS {
                self.rx.more = true;
                break;
            }
            round += 1;
            match self.take_in(&mut room) {
                Ok((Recv::Bytes(n), all)) => {
                    self.rx.bytes += n as u64;
                    drained = all;
                }
                Ok((Recv::WouldBlock, _)) => break,
                Ok((Recv::Closed(how), _)) => return self.lost(how),
                Err(error) => return self.fail(Failure::Local { address: self.peer, why: error.to_string() }),
            }
        }
        self.rx.room = room;
    }

    /// One call of the system. Says whether it emptied the socket.
    #[inline]
    fn take_in(&mut self, room: &mut [u8]) -> io::Result<(Recv, bool)> {
        let rx = &mut self.rx;
        if rx.at > 0 {
            room.copy_within(rx.at..rx.have, 0);
            (rx.have, rx.at) = (rx.have - rx.at, 0);
        }
        let Some(stream) = &self.stream else { return Ok((Recv::WouldBlock, true)) };
        rx.calls += 1;
        if let Some(p) = rx.payload.as_mut().filter(|p| rx.have == 0 && p.len - p.got >= IN_PLACE)
            && let Some(sg) = self.slots.get(p.slot).and_then(|slot| slot.payload())
        {
            let left = p.len - p.got;
            let tail = room.get_mut(..NARROW).unwrap_or_default();
            let most = left as usize + tail.len();
            let got = stream.recv_vectored(None, sg, p.offset + p.got, left, Some(tail))?;
            let Recv::Bytes(n) = got else { return Ok((got, true)) };
            let direct = u32::try_from(n).unwrap_or(u32::MAX).min(left);
            p.got += direct;
            rx.have = n - direct as usize;
            return Ok((got, n < most));
        }
        let end = if rx.long > 0 { (rx.have + NARROW).min(room.len()) } else { room.len() };
        let most = end - rx.have;
        let got = stream.recv(room.get_mut(rx.have..end).unwrap_or_default())?;
        let Recv::Bytes(n) = got else { return Ok((got, true)) };
        rx.have += n;
        Ok((got, n < most))
    }

    /// Deals with as many of `bytes` as it can, and says how many.
    #[inline]
    fn understand(&mut self, bytes: &[u8], limit: usize, done: &mut Vec<Completed>) -> usize {
        let mut at = 0;
        self.rx.more = false;
        while self.step != Step::Over {
            let rest = bytes.get(at..).unwrap_or_default();
            if self.rx.payload.is_some() {
                at += self.fill(rest, done);
                if self.rx.payload.is_some() {
                    break;
                }
                continue;
            }
            if rest.is_empty() {
                break;
            }
            if done.len() >= limit {
                self.rx.more = true;
                break;
            }
            match self.codec.decode(rest) {
                Ok(Decoded::Pdu(frame)) if rest.len() >= frame.data_offset => match self.pdu(&frame, done) {
                    Ok(()) => at += frame.data_offset,
                    Err(fault) => self.violated(&frame.violation(fault)),
                },
                Ok(_) => break,
                Err(violation) => self.violated(&violation),
            }
        }
        at
    }

    #[inline]
    fn pdu(&mut self, frame: &Frame<'_>, done: &mut Vec<Completed>) -> Result<(), Fault> {
        match frame.pdu {
            Pdu::CapsuleResp(cqe) if self.step == Step::Joining => self.joined(cqe),
            Pdu::CapsuleResp(cqe) => self.answered(cqe, done),
            Pdu::C2hData(data) => self.data(&data, frame.data_digest_len),
            Pdu::R2t(r2t) => self.asked(r2t),
            Pdu::IcResp(_) => {
                self.greeted();
                Ok(())
            }
            Pdu::TermReq(fault) => {
                self.fail(Failure::Lost { address: self.peer, why: format!("the controller ended it: {fault}") });
                Ok(())
            }
            // The codec lets none of these through to a host.
            Pdu::IcReq(_) | Pdu::CapsuleCmd(_) | Pdu::H2cData(_) => Err(Fault::TYPE),
        }
    }

    /// A completion.
    #[inline]
    fn answered(&mut self, cqe: &Cqe, done: &mut Vec<Completed>) -> Result<(), Fault> {
        // The identifier's place in the PDU.
        let unknown = Fault::field(8 + 12);
        let (index, slot) = self.slots.live(cqe.cid(), self.tx.sent_all()).ok_or(unknown)?;
        if slot.unsent > 0 {
            // What of it is still to be sent lies in its memory.
            slot.ended = Some(*cqe);
        }
        let waits = slot.unsent > 0;
        self.note_head(cqe.sqhd.get());
        if !waits {
            self.land(index, *cqe, done);
        }
        Ok(())
    }

    /// Data of a read comes next.
    #[inline]
    fn data(&mut self, data: &C2hData, digest_len: usize) -> Result<(), Fault> {
        let (index, slot) = self.slots.live(data.cccid, self.tx.sent_all()).ok_or(Fault::CCCID)?;
        slot.reads.accept(data)?;
        if data.success && self.spec.flow_control {
            // With flow control every command is answered (TCP 1.1, 3.6.2.9).
            return Err(Fault::FLAGS);
        }
        let ends = data.success.then(|| Cqe::new(data.cccid, Status::SUCCESS));
        self.rx.payload = Some(Payload { slot: index, offset: data.offset, len: data.len, got: 0, digest_len, ends });
        Ok(())
    }

    /// Puts what came of the payload in its place. Says how many bytes it took.
    #[inline]
    fn fill(&mut self, bytes: &[u8], done: &mut Vec<Completed>) -> usize {
        let Some(p) = self.rx.payload.as_mut() else { return 0 };
        let n = bytes.len().min((p.len - p.got) as usize);
        let (part, rest) = bytes.split_at_checked(n).unwrap_or((bytes, &[]));
        let Some(slot) = self.slots.get_mut(p.slot) else { return 0 };
        if n > 0
            && let Some(sg) = slot.payload()
        {
            sg.write_at(p.offset + p.got, part);
        }
        p.got += n as u32;
        if p.got < p.len {
            return n;
        }
        if p.digest_len > 0 {
            // When the digest has not all come, the payload before it is in its place already.
            let Some(digest) = rest.first_chunk::<4>() else { return n };
            let right = slot.payload().is_some_and(|sg| sg.crc32c(p.offset, p.len) == u32::from_le_bytes(*digest));
            slot.damaged |= !right;
        }
        let p = *p;
        self.rx.payload = None;
        if let Some(cqe) = p.ends {
            self.land(p.slot, cqe, done);
        }
        n + p.digest_len
    }

    /// The controller wants data of a write.
    fn asked(&mut self, r2t: R2t) -> Result<(), Fault> {
        let (index, slot) = self.slots.live(r2t.cccid, self.tx.sent_all()).ok_or(Fault::CCCID)?;
        slot.writes.accept(&r2t)?;
        slot.unasked = slot.unasked.saturating_sub(r2t.len);
        let codec = &self.codec;
        let agreed = codec.agreed();
        for part in r2t.answers(agreed.max_h2c_data) {
            self.tx.head(HEADER_ROOM, |out| codec.write_h2c_data(out, &part));
            self.tx.payload(index, part.offset, part.len, part.last);
            slot.unsent += 1;
            if agreed.data_digest
                && let Some(sg) = slot.payload()
            {
                self.tx.bytes(&sg.crc32c(part.offset, part.len).to_le_bytes());
            }
        }
        Ok(())
    }

    /// Tells the peer which rule it broke, and ends.
    #[cold]
    fn violated(&mut self, violation: &Violation<'_>) {
        let (address, why) = (self.peer, violation.to_string());
        let failure = match self.step {
            Step::Greeting => Failure::NotNvme { address, why },
            _ => Failure::Protocol { address, why },
        };
        self.failure.get_or_insert(failure.clone());
        let mut said = [0; TERM_ROOM];
        if let Some(n) = self.codec.write_term_req(&mut said, violation) {
            self.tx.bytes(said.get(..n).unwrap_or_default());
            self.flush();
        }
        if let Some(stream) = &self.stream {
            // What lies unread when a socket closes makes the system reset it, and the peer would not hear why.
            let mut unread = [0; NARROW];
            for _ in 0..ROUNDS {
                if !matches!(stream.recv(&mut unread), Ok(Recv::Bytes(_))) {
                    break;
                }
            }
        }
        self.fail(failure);
    }
}
