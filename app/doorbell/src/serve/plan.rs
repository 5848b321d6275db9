//! What the flags ask for, as calls of RPC methods: what is saved, listed and refused is the same whoever asks.

use super::identity::{Draft, Identity};
use crate::cli::{DeviceSpec, Engine};
use doorbell_control::Uuid;
use doorbell_nvme::address::TransportId;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// The method.
    pub(crate) method: &'static str,
    /// Its parameters.
    pub(crate) params: Map<String, Value>,
}

pub(crate) fn step(method: &'static str, params: Value) -> Step {
    let Value::Object(mut params) = params else { return Step { method, params: Map::new() } };
    params.retain(|_, value| !value.is_null());
    Step { method, params }
}

/// A device of the flags, with its identity.
#[derive(Clone, Debug)]
pub(crate) enum Device {
    /// A file or block device.
    File(DeviceSpec, Identity),
    /// Memory of so many bytes.
    Malloc(u64, Identity),
}

/// A volume store of the flags.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    /// Its file or block device. The name is the store's own.
    pub(crate) spec: DeviceSpec,
    /// Who the device is.
    pub(crate) identity: Identity,
    /// Nothing is in it, so that a store may be made.
    pub(crate) is_blank: bool,
}

impl Store {
    /// What a new one is called: as was asked for, or as its file.
    pub(crate) fn name(&self) -> String {
        let stem = || self.spec.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        self.spec.name.clone().or_else(stem).unwrap_or_else(|| "store".to_owned())
    }
}

/// Bytes of a block of memory devices: what every host takes.
const MALLOC_BLOCK: u64 = 512;

/// Everything that the flags ask for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Devices, each with a name.
    pub(crate) devices: Vec<(String, Device)>,
    /// Volume stores, each with the name of the device that it lies on.
    pub(crate) stores: Vec<(String, Store)>,
    /// NVMe controllers, whose namespaces are served.
    pub(crate) drives: Vec<TransportId>,
    /// May controllers use physical addresses?
    pub(crate) allow_physical: bool,
    /// The subsystem that serves them.
    pub(crate) subsystem: Identity,
    /// Where.
    pub(crate) listens: Vec<SocketAddr>,
    /// Who may connect.
    pub(crate) hosts: Vec<String>,
    /// May anybody?
    pub(crate) any_host: bool,
    /// Nothing was asked for, and this is what is served then.
    pub(crate) is_default: bool,
    /// Identities that are to be put beside their files once those are held.
    pub(crate) drafts: Arc<[Draft]>,
}

/// Gives each device a name of its own: the file's, or the one asked for.
pub(crate) fn name(devices: Vec<Device>) -> Vec<(String, Device)> {
    let mut named: Vec<(String, Device)> = Vec::new();
    for device in devices {
        let wanted = match &device {
            Device::File(spec, _) => spec.name.clone().unwrap_or_else(|| file_name(spec)),
            Device::Malloc(..) => {
                let before = named.iter().filter(|(_, other)| matches!(other, Device::Malloc(..))).count();
                format!("Malloc{before}")
            }
        };
        let name = free(wanted, |name| named.iter().any(|(other, _)| other == name));
        named.push((name, device));
    }
    named
}

/// The same for the devices that stores lie on.
pub(crate) fn name_stores(stores: Vec<Store>, devices: &[(String, Device)]) -> Vec<(String, Store)> {
    let mut named: Vec<(String, Store)> = Vec::new();
    for store in stores {
        let taken = |name: &str| devices.iter().any(|(other, _)| other == name) || named.iter().any(|(other, _)| other == name);
        let name = free(file_name(&store.spec), taken);
        named.push((name, store));
    }
    named
}

fn file_name(spec: &DeviceSpec) -> String {
    spec.path.file_name().map_or_else(|| "file".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The name that is wanted, or else that with a number.
fn free(wanted: String, taken: impl Fn(&str) -> bool) -> String {
    (2..).map(|n| format!("{wanted}-{n}")).find(|name| !taken(name)).filter(|_| taken(&wanted)).unwrap_or(wanted)
}

/// The calls that make the devices.
pub(crate) fn devices(plan: &Plan) -> Vec<Step> {
    plan.devices
        .iter()
        .map(|(name, device)| match device {
            Device::Malloc(bytes, identity) => {
                let params = json!({"name": name, "block_size": MALLOC_BLOCK, "num_blocks": bytes / MALLOC_BLOCK, "uuid": identity.uuid});
                step("bdev_malloc_create", params)
            }
            Device::File(spec, identity) => file(name, spec, identity),
        })
        .collect()
}

/// The call that makes a device of a file.
pub(crate) fn file(name: &str, spec: &DeviceSpec, identity: &Identity) -> Step {
    let common = json!({
        "name": name, "filename": spec.path.to_string_lossy(), "block_size": spec.block_size, "uuid": identity.uuid,
        "size": spec.size, "force": spec.force.then_some(true),
    });
    let mut made = match spec.engine.unwrap_or(Engine::DEFAULT) {
        Engine::Uring => step("bdev_uring_create", common),
        Engine::Aio => step("bdev_aio_create", common),
    };
    if made.method == "bdev_aio_create" {
        made.params.insert("fallocate".to_owned(), (!spec.read_only).into());
        made.params.insert("readonly".to_owned(), spec.read_only.into());
    }
    made
}

/// The calls that attach the controllers. Each gives the names of its namespaces.
pub(crate) fn drives(plan: &Plan) -> Vec<Step> {
    let attach = |(n, drive): (usize, &TransportId)| {
        let mut params: Map<String, Value> = drive.keys().into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        params.insert("name".to_owned(), format!("Nvme{n}").into());
        if plan.allow_physical && matches!(drive, TransportId::Pcie { .. }) {
            params.insert("allow_physical".to_owned(), true.into());
        }
        Step { method: "bdev_nvme_attach_controller", params }
    };
    plan.drives.iter().enumerate().map(attach).collect()
}

/// The highest namespace of a subsystem that serves volumes: all that there may be.
pub(crate) const NSID_MAX: u32 = 8192;

/// A block device that was found, and is served.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Its name.
    pub(crate) name: String,
    /// Its UUID.
    pub(crate) uuid: Uuid,
    /// Which namespace it is to be; none: the lowest that is free.
    pub(crate) nsid: Option<u32>,
}

/// The call that serves a block device.
pub(crate) fn add_namespace(nqn: &str, bdev: &str, uuid: &str, nsid: Option<u32>) -> Step {
    let mut namespace = json!({"bdev_name": bdev, "uuid": uuid});
    if let (Some(nsid), Some(namespace)) = (nsid, namespace.as_object_mut()) {
        namespace.insert("nsid".to_owned(), nsid.into());
    }
    step("nvmf_subsystem_add_ns", json!({"nqn": nqn, "namespace": namespace}))
}

/// The method that listens.
pub(crate) const ADD_LISTENER: &str = "nvmf_subsystem_add_listener";

/// The calls that serve them, without the transport, which may be there.
/// `found`: the controllers' namespaces and the stores' volumes.
pub(crate) fn subsystem(plan: &Plan, found: &[Found]) -> Vec<Step> {
    let nqn = &plan.subsystem.nqn;
    // Volumes come while it serves.
    let least = if plan.stores.is_empty() { 32 } else { NSID_MAX as usize };
    let mut steps = vec![step(
        "nvmf_create_subsystem",
        json!({"nqn": nqn, "serial_number": plan.subsystem.serial, "model_number": "Doorbell", "allow_any_host": plan.any_host,
            "max_namespaces": (plan.devices.len() + found.len()).max(least)}),
    )];
    for (name, device) in &plan.devices {
        let (Device::File(_, identity) | Device::Malloc(_, identity)) = device;
        steps.push(add_namespace(nqn, name, &identity.uuid, None));
    }
    for one in found {
        steps.push(add_namespace(nqn, &one.name, &one.uuid.to_string(), one.nsid));
    }
    for host in &plan.hosts {
        steps.push(step("nvmf_subsystem_add_host", json!({"nqn": nqn, "host": host})));
    }
    for address in &plan.listens {
        let family = if address.is_ipv6() { "IPv6" } else { "IPv4" };
        let listen = json!({"trtype": "TCP", "adrfam": family, "traddr": address.ip().to_string(), "trsvcid": address.port().to_string()});
        steps.push(step(ADD_LISTENER, json!({"nqn": nqn, "listen_address": listen})));
    }
    steps
}

/// The call that makes the transport.
pub(crate) fn transport() -> Step {
    step("nvmf_create_transport", json!({"trtype": "TCP"}))
}
