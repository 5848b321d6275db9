//! Passthru devices over registered ones: made when both are there, gone when the base goes, made again when it returns.
//!
//! A wish is what a create call left; it lasts until the delete call. While its base is there it has a device, watched by a task that hears
//! of the base's end and size.

use super::{Create, MODULE, NAMESPACE, Passthru, derive};
use crate::ear::Ear;
use crate::host::{Fresh, Held, Host, exists};
use doorbell_bdev::{Access, Bdev, Claim, ClaimKind, Event, Examiner};
use doorbell_block::{BlockDevice, BlockQueue, Cx, DeviceInfo, OpenError, Token};
use doorbell_control::RpcError;
use doorbell_reactor::Local;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

/// All wishes.
#[derive(Clone)]
pub(super) struct Stacks {
    host: Host,
    wishes: Rc<RefCell<Vec<Create>>>,
}

/// The layer, with what keeps its base claimed.
struct Layer {
    layer: Passthru,
    _claim: Claim,
}

impl BlockDevice for Layer {
    fn info(&self) -> Arc<DeviceInfo> {
        self.layer.info()
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        self.layer.open(cx, who, depth)
    }
}

impl Stacks {
    pub(super) fn new(host: &Host) -> Stacks {
        Stacks { host: host.clone(), wishes: Rc::default() }
    }

    pub(super) fn create(&self, params: Create) -> Result<String, RpcError> {
        let name = params.name.clone();
        if self.wishes.borrow().iter().any(|wish| wish.name == name) {
            return Err(exists(&name));
        }
        self.host.check_free(&name)?;
        if self.host.registry.find(&params.base_bdev_name).is_some() {
            self.make(&params)?;
        } else {
            tracing::info!(name, base = params.base_bdev_name, "waits for its base");
        }
        self.wishes.borrow_mut().push(params);
        Ok(name)
    }

    pub(super) async fn delete(&self, name: &str) -> Result<bool, RpcError> {
        let found = self.host.registry.find(name).filter(|bdev| bdev.module() == MODULE).map(|bdev| bdev.name().to_owned());
        let name = found.as_deref().unwrap_or(name);
        let before = self.wishes.borrow().len();
        self.wishes.borrow_mut().retain(|wish| wish.name != name);
        let wished = self.wishes.borrow().len() < before;
        match found.is_none() && wished {
            true => Ok(true),
            false => self.host.delete(name, MODULE).await,
        }
    }

    /// Puts a device over a base that is there.
    fn make(&self, wish: &Create) -> Result<(), RpcError> {
        let Held { handle: base, claim, ear } = self.host.hold(&wish.base_bdev_name, Access::Write, ClaimKind::ExclusiveWrite, MODULE)?;
        let given = wish.uuid.filter(|uuid| !uuid.is_nil());
        let uuid = given.unwrap_or_else(|| derive::uuid(NAMESPACE, base.uuid()));
        let params = Create { uuid: Some(uuid), ..wish.clone() };
        let specific = serde_json::json!({ "passthru": { "name": wish.name, "base_bdev_name": base.name() }});
        let fresh = Fresh {
            name: &wish.name,
            uuid,
            product: "passthru",
            module: MODULE,
            driver_specific: specific,
            method: "bdev_passthru_create",
        };
        let device = Layer { layer: Passthru::new(base), _claim: claim };
        self.host.register(fresh, Arc::new(device), &params)?;
        self.watch(wish.name.clone(), ear);
        Ok(())
    }

    /// Follows the base for as long as the device is registered.
    fn watch(&self, name: String, ear: Ear) {
        let (host, registered) = (self.host.clone(), self.host.registry.find(&name));
        let Some(registered) = registered.map(|bdev| Arc::downgrade(&bdev)) else { return };
        self.host.local.spawn(async move {
            while ear.next().await == Event::Resized {
                host.resized(&name).await;
            }
            // Gone already, or on its way out by a call: either is what is wanted.
            if registered.strong_count() > 0 {
                let _ = host.registry.unregister(&name).await;
            }
        });
    }
}

impl Examiner for Stacks {
    fn name(&self) -> &'static str {
        MODULE
    }

    fn examine(&self, _local: Local, bdev: Arc<Bdev>) -> Pin<Box<dyn Future<Output = ()>>> {
        let names: Vec<String> = std::iter::once(bdev.name().to_owned()).chain(bdev.aliases()).chain([bdev.uuid().to_string()]).collect();
        let wished = self.wishes.borrow().iter().filter(|wish| names.contains(&wish.base_bdev_name)).cloned().collect::<Vec<_>>();
        for wish in wished.iter().filter(|wish| self.host.registry.find(&wish.name).is_none()) {
            if let Err(error) = self.make(wish) {
                tracing::error!(name = wish.name, base = wish.base_bdev_name, %error, "cannot be made now that its base is there");
            }
        }
        Box::pin(std::future::ready(()))
    }
}
