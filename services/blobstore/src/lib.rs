//! The blobstore: blobs of clusters on any block device, thin and thick, snapshots and clones, in SPDK's format.
//!
//! [`Blobstore`] makes and loads a store, changes it, and gives a [`Volume`] for each blob, which is a block device for every reactor. [`Store`]
//! opens one for reading and changes nothing: it takes a store that was closed and one that was not, and says what is wrong with it. What the bytes
//! mean is `doorbell-wire-blob`'s.
//!
//! The reactor that makes or loads a store owns it. It is held by nobody but the `Blobstore`: whoever opens the device sees to it that no other does.
//!
//! ```no_run
//! # async fn example(local: &doorbell_reactor::Local, device: std::sync::Arc<dyn doorbell_block::BlockDevice>)
//! # -> Result<(), doorbell_blobstore::Error> {
//! use doorbell_blobstore::{BlobOptions, Blobstore, InitOptions, OpenOptions, Store};
//!
//! let store = Blobstore::init(local, device.clone(), &InitOptions::default()).await?;
//! let disk = store.create(&BlobOptions { clusters: 256, thin: true, ..BlobOptions::default() }).await?;
//! let volume = store.volume(disk).await?; // opened, read and written as any device is
//! let monday = store.snapshot(disk, vec![(b"name".to_vec(), b"monday".to_vec())]).await?;
//! # drop(volume);
//! store.unload().await?; // once nobody has a volume of it open
//!
//! let store = Store::open(local, device, &OpenOptions::default()).await?;
//! assert_eq!(store.blob(disk)?.parent, doorbell_blobstore::Parent::Snapshot(monday));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod bits;
mod blob;
mod disk;
mod error;
mod finding;
mod hub;
mod live;
mod map;
mod scan;
mod store;
mod tasks;
mod view;
mod volume;

pub use blob::{Attribute, Parent};
pub use error::Error;
pub use finding::Finding;
pub use live::{BlobOptions, Blobstore, InitOptions, LoadOptions, Tearing, Usage};
pub use store::{BlobInfo, OpenOptions, Opening, Store, holds};
pub use volume::Volume;
