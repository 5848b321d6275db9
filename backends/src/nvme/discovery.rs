//! Following discovery services: what their logs list is attached, what leaves them is detached.
//!
//! Each service is one task with one controller of its own, which stays connected (keep-alive) and tells when the log changes. Controllers
//! are named after the service, with a number; a subsystem that is listed at several addresses is one controller with several paths.
//!
//! What it is not: it does not go on to other discovery services that a log refers to; it lists them.

use super::Drives;
use super::attach::{attach_for, detach};
use super::bell::{Bell, Stopping};
use super::drive::{Drive, Origin};
use super::params::{Attach, Detach, Multipath, Named, StartDiscovery};
use super::way::{Way, env, trid, way};
use crate::host::Host;
use doorbell_control::{ConfigCall, Given, NoParams, Params, RpcError};
use doorbell_nvme::address::{TcpAddress, TransportId};
use doorbell_nvme::discovery::Log;
use doorbell_nvme::{Change, Controller, NvmeError, Options, within};
use doorbell_reactor::{Receiver, Sender, oneshot};
use doorbell_wire_nvme::{DISCOVERY_NQN, SubsystemType};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::Poll;

/// Between two attempts to reach a service, or what it lists.
const RETRY_NS: u64 = 1_000_000_000;
/// Entries of a log that are attached.
const ENTRIES_MAX: usize = 1024;

/// What an entry of the log became.
struct Entry {
    address: TcpAddress,
    /// The controller that it is a path of: its name, and that one, for another may have the name by now.
    name: String,
    drive: Weak<Drive>,
}

impl Entry {
    /// Is its controller there?
    fn is_there(&self, drives: &Drives) -> bool {
        drives.find(&self.name).is_some_and(|found| std::ptr::eq(Rc::as_ptr(&found), self.drive.as_ptr()))
    }
}

/// A service that is followed.
pub(super) struct Service {
    params: StartDiscovery,
    at: Attach,
    bell: Bell,
    stopping: Stopping,
    /// What it attached stays when it is stopped.
    keeps: Cell<bool>,
    /// Its own controller has gone.
    lost: Cell<bool>,
    connected: Cell<bool>,
    next: Cell<u32>,
    entries: RefCell<Vec<Entry>>,
    /// What could not be attached, was said to be so, and why.
    missing: RefCell<Vec<(TcpAddress, String)>>,
    /// It was said that the log is too long.
    said_long: Cell<bool>,
    /// Other discovery services that its log tells of.
    referrals: RefCell<Vec<Value>>,
    /// Who waits for the first log to be attached, or hears what could not be.
    first: RefCell<Vec<Sender<Result<(), String>>>>,
    /// Comes when the task has ended.
    ended: RefCell<Option<Receiver<()>>>,
}

/// `bdev_nvme_start_discovery`.
pub(super) async fn start(drives: &Drives, params: StartDiscovery) -> Result<bool, RpcError> {
    let exists = drives.0.services.borrow().iter().any(|s| s.params.name == params.name);
    if exists {
        return Err(RpcError::exists().because(format!("a discovery service named {} is followed already", params.name)));
    }
    // Wrong parameters are told at once, whether or not anybody waits.
    let at = as_attach(&params)?;
    let ((address, _), options) = (place(&drives.0.host, &at)?, options(drives, &at)?);
    let same = |s: &Service| place(&drives.0.host, &s.at).is_ok_and(|(known, _)| known == address);
    if drives.0.services.borrow().iter().any(|s| same(s)) {
        return Err(RpcError::errno(114).because("this discovery service is followed already, under another name"));
    }
    let (ended, receiver) = oneshot();
    let (first, attached) = oneshot();
    let service = Rc::new(Service {
        bell: Bell::default(),
        stopping: Stopping::default(),
        keeps: Cell::new(false),
        lost: Cell::new(false),
        connected: Cell::new(false),
        next: Cell::new(0),
        entries: RefCell::default(),
        missing: RefCell::default(),
        said_long: Cell::new(false),
        referrals: RefCell::default(),
        first: RefCell::new(vec![first]),
        ended: RefCell::new(Some(receiver)),
        params,
        at,
    });
    drives.0.services.borrow_mut().push(service.clone());
    let (all, followed) = (drives.clone(), service.clone());
    drives.0.host.local.spawn(async move {
        followed.follow(&all, options).await;
        ended.send(());
    });
    let limit_ns = service.limit_ns();
    let (errno, outcome) = match limit_ns {
        0 if service.params.wait_for_attach != Some(true) => return Ok(true),
        0 => (111, attached.await),
        _ => {
            let late = || Ok(Err("not all that it lists could be attached in attach_timeout_ms".to_owned()));
            (110, within(&drives.0.host.local, limit_ns, attached).await.unwrap_or_else(late))
        }
    };
    match outcome {
        Ok(Ok(())) => Ok(true),
        Ok(Err(why)) => {
            stop_one(drives, &service).await;
            Err(RpcError::errno(errno).because(format!("{why}; it is followed no more")))
        }
        Err(_) => Err(RpcError::errno(125).because("following it was stopped")),
    }
}

/// `bdev_nvme_stop_discovery`.
pub(super) async fn stop(drives: &Drives, params: Named) -> Result<bool, RpcError> {
    let service = drives.0.services.borrow().iter().find(|s| s.params.name == params.name).cloned();
    let Some(service) = service else {
        return Err(RpcError::no_device().because(format!("no discovery service named {} is followed", params.name)));
    };
    stop_one(drives, &service).await;
    Ok(true)
}

/// Ends a service; what it had attached goes.
async fn stop_one(drives: &Drives, service: &Rc<Service>) {
    drives.0.services.borrow_mut().retain(|s| !Rc::ptr_eq(s, service));
    service.stopping.say();
    service.bell.ring();
    let ended = service.ended.borrow_mut().take();
    if let Some(ended) = ended {
        let _ = ended.await;
    }
}

/// Ends all, at the end of the process. What they attached is let go as all controllers are.
pub(super) async fn stop_all(drives: &Drives) {
    let all = drives.0.services.borrow().clone();
    for service in all {
        service.keeps.set(true);
        stop_one(drives, &service).await;
    }
}

/// `bdev_nvme_get_discovery_info`.
pub(super) async fn info(drives: &Drives, _: NoParams) -> Result<Value, RpcError> {
    Ok(drives.0.services.borrow().iter().map(|service| service.shown()).collect())
}

/// Where the service is, as parameters of a controller: those of the call are among them, under the same names.
fn as_attach(params: &StartDiscovery) -> Result<Attach, RpcError> {
    let mut all = params.to_object();
    all.retain(|name, _| name != "wait_for_attach" && name != "attach_timeout_ms");
    all.insert("subnqn".to_owned(), DISCOVERY_NQN.into());
    Given::object(Value::Object(all)).and_then(Attach::from_given).map_err(RpcError::invalid_params)
}

fn place(host: &Host, at: &Attach) -> Result<(TcpAddress, doorbell_nvme::TcpOptions), RpcError> {
    match way(host, at)? {
        Way::Tcp(address, how) => Ok((*address, how)),
        Way::Function(_) => Err(RpcError::invalid_argument().because("discovery is over a network: trtype is TCP")),
    }
}

/// The service itself is sought for ever: it is what is followed.
fn options(drives: &Drives, at: &Attach) -> Result<Options, RpcError> {
    let options = drives.0.options.borrow().driver(at)?;
    Ok(Options { loss_timeout_ms: None, fast_fail_ms: 0, reconnect_delay_ms: options.reconnect_delay_ms.max(1), ..options })
}

impl Service {
    /// How long whoever began to follow it waits until all is attached; 0 for no limit.
    fn limit_ns(&self) -> u64 {
        self.params.attach_timeout_ms.unwrap_or(0).saturating_mul(1_000_000)
    }

    /// What comes of work that goes on by itself; `None` once the service is followed no more, and the work then undoes what it did. At the
    /// end of the process it is waited for.
    async fn unless_stopped<T>(&self, mut work: Receiver<T>) -> Option<T> {
        poll_fn(|c| {
            if let Poll::Ready(done) = Pin::new(&mut work).poll(c) {
                return Poll::Ready(done.ok());
            }
            if self.stopping.is_said() && !self.keeps.get() {
                return Poll::Ready(None);
            }
            self.bell.listen(c);
            Poll::Pending
        })
        .await
    }

    /// The call that would follow it again.
    pub(super) fn call(&self) -> ConfigCall {
        let params = StartDiscovery { wait_for_attach: None, attach_timeout_ms: None, ..self.params.clone() };
        ConfigCall::new("bdev_nvme_start_discovery", &params)
    }

    fn shown(&self) -> Value {
        let mut shown = json!({ "name": self.params.name, "referrals": *self.referrals.borrow() });
        if let (Some(map), true) = (shown.as_object_mut(), self.connected.get()) {
            map.insert("trid".to_owned(), trid(&self.at));
        }
        shown
    }

    async fn follow(self: &Rc<Self>, drives: &Drives, options: Options) {
        let mut said = false;
        while !self.stopping.is_said() {
            match self.try_connect(drives, &options).await {
                None => break,
                Some(Ok(controller)) => {
                    said = false;
                    self.attend(drives, &controller).await;
                    self.connected.set(false);
                    controller.detach().await;
                }
                Some(Err(error)) => {
                    // Once, and not once a second.
                    if !std::mem::replace(&mut said, true) {
                        tracing::warn!(name = self.params.name, %error, "a discovery service is not reached; trying on");
                    }
                    within(&drives.0.host.local, RETRY_NS, self.bell.wait()).await;
                }
            }
        }
        let entries = std::mem::take(&mut *self.entries.borrow_mut());
        for entry in entries.iter().filter(|_| !self.keeps.get()) {
            self.let_go(drives, entry).await;
        }
        self.first.borrow_mut().clear();
    }

    /// Connects; a service that does not answer holds nobody up who wants it followed no more.
    async fn try_connect(self: &Rc<Self>, drives: &Drives, options: &Options) -> Option<Result<Controller, NvmeError>> {
        let (tx, rx) = oneshot();
        let (service, all, options) = (self.clone(), drives.clone(), options.clone());
        drives.0.host.local.spawn(async move {
            match service.connect(&all, &options).await {
                Ok(controller) if service.stopping.is_said() => controller.detach().await,
                connected => tx.send(connected),
            }
        });
        self.unless_stopped(rx).await
    }

    async fn connect(self: &Rc<Self>, drives: &Drives, options: &Options) -> Result<Controller, NvmeError> {
        let host = &drives.0.host;
        let unusable = |error: RpcError| NvmeError::Unusable { controller: self.params.name.clone(), why: error.to_string() };
        let (address, how) = place(host, &self.at).map_err(unusable)?;
        let controller =
            Controller::connect_until(&env(host), &self.params.name, address, how, options.clone(), self.stopping.heard()).await?;
        self.lost.set(false);
        let weak = Rc::downgrade(self);
        controller.watch(Box::new(move |change| {
            let Some(service) = weak.upgrade() else { return };
            match change {
                // What changed while it was away was told to nobody.
                Change::Log | Change::Back => service.bell.ring(),
                Change::Ended => {
                    service.lost.set(true);
                    service.bell.ring();
                }
                Change::Arrived(_) | Change::Left(_) | Change::Resized(_) => {}
            }
        }));
        self.connected.set(true);
        Ok(controller)
    }

    /// Until the service is lost or followed no more.
    async fn attend(self: &Rc<Self>, drives: &Drives, controller: &Controller) {
        while !self.lost.get() && !self.stopping.is_said() {
            match controller.discovery_log().await {
                Ok(log) => {
                    self.apply(drives, &log).await;
                    // What is listed may be reached later than its service.
                    let all = self.missing.borrow().is_empty();
                    if all || self.limit_ns() == 0 {
                        let outcome = self.first_missing().map_or(Ok(()), Err);
                        std::mem::take(&mut *self.first.borrow_mut()).into_iter().for_each(|first| first.send(outcome.clone()));
                    }
                    match all {
                        true => self.bell.wait().await,
                        false => drop(within(&drives.0.host.local, RETRY_NS, self.bell.wait()).await),
                    }
                }
                Err(error) => {
                    tracing::warn!(name = self.params.name, %error, "a discovery log could not be read; trying on");
                    within(&drives.0.host.local, RETRY_NS, self.bell.wait()).await;
                }
            }
        }
    }

    /// What could not be attached, in words.
    fn first_missing(&self) -> Option<String> {
        let missing = self.missing.borrow();
        let (address, why) = missing.first()?;
        Some(format!("{} of what it lists could not be attached, the first of them {address}: {why}", missing.len()))
    }

    /// What is attached becomes what the log lists.
    async fn apply(self: &Rc<Self>, drives: &Drives, log: &Log) {
        let others = log.found.iter().filter(|found| found.is_discovery()).filter_map(|found| found.id.as_ref());
        *self.referrals.borrow_mut() = others.map(|id| json!({ "trid": listed(id) })).collect();
        let (mut now, mut seen): (Vec<TcpAddress>, HashSet<&TcpAddress>) = Default::default();
        for found in log.found.iter().filter(|found| found.kind == SubsystemType::NVM) {
            match &found.id {
                // What is attached and listed stays, however far down the list.
                Some(TransportId::Tcp(address)) if seen.insert(address) && now.len() < ENTRIES_MAX => now.push(address.clone()),
                Some(TransportId::Tcp(_)) if now.len() >= ENTRIES_MAX => {
                    if !self.said_long.replace(true) {
                        tracing::warn!(name = self.params.name, most = ENTRIES_MAX, "a discovery log lists more than is attached");
                    }
                }
                Some(_) => {}
                None => tracing::debug!(name = self.params.name, "an entry of a discovery log cannot be reached from here"),
            }
        }
        self.missing.borrow_mut().retain(|(address, _)| seen.contains(address));
        // New paths first: a controller whose only path moves to another port stays.
        for address in &now {
            self.entries.borrow_mut().retain(|entry| entry.is_there(drives));
            let known = self.entries.borrow().iter().any(|entry| entry.address == *address);
            if !known && !self.stopping.is_said() {
                self.take_in(drives, address).await;
            }
        }
        let (kept, left): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut *self.entries.borrow_mut()).into_iter().partition(|entry| seen.contains(&entry.address));
        *self.entries.borrow_mut() = kept;
        for entry in left {
            self.let_go(drives, &entry).await;
        }
    }

    async fn take_in(self: &Rc<Self>, drives: &Drives, address: &TcpAddress) {
        let known = self.entries.borrow().iter().find(|e| e.address.subsystem == address.subsystem).map(|e| e.name.clone());
        let name = known.clone().unwrap_or_else(|| self.free_name(drives));
        let params = Attach {
            name: name.clone(),
            trtype: "TCP".to_owned(),
            traddr: address.address.clone(),
            adrfam: address.family.map(|family| family.to_string()),
            trsvcid: Some(address.service.clone()),
            subnqn: Some(address.subsystem.clone()),
            multipath: known.map(|_| Multipath::Failover),
            ..self.at.clone()
        };
        let (tx, rx) = oneshot();
        let (service, all, address) = (self.clone(), drives.clone(), address.clone());
        drives.0.host.local.spawn(async move {
            let attached = attach_for(&all, params, Origin::Discovery, service.stopping.heard()).await.map_err(|error| error.to_string());
            service.took_in(&all, name, address, attached.map(drop)).await;
            tx.send(());
        });
        self.unless_stopped(rx).await;
    }

    async fn took_in(&self, drives: &Drives, name: String, address: TcpAddress, attached: Result<(), String>) {
        match attached {
            Ok(()) => {
                let drive = drives.find(&name).map_or_else(Weak::new, |drive| Rc::downgrade(&drive));
                let entry = Entry { address, name, drive };
                if self.stopping.is_said() && !self.keeps.get() {
                    return self.let_go(drives, &entry).await;
                }
                self.missing.borrow_mut().retain(|(missing, _)| *missing != entry.address);
                self.entries.borrow_mut().push(entry);
            }
            Err(_) if self.missing.borrow().iter().any(|(missing, _)| *missing == address) => {}
            Err(error) => {
                tracing::error!(service = self.params.name, %address, %error, "what a discovery service lists could not be attached; trying on");
                self.missing.borrow_mut().push((address, error));
            }
        }
    }

    /// The next name that no controller has. It counts on only when it was used.
    fn free_name(&self, drives: &Drives) -> String {
        loop {
            let name = format!("{}{}", self.params.name, self.next.get());
            if drives.find(&name).is_none() && self.entries.borrow().iter().all(|entry| entry.name != name) {
                return name;
            }
            self.next.set(self.next.get() + 1);
        }
    }

    async fn let_go(&self, drives: &Drives, entry: &Entry) {
        let path = Detach {
            name: entry.name.clone(),
            traddr: Some(entry.address.address.clone()),
            trsvcid: Some(entry.address.service.clone()),
            trtype: None,
            adrfam: None,
            subnqn: None,
            hostaddr: None,
            hostsvcid: None,
        };
        if entry.is_there(drives)
            && let Err(error) = detach(drives, path).await
        {
            tracing::warn!(service = self.params.name, name = entry.name, %error, "not detached");
        }
    }
}

fn listed(id: &TransportId) -> Value {
    match id {
        TransportId::Tcp(tcp) => json!({
            "trtype": "TCP", "adrfam": tcp.family.map(|family| family.to_string()), "traddr": tcp.address, "trsvcid": tcp.service,
            "subnqn": tcp.subsystem,
        }),
        other => json!({ "traddr": other.to_string() }),
    }
}
