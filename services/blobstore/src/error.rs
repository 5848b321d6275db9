//! What goes wrong with a store as a whole.

use doorbell_block::{OpenError, Status};
use doorbell_wire_blob::{BlobId, BsType, GeometryFault, SuperFault};

/// Why a store could not be opened, or something could not be done with it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The device gave no queue.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The reactor's pool has no buffer to spare.
    #[error("no buffer of {bytes} bytes is free for the store's metadata: raise the pool's size")]
    NoBuffers {
        /// Bytes that were wanted.
        bytes: u32,
    },
    /// The device's requests must not cross a boundary that lies within metadata pages.
    #[error(
        "the device takes no request across a boundary that lies within the store's metadata pages of {page_bytes} bytes: a store cannot be kept on it"
    )]
    Boundary {
        /// Bytes of a metadata page.
        page_bytes: u32,
    },
    /// A buffer did not come back whole.
    #[error("a buffer of the store's metadata is still shared with someone")]
    Lent,
    /// The device could not read.
    #[error("{len} bytes at byte {offset} of the device could not be read: {}", status.name())]
    Read {
        /// First byte.
        offset: u64,
        /// How many.
        len: u32,
        /// What the device said.
        status: Status,
    },
    /// There is no super block, or a damaged one.
    #[error("{0}")]
    Super(SuperFault),
    /// The super block's numbers make no sense together, or not on this device.
    #[error("{0}")]
    Geometry(GeometryFault),
    /// It is a store of somebody else.
    #[error("the store is of type {found}, and {expected} was expected")]
    Type {
        /// What was expected.
        expected: BsType,
        /// What it is.
        found: BsType,
    },
    /// The store's I/O unit is not the device's block.
    #[error(
        "the store was made for blocks of {store} bytes, and the device has blocks of {device}: what it holds lies elsewhere than its map says; give the device its former block size"
    )]
    BlockSize {
        /// The store's.
        store: u32,
        /// The device's.
        device: u32,
    },
    /// More clusters in maps than a store can have, however it was left.
    #[error("the store's maps list {entries} clusters, and it has {clusters}: it is damaged beyond what can be opened")]
    TooManyExtents {
        /// Entries that were found before the reader gave up.
        entries: u64,
        /// Clusters of the store.
        clusters: u32,
    },
    /// The blob's parent lies outside of the store, and was not given.
    #[error("{id} is a clone of {name}, which is no part of the store: that device has to be there first")]
    NoExternal {
        /// Which blob.
        id: BlobId,
        /// What the store calls its parent.
        name: String,
    },
    /// The blob's parent has blocks that it cannot be read by.
    #[error("the parent outside of the store has blocks of {parent} bytes, and the store has blocks of {store}")]
    ExternalBlocks {
        /// The parent's.
        parent: u32,
        /// The store's.
        store: u32,
    },
    /// There is no such blob.
    #[error("there is no {0}")]
    NoBlob(BlobId),
    /// The blob is there and cannot be used.
    #[error("{id}: {why}")]
    Unusable {
        /// Which blob.
        id: BlobId,
        /// Why.
        why: String,
    },
}
