//! Attaching and detaching: controllers, and further paths to them.

use super::Drives;
use super::drive::{Drive, Origin, follow, let_go};
use super::params::{Attach, Detach, Multipath};
use super::way::{Way, env, way};
use doorbell_control::RpcError;
use doorbell_nvme::{Controller, PathError};
use doorbell_pci::{FunctionAddress, OpenOptions};
use std::future::{Future, pending};
use std::rc::Rc;

/// `bdev_nvme_attach_controller`.
pub(super) async fn attach(drives: &Drives, params: Attach) -> Result<Vec<String>, RpcError> {
    attach_for(drives, params, Origin::Call, pending()).await
}

/// As `attach`, for whoever wants it; given up once `until` is ready.
pub(super) async fn attach_for(
    drives: &Drives,
    params: Attach,
    origin: Origin,
    until: impl Future<Output = ()>,
) -> Result<Vec<String>, RpcError> {
    if params.name.is_empty() || params.name.len() > 32 {
        return Err(RpcError::invalid_argument().because("a controller's name has 1 to 32 characters"));
    }
    let _reserved = drives.reserve(&params.name)?;
    let Some(drive) = drives.find(&params.name) else { return attach_new(drives, params, origin, until).await };
    let name = &params.name;
    match params.multipath {
        Some(Multipath::Failover) => add_path(drives, &drive, params).await,
        Some(Multipath::Both) => Err(RpcError::not_supported()
            .because(format!("controller {name} cannot use several paths at once yet: with multipath=failover the others stand by"))),
        Some(Multipath::Disable) | None => {
            let why = format!("there is an NVMe controller named {name} already (multipath=failover gives it a second path)");
            Err(RpcError::exists().because(why))
        }
    }
}

async fn attach_new(drives: &Drives, params: Attach, origin: Origin, until: impl Future<Output = ()>) -> Result<Vec<String>, RpcError> {
    let host = &drives.0.host;
    let (way, options) = (way(host, &params)?, drives.0.options.borrow().driver(&params)?);
    // A function has one driver, whatever that is called.
    let _alone = match &way {
        Way::Function(FunctionAddress::Pci(address)) => {
            let alone = drives.reserve(&address.to_string())?;
            if let Some(other) = drives.at(*address) {
                return Err(RpcError::exists().because(format!("{address} is attached already, as {}", other.name())));
            }
            Some(alone)
        }
        _ => None,
    };
    let controller = match way {
        Way::Function(address) => {
            let open = OpenOptions { allow_physical: params.allow_physical == Some(true), refuse_own: true };
            let opened = host.blocking(move |_| doorbell_pci::open(&address, &open)).await?;
            let function = opened.map_err(|error| RpcError::no_device().because(error))?;
            Controller::attach_until(&env(host), &params.name, function, options, until).await
        }
        Way::Tcp(address, how) => Controller::connect_until(&env(host), &params.name, *address, how, options, until).await,
    };
    let controller = controller.map_err(|error| RpcError::io().because(error))?;
    let drive = Drive::new(params, origin, controller);
    drives.0.drives.borrow_mut().push(drive.clone());
    Ok(follow(drives, &drive))
}

/// Gives a controller a path that is used when those before it are lost.
async fn add_path(drives: &Drives, drive: &Rc<Drive>, params: Attach) -> Result<Vec<String>, RpcError> {
    let Way::Tcp(address, how) = way(&drives.0.host, &params)? else { return Err(refused(PathError::OnlyOne)) };
    let id = drive.controller().add_path(*address, how).await.map_err(refused)?;
    drive.note_path(id, params);
    Ok(drive.bdevs())
}

fn refused(error: PathError) -> RpcError {
    const ALREADY: i32 = 114;
    match error {
        PathError::Known => RpcError::errno(ALREADY).because(error),
        PathError::OnlyOne | PathError::Elsewhere(_) => RpcError::invalid_argument().because(error),
        PathError::Failed(_) => RpcError::io().because(error),
    }
}

/// `bdev_nvme_detach_controller`.
pub(super) async fn detach(drives: &Drives, params: Detach) -> Result<bool, RpcError> {
    let _reserved = drives.reserve(&params.name)?;
    let drive = drives.get(&params.name)?;
    let (mut leaving, all) = drive.paths_of(&params);
    if leaving.is_empty() {
        return Err(RpcError::no_device().because(format!("controller {} has no such path", params.name)));
    }
    if leaving.len() == all {
        let_go(drives, &drive).await;
        return Ok(true);
    }
    // The one in use goes last, or it would be followed by one that goes too.
    let used = drive.controller().path();
    leaving.sort_by_key(|id| *id == used);
    for id in leaving {
        let removed = drive.controller().remove_path(id).await;
        // It is gone even when the reset that leads to another one fails.
        if !matches!(removed, Err(PathError::OnlyOne)) {
            drive.forget_path(id);
        }
        removed.map_err(refused)?;
    }
    Ok(true)
}
