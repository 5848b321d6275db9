//! The stores that are loaded, and the devices of their volumes.

use super::MODULE;
use super::describe::{device_name, of_device, uuid};
use super::params::{Create, CreateStore, Rename, Resize};
use super::refusal::{not_claimed, not_opened, refused, refused_inside};
use crate::ear::Ear;
use crate::host::{Host, exists};
use doorbell_bdev::{Access, Bdev, Claim, ClaimKind, Event, Examiner, Handle, Module, NewBdev};
use doorbell_control::{ConfigCall, LocalFuture, RpcError, Uuid};
use doorbell_lvol::{Lvol, LvolStore, NewLvol, NewStore, holds_store};
use doorbell_reactor::Local;
use doorbell_wire_blob::BlobId;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// Bytes of a cluster when nobody says.
const CLUSTER_BYTES: u32 = 4 << 20;
/// What a page of metadata may have.
const MD_PAGE_BYTES: std::ops::RangeInclusive<u32> = 4096..=65536;

/// A store that is loaded.
pub(super) struct Open {
    pub(super) store: LvolStore,
    /// The device that it is on.
    pub(super) base: Arc<Handle>,
    _claim: Claim,
    /// Devices of volumes, by their names.
    devices: RefCell<BTreeMap<BlobId, String>>,
    /// Devices outside that volumes are clones of, held for as long as the store is: nobody may write them.
    pub(super) outsides: RefCell<BTreeMap<Uuid, (Arc<Handle>, Claim)>>,
}

impl Open {
    pub(super) fn has_device(&self, id: BlobId) -> bool {
        self.devices.borrow().contains_key(&id)
    }

    /// What its device is called, where it has one.
    pub(super) fn device(&self, id: BlobId) -> Option<String> {
        self.devices.borrow().get(&id).cloned()
    }

    fn alias(&self, name: &str) -> String {
        format!("{}/{name}", self.store.catalog().name())
    }

    pub(super) fn is(&self, other: &Rc<Open>) -> bool {
        std::ptr::eq(self, Rc::as_ptr(other))
    }
}

/// All of them.
pub(super) struct Stores {
    pub(super) host: Host,
    open: RefCell<Vec<Rc<Open>>>,
    pub(super) me: Weak<Stores>,
    /// Names of stores that are being made.
    making: RefCell<Vec<String>>,
}

impl Stores {
    pub(super) fn new(host: &Host) -> Rc<Stores> {
        Rc::new_cyclic(|me| Stores { host: host.clone(), open: RefCell::default(), me: me.clone(), making: RefCell::default() })
    }

    pub(super) fn all(&self) -> Vec<Rc<Open>> {
        self.open.borrow().clone()
    }

    pub(super) fn new_uuid(&self) -> Uuid {
        self.host.uuid(None)
    }

    /// The store of a UUID or a name, of which just one is given.
    pub(super) fn store(&self, by_uuid: &Option<String>, by_name: &Option<String>) -> Result<Rc<Open>, RpcError> {
        let is_it = |open: &&Rc<Open>| match (by_uuid, by_name) {
            (Some(text), _) => uuid(text) == Some(open.store.catalog().uuid()),
            (_, Some(name)) => open.store.catalog().name() == *name,
            _ => false,
        };
        let Some(wanted) = by_uuid.as_ref().xor(by_name.as_ref()) else {
            return Err(RpcError::invalid_argument().because("give the store's UUID or its name, and not both"));
        };
        let found = self.open.borrow().iter().find(is_it).cloned();
        found.ok_or_else(|| RpcError::no_device().because(format!("there is no volume store {wanted}")))
    }

    /// The volume of a name: its device's, its UUID, or `store/volume`. It need not have a device.
    pub(super) fn lvol(&self, name: &str) -> Result<(Rc<Open>, BlobId), RpcError> {
        let by_uuid = uuid(name);
        for open in self.open.borrow().iter() {
            let catalog = open.store.catalog();
            let inside = name.strip_prefix(catalog.name().as_str()).and_then(|rest| rest.strip_prefix('/'));
            let device = || open.devices.borrow().iter().find(|(_, device)| *device == name).map(|(id, _)| *id);
            let found = inside.and_then(|name| catalog.named(name)).or_else(|| by_uuid.and_then(|uuid| catalog.of_uuid(uuid)));
            if let Some(id) = found.or_else(device) {
                return Ok((open.clone(), id));
            }
        }
        Err(RpcError::no_device().because(format!("there is no volume {name}: give its UUID, or its store's name, a slash, and its own")))
    }

    /// Opens and claims the device of a store.
    fn hold(&self, name: &str) -> Result<(Arc<Handle>, Claim, Ear), RpcError> {
        let ear = Ear::default();
        let told = ear.clone();
        let base = self.host.registry.open(name, Access::Write, Box::new(move |event| told.hear(event))).map_err(not_opened)?;
        let claim = base.claim(ClaimKind::ExclusiveWrite, MODULE).map_err(not_claimed)?;
        Ok((base, claim, ear))
    }

    /// Takes a store in, with its volumes.
    async fn take(self: &Rc<Self>, store: LvolStore, (base, claim, ear): (Arc<Handle>, Claim, Ear)) -> Rc<Open> {
        let open = Rc::new(Open { store, base, _claim: claim, devices: RefCell::default(), outsides: RefCell::default() });
        self.open.borrow_mut().push(open.clone());
        for lvol in open.store.catalog().all() {
            self.show(&open, lvol.id).await;
        }
        let (stores, watched) = (self.clone(), Rc::downgrade(&open));
        self.host.local.spawn(async move {
            // What it has grown by is taken when that is asked for.
            while ear.next().await == Event::Resized {}
            if let Some(open) = watched.upgrade() {
                stores.close(&open).await;
            }
        });
        open
    }

    /// Gives a volume its device, where all that it needs is there.
    pub(super) async fn show(&self, open: &Rc<Open>, id: BlobId) {
        let Some(lvol) = open.store.catalog().get(id) else { return };
        // One that is being closed or destroyed gets none any more.
        let is_ours = self.open.borrow().iter().any(|known| known.is(open));
        if !is_ours || open.has_device(id) || !self.find_outside(open, id).await {
            return;
        }
        let name = device_name(open.store.catalog(), &lvol);
        if let Err(error) = self.register(open, &lvol, &name).await {
            tracing::error!(store = open.store.catalog().name(), volume = lvol.name, %error, "it has no block device");
        }
    }

    async fn register(&self, open: &Rc<Open>, lvol: &Lvol, name: &str) -> Result<(), RpcError> {
        let volume = open.store.volume(lvol.id).await.map_err(refused)?;
        let (catalog, base, id, told) = (open.store.catalog().clone(), open.base.name().to_owned(), lvol.id, volume.clone());
        let bdev = NewBdev {
            name: name.to_owned(),
            aliases: vec![open.alias(&lvol.name)],
            uuid: lvol.uuid,
            product: "Logical Volume",
            module: MODULE,
            device: Arc::new(volume),
            driver_specific: Box::new(move || of_device(&catalog, &base, id, &told)),
            created_by: None, // it is on the disk
        };
        self.host.registry.register(bdev).map_err(|doorbell_bdev::RegisterError::Exists(taken)| exists(&taken))?;
        open.devices.borrow_mut().insert(id, name.to_owned());
        Ok(())
    }

    /// Takes a volume's device away, once nobody has it open.
    pub(super) async fn hide(&self, open: &Open, id: BlobId) {
        let Some(name) = open.device(id) else { return };
        if let Err(error) = self.host.registry.unregister(&name).await {
            tracing::debug!(%error, "a volume's device is going already");
        }
        open.devices.borrow_mut().remove(&id);
    }

    async fn hide_all(&self, open: &Open) {
        let ids: Vec<BlobId> = open.devices.borrow().keys().copied().collect();
        for id in ids {
            self.hide(open, id).await;
        }
    }

    fn forget(&self, open: &Rc<Open>) -> bool {
        let before = self.open.borrow().len();
        self.open.borrow_mut().retain(|known| !known.is(open));
        self.open.borrow().len() < before
    }

    /// Closes a store: its device goes, or the process ends.
    async fn close(&self, open: &Rc<Open>) {
        if !self.forget(open) {
            return;
        }
        self.hide_all(open).await;
        if let Err(error) = open.store.unload().await {
            tracing::warn!(store = open.store.catalog().name(), %error, "not closed: it is brought in order when it is loaded again");
        }
    }

    /// Refuses a store's name that another has, or is about to have.
    fn check_name(&self, name: &str) -> Result<(), RpcError> {
        let is_taken = self.open.borrow().iter().any(|open| open.store.catalog().name() == name);
        if is_taken || self.making.borrow().iter().any(|other| other == name) {
            return Err(RpcError::new(RpcError::INVALID_PARAMS, "File exists").because(format!("a volume store {name} exists already")));
        }
        Ok(())
    }

    pub(super) async fn create_store(self: Rc<Self>, params: CreateStore) -> Result<String, RpcError> {
        let md_page_bytes = params.md_page_size.unwrap_or(0);
        if md_page_bytes != 0 && !(md_page_bytes.is_power_of_two() && MD_PAGE_BYTES.contains(&md_page_bytes)) {
            return Err(RpcError::invalid_argument().because("md_page_size: a power of two from 4096 to 65536, or 0"));
        }
        self.check_name(&params.lvs_name)?;
        let held = self.hold(&params.bdev_name)?;
        let new = NewStore {
            name: params.lvs_name,
            uuid: self.new_uuid(),
            cluster_bytes: params.cluster_sz.filter(|bytes| *bytes != 0).unwrap_or(CLUSTER_BYTES),
            pages_per_100_clusters: params.num_md_pages_per_cluster_ratio.filter(|ratio| *ratio != 0),
            md_page_bytes,
            clear: params.clear_method.into(),
        };
        self.making.borrow_mut().push(new.name.clone());
        let made = LvolStore::make(&self.host.local, held.0.clone(), &new).await;
        self.making.borrow_mut().retain(|name| *name != new.name);
        let store = made.map_err(refused)?;
        tracing::info!(store = new.name, device = params.bdev_name, "made a volume store");
        self.take(store, held).await;
        Ok(new.uuid.to_string())
    }

    pub(super) async fn delete_store(&self, open: Rc<Open>) -> Result<bool, RpcError> {
        if !self.forget(&open) {
            return Err(RpcError::no_device());
        }
        self.hide_all(&open).await;
        let destroyed = open.store.destroy().await;
        if destroyed.is_err() {
            self.open.borrow_mut().push(open.clone());
            for lvol in open.store.catalog().all() {
                self.show(&open, lvol.id).await;
            }
        }
        destroyed.map_err(refused).map(|()| true)
    }

    pub(super) async fn rename_store(self: Rc<Self>, params: Rename) -> Result<bool, RpcError> {
        let not_there = || RpcError::new(-2, format!("Lvol store {} not found", params.old_name));
        let open = self.store(&None, &Some(params.old_name.clone())).map_err(|_| not_there())?;
        if params.old_name == params.new_name {
            return Ok(true);
        }
        self.check_name(&params.new_name)?;
        let lvols = open.store.catalog().all();
        let before: Vec<String> = lvols.iter().map(|lvol| open.alias(&lvol.name)).collect();
        open.store.rename_store(&params.new_name).await.map_err(refused)?;
        for (lvol, old) in lvols.iter().zip(before) {
            self.call_by(&open, lvol.id, &old, &open.alias(&lvol.name));
        }
        Ok(true)
    }

    /// A volume's device is called by another `store/volume`.
    fn call_by(&self, open: &Open, id: BlobId, old: &str, new: &str) {
        let Some(device) = open.device(id) else { return };
        if let Err(error) = self.host.registry.replace_alias(&device, old, new) {
            tracing::error!(%error, device, "it keeps its former name until it is loaded again");
        }
    }

    pub(super) async fn grow_store(&self, open: Rc<Open>) -> Result<bool, RpcError> {
        open.store.grow().await.map_err(refused)?;
        Ok(true)
    }

    pub(super) async fn create(self: Rc<Self>, params: Create) -> Result<String, RpcError> {
        let bytes = params.size_in_mib.or_bytes(params.size)?;
        let open = self.store(&params.uuid, &params.lvs_name)?;
        let uuid = self.new_uuid();
        let new = NewLvol { name: params.lvol_name, uuid, bytes, thin: params.thin_provision, clear: params.clear_method.into() };
        let id = open.store.create(&new).await.map_err(refused)?;
        self.show(&open, id).await;
        Ok(uuid.to_string())
    }

    pub(super) async fn delete(self: Rc<Self>, name: &str) -> Result<bool, RpcError> {
        let (open, id) = self.lvol(name)?;
        let clones = open.store.catalog().clones(id).len();
        if clones > 1 {
            return Err(refused_inside(doorbell_blobstore::Error::Clones { id, clones }));
        }
        self.hide(&open, id).await;
        let deleted = open.store.delete(id).await;
        if deleted.is_err() {
            self.show(&open, id).await;
        }
        deleted.map_err(refused_inside).map(|()| true)
    }

    pub(super) async fn rename(self: Rc<Self>, params: Rename) -> Result<bool, RpcError> {
        let (open, id) = self.lvol(&params.old_name)?;
        let before = open.store.catalog().get(id).ok_or_else(RpcError::no_device)?;
        if before.name == params.new_name {
            return Ok(true);
        }
        open.store.rename(id, &params.new_name).await.map_err(refused)?;
        self.call_by(&open, id, &open.alias(&before.name), &open.alias(&params.new_name));
        Ok(true)
    }

    pub(super) async fn resize(self: Rc<Self>, params: Resize) -> Result<bool, RpcError> {
        let bytes = params.size_in_mib.or_bytes(params.size)?;
        let (open, id) = self.lvol(&params.name)?;
        open.store.resize(id, bytes).await.map_err(refused)?;
        self.changed(&open, id).await;
        Ok(true)
    }

    /// What a volume's device says of itself is different now.
    async fn changed(&self, open: &Open, id: BlobId) {
        if let Some(device) = open.device(id) {
            self.host.resized(&device).await;
        }
    }

    pub(super) async fn set_read_only(self: Rc<Self>, name: &str) -> Result<bool, RpcError> {
        let (open, id) = self.lvol(name)?;
        open.store.set_read_only(id).await.map_err(refused)?;
        self.changed(&open, id).await;
        Ok(true)
    }

    /// Loads the store on a device that has come, if there is one.
    async fn look(self: Rc<Self>, bdev: Arc<Bdev>) {
        let name = bdev.name().to_owned();
        let is_held = self.open.borrow().iter().any(|open| Arc::ptr_eq(open.base.bdev(), &bdev));
        if is_held || bdev.claimed_by().is_some() {
            return;
        }
        let Ok(peek) = self.host.registry.open(&name, Access::Read, Box::new(|_| {})) else { return };
        match holds_store(&self.host.local, peek).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::debug!(device = name, %error, "it cannot be seen whether it holds volumes"),
        }
        if let Err(error) = self.load(&name).await {
            tracing::error!(device = name, %error, "it holds a volume store, which is not loaded");
        }
    }

    async fn load(self: &Rc<Self>, name: &str) -> Result<(), RpcError> {
        let held = self.hold(name)?;
        let store = LvolStore::load(&self.host.local, held.0.clone()).await.map_err(refused)?;
        let known = self.open.borrow().iter().map(|open| open.store.catalog().clone()).collect::<Vec<_>>();
        let new = store.catalog();
        if known.iter().any(|other| other.name() == new.name() || other.uuid() == new.uuid()) {
            let error =
                RpcError::exists().because(format!("a volume store named {} with UUID {} is loaded already", new.name(), new.uuid()));
            // It is left as it was: closed, or brought in order.
            return store.unload().await.map_err(refused).and(Err(error));
        }
        tracing::info!(store = new.name(), device = name, volumes = new.all().len(), "loaded a volume store");
        self.take(store, held).await;
        Ok(())
    }
}

impl Examiner for Stores {
    fn name(&self) -> &'static str {
        MODULE
    }

    fn examine(&self, _local: Local, bdev: Arc<Bdev>) -> Pin<Box<dyn Future<Output = ()>>> {
        let stores = self.me.upgrade();
        Box::pin(async move {
            let Some(stores) = stores else { return };
            stores.clone().look(bdev.clone()).await;
            stores.heal(bdev.uuid()).await;
        })
    }
}

impl Module for Stores {
    fn save(&self) -> Vec<ConfigCall> {
        Vec::new() // stores are on disks
    }

    fn stop(self: Rc<Self>) -> LocalFuture<()> {
        Box::pin(async move {
            // The last loaded first: it may be on a volume of another.
            while let Some(last) = self.all().pop() {
                self.close(&last).await;
            }
        })
    }
}
