//! Devices of a saved configuration. Only what makes block devices is taken from it: nothing is served while it is measured.

use super::device::Made;
use super::{PerfError, error};
use crate::parts::only_block_devices;
use doorbell_backends::Host;
use doorbell_control::Control;
use doorbell_reactor::Local;
use doorbell_rpc::{LoadOptions, load_config, read_json};
use serde_json::Value;
use std::path::Path;

/// Makes the devices. They last until the control plane that comes back is stopped.
pub(super) async fn load(local: &Local, path: &Path, made: &mut Made) -> Result<Control, PerfError> {
    let said = |what: &dyn std::fmt::Display| error(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| said(&e))?;
    let mut config = read_json(&text).map_err(|e| said(&e))?;
    let host = Host {
        registry: made.registry.clone(),
        regions: made.regions.clone(),
        helpers: made.helpers()?.clone(),
        local: local.clone(),
        entropy: crate::serve::random_bytes,
    };
    let control = only_block_devices(host).map_err(error)?;
    let parts = control.parts();
    if let Some(subsystems) = config.get_mut("subsystems").and_then(Value::as_array_mut) {
        subsystems
            .retain(|one| one.get("subsystem").and_then(Value::as_str).is_none_or(|name| parts.iter().any(|part| part.name() == name)));
    }
    load_config(&control, &config, LoadOptions::default()).await.map_err(|e| said(&e))?;
    Ok(control)
}
