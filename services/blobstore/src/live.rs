//! A store that is loaded: its owner, which alone changes it, and the volumes that are read and written on any reactor.
//!
//! All metadata belongs to one reactor. Whoever wants it changed there awaits his turn at one lock; queues on other reactors write to the owner's
//! desk, and what has gathered there is done in one round, with one flush for all of it.
//!
//! What the disk says changes by the root of one blob at a time, which is written in place; whatever that root refers to was written to pages
//! that nobody used, and flushed, before. Only an extent page is written in place too, where the device writes a page whole or not at all. So a
//! power cut at any moment leaves the state before a change or after it. Where the device may tear a page, extent pages go to fresh pages as well,
//! and while a root is written a copy of it lies on a page that nobody uses.
//!
//! Invariants: a cluster is zeroed or filled, and that is flushed, before metadata names it; metadata is durable before a map shows it; a cluster
//! is free for others only when metadata that does not name it is durable and no request beneath is under way that looked it up before.
//! When a metadata write fails the disk's state is not known any more: from then on nothing of the metadata is changed, and the reason is kept.

mod barrier;
mod clusters;
mod create;
mod desk;
mod family;
mod grow;
mod init;
mod load;
mod pages;
mod round;
mod state;

use crate::hub::Hub;
use crate::tasks::{Held, Lock};
use crate::volume::Volume;
use crate::{Attribute, BlobInfo, Error, Finding};
pub use create::BlobOptions;
use desk::Inbox;
use doorbell_block::{BlockDevice, DeviceInfo};
use doorbell_reactor::Local;
use doorbell_wire_blob::{BlobId, Geometry};
pub use init::InitOptions;
pub use load::{LoadOptions, Tearing};
use state::State;
use std::rc::Rc;
use std::sync::Arc;

/// A loaded store, on the reactor that owns it. Clones are the same store.
#[derive(Clone)]
pub struct Blobstore(Rc<Inner>);

struct Inner {
    local: Local,
    hub: Arc<Hub>,
    state: Lock<State>,
    inbox: Rc<Inbox>,
}

/// How full a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Clusters that blobs can have.
    pub clusters: u32,
    /// Those that none has.
    pub free_clusters: u32,
    /// Pages of metadata.
    pub pages: u32,
    /// Those that are free.
    pub free_pages: u32,
}

impl Blobstore {
    /// Makes an empty store on a device, whatever was there, and loads it.
    pub async fn init(local: &Local, device: Arc<dyn BlockDevice>, options: &InitOptions) -> Result<Blobstore, Error> {
        let (hub, inbox) = desk::open(local).await;
        let state = init::init(local, device, &hub, options).await;
        Blobstore::begin(local, hub, inbox, state)
    }

    /// Loads the store on a device. One that was not closed is brought in order first, which may be interrupted and done again.
    pub async fn load(local: &Local, device: Arc<dyn BlockDevice>, options: &LoadOptions) -> Result<Blobstore, Error> {
        let (hub, inbox) = desk::open(local).await;
        let state = load::load(local, device, &hub, options).await;
        Blobstore::begin(local, hub, inbox, state)
    }

    fn begin(local: &Local, hub: Arc<Hub>, inbox: Rc<Inbox>, state: Result<State, Error>) -> Result<Blobstore, Error> {
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                inbox.close(local);
                return Err(error);
            }
        };
        let inner = Rc::new(Inner { local: local.clone(), hub, state: Lock::new(state), inbox });
        desk::serve(&inner);
        Ok(Blobstore(inner))
    }

    async fn state(&self) -> Held<'_, State> {
        self.0.state.lock().await
    }

    /// Sizes and places.
    pub async fn geometry(&self) -> Geometry {
        self.state().await.geometry
    }

    /// The device beneath.
    pub async fn device_info(&self) -> DeviceInfo {
        self.state().await.disk.info().clone()
    }

    /// How full it is.
    pub async fn usage(&self) -> Usage {
        self.state().await.usage()
    }

    /// What was found wrong when it was loaded; nothing, as a rule.
    pub async fn findings(&self) -> Vec<Finding> {
        self.state().await.findings.clone()
    }

    /// Why its metadata cannot be changed, if it cannot.
    pub async fn stopped(&self) -> Option<String> {
        self.state().await.stopped.clone()
    }

    /// The blobs that can be used, ascending by id.
    pub async fn blobs(&self) -> Vec<BlobId> {
        self.state().await.blobs.keys().copied().collect()
    }

    /// What a blob is.
    pub async fn blob(&self, id: BlobId) -> Result<BlobInfo, Error> {
        self.state().await.info(id)
    }

    /// Makes a blob.
    pub async fn create(&self, options: &BlobOptions) -> Result<BlobId, Error> {
        self.state().await.create(options).await
    }

    /// Deletes a blob that nobody has open: a snapshot with one clone leaves that what it has; one with several stays.
    pub async fn delete(&self, id: BlobId) -> Result<(), Error> {
        self.state().await.delete(id).await
    }

    /// Gives a blob another number of clusters.
    pub async fn resize(&self, id: BlobId, clusters: u64) -> Result<(), Error> {
        self.state().await.resize(id, clusters).await
    }

    /// Makes a snapshot, which the blob is a clone of from then on, while it is read and written.
    pub async fn snapshot(&self, id: BlobId, xattrs: Vec<Attribute>) -> Result<BlobId, Error> {
        let made = self.state().await.snapshot(vec![(id, xattrs)]).await?;
        made.first().copied().ok_or(Error::NoBlob(id))
    }

    /// Makes snapshots of several blobs at one moment: no write to any of them lies between.
    pub async fn snapshots(&self, of: Vec<(BlobId, Vec<Attribute>)>) -> Result<Vec<BlobId>, Error> {
        self.state().await.snapshot(of).await
    }

    /// Makes a clone of a snapshot, or of any blob that is read-only.
    pub async fn clone_of(&self, parent: BlobId, xattrs: Vec<Attribute>) -> Result<BlobId, Error> {
        self.state().await.clone_of(parent, xattrs).await
    }

    /// Gives a blob all of its clusters, so that it needs no parent and is thin no more.
    pub async fn inflate(&self, id: BlobId) -> Result<(), Error> {
        family::fill_up(&self.0, id, family::Until::Thick).await
    }

    /// Gives a clone the clusters that its parent has, so that it is a clone of its parent's parent, or of none.
    pub async fn decouple(&self, id: BlobId) -> Result<(), Error> {
        family::fill_up(&self.0, id, family::Until::Decoupled).await
    }

    /// Makes a thin blob a clone of another snapshot, of as many clusters: what it has not of its own is that snapshot's from then on.
    pub async fn set_parent(&self, id: BlobId, parent: BlobId) -> Result<(), Error> {
        self.state().await.set_parent(id, parent).await
    }

    /// Makes a thin blob a clone of a device outside of the store, which the store calls `name`.
    pub async fn set_external_parent(&self, id: BlobId, name: &[u8], device: Arc<dyn BlockDevice>) -> Result<(), Error> {
        self.state().await.set_external_parent(id, name, device).await
    }

    /// Sets an attribute.
    pub async fn set_xattr(&self, id: BlobId, name: &[u8], value: &[u8]) -> Result<(), Error> {
        self.state().await.set_xattr(id, name, Some(value)).await
    }

    /// Removes an attribute; it is no error that there is none.
    pub async fn remove_xattr(&self, id: BlobId, name: &[u8]) -> Result<(), Error> {
        self.state().await.set_xattr(id, name, None).await
    }

    /// Makes a blob read-only, for good.
    pub async fn set_read_only(&self, id: BlobId) -> Result<(), Error> {
        self.state().await.set_read_only(id).await
    }

    /// Names the blob that describes the store, or none.
    pub async fn set_super_blob(&self, id: Option<BlobId>) -> Result<(), Error> {
        self.state().await.set_super_blob(id).await
    }

    /// The blob that describes the store.
    pub async fn super_blob(&self) -> Option<BlobId> {
        self.state().await.super_block.super_blob.id()
    }

    /// Takes what the device has grown by; true when it had.
    pub async fn grow(&self) -> Result<bool, Error> {
        self.state().await.grow().await
    }

    /// A device that blobs are clones of, by what the store calls it, has come.
    pub async fn attach_external(&self, name: &[u8], device: Arc<dyn BlockDevice>) -> Result<(), Error> {
        self.state().await.attach_external(name, device).await
    }

    /// A blob as a device.
    pub async fn volume(&self, id: BlobId) -> Result<Volume, Error> {
        self.state().await.volume(id)
    }

    /// Closes the store: what is in use is written down, so that it is loaded at once the next time. No volume of it may be open.
    pub async fn unload(self) -> Result<(), Error> {
        self.state().await.unload().await
    }

    /// Destroys the store: the device holds none from then on. No volume of it may be open.
    pub async fn destroy(self) -> Result<(), Error> {
        self.state().await.destroy().await
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let hub = self.hub.clone();
        self.local.call(move |cx| hub.close(cx));
        self.inbox.close(&self.local);
    }
}
