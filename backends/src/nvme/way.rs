//! Where a controller is, from the parameters that say so.

use super::host_name::host_name;
use super::params::Attach;
use crate::host::Host;
use doorbell_control::RpcError;
use doorbell_nvme::address::{TcpAddress, TransportId};
use doorbell_nvme::{Env, TcpOffer, TcpOptions};
use doorbell_pci::FunctionAddress;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::OnceLock;

/// The transport's name as SPDK writes it.
pub(super) fn trtype(text: &str) -> String {
    match text.to_ascii_uppercase().as_str() {
        "PCIE" => "PCIe".to_owned(),
        other => other.to_owned(),
    }
}

pub(super) fn trid(params: &Attach) -> Value {
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

pub(super) fn way(host: &Host, params: &Attach) -> Result<Way, RpcError> {
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
        "TCP" if params.use_cmb_sqs == Some(true) => {
            Err(RpcError::invalid_argument().because("use_cmb_sqs: queues of a controller on a network do not lie in its memory"))
        }
        "TCP" => over_tcp(host, params).map(|(address, how)| Way::Tcp(Box::new(address), how)),
        other => Err(RpcError::invalid_argument().because(format!("trtype {other} is none of PCIe, VFIOUSER, TCP"))),
    }
}

/// A way to a controller.
pub(super) enum Way {
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

pub(super) fn env(host: &Host) -> Env {
    Env { local: host.local.clone(), regions: host.regions.clone(), helpers: host.helpers.clone() }
}
