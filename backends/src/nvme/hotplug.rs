//! Drives that are put in: NVMe functions that appear with vfio-pci, or with a driver of uio's, are attached.
//!
//! The kernel tells when a function comes, goes, or changes its driver; besides, all are looked at now and then, because a container hears
//! nothing. What was detached, or was lost, stays so until its function was seen to leave its driver. What cannot be attached is tried
//! again, ever more seldom.
//!
//! What it is not: it binds nothing. That a drive which is pulled out is let go is its controller's own doing, with hotplug or without.

mod failures;

use super::Drives;
use super::attach::attach_for;
use super::bell::{Bell, Stopping};
use super::drive::Origin;
use super::params::{Attach, SetHotplug};
use doorbell_control::{ConfigCall, Given, Params, RpcError};
use doorbell_nvme::within;
use doorbell_pci::sysfs::Sysfs;
use doorbell_pci::{PciAddress, PciError, Uevent, Uevents};
use doorbell_reactor::{AsyncFd, Local, Receiver, oneshot};
use doorbell_sys::epoll::Interest;
use failures::{Failures, Say};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::os::fd::AsFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// Between two looks, in microseconds: unless told otherwise, and at least and at most.
const PERIOD_US: u64 = 1_000_000;
const PERIODS_US: (u64, u64) = (10_000, 10_000_000);

/// What is known of drives that come and go.
#[derive(Default)]
pub(super) struct Hotplug {
    set: RefCell<Option<SetHotplug>>,
    task: RefCell<Option<Rc<Task>>>,
    /// Functions that are not attached again before they have left their driver.
    left: RefCell<BTreeSet<PciAddress>>,
    next: Cell<u32>,
}

struct Task {
    bell: Bell,
    period_us: Cell<u64>,
    stopping: Stopping,
    /// Comes when the task has ended.
    ended: RefCell<Option<Receiver<()>>>,
}

/// `bdev_nvme_set_hotplug`.
pub(super) async fn set(drives: &Drives, params: SetHotplug) -> Result<bool, RpcError> {
    let hotplug = &drives.0.hotplug;
    let enable = params.enable;
    let period_us = params.period_us.filter(|us| *us > 0).unwrap_or(PERIOD_US).clamp(PERIODS_US.0, PERIODS_US.1);
    *hotplug.set.borrow_mut() = Some(params);
    if !enable {
        stop(drives).await;
        return Ok(true);
    }
    if let Some(task) = &*hotplug.task.borrow() {
        task.period_us.set(period_us);
        task.bell.ring();
        return Ok(true);
    }
    let (ended, receiver) = oneshot();
    let task = Rc::new(Task {
        bell: Bell::default(),
        period_us: Cell::new(period_us),
        stopping: Stopping::default(),
        ended: RefCell::new(Some(receiver)),
    });
    *hotplug.task.borrow_mut() = Some(task.clone());
    let all = drives.clone();
    drives.0.host.local.spawn(async move {
        task.follow(&all).await;
        ended.send(());
    });
    Ok(true)
}

/// Looks no more. What was attached stays. What was let go is forgotten: who looks again later may find another drive there.
pub(super) async fn stop(drives: &Drives) {
    let Some(task) = drives.0.hotplug.task.take() else { return };
    drives.0.hotplug.left.borrow_mut().clear();
    task.stopping.say();
    task.bell.ring();
    let ended = task.ended.take();
    if let Some(ended) = ended {
        let _ = ended.await;
    }
}

impl Hotplug {
    /// The call that would set it again.
    pub(super) fn call(&self) -> Option<ConfigCall> {
        self.set.borrow().as_ref().map(|params| ConfigCall::new("bdev_nvme_set_hotplug", params))
    }

    /// A function was let go: it is not attached again just so.
    pub(super) fn leave(&self, address: Option<PciAddress>) {
        if let (Some(address), true) = (address, self.task.borrow().is_some()) {
            self.left.borrow_mut().insert(address);
        }
    }
}

/// What the kernel's notices told.
#[derive(Default)]
struct About {
    /// Functions that left, or changed their driver.
    changed: BTreeSet<PciAddress>,
    /// Some were lost: it may have been any.
    any: bool,
}

/// The kernel's notices, and their socket as it is waited for.
struct Notices {
    events: Uevents,
    socket: AsyncFd,
}

impl Notices {
    async fn open(local: &Local) -> Result<Notices, PciError> {
        let failed = |error| PciError::system("uevents", "wait for the kernel's notices", error);
        let events = Uevents::open()?;
        let socket = events.as_fd().try_clone_to_owned().map_err(failed)?;
        let socket = local.watch(socket, Interest::READ).await.map_err(failed)?;
        Ok(Notices { events, socket })
    }

    /// What has come since the last call.
    fn take(&mut self) -> About {
        let mut about = About::default();
        loop {
            match self.events.take() {
                Ok(Some(Uevent::Removed(address) | Uevent::Unbound(address) | Uevent::Added(address) | Uevent::Bound(address))) => {
                    about.changed.insert(address);
                }
                Ok(Some(Uevent::Lost)) => about.any = true,
                Ok(None) => return about,
                Err(error) => {
                    tracing::warn!(%error, "the kernel's notices cannot be read");
                    return about;
                }
            }
        }
    }
}

impl Task {
    async fn follow(&self, drives: &Drives) {
        let local = &drives.0.host.local;
        let mut notices = match Notices::open(local).await {
            Ok(notices) => Some(notices),
            Err(error) => {
                tracing::warn!(%error, "the kernel does not tell of drives that come: they are looked for from time to time");
                None
            }
        };
        let mut failures = Failures::default();
        while !self.stopping.is_said() {
            let about = notices.as_mut().map(Notices::take).unwrap_or_default();
            // Too much for the helper threads just now: next time.
            if let Ok(found) = drives.0.host.blocking(|_| nvme_functions()).await {
                let is_new = |address: &PciAddress| !found.contains(address) || about.changed.contains(address);
                // An operator's word stands though a notice was lost: to try in vain costs nothing, to take a drive back might.
                drives.0.hotplug.left.borrow_mut().retain(|address| !is_new(address));
                failures.forget(|address| about.any || is_new(address));
                for address in found {
                    self.consider(drives, address, &mut failures).await;
                }
            }
            let told = async {
                match &notices {
                    Some(notices) => drop(notices.socket.ready().await),
                    None => std::future::pending().await,
                }
            };
            if !self.stopping.is_said() {
                within(local, self.period_us.get() * 1000, either(told, self.bell.wait())).await;
            }
        }
    }

    /// Attaches a function that nobody has, unless that was in vain a moment ago.
    async fn consider(&self, drives: &Drives, address: PciAddress, failures: &mut Failures) {
        let local = &drives.0.host.local;
        let is_left = drives.0.hotplug.left.borrow().contains(&address);
        if self.stopping.is_said() || is_left || !failures.admits(address, local.now()) || drives.at(address).is_some() {
            return;
        }
        let name = free_name(drives);
        let attached = match params(drives, &name, address) {
            Ok(params) => attach_for(drives, params, Origin::Hotplug, self.stopping.heard()).await,
            Err(error) => Err(error),
        };
        match attached {
            Ok(bdevs) => {
                failures.forget(|other| *other == address);
                tracing::info!(%address, name, ?bdevs, "a drive was put in");
            }
            // Nothing of the drive's: the process ends.
            Err(_) if self.stopping.is_said() => {}
            Err(error) => match failures.note(address, local.now()) {
                Say::First => tracing::warn!(%address, %error, "a drive that was put in could not be attached; trying on"),
                Say::Seldom => tracing::error!(%address, %error, "a drive that was put in cannot be attached; tried again each minute"),
                Say::Nothing => {}
            },
        }
    }
}

fn nvme_functions() -> BTreeSet<PciAddress> {
    Sysfs::new().taken().into_iter().filter(|device| device.is_nvme()).map(|device| device.address).collect()
}

/// SPDK's names, counted on as there.
fn free_name(drives: &Drives) -> String {
    loop {
        let n = drives.0.hotplug.next.get();
        drives.0.hotplug.next.set(n.wrapping_add(1));
        let name = format!("HotInNvme{n}");
        if drives.find(&name).is_none() {
            return name;
        }
    }
}

fn params(drives: &Drives, name: &str, address: PciAddress) -> Result<Attach, RpcError> {
    let physical = drives.0.hotplug.set.borrow().as_ref().and_then(|set| set.allow_physical);
    let mut all = json!({ "name": name, "trtype": "PCIe", "traddr": address.to_string() });
    if let (Some(map), Some(physical)) = (all.as_object_mut(), physical) {
        map.insert("allow_physical".to_owned(), Value::Bool(physical));
    }
    Given::object(all).and_then(Attach::from_given).map_err(RpcError::invalid_params)
}

/// Until one of them is ready.
async fn either(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|c| {
        let ready = a.as_mut().poll(c).is_ready() || b.as_mut().poll(c).is_ready();
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
