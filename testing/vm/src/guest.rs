//! What a guest is to be like: a list of wishes, and the run that grants them.

use std::path::PathBuf;
use std::time::Duration;

use crate::image::Image;
use crate::qemu;
use crate::{GuestError, Output, Running};

/// A guest to be. [`Guest::run`] boots it, and nothing remains of it afterwards.
#[derive(Clone, Debug)]
pub struct Guest {
    pub(crate) modules: Vec<String>,
    pub(crate) writable: Vec<PathBuf>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) network: bool,
    pub(crate) forwards: Vec<(u16, u16)>,
    pub(crate) scratch_mib: Option<u64>,
    pub(crate) memory_mib: u32,
    pub(crate) cpus: u32,
    pub(crate) huge_pages: u32,
    pub(crate) iommu: bool,
    pub(crate) shared_memory: bool,
    pub(crate) kernel_arguments: Vec<String>,
    pub(crate) qemu_arguments: Vec<String>,
    pub(crate) timeout: Duration,
}

impl Default for Guest {
    fn default() -> Self {
        Guest::new()
    }
}

impl Guest {
    /// Two CPUs, 1 GiB, no network, five minutes.
    #[must_use]
    pub fn new() -> Self {
        Guest {
            modules: Vec::new(),
            writable: Vec::new(),
            environment: Vec::new(),
            network: false,
            forwards: Vec::new(),
            scratch_mib: None,
            memory_mib: 1_024,
            cpus: 2,
            huge_pages: 0,
            iommu: false,
            shared_memory: false,
            kernel_arguments: Vec::new(),
            qemu_arguments: Vec::new(),
            timeout: Duration::from_secs(300),
        }
    }

    /// Kernel modules to load before the script runs.
    #[must_use]
    pub fn modules<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.modules.extend(names.into_iter().map(Into::into));
        self
    }

    /// A network card: the host's 127.0.0.1 is the guest's 10.0.2.2. The guest's own loopback needs none.
    #[must_use]
    pub fn net(mut self, wanted: bool) -> Self {
        self.network = wanted;
        self
    }

    /// A network card, and the guest's TCP port reachable at a port of the host's 127.0.0.1. The host's port accepts before the guest
    /// listens, so wait for a line that the script prints ([`Running::wait_for`]).
    #[must_use]
    pub fn forward(mut self, host_port: u16, guest_port: u16) -> Self {
        self.network = true;
        self.forwards.push((host_port, guest_port));
        self
    }

    /// A folder of the host that the guest may write to, under the same path. It takes no `O_DIRECT`: see [`Guest::scratch_mib`].
    #[must_use]
    pub fn rw(mut self, folder: impl Into<PathBuf>) -> Self {
        self.writable.push(folder.into());
        self
    }

    /// An empty ext4 file system of this size at `/scratch`, on a disk of its own.
    #[must_use]
    pub fn scratch_mib(mut self, size: u64) -> Self {
        self.scratch_mib = Some(size);
        self
    }

    /// A variable in the script's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// How long the script may take, booting included, once no other guest runs.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// How much memory it has. What the script writes outside shared folders takes from it.
    #[must_use]
    pub fn memory_mib(mut self, size: u32) -> Self {
        self.memory_mib = size;
        self
    }

    /// How many CPUs it has.
    #[must_use]
    pub fn cpus(mut self, count: u32) -> Self {
        self.cpus = count;
        self
    }

    /// How many huge pages of 2 MiB are set aside at boot.
    #[must_use]
    pub fn huge_pages(mut self, count: u32) -> Self {
        self.huge_pages = count;
        self
    }

    /// An emulated Intel IOMMU with interrupt remapping, 39 bits wide: what VFIO needs.
    #[must_use]
    pub fn iommu(mut self, wanted: bool) -> Self {
        self.iommu = wanted;
        self
    }

    /// Memory that a vhost-user program of the host can map.
    #[must_use]
    pub fn shared_memory(mut self, wanted: bool) -> Self {
        self.shared_memory = wanted;
        self
    }

    /// More words for the kernel's command line.
    #[must_use]
    pub fn kernel<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.kernel_arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// More arguments for QEMU: drives, NVMe controllers, vhost-user devices.
    #[must_use]
    pub fn qemu<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.qemu_arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Boots it, runs `script` with bash as root in the caller's working folder, and waits for the end.
    pub fn run(&self, script: &str) -> Result<Output, GuestError> {
        self.start(script)?.wait()
    }

    /// Boots it and lets the script run.
    pub fn start(&self, script: &str) -> Result<Running, GuestError> {
        let image = Image::take()?;
        let folder = qemu::prepare(self, &image, script)?;
        let child = qemu::boot(self, &image, folder.path())?;
        Ok(Running::new(child, folder, image, self.timeout))
    }
}
