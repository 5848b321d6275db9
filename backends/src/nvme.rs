//! NVMe controllers as block devices: each namespace is one, called by its controller's name and its number (`Nvme0n1`).
//!
//! The driver is `doorbell-nvme`; here are the names, the methods and the register of what is attached. Everything runs on the control
//! plane's reactor.

mod attach;
mod bell;
mod commands;
mod describe;
mod discovery;
mod drive;
mod firmware;
mod host_name;
mod hotplug;
mod inject;
mod options;
mod params;
mod paths;
mod way;

pub use host_name::host_name;

use crate::host::{Brings, Host};
use doorbell_bdev::Module;
use doorbell_control::{ConfigCall, LocalFuture, Methods, RpcError, When};
use doorbell_pci::PciAddress;
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
    hotplug: hotplug::Hotplug,
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

    /// The controller behind a function of the machine.
    fn at(&self, address: PciAddress) -> Option<Rc<Drive>> {
        self.0.drives.borrow().iter().find(|d| d.address() == Some(address)).cloned()
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
        // Last, as with SPDK: what has a name of its own is attached by then.
        calls.extend(self.0.hotplug.call());
        calls
    }

    fn stop(self: Rc<Self>) -> LocalFuture<()> {
        Box::pin(async move {
            hotplug::stop(&self).await;
            discovery::stop_all(&self).await;
            let drives = std::mem::take(&mut *self.0.drives.borrow_mut());
            for drive in drives {
                drive.stop(&self.0.host).await;
            }
        })
    }
}

/// Adds a method that works with the controllers.
macro_rules! method {
    ($drives:ident, $methods:ident, $name:literal, $when:expr, $doc:literal, $run:path) => {{
        let drives = $drives.clone();
        $methods.add($name, $when, $doc, move |params| {
            let drives = drives.clone();
            async move { $run(&drives, params).await }
        });
    }};
}

/// The methods of this back end.
pub(crate) fn bring(host: &Host, brings: &mut Brings<'_>) {
    let inner = Inner {
        host: host.clone(),
        options: RefCell::new(SetOptions::default()),
        drives: RefCell::default(),
        services: RefCell::default(),
        hotplug: hotplug::Hotplug::default(),
        busy: RefCell::default(),
    };
    let drives = Drives(Rc::new(inner));
    brings.modules.push(Rc::new(drives.clone()));
    let methods = &mut *brings.methods;
    bring_attaching(&drives, methods);
    bring_paths(&drives, methods);
    bring_commands(&drives, methods);
}

/// What is attached, and how.
fn bring_attaching(drives: &Drives, methods: &mut Methods) {
    method!(
        drives,
        methods,
        "bdev_nvme_attach_controller",
        When::Runtime,
        "Attaches an NVMe controller; gives the names of its block devices.",
        attach::attach
    );
    method!(
        drives,
        methods,
        "bdev_nvme_detach_controller",
        When::Runtime,
        "Detaches an NVMe controller, whose block devices go, or takes one of its paths away.",
        attach::detach
    );
    method!(
        drives,
        methods,
        "bdev_nvme_get_controllers",
        When::Runtime,
        "Tells the NVMe controllers that are attached.",
        describe::controllers
    );
    method!(
        drives,
        methods,
        "bdev_nvme_start_discovery",
        When::Runtime,
        "Follows a discovery service: what its log lists is attached, what leaves it is detached.",
        discovery::start
    );
    method!(
        drives,
        methods,
        "bdev_nvme_stop_discovery",
        When::Runtime,
        "Follows a discovery service no more; what it had attached is detached.",
        discovery::stop
    );
    method!(
        drives,
        methods,
        "bdev_nvme_get_discovery_info",
        When::Runtime,
        "Tells the discovery services that are followed.",
        discovery::info
    );
    method!(
        drives,
        methods,
        "bdev_nvme_set_hotplug",
        When::Runtime,
        "Says whether NVMe drives that are put in, and given to vfio-pci or uio, are attached.",
        hotplug::set
    );
    method!(
        drives,
        methods,
        "bdev_nvme_set_options",
        When::Any,
        "Sets how controllers attached from now on are driven: timeouts, retries, keep-alive, reconnects.",
        options::set
    );
}

/// The ways to a controller.
fn bring_paths(drives: &Drives, methods: &mut Methods) {
    method!(
        drives,
        methods,
        "bdev_nvme_get_io_paths",
        When::Runtime,
        "Tells the paths that the block devices of NVMe controllers use.",
        paths::io_paths
    );
    method!(
        drives,
        methods,
        "bdev_nvme_set_preferred_path",
        When::Runtime,
        "Says which path of a block device is preferred.",
        paths::prefer
    );
    method!(
        drives,
        methods,
        "bdev_nvme_set_multipath_policy",
        When::Runtime,
        "Says how the paths of a block device are used.",
        paths::policy
    );
}

/// What a controller is asked to do.
fn bring_commands(drives: &Drives, methods: &mut Methods) {
    method!(
        drives,
        methods,
        "bdev_nvme_apply_firmware",
        When::Runtime,
        "Gives an NVMe controller another firmware and resets it, so that it runs. None of its block devices may be in use.",
        firmware::apply
    );
    method!(
        drives,
        methods,
        "bdev_nvme_reset_controller",
        When::Runtime,
        "Resets an NVMe controller. Requests wait meanwhile.",
        commands::reset
    );
    method!(
        drives,
        methods,
        "bdev_nvme_disable_controller",
        When::Runtime,
        "Shuts an NVMe controller down and has it stand still. Requests wait meanwhile.",
        commands::disable
    );
    method!(
        drives,
        methods,
        "bdev_nvme_enable_controller",
        When::Runtime,
        "Brings an NVMe controller up that was disabled.",
        commands::enable
    );
    method!(
        drives,
        methods,
        "bdev_nvme_get_controller_health_info",
        When::Runtime,
        "Reads the health log of an NVMe controller.",
        commands::health
    );
    method!(drives, methods, "bdev_nvme_send_cmd", When::Runtime, "Sends an NVMe command as it is and gives its answer.", commands::send);
    method!(
        drives,
        methods,
        "bdev_nvme_add_error_injection",
        When::Runtime,
        "Has commands of an NVMe controller end with a status of one's choice, for a while.",
        inject::add
    );
    method!(
        drives,
        methods,
        "bdev_nvme_remove_error_injection",
        When::Runtime,
        "Has commands of an NVMe controller end by themselves again.",
        inject::remove
    );
}
