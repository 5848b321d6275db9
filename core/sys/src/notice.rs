//! An eventfd that somebody else writes: the kernel for an interrupt, another process.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Becomes readable when written to, until drained.
#[derive(Debug)]
pub struct Notice(OwnedFd);

impl Notice {
    /// A new one. Fails only when the process is out of descriptors or memory.
    pub fn new() -> io::Result<Notice> {
        Ok(Notice(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Forgets what was written; says whether anything was.
    pub fn drain(&self) -> bool {
        matches!(rustix::io::read(&self.0, &mut [0u8; 8]), Ok(8))
    }

    /// Writes to it, as the other side does. What does not fit is not needed: it is readable already.
    pub fn ring(&self) {
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

impl AsFd for Notice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
