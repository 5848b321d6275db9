//! What the back ends over a file or block device share: opening, geometry, errors, and the life of a request.
//!
//! A device is a [`Target`](doorbell_sys::file::Target) held exclusively. Each reactor has one ring of the kernel's for it, a source that
//! all its queues there share; what the ring would block on goes to helper threads. Which ring is the back end's choice (`Engine`);
//! everything else is here, once.
//!
//! Durability: a completed write of a file is never durable by itself. `DeviceInfo` says so, a flush is an `fdatasync` that begins after every
//! write that had completed, and a write with FUA completes after its own.

mod bounce;
mod device;
mod engine;
mod flight;
mod nowait;
mod queue;
mod ring;
mod status;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use device::FileDevice;
pub use device::{FileError, FileOptions, Nowait};
pub(crate) use engine::{Engine, Uring as UringEngine, UringChoice};
pub(crate) use flight::Flight;

/// The public type of a back end over a file, which adds how it is opened.
macro_rules! backend {
    ($(#[$doc:meta])* $name:ident($engine:ty)) => {
        $(#[$doc])*
        pub struct $name(crate::file::FileDevice<$engine>);

        impl $name {
            /// Which file.
            pub fn path(&self) -> &std::path::Path {
                self.0.path()
            }

            /// Whether the page cache is bypassed.
            pub fn is_direct(&self) -> bool {
                self.0.is_direct()
            }

            /// Looks at the file's size again. True if it has changed.
            pub fn rescan(&self) -> std::io::Result<bool> {
                self.0.rescan()
            }
        }

        impl doorbell_block::BlockDevice for $name {
            fn info(&self) -> std::sync::Arc<doorbell_block::DeviceInfo> {
                self.0.info()
            }

            fn open(
                &self,
                cx: &mut doorbell_block::Cx,
                who: doorbell_block::Token,
                depth: u32,
            ) -> Result<Box<dyn doorbell_block::BlockQueue>, doorbell_block::OpenError> {
                self.0.open(cx, who, depth)
            }
        }
    };
}
pub(crate) use backend;
