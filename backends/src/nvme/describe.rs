//! Controllers and namespaces in the words of SPDK's overviews.

use super::drive::Drive;
use super::params::MaybeNamed;
use super::{Drives, MODULE};
use doorbell_control::{RpcError, Uuid};
use doorbell_nvme::{Controller, Ids, Namespace};
use serde_json::{Value, json};
use std::sync::Arc;

/// `bdev_nvme_get_controllers`.
pub(super) async fn controllers(drives: &Drives, params: MaybeNamed) -> Result<Value, RpcError> {
    let shown = match &params.name {
        Some(name) => vec![drives.get(name)?],
        None => drives.all(),
    };
    Ok(shown.iter().map(|d| json!({ "name": d.name(), "ctrlrs": [controller(d)] })).collect())
}

fn controller(drive: &Drive) -> Value {
    let mut one = json!({
        "state": drive.controller().state().name(),
        "trid": drive.trid(),
        "cntlid": drive.cntlid(),
        "host": { "nqn": drive.host_nqn(), "addr": "", "svcid": "" },
    });
    let alternates = drive.alternates();
    if let (Some(map), false) = (one.as_object_mut(), alternates.is_empty()) {
        map.insert("alternate_trids".to_owned(), alternates.into());
    }
    one
}

/// What `bdev_get_bdevs` tells of a namespace under `driver_specific`, as long as its controller is not reset or reached another way.
pub(super) fn driver_specific(trid: &Value, controller: &Controller, namespace: &Namespace) -> Value {
    let Some(id) = controller.identity() else { return Value::Null };
    let (oacs, version, raw) = (id.oacs(), id.version, &id.raw);
    let described = namespace.described();
    let mut one = json!({
        "trid": trid,
        "ctrlr_data": {
            "cntlid": raw.cntlid.get(),
            "vendor_id": format!("0x{:04x}", raw.vid.get()),
            "model_number": id.model,
            "serial_number": id.serial,
            "firmware_revision": id.firmware,
            "subnqn": id.subsystem,
            "oacs": {
                "security": u8::from(oacs.security()),
                "format": u8::from(oacs.format()),
                "firmware": u8::from(oacs.firmware()),
                "ns_manage": u8::from(oacs.namespace_management()),
            },
            "multi_ctrlr": raw.cmic & 0b10 != 0,
            "ana_reporting": raw.cmic & 0b1000 != 0,
        },
        "vs": { "nvme_version": format!("{}.{}", version.major(), version.minor()) },
        "ns_data": { "id": namespace.nsid(), "can_share": described.shared },
    });
    if let (Some(map), Some(pci)) = (one.as_object_mut(), trid_pci(trid)) {
        map.insert("pci_address".to_owned(), pci);
    }
    json!({ MODULE: [one], "mp_policy": "active_passive" })
}

fn trid_pci(trid: &Value) -> Option<Value> {
    (trid.get("trtype")? == "PCIe").then(|| trid.get("traddr").cloned())?
}

/// The UUID under which a namespace is registered: its own, or made of its other unique numbers. What has none gets a random one.
pub(super) fn uuid(namespace: &Namespace) -> Option<Uuid> {
    let Ids { uuid, nguid, eui64 } = namespace.described().ids;
    let mut wide = [0; 16];
    wide[..8].copy_from_slice(&eui64);
    uuid.or((nguid != [0; 16]).then_some(nguid)).or((eui64 != [0; 8]).then_some(wide)).map(Uuid::from_bytes)
}

/// A namespace's name.
pub(super) fn bdev_name(controller: &str, namespace: &Arc<Namespace>) -> String {
    format!("{controller}n{}", namespace.nsid())
}
