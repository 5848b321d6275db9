//! A client's end of things: its socket, what it has sent of a message, and what it has not read yet.

use super::message::Assembly;
use super::serve::Held;
use doorbell_block::Ticks;
use doorbell_sys::socket::{Sent, Stream};
use doorbell_wire_vfio_user::Header;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An answer, or what is left of it.
struct Answer {
    bytes: Vec<u8>,
    fd: Option<OwnedFd>,
}

/// A client.
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) input: Assembly,
    output: VecDeque<Answer>,
    /// It has said which version it speaks.
    pub(super) agreed: bool,
    /// A message that waits for the function to be still.
    pub(super) held: Option<Held>,
    /// It goes once its answers are sent.
    pub(super) ends: bool,
    /// When it has to have gone on.
    pub(super) deadline: Option<Ticks>,
}

impl Client {
    pub(super) fn new(stream: Stream) -> Client {
        Client { stream, input: Assembly::default(), output: VecDeque::new(), agreed: false, held: None, ends: false, deadline: None }
    }

    /// Answers a message whose sender wants that.
    pub(super) fn answer(&mut self, header: &Header, parts: &[&[u8]], fd: Option<BorrowedFd<'_>>) {
        let body = parts.iter().map(|p| p.len()).sum();
        let Some(head) = header.reply(body).filter(|_| header.wants_reply()) else { return };
        let bytes = [&head.encode()[..], &parts.concat()].concat();
        self.output.push_back(Answer { bytes, fd: fd.and_then(|fd| fd.try_clone_to_owned().ok()) });
    }

    /// The same, of one that failed.
    pub(super) fn refuse(&mut self, header: &Header, error: u32) {
        if header.wants_reply() {
            self.output.push_back(Answer { bytes: header.error_reply(error).encode().to_vec(), fd: None });
        }
    }

    /// Are there answers that it has not taken?
    pub(super) fn owes(&self) -> bool {
        !self.output.is_empty()
    }

    /// Sends answers, each by one call: some clients read them so. False when the client is gone.
    pub(super) fn send(&mut self) -> io::Result<bool> {
        while let Some(next) = self.output.front_mut() {
            let fds: Vec<_> = next.fd.iter().map(AsFd::as_fd).collect();
            match self.stream.send_passing(&next.bytes, &fds)? {
                Sent::Bytes(n) if n >= next.bytes.len() => drop(self.output.pop_front()),
                Sent::Bytes(n) => {
                    // The descriptor went with the first of them.
                    next.bytes.drain(..n);
                    next.fd = None;
                }
                Sent::WouldBlock => return Ok(true),
                Sent::Closed(_) => return Ok(false),
            }
        }
        Ok(true)
    }
}
