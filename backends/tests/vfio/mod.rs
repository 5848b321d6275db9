//! What the tests of the NVMe driver in a guest share: a guest that runs their binary again, reactors, and QEMU's controllers.

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

/// Set inside of the guest.
pub(crate) const INSIDE: &str = "DOORBELL_TEST_INSIDE";
pub(crate) const MIB: u64 = 1 << 20;

/// A disk of zeroes for a namespace.
pub(crate) fn image(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    File::create(&path).unwrap().set_len(16 * MIB).unwrap();
    // QEMU says that deallocated blocks read as zeroes, also when it ignores what it is asked to discard.
    format!("if=none,id={name},format=raw,discard=unmap,file={}", path.display())
}

/// Boots a guest with these disks and devices that runs the test `name` of this binary again. `wide`: an IOMMU of 48 bits instead of 39.
pub(crate) fn in_a_guest(name: &str, wide: bool, disks: &[&str], devices: &[&str]) {
    let folder: PathBuf = doorbell_vm::cache().join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let mut qemu: Vec<String> = Vec::new();
    disks.iter().for_each(|disk| qemu.extend(["-drive".to_owned(), image(&folder, disk)]));
    devices.iter().for_each(|device| qemu.extend(["-device".to_owned(), (*device).to_owned()]));
    let exe = env::current_exe().unwrap();
    let script = format!("modprobe nvme; {} --exact {name} --nocapture", exe.display());
    let guest = Guest::new().iommu(true).modules(["vfio-pci", "vfio_iommu_type1"]).qemu(qemu).env(INSIDE, "1");
    let guest = if wide { guest.qemu(["-global", "intel-iommu.aw-bits=48"].map(String::from)) } else { guest };
    let output = guest.run(&script);
    let _ = fs::remove_dir_all(&folder);
    let output = output.expect("a guest");
    assert!(output.success() && output.stdout.contains("1 passed"), "{output}");
    eprintln!("{}", output.stdout);
}

/// Runs `test` on reactors, and sees that nothing was lost.
pub(crate) fn on_reactors<R: 'static, F: Future<Output = R> + 'static>(test: impl FnOnce(Env) -> F + 'static) -> R {
    let config = Config { reactors: 2, ..Config::default() };
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
    Sysfs::new().bind(address, Driver::VfioPci, false).unwrap();
    address
}

pub(crate) async fn attach(env: &Env, address: PciAddress, options: Options) -> Controller {
    let function = doorbell_pci::open(&FunctionAddress::Pci(address), &OpenOptions::default()).unwrap();
    Controller::attach(env, &address.to_string(), function, options).await.unwrap()
}
