//! The aio device: a file or block device through Linux AIO.
//!
//! A transfer goes to the kernel with a request not to block; what it refuses goes to helper threads, and so do discards and zeroing, so
//! that a reactor never waits. The ring, the life of a request and the errors are those of [`file`](crate::file).

use crate::file::{FileDevice, FileError, FileOptions, Flight, Nowait};
use crate::host::{Brings, Fresh, Host, Known};
use doorbell_control::{RpcError, Uuid, When, params};
use doorbell_sys::aio::AioRing;
use doorbell_sys::helper::Helpers;

#[cfg(test)]
mod tests;

crate::file::backend! {
    /// An aio device.
    Aio(AioRing<Flight>)
}

impl Aio {
    /// Opens and holds a file or block device. May block: not for reactors.
    pub fn open(options: &FileOptions, helpers: &Helpers) -> Result<Aio, FileError> {
        FileDevice::open(options, helpers, ()).map(Aio)
    }
}

const MODULE: &str = "aio";

params! {
    /// Makes an aio device.
    struct Create {
        /// Name of the device.
        name: String,
        /// The file or block device.
        filename: String,
        /// Bytes of a block; what the device or direct I/O wants when not given.
        block_size: Option<u32>,
        /// Whether writes are refused.
        readonly: bool = false,
        /// Whether unmap and write zeroes reach the file or device, where it can.
        fallocate: bool = false,
        /// UUID of the device; made at random when not given.
        uuid: Option<Uuid>,
        /// Whether every transfer asks not to block (block devices only). Otherwise those do for which it helps; no reactor waits either way.
        nowait: bool = false,
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
    brings.methods.add("bdev_aio_create", When::Runtime, "Makes a block device of a file or block device, through Linux AIO.", create);
    brings.delete(host, MODULE, "bdev_aio_delete", "Deletes an aio device and lets go of its file.");
    brings.rescan(host, known, Aio::rescan, [MODULE, "bdev_aio_rescan", "Takes up a new size of an aio device's file."]);
}

async fn create(host: &Host, known: &Known<Aio>, mut params: Create) -> Result<String, RpcError> {
    host.check_free(&params.name)?;
    let options = FileOptions {
        block_bytes: params.block_size.filter(|bytes| *bytes != 0),
        read_only: params.readonly,
        create_bytes: params.size,
        force: params.force == Some(true),
        unmap: params.fallocate,
        nowait: if params.nowait { Nowait::Always } else { Nowait::Learn },
        ..FileOptions::new(&params.filename)
    };
    let opened = host.blocking(move |helpers| Aio::open(&options, helpers)).await?;
    let device = opened.map_err(|error| RpcError::errno(error.errno()).because(error))?;
    let overridden = params.block_size.is_some();
    let specific = serde_json::json!({ "aio": {
        "filename": params.filename,
        "block_size_override": overridden,
        "readonly": params.readonly,
        "fallocate": params.fallocate,
        "nowait": params.nowait,
    }});
    let uuid = host.uuid(params.uuid);
    params.uuid = Some(uuid);
    params.size = None;
    params.force = params.force.filter(|force| *force); // as SPDK saves it, where it says nothing
    let fresh =
        Fresh { name: &params.name, uuid, product: "AIO disk", module: MODULE, driver_specific: specific, method: "bdev_aio_create" };
    host.register_known(known, fresh, device, &params)?;
    Ok(params.name)
}
