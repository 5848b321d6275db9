//! The uring device: a file or block device through io_uring.
//!
//! Nothing blocks in handing requests over: what cannot be done at once the kernel's own workers do. Files are registered with the ring,
//! and the reactor's buffers where they are huge pages. The life of a request and the errors are those of [`file`](crate::file).

use crate::file::{FileDevice, FileError, FileOptions, Flight, UringChoice};
use doorbell_block::{BlockDevice, BlockQueue, Cx, DeviceInfo, OpenError, Token};
use doorbell_sys::helper::Helpers;
use doorbell_sys::uring::UringRing;
use std::io;
use std::path::Path;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// How completions are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Completions {
    /// The device interrupts, the kernel tells.
    #[default]
    Interrupts,
    /// The kernel polls the device when asked: direct I/O on a device with poll queues only (`nvme.poll_queues`), and such a reactor does
    /// not sleep while requests are out.
    Polled,
}

/// A uring device.
pub struct Uring(FileDevice<UringRing<Flight>>);

impl Uring {
    /// Opens and holds a file or block device. May block: not for reactors.
    pub fn open(options: &FileOptions, completions: Completions, helpers: &Helpers) -> Result<Uring, FileError> {
        let choice = UringChoice { iopoll: completions == Completions::Polled };
        FileDevice::open(options, helpers, choice).map(Uring)
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

impl BlockDevice for Uring {
    fn info(&self) -> Arc<DeviceInfo> {
        self.0.info()
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        self.0.open(cx, who, depth)
    }
}
