//! The methods that make, change and destroy stores and volumes.

use super::params::{Create, CreateStore, Named, OneStore, Rename, Resize};
use super::refusal::{refused, refused_inside};
use super::stores::{Open, Stores};
use doorbell_blobstore::Error as Blob;
use doorbell_control::RpcError;
use doorbell_lvol::{LvolStore, NewLvol, NewStore};
use doorbell_wire_blob::BlobId;
use std::rc::Rc;

/// Bytes of a cluster when nobody says.
const CLUSTER_BYTES: u32 = 4 << 20;
/// What a page of metadata may have.
const MD_PAGE_BYTES: std::ops::RangeInclusive<u32> = 4096..=65536;

impl Stores {
    pub(super) async fn create_store(self: Rc<Self>, params: CreateStore) -> Result<String, RpcError> {
        let md_page_bytes = params.md_page_size.unwrap_or(0);
        if md_page_bytes != 0 && !(md_page_bytes.is_power_of_two() && MD_PAGE_BYTES.contains(&md_page_bytes)) {
            return Err(RpcError::invalid_argument().because("md_page_size: a power of two from 4096 to 65536, or 0"));
        }
        let _name = self.reserve(&params.lvs_name)?;
        let held = self.hold(&params.bdev_name)?;
        let new = NewStore {
            name: params.lvs_name,
            uuid: self.host.uuid(None),
            cluster_bytes: params.cluster_sz.filter(|bytes| *bytes != 0).unwrap_or(CLUSTER_BYTES),
            pages_per_100_clusters: params.num_md_pages_per_cluster_ratio.filter(|ratio| *ratio != 0),
            md_page_bytes,
            clear: params.clear_method.into(),
        };
        let store = LvolStore::make(&self.host.local, held.handle.clone(), &new).await.map_err(refused)?;
        tracing::info!(store = new.name, device = params.bdev_name, "made a volume store");
        self.take(store, held).await;
        Ok(new.uuid.to_string())
    }

    pub(super) async fn delete_store(self: Rc<Self>, params: OneStore) -> Result<bool, RpcError> {
        let open = self.one(&params)?;
        if !self.withdraw(&open).await {
            return Err(RpcError::no_device());
        }
        let destroyed = open.store.destroy().await;
        if destroyed.is_err() {
            self.restore(&open).await;
        }
        destroyed.map_err(refused).map(|()| true)
    }

    pub(super) async fn rename_store(self: Rc<Self>, params: Rename) -> Result<bool, RpcError> {
        let not_there = |_| RpcError::new(-2, format!("Lvol store {} not found", params.old_name));
        let open = self.store(None, Some(&params.old_name)).map_err(not_there)?;
        if params.old_name == params.new_name {
            return Ok(true);
        }
        let _name = self.reserve(&params.new_name)?;
        open.store.rename_store(&params.new_name).await.map_err(refused)?;
        for lvol in open.store.catalog().all() {
            self.renamed(&open, lvol.id);
        }
        Ok(true)
    }

    pub(super) async fn grow_store(self: Rc<Self>, params: OneStore) -> Result<bool, RpcError> {
        self.one(&params)?.store.grow().await.map_err(refused)?;
        Ok(true)
    }

    fn one(&self, params: &OneStore) -> Result<Rc<Open>, RpcError> {
        self.store(params.uuid.as_deref(), params.lvs_name.as_deref())
    }

    pub(super) async fn create(self: Rc<Self>, params: Create) -> Result<String, RpcError> {
        let bytes = params.size_in_mib.or_bytes(params.size)?;
        let open = self.store(params.uuid.as_deref(), params.lvs_name.as_deref())?;
        let uuid = self.host.uuid(None);
        let new = NewLvol { name: params.lvol_name, uuid, bytes, thin: params.thin_provision, clear: params.clear_method.into() };
        let id = open.store.create(&new).await.map_err(refused)?;
        self.show(&open, id).await;
        Ok(uuid.to_string())
    }

    pub(super) async fn delete(self: Rc<Self>, params: Named) -> Result<bool, RpcError> {
        let (open, id) = self.lvol(&params.name)?;
        let clones = open.store.catalog().clones(id).len();
        if clones > 1 {
            return Err(refused_inside(Blob::Clones { id, clones }));
        }
        self.hide(&open, id).await?;
        let deleted = open.store.delete(id).await;
        match &deleted {
            Ok(()) => self.release_outsides(&open).await,
            Err(_) => self.show(&open, id).await,
        }
        deleted.map_err(refused_inside).map(|()| true)
    }

    pub(super) async fn rename(self: Rc<Self>, params: Rename) -> Result<bool, RpcError> {
        let (open, id) = self.lvol(&params.old_name)?;
        open.store.rename(id, &params.new_name).await.map_err(refused)?;
        self.renamed(&open, id);
        Ok(true)
    }

    /// A volume's device is called by another `store/volume`.
    fn renamed(&self, open: &Open, id: BlobId) {
        let (Some(device), Some(lvol)) = (open.device(id), open.store.catalog().get(id)) else { return };
        if let Err(error) = self.host.registry.set_aliases(&device, &[open.alias(&lvol.name)]) {
            tracing::error!(%error, device, "it keeps its former name until it is loaded again");
        }
    }

    pub(super) async fn resize(self: Rc<Self>, params: Resize) -> Result<bool, RpcError> {
        let bytes = params.size_in_mib.or_bytes(params.size)?;
        let (open, id) = self.lvol(&params.name)?;
        open.store.resize(id, bytes).await.map_err(refused)?;
        self.changed(&open, id).await;
        Ok(true)
    }

    pub(super) async fn set_read_only(self: Rc<Self>, params: Named) -> Result<bool, RpcError> {
        let (open, id) = self.lvol(&params.name)?;
        open.store.set_read_only(id).await.map_err(refused)?;
        self.changed(&open, id).await;
        Ok(true)
    }

    /// What a volume's device says of itself is different now.
    async fn changed(&self, open: &Open, id: BlobId) {
        if let Some(device) = open.device(id) {
            self.host.resized(&device).await;
        }
    }
}
