//! `--volume-store`: every volume of a store is served, those that are there and those that come.
//!
//! What it is not: it serves no snapshots, which a client may have served one by one; and a namespace that a client takes away stays away.
//!
//! Invariants: a volume is the same namespace in every run, or a host that comes back would find another disk in its place; the control plane is
//! held only while something is served, or the two would keep each other alive.

use super::plan::{self, Found, NSID_MAX, Plan, Step, Store};
use super::run::call;
use super::{ServeError, error};
use crate::parts::Parts;
use crate::size::Size;
use doorbell_bdev::{Bdev, Examiner};
use doorbell_control::Control;
use doorbell_reactor::Local;
use doorbell_wire_blob::BlobId;
use serde_json::json;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

/// Where volumes are served.
struct Served {
    control: Control,
    nqn: String,
    stores: Stores,
}

/// The stores whose volumes are served.
struct Stores {
    /// The devices that they lie on, in the order of the flags.
    bases: Vec<String>,
    /// Namespaces that are left to other devices.
    others: u32,
}

impl Stores {
    fn of(plan: &Plan) -> Stores {
        let alone = plan.devices.is_empty() && plan.drives.is_empty();
        Stores { bases: plan.stores.iter().map(|(name, _)| name.clone()).collect(), others: if alone { 0 } else { OTHERS } }
    }

    /// How it is served, if it is a volume, and no snapshot, of one of the stores.
    fn found(&self, bdev: &Bdev) -> Option<Found> {
        if bdev.module() != "lvol" {
            return None;
        }
        let told = bdev.driver_specific();
        let base = told["lvol"]["base_bdev"].as_str()?;
        let store = self.bases.iter().position(|one| one == base)?;
        let blob = told["doorbell"]["blob"].as_str()?.strip_prefix("0x")?;
        let blob = BlobId::from_raw(u64::from_str_radix(blob, 16).ok()?)?;
        let found = Found { name: bdev.name().to_owned(), uuid: bdev.uuid(), nsid: self.nsid(store, blob) };
        (told["lvol"]["snapshot"] == false).then_some(found)
    }

    /// The namespace that a volume always is: no two of a store have one root page. None: beyond what a subsystem can have.
    fn nsid(&self, store: usize, blob: BlobId) -> Option<u32> {
        // Page 0 is that of the blob that describes the store.
        let nth = u64::from(blob.root().0.checked_sub(1)?) * self.bases.len() as u64 + store as u64 + 1;
        u32::try_from(nth + u64::from(self.others)).ok().filter(|nsid| *nsid <= NSID_MAX)
    }
}

/// Namespaces that devices and drives may be, where volumes are served beside them.
const OTHERS: u32 = 1024;

/// Looks at each block device that comes: is it a volume that is to be served?
#[derive(Default)]
pub(crate) struct Volumes(RefCell<Option<Rc<Served>>>);

impl Examiner for Volumes {
    fn name(&self) -> &'static str {
        "volumes"
    }

    fn examine(&self, _: Local, bdev: Arc<Bdev>) -> Pin<Box<dyn Future<Output = ()>>> {
        let served = self.0.borrow().clone();
        Box::pin(async move {
            let Some((served, found)) = served.and_then(|served| Some((served.clone(), served.stores.found(&bdev)?))) else { return };
            let name = bdev.aliases().into_iter().next().unwrap_or_else(|| found.name.clone());
            if found.nsid.is_none() {
                tracing::warn!(
                    volume = name,
                    "there are more volumes than namespaces: which one it is may change when the server is started again"
                );
            }
            let Step { method, params } = plan::add_namespace(&served.nqn, &found.name, &found.uuid.to_string(), found.nsid);
            match served.control.call(method, Some(params.into())).await {
                Ok(nsid) => tracing::info!(volume = name, %nsid, "served"),
                Err(error) => tracing::error!(volume = name, %error, "a volume is not served"),
            }
        })
    }
}

impl Volumes {
    /// Serves the volumes that come from now on.
    pub(super) fn serve(&self, control: &Control, plan: &Plan) {
        let nqn = plan.subsystem.nqn.clone();
        *self.0.borrow_mut() = Some(Rc::new(Served { control: control.clone(), nqn, stores: Stores::of(plan) }));
    }

    /// Serves nothing more.
    pub(super) fn end(&self) {
        self.0.take();
    }
}

/// The volumes that are there.
pub(super) fn all(parts: &Parts, plan: &Plan) -> Vec<Found> {
    let stores = Stores::of(plan);
    parts.registry.all().iter().filter_map(|bdev| stores.found(bdev)).collect()
}

/// Opens the store on its device, which is there, or makes it.
pub(super) async fn open(parts: &Parts, device: &str, store: &Store) -> Result<(), ServeError> {
    call(parts, plan::step("bdev_wait_for_examine", json!({}))).await?;
    let path = store.spec.path.display();
    let all = call(parts, plan::step("bdev_lvol_get_lvstores", json!({}))).await?;
    let there = all.as_array().into_iter().flatten().find(|one| one["base_bdev"] == device);
    match (there, store.is_blank) {
        (Some(there), _) => {
            let name = there["name"].as_str().unwrap_or_default();
            if let Some(wanted) = store.spec.name.as_deref().filter(|wanted| *wanted != name) {
                return Err(error(format!("--volume-store {path}: the store in it is called {name}, not {wanted}: leave out name=")));
            }
            match store.spec.size {
                // The file was made larger, if it was smaller.
                Some(_) => call(parts, plan::step("bdev_lvol_grow_lvstore", json!({"uuid": there["uuid"]}))).await.map(drop),
                None => Ok(()),
            }
        }
        (None, true) => {
            let params = json!({"bdev_name": device, "lvs_name": store.name()});
            call(parts, plan::step("bdev_lvol_create_lvstore", params)).await.map(drop)
        }
        (None, false) => {
            let ways = format!(
                "`doorbell volume check {path}` says whether one is damaged, `doorbell volume init {path} NAME --destroy-data` makes a new one"
            );
            Err(error(format!("--volume-store {path}: there is no store in it that can be loaded, and it is not empty. {ways}")))
        }
    }
}

/// The lines of the banner for a store.
pub(super) async fn told(parts: &Parts, stores: &[(String, Store)]) -> Result<Vec<String>, ServeError> {
    let all = call(parts, plan::step("bdev_lvol_get_lvstores", json!({}))).await?;
    let mut lines = Vec::new();
    for (device, store) in stores {
        let Some(one) = all.as_array().into_iter().flatten().find(|one| one["base_bdev"] == device.as_str()) else { continue };
        let number = |key: &str| one[key].as_u64().unwrap_or_default();
        let free = Size(number("free_clusters") * number("cluster_size"));
        let name = one["name"].as_str().unwrap_or_default();
        lines.push(format!("the volumes of {name} in {}, {free} free", store.spec.path.display()));
    }
    Ok(lines)
}
