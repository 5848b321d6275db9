//! PCI functions that come and go, as the kernel tells it.
//!
//! A socket with a descriptor to wait for, which never blocks. What was told while nobody read may be lost, which is told in turn: whoever
//! learns it looks at all functions again.

use crate::{PciAddress, PciError};
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with, sockopt};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uevent {
    /// A function is there.
    Added(PciAddress),
    /// A function has gone.
    Removed(PciAddress),
    /// A driver took it.
    Bound(PciAddress),
    /// Its driver let it go.
    Unbound(PciAddress),
    /// Something was missed.
    Lost,
}

/// The kernel's notices.
pub struct Uevents {
    socket: OwnedFd,
}

/// Who says what the kernel says to all: the first group of its notices (the second is udev's).
const KERNEL: u32 = 1;
/// No notice is longer.
const NOTICE_MAX: usize = 8192;
/// Bytes of notices that may wait: a shelf of drives that is pulled out tells some hundred.
const WAITING: usize = 1 << 20;

impl Uevents {
    /// Listens from now on.
    pub fn open() -> Result<Uevents, PciError> {
        let failed = |e: Errno| PciError::system("uevents", "listen to the kernel's notices", e);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT)).map_err(failed)?;
        // A wish; the kernel has its own upper bound.
        let _ = sockopt::set_socket_recv_buffer_size(&socket, WAITING);
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL)).map_err(failed)?;
        Ok(Uevents { socket })
    }

    /// The next that is about a PCI function; `None` when there is none now.
    pub fn take(&mut self) -> Result<Option<Uevent>, PciError> {
        let mut room = [0; NOTICE_MAX];
        loop {
            match recvfrom(&self.socket, &mut room, RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                Ok((_, len, from)) => {
                    // Other processes may send to this address too: only what has no port is the kernel's.
                    let is_kernel = from.and_then(|from| SocketAddrNetlink::try_from(from).ok()).is_some_and(|from| from.pid() == 0);
                    match room.get(..len) {
                        _ if !is_kernel => {}
                        None => return Ok(Some(Uevent::Lost)),
                        Some(notice) => {
                            if let Some(event) = parse(notice) {
                                return Ok(Some(event));
                            }
                        }
                    }
                }
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => return Ok(Some(Uevent::Lost)),
                Err(error) => return Err(PciError::system("uevents", "read the kernel's notices", error)),
            }
        }
    }
}

impl AsFd for Uevents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// `add@/devices/...`, and then `KEY=value`, each with a zero behind it.
fn parse(notice: &[u8]) -> Option<Uevent> {
    let mut fields = notice.split(|byte| *byte == 0).filter_map(|field| std::str::from_utf8(field).ok());
    fields.next()?.split_once('@')?;
    let (mut action, mut slot, mut is_pci) = (None, None, false);
    for (key, value) in fields.filter_map(|field| field.split_once('=')) {
        match key {
            "ACTION" => action = Some(value),
            "SUBSYSTEM" => is_pci = value == "pci",
            "PCI_SLOT_NAME" => slot = value.parse().ok(),
            _ => {}
        }
    }
    let address: PciAddress = slot.filter(|_| is_pci)?;
    match action? {
        "add" => Some(Uevent::Added(address)),
        "remove" => Some(Uevent::Removed(address)),
        "bind" => Some(Uevent::Bound(address)),
        "unbind" => Some(Uevent::Unbound(address)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
