//! Taking connections.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, acceptfrom_with, bind, getsockname, listen, socket_with,
        sockopt,
    },
};

use super::Stream;

pub(super) const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// A TCP socket that takes connections.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

/// A Unix stream socket that takes connections.
#[derive(Debug)]
pub struct UnixListener {
    fd: OwnedFd,
}

pub(super) fn family(address: &SocketAddr) -> AddressFamily {
    if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET }
}

pub(super) fn internet(address: SocketAddrAny) -> io::Result<SocketAddr> {
    SocketAddr::try_from(address).map_err(|_| io::Error::new(io::ErrorKind::Unsupported, "not an internet address"))
}

impl Listener {
    /// Listens on `address`; port 0 takes a free one. An IPv6 wildcard takes IPv6 only, so that an IPv4 one can stand beside it. A
    /// restarted server gets its port back at once.
    pub fn bind(address: SocketAddr, backlog: u16) -> io::Result<Listener> {
        let fd = socket_with(family(&address), SocketType::STREAM, FLAGS, None)?;
        sockopt::set_socket_reuseaddr(&fd, true)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&fd, true)?;
        }
        bind(&fd, &address)?;
        listen(&fd, backlog.into())?;
        Ok(Listener { fd })
    }

    /// Takes a waiting connection, or says that there is none. After an error (no descriptors left) the connection still waits: a caller
    /// that is told of readiness by level must pause or close something first.
    pub fn accept(&self) -> io::Result<Option<(Stream, SocketAddr)>> {
        let Some((stream, address)) = take(self.fd.as_fd())? else { return Ok(None) };
        // The kernel names a TCP peer always; were it not to, the connection is still served.
        let peer = address.and_then(|address| internet(address).ok());
        Ok(Some((stream, peer.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)))))
    }

    /// Where it listens: the port, when 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        internet(getsockname(&self.fd)?)
    }
}

impl UnixListener {
    /// Listens at `path`, which must not exist. Who may connect is decided by the folder and the mode of the file, made with the umask.
    pub fn bind(path: &Path, backlog: u16) -> io::Result<UnixListener> {
        let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
        bind(&fd, &SocketAddrUnix::new(path)?)?;
        listen(&fd, backlog.into())?;
        Ok(UnixListener { fd })
    }

    /// As [`Listener::accept`].
    pub fn accept(&self) -> io::Result<Option<Stream>> {
        Ok(take(self.fd.as_fd())?.map(|(stream, _)| stream))
    }
}

fn take(fd: BorrowedFd<'_>) -> io::Result<Option<(Stream, Option<SocketAddrAny>)>> {
    loop {
        match acceptfrom_with(fd, FLAGS) {
            Ok((fd, address)) => return Ok(Some((Stream::of(fd), address))),
            Err(Errno::AGAIN) => return Ok(None),
            // What accept(2) says of the connection at the head of the queue, which is gone by then: look at the next.
            Err(
                Errno::INTR
                | Errno::CONNABORTED
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH,
            ) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
