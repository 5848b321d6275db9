//! What a back end's methods work with, and what they all do the same way: register, find their own, delete.
//!
//! Errors are SPDK's, number and text; what helps a person stands beside them.

use crate::ear::Ear;
use doorbell_bdev::{
    Access, Bdev, Claim, ClaimKind, Examiner, Handle, Module, NewBdev, OpenFailed, RegisterError, Registry, UnregisterError,
};
use doorbell_block::BlockDevice;
use doorbell_control::{ConfigCall, Methods, Params, RpcError, Uuid, When};
use doorbell_mem::Regions;
use doorbell_reactor::{Local, oneshot};
use doorbell_sys::helper::Helpers;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Weak};

/// What the process offers to its back ends. Clones are the same; it stays on the control plane's reactor.
#[derive(Clone)]
pub struct Host {
    /// Where devices are registered.
    pub registry: Registry,
    /// Where memory for devices comes from.
    pub regions: Regions,
    /// Threads for what blocks.
    pub helpers: Helpers,
    /// The control plane's reactor.
    pub local: Local,
    /// Random bytes, for UUIDs.
    pub entropy: fn() -> [u8; 16],
}

/// What a back end brings.
pub struct Brings<'a> {
    /// Its methods go here.
    pub methods: &'a mut Methods,
    /// Whoever wants to see each new device goes here.
    pub examiners: &'a mut Vec<Rc<dyn Examiner>>,
    /// Who has more to save than single devices, or something to let go, goes here.
    pub modules: &'a mut Vec<Rc<dyn Module>>,
}

doorbell_control::params! {
    /// Names a device.
    struct ByName {
        /// Name of the device.
        name: String,
    }
}

impl Brings<'_> {
    /// Adds the method that deletes a module's devices.
    pub(crate) fn delete(&mut self, host: &Host, module: &'static str, method: &'static str, doc: &'static str) {
        let host = host.clone();
        let run = move |params: ByName| {
            let host = host.clone();
            async move { host.delete(&params.name, module).await }
        };
        self.methods.add(method, When::Runtime, doc, run);
    }

    /// Adds the method that has a module's device look at its size again.
    pub(crate) fn rescan<T: Send + Sync + 'static>(
        &mut self,
        host: &Host,
        known: Known<T>,
        look: fn(&T) -> io::Result<bool>,
        [module, method, doc]: [&'static str; 3],
    ) {
        let host = host.clone();
        let run = move |params: ByName| {
            let (host, known) = (host.clone(), known.clone());
            async move {
                let bdev = host.own(&params.name, module)?;
                let device = known.get(bdev.name()).ok_or_else(RpcError::no_device)?;
                if host.blocking(move |_| look(&device)).await?? {
                    host.resized(bdev.name()).await;
                }
                Ok(true)
            }
        };
        self.methods.add(method, When::Runtime, doc, run);
    }
}

/// A device that something is built on.
pub(crate) struct Held {
    pub(crate) handle: Arc<Handle>,
    pub(crate) claim: Claim,
    pub(crate) ear: Ear,
}

/// What a back end says of a new device.
pub(crate) struct Fresh<'a> {
    pub(crate) name: &'a str,
    pub(crate) uuid: Uuid,
    pub(crate) product: &'static str,
    pub(crate) module: &'static str,
    pub(crate) driver_specific: serde_json::Value,
    /// The method that makes it.
    pub(crate) method: &'static str,
}

impl Host {
    /// The UUID that was given, or a random one.
    pub(crate) fn uuid(&self, given: Option<Uuid>) -> Uuid {
        given.filter(|uuid| !uuid.is_nil()).unwrap_or_else(|| Uuid::from_random((self.entropy)()))
    }

    /// Refuses a name that is taken, before anything is done for its sake.
    pub(crate) fn check_free(&self, name: &str) -> Result<(), RpcError> {
        match self.registry.find(name) {
            Some(_) => Err(exists(name)),
            None => Ok(()),
        }
    }

    /// Registers a device that `params` would make again.
    pub(crate) fn register(&self, fresh: Fresh<'_>, device: Arc<dyn BlockDevice>, params: &impl Params) -> Result<(), RpcError> {
        let Fresh { name, uuid, product, module, driver_specific, method } = fresh;
        let bdev = NewBdev {
            name: name.to_owned(),
            aliases: Vec::new(),
            uuid,
            product,
            module,
            device,
            driver_specific: Box::new(move || driver_specific.clone()),
            created_by: Some(ConfigCall::new(method, params)),
        };
        match self.registry.register(bdev) {
            Ok(_) => Ok(()),
            Err(RegisterError::Exists(taken)) => Err(exists(&taken)),
        }
    }

    /// Registers a device that its module will look for by its own type.
    pub(crate) fn register_known<T: BlockDevice + 'static>(
        &self,
        known: &Known<T>,
        fresh: Fresh<'_>,
        device: T,
        params: &impl Params,
    ) -> Result<(), RpcError> {
        let (name, device) = (fresh.name, Arc::new(device));
        self.register(fresh, device.clone(), params)?;
        known.add(name, &device);
        Ok(())
    }

    /// Opens a device; what becomes of it is heard.
    pub(crate) fn open(&self, name: &str, access: Access) -> Result<(Arc<Handle>, Ear), RpcError> {
        let (ear, tell) = Ear::new();
        let handle = self.registry.open(name, access, tell).map_err(|error| match error {
            OpenFailed::NotFound(_) => RpcError::no_device().because(error),
            OpenFailed::Leaving(_) => RpcError::busy().because(error),
            OpenFailed::Claimed { .. } => RpcError::not_permitted().because(error),
        })?;
        Ok((handle, ear))
    }

    /// The same, and claims it for a module.
    pub(crate) fn hold(&self, name: &str, access: Access, kind: ClaimKind, module: &str) -> Result<Held, RpcError> {
        let (handle, ear) = self.open(name, access)?;
        let claim = handle.claim(kind, module).map_err(|error| RpcError::not_permitted().because(error))?;
        Ok(Held { handle, claim, ear })
    }

    /// A device of this module's.
    pub(crate) fn own(&self, name: &str, module: &str) -> Result<Arc<Bdev>, RpcError> {
        let found =
            self.registry.find(name).ok_or_else(|| RpcError::no_device().because(format!("there is no block device named {name}")))?;
        if found.module() != module {
            let what = format!("block device {name} is one of {}, not of {module}", found.module());
            return Err(RpcError::no_device().because(what));
        }
        Ok(found)
    }

    /// Takes a device of this module's away, once nobody has it open.
    pub(crate) async fn delete(&self, name: &str, module: &str) -> Result<bool, RpcError> {
        let bdev = self.own(name, module)?;
        match self.registry.unregister(bdev.name()).await {
            Ok(()) => Ok(true),
            Err(error @ UnregisterError::NotFound(_)) => Err(RpcError::no_device().because(error)),
            Err(error @ UnregisterError::Leaving(_)) => Err(RpcError::busy().because(error)),
        }
    }

    /// Tells everyone that a device has another size.
    pub(crate) async fn resized(&self, name: &str) {
        let (registry, name) = (self.registry.clone(), name.to_owned());
        self.local.with(move |cx| registry.resized(cx, &name)).await;
    }

    /// Has a helper thread do what may block.
    pub(crate) async fn blocking<R: Send + 'static>(&self, work: impl FnOnce(&Helpers) -> R + Send + 'static) -> Result<R, RpcError> {
        let (tx, rx) = oneshot();
        let helpers = self.helpers.clone();
        let sent = self.helpers.call(Box::new(move || tx.send(work(&helpers))));
        if sent.is_err() {
            return Err(RpcError::busy().because("too much waits for the file system already"));
        }
        rx.await.map_err(|gone| RpcError::internal("Internal error").because(gone))
    }
}

pub(crate) fn exists(name: &str) -> RpcError {
    RpcError::exists().because(format!("a block device named {name} exists already"))
}

/// A module's devices by their own type, which the registry does not know.
pub(crate) struct Known<T>(Rc<RefCell<Named<T>>>);

type Named<T> = Vec<(String, Weak<T>)>;

impl<T> Clone for Known<T> {
    fn clone(&self) -> Self {
        Known(self.0.clone())
    }
}

impl<T> Known<T> {
    pub(crate) fn new() -> Self {
        Known(Rc::default())
    }

    pub(crate) fn add(&self, name: &str, device: &Arc<T>) {
        let mut all = self.0.borrow_mut();
        all.retain(|(_, device)| device.strong_count() > 0);
        all.push((name.to_owned(), Arc::downgrade(device)));
    }

    /// By the name under which it was registered.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<T>> {
        self.0.borrow().iter().rev().find(|(known, _)| known == name).and_then(|(_, device)| device.upgrade())
    }
}
