//! What the tests of the NVMe driver in a guest share: a guest that runs their binary again, reactors, and QEMU's controllers.

use doorbell_mem::{Backing, HugeSize, PoolSpec};
use doorbell_nvme::{Controller, Env, Options};
use doorbell_pci::sysfs::{Driver, Sysfs};
use doorbell_pci::{FunctionAddress, OpenOptions, PciAddress};
use doorbell_reactor::{Config, run};
use doorbell_sys::helper::Helpers;
use doorbell_vm::Guest;
use std::env;
use std::fs::{self, File};
use std::future::Future;
use std::path::{Path, PathBuf};

/// How a controller is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// By VFIO, with an IOMMU of 39 bits.
    Narrow,
    /// Of 48 bits.
    Wide,
    /// By uio_pci_generic and physical addresses, with no IOMMU.
    Uio,
}

impl By {
    /// As it was said to the guest.
    fn inside() -> By {
        if env::var(INSIDE).is_ok_and(|by| by == "uio") { By::Uio } else { By::Narrow }
    }
}

/// Set inside of the guest, to how controllers are reached there.
pub(crate) const INSIDE: &str = "DOORBELL_TEST_INSIDE";
pub(crate) const MIB: u64 = 1 << 20;

/// A disk of zeroes for a namespace.
pub(crate) fn image(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    File::create(&path).unwrap().set_len(16 * MIB).unwrap();
    // QEMU says that deallocated blocks read as zeroes, also when it ignores what it is asked to discard.
    format!("if=none,id={name},format=raw,discard=unmap,file={}", path.display())
}

/// Boots a guest with these disks and devices that runs the test `name` of this binary again.
pub(crate) fn boot(name: &str, by: By, disks: &[&str], devices: &[&str]) {
    let folder: PathBuf = doorbell_vm::cache().join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let mut qemu: Vec<String> = Vec::new();
    disks.iter().for_each(|disk| qemu.extend(["-drive".to_owned(), image(&folder, disk)]));
    devices.iter().for_each(|device| qemu.extend(["-device".to_owned(), (*device).to_owned()]));
    let exe = env::current_exe().unwrap();
    let script = format!("modprobe nvme; {} --exact {name} --nocapture", exe.display());
    let vfio = || Guest::new().iommu(true).modules(["vfio-pci", "vfio_iommu_type1"]).env(INSIDE, "vfio");
    let guest = match by {
        By::Narrow => vfio(),
        By::Wide => vfio().qemu(["-global", "intel-iommu.aw-bits=48"].map(String::from)),
        By::Uio => Guest::new().huge_pages(200).modules(["uio_pci_generic"]).env(INSIDE, "uio"),
    };
    let guest = guest.qemu(qemu);
    let output = guest.run(&script);
    let _ = fs::remove_dir_all(&folder);
    let output = output.expect("a guest");
    assert!(output.success() && output.stdout.contains("1 passed"), "{output}");
    eprintln!("{}", output.stdout);
}

/// Runs `test` on reactors, and sees that nothing was lost.
pub(crate) fn on_reactors<R: 'static, F: Future<Output = R> + 'static>(test: impl FnOnce(Env) -> F + 'static) -> R {
    let backing = if By::inside() == By::Uio { Backing::Huge(HugeSize::TwoMiB) } else { PoolSpec::default().backing };
    let config = Config { reactors: 2, pool: PoolSpec { backing, ..PoolSpec::default() }, ..Config::default() };
    let regions = config.regions.clone();
    let helpers = Helpers::new(2).unwrap();
    let (result, closed) = run(&config, move |local| test(Env { local, regions, helpers })).unwrap();
    for one in closed {
        assert_eq!((one.boxes_out, one.buffers_out), (0, 0), "reactor {} lost some", one.reactor.0);
    }
    result
}

/// Takes a function from the kernel's driver.
pub(crate) fn take(address: &str) -> PciAddress {
    let address: PciAddress = address.parse().unwrap();
    let driver = if By::inside() == By::Uio { Driver::UioPciGeneric } else { Driver::VfioPci };
    Sysfs::new().bind(address, driver, false).unwrap();
    address
}

pub(crate) async fn attach(env: &Env, address: PciAddress, options: Options) -> Controller {
    let how = OpenOptions { allow_physical: By::inside() == By::Uio, ..OpenOptions::default() };
    let function = doorbell_pci::open(&FunctionAddress::Pci(address), &how).unwrap();
    Controller::attach(env, &address.to_string(), function, options).await.unwrap()
}
