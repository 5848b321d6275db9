//! Attaching and detaching: from a name and an address to a controller and its block devices.

use super::host_name::host_name;
use super::params::{Attach, Detach, Multipath};
use super::{Drives, MODULE, describe};
use crate::host::Host;
use doorbell_bdev::NewBdev;
use doorbell_block::{BlockDevice, Op, Status, WriteCache};
use doorbell_control::{ConfigCall, RpcError};
use doorbell_nvme::address::{TcpAddress, TransportId};
use doorbell_nvme::{Change, Controller, Env, Namespace, TcpOffer, TcpOptions};
use doorbell_pci::{FunctionAddress, OpenOptions};
use doorbell_reactor::AsyncQueue;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::sync::{Arc, OnceLock};

/// An attached controller.
pub(super) struct Drive {
    params: Attach,
    controller: Controller,
    /// Its block devices, by the numbers of their namespaces.
    bdevs: RefCell<Vec<(u32, String)>>,
}

impl Drive {
    pub(super) fn name(&self) -> &str {
        &self.params.name
    }

    pub(super) fn controller(&self) -> &Controller {
        &self.controller
    }

    pub(super) fn has_bdev(&self, name: &str) -> bool {
        self.bdevs.borrow().iter().any(|(_, n)| n == name)
    }

    /// The namespace of a block device.
    pub(super) fn nsid_of(&self, bdev: &str) -> Option<u32> {
        self.bdevs.borrow().iter().find(|(_, n)| n == bdev).map(|(nsid, _)| *nsid)
    }

    pub(super) fn trid(&self) -> Value {
        trid(&self.params)
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
            if through || namespace.described().usable.is_err() || self.controller.state() != doorbell_nvme::State::Live {
                continue;
            }
            let status = match AsyncQueue::open(&host.local, namespace.clone(), 1).await {
                Ok(queue) => queue.control(Op::Flush, 0, 0).await,
                Err(_) => Status::Gone,
            };
            if !matches!(status, Status::Ok | Status::Gone) {
                tracing::error!(name = describe::bdev_name(self.name(), &namespace), %status, "not flushed");
            }
        }
        self.controller.clone().detach().await;
    }

    /// The call that would attach it again.
    pub(super) fn call(&self) -> ConfigCall {
        ConfigCall::new("bdev_nvme_attach_controller", &self.params)
    }
}

/// The transport's name as SPDK writes it.
fn trtype(text: &str) -> String {
    match text.to_ascii_uppercase().as_str() {
        "PCIE" => "PCIe".to_owned(),
        other => other.to_owned(),
    }
}

fn trid(params: &Attach) -> Value {
    let mut trid = json!({ "trtype": trtype(&params.trtype), "traddr": params.traddr });
    if let Some(map) = trid.as_object_mut() {
        for (key, value) in [("adrfam", &params.adrfam), ("trsvcid", &params.trsvcid), ("subnqn", &params.subnqn)] {
            if let Some(value) = value {
                map.insert(key.to_owned(), value.as_str().into());
            }
        }
    }
    trid
}

/// What a function of the machine, or a vfio-user socket, must not be given.
fn only_for_networks(params: &Attach) -> Result<(), RpcError> {
    let given = [
        ("trsvcid", params.trsvcid.is_some()),
        ("priority", params.priority.is_some()),
        ("hostaddr", params.hostaddr.is_some()),
        ("hostsvcid", params.hostsvcid.is_some()),
        ("hdgst", params.hdgst == Some(true)),
        ("ddgst", params.ddgst == Some(true)),
        ("psk", params.psk.is_some()),
        ("dhchap_key", params.dhchap_key.is_some()),
        ("dhchap_ctrlr_key", params.dhchap_ctrlr_key.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(RpcError::invalid_argument().because(format!("{name} means something on a network only"))),
        None => Ok(()),
    }
}

fn way(host: &Host, params: &Attach) -> Result<Way, RpcError> {
    match params.trtype.to_ascii_uppercase().as_str() {
        "PCIE" => {
            only_for_networks(params)?;
            let address = params.traddr.parse().map_err(|e| RpcError::invalid_argument().because(format!("traddr: {e}")))?;
            Ok(Way::Function(FunctionAddress::Pci(address)))
        }
        "VFIOUSER" => {
            only_for_networks(params)?;
            Ok(Way::Function(FunctionAddress::VfioUser(PathBuf::from(&params.traddr))))
        }
        "TCP" => over_tcp(host, params).map(|(address, how)| Way::Tcp(Box::new(address), how)),
        other => Err(RpcError::invalid_argument().because(format!("trtype {other} is none of PCIe, VFIOUSER, TCP"))),
    }
}

/// A way to a controller.
enum Way {
    Function(FunctionAddress),
    Tcp(Box<TcpAddress>, TcpOptions),
}

/// Connect commands at most, unless told otherwise.
const CONNECT_MS: u32 = 10_000;

fn over_tcp(host: &Host, params: &Attach) -> Result<(TcpAddress, TcpOptions), RpcError> {
    let secrets = [("psk", &params.psk), ("dhchap_key", &params.dhchap_key), ("dhchap_ctrlr_key", &params.dhchap_ctrlr_key)];
    if let Some((name, _)) = secrets.iter().find(|(_, given)| given.is_some()) {
        return Err(RpcError::not_supported().because(format!("{name}: connections are neither encrypted nor authenticated yet")));
    }
    let keys = [
        ("trtype", Some(&params.trtype)),
        ("traddr", Some(&params.traddr)),
        ("adrfam", params.adrfam.as_ref()),
        ("trsvcid", params.trsvcid.as_ref()),
        ("subnqn", params.subnqn.as_ref()),
        ("hostnqn", params.hostnqn.as_ref()),
        ("hostaddr", params.hostaddr.as_ref()),
        ("hostsvcid", params.hostsvcid.as_ref()),
        ("priority", params.priority.as_ref()),
    ];
    let given = keys.iter().filter_map(|(key, value)| Some((key, (*value)?))).filter(|(_, value)| !value.is_empty());
    let text = given.map(|(key, value)| format!("{key}:{value}")).collect::<Vec<_>>().join(" ");
    let parsed: TransportId = text.parse().map_err(|e| RpcError::invalid_argument().because(e))?;
    let TransportId::Tcp(address) = parsed else { return Err(RpcError::invalid_argument()) };
    let offer = TcpOffer { header_digest: params.hdgst == Some(true), data_digest: params.ddgst == Some(true), hpda: 0 };
    let timeout_ms = params
        .fabrics_connect_timeout_us
        .filter(|us| *us > 0)
        .map_or(CONNECT_MS, |us| u32::try_from(us.div_ceil(1000)).unwrap_or(u32::MAX));
    let how = TcpOptions {
        host: host_name(address.host.clone(), process_id(host)),
        offer,
        flow_control: params.disable_sq_flow_control != Some(true),
        connect_timeout_ms: timeout_ms,
    };
    Ok((address, how))
}

/// Sixteen bytes that no other process has, the same at each call.
fn process_id(host: &Host) -> [u8; 16] {
    static ID: OnceLock<[u8; 16]> = OnceLock::new();
    *ID.get_or_init(host.entropy)
}

/// Block devices of a controller at most, unless told otherwise.
const BDEVS: u32 = 128;

fn env(host: &Host) -> Env {
    Env { local: host.local.clone(), regions: host.regions.clone(), helpers: host.helpers.clone() }
}

/// `bdev_nvme_attach_controller`.
pub(super) async fn attach(drives: &Drives, params: Attach) -> Result<Vec<String>, RpcError> {
    let host = &drives.0.host;
    if params.name.is_empty() || params.name.len() > 32 {
        return Err(RpcError::invalid_argument().because("a controller's name has 1 to 32 characters"));
    }
    let _reserved = drives.reserve(&params.name)?;
    if drives.find(&params.name).is_some() && params.multipath.is_some_and(|mode| mode != Multipath::Disable) {
        return Err(RpcError::not_supported().because(format!("controller {} cannot be given a second path yet", params.name)));
    }
    if drives.find(&params.name).is_some() {
        return Err(RpcError::exists().because(format!("there is an NVMe controller named {} already", params.name)));
    }
    let (way, options) = (way(host, &params)?, drives.0.options.borrow().driver(&params)?);
    let controller = match way {
        Way::Function(address) => {
            let open = OpenOptions { allow_physical: params.allow_physical == Some(true), refuse_own: true };
            let opened = host.blocking(move |_| doorbell_pci::open(&address, &open)).await?;
            let function = opened.map_err(|error| RpcError::no_device().because(error))?;
            Controller::attach(&env(host), &params.name, function, options).await
        }
        Way::Tcp(address, how) => Controller::connect(&env(host), &params.name, *address, how, options).await,
    };
    let controller = controller.map_err(|error| RpcError::io().because(error))?;
    let drive = Rc::new(Drive { params, controller: controller.clone(), bdevs: RefCell::default() });
    drives.0.drives.borrow_mut().push(drive.clone());
    follow(drives, &drive);
    let mut names = Vec::new();
    for namespace in controller.namespaces() {
        names.extend(register(host, &drive, &namespace));
    }
    Ok(names)
}

/// Keeps the block devices as the controller's namespaces are.
fn follow(drives: &Drives, drive: &Rc<Drive>) {
    let (drives, weak): (Drives, Weak<Drive>) = (drives.clone(), Rc::downgrade(drive));
    drive.controller.watch(Box::new(move |change| {
        let Some(drive) = weak.upgrade() else { return };
        let host = drives.0.host.clone();
        match change {
            Change::Arrived(namespace) => drop(register(&host, &drive, &namespace)),
            Change::Left(namespace) => {
                let name = take_name(&drive, namespace.nsid());
                let local = host.local.clone();
                local.spawn(async move { unregister(&host, name).await });
            }
            Change::Resized(namespace) => {
                let name = describe::bdev_name(drive.name(), &namespace);
                let local = host.local.clone();
                local.spawn(async move { host.resized(&name).await });
            }
            Change::Ended => drives.0.drives.borrow_mut().retain(|d| !Rc::ptr_eq(d, &drive)),
        }
    }));
}

fn take_name(drive: &Drive, nsid: u32) -> Option<String> {
    let mut bdevs = drive.bdevs.borrow_mut();
    let at = bdevs.iter().position(|(n, _)| *n == nsid)?;
    Some(bdevs.swap_remove(at).1)
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
    let specific = describe::driver_specific(drive.trid(), &drive.controller, namespace);
    let bdev = NewBdev {
        name: name.clone(),
        aliases: Vec::new(),
        uuid: host.uuid(describe::uuid(namespace)),
        product: "NVMe disk",
        module: MODULE,
        device: namespace.clone(),
        driver_specific: Box::new(move || specific.clone()),
        created_by: None,
    };
    match host.registry.register(bdev) {
        Ok(_) => {
            drive.bdevs.borrow_mut().push((namespace.nsid(), name.clone()));
            Some(name)
        }
        Err(error) => {
            tracing::error!(name, %error, "a namespace could not be registered");
            None
        }
    }
}

/// `bdev_nvme_detach_controller`.
pub(super) async fn detach(drives: &Drives, params: Detach) -> Result<bool, RpcError> {
    let _reserved = drives.reserve(&params.name)?;
    let drive = drives.get(&params.name)?;
    let own = &drive.params;
    let differs = |asked: &Option<String>, has: Option<&str>| asked.as_deref().is_some_and(|asked| Some(asked) != has);
    let other = params.trtype.as_deref().is_some_and(|t| trtype(t) != trtype(&own.trtype))
        || differs(&params.traddr, Some(&own.traddr))
        || differs(&params.adrfam, own.adrfam.as_deref())
        || differs(&params.trsvcid, own.trsvcid.as_deref())
        || differs(&params.subnqn, own.subnqn.as_deref())
        || differs(&params.hostaddr, own.hostaddr.as_deref())
        || differs(&params.hostsvcid, own.hostsvcid.as_deref());
    if other {
        return Err(RpcError::no_device().because(format!("controller {} has no such path", params.name)));
    }
    drop(params);
    drives.0.drives.borrow_mut().retain(|d| !Rc::ptr_eq(d, &drive));
    // Openers let go first, so that what they had sent is done.
    let names: Vec<(u32, String)> = std::mem::take(&mut *drive.bdevs.borrow_mut());
    for (_, name) in names {
        unregister(&drives.0.host, Some(name)).await;
    }
    drive.controller.clone().detach().await;
    Ok(true)
}
