//! The aio device: a file or block device through Linux AIO.
//!
//! A transfer goes to the kernel with a request not to block; what it refuses goes to helper threads, and so do discards and zeroing, so
//! that a reactor never waits. The ring, the life of a request and the errors are those of [`file`](crate::file).

use crate::file::{FileDevice, FileError, FileOptions, Flight};
use doorbell_block::{BlockDevice, BlockQueue, Cx, DeviceInfo, OpenError, Token};
use doorbell_sys::aio::AioRing;
use doorbell_sys::helper::Helpers;
use std::io;
use std::path::Path;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// An aio device.
pub struct Aio(FileDevice<AioRing<Flight>>);

impl Aio {
    /// Opens and holds a file or block device. May block: not for reactors.
    pub fn open(options: &FileOptions, helpers: &Helpers) -> Result<Aio, FileError> {
        FileDevice::open(options, helpers, ()).map(Aio)
    }

    /// Which file.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Whether the page cache is bypassed.
    pub fn is_direct(&self) -> bool {
        self.0.is_direct()
    }

    /// Looks at the file's size again. True if it has changed.
    pub fn rescan(&self) -> io::Result<bool> {
        self.0.rescan()
    }
}

impl BlockDevice for Aio {
    fn info(&self) -> Arc<DeviceInfo> {
        self.0.info()
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        self.0.open(cx, who, depth)
    }
}
