//! The stores that are loaded, and the devices of their volumes: found, shown, hidden, closed.

use super::MODULE;
use super::copy::Copies;
use super::describe::{device_name, of_device, uuid};
use super::outside::Outside;
use super::refusal::refused;
use crate::host::{Held, Host, exists};
use doorbell_bdev::{Access, Bdev, Claim, ClaimKind, Examiner, Handle, Module, NewBdev, RegisterError};
use doorbell_control::{ConfigCall, LocalFuture, RpcError, Uuid};
use doorbell_lvol::{Lvol, LvolStore, holds_store};
use doorbell_reactor::Local;
use doorbell_wire_blob::BlobId;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// A store that is loaded.
pub(super) struct Open {
    pub(super) store: LvolStore,
    /// The device that it is on.
    pub(super) base: Arc<Handle>,
    _claim: Claim,
    /// Devices of volumes, by their names.
    devices: RefCell<BTreeMap<BlobId, String>>,
    /// Devices outside that volumes are clones of.
    pub(super) outsides: RefCell<BTreeMap<Uuid, Outside>>,
    /// Volumes without a device, by the device outside that they wait for.
    pub(super) waiting: RefCell<BTreeMap<Uuid, BTreeSet<BlobId>>>,
}

impl Open {
    pub(super) fn has_device(&self, id: BlobId) -> bool {
        self.devices.borrow().contains_key(&id)
    }

    /// What its device is called, where it has one.
    pub(super) fn device(&self, id: BlobId) -> Option<String> {
        self.devices.borrow().get(&id).cloned()
    }

    pub(super) fn alias(&self, name: &str) -> String {
        format!("{}/{name}", self.store.catalog().name())
    }

    pub(super) fn is(&self, other: &Rc<Open>) -> bool {
        std::ptr::eq(self, Rc::as_ptr(other))
    }
}

/// All of them.
pub(super) struct Stores {
    pub(super) host: Host,
    me: Weak<Stores>,
    open: RefCell<Vec<Rc<Open>>>,
    /// Names that stores are about to get.
    reserved: RefCell<BTreeSet<String>>,
    pub(super) copies: Copies,
}

/// A store's name that is kept until this is dropped.
pub(super) struct Reserved<'a> {
    stores: &'a Stores,
    name: String,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.stores.reserved.borrow_mut().remove(&self.name);
    }
}

impl Stores {
    pub(super) fn new(host: &Host) -> Rc<Stores> {
        Rc::new_cyclic(|me| Stores {
            host: host.clone(),
            me: me.clone(),
            open: RefCell::default(),
            reserved: RefCell::default(),
            copies: Copies::default(),
        })
    }

    /// Has a task of this reactor do something with all that is here, once that is to be done.
    pub(super) fn later(&self, work: impl AsyncFnOnce() + 'static, then: impl AsyncFnOnce(Rc<Stores>) + 'static) {
        let stores = self.me.clone();
        self.host.local.spawn(async move {
            work().await;
            if let Some(stores) = stores.upgrade() {
                then(stores).await;
            }
        });
    }

    pub(super) fn all(&self) -> Vec<Rc<Open>> {
        self.open.borrow().clone()
    }

    /// The store of a UUID or a name, of which just one is given.
    pub(super) fn store(&self, by_uuid: Option<&str>, by_name: Option<&str>) -> Result<Rc<Open>, RpcError> {
        let Some(wanted) = by_uuid.xor(by_name) else {
            return Err(RpcError::invalid_argument().because("give the store's UUID or its name, and not both"));
        };
        let is_it = |open: &&Rc<Open>| match by_uuid {
            Some(text) => uuid(text) == Some(open.store.catalog().uuid()),
            None => open.store.catalog().name() == wanted,
        };
        let found = self.open.borrow().iter().find(is_it).cloned();
        found.ok_or_else(|| RpcError::no_device().because(format!("there is no volume store {wanted}")))
    }

    /// Keeps a name for a store, if no other has it.
    pub(super) fn reserve(&self, name: &str) -> Result<Reserved<'_>, RpcError> {
        let is_taken = self.open.borrow().iter().any(|open| open.store.catalog().name() == name);
        if is_taken || !self.reserved.borrow_mut().insert(name.to_owned()) {
            return Err(RpcError::new(RpcError::INVALID_PARAMS, "File exists").because(format!("a volume store {name} exists already")));
        }
        Ok(Reserved { stores: self, name: name.to_owned() })
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
    pub(super) fn hold(&self, name: &str) -> Result<Held, RpcError> {
        self.host.hold(name, Access::Write, ClaimKind::ExclusiveWrite, MODULE)
    }

    /// Takes a store in, with its volumes.
    pub(super) async fn take(&self, store: LvolStore, Held { handle, claim, ear }: Held) {
        let open = Rc::new(Open {
            store,
            base: handle,
            _claim: claim,
            devices: RefCell::default(),
            outsides: RefCell::default(),
            waiting: RefCell::default(),
        });
        self.open.borrow_mut().push(open.clone());
        for lvol in open.store.catalog().all() {
            self.show(&open, lvol.id).await;
        }
        let watched = Rc::downgrade(&open);
        // What its device has grown by is taken when that is asked for.
        self.later(
            async move || ear.removed().await,
            async move |stores| {
                if let Some(open) = watched.upgrade() {
                    stores.close(&open).await;
                }
            },
        );
    }

    /// Gives a volume its device, where all that it needs is there.
    pub(super) async fn show(&self, open: &Rc<Open>, id: BlobId) {
        let catalog = open.store.catalog();
        let Some(lvol) = catalog.get(id) else { return };
        // One that is being closed or destroyed gets none any more.
        if open.has_device(id) || !self.open.borrow().iter().any(|known| known.is(open)) {
            return;
        }
        let _outside = match catalog.outside(id) {
            None => None,
            Some(uuid) => match self.hold_outside(open, &uuid.to_string()).await {
                Ok(held) => Some(held),
                Err(error) => {
                    tracing::warn!(store = catalog.name(), volume = lvol.name, parent = %uuid, %error, "degraded: what it is a clone of is not there");
                    open.waiting.borrow_mut().entry(uuid).or_default().insert(id);
                    return;
                }
            },
        };
        if let Err(error) = self.register(open, &lvol).await {
            tracing::error!(store = catalog.name(), volume = lvol.name, %error, "it has no block device");
        }
    }

    async fn register(&self, open: &Rc<Open>, lvol: &Lvol) -> Result<(), RpcError> {
        let volume = open.store.volume(lvol.id).await.map_err(refused)?;
        let (catalog, base, id, told) = (open.store.catalog().clone(), open.base.name().to_owned(), lvol.id, volume.clone());
        let name = device_name(&catalog, lvol);
        let bdev = NewBdev {
            name: name.clone(),
            aliases: vec![open.alias(&lvol.name)],
            uuid: lvol.uuid,
            product: "Logical Volume",
            module: MODULE,
            device: Arc::new(volume),
            driver_specific: Box::new(move || of_device(&catalog, &base, id, &told)),
            created_by: None, // it is on the disk
        };
        self.host.registry.register(bdev).map_err(|RegisterError::Exists(taken)| exists(&taken))?;
        open.devices.borrow_mut().insert(id, name);
        Ok(())
    }

    /// Takes a volume's device away, once nobody has it open.
    pub(super) async fn hide(&self, open: &Open, id: BlobId) -> Result<(), RpcError> {
        let Some(name) = open.device(id) else { return Ok(()) };
        self.host.registry.unregister(&name).await.map_err(|error| RpcError::busy().because(error))?;
        open.devices.borrow_mut().remove(&id);
        Ok(())
    }

    async fn hide_all(&self, open: &Open) {
        let ids: Vec<BlobId> = open.devices.borrow().keys().copied().collect();
        for id in ids {
            if let Err(error) = self.hide(open, id).await {
                tracing::debug!(%error, "somebody takes it away already");
            }
        }
    }

    /// Takes a store out of the list, and its volumes' devices away; false when somebody did that before.
    pub(super) async fn withdraw(&self, open: &Rc<Open>) -> bool {
        let before = self.open.borrow().len();
        self.open.borrow_mut().retain(|known| !known.is(open));
        if self.open.borrow().len() == before {
            return false;
        }
        self.hide_all(open).await;
        true
    }

    /// The opposite.
    pub(super) async fn restore(&self, open: &Rc<Open>) {
        self.open.borrow_mut().push(open.clone());
        for lvol in open.store.catalog().all() {
            self.show(open, lvol.id).await;
        }
    }

    /// Closes a store: its device goes, or the process ends.
    async fn close(&self, open: &Rc<Open>) {
        if !self.withdraw(open).await {
            return;
        }
        if let Err(error) = open.store.unload().await {
            tracing::warn!(store = open.store.catalog().name(), %error, "not closed: it is brought in order when it is loaded again");
        }
    }

    /// Loads the store on a device that has come, if there is one.
    async fn look(&self, bdev: &Bdev) {
        let name = bdev.name();
        if bdev.claimed_by().is_some() {
            return; // a store of ours, too
        }
        let Ok((peek, ear)) = self.host.open(name, Access::Read) else { return };
        let holds = holds_store(&self.host.local, peek).await;
        ear.removed().await; // it is closed: nobody finds it in use
        match holds {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::debug!(device = name, %error, "it cannot be seen whether it holds volumes"),
        }
        if let Err(error) = self.load(name).await {
            tracing::error!(device = name, %error, "it holds a volume store, which is not loaded");
        }
    }

    async fn load(&self, name: &str) -> Result<(), RpcError> {
        let held = self.hold(name)?;
        let store = LvolStore::load(&self.host.local, held.handle.clone()).await.map_err(refused)?;
        let new = store.catalog().clone();
        let is_known = self.open.borrow().iter().any(|open| open.store.catalog().uuid() == new.uuid());
        let reserved = match is_known {
            true => Err(RpcError::exists().because(format!("a volume store with UUID {} is loaded already", new.uuid()))),
            false => self.reserve(&new.name()),
        };
        if let Err(error) = reserved {
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
            stores.look(&bdev).await;
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
