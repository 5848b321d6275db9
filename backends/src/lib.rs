//! Block back ends: one module each, its device and its RPC methods together.
//!
//! A back end is a [`BlockDevice`](doorbell_block::BlockDevice): its queues are owned by one reactor each, and share nothing that is written
//! on the path of a request. What it is not: it knows no protocol, keeps no statistics and emulates nothing that its medium lacks; that is
//! the block layer's (`doorbell-bdev`).
//!
//! Every leaf refuses by [`Shape`](doorbell_block::Shape) what its device cannot do, so a malformed request is a status here too and never a panic.
#![forbid(unsafe_code)]

pub mod aio;
pub mod file;
pub mod malloc;
pub mod null;
mod nvme;
pub mod passthru;
pub mod uring;

mod ear;
mod host;
mod lvol;
mod units;

pub use host::{Brings, Host};
pub use nvme::host_name;

/// The back ends: one line each.
const ALL: &[fn(&Host, &mut Brings<'_>)] =
    &[null::bring, malloc::bring, aio::bring, uring::bring, nvme::bring, passthru::bring, lvol::bring];

/// Brings the methods and examiners of every back end.
pub fn bring_all(host: &Host, brings: &mut Brings<'_>) {
    ALL.iter().for_each(|bring| bring(host, brings));
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

#[cfg(test)]
#[global_allocator]
static COUNTING: doorbell_sys::alloc_count::Counting = doorbell_sys::alloc_count::Counting;
