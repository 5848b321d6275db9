//! A controller's firmware replaced.

use super::Drives;
use super::drive::Drive;
use super::params::Firmware;
use doorbell_bdev::{Access, Handle, OpenFailed};
use doorbell_control::RpcError;
use doorbell_nvme::Committed;
use doorbell_wire_nvme::CommitAction;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes of an image at most: it is read whole.
const IMAGE_MAX: u64 = 256 << 20;

/// `bdev_nvme_apply_firmware`.
pub(super) async fn apply(drives: &Drives, params: Firmware) -> Result<&'static str, RpcError> {
    let name = &params.bdev_name;
    let drive =
        drives.of_bdev(name).ok_or_else(|| RpcError::no_device().because(format!("{name} is no block device of an NVMe controller")))?;
    let _reserved = drives.reserve(drive.name())?;
    let takes = drive.controller().identity().is_some_and(|id| id.oacs().firmware());
    if !takes {
        return Err(RpcError::not_supported().because(format!("controller {} has no Firmware Commit command", drive.name())));
    }
    let path = params.filename;
    let image = drives.0.host.blocking(move |_| read(&path)).await??;
    let _kept = keep_writers_out(drives, &drive)?;
    let done = drive.controller().update_firmware(&image, 0, CommitAction::ReplaceAndActivate, |_| ()).await;
    match done.map_err(|error| RpcError::io().because(error))? {
        Committed::AsAsked | Committed::ControllerReset => {
            drive.controller().reset().await.map_err(|error| RpcError::io().because(error))?;
            Ok("The firmware is in its slot, and the controller was reset to run it.")
        }
        Committed::SubsystemReset => Ok("The firmware is in its slot. It runs after a reset of the NVM subsystem."),
        Committed::ConventionalReset => Ok("The firmware is in its slot. It runs after a power cycle."),
    }
}

fn read(path: &str) -> Result<Vec<u8>, RpcError> {
    use std::io::Read;
    let cannot = |error: std::io::Error| RpcError::from(error).because(format!("{path} cannot be read"));
    let mut image = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(IMAGE_MAX + 1).read_to_end(&mut image)).map_err(cannot)?;
    if image.is_empty() || image.len() % 4 != 0 || image.len() as u64 > IMAGE_MAX {
        let why = format!("{path} is no firmware image: it has to have some bytes, a multiple of 4, and at most 256 MiB");
        return Err(RpcError::invalid_argument().because(why));
    }
    Ok(image)
}

/// Opens all block devices of a controller for writing, which only works while nobody has claimed one.
fn keep_writers_out(drives: &Drives, drive: &Rc<Drive>) -> Result<Vec<Arc<Handle>>, RpcError> {
    let open = |name: String| drives.0.host.registry.open(&name, Access::Write, Box::new(|_| ()));
    let opened: Result<Vec<_>, OpenFailed> = drive.bdevs().into_iter().map(open).collect();
    opened.map_err(|error| RpcError::busy().because(format!("{error}: its controller's firmware is not replaced meanwhile")))
}

#[cfg(test)]
mod tests;
