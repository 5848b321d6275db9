//! Taking a function and giving it back.

use super::*;
use crate::sysfs::{Bound, Driver};

fn machine(group: Option<u32>) -> Arc<Machine> {
    let machine = Machine::new();
    machine.function(NVME, "0x010802", "nvme", group);
    machine.disk(NVME, "nvme0n1", 0);
    machine
}

fn asked(machine: &Machine) -> Vec<String> {
    std::mem::take(&mut machine.asked.lock().unwrap())
}

#[test]
fn a_function_is_taken_and_given_back() {
    let machine = machine(Some(4));
    let sysfs = machine.sysfs();
    let bound = sysfs.bind(nvme(), Driver::VfioPci, false).unwrap();
    assert_eq!((bound.before.as_deref(), bound.was_there, bound.device.driver.as_deref()), (Some("nvme"), false, Some("vfio-pci")));
    let changes =
        ["modprobe vfio_iommu_type1", "modprobe vfio-pci", "driver_override=vfio-pci", "unbind=0000:01:00.0", "drivers_probe=0000:01:00.0"];
    assert_eq!(asked(&machine), changes);
    assert!(sysfs.is_ours(nvme()) && sysfs.taken_from(nvme()).as_deref() == Some("nvme"));
    assert_eq!(sysfs.left_behind(), [bound.device]);
    assert!(sysfs.bind(nvme(), Driver::VfioPci, false).unwrap().was_there && asked(&machine).is_empty());
    let given = sysfs.unbind(nvme(), false).unwrap();
    assert_eq!((given.device.driver.as_deref(), given.device.driver_override), (Some("nvme"), None));
    assert!(!sysfs.is_ours(nvme()) && sysfs.left_behind().is_empty());
    asked(&machine);
    assert_eq!(sysfs.unbind(nvme(), false).unwrap().device.driver.as_deref(), Some("nvme"));
    assert!(asked(&machine).is_empty(), "it was with the kernel's driver already");
}

#[test]
fn what_is_in_use_stays_unless_forced() {
    let machine = machine(Some(4));
    machine.file("proc/self/mountinfo", "30 22 259:0 / /srv rw - xfs /dev/nvme0n1 rw\n");
    let sysfs = machine.sysfs();
    let why = sysfs.bind(nvme(), Driver::VfioPci, false).unwrap_err().to_string();
    assert!(why.contains("nvme0n1 is mounted at /srv") && why.contains("--force") && asked(&machine).is_empty(), "{why}");
    let Bound { forced, device, .. } = sysfs.bind(nvme(), Driver::VfioPci, true).unwrap();
    assert_eq!((forced.len(), device.driver.as_deref()), (1, Some("vfio-pci")));
}

#[test]
fn a_driver_that_refuses_leaves_all_as_it_was() {
    let machine = machine(Some(4));
    machine.refusing.lock().unwrap().push("vfio-pci");
    let sysfs = machine.sysfs();
    assert!(sysfs.bind(nvme(), Driver::VfioPci, false).is_err());
    let device = sysfs.device(nvme()).unwrap();
    assert_eq!((device.driver.as_deref(), device.driver_override), (Some("nvme"), None));
    assert!(!sysfs.is_ours(nvme()));
}

#[test]
fn without_an_iommu_vfio_says_what_to_do() {
    let machine = machine(None);
    let sysfs = machine.sysfs();
    let why = sysfs.bind(nvme(), Driver::VfioPci, false).unwrap_err().to_string();
    assert!(why.contains("intel_iommu=on") && why.contains("--driver uio_pci_generic"), "{why}");
    let bound = sysfs.bind(nvme(), Driver::UioPciGeneric, false).unwrap();
    assert_eq!(bound.device.driver.as_deref(), Some("uio_pci_generic"));
    machine.file("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
    assert_eq!(sysfs.bind(nvme(), Driver::VfioPci, false).unwrap().before.as_deref(), Some("uio_pci_generic"));
}

#[test]
fn a_missing_module_is_named() {
    let mut machine = machine(Some(1));
    Arc::get_mut(&mut machine).unwrap().modules.clear();
    let why = machine.sysfs().bind(nvme(), Driver::VfioPci, false).unwrap_err().to_string();
    assert!(why.contains("modprobe vfio_iommu_type1") && why.contains("no such module"), "{why}");
}

#[test]
fn what_a_program_has_open_is_not_pulled_away() {
    let machine = machine(Some(3));
    let sysfs = machine.sysfs();
    sysfs.bind(nvme(), Driver::VfioPci, false).unwrap();
    machine.file("proc/77/comm", "doorbell\n");
    machine.folder("proc/77/fd");
    symlink("/dev/vfio/3", machine.root.join("proc/77/fd/5")).unwrap();
    assert!(sysfs.left_behind().is_empty(), "somebody uses it");
    for why in [sysfs.unbind(nvme(), false).unwrap_err(), sysfs.bind(nvme(), Driver::UioPciGeneric, true).unwrap_err()] {
        assert!(why.to_string().contains("doorbell (process 77) has it open"), "{why}");
    }
    let given = sysfs.unbind(nvme(), true).unwrap();
    assert_eq!((given.users.len(), given.device.driver.as_deref()), (1, Some("nvme")));
}

#[test]
fn what_others_took_is_not_left_behind() {
    let machine = Machine::new();
    machine.function(NVME, "0x010802", "vfio-pci", Some(2));
    assert!(machine.sysfs().left_behind().is_empty());
}

#[test]
fn neighbours_in_a_group_are_told_and_bridges_stay() {
    let machine = machine(Some(5));
    machine.function("0000:01:00.1", "0x040300", "snd_hda_intel", Some(5));
    machine.function("0000:00:1c.0", "0x060400", "pcieport", Some(5));
    let bound = machine.sysfs().bind(nvme(), Driver::VfioPci, false).unwrap();
    let names: Vec<String> = bound.in_the_way.iter().map(|d| d.address.to_string()).collect();
    assert_eq!(names, ["0000:01:00.1"]);
    let why = machine.sysfs().bind("0000:00:1c.0".parse().unwrap(), Driver::VfioPci, true).unwrap_err();
    assert!(why.to_string().contains("bridge"));
}
