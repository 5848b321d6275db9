//! The methods that make one volume of another, or make it independent.

use super::params::{Clone, CloneDevice, Named, SetParent, Snapshot, Snapshots};
use super::refusal::{refused, refused_inside};
use super::stores::Stores;
use doorbell_blobstore::Error as Blob;
use doorbell_control::{RpcError, Uuid};
use doorbell_wire_blob::BlobId;
use std::rc::Rc;

impl Stores {
    pub(super) async fn snapshot(self: Rc<Self>, params: Snapshot) -> Result<String, RpcError> {
        let mut made = self.snapshot_group(Snapshots { snapshots: vec![params] }).await?;
        made.pop().ok_or_else(|| RpcError::internal("Internal error"))
    }

    pub(super) async fn snapshot_group(self: Rc<Self>, params: Snapshots) -> Result<Vec<String>, RpcError> {
        let found = params.snapshots.iter().map(|one| self.lvol(&one.lvol_name)).collect::<Result<Vec<_>, _>>()?;
        let Some((open, _)) = found.first().cloned() else {
            return Err(RpcError::invalid_argument().because("no volume was named"));
        };
        if found.iter().any(|(other, _)| !other.is(&open)) {
            return Err(RpcError::invalid_argument().because("the volumes are not all of one store: snapshots at one moment are of one"));
        }
        let named = found.iter().zip(params.snapshots).map(|((_, id), one)| (*id, one.snapshot_name, self.host.uuid(None)));
        let named: Vec<(BlobId, String, Uuid)> = named.collect();
        let made = open.store.snapshots(&named).await;
        let catalog = open.store.catalog();
        for id in named.iter().filter_map(|(.., uuid)| catalog.of_uuid(*uuid)) {
            self.show(&open, id).await;
        }
        made.map_err(refused)?;
        Ok(named.into_iter().map(|(.., uuid)| uuid.to_string()).collect())
    }

    pub(super) async fn clone_of(self: Rc<Self>, params: Clone) -> Result<String, RpcError> {
        let (open, of) = self.lvol(&params.snapshot_name)?;
        let uuid = self.host.uuid(None);
        let id = open.store.clone_of(of, &params.clone_name, uuid).await.map_err(refused)?;
        self.show(&open, id).await;
        Ok(uuid.to_string())
    }

    pub(super) async fn clone_of_device(self: Rc<Self>, params: CloneDevice) -> Result<String, RpcError> {
        let open = self.store(None, Some(&params.lvs_name))?;
        let outside = self.hold_outside(&open, &params.bdev).await?;
        let uuid = self.host.uuid(None);
        let of = (outside.device.uuid(), outside.device.bdev().info().bytes());
        let made = open.store.clone_of_device(of, &params.clone_name, uuid).await;
        drop(outside);
        match &made {
            Ok(id) => self.show(&open, *id).await,
            Err(_) => self.release_outsides(&open).await,
        }
        made.map_err(refused).map(|_| uuid.to_string())
    }

    pub(super) async fn inflate(self: Rc<Self>, params: Named) -> Result<bool, RpcError> {
        let (open, id) = self.lvol(&params.name)?;
        open.store.inflate(id).await.map_err(refused_inside)?;
        self.release_outsides(&open).await;
        Ok(true)
    }

    pub(super) async fn decouple(self: Rc<Self>, params: Named) -> Result<bool, RpcError> {
        let (open, id) = self.lvol(&params.name)?;
        open.store.decouple(id).await.map_err(refused_inside)?;
        self.release_outsides(&open).await;
        Ok(true)
    }

    pub(super) async fn set_parent(self: Rc<Self>, params: SetParent) -> Result<bool, RpcError> {
        let (open, id) = self.lvol(&params.lvol_name)?;
        let (other, parent) = self.lvol(&params.parent_name)?;
        if !other.is(&open) {
            let what = "the snapshot is one of another store: bdev_lvol_set_parent_bdev takes any block device";
            return Err(RpcError::invalid_argument().because(what));
        }
        open.store.set_parent(id, parent).await.map_err(refused)?;
        self.release_outsides(&open).await;
        // It had none while a device outside was waited for.
        for id in open.store.catalog().descendants(id) {
            self.show(&open, id).await;
        }
        Ok(true)
    }

    pub(super) async fn set_parent_device(self: Rc<Self>, params: SetParent) -> Result<bool, RpcError> {
        let (open, id) = self.lvol(&params.lvol_name)?;
        // A volume that was just made may be looked into.
        self.host.registry.wait_for_examine().await;
        // Requests have to keep to other limits from then on, so its device is made anew, and those of its clones.
        let family = open.store.catalog().descendants(id);
        let device = |id: &BlobId| self.host.registry.find(&open.device(*id)?);
        if let Some(used) = family.iter().copied().find(|id| device(id).is_some_and(|bdev| bdev.open_count() > 0)) {
            return Err(refused(Blob::InUse(used)));
        }
        let outside = self.hold_outside(&open, &params.parent_name).await?;
        for id in &family {
            self.hide(&open, *id).await?;
        }
        let set = open.store.set_parent_device(id, outside.device.uuid()).await;
        drop(outside);
        self.release_outsides(&open).await;
        for id in &family {
            self.show(&open, *id).await;
        }
        set.map_err(refused).map(|()| true)
    }
}
