//! The socket: one command at a time, and its answer.

use crate::PciError;
use doorbell_wire_vfio_user::{Command, Header, errno};
use rustix::event::epoll;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg,
    sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a server may take for one answer. QEMU gives it the same.
const ANSWER: Duration = Duration::from_secs(5);
/// Bytes of an answer's body at most: a register's value, or the description of a region.
const BODY_MAX: usize = 4096;
/// Descriptors that an answer may bring. Region descriptions bring one.
const FDS_MAX: usize = 16;

/// An answer.
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    pub(super) fds: Vec<OwnedFd>,
}

struct Line {
    stream: UnixStream,
    next: u16,
    /// An answer was missed or made no sense: what comes next cannot be told apart any more.
    is_broken: bool,
    /// The server itself has gone.
    hung_up: bool,
}

/// A connection to a server.
pub(super) struct Connection {
    name: String,
    line: Mutex<Line>,
    /// An epoll that waits for nothing but the other end's going.
    gone: OwnedFd,
}

impl Connection {
    pub(super) fn new(name: &str, socket: &Path, refuse_own: bool) -> Result<Connection, PciError> {
        let stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => PciError::unusable(name, format!("there is no socket {}", socket.display())),
            io::ErrorKind::ConnectionRefused => PciError::unusable(name, format!("nobody serves {} any more", socket.display())),
            _ => PciError::system(name, "connect to its socket", error),
        })?;
        let failed = |e: rustix::io::Errno| PciError::system(name, "watch its socket", e);
        // The kernel says who listens. Where it does not, the time for an answer still ends the wait.
        let is_own = || {
            rustix::net::sockopt::socket_peercred(&stream)
                .is_ok_and(|peer| peer.pid.as_raw_nonzero().get().cast_unsigned() == std::process::id())
        };
        if refuse_own && is_own() {
            return Err(PciError::unusable(
                name,
                "this process serves it itself, and cannot wait for its own answers: attach it from another",
            ));
        }
        let gone = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
        epoll::add(&gone, &stream, epoll::EventData::new_u64(0), epoll::EventFlags::RDHUP).map_err(failed)?;
        let line = Mutex::new(Line { stream, next: 0, is_broken: false, hung_up: false });
        Ok(Connection { name: name.to_owned(), line, gone })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Readable once the other end has gone.
    pub(super) fn gone(&self) -> BorrowedFd<'_> {
        self.gone.as_fd()
    }

    /// Sends a command and waits for its answer. An error that the server tells is one of `what`; the connection goes on.
    pub(super) fn call(&self, what: &'static str, command: Command, body: &[u8], fds: &[BorrowedFd<'_>]) -> Result<Answer, PciError> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if line.is_broken {
            // Gone only if it really is: a server that was silent too long may still be there, with our memory.
            return Err(match line.hung_up {
                true => PciError::Gone { function: self.name.clone() },
                false => PciError::unusable(&self.name, "its server did not answer as it must, and is not asked any more"),
            });
        }
        match line.exchange(command, body, fds) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(number)) => Err(PciError::system(&self.name, what, io::Error::from_raw_os_error(number.cast_signed()))),
            Err(error) => {
                line.is_broken = true;
                line.hung_up = !matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::InvalidData);
                let _ = line.stream.shutdown(Shutdown::Both);
                Err(match error.kind() {
                    io::ErrorKind::TimedOut => {
                        let why = format!("cannot {what}: the server did not answer within {} s", ANSWER.as_secs());
                        PciError::unusable(&self.name, why)
                    }
                    io::ErrorKind::InvalidData => PciError::unusable(&self.name, format!("cannot {what}: the server {error}")),
                    _ => PciError::Gone { function: self.name.clone() },
                })
            }
        }
    }
}

fn odd(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Line {
    /// The answer, or the error number that came instead. An error here ends the connection.
    fn exchange(&mut self, command: Command, body: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<Result<Answer, u32>> {
        let end = Instant::now() + ANSWER;
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let header = Header::request(id, command, body.len()).ok_or_else(|| odd("cannot take so long a message"))?;
        self.send(&[&header.encode()[..], body].concat(), fds, end)?;
        loop {
            let (header, answer) = self.receive(end)?;
            if header.is_command() {
                // It wants memory by message. All of ours comes with a file.
                if header.wants_reply() {
                    self.send(&header.error_reply(errno::ENOTSUP).encode(), &[], end)?;
                }
                continue;
            }
            if !header.answers(id) || header.command != command {
                return Err(odd("answered something else"));
            }
            return Ok(match header.failure() {
                Some(number) => Err(number),
                None => Ok(answer),
            });
        }
    }

    fn time(&self, end: Instant) -> io::Result<Duration> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    /// In one call, if the socket has room: servers read a header and then want all of the rest.
    fn send(&mut self, message: &[u8], fds: &[BorrowedFd<'_>], end: Instant) -> io::Result<()> {
        self.stream.set_write_timeout(Some(self.time(end)?))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(odd("takes one descriptor in a message"));
        }
        let sent = loop {
            match sendmsg(&self.stream, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(waited(error.into())),
                Ok(sent) => break sent,
            }
        };
        let rest = message.get(sent..).unwrap_or_default();
        self.stream.write_all(rest).map_err(waited)
    }

    fn receive(&mut self, end: Instant) -> io::Result<(Header, Answer)> {
        let mut head = [0; Header::LEN];
        let (mut have, mut fds) = (0, Vec::new());
        while have < head.len() {
            self.stream.set_read_timeout(Some(self.time(end)?))?;
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let room = head.get_mut(have..).unwrap_or_default();
            let got = match recvmsg(&self.stream, &mut [IoSliceMut::new(room)], &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(waited(error.into())),
                Ok(got) => got,
            };
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(passed) = message {
                    fds.extend(passed);
                }
            }
            if got.flags.contains(ReturnFlags::CTRUNC) || fds.len() > FDS_MAX {
                return Err(odd("sent more descriptors than there are regions"));
            }
            if got.bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            have += got.bytes;
        }
        let (header, _) = Header::decode(&head).map_err(|_| odd("sent half a header"))?;
        let mut body = vec![0; header.body_len(BODY_MAX).map_err(|_| odd("sent a message of an absurd size"))?];
        let mut at = 0;
        while at < body.len() {
            self.stream.set_read_timeout(Some(self.time(end)?))?;
            match self.stream.read(body.get_mut(at..).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(got) => at += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(waited(error)),
            }
        }
        Ok((header, Answer { body, fds }))
    }
}

/// A socket's time that ran out is told as "would block".
fn waited(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}
