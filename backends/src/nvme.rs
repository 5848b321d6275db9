//! NVMe controllers as block devices: each namespace is one, called by its controller's name and its number (`Nvme0n1`).
//!
//! The driver is `doorbell-nvme`; here are the names, the methods and the register of what is attached. Everything runs on the control
//! plane's reactor.

mod attach;
mod commands;
mod describe;
mod discovery;
mod drive;
mod host_name;
mod inject;
mod options;
mod params;
mod paths;
mod way;

pub use host_name::host_name;

use crate::host::{Brings, Host};
use doorbell_bdev::Module;
use doorbell_control::{ConfigCall, LocalFuture, Methods, RpcError, When};
use drive::Drive;
use options::SetOptions;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

const MODULE: &str = "nvme";

/// All controllers of the process.
#[derive(Clone)]
pub(crate) struct Drives(Rc<Inner>);

struct Inner {
    host: Host,
    options: RefCell<SetOptions>,
    drives: RefCell<Vec<Rc<Drive>>>,
    services: RefCell<Vec<Rc<discovery::Service>>>,
    /// Names of controllers that are being attached, given a path, or let go.
    busy: RefCell<BTreeSet<String>>,
}

/// A name that nobody else changes meanwhile.
struct Reserved {
    drives: Drives,
    name: String,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.drives.0.busy.borrow_mut().remove(&self.name);
    }
}

impl Drives {
    fn find(&self, name: &str) -> Option<Rc<Drive>> {
        self.0.drives.borrow().iter().find(|d| d.name() == name).cloned()
    }

    /// Keeps others from changing what this name stands for.
    fn reserve(&self, name: &str) -> Result<Reserved, RpcError> {
        if !self.0.busy.borrow_mut().insert(name.to_owned()) {
            return Err(RpcError::busy().because(format!("NVMe controller {name} is just being attached or detached")));
        }
        Ok(Reserved { drives: self.clone(), name: name.to_owned() })
    }

    fn get(&self, name: &str) -> Result<Rc<Drive>, RpcError> {
        self.find(name).ok_or_else(|| RpcError::no_device().because(format!("there is no NVMe controller named {name}")))
    }

    /// The controller of a block device.
    fn of_bdev(&self, bdev: &str) -> Option<Rc<Drive>> {
        self.0.drives.borrow().iter().find(|d| d.has_bdev(bdev)).cloned()
    }

    fn all(&self) -> Vec<Rc<Drive>> {
        self.0.drives.borrow().clone()
    }
}

impl Module for Drives {
    fn save(&self) -> Vec<ConfigCall> {
        let mut calls = vec![ConfigCall::new("bdev_nvme_set_options", &*self.0.options.borrow())];
        calls.extend(self.all().iter().flat_map(|d| d.calls()));
        calls.extend(self.0.services.borrow().iter().map(|s| s.call()));
        calls
    }

    fn stop(self: Rc<Self>) -> LocalFuture<()> {
        Box::pin(async move {
            discovery::stop_all(&self).await;
            let drives = std::mem::take(&mut *self.0.drives.borrow_mut());
            for drive in drives {
                drive.stop(&self.0.host).await;
            }
        })
    }
}

/// The methods of this back end.
pub(crate) fn bring(host: &Host, brings: &mut Brings<'_>) {
    let inner = Inner {
        host: host.clone(),
        options: RefCell::new(SetOptions::default()),
        drives: RefCell::default(),
        services: RefCell::default(),
        busy: RefCell::default(),
    };
    let drives = Drives(Rc::new(inner));
    brings.modules.push(Rc::new(drives.clone()));
    let methods = &mut *brings.methods;
    macro_rules! method {
        ($name:literal, $when:expr, $doc:literal, $run:path) => {{
            let drives = drives.clone();
            methods.add($name, $when, $doc, move |params| {
                let drives = drives.clone();
                async move { $run(&drives, params).await }
            });
        }};
    }
    method!(
        "bdev_nvme_attach_controller",
        When::Runtime,
        "Attaches an NVMe controller; gives the names of its block devices.",
        attach::attach
    );
    method!(
        "bdev_nvme_detach_controller",
        When::Runtime,
        "Detaches an NVMe controller, whose block devices go, or takes one of its paths away.",
        attach::detach
    );
    method!("bdev_nvme_get_controllers", When::Runtime, "Tells the NVMe controllers that are attached.", describe::controllers);
    method!(
        "bdev_nvme_start_discovery",
        When::Runtime,
        "Follows a discovery service: what its log lists is attached, what leaves it is detached.",
        discovery::start
    );
    method!(
        "bdev_nvme_stop_discovery",
        When::Runtime,
        "Follows a discovery service no more; what it had attached is detached.",
        discovery::stop
    );
    method!("bdev_nvme_get_discovery_info", When::Runtime, "Tells the discovery services that are followed.", discovery::info);
    method!("bdev_nvme_get_io_paths", When::Runtime, "Tells the paths that the block devices of NVMe controllers use.", paths::io_paths);
    method!("bdev_nvme_set_preferred_path", When::Runtime, "Says which path of a block device is preferred.", paths::prefer);
    method!("bdev_nvme_set_multipath_policy", When::Runtime, "Says how the paths of a block device are used.", paths::policy);
    method!("bdev_nvme_reset_controller", When::Runtime, "Resets an NVMe controller. Requests wait meanwhile.", commands::reset);
    method!("bdev_nvme_get_controller_health_info", When::Runtime, "Reads the health log of an NVMe controller.", commands::health);
    method!("bdev_nvme_send_cmd", When::Runtime, "Sends an NVMe command as it is and gives its answer.", commands::send);
    method!(
        "bdev_nvme_set_options",
        When::Any,
        "Sets how controllers attached from now on are driven: timeouts, retries, keep-alive, reconnects.",
        options::set
    );
    bring_faults(&drives, methods);
}

fn bring_faults(drives: &Drives, methods: &mut Methods) {
    let (all, doc) = (drives.clone(), "Has commands of an NVMe controller end with a status of one's choice, for a while.");
    methods.add("bdev_nvme_add_error_injection", When::Runtime, doc, move |params| {
        let drives = all.clone();
        async move { inject::add(&drives, params).await }
    });
    let (all, doc) = (drives.clone(), "Has commands of an NVMe controller end by themselves again.");
    methods.add("bdev_nvme_remove_error_injection", When::Runtime, doc, move |params| {
        let drives = all.clone();
        async move { inject::remove(&drives, params).await }
    });
}
