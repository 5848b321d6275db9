//! The blobstore: blobs of clusters on any block device, thin and thick, snapshots and clones, in SPDK's format.
//!
//! So far a store is opened for reading: [`Store::open`] takes one that was closed and one that was not, says what blobs it has and what is wrong
//! with it, and gives a [`Volume`] for each, which is a block device. Nothing on the device is changed. What the bytes mean is `doorbell-wire-blob`'s.
//!
//! ```no_run
//! # async fn example(local: &doorbell_reactor::Local, device: std::sync::Arc<dyn doorbell_block::BlockDevice>)
//! # -> Result<(), doorbell_blobstore::Error> {
//! use doorbell_blobstore::{OpenOptions, Store};
//!
//! let store = Store::open(local, device, &OpenOptions::default()).await?;
//! for id in store.blobs() {
//!     let blob = store.blob(id)?;
//!     println!("{id}: {} clusters, {} of its own", blob.clusters, blob.allocated);
//!     if blob.clusters > 0 {
//!         let volume = store.volume(id, None)?; // opened and read as any device is
//! #       drop(volume);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod bits;
mod blob;
mod disk;
mod error;
mod finding;
mod map;
mod scan;
mod store;
mod volume;

pub use blob::{Attribute, Parent};
pub use error::Error;
pub use finding::Finding;
pub use store::{BlobInfo, OpenOptions, Opening, Store};
pub use volume::Volume;
