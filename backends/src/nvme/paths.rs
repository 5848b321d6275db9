//! What can be asked and said about the paths to a namespace. One controller stands for each, by one path at a time.

use super::Drives;
use super::drive::Drive;
use super::params::{MaybeNamed, Policy, PreferredPath, SetPolicy};
use doorbell_control::RpcError;
use doorbell_nvme::State;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::rc::Rc;

/// `bdev_nvme_get_io_paths`.
pub(super) async fn io_paths(drives: &Drives, params: MaybeNamed) -> Result<Value, RpcError> {
    let mut groups: BTreeMap<u32, Vec<Value>> = BTreeMap::new();
    for drive in drives.all() {
        let queues = drive.controller().reactors();
        for bdev in drive.bdevs().into_iter().filter(|bdev| params.name.as_ref().is_none_or(|name| name == bdev)) {
            for reactor in &queues {
                groups.entry(reactor.0).or_default().push(io_path(&drive, &bdev));
            }
        }
    }
    let all = groups.into_iter().map(|(reactor, paths)| json!({ "thread": format!("reactor_{reactor}"), "io_paths": paths }));
    Ok(json!({ "poll_groups": all.collect::<Vec<_>>() }))
}

fn io_path(drive: &Drive, bdev: &str) -> Value {
    let live = drive.controller().state() == State::Live;
    let trid = drive.trid();
    let transport: Map<_, _> =
        ["trtype", "traddr", "trsvcid", "adrfam"].into_iter().filter_map(|key| Some((key.to_owned(), trid.get(key)?.clone()))).collect();
    json!({
        "bdev_name": bdev,
        "cntlid": drive.cntlid(),
        "current": true,
        "connected": live,
        "accessible": live,
        "transport": transport,
    })
}

fn of_bdev(drives: &Drives, name: &str) -> Result<Rc<Drive>, RpcError> {
    drives.of_bdev(name).ok_or_else(|| RpcError::no_device().because(format!("{name} is no block device of an NVMe controller")))
}

/// `bdev_nvme_set_preferred_path`.
pub(super) async fn prefer(drives: &Drives, params: PreferredPath) -> Result<bool, RpcError> {
    let drive = of_bdev(drives, &params.name)?;
    if drive.cntlid() != params.cntlid {
        return Err(RpcError::no_device().because(format!("{} is reached through controller {} alone", params.name, drive.cntlid())));
    }
    Ok(true)
}

/// `bdev_nvme_set_multipath_policy`.
pub(super) async fn policy(drives: &Drives, params: SetPolicy) -> Result<bool, RpcError> {
    of_bdev(drives, &params.name)?;
    match params.policy {
        Policy::ActivePassive if params.selector.is_some() || params.rr_min_io.is_some() => {
            Err(RpcError::invalid_argument()
                .because("selector and rr_min_io belong to active_active: with active_passive one path is used"))
        }
        Policy::ActivePassive => Ok(true),
        Policy::ActiveActive => Err(RpcError::not_supported().because("one path is used at a time: only active_passive can be had yet")),
    }
}
