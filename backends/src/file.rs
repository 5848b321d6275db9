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
