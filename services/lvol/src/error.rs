//! What goes wrong with volumes and their stores.

use crate::attributes::NAME_MAX;

/// Why something could not be done with a volume or a store of volumes.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The blobstore could not.
    #[error(transparent)]
    Blobstore(#[from] doorbell_blobstore::Error),
    /// No name.
    #[error("{name:?} cannot be a name: it has 1 to {NAME_MAX} bytes, none of them zero")]
    Name {
        /// What was given.
        name: String,
    },
    /// A name that is taken.
    #[error("a volume named {0} exists already in the store")]
    Exists(String),
    /// A UUID that is taken.
    #[error("a volume with UUID {0} exists already in the store")]
    SameUuid(doorbell_control::Uuid),
    /// A blobstore of volumes that says nothing of itself.
    #[error("the blobstore is one of volumes, and {what}: its making was interrupted, or it is damaged")]
    Nameless {
        /// What is not there.
        what: &'static str,
    },
    /// No bytes.
    #[error("a volume has at least one byte")]
    Empty,
}
