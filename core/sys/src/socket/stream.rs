//! One connection.

use std::{
    fmt, io,
    net::{Shutdown, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use doorbell_mem::SgList;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SocketAddrUnix, SocketType, bind, connect, getpeername, getsockname, recv, shutdown, socket_with,
        socketpair, sockopt,
    },
};

use super::listener::{FLAGS, family, internet};
use crate::iovec::IoVecs;

/// A connected, or connecting, stream socket.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
}

/// Why a connection carries no more bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The peer is done sending.
    Orderly,
    /// It broke: reset, timed out, unreachable, or closed for writing.
    Lost(Errno),
}

/// What receiving found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recv {
    /// So many bytes were taken; zero only if there was no room for any.
    Bytes(usize),
    /// Nothing has arrived yet.
    WouldBlock,
    /// Nothing will arrive any more.
    Closed(Closed),
}

/// What sending did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// So many bytes were taken from the front; fewer than given when the socket is full.
    Bytes(usize),
    /// The socket is full: nothing was taken.
    WouldBlock,
    /// Nothing can be sent any more.
    Closed(Closed),
}

/// A piece of what is sent in one call.
#[derive(Debug, Clone, Copy)]
pub enum SendPart<'a> {
    /// Ordinary bytes.
    Bytes(&'a [u8]),
    /// `len` bytes at `offset` of a list of segments.
    Segs(&'a SgList, u32, u32),
}

impl Stream {
    pub(super) fn of(fd: OwnedFd) -> Stream {
        Stream { fd }
    }

    /// Takes over a connected socket, inherited or passed, and makes it non-blocking.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Stream> {
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?;
        Ok(Stream { fd })
    }

    /// Two ends of one connection inside this process.
    pub fn pair() -> io::Result<(Stream, Stream)> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
        Ok((Stream { fd: a }, Stream { fd: b }))
    }

    /// Begins to connect. Once the socket is writable, [`connected`](Stream::connected) says what came of it.
    pub fn connect(address: SocketAddr) -> io::Result<Stream> {
        Stream::connect_from(None, address)
    }

    /// As [`connect`](Stream::connect), from an address of this machine (port 0 for any).
    pub fn connect_from(source: Option<SocketAddr>, address: SocketAddr) -> io::Result<Stream> {
        let fd = socket_with(family(&address), SocketType::STREAM, FLAGS, None)?;
        if let Some(source) = source {
            bind(&fd, &source)?;
        }
        match connect(&fd, &address) {
            // After a signal the attempt goes on in the background, as after EINPROGRESS.
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(Stream { fd }),
            Err(error) => Err(error.into()),
        }
    }

    /// Connects to a Unix socket. `WouldBlock` means that the listener's queue is full: try again later.
    pub fn connect_unix(path: &Path) -> io::Result<Stream> {
        let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
        connect(&fd, &SocketAddrUnix::new(path)?)?;
        Ok(Stream { fd })
    }

    /// Whether `connect` has succeeded; the error once it has failed.
    pub fn connected(&self) -> io::Result<bool> {
        sockopt::socket_error(&self.fd)??;
        match getpeername(&self.fd) {
            Ok(_) => Ok(true),
            Err(Errno::NOTCONN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// This end's address. Fails for a Unix socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        internet(getsockname(&self.fd)?)
    }

    /// The other end's address. Fails for a Unix socket, and when not connected.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        internet(getpeername(&self.fd)?.ok_or(Errno::NOTCONN)?)
    }

    /// Sends small segments at once instead of gathering them: wanted by every protocol that gathers by itself.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        Ok(sockopt::set_tcp_nodelay(&self.fd, on)?)
    }

    /// Acknowledges what has arrived at once, once: Linux goes back to delaying by itself.
    pub fn quickack(&self) -> io::Result<()> {
        Ok(sockopt::set_tcp_quickack(&self.fd, true)?)
    }

    /// Asks whether an idle peer still lives, at the system's intervals.
    pub fn set_keepalive(&self, on: bool) -> io::Result<()> {
        Ok(sockopt::set_socket_keepalive(&self.fd, on)?)
    }

    /// Sets the priority of what is sent, as SO_PRIORITY has it. Above 6 it takes CAP_NET_ADMIN.
    pub fn set_priority(&self, priority: u32) -> io::Result<()> {
        let value = libc::c_int::try_from(priority).map_err(|_| Errno::INVAL)?;
        let len = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the option's value is an int, which lives for the call and is only read.
        let done = unsafe { libc::setsockopt(self.fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PRIORITY, (&raw const value).cast(), len) };
        if done == 0 { Ok(()) } else { Err(last_error().into()) }
    }

    /// Bounds the kernel's buffers, which otherwise size themselves. Linux keeps within net.core.rmem_max and wmem_max.
    pub fn set_buffers(&self, recv_bytes: Option<usize>, send_bytes: Option<usize>) -> io::Result<()> {
        if let Some(bytes) = recv_bytes {
            sockopt::set_socket_recv_buffer_size(&self.fd, bytes)?;
        }
        if let Some(bytes) = send_bytes {
            sockopt::set_socket_send_buffer_size(&self.fd, bytes)?;
        }
        Ok(())
    }

    /// Closes one direction or both; the descriptor stays until the stream is dropped.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        Ok(shutdown(&self.fd, how)?)
    }

    /// Takes what has arrived, as much as fits.
    #[inline]
    pub fn recv(&self, into: &mut [u8]) -> io::Result<Recv> {
        let room = into.len();
        loop {
            match recv(&self.fd, &mut *into, RecvFlags::empty()) {
                Ok((0, _)) if room > 0 => return Ok(Recv::Closed(Closed::Orderly)),
                Ok((bytes, _)) => return Ok(Recv::Bytes(bytes)),
                Err(Errno::INTR) => {}
                Err(error) => return received(error),
            }
        }
    }

    /// Takes what has arrived into `head`, then `len` bytes at `offset` of `sg`, then `tail`, in one system call: the rest of a payload
    /// straight to its place, and the headers behind it.
    ///
    /// # Panics
    /// If the range lies outside of `sg`.
    #[inline]
    pub fn recv_vectored<'a>(
        &self,
        head: Option<&'a mut [u8]>,
        sg: &'a SgList,
        offset: u32,
        len: u32,
        tail: Option<&'a mut [u8]>,
    ) -> io::Result<Recv> {
        let mut vectors = IoVecs::new();
        // If the list of addresses is full before the end, less is taken, which the caller must expect anyway.
        let all = head.is_none_or(|head| vectors.push_write(head)) && vectors.push_segs(sg, offset, len);
        if let Some(tail) = tail.filter(|_| all) {
            vectors.push_write(tail);
        }
        let (list, count) = vectors.raw();
        loop {
            // SAFETY: the list's addresses are borrowed mutably, or are of segments, for the duration of the call; `count` is at most
            // MAX, which fits.
            let bytes = unsafe { libc::readv(self.fd.as_raw_fd(), list, count as libc::c_int) };
            match usize::try_from(bytes) {
                Ok(0) if vectors.bytes() > 0 => return Ok(Recv::Closed(Closed::Orderly)),
                Ok(bytes) => return Ok(Recv::Bytes(bytes)),
                Err(_) => match last_error() {
                    Errno::INTR => {}
                    error => return received(error),
                },
            }
        }
    }

    /// Sends the parts in order, all in one system call (one per 1,024 addresses), and says how many bytes were taken.
    ///
    /// # Panics
    /// If a range lies outside of its list.
    #[inline]
    pub fn send_vectored(&self, parts: &[SendPart<'_>]) -> io::Result<Sent> {
        let mut taken = 0;
        loop {
            let mut vectors = IoVecs::new();
            let all = gather(&mut vectors, parts, taken);
            let bytes = match self.sendmsg(&vectors) {
                Ok(bytes) => bytes,
                Err(Errno::AGAIN) if taken == 0 => return Ok(Sent::WouldBlock),
                // What was taken is told first; the error comes back with the next call.
                Err(_) if taken > 0 => return Ok(Sent::Bytes(taken)),
                Err(error) => return lost(error).map(Sent::Closed),
            };
            taken += bytes;
            if all || bytes < vectors.bytes() {
                return Ok(Sent::Bytes(taken));
            }
        }
    }

    /// Sends ordinary bytes.
    pub fn send(&self, bytes: &[u8]) -> io::Result<Sent> {
        self.send_vectored(&[SendPart::Bytes(bytes)])
    }

    fn sendmsg(&self, vectors: &IoVecs<'_>) -> Result<usize, Errno> {
        let (list, count) = vectors.raw();
        // SAFETY: an all-zero header is one without address, control data and flags.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = list.cast_mut();
        message.msg_iovlen = count as _;
        loop {
            // SAFETY: `message` and the list live for the call, which only reads; every address in the list is borrowed, or of a segment.
            let bytes = unsafe { libc::sendmsg(self.fd.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) };
            match usize::try_from(bytes) {
                Ok(bytes) => return Ok(bytes),
                Err(_) => match last_error() {
                    Errno::INTR => {}
                    error => return Err(error),
                },
            }
        }
    }
}

/// Lists the parts' addresses behind their first `skip` bytes. False when not all fit.
fn gather<'a>(vectors: &mut IoVecs<'a>, parts: &[SendPart<'a>], mut skip: usize) -> bool {
    parts.iter().all(|part| {
        let len = part.len();
        let from = skip.min(len);
        skip -= from;
        match *part {
            SendPart::Bytes(bytes) => vectors.push_read(&bytes[from..]),
            // `from` is at most `len`, a u32.
            SendPart::Segs(sg, offset, len) => vectors.push_segs(sg, offset + from as u32, len - from as u32),
        }
    })
}

impl SendPart<'_> {
    /// Bytes of this part.
    pub fn len(&self) -> usize {
        match self {
            SendPart::Bytes(bytes) => bytes.len(),
            SendPart::Segs(_, _, len) => *len as usize,
        }
    }

    /// Is it of no bytes?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

pub(super) fn received(error: Errno) -> io::Result<Recv> {
    match error {
        Errno::AGAIN => Ok(Recv::WouldBlock),
        error => lost(error).map(Recv::Closed),
    }
}

/// Tells what happened to the connection from what is wrong with this process.
pub(super) fn lost(error: Errno) -> io::Result<Closed> {
    match error {
        Errno::CONNRESET
        | Errno::CONNABORTED
        | Errno::CONNREFUSED
        | Errno::PIPE
        | Errno::TIMEDOUT
        | Errno::HOSTUNREACH
        | Errno::HOSTDOWN
        | Errno::NETUNREACH
        | Errno::NETDOWN
        | Errno::NETRESET
        | Errno::SHUTDOWN
        | Errno::NOTCONN
        | Errno::PROTO => Ok(Closed::Lost(error)),
        error => Err(error.into()),
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Closed::Orderly => f.write_str("closed by the peer"),
            Closed::Lost(error) => write!(f, "lost: {error}"),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Stream> for OwnedFd {
    fn from(stream: Stream) -> OwnedFd {
        stream.fd
    }
}
