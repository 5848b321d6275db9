//! Volume stores: logical volumes by name and UUID in a blobstore, as SPDK keeps them.
//!
//! A volume is a blob with two attributes, its name and its UUID; the store's own are those of the blob that the super block names. Volumes are found
//! by [`Catalog`], which is kept beside the store and may be looked at on any thread.
//!
//! Invariants: no two volumes of a store have one name; what the catalog says is on the disk, or is about to be taken back.
#![forbid(unsafe_code)]

pub mod attributes;
mod catalog;
mod error;
mod store;

pub use catalog::{Catalog, Lvol};
pub use error::Error;
pub use store::{LvolStore, NewLvol, NewStore, holds_store};
