//! The registry: devices by name, who has them open, who claims them, and what happened to them. Control plane only: it locks.

mod bdev;
mod claim;
mod handle;

pub use bdev::{Bdev, DriverSpecific, NewBdev};
pub use claim::{Claim, ClaimError, ClaimKind};
pub use handle::Handle;

use bdev::Life;
use doorbell_block::Cx;
use doorbell_control::Uuid;
use doorbell_reactor::{Local, oneshot};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why a device was not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The name (or alias, or UUID) is taken.
    #[error("a block device named {0} exists already")]
    Exists(String),
}

/// Why a device was not unregistered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnregisterError {
    /// No such device.
    #[error("there is no block device named {0}")]
    NotFound(String),
    /// It is on its way out already.
    #[error("block device {0} is being removed already")]
    Leaving(String),
}

/// Why a device was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenFailed {
    /// No such device.
    #[error("there is no block device named {0}")]
    NotFound(String),
    /// It is on its way out.
    #[error("block device {0} is being removed")]
    Leaving(String),
    /// It was to be written, and someone else has claimed that.
    #[error("block device {name} is claimed by {by}")]
    Claimed {
        /// Which device.
        name: String,
        /// Who claims it.
        by: String,
    },
}

/// How a device is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read.
    Read,
    /// To read and write.
    Write,
}

/// What openers are told, from the control plane; they must not block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The device is going: drop the handle.
    Removed,
    /// Its information has changed.
    Resized,
}

/// What happened to the set of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A device has come.
    Registered(String),
    /// A device has gone.
    Unregistered(String),
    /// A device has another size.
    Resized(String),
}

/// Something that looks at each new device: for partitions, a volume store, a superblock.
pub trait Examiner {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Looks at the device.
    fn examine(&self, local: Local, bdev: Arc<Bdev>) -> Pin<Box<dyn Future<Output = ()>>>;
}

pub(crate) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Inner {
    /// In the order in which they came.
    bdevs: Vec<Arc<Bdev>>,
    /// By name and alias, and by UUID: what makes up a store's volumes may be ten thousand devices.
    names: BTreeMap<String, Arc<Bdev>>,
    uuids: BTreeMap<Uuid, Arc<Bdev>>,
    changes: VecDeque<Change>,
    follower: Option<doorbell_reactor::Sender<()>>,
    unexamined: usize,
    examined: Vec<doorbell_reactor::Sender<()>>,
    /// How many hold examination back, and who waits for them.
    held_back: usize,
    unheld: Vec<doorbell_reactor::Sender<()>>,
}

impl Inner {
    fn find(&self, name: &str) -> Option<&Arc<Bdev>> {
        self.names.get(name).or_else(|| self.uuids.get(&name.parse().ok()?))
    }
}

/// While it lives no new device is examined: whoever makes devices for a use of his own claims them first. A disk that a host wrote may hold
/// anything, also what looks like a store of volumes.
pub struct HeldBack(Registry);

impl Drop for HeldBack {
    fn drop(&mut self) {
        let waiting = {
            let mut inner = lock(&self.0.inner);
            inner.held_back -= 1;
            if inner.held_back == 0 { std::mem::take(&mut inner.unheld) } else { Vec::new() }
        };
        waiting.into_iter().for_each(|tx| tx.send(()));
    }
}

/// All block devices of a process. Clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry {
    inner: Arc<Mutex<Inner>>,
}

impl Registry {
    /// An empty one.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Takes a device in.
    pub fn register(&self, spec: NewBdev) -> Result<Arc<Bdev>, RegisterError> {
        let mut inner = lock(&self.inner);
        let names: Vec<String> = std::iter::once(&spec.name).chain(&spec.aliases).cloned().collect();
        let uuid = (!spec.uuid.is_nil()).then_some(spec.uuid);
        if let Some(taken) = names.iter().cloned().chain(uuid.map(|uuid| uuid.to_string())).find(|name| inner.find(name).is_some()) {
            return Err(RegisterError::Exists(taken));
        }
        let bdev = Bdev::new(spec);
        inner.bdevs.push(bdev.clone());
        inner.names.extend(names.into_iter().map(|name| (name, bdev.clone())));
        inner.uuids.extend(uuid.map(|uuid| (uuid, bdev.clone())));
        inner.unexamined += 1;
        Self::changed(inner, Change::Registered(bdev.name().to_owned()));
        Ok(bdev)
    }

    fn changed(mut inner: MutexGuard<'_, Inner>, change: Change) {
        inner.changes.push_back(change);
        let follower = inner.follower.take();
        drop(inner);
        if let Some(tx) = follower {
            tx.send(());
        }
    }

    /// By name, alias or UUID.
    pub fn find(&self, name: &str) -> Option<Arc<Bdev>> {
        lock(&self.inner).find(name).cloned()
    }

    /// All, in the order in which they came.
    pub fn all(&self) -> Vec<Arc<Bdev>> {
        lock(&self.inner).bdevs.clone()
    }

    /// Opens a device. `on_event` is told of what happens to it; the opener drops the handle when it is told `Removed`.
    pub fn open(&self, name: &str, access: Access, on_event: Box<dyn Fn(Event) + Send + Sync>) -> Result<Arc<Handle>, OpenFailed> {
        let bdev = self.find(name).ok_or_else(|| OpenFailed::NotFound(name.to_owned()))?;
        if access == Access::Write
            && let Some((_, by)) = bdev.claimed_by()
        {
            return Err(OpenFailed::Claimed { name: name.to_owned(), by });
        }
        let mut o = lock(&bdev.openers);
        if o.life == Life::Leaving {
            return Err(OpenFailed::Leaving(name.to_owned()));
        }
        o.count += 1;
        let handle = Handle::new(bdev.clone(), access, on_event);
        o.open.push(Arc::downgrade(&handle));
        drop(o);
        Ok(handle)
    }

    /// Tells openers that the device is going, and takes it out once the last has closed it.
    pub async fn unregister(&self, name: &str) -> Result<(), UnregisterError> {
        let bdev = self.find(name).ok_or_else(|| UnregisterError::NotFound(name.to_owned()))?;
        {
            let mut o = lock(&bdev.openers);
            if o.life == Life::Leaving {
                return Err(UnregisterError::Leaving(name.to_owned()));
            }
            o.life = Life::Leaving;
        }
        bdev.tell(Event::Removed);
        let wait = {
            let mut o = lock(&bdev.openers);
            (o.count > 0).then(|| {
                let (tx, rx) = oneshot();
                o.closed.push(tx);
                rx
            })
        };
        if let Some(rx) = wait {
            let _ = rx.await;
        }
        let mut inner = lock(&self.inner);
        inner.bdevs.retain(|b| !Arc::ptr_eq(b, &bdev));
        inner.names.remove(bdev.name());
        bdev.aliases().iter().for_each(|alias| drop(inner.names.remove(alias)));
        inner.uuids.remove(&bdev.uuid());
        Self::changed(inner, Change::Unregistered(bdev.name().to_owned()));
        Ok(())
    }

    /// The device's information has changed: queues and openers look again.
    pub fn resized(&self, cx: &mut Cx, name: &str) {
        let Some(bdev) = self.find(name) else { return };
        bdev.shared.change(0, 0);
        bdev.shared.wake_all(cx);
        bdev.tell(Event::Resized);
        Self::changed(lock(&self.inner), Change::Resized(bdev.name().to_owned()));
    }

    /// Gives a device these aliases and no others. It keeps those that it had when one of them is taken.
    pub fn set_aliases(&self, name: &str, aliases: &[String]) -> Result<(), RegisterError> {
        let mut inner = lock(&self.inner);
        let Some(bdev) = inner.find(name).cloned() else { return Ok(()) };
        let is_others = |alias: &&String| inner.find(alias).is_some_and(|found| !Arc::ptr_eq(found, &bdev));
        if let Some(taken) = aliases.iter().find(is_others) {
            return Err(RegisterError::Exists(taken.clone()));
        }
        for old in bdev.set_aliases(aliases.to_vec()) {
            inner.names.remove(&old);
        }
        inner.names.extend(aliases.iter().map(|alias| (alias.clone(), bdev.clone())));
        inner.names.insert(bdev.name().to_owned(), bdev);
        Ok(())
    }

    /// Waits for the next change. One follower at a time: whoever pushes notifications and runs examiners.
    pub async fn next_change(&self) -> Change {
        loop {
            let rx = {
                let mut inner = lock(&self.inner);
                if let Some(c) = inner.changes.pop_front() {
                    return c;
                }
                let (tx, rx) = oneshot();
                inner.follower = Some(tx);
                rx
            };
            let _ = rx.await;
        }
    }

    /// Holds back the examination of devices that come from now on.
    pub fn hold_back(&self) -> HeldBack {
        lock(&self.inner).held_back += 1;
        HeldBack(self.clone())
    }

    /// Waits in a line until that is so. Whoever makes it so wakes the line.
    async fn until(&self, is_so: fn(&Inner) -> bool, line: fn(&mut Inner) -> &mut Vec<doorbell_reactor::Sender<()>>) {
        loop {
            let rx = {
                let mut inner = lock(&self.inner);
                if is_so(&inner) {
                    return;
                }
                let (tx, rx) = oneshot();
                line(&mut inner).push(tx);
                rx
            };
            let _ = rx.await;
        }
    }

    /// Shows a device that has come to the examiners. Called once for each registration, by whoever follows the changes.
    pub async fn examine(&self, local: &Local, name: &str, examiners: &[Rc<dyn Examiner>]) {
        self.until(|inner| inner.held_back == 0, |inner| &mut inner.unheld).await;
        self.examine_again(local, name, examiners).await;
        let done = {
            let mut inner = lock(&self.inner);
            inner.unexamined = inner.unexamined.saturating_sub(1);
            if inner.unexamined == 0 { std::mem::take(&mut inner.examined) } else { Vec::new() }
        };
        done.into_iter().for_each(|tx| tx.send(()));
    }

    /// Shows a device to the examiners once more, because someone asked.
    pub async fn examine_again(&self, local: &Local, name: &str, examiners: &[Rc<dyn Examiner>]) {
        if let Some(bdev) = self.find(name) {
            for e in examiners {
                e.examine(local.clone(), bdev.clone()).await;
            }
        }
    }

    /// Waits until every device that has come was examined.
    pub async fn wait_for_examine(&self) {
        self.until(|inner| inner.unexamined == 0, |inner| &mut inner.examined).await;
    }
}

#[cfg(test)]
mod tests;
