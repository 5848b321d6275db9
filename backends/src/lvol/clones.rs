//! Snapshots and clones of volumes, and their parents outside of the store.

use super::MODULE;
use super::params::{Clone, CloneDevice, SetParent, Snapshot};
use super::refusal::{not_claimed, not_opened, refused, refused_inside};
use super::stores::{Open, Stores};
use crate::ear::Ear;
use doorbell_bdev::{Access, ClaimKind, Event, Handle};
use doorbell_blobstore::Error as Blob;
use doorbell_control::{RpcError, Uuid};
use doorbell_lvol::Lvol;
use doorbell_wire_blob::BlobId;
use std::rc::Rc;
use std::sync::Arc;

impl Stores {
    pub(super) async fn snapshot(self: Rc<Self>, params: Snapshot) -> Result<String, RpcError> {
        let mut made = self.snapshot_group(vec![params]).await?;
        made.pop().ok_or_else(|| RpcError::internal("Internal error"))
    }

    pub(super) async fn snapshot_group(self: Rc<Self>, wanted: Vec<Snapshot>) -> Result<Vec<String>, RpcError> {
        let mut found = Vec::new();
        for one in &wanted {
            found.push(self.lvol(&one.lvol_name)?);
        }
        let Some((open, _)) = found.first().cloned() else {
            return Err(RpcError::invalid_argument().because("no volume was named"));
        };
        if found.iter().any(|(other, _)| !other.is(&open)) {
            return Err(RpcError::invalid_argument().because("the volumes are not all of one store: snapshots at one moment are of one"));
        }
        let named: Vec<(BlobId, String, Uuid)> =
            found.iter().zip(&wanted).map(|((_, id), one)| (*id, one.snapshot_name.clone(), self.new_uuid())).collect();
        let made = open.store.snapshots(&named).await;
        let catalog = open.store.catalog();
        for id in named.iter().filter_map(|(_, name, _)| catalog.named(name)) {
            self.show(&open, id).await;
        }
        made.map_err(refused)?;
        Ok(named.into_iter().map(|(_, _, uuid)| uuid.to_string()).collect())
    }

    pub(super) async fn clone_of(self: Rc<Self>, params: Clone) -> Result<String, RpcError> {
        let (open, of) = self.lvol(&params.snapshot_name)?;
        let uuid = self.new_uuid();
        let id = open.store.clone_of(of, &params.clone_name, uuid).await.map_err(refused)?;
        self.show(&open, id).await;
        Ok(uuid.to_string())
    }

    pub(super) async fn clone_of_device(self: Rc<Self>, params: CloneDevice) -> Result<String, RpcError> {
        let open = self.store(&None, &Some(params.lvs_name.clone()))?;
        let outside = self.hold_outside(&open, &params.bdev)?;
        let bytes = outside.bdev().info().bytes();
        let uuid = self.new_uuid();
        let of = (outside.uuid(), bytes);
        let id = open.store.clone_of_device(of, &params.clone_name, uuid).await.map_err(refused)?;
        self.show(&open, id).await;
        Ok(uuid.to_string())
    }

    pub(super) async fn inflate(self: Rc<Self>, name: &str) -> Result<bool, RpcError> {
        let (open, id) = self.lvol(name)?;
        open.store.inflate(id).await.map_err(refused_inside)?;
        Ok(true)
    }

    pub(super) async fn decouple(self: Rc<Self>, name: &str) -> Result<bool, RpcError> {
        let (open, id) = self.lvol(name)?;
        open.store.decouple(id).await.map_err(refused_inside)?;
        Ok(true)
    }

    pub(super) async fn set_parent(self: Rc<Self>, params: SetParent) -> Result<bool, RpcError> {
        let (open, id) = self.lvol(&params.lvol_name)?;
        let (other, parent) = self.lvol(&params.parent_name)?;
        if !other.is(&open) {
            return Err(RpcError::invalid_argument()
                .because("the snapshot is one of another store: bdev_lvol_set_parent_bdev takes any block device"));
        }
        open.store.set_parent(id, parent).await.map_err(refused)?;
        self.show(&open, id).await;
        Ok(true)
    }

    pub(super) async fn set_parent_device(self: Rc<Self>, params: SetParent) -> Result<bool, RpcError> {
        let (open, id) = self.lvol(&params.lvol_name)?;
        // Requests have to keep to other limits from then on, so its device is made anew, and those of its clones.
        let mut family = vec![id];
        let mut at = 0;
        while let Some(next) = family.get(at).copied() {
            family.extend(open.store.catalog().clones(next));
            at += 1;
        }
        let is_open =
            |id: &BlobId| open.device(*id).and_then(|name| self.host.registry.find(&name)).is_some_and(|bdev| bdev.open_count() > 0);
        if let Some(used) = family.iter().copied().find(is_open) {
            return Err(refused(Blob::InUse(used)));
        }
        let outside = self.hold_outside(&open, &params.parent_name)?;
        for id in &family {
            self.hide(&open, *id).await;
        }
        let set = open.store.set_parent_device(id, outside.uuid(), outside.clone()).await;
        for id in &family {
            self.show(&open, *id).await;
        }
        set.map_err(refused).map(|()| true)
    }

    /// Opens a device that volumes are to be clones of, and keeps everybody from writing it.
    fn hold_outside(&self, open: &Rc<Open>, name: &str) -> Result<Arc<Handle>, RpcError> {
        let bdev =
            self.host.registry.find(name).ok_or_else(|| RpcError::no_device().because(format!("there is no block device named {name}")))?;
        if bdev.uuid().is_nil() {
            return Err(RpcError::invalid_argument().because(format!("block device {name} has no UUID, by which it would be found again")));
        }
        if Arc::ptr_eq(open.base.bdev(), &bdev) || open.store.catalog().of_uuid(bdev.uuid()).is_some() {
            return Err(RpcError::invalid_argument().because(format!("block device {name} is part of the store itself")));
        }
        if let Some((held, _)) = open.outsides.borrow().get(&bdev.uuid()) {
            return Ok(held.clone());
        }
        let ear = Ear::default();
        let told = ear.clone();
        let handle = self.host.registry.open(bdev.name(), Access::Read, Box::new(move |event| told.hear(event))).map_err(not_opened)?;
        let claim = handle.claim(ClaimKind::ReadManyWriteNone, MODULE).map_err(not_claimed)?;
        open.outsides.borrow_mut().insert(bdev.uuid(), (handle.clone(), claim));
        let (stores, watched, uuid) = (self.me.clone(), Rc::downgrade(open), bdev.uuid());
        self.host.local.spawn(async move {
            while ear.next().await == Event::Resized {}
            if let (Some(stores), Some(open)) = (stores.upgrade(), watched.upgrade()) {
                stores.lose(&open, uuid).await;
            }
        });
        Ok(handle)
    }

    /// A device outside goes: what shows something of it is degraded from then on.
    async fn lose(&self, open: &Rc<Open>, uuid: Uuid) {
        let catalog = open.store.catalog();
        let shows = |lvol: &Lvol| catalog.ancestry(lvol.id).last().is_some_and(|last| last.outside() == Some(uuid));
        for lvol in catalog.all().iter().filter(|lvol| shows(lvol)) {
            tracing::warn!(store = catalog.name(), volume = lvol.name, parent = %uuid, "degraded: what it is a clone of goes");
            self.hide(open, lvol.id).await;
        }
        if let Err(error) = open.store.detach_device(uuid).await {
            tracing::error!(store = catalog.name(), parent = %uuid, %error, "it is held still, and cannot go");
        }
        open.outsides.borrow_mut().remove(&uuid);
    }

    /// Is the device outside there that a volume shows something of, if it does? It is attached when it has come.
    pub(super) async fn find_outside(&self, open: &Rc<Open>, id: BlobId) -> bool {
        let Some(last) = open.store.catalog().ancestry(id).pop() else { return false };
        let Some(uuid) = last.outside() else { return true };
        let what = uuid.to_string();
        let attached = match self.hold_outside(open, &what) {
            Ok(device) => open.store.attach_device(uuid, device).await.map_err(refused),
            Err(error) => Err(error),
        };
        if let Err(error) = attached {
            tracing::warn!(volume = last.name, parent = what, %error, "degraded: what it is a clone of is not there");
            return false;
        }
        true
    }

    /// A device has come: volumes that waited for it get theirs.
    pub(super) async fn heal(&self, uuid: Uuid) {
        for open in self.all() {
            for lvol in open.store.catalog().all() {
                let waits = !open.has_device(lvol.id)
                    && open.store.catalog().ancestry(lvol.id).last().is_some_and(|last| last.outside() == Some(uuid));
                if waits {
                    self.show(&open, lvol.id).await;
                }
            }
        }
    }
}
