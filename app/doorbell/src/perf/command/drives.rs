//! Namespaces of NVMe controllers under load.

use super::device::Made;
use super::{PerfError, error};
use crate::cli::Reach;
use crate::nvme;
use doorbell_bdev::Access;
use doorbell_mem::Backing;
use doorbell_nvme::{Controller, Env, Options};
use doorbell_reactor::Local;

/// What is to be attached.
pub(crate) struct Drives {
    /// Each controller, and which of its namespaces.
    pub(crate) controllers: Vec<(Reach, Vec<u32>)>,
    /// Does the load write?
    pub(crate) writes: bool,
}

impl Drives {
    /// Memory that all of them can reach.
    pub(super) fn backing(&self) -> Backing {
        let physical = self.controllers.iter().find(|(reach, _)| reach.allow_physical);
        physical.map_or(Backing::Ordinary, |(reach, _)| nvme::backing(reach))
    }
}

/// The name of a namespace in reports.
pub(crate) fn name(reach: &Reach, nsid: u32) -> String {
    format!("{} namespace {nsid}", reach.controller)
}

/// Controllers that are attached.
#[derive(Default)]
pub(super) struct Attached(Vec<Controller>);

impl Attached {
    /// Attaches them and opens their namespaces. What was attached before something failed is kept, for `detach`.
    pub(super) async fn add(&mut self, local: &Local, drives: &Drives, made: &mut Made) -> Result<(), PerfError> {
        let env = Env { local: local.clone(), regions: made.regions.clone(), helpers: made.helpers()?.clone() };
        let access = if drives.writes { Access::Write } else { Access::Read };
        for (reach, nsids) in &drives.controllers {
            let controller = nvme::attach(&env, reach, Options::default()).await.map_err(error)?;
            self.0.push(controller.clone());
            let all = controller.namespaces();
            for nsid in nsids {
                let found = all.iter().find(|namespace| namespace.nsid() == *nsid);
                let namespace = found.ok_or_else(|| error(format!("{} has gone", name(reach, *nsid))))?;
                made.adopt(&name(reach, *nsid), namespace.clone(), access)?;
            }
        }
        Ok(())
    }

    /// Lets them go.
    pub(super) async fn detach(self) {
        for controller in self.0 {
            controller.detach().await;
        }
    }
}
