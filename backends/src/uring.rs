//! The uring device: a file or block device through io_uring.
//!
//! Nothing blocks in handing requests over: what cannot be done at once the kernel's own workers do. Files are registered with the ring,
//! and the reactor's buffers where they are huge pages. The life of a request and the errors are those of [`file`](crate::file).

use crate::file::{FileDevice, FileError, FileOptions, UringChoice, UringEngine};
use crate::host::{Brings, Fresh, Host, Known};
use doorbell_control::{RpcError, Uuid, When, params};
use doorbell_sys::helper::Helpers;

#[cfg(test)]
mod tests;

/// How completions are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Completions {
    /// The device interrupts, the kernel tells.
    #[default]
    Interrupts,
    /// The kernel polls the device when asked: direct I/O on a device with poll queues only (`nvme.poll_queues`), and such a reactor does
    /// not sleep while requests are out. Large transfers go in pieces, and durability by flushes.
    Polled,
}

crate::file::backend! {
    /// A uring device.
    Uring(UringEngine)
}

impl Uring {
    /// Opens and holds a file or block device. May block: not for reactors.
    pub fn open(options: &FileOptions, completions: Completions, helpers: &Helpers) -> Result<Uring, FileError> {
        let choice = UringChoice { iopoll: completions == Completions::Polled };
        FileDevice::open(options, helpers, choice).map(Uring)
    }
}

const MODULE: &str = "uring";

params! {
    /// Makes a uring device.
    struct Create {
        /// The file or block device.
        filename: String,
        /// Name of the device.
        name: String,
        /// Bytes of a block; what the device or direct I/O wants when not given.
        block_size: Option<u32>,
        /// UUID of the device; made at random when not given.
        uuid: Option<Uuid>,
        /// Bytes: a file is made, sparse, when there is none, and grown when it is smaller. Ours. Not saved: what was lost must not come back empty.
        size: Option<u64>,
        /// Take it although somebody else has it: mounted, locked, or part of something. Both then write, and neither knows.
        force: Option<bool>,
    }
}

/// The methods of this back end.
pub(crate) fn bring(host: &Host, brings: &mut Brings<'_>) {
    let known = Known::new();
    let (h, k) = (host.clone(), known.clone());
    let create = move |params: Create| {
        let (h, k) = (h.clone(), k.clone());
        async move { create(&h, &k, params).await }
    };
    brings.methods.add("bdev_uring_create", When::Runtime, "Makes a block device of a file or block device, through io_uring.", create);
    brings.delete(host, MODULE, "bdev_uring_delete", "Deletes a uring device and lets go of its file.");
    brings.rescan(host, known, Uring::rescan, [MODULE, "bdev_uring_rescan", "Takes up a new size of a uring device's file."]);
}

async fn create(host: &Host, known: &Known<Uring>, mut params: Create) -> Result<String, RpcError> {
    host.check_free(&params.name)?;
    let options = FileOptions {
        block_bytes: params.block_size.filter(|bytes| *bytes != 0),
        create_bytes: params.size,
        force: params.force == Some(true),
        ..FileOptions::new(&params.filename)
    };
    let opened = host.blocking(move |helpers| Uring::open(&options, Completions::Interrupts, helpers)).await?;
    let device = opened.map_err(|error| RpcError::errno(error.errno()).because(error))?;
    let specific = serde_json::json!({ "uring": { "filename": params.filename }});
    let uuid = host.uuid(params.uuid);
    params.uuid = Some(uuid);
    params.size = None;
    params.force = params.force.filter(|force| *force); // as SPDK saves it, where it says nothing
    let fresh =
        Fresh { name: &params.name, uuid, product: "URING bdev", module: MODULE, driver_specific: specific, method: "bdev_uring_create" };
    host.register_known(known, fresh, device, &params)?;
    Ok(params.name)
}
