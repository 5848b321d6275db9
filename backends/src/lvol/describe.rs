//! Stores and volumes, as clients see them.

use super::params::{OfStore, OneStore};
use super::stores::{Open, Stores};
use doorbell_blobstore::{BlobInfo, Parent, Volume};
use doorbell_control::{RpcError, Uuid};
use doorbell_lvol::{Catalog, Lvol};
use doorbell_wire_blob::BlobId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A volume's part of its device's description.
pub(super) fn of_device(catalog: &Catalog, base: &str, id: BlobId, volume: &Volume) -> Value {
    let Some(lvol) = catalog.get(id) else { return json!({}) };
    let mut told = json!({
        "lvol_store_uuid": catalog.uuid().to_string(),
        "base_bdev": base,
        "thin_provision": lvol.thin,
        "num_allocated_clusters": volume.allocated_clusters(),
        "snapshot": lvol.read_only,
        "clone": matches!(lvol.parent, Parent::Snapshot(_)),
        "esnap_clone": matches!(lvol.parent, Parent::External(_)),
    });
    if let Parent::Snapshot(parent) = lvol.parent
        && let Some(parent) = catalog.get(parent)
    {
        told["base_snapshot"] = parent.name.into();
    }
    if lvol.read_only {
        let clones: Vec<String> = catalog.clones(id).into_iter().filter_map(|id| catalog.get(id)).map(|clone| clone.name).collect();
        if !clones.is_empty() {
            told["clones"] = clones.into();
        }
    }
    if let Some(outside) = lvol.outside() {
        told["external_snapshot_name"] = outside.to_string().into();
    }
    // Other than SPDK's part: what tells it from all volumes of its store for as long as it is there.
    json!({ "lvol": told, "doorbell": { "blob": format!("{:#x}", id.to_raw()) } })
}

/// What a volume's device is called.
pub(super) fn device_name(catalog: &Catalog, lvol: &Lvol) -> String {
    match lvol.uuid.is_nil() {
        false => lvol.uuid.to_string(),
        true => format!("{}_{}", catalog.uuid(), lvol.id.to_raw()),
    }
}

async fn store(open: &Open) -> Value {
    let (lvs, usage) = (&open.store, open.store.usage().await);
    let mut told = json!({
        "uuid": lvs.catalog().uuid().to_string(),
        "name": lvs.catalog().name(),
        "base_bdev": open.base.name(),
        "total_data_clusters": usage.clusters,
        "free_clusters": usage.free_clusters,
        "block_size": lvs.block_bytes(),
        "cluster_size": lvs.cluster_bytes(),
        "max_growable_size": lvs.max_bytes(),
        "total_md_pages": usage.pages,
        "free_md_pages": usage.free_pages,
    });
    if let Some(why) = lvs.blobstore().stopped().await {
        told["read_only_because"] = why.into();
    }
    told
}

fn lvol(open: &Open, lvol: &Lvol, blob: Option<&BlobInfo>) -> Value {
    let catalog = open.store.catalog();
    json!({
        "alias": format!("{}/{}", catalog.name(), lvol.name),
        "uuid": device_name(catalog, lvol),
        "name": lvol.name,
        "is_thin_provisioned": lvol.thin,
        "is_snapshot": lvol.read_only,
        "is_clone": matches!(lvol.parent, Parent::Snapshot(_)),
        "is_esnap_clone": matches!(lvol.parent, Parent::External(_)),
        "is_degraded": !open.has_device(lvol.id),
        "num_allocated_clusters": blob.map_or(0, |blob| blob.allocated),
        "lvs": { "name": catalog.name(), "uuid": catalog.uuid().to_string() },
    })
}

impl Stores {
    fn wanted(&self, uuid: Option<&str>, name: Option<&str>) -> Result<Vec<Rc<Open>>, RpcError> {
        match (uuid, name) {
            (None, None) => Ok(self.all()),
            _ => Ok(vec![self.store(uuid, name)?]),
        }
    }

    pub(super) async fn describe_stores(self: Rc<Self>, params: OneStore) -> Result<Vec<Value>, RpcError> {
        let mut told = Vec::new();
        for open in self.wanted(params.uuid.as_deref(), params.lvs_name.as_deref())? {
            told.push(store(&open).await);
        }
        Ok(told)
    }

    pub(super) async fn describe_lvols(self: Rc<Self>, params: OfStore) -> Result<Vec<Value>, RpcError> {
        let mut told = Vec::new();
        for open in self.wanted(params.lvs_uuid.as_deref(), params.lvs_name.as_deref())? {
            let blobs: BTreeMap<BlobId, BlobInfo> = open.store.blobstore().all().await.into_iter().map(|blob| (blob.id, blob)).collect();
            told.extend(open.store.catalog().all().iter().map(|one| lvol(&open, one, blobs.get(&one.id))));
        }
        Ok(told)
    }
}

/// A UUID that a client named; none is one that is not.
pub(super) fn uuid(text: &str) -> Option<Uuid> {
    text.parse().ok().filter(|uuid: &Uuid| !uuid.is_nil())
}
