//! What goes wrong with a store as a whole.

use doorbell_block::{OpenError, Status};
use doorbell_wire_blob::{BlobId, BsType, GeometryFault, PlanFault, SuperFault, Unwritable};

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
    /// The device could not write.
    #[error("{len} bytes at byte {offset} of the device could not be written: {}", status.name())]
    Write {
        /// First byte.
        offset: u64,
        /// How many.
        len: u64,
        /// What the device said.
        status: Status,
    },
    /// The device could not make durable what was written.
    #[error("what was written could not be made durable: {}", status.name())]
    Flush {
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
    /// A store cannot be made like that.
    #[error("{0}")]
    Plan(PlanFault),
    /// The device is not written.
    #[error("the device is read-only: a store cannot be made on it")]
    ReadOnlyDevice,
    /// The device is written in units that metadata pages are not made of.
    #[error(
        "the device is written in units of {unit} bytes, and the store has metadata pages of {page_bytes}: it can be read, and not loaded"
    )]
    WriteUnit {
        /// Bytes of the device's unit.
        unit: u64,
        /// Bytes of a metadata page.
        page_bytes: u32,
    },
    /// The metadata cannot be changed any more.
    #[error("the store's metadata is not changed: {why}")]
    Stopped {
        /// Why.
        why: String,
    },
    /// All clusters are used.
    #[error("{needed} clusters are needed, and {free} are free: delete or shrink something, or grow the store")]
    NoSpace {
        /// Clusters that are needed.
        needed: u64,
        /// Clusters that are free.
        free: u32,
    },
    /// All metadata pages are used.
    #[error("the store's metadata pages are used up ({free} are free, of which {kept} are kept for what makes space): delete something")]
    NoPages {
        /// Pages that are free.
        free: u32,
        /// Those that are kept back.
        kept: u32,
    },
    /// Volumes are open.
    #[error("volumes of the store are open: close them first")]
    StoreBusy,
    /// A blob is open.
    #[error("{0} is open: close it first")]
    InUse(BlobId),
    /// A blob has clones.
    #[error("{id} has {clones} clones: delete, inflate or decouple all but one of them first")]
    Clones {
        /// Which blob.
        id: BlobId,
        /// How many.
        clones: usize,
    },
    /// A blob that is not to be changed.
    #[error("{0} is read-only")]
    ReadOnly(BlobId),
    /// A blob that may change cannot be a parent.
    #[error("{0} is not read-only: only a snapshot, or what was made read-only, has clones")]
    NotReadOnly(BlobId),
    /// Only thin blobs have parents.
    #[error("{0} is not thin: it shows nothing of a parent")]
    NotThin(BlobId),
    /// It has no parent.
    #[error("{0} has no parent")]
    NoParent(BlobId),
    /// It is a clone of that already.
    #[error("{id} is a clone of {parent} already")]
    ParentAlready {
        /// Which blob.
        id: BlobId,
        /// Its parent.
        parent: BlobId,
    },
    /// A parent of another size.
    #[error("{id} has {clusters} clusters, and what is to be its parent has {parent}")]
    Sizes {
        /// Which blob.
        id: BlobId,
        /// Its clusters.
        clusters: u64,
        /// Those of the other.
        parent: u64,
    },
    /// A parent outside that does not end with a cluster.
    #[error("the parent outside of the store has {bytes} bytes, which is no multiple of the clusters' {cluster_bytes}")]
    ExternalSize {
        /// Its bytes.
        bytes: u64,
        /// Bytes of a cluster.
        cluster_bytes: u32,
    },
    /// One blob is named twice.
    #[error("{0} is named twice")]
    Twice(BlobId),
    /// More clusters than a blob can have.
    #[error("{clusters} clusters are more than a blob can have, which is {most}")]
    TooLarge {
        /// How many were asked for.
        clusters: u64,
        /// How many there can be.
        most: u64,
    },
    /// An attribute that cannot be stored.
    #[error("the attribute {name:?} is empty, named twice, or too long")]
    Attribute {
        /// Its name.
        name: String,
    },
    /// Metadata that the format has no room for.
    #[error("{0}")]
    Format(#[from] Unwritable),
    /// A cluster could not be filled.
    #[error("a cluster of {id} could not be filled: {}", status.name())]
    Fill {
        /// Which blob.
        id: BlobId,
        /// What the device said.
        status: Status,
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

impl Error {
    /// A parent outside of the store is not there.
    pub(crate) fn no_external(id: BlobId, name: &[u8]) -> Error {
        Error::NoExternal { id, name: String::from_utf8_lossy(name).trim_end_matches('\0').to_owned() }
    }
}
