//! The one place where the crates' parts and methods become one process. To add something: one line here.

use crate::memory::IobufPart;
use crate::reactors::Reactors;
use crate::serve::Volumes;
use doorbell_backends::{Brings, Host};
use doorbell_bdev::{BdevPart, Examiner, Registry};
use doorbell_control::{Control, ControlError, Notifications, Options};
use doorbell_mem::{PoolSpec, Regions};
use doorbell_nvmf::{NvmfPart, Target};
use doorbell_reactor::Local;
use doorbell_rpc::{Builtins, LogControl, Signal, add_tuning};
use doorbell_sys::helper::Helpers;
use std::rc::Rc;

#[cfg(test)]
mod tests;

/// What the process gives to its parts.
pub(crate) struct Process {
    /// The first reactor, on which control work is done.
    pub(crate) local: Local,
    /// The reactors, for overviews.
    pub(crate) reactors: Reactors,
    /// Where memory comes from.
    pub(crate) regions: Regions,
    /// What the reactors' pools are made of.
    pub(crate) pool: PoolSpec,
    /// Threads for what blocks.
    pub(crate) helpers: Helpers,
    /// The log.
    pub(crate) log: Rc<dyn LogControl>,
    /// Does what a signal does.
    pub(crate) kill: Rc<dyn Fn(Signal)>,
    /// The only methods that may be called; none: all.
    pub(crate) allowed: Option<Vec<String>>,
}

/// The parts, where the process itself needs them.
#[derive(Clone)]
pub(crate) struct Parts {
    /// Runs methods, starts and stops parts.
    pub(crate) control: Control,
    /// The block devices.
    pub(crate) registry: Registry,
    /// The NVMe-oF target.
    pub(crate) target: Target,
    /// Serves volumes that come.
    pub(crate) volumes: Rc<Volumes>,
}

/// This version, as three numbers.
fn version() -> (u32, u32, u32) {
    let mut numbers = env!("CARGO_PKG_VERSION").split('.').map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

/// Puts them together. Nothing starts yet.
pub(crate) fn assemble(process: Process) -> Result<Parts, ControlError> {
    let Process { local, reactors, regions, pool, helpers, log, kill, allowed } = process;
    let notifications = Notifications::new();
    let notice = Box::new(|text: &str| tracing::info!("{text}"));
    let control = Control::new(Options { allowed, notice: Some(notice), notifications: notifications.clone() });
    let registry = reactors.registry.clone();
    let target = Target::with_regions(regions.clone());

    control.add_part(IobufPart::new(local.clone(), regions.clone(), pool, reactors.cpus.clone()))?;
    let host = Host { registry: registry.clone(), regions, helpers, local: local.clone(), entropy: crate::serve::random_bytes };
    let volumes = Rc::new(Volumes::default());
    block_devices(&control, host, notifications, Some(volumes.clone()))?;
    control.add_part(NvmfPart::new(target.clone(), registry.clone(), local.clone()))?;
    control.add_methods(|methods| reactors.methods(methods))?;
    Builtins { version: version(), log, kill }.add_to(&control)?;
    add_tuning(&control)?; // last: it only fills gaps
    Ok(Parts { control, registry, target, volumes })
}

/// Block devices alone, for a process that serves nobody.
pub(crate) fn only_block_devices(host: Host) -> Result<Control, ControlError> {
    let notifications = Notifications::new();
    let notice = Box::new(|text: &str| tracing::info!("{text}"));
    let control = Control::new(Options { allowed: None, notice: Some(notice), notifications: notifications.clone() });
    block_devices(&control, host, notifications, None)?;
    add_tuning(&control)?;
    Ok(control)
}

fn block_devices(control: &Control, host: Host, notifications: Notifications, last: Option<Rc<Volumes>>) -> Result<(), ControlError> {
    let (mut examiners, mut modules) = (Vec::new(), Vec::new());
    control.add_methods(|methods| {
        doorbell_backends::bring_all(&host, &mut Brings { methods, examiners: &mut examiners, modules: &mut modules });
    })?;
    examiners.extend(last.map(|last| last as Rc<dyn Examiner>));
    control.add_part(BdevPart::new(host.registry, host.local, notifications, examiners, modules))
}
