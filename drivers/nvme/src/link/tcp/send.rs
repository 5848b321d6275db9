//! What a connection has to say: headers in one buffer, payload in place between them.
//!
//! Invariant: `cuts` are in rising order of `at`, which is not before `sent`. The bytes to send are the headers with each cut's payload put
//! in at its place; a cut's slot is not released before the cut is sent or dropped.

use super::slots::Slots;
use doorbell_sys::socket::{Closed, SendPart, Sent, Stream};
use std::collections::VecDeque;
use std::io;

/// Payload of a slot that goes between two headers.
struct Cut {
    at: usize,
    slot: u16,
    offset: u32,
    len: u32,
    sent: u32,
    /// The last of what one R2T asked for.
    answers: bool,
}

/// What became of sending.
pub(super) enum Flushed {
    /// All that the socket takes for now.
    Yes,
    /// The connection carries nothing any more.
    Closed(Closed),
}

pub(super) struct Sending {
    heads: Vec<u8>,
    sent: usize,
    cuts: VecDeque<Cut>,
    /// The socket is full.
    full: bool,
    /// Bytes queued and sent since the connection began, payload included.
    queued_all: u64,
    sent_all: u64,
    /// Slots whose completion waited for their payload to be sent.
    pub(super) landed: Vec<u16>,
    /// Calls made.
    pub(super) calls: u64,
}

/// Parts of one system call.
const PARTS: usize = 256;
/// Headers that are sent, in bytes: beyond it their room is used again although the buffer has not run empty.
const STALE: usize = 64 << 10;
/// Header of a command capsule with its digest, and the digest of its data.
const HEADER: usize = 72 + 4 + 4;

impl Sending {
    /// With room for what a queue of `depth` commands usually has to say at once.
    pub(super) fn new(depth: usize) -> Sending {
        Sending {
            heads: Vec::with_capacity(depth * HEADER * 2 + 2048),
            sent: 0,
            cuts: VecDeque::with_capacity(depth * 2),
            full: false,
            queued_all: 0,
            sent_all: 0,
            landed: Vec::with_capacity(depth),
            calls: 0,
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.heads.len() && self.cuts.is_empty()
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Bytes that the socket has taken.
    #[inline]
    pub(super) fn sent_all(&self) -> u64 {
        self.sent_all
    }

    /// Appends a header of at most `room` bytes that `write` fills in; says where it ends in all that was ever sent. `None` when it cannot
    /// be written, which no header of ours meets.
    #[inline]
    pub(super) fn head(&mut self, room: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<u64> {
        let start = self.heads.len();
        self.heads.resize(start + room, 0);
        let written = self.heads.get_mut(start..).and_then(write);
        self.heads.truncate(start + written.unwrap_or(0));
        self.queued_all += written? as u64;
        Some(self.queued_all)
    }

    /// Appends bytes.
    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.heads.extend_from_slice(bytes);
        self.queued_all += bytes.len() as u64;
    }

    /// Appends `len` bytes at `offset` of a slot's payload, which the slot counts.
    #[inline]
    pub(super) fn payload(&mut self, slot: u16, offset: u32, len: u32, answers: bool) {
        self.cuts.push_back(Cut { at: self.heads.len(), slot, offset, len, sent: 0, answers });
        self.queued_all += u64::from(len);
    }

    /// Sends until all is sent or the socket is full.
    #[inline]
    pub(super) fn flush(&mut self, stream: &Stream, slots: &mut Slots) -> io::Result<Flushed> {
        while !self.is_empty() {
            self.calls += 1;
            let (bytes, outcome) = if self.cuts.is_empty() {
                let bytes = self.heads.get(self.sent..).unwrap_or_default();
                (bytes.len(), stream.send(bytes)?)
            } else {
                let mut parts = [SendPart::Bytes(&[]); PARTS];
                let (count, bytes) = self.gather(slots, &mut parts);
                (bytes, stream.send_vectored(parts.get(..count).unwrap_or_default())?)
            };
            match outcome {
                Sent::Bytes(taken) => {
                    self.full = taken < bytes;
                    self.advance(taken, slots);
                    if self.full {
                        break;
                    }
                }
                Sent::WouldBlock => {
                    self.full = true;
                    break;
                }
                Sent::Closed(how) => return Ok(Flushed::Closed(how)),
            }
        }
        Ok(Flushed::Yes)
    }

    fn gather<'a>(&'a self, slots: &'a Slots, parts: &mut [SendPart<'a>; PARTS]) -> (usize, usize) {
        let mut places = parts.iter_mut();
        let (mut count, mut bytes, mut at) = (0, 0, self.sent);
        let mut put = |part: SendPart<'a>| {
            if part.is_empty() {
                return true;
            }
            let Some(place) = places.next() else { return false };
            (count, bytes) = (count + 1, bytes + part.len());
            *place = part;
            true
        };
        for cut in &self.cuts {
            let head = self.heads.get(at..cut.at).unwrap_or_default();
            // A slot holds its request for as long as a cut of it is here.
            let Some(sg) = slots.get(cut.slot).and_then(|slot| slot.payload()) else { break };
            if !put(SendPart::Bytes(head)) || !put(SendPart::Segs(sg, cut.offset + cut.sent, cut.len - cut.sent)) {
                return (count, bytes);
            }
            at = cut.at;
        }
        put(SendPart::Bytes(self.heads.get(at..).unwrap_or_default()));
        (count, bytes)
    }

    fn advance(&mut self, mut taken: usize, slots: &mut Slots) {
        self.sent_all += taken as u64;
        while let Some(cut) = self.cuts.front_mut() {
            let head = taken.min(cut.at - self.sent);
            (self.sent, taken) = (self.sent + head, taken - head);
            let left = cut.len - cut.sent;
            let n = u32::try_from(taken).unwrap_or(u32::MAX).min(left);
            if self.sent < cut.at || n < left {
                cut.sent += n;
                break;
            }
            taken -= n as usize;
            if let Some(slot) = slots.get_mut(cut.slot) {
                slot.unsent -= 1;
                if cut.answers {
                    slot.writes.answered();
                }
                if slot.unsent == 0 && slot.ended.is_some() {
                    self.landed.push(cut.slot);
                }
            }
            self.cuts.pop_front();
        }
        if self.cuts.is_empty() {
            self.sent += taken;
        }
        if self.sent == self.heads.len() && self.cuts.is_empty() {
            self.heads.clear();
            self.sent = 0;
        } else if self.sent > STALE {
            self.heads.drain(..self.sent);
            self.cuts.iter_mut().for_each(|cut| cut.at -= self.sent);
            self.sent = 0;
        }
    }

    /// Forgets what is not sent.
    pub(super) fn drop_all(&mut self) {
        self.cuts.clear();
        self.heads.clear();
        self.landed.clear();
        self.sent = 0;
    }
}
