//! Files and block devices as storage: opening them exclusively, what they can do, and the operations that may block.
//!
//! What is served is held: a regular file by a lock on the open file description, a block device by `O_EXCL`. Who holds it already is
//! said in the error. Nothing here decides how requests are carried out; that is `aio`, `uring` and `helper`, which all take a [`FileOp`].
//!
//! What a completed write means is in [`Geometry::needs_sync`]: for a regular file always true, `O_DIRECT` or not, since its metadata and
//! the device's own cache are flushed only by `fdatasync`.

mod geometry;
mod holders;
mod open;
mod ops;
mod requests;
mod table;
#[cfg(all(test, not(loom)))]
pub(crate) mod testkit;
#[cfg(all(test, not(loom)))]
mod tests;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

pub use geometry::Geometry;
pub use holders::{Holder, Holders};
pub use open::{Access, Direct, Found, OpenError, OpenOptions};
pub use ops::{FileOp, OpKind};
pub(crate) use ops::{perform, rw_flags};
pub(crate) use requests::Requests;
pub use table::FileId;
pub(crate) use table::Files;

use rustix::io::Errno;

/// What stands behind a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A block device.
    Block,
}

/// What arming an engine's descriptor found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Armed {
    /// The descriptor becomes readable when something completes.
    Armed,
    /// Something has completed, or will without a notice: look again, do not sleep.
    Ready,
}

/// An open file or block device, held exclusively while this or a [`Handle`] of it lives.
#[derive(Debug)]
pub struct Target {
    handle: Handle,
    geometry: Geometry,
    direct: bool,
    access: Access,
    found: Found,
}

/// The descriptor of a target, for rings and helper threads. Cloning it is cheap, but not for the path of a request.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) fd: Arc<OwnedFd>,
    pub(crate) kind: Kind,
}

impl Target {
    /// For rings and helper threads.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What it looked like when it was opened.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// File or device.
    pub fn kind(&self) -> Kind {
        self.handle.kind
    }

    /// Whether requests bypass the page cache.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// Whether it may be written.
    pub fn access(&self) -> Access {
        self.access
    }

    /// What opening it did to it.
    pub fn found(&self) -> Found {
        self.found
    }

    /// Its size now: it may have been grown, or cut, behind our back.
    pub fn current_size(&self) -> io::Result<u64> {
        self.handle.size()
    }

    /// Makes a regular file larger, with a hole. Never cuts.
    pub fn grow(&self, size_bytes: u64) -> io::Result<()> {
        if self.kind() == Kind::File && size_bytes > self.current_size()? {
            rustix::fs::ftruncate(&self.handle, size_bytes)?;
        }
        Ok(())
    }

    /// Carries out one operation without data, and waits for it. Blocks: not for reactors.
    pub fn perform(&self, op: &FileOp) -> Result<(), Errno> {
        match op.kind {
            OpKind::Read | OpKind::Write => Err(Errno::INVAL),
            // SAFETY: there are no addresses.
            _ => unsafe { perform(self.handle.fd.as_fd(), self.kind(), op, std::ptr::null(), 0) }.map(|_| ()),
        }
    }

    /// Reads at `offset`, less only at the end of the file. Blocks: not for reactors. Alignment is the caller's where it matters.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match rustix::io::pread(&self.handle, &mut into[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(bytes) => done += bytes,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    /// Writes all of `bytes` at `offset`. Blocks: not for reactors. Alignment is the caller's where it matters.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pwrite(&self.handle, &bytes[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => done += bytes,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The first byte at or after `offset` that may hold data; `None` when only a hole follows. May block.
    pub fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        self.seek(rustix::fs::SeekFrom::Data(offset))
    }

    /// The first byte at or after `offset` that lies in a hole, the end of the file being one; `None` beyond the end. May block.
    pub fn next_hole(&self, offset: u64) -> io::Result<Option<u64>> {
        self.seek(rustix::fs::SeekFrom::Hole(offset))
    }

    fn seek(&self, to: rustix::fs::SeekFrom) -> io::Result<Option<u64>> {
        // The shared position is moved and never used: every transfer names its offset.
        match rustix::fs::seek(&self.handle, to) {
            Ok(at) => Ok(Some(at)),
            Err(Errno::NXIO) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Handle {
    /// File or device.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its size now.
    pub fn size(&self) -> io::Result<u64> {
        Ok(rustix::fs::seek(&self.fd, rustix::fs::SeekFrom::End(0))?)
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}
