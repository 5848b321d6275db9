//! What may be wrong with a store that can be opened all the same.

use doorbell_wire_blob::{BlobId, Cluster, MaskFault, MaskKind, MdPage, PageFault};
use std::fmt;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A page of metadata is damaged. It may have been anyone's.
    Page(PageFault),
    /// The device cannot read a page of metadata. It may be anyone's.
    Unreadable(MdPage),
    /// A blob cannot be used.
    Blob {
        /// Which.
        id: BlobId,
        /// Why.
        why: String,
    },
    /// A blob should be here, and its root is not.
    NoRoot {
        /// Where.
        page: MdPage,
    },
    /// Two blobs list one cluster.
    TwoOwners {
        /// Which cluster.
        cluster: Cluster,
        /// One of them.
        first: BlobId,
        /// The other.
        second: BlobId,
    },
    /// A snapshot whose making or deletion was interrupted.
    Interrupted {
        /// Which.
        id: BlobId,
        /// Does it stay? Otherwise it never was, or is deleted.
        kept: bool,
    },
    /// A mask is none.
    Mask(MaskFault),
    /// The device cannot read a mask.
    MaskUnreadable(MaskKind),
    /// Something is used and its mask says that it is not.
    MaskLacks {
        /// Which mask.
        kind: MaskKind,
        /// How many bits.
        count: usize,
    },
    /// Clusters are marked as used that nobody has.
    Leaked {
        /// How many.
        count: usize,
    },
}

impl Finding {
    /// Does it say that the masks cannot be believed?
    pub(crate) fn is_of_masks(&self) -> bool {
        matches!(self, Finding::Mask(_) | Finding::MaskUnreadable(_) | Finding::MaskLacks { .. } | Finding::NoRoot { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Page(fault) => fault.fmt(f),
            Finding::Unreadable(page) => write!(f, "{page}: the device cannot read it"),
            Finding::Blob { id, why } => write!(f, "{id} cannot be used: {why}"),
            Finding::NoRoot { page } => write!(f, "{page} should be the root of a blob, and is none"),
            Finding::TwoOwners { cluster, first, second } => write!(f, "{cluster} belongs to {first} and to {second}"),
            Finding::Interrupted { id, kept: true } => write!(f, "{id} is a snapshot of which an operation was interrupted: it stays"),
            Finding::Interrupted { id, kept: false } => write!(f, "{id} is a snapshot of which an operation was interrupted: it goes"),
            Finding::Mask(fault) => fault.fmt(f),
            Finding::MaskUnreadable(kind) => write!(f, "{kind}: the device cannot read it"),
            Finding::MaskLacks { kind, count } => write!(f, "{kind} lacks {count} that are used"),
            Finding::Leaked { count } => write!(f, "{count} clusters are marked as used, and nobody has them"),
        }
    }
}
