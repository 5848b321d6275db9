//! Devices outside of a store that volumes of it are clones of: held while they are needed, and waited for while they are not there.

use super::MODULE;
use super::refusal::refused;
use super::stores::{Open, Stores};
use crate::host::Held;
use doorbell_bdev::{Access, Claim, ClaimKind, Handle};
use doorbell_control::{RpcError, Uuid};
use doorbell_wire_blob::BlobId;
use std::rc::Rc;
use std::sync::{Arc, Weak};

/// Such a device. Nobody may write it.
pub(super) struct Outside {
    handle: Arc<Handle>,
    _claim: Claim,
    /// Who is about to make a clone of it, or to show one.
    users: u32,
}

/// It is not let go while this is there.
pub(super) struct Used {
    open: Rc<Open>,
    pub(super) device: Arc<Handle>,
}

impl Drop for Used {
    fn drop(&mut self) {
        if let Some(outside) = self.open.outsides.borrow_mut().get_mut(&self.device.uuid()) {
            outside.users -= 1;
        }
    }
}

impl Stores {
    /// Opens a device that volumes are to be clones of, keeps everybody from writing it, and attaches it to the store.
    pub(super) async fn hold_outside(&self, open: &Rc<Open>, name: &str) -> Result<Used, RpcError> {
        let found = self.host.registry.find(name);
        let bdev = found.ok_or_else(|| RpcError::no_device().because(format!("there is no block device named {name}")))?;
        let uuid = bdev.uuid();
        if uuid.is_nil() {
            return Err(RpcError::invalid_argument().because(format!("block device {name} has no UUID, by which it would be found again")));
        }
        if Arc::ptr_eq(open.base.bdev(), &bdev) || open.store.catalog().of_uuid(uuid).is_some() {
            return Err(RpcError::invalid_argument().because(format!("block device {name} is part of the store itself")));
        }
        let is_new = !open.outsides.borrow().contains_key(&uuid);
        if is_new {
            let Held { handle, claim, ear } = self.host.hold(bdev.name(), Access::Read, ClaimKind::ReadManyWriteNone, MODULE)?;
            let (watched, which) = (Rc::downgrade(open), Arc::downgrade(&handle));
            open.outsides.borrow_mut().insert(uuid, Outside { handle, _claim: claim, users: 0 });
            self.later(
                async move || ear.removed().await,
                async move |stores| {
                    if let Some(open) = watched.upgrade() {
                        stores.lose(&open, uuid, &which).await;
                    }
                },
            );
        }
        let device = match open.outsides.borrow_mut().get_mut(&uuid) {
            Some(outside) => {
                outside.users += 1;
                outside.handle.clone()
            }
            None => return Err(RpcError::no_device()),
        };
        let used = Used { open: open.clone(), device };
        open.store.attach_device(uuid, used.device.clone()).await.map_err(refused)?;
        Ok(used)
    }

    /// Lets go the devices outside that no volume is a clone of any more.
    pub(super) async fn release_outsides(&self, open: &Rc<Open>) {
        if open.outsides.borrow().is_empty() {
            return;
        }
        let needed = open.store.catalog().all().iter().filter_map(|lvol| lvol.outside()).collect::<Vec<Uuid>>();
        let is_free = |(uuid, outside): (&Uuid, &Outside)| (outside.users == 0 && !needed.contains(uuid)).then_some(*uuid);
        let free: Vec<Uuid> = open.outsides.borrow().iter().filter_map(is_free).collect();
        for uuid in free {
            self.let_go(open, uuid).await;
        }
    }

    async fn let_go(&self, open: &Rc<Open>, uuid: Uuid) {
        // Whoever wants it from now on opens it anew, and attaches it after this.
        let gone = open.outsides.borrow_mut().remove(&uuid);
        if let Err(error) = open.store.detach_device(uuid).await {
            tracing::error!(store = open.store.catalog().name(), parent = %uuid, %error, "a device outside is held still");
        }
        drop(gone);
    }

    /// A device outside goes: what shows something of it is degraded from then on.
    async fn lose(&self, open: &Rc<Open>, uuid: Uuid, which: &Weak<Handle>) {
        let is_held = open.outsides.borrow().get(&uuid).is_some_and(|outside| Arc::as_ptr(&outside.handle) == which.as_ptr());
        if !is_held {
            return; // it was let go
        }
        let catalog = open.store.catalog();
        let all: Vec<BlobId> = catalog.all().iter().map(|lvol| lvol.id).filter(|id| catalog.outside(*id) == Some(uuid)).collect();
        for id in all {
            if let Err(error) = self.hide(open, id).await {
                tracing::debug!(%error, "somebody takes it away already");
            }
            tracing::warn!(store = catalog.name(), volume = %id, parent = %uuid, "degraded: what it is a clone of goes");
            open.waiting.borrow_mut().entry(uuid).or_default().insert(id);
        }
        self.let_go(open, uuid).await;
    }

    /// A device has come: volumes that waited for it get theirs.
    pub(super) async fn heal(&self, uuid: Uuid) {
        for open in self.all() {
            let waited = open.waiting.borrow_mut().remove(&uuid).unwrap_or_default();
            for id in waited {
                self.show(&open, id).await;
            }
        }
    }
}
