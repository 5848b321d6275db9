//! A store of volumes: a blobstore, and what its blobs are called.

use crate::Error;
use crate::attributes::{self, NAME};
use crate::catalog::{Catalog, Lvol, Reserved};
use doorbell_blobstore::{BlobOptions, Blobstore, InitOptions, LoadOptions, Parent, Usage, Volume};
use doorbell_block::BlockDevice;
use doorbell_control::Uuid;
use doorbell_reactor::Local;
use doorbell_wire_blob::{BlobId, BsType, ClearMethod, Geometry};
use std::sync::Arc;

/// A store to be made.
#[derive(Clone, Debug)]
pub struct NewStore {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Bytes of a cluster.
    pub cluster_bytes: u32,
    /// Pages of metadata for 100 clusters; as many as are usual when not given.
    pub pages_per_100_clusters: Option<u32>,
    /// Bytes of a page of metadata; 0 for what the device asks for.
    pub md_page_bytes: u32,
    /// How the rest of the device is cleared.
    pub clear: ClearMethod,
}

/// A volume to be made.
#[derive(Clone, Debug)]
pub struct NewLvol {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its bytes; as many more as its last cluster has.
    pub bytes: u64,
    /// Does it get clusters only where it is written?
    pub thin: bool,
    /// How clusters that it gives up are cleared.
    pub clear: ClearMethod,
}

/// Whether a device holds a store of volumes, whatever state that is in. Nothing is changed.
pub async fn holds_store(local: &Local, device: Arc<dyn BlockDevice>) -> Result<bool, Error> {
    Ok(doorbell_blobstore::holds(local, device, BsType::LVOLSTORE).await?)
}

/// A store that is loaded, on the reactor that owns it.
pub struct LvolStore {
    store: Blobstore,
    /// The blob that says what the store is called.
    own: BlobId,
    geometry: Geometry,
    catalog: Catalog,
}

impl LvolStore {
    /// Makes an empty store on a device, whatever was there.
    pub async fn make(local: &Local, device: Arc<dyn BlockDevice>, new: &NewStore) -> Result<LvolStore, Error> {
        attributes::check(&new.name)?;
        let clusters = device.info().bytes() / u64::from(new.cluster_bytes.max(1));
        let pages = |ratio: u32| (clusters.saturating_mul(ratio.into()) / 100).clamp(1, u32::MAX.into()) as u32;
        let options = InitOptions {
            cluster_bytes: new.cluster_bytes,
            md_pages: new.pages_per_100_clusters.map(pages),
            md_page_bytes: new.md_page_bytes,
            bs_type: BsType::LVOLSTORE,
            clear: new.clear,
            ..InitOptions::default()
        };
        let store = Blobstore::init(local, device, &options).await?;
        let own = store.create(&BlobOptions { xattrs: attributes::of_store(&new.name, new.uuid), ..BlobOptions::default() }).await?;
        store.set_super_blob(Some(own)).await?;
        let geometry = store.geometry().await;
        Ok(LvolStore { store, own, geometry, catalog: Catalog::new(new.uuid, &new.name) })
    }

    /// Loads the store on a device.
    pub async fn load(local: &Local, device: Arc<dyn BlockDevice>) -> Result<LvolStore, Error> {
        let options = LoadOptions { expected: BsType::LVOLSTORE, ..LoadOptions::default() };
        let store = Blobstore::load(local, device, &options).await?;
        let lacks = |what| Error::Nameless { what };
        let own = store.super_blob().await.ok_or(lacks("names no blob that describes it"))?;
        let described = store.blob(own).await?;
        let uuid = attributes::uuid(&described.xattrs).ok_or(lacks("has no UUID"))?;
        let name = attributes::name(&described.xattrs).ok_or(lacks("has no name"))?;
        let catalog = Catalog::new(uuid, &name);
        for blob in store.all().await.iter().filter(|blob| blob.id != own) {
            catalog.put(Lvol::of(blob));
        }
        for (id, why) in store.unusable().await {
            tracing::error!(store = name, %id, why, "a volume cannot be used");
        }
        for finding in store.findings().await {
            tracing::warn!(store = name, %finding, "found while the store was loaded");
        }
        let geometry = store.geometry().await;
        Ok(LvolStore { store, own, geometry, catalog })
    }

    /// Its volumes.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The blobstore that it is.
    pub fn blobstore(&self) -> &Blobstore {
        &self.store
    }

    /// Bytes of a cluster.
    pub fn cluster_bytes(&self) -> u32 {
        self.geometry.cluster_bytes
    }

    /// Bytes of a block.
    pub fn block_bytes(&self) -> u32 {
        self.geometry.io_unit_bytes
    }

    /// Bytes that the store can grow to.
    pub fn max_bytes(&self) -> u64 {
        self.geometry.max_bytes()
    }

    /// How full it is.
    pub async fn usage(&self) -> Usage {
        self.store.usage().await
    }

    /// A volume as a device.
    pub async fn volume(&self, id: BlobId) -> Result<Volume, Error> {
        Ok(self.store.volume(id).await?)
    }

    fn clusters(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.geometry.cluster_bytes.into())
    }

    /// Notes what a volume is now.
    async fn look(&self, id: BlobId) -> Result<(), Error> {
        let blob = self.store.blob(id).await?;
        self.catalog.put(Lvol::of(&blob));
        Ok(())
    }

    /// Keeps a new volume's name.
    fn reserve(&self, name: &str, uuid: Uuid) -> Result<Reserved, Error> {
        match self.catalog.of_uuid(uuid) {
            Some(_) => Err(Error::SameUuid(uuid)),
            None => self.catalog.reserve(name),
        }
    }

    /// Makes a volume.
    pub async fn create(&self, new: &NewLvol) -> Result<BlobId, Error> {
        let _name = self.reserve(&new.name, new.uuid)?;
        if new.bytes == 0 {
            return Err(Error::Empty);
        }
        let options = BlobOptions {
            clusters: self.clusters(new.bytes),
            thin: new.thin,
            clear_method: new.clear,
            xattrs: attributes::of_volume(&new.name, new.uuid),
            external: None,
        };
        let id = self.store.create(&options).await?;
        self.look(id).await?;
        Ok(id)
    }

    /// Makes snapshots of volumes, all at one moment.
    pub async fn snapshots(&self, wanted: &[(BlobId, String, Uuid)]) -> Result<Vec<BlobId>, Error> {
        let names = wanted.iter().map(|(_, name, uuid)| self.reserve(name, *uuid)).collect::<Result<Vec<_>, _>>()?;
        let of = wanted.iter().map(|(id, name, uuid)| (*id, attributes::of_volume(name, *uuid))).collect();
        let made = self.store.snapshots(of).await;
        // When one of them failed those before it were made, and stay.
        for (id, ..) in wanted {
            self.look(*id).await?;
            if let Some(Parent::Snapshot(snapshot)) = self.catalog.get(*id).map(|lvol| lvol.parent) {
                self.look(snapshot).await?;
            }
        }
        drop(names);
        Ok(made?)
    }

    /// Makes a clone of a volume that is read-only.
    pub async fn clone_of(&self, of: BlobId, name: &str, uuid: Uuid) -> Result<BlobId, Error> {
        let _name = self.reserve(name, uuid)?;
        let id = self.store.clone_of(of, attributes::of_volume(name, uuid)).await?;
        self.look(id).await?;
        Ok(id)
    }

    /// Makes a clone of a device outside of the store, of so many bytes. It can be opened once the device is attached.
    pub async fn clone_of_device(&self, (outside, bytes): (Uuid, u64), name: &str, uuid: Uuid) -> Result<BlobId, Error> {
        let _name = self.reserve(name, uuid)?;
        let cluster_bytes = self.geometry.cluster_bytes;
        if !bytes.is_multiple_of(cluster_bytes.into()) || bytes == 0 {
            return Err(doorbell_blobstore::Error::ExternalSize { bytes, cluster_bytes }.into());
        }
        let options = BlobOptions {
            clusters: self.clusters(bytes),
            thin: true,
            clear_method: ClearMethod::Default,
            xattrs: attributes::of_volume(name, uuid),
            external: Some(outside_name(outside)),
        };
        let id = self.store.create(&options).await?;
        self.look(id).await?;
        Ok(id)
    }

    /// A device that volumes are clones of is there.
    pub async fn attach_device(&self, uuid: Uuid, device: Arc<dyn BlockDevice>) -> Result<(), Error> {
        Ok(self.store.attach_external(&outside_name(uuid), device).await?)
    }

    /// A device that volumes are clones of goes. None of them, and no clone of them, may be open.
    pub async fn detach_device(&self, uuid: Uuid) -> Result<(), Error> {
        Ok(self.store.detach_external(&outside_name(uuid)).await?)
    }

    /// Gives a volume another name.
    pub async fn rename(&self, id: BlobId, name: &str) -> Result<(), Error> {
        if self.catalog.get(id).is_some_and(|lvol| lvol.name == name) {
            return Ok(());
        }
        let _name = self.catalog.reserve(name)?;
        self.store.set_xattr(id, NAME, &attributes::text(name)).await?;
        self.look(id).await
    }

    /// Gives the store another name.
    pub async fn rename_store(&self, name: &str) -> Result<(), Error> {
        attributes::check(name)?;
        self.store.set_xattr(self.own, NAME, &attributes::text(name)).await?;
        self.catalog.rename_store(name);
        Ok(())
    }

    /// Gives a volume another size, up to the end of a cluster.
    pub async fn resize(&self, id: BlobId, bytes: u64) -> Result<(), Error> {
        if bytes == 0 {
            return Err(Error::Empty);
        }
        self.store.resize(id, self.clusters(bytes)).await?;
        self.look(id).await
    }

    /// Deletes a volume that nobody has open.
    pub async fn delete(&self, id: BlobId) -> Result<(), Error> {
        let heirs = self.catalog.clones(id);
        self.store.delete(id).await?;
        self.catalog.remove(id);
        for heir in heirs {
            self.look(heir).await?;
        }
        Ok(())
    }

    /// Gives a volume all of its clusters.
    pub async fn inflate(&self, id: BlobId) -> Result<(), Error> {
        self.store.inflate(id).await?;
        self.look(id).await
    }

    /// Gives a clone what its parent has.
    pub async fn decouple(&self, id: BlobId) -> Result<(), Error> {
        self.store.decouple(id).await?;
        self.look(id).await
    }

    /// Makes a thin volume a clone of another snapshot.
    pub async fn set_parent(&self, id: BlobId, parent: BlobId) -> Result<(), Error> {
        self.store.set_parent(id, parent).await?;
        self.look(id).await
    }

    /// Makes a thin volume a clone of a device outside that is attached. Nobody may have it open, and its devices are to be had anew.
    pub async fn set_parent_device(&self, id: BlobId, uuid: Uuid) -> Result<(), Error> {
        self.store.set_external_parent(id, &outside_name(uuid)).await?;
        self.look(id).await
    }

    /// Makes a volume read-only, for good.
    pub async fn set_read_only(&self, id: BlobId) -> Result<(), Error> {
        self.store.set_read_only(id).await?;
        self.look(id).await
    }

    /// Takes what the device has grown by; true when it had.
    pub async fn grow(&self) -> Result<bool, Error> {
        Ok(self.store.grow().await?)
    }

    /// Closes the store. No volume of it may be open.
    pub async fn unload(&self) -> Result<(), Error> {
        Ok(self.store.clone().unload().await?)
    }

    /// Destroys the store with all of its volumes, none of which may be open.
    pub async fn destroy(&self) -> Result<(), Error> {
        Ok(self.store.clone().destroy().await?)
    }
}

/// What a store calls a device outside.
fn outside_name(uuid: Uuid) -> Vec<u8> {
    attributes::text(&uuid.to_string())
}
