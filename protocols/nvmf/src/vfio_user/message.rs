//! Messages of a stream, put together as their bytes come.

use doorbell_sys::socket::{Recv, Stream};
use doorbell_wire_vfio_user::{Header, limit};
use std::io;
use std::os::fd::OwnedFd;

/// Bytes of a body at most: the most data, and room for any structure.
const BODY_MAX: usize = limit::MAX_DATA_XFER_BYTES as usize + 4096;
/// Bytes that are made room for at once: a client gets memory for what it sends, not for what it announces.
const STEP: usize = 64 << 10;

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) header: Header,
    pub(super) body: Vec<u8>,
    pub(super) fds: Vec<OwnedFd>,
}

/// What became of an attempt to read one.
#[derive(Debug)]
pub(super) enum Read {
    /// It is whole.
    Message(Message),
    /// There is no more for now.
    Later,
    /// The client is gone.
    Gone,
    /// It speaks another language.
    Broken(&'static str),
}

/// What has come of the next message.
#[derive(Default)]
pub(super) struct Assembly {
    bytes: Vec<u8>,
    have: usize,
    fds: Vec<OwnedFd>,
}

impl Assembly {
    /// Has a message begun and not ended?
    pub(super) fn is_partial(&self) -> bool {
        self.have > 0
    }

    /// Reads as far as the message goes, and not into the next one: its descriptors come with it.
    pub(super) fn read(&mut self, stream: &Stream) -> io::Result<Read> {
        loop {
            let header = match self.bytes.get(..self.have).map(Header::decode) {
                Some(Ok((header, _))) => Some(header),
                _ => None,
            };
            let whole = match header.map(|h| h.body_len(BODY_MAX)) {
                None => Header::LEN,
                Some(Ok(body)) => Header::LEN + body,
                Some(Err(_)) => return Ok(Read::Broken("the size of a message cannot be")),
            };
            if let Some(header) = header.filter(|_| self.have == whole) {
                self.have = 0;
                let body = self.bytes.drain(..).skip(Header::LEN).collect();
                return Ok(Read::Message(Message { header, body, fds: std::mem::take(&mut self.fds) }));
            }
            let room = whole.min(self.have + STEP);
            self.bytes.resize(room, 0);
            let into = self.bytes.get_mut(self.have..room).unwrap_or_default();
            match stream.recv_passed(into, &mut self.fds)? {
                Recv::Bytes(n) => self.have += n,
                Recv::WouldBlock => return Ok(Read::Later),
                Recv::Closed(_) => return Ok(Read::Gone),
            }
            if self.fds.len() > limit::FDS_TO_TAKE {
                return Ok(Read::Broken("more descriptors came with a message than any needs"));
            }
        }
    }
}
