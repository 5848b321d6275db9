//! An attached controller with its paths and its block devices, which are kept as its namespaces are.

use super::params::{Attach, Detach, Multipath};
use super::way::{trid, trtype};
use super::{Drives, MODULE, describe};
use crate::host::Host;
use doorbell_bdev::NewBdev;
use doorbell_block::{BlockDevice, Op, Status, WriteCache};
use doorbell_control::ConfigCall;
use doorbell_nvme::{Change, Controller, Namespace, PathId, State, within};
use doorbell_pci::PciAddress;
use doorbell_reactor::AsyncQueue;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, PoisonError};

/// Block devices of a controller at most, unless told otherwise.
const BDEVS: u32 = 128;

/// Whose doing it is that a controller is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A call's, which is saved.
    Call,
    /// A discovery service's.
    Discovery,
    /// Nobody's: the drive was put in.
    Hotplug,
}

/// A block device of a controller.
struct Made {
    nsid: u32,
    name: String,
    namespace: Arc<Namespace>,
    /// What overviews show of it, from any thread.
    shown: Arc<Mutex<Value>>,
}

/// An attached controller.
pub(super) struct Drive {
    params: Attach,
    origin: Origin,
    paths: RefCell<Vec<(PathId, Attach)>>,
    controller: Controller,
    bdevs: RefCell<Vec<Made>>,
    /// What its controller told and was not followed yet, and whether somebody is at it.
    changes: RefCell<VecDeque<Change>>,
    is_following: Cell<bool>,
}

impl Drive {
    pub(super) fn new(params: Attach, origin: Origin, controller: Controller) -> Rc<Drive> {
        let paths = RefCell::new(vec![(PathId::FIRST, params.clone())]);
        Rc::new(Drive {
            params,
            origin,
            paths,
            controller,
            bdevs: RefCell::default(),
            changes: RefCell::default(),
            is_following: Cell::new(false),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.params.name
    }

    /// Where it is in the machine, if it is a function of it.
    pub(super) fn address(&self) -> Option<PciAddress> {
        if trtype(&self.params.trtype) == "PCIe" { self.params.traddr.parse().ok() } else { None }
    }

    pub(super) fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Its number within its subsystem.
    pub(super) fn cntlid(&self) -> u16 {
        self.controller.identity().map_or(0, |id| id.raw.cntlid.get())
    }

    pub(super) fn has_bdev(&self, name: &str) -> bool {
        self.bdevs.borrow().iter().any(|b| b.name == name)
    }

    /// The namespace of a block device.
    pub(super) fn nsid_of(&self, bdev: &str) -> Option<u32> {
        self.bdevs.borrow().iter().find(|b| b.name == bdev).map(|b| b.nsid)
    }

    /// Names of its block devices.
    pub(super) fn bdevs(&self) -> Vec<String> {
        self.bdevs.borrow().iter().map(|b| b.name.clone()).collect()
    }

    /// Where it is now.
    pub(super) fn trid(&self) -> Value {
        let used = self.controller.path();
        self.paths.borrow().iter().find(|(id, _)| *id == used).map_or_else(|| trid(&self.params), |(_, params)| trid(params))
    }

    /// Where else it is to be found.
    pub(super) fn alternates(&self) -> Vec<Value> {
        let used = self.controller.path();
        self.paths.borrow().iter().filter(|(id, _)| *id != used).map(|(_, params)| trid(params)).collect()
    }

    /// Paths that what was given fits, and how many there are.
    pub(super) fn paths_of(&self, asked: &Detach) -> (Vec<PathId>, usize) {
        let paths = self.paths.borrow();
        (paths.iter().filter(|(_, has)| fits(asked, has)).map(|(id, _)| *id).collect(), paths.len())
    }

    pub(super) fn note_path(&self, id: PathId, params: Attach) {
        self.paths.borrow_mut().push((id, params));
    }

    pub(super) fn forget_path(&self, path: PathId) {
        self.paths.borrow_mut().retain(|(id, _)| *id != path);
        self.refresh();
    }

    pub(super) fn host_nqn(&self) -> &str {
        self.params.hostnqn.as_deref().unwrap_or("")
    }

    /// Lets it go at the end of the process: what it was given is made durable, then it is shut down. Whoever has it open finds it gone.
    pub(super) async fn stop(&self, host: &Host) {
        self.controller.watch(Box::new(|_| ()));
        for namespace in self.controller.namespaces() {
            let through = namespace.info().write_cache == WriteCache::WriteThrough;
            // One that is being sought takes no flush: what it had not written it has lost, or keeps.
            if through || namespace.described().usable.is_err() || self.controller.state() != State::Live {
                continue;
            }
            let flush = async {
                match AsyncQueue::open(&host.local, namespace.clone(), 1).await {
                    Ok(queue) => queue.control(Op::Flush, 0, 0).await,
                    Err(_) => Status::Gone,
                }
            };
            let status = self.unless_disabled(host, &mut pin!(flush)).await.unwrap_or(Status::Aborted);
            if !matches!(status, Status::Ok | Status::Gone) {
                tracing::error!(name = describe::bdev_name(self.name(), &namespace), %status, "not flushed");
            }
        }
        self.controller.clone().detach().await;
    }

    /// The end of `work`, unless the controller is had to stand still meanwhile: what goes through it would then not end.
    async fn unless_disabled<T>(&self, host: &Host, work: &mut Pin<&mut impl Future<Output = T>>) -> Option<T> {
        const LOOK_NS: u64 = 100_000_000;
        loop {
            if let Some(done) = within(&host.local, LOOK_NS, work.as_mut()).await {
                return Some(done);
            }
            if self.controller.state() == State::Disabled {
                return None;
            }
        }
    }

    /// The calls that would attach it again by all its paths.
    pub(super) fn calls(&self) -> Vec<ConfigCall> {
        if self.origin != Origin::Call {
            return Vec::new();
        }
        let paths = self.paths.borrow();
        let all = paths.iter().enumerate().map(|(n, (_, path))| match n {
            // What holds for the controller holds still when the path that it came by has gone.
            0 => Attach { multipath: self.params.multipath, ..with_options(path, &self.params) },
            _ => Attach { multipath: Some(Multipath::Failover), ..path.clone() },
        });
        all.map(|params| ConfigCall::new("bdev_nvme_attach_controller", &params)).collect()
    }

    /// Overviews show it as it is now.
    fn refresh(&self) {
        for made in &*self.bdevs.borrow() {
            let shown = describe::driver_specific(&self.trid(), &self.controller, &made.namespace);
            *made.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown;
        }
    }
}

/// A path with what was asked of the controller when it was attached.
fn with_options(path: &Attach, options: &Attach) -> Attach {
    Attach {
        num_io_queues: options.num_io_queues,
        ctrlr_loss_timeout_sec: options.ctrlr_loss_timeout_sec,
        reconnect_delay_sec: options.reconnect_delay_sec,
        fast_io_fail_timeout_sec: options.fast_io_fail_timeout_sec,
        max_bdevs: options.max_bdevs,
        use_cmb_sqs: options.use_cmb_sqs,
        ..path.clone()
    }
}

/// Is it a path that this asks for? What is not given may be anything.
fn fits(asked: &Detach, has: &Attach) -> bool {
    let same = |asked: &Option<String>, has: Option<&str>| asked.as_deref().is_none_or(|asked| Some(asked) == has);
    asked.trtype.as_deref().is_none_or(|t| trtype(t) == trtype(&has.trtype))
        && same(&asked.traddr, Some(&has.traddr))
        && same(&asked.adrfam, has.adrfam.as_deref())
        && same(&asked.trsvcid, has.trsvcid.as_deref())
        && same(&asked.subnqn, has.subnqn.as_deref())
        && same(&asked.hostaddr, has.hostaddr.as_deref())
        && same(&asked.hostsvcid, has.hostsvcid.as_deref())
}

/// Keeps the block devices as the controller's namespaces are; gives the names of those that there are.
pub(super) fn follow(drives: &Drives, drive: &Rc<Drive>) -> Vec<String> {
    let (all, weak): (Drives, Weak<Drive>) = (drives.clone(), Rc::downgrade(drive));
    drive.controller.watch(Box::new(move |change| {
        let Some(drive) = weak.upgrade() else { return };
        match change {
            Change::Back => drive.refresh(),
            // Its subsystem is no discovery service.
            Change::Log => {}
            Change::Ended => {
                all.0.hotplug.leave(drive.address());
                all.0.drives.borrow_mut().retain(|d| !Rc::ptr_eq(d, &drive));
            }
            of_namespaces => drive.put_in_order(&all.0.host, of_namespaces),
        }
    }));
    drive.controller.namespaces().iter().filter_map(|namespace| register(&drives.0.host, drive, namespace)).collect()
}

impl Drive {
    /// Changes are followed one after the other: a namespace that takes another's place is registered once that one has left.
    fn put_in_order(self: &Rc<Self>, host: &Host, change: Change) {
        self.changes.borrow_mut().push_back(change);
        if self.is_following.replace(true) {
            return;
        }
        let (drive, host) = (self.clone(), host.clone());
        host.local.clone().spawn(async move {
            loop {
                let next = drive.changes.borrow_mut().pop_front();
                match next {
                    Some(Change::Arrived(namespace)) if !namespace.is_gone() => drop(register(&host, &drive, &namespace)),
                    Some(Change::Left(namespace)) => unregister(&host, take_name(&drive, namespace.nsid())).await,
                    Some(Change::Resized(namespace)) => host.resized(&describe::bdev_name(drive.name(), &namespace)).await,
                    Some(_) => {}
                    None => break,
                }
            }
            drive.is_following.set(false);
        });
    }
}

fn take_name(drive: &Drive, nsid: u32) -> Option<String> {
    let mut bdevs = drive.bdevs.borrow_mut();
    let at = bdevs.iter().position(|b| b.nsid == nsid)?;
    Some(bdevs.swap_remove(at).name)
}

async fn unregister(host: &Host, name: Option<String>) {
    if let Some(name) = name
        && let Err(error) = host.registry.unregister(&name).await
    {
        tracing::debug!(name, %error, "not unregistered");
    }
}

fn register(host: &Host, drive: &Rc<Drive>, namespace: &Arc<Namespace>) -> Option<String> {
    let name = describe::bdev_name(drive.name(), namespace);
    let most = drive.params.max_bdevs.unwrap_or(BDEVS) as usize;
    if drive.bdevs.borrow().len() >= most {
        tracing::warn!(name, most, "a namespace is no block device: max_bdevs allows no more");
        return None;
    }
    if let Err(why) = &namespace.described().usable {
        tracing::warn!(name, why, "a namespace is no block device");
        return None;
    }
    let shown = Arc::new(Mutex::new(describe::driver_specific(&drive.trid(), &drive.controller, namespace)));
    let told = shown.clone();
    let bdev = NewBdev {
        name: name.clone(),
        aliases: Vec::new(),
        uuid: host.uuid(describe::uuid(namespace)),
        product: "NVMe disk",
        module: MODULE,
        device: namespace.clone(),
        driver_specific: Box::new(move || told.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        created_by: None,
    };
    match host.registry.register(bdev) {
        Ok(_) => {
            drive.bdevs.borrow_mut().push(Made { nsid: namespace.nsid(), name: name.clone(), namespace: namespace.clone(), shown });
            Some(name)
        }
        Err(error) => {
            tracing::error!(name, %error, "a namespace could not be registered");
            None
        }
    }
}

/// Lets a controller go, its block devices first.
pub(super) async fn let_go(drives: &Drives, drive: &Rc<Drive>) {
    drives.0.hotplug.leave(drive.address());
    drives.0.drives.borrow_mut().retain(|d| !Rc::ptr_eq(d, drive));
    let made = std::mem::take(&mut *drive.bdevs.borrow_mut());
    let host = &drives.0.host;
    // Openers let go first, so that what they had sent is done.
    let left = async {
        for Made { name, .. } in made {
            unregister(host, Some(name)).await;
        }
    };
    let mut left = pin!(left);
    let mut has_left = drive.controller.state() != State::Disabled;
    if has_left {
        has_left = drive.unless_disabled(host, &mut left).await.is_some();
    }
    // What openers sent to one that stands still is never done: it goes first.
    drive.controller.clone().detach().await;
    if !has_left {
        left.await;
    }
}
