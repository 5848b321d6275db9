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
mod copy;
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
use doorbell_reactor::{Local, oneshot};
use doorbell_wire_blob::{BlobId, Geometry};
pub use init::InitOptions;
pub use load::{LoadOptions, Tearing};
use state::State;
use std::future::Future;
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

    /// Runs to its end also when nobody waits for it any more: a change that stopped half way would leave what is known apart from what is on the
    /// disk.
    async fn whole<T: 'static>(&self, change: impl Future<Output = Result<T, Error>> + 'static) -> Result<T, Error> {
        let (sender, answer) = oneshot();
        self.0.local.spawn(async move { sender.send(change.await) });
        answer.await.unwrap_or_else(|_| Err(Error::Stopped { why: "its reactor has stopped".to_owned() }))
    }

    async fn change<T: 'static>(&self, change: impl AsyncFnOnce(&mut State) -> Result<T, Error> + 'static) -> Result<T, Error> {
        let inner = self.0.clone();
        self.whole(async move { change(&mut *inner.state.lock().await).await }).await
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

    /// All of them, each with what it is: one look at the store, however many there are.
    pub async fn all(&self) -> Vec<BlobInfo> {
        self.state().await.infos()
    }

    /// Blobs that are there and cannot be used, and why.
    pub async fn unusable(&self) -> Vec<(BlobId, String)> {
        self.state().await.unusable.iter().map(|(id, why)| (*id, why.clone())).collect()
    }

    /// Copies the clusters that are a blob's own to the same places of another device, and makes that durable. They are read through `volume`, the
    /// blob's or one that stands on it. `go_on` is told after each how many were copied, and of how many; false when it ended that.
    pub async fn shallow_copy(
        &self,
        id: BlobId,
        volume: Arc<dyn BlockDevice>,
        target: Arc<dyn BlockDevice>,
        go_on: impl FnMut(u64, u64) -> bool,
    ) -> Result<bool, Error> {
        copy::shallow(self, id, [volume, target], go_on).await
    }

    /// What a blob is.
    pub async fn blob(&self, id: BlobId) -> Result<BlobInfo, Error> {
        self.state().await.info(id)
    }

    /// Makes a blob.
    pub async fn create(&self, options: &BlobOptions) -> Result<BlobId, Error> {
        let options = options.clone();
        self.change(async move |state| state.create(&options).await).await
    }

    /// Deletes a blob that nobody has open: a snapshot with one clone leaves that what it has; one with several stays.
    pub async fn delete(&self, id: BlobId) -> Result<(), Error> {
        self.change(async move |state| state.delete(id).await).await
    }

    /// Gives a blob another number of clusters.
    pub async fn resize(&self, id: BlobId, clusters: u64) -> Result<(), Error> {
        self.change(async move |state| state.resize(id, clusters).await).await
    }

    /// Makes a snapshot, which the blob is a clone of from then on, while it is read and written.
    pub async fn snapshot(&self, id: BlobId, xattrs: Vec<Attribute>) -> Result<BlobId, Error> {
        let made = self.snapshots(vec![(id, xattrs)]).await?;
        made.first().copied().ok_or(Error::NoBlob(id))
    }

    /// Makes snapshots of several blobs at one moment: no write to any of them lies between.
    pub async fn snapshots(&self, of: Vec<(BlobId, Vec<Attribute>)>) -> Result<Vec<BlobId>, Error> {
        self.change(async move |state| state.snapshot(of).await).await
    }

    /// Makes a clone of a snapshot, or of any blob that is read-only.
    pub async fn clone_of(&self, parent: BlobId, xattrs: Vec<Attribute>) -> Result<BlobId, Error> {
        self.change(async move |state| state.clone_of(parent, xattrs).await).await
    }

    /// Gives a blob all of its clusters, so that it needs no parent and is thin no more.
    pub async fn inflate(&self, id: BlobId) -> Result<(), Error> {
        let inner = self.0.clone();
        self.whole(async move { family::fill_up(&inner, id, family::Until::Thick).await }).await
    }

    /// Gives a clone the clusters that its parent has, so that it is a clone of its parent's parent, or of none.
    pub async fn decouple(&self, id: BlobId) -> Result<(), Error> {
        let inner = self.0.clone();
        self.whole(async move { family::fill_up(&inner, id, family::Until::Decoupled).await }).await
    }

    /// Makes a thin blob a clone of another snapshot, of as many clusters: what it has not of its own is that snapshot's from then on.
    pub async fn set_parent(&self, id: BlobId, parent: BlobId) -> Result<(), Error> {
        self.change(async move |state| state.set_parent(id, parent).await).await
    }

    /// Makes a thin blob a clone of a device outside of the store, which is attached under `name`. Neither it nor a clone of it may be open:
    /// requests may have to keep to other limits from then on. A [`Volume`] of it that is there already has the former ones, and is to be had
    /// anew.
    pub async fn set_external_parent(&self, id: BlobId, name: &[u8]) -> Result<(), Error> {
        let name = name.to_vec();
        self.change(async move |state| state.set_external_parent(id, &name).await).await
    }

    /// Sets an attribute.
    pub async fn set_xattr(&self, id: BlobId, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let (name, value) = (name.to_vec(), value.to_vec());
        self.change(async move |state| state.set_xattr(id, &name, Some(&value)).await).await
    }

    /// Removes an attribute; it is no error that there is none.
    pub async fn remove_xattr(&self, id: BlobId, name: &[u8]) -> Result<(), Error> {
        let name = name.to_vec();
        self.change(async move |state| state.set_xattr(id, &name, None).await).await
    }

    /// Makes a blob read-only, for good.
    pub async fn set_read_only(&self, id: BlobId) -> Result<(), Error> {
        self.change(async move |state| state.set_read_only(id).await).await
    }

    /// Names the blob that describes the store, or none.
    pub async fn set_super_blob(&self, id: Option<BlobId>) -> Result<(), Error> {
        self.change(async move |state| state.set_super_blob(id).await).await
    }

    /// The blob that describes the store.
    pub async fn super_blob(&self) -> Option<BlobId> {
        self.state().await.super_block.super_blob.id()
    }

    /// Takes what the device has grown by; true when it had.
    pub async fn grow(&self) -> Result<bool, Error> {
        self.change(async |state| state.grow().await).await
    }

    /// A device that blobs are clones of, by what the store calls it, has come. It stays until it is detached.
    pub async fn attach_external(&self, name: &[u8], device: Arc<dyn BlockDevice>) -> Result<(), Error> {
        let name = name.to_vec();
        self.change(async move |state| state.attach_external(&name, device).await).await
    }

    /// A device that blobs are clones of goes. None of them, and no clone of them, may be open; they cannot be opened until it comes again.
    pub async fn detach_external(&self, name: &[u8]) -> Result<(), Error> {
        let name = name.to_vec();
        self.change(async move |state| state.detach_external(&name)).await
    }

    /// A blob as a device.
    pub async fn volume(&self, id: BlobId) -> Result<Volume, Error> {
        self.state().await.volume(id)
    }

    /// Closes the store: what is in use is written down, so that it is loaded at once the next time. No volume of it may be open.
    pub async fn unload(self) -> Result<(), Error> {
        self.change(async |state| state.unload().await).await
    }

    /// Destroys the store: the device holds none from then on. No volume of it may be open.
    pub async fn destroy(self) -> Result<(), Error> {
        self.change(async |state| state.destroy().await).await
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let hub = self.hub.clone();
        self.local.call(move |cx| hub.close(cx));
        self.inbox.close(&self.local);
    }
}
