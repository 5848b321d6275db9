//! What is known of a store's volumes, for whoever describes them, on whatever thread.

use crate::{Error, attributes};
use doorbell_blobstore::{BlobInfo, Parent};
use doorbell_control::Uuid;
use doorbell_wire_blob::BlobId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lvol {
    /// Its blob.
    pub id: BlobId,
    /// Its name.
    pub name: String,
    /// Its UUID; nil where it has none.
    pub uuid: Uuid,
    /// Does it get clusters only where it is written?
    pub thin: bool,
    /// Is it a snapshot, or was made read-only?
    pub read_only: bool,
    /// What it shows where it has nothing of its own.
    pub parent: Parent,
}

impl Lvol {
    pub(crate) fn of(blob: &BlobInfo) -> Lvol {
        Lvol {
            id: blob.id,
            // One without a name is no reason to give up the others.
            name: attributes::name(&blob.xattrs).unwrap_or_else(|| format!("blob-{:x}", blob.id.to_raw())),
            uuid: attributes::uuid(&blob.xattrs).unwrap_or_default(),
            thin: blob.flags.is_thin(),
            read_only: blob.flags.is_read_only(),
            parent: blob.parent.clone(),
        }
    }

    /// The device outside of the store that it is a clone of, where that is named by UUID.
    pub fn outside(&self) -> Option<Uuid> {
        match &self.parent {
            Parent::External(name) => str::from_utf8(name).ok()?.trim_end_matches('\0').parse().ok(),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Inner {
    store: String,
    lvols: BTreeMap<BlobId, Lvol>,
    names: BTreeMap<String, BlobId>,
    uuids: BTreeMap<Uuid, BlobId>,
    /// Names of volumes that are being made or renamed.
    reserved: BTreeSet<String>,
}

/// A store's volumes. Clones are the same.
#[derive(Clone)]
pub struct Catalog {
    uuid: Uuid,
    inner: Arc<Mutex<Inner>>,
}

impl Catalog {
    pub(crate) fn new(uuid: Uuid, store: &str) -> Catalog {
        Catalog { uuid, inner: Arc::new(Mutex::new(Inner { store: store.to_owned(), ..Inner::default() })) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store's UUID.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The store's name.
    pub fn name(&self) -> String {
        self.lock().store.clone()
    }

    pub(crate) fn rename_store(&self, name: &str) {
        name.clone_into(&mut self.lock().store);
    }

    /// All volumes, by the order of their blobs.
    pub fn all(&self) -> Vec<Lvol> {
        self.lock().lvols.values().cloned().collect()
    }

    /// One of them.
    pub fn get(&self, id: BlobId) -> Option<Lvol> {
        self.lock().lvols.get(&id).cloned()
    }

    /// The one of a name.
    pub fn named(&self, name: &str) -> Option<BlobId> {
        self.lock().names.get(name).copied()
    }

    /// The one of a UUID.
    pub fn of_uuid(&self, uuid: Uuid) -> Option<BlobId> {
        self.lock().uuids.get(&uuid).copied()
    }

    /// Its clones, ascending.
    pub fn clones(&self, id: BlobId) -> Vec<BlobId> {
        self.lock().lvols.values().filter(|lvol| lvol.parent == Parent::Snapshot(id)).map(|lvol| lvol.id).collect()
    }

    /// It, its clones, theirs, and so on.
    pub fn descendants(&self, id: BlobId) -> Vec<BlobId> {
        let (mut all, mut at) = (vec![id], 0);
        while let Some(next) = all.get(at) {
            all.extend(self.clones(*next));
            at += 1;
        }
        all
    }

    /// The device outside of the store that it shows something of, itself or through its parents.
    pub fn outside(&self, id: BlobId) -> Option<Uuid> {
        let inner = self.lock();
        let mut at = inner.lvols.get(&id)?;
        while let Parent::Snapshot(parent) = &at.parent {
            at = inner.lvols.get(parent)?;
        }
        at.outside()
    }

    /// Keeps a name for a volume to come.
    pub(crate) fn reserve(&self, name: &str) -> Result<Reserved, Error> {
        attributes::check(name)?;
        let mut inner = self.lock();
        if inner.names.contains_key(name) || !inner.reserved.insert(name.to_owned()) {
            return Err(Error::Exists(name.to_owned()));
        }
        Ok(Reserved { catalog: self.clone(), name: name.to_owned() })
    }

    /// Takes a volume in as it is now. Of several of one name or UUID, which other software may have made, the first is found by it.
    pub(crate) fn put(&self, lvol: Lvol) {
        let inner = &mut *self.lock();
        inner.remove(lvol.id);
        inner.names.entry(lvol.name.clone()).or_insert(lvol.id);
        if !lvol.uuid.is_nil() {
            inner.uuids.entry(lvol.uuid).or_insert(lvol.id);
        }
        inner.lvols.insert(lvol.id, lvol);
    }

    pub(crate) fn remove(&self, id: BlobId) {
        self.lock().remove(id);
    }
}

impl Inner {
    fn remove(&mut self, id: BlobId) {
        let Some(gone) = self.lvols.remove(&id) else { return };
        if self.names.get(&gone.name) == Some(&id) {
            self.names.remove(&gone.name);
        }
        if self.uuids.get(&gone.uuid) == Some(&id) {
            self.uuids.remove(&gone.uuid);
        }
    }
}

/// A name that is kept until this is dropped.
pub(crate) struct Reserved {
    catalog: Catalog,
    name: String,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.catalog.lock().reserved.remove(&self.name);
    }
}
