//! What a connection has to say: headers in one buffer, payload in place behind them.
//!
//! Invariant: `cuts` are in rising order of `at`, which is not before `sent`. The bytes to send are the headers with each cut's payload
//! put in at its place.

use super::share::{Charge, Held};
use super::wire::Wire;
use doorbell_block::{Cx, Io, Ticks};
use doorbell_sys::socket::{SendPart, Sent};
use doorbell_wire_nvme_tcp::HEADER_ROOM;
use std::collections::VecDeque;
use std::io;

/// Payload that goes between two headers.
struct Cut {
    at: usize,
    io: Box<Io>,
    len: u32,
    sent: u32,
    charge: Option<Charge>,
}

#[derive(Default)]
pub(super) struct Sending {
    heads: Vec<u8>,
    sent: usize,
    cuts: VecDeque<Cut>,
    /// The socket is full: it will say when it is not.
    full: bool,
    /// Since when the peer has taken nothing of what there is for it.
    stalled: Option<Ticks>,
    /// What waits to be sent holds of the reactor's boxes and buffers.
    held: Held,
}

/// Parts of one system call.
const PARTS: usize = 64;
/// Headers that are not sent yet, in bytes: beyond it nothing more is received.
const BACKLOG: usize = 32 << 10;
/// Headers of one command, in bytes: of its data or the request for it, and of its answer, with digests.
const HEADERS_EACH: usize = 96;
/// Headers that are sent, in bytes: beyond it their room is used again although the buffer has not run empty.
const STALE: usize = 64 << 10;

impl Sending {
    /// Room for what a queue of `depth` commands can have to say at once, so that no command allocates.
    pub(super) fn reserve(&mut self, depth: usize) {
        self.heads.reserve(depth * HEADERS_EACH + HEADER_ROOM);
        self.cuts.reserve(depth);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.heads.len() && self.cuts.is_empty()
    }

    /// Does the peer read too little of what it gets? A host holds no more payload than it has commands: `depth`.
    #[inline]
    pub(super) fn is_backlogged(&self, depth: usize) -> bool {
        self.full && (self.heads.len() - self.sent > BACKLOG || self.cuts.len() >= depth)
    }

    /// What waits to be sent holds.
    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    /// Since when the peer has taken nothing, though there is something for it.
    pub(super) fn stalled_since(&self) -> Option<Ticks> {
        self.stalled
    }

    pub(super) fn room_again(&mut self) {
        self.full = false;
    }

    /// Appends a header of at most `room` bytes that `write` fills in. False when it cannot be written, which no header of ours meets.
    #[inline]
    pub(super) fn head(&mut self, room: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        if self.heads.len() + room > self.heads.capacity() {
            self.forget_sent(); // what is left fits, since `reserve` saw to that
        }
        let start = self.heads.len();
        self.heads.resize(start + room, 0);
        let written = self.heads.get_mut(start..).and_then(write);
        self.heads.truncate(start + written.unwrap_or(0));
        written.is_some()
    }

    /// Appends the first `len` bytes of a box's payload; the box, and what it was charged, comes back to the pool once they are sent.
    #[inline]
    pub(super) fn payload(&mut self, io: Box<Io>, len: u32, charge: Option<Charge>) {
        charge.into_iter().for_each(|c| self.held.add(c));
        self.cuts.push_back(Cut { at: self.heads.len(), io, len, sent: 0, charge });
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.heads.extend_from_slice(bytes);
    }

    /// Sends what it can in one call, which it counts. False when the connection is lost.
    pub(super) fn flush(&mut self, cx: &mut Cx, wire: &mut dyn Wire, calls: &mut u64) -> io::Result<bool> {
        if self.full || self.is_empty() {
            return Ok(true);
        }
        let mut parts = [SendPart::Bytes(&[]); PARTS];
        let (count, bytes) = gather(&self.heads, self.sent, &self.cuts, &mut parts);
        *calls += 1;
        match wire.send(parts.get(..count).unwrap_or_default())? {
            Sent::Bytes(taken) => {
                self.full = taken < bytes;
                if taken > 0 {
                    self.stalled = self.full.then(|| cx.now());
                }
                self.advance(cx, taken);
                Ok(true)
            }
            Sent::WouldBlock => {
                self.full = true;
                self.stalled.get_or_insert(cx.now());
                Ok(true)
            }
            Sent::Closed(_) => Ok(false),
        }
    }

    /// Is there more that could go at once?
    pub(super) fn has_more(&self) -> bool {
        !self.full && !self.is_empty()
    }

    fn advance(&mut self, cx: &mut Cx, taken: usize) {
        self.take(cx, taken);
        if self.sent == self.heads.len() && self.cuts.is_empty() {
            self.heads.clear();
            self.sent = 0;
        } else if self.sent > STALE {
            self.forget_sent();
        }
    }

    /// Uses the room of headers that are sent again.
    #[cold]
    fn forget_sent(&mut self) {
        self.heads.drain(..self.sent);
        self.cuts.iter_mut().for_each(|cut| cut.at -= self.sent);
        self.sent = 0;
    }

    fn take(&mut self, cx: &mut Cx, mut taken: usize) {
        while let Some(cut) = self.cuts.front_mut() {
            let head = taken.min(cut.at - self.sent);
            (self.sent, taken) = (self.sent + head, taken - head);
            let left = cut.len - cut.sent;
            let n = u32::try_from(taken).unwrap_or(u32::MAX).min(left);
            if self.sent < cut.at || n < left {
                cut.sent += n;
                return;
            }
            taken -= n as usize;
            if let Some(cut) = self.cuts.pop_front() {
                cut.charge.into_iter().for_each(|c| self.held.remove(c));
                cx.put_io(cut.io);
            }
        }
        self.sent += taken;
    }

    /// Gives every box back.
    pub(super) fn drop_all(&mut self, cx: &mut Cx) {
        for cut in self.cuts.drain(..) {
            cx.put_io(cut.io);
        }
        self.heads.clear();
        (self.sent, self.held, self.stalled) = (0, Held::default(), None);
    }
}

fn gather<'a>(heads: &'a [u8], sent: usize, cuts: &'a VecDeque<Cut>, parts: &mut [SendPart<'a>; PARTS]) -> (usize, usize) {
    let mut slots = parts.iter_mut();
    let (mut count, mut bytes, mut at) = (0, 0, sent);
    let mut put = |part: SendPart<'a>| {
        if part.is_empty() {
            return true;
        }
        let Some(slot) = slots.next() else { return false };
        (count, bytes) = (count + 1, bytes + part.len());
        *slot = part;
        true
    };
    for cut in cuts {
        let head = heads.get(at..cut.at).unwrap_or_default();
        if !put(SendPart::Bytes(head)) || !put(SendPart::Segs(&cut.io.sg, cut.sent, cut.len - cut.sent)) {
            return (count, bytes);
        }
        at = cut.at;
    }
    put(SendPart::Bytes(heads.get(at..).unwrap_or_default()));
    (count, bytes)
}

#[cfg(test)]
mod tests;
