//! What is found, and what is in use.

use super::*;
use crate::sysfs::{Group, InUse, Process};

#[test]
fn a_function_is_read_with_its_bars_and_group() {
    let machine = Machine::new();
    machine.function(NVME, "0x010802", "nvme", Some(7));
    machine.function("0000:00:02.0", "0x030000", "", None);
    machine.disk(NVME, "nvme0n1", 1);
    let sysfs = machine.sysfs();
    let all = sysfs.devices();
    assert_eq!(all.iter().map(|d| d.address.to_string()).collect::<Vec<_>>(), ["0000:00:02.0", NVME]);
    let device = &all[1];
    assert!(device.is_nvme() && device.is_storage() && !device.is_bridge() && !device.is_taken() && device.kind() == "NVMe");
    assert_eq!((device.vendor, device.device, device.class, device.numa_node), (0x1b36, 0x10, 0x10802, None));
    assert_eq!(device.group, Some(Group { number: 7, is_noiommu: false }));
    assert_eq!(device.group.as_ref().unwrap().node().to_str(), Some("/dev/vfio/7"));
    assert_eq!((device.driver.as_deref(), &device.driver_override), (Some("nvme"), &None));
    let bars: Vec<(u8, u64, bool)> = device.resources.iter().map(|r| (r.index, r.len, r.is_memory)).collect();
    assert_eq!(bars, [(0, 16384, true), (2, 32, false)]);
    let disks = sysfs.disks(nvme());
    assert_eq!((disks.len(), disks[0].len, &disks[0].partitions), (1, 4 << 20, &vec!["nvme0n1p1".to_owned()]));
    assert!(sysfs.device("0000:09:00.0".parse().unwrap()).unwrap_err().to_string().contains("pci list --all"));
}

/// What `change` makes of an empty disk with so many partitions.
fn found(partitions: u32, change: impl Fn(&Machine)) -> Vec<InUse> {
    let machine = Machine::new();
    machine.function(NVME, "0x010802", "nvme", None);
    machine.disk(NVME, "nvme0n1", partitions);
    change(&machine);
    let sysfs = machine.sysfs();
    sysfs.in_use(&sysfs.device(nvme()).unwrap())
}

fn with(at: usize, bytes: &[u8]) -> Vec<InUse> {
    found(0, |machine| {
        let mut disk = vec![0; 4 << 20];
        disk[at..at + bytes.len()].copy_from_slice(bytes);
        machine.file("dev/nvme0n1", disk);
    })
}

#[test]
fn an_empty_disk_is_free() {
    assert_eq!(found(0, |_| {}), []);
    // SPDK's and our own volumes are what a drive is taken for.
    assert_eq!(with(0, b"SPDKBLOB"), []);
    // A boot record's mark alone is on many an erased disk.
    assert_eq!(with(510, &[0x55, 0xaa]), []);
}

#[test]
fn each_use_is_told() {
    let said = |found: Vec<InUse>| found.iter().map(InUse::to_string).collect::<Vec<_>>();
    let mount = "30 22 259:1 / /srv rw - xfs /dev/nvme0n1p1 rw\n";
    assert_eq!(
        said(found(1, |m| m.file("proc/self/mountinfo", mount))),
        ["nvme0n1p1 is mounted at /srv", "nvme0n1 has partitions (nvme0n1p1)"]
    );
    let foreign = "30 22 0:44 /sub /data rw shared:1 - btrfs /dev/nvme0n1 rw\n";
    assert_eq!(said(found(0, |m| m.file("proc/1/mountinfo", foreign))), ["nvme0n1 is mounted at /data"]);
    assert_eq!(said(found(0, |m| m.file("proc/swaps", "/dev/nvme0n1 partition 1 0 -2\n"))), ["nvme0n1 is in use as swap"]);
    let holder = "sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1/holders/dm-0";
    assert_eq!(said(found(0, |m| m.folder(holder))), ["nvme0n1 is part of dm-0"]);
    assert_eq!(said(found(2, |_| {})), ["nvme0n1 has partitions (nvme0n1p1, nvme0n1p2)"]);
    assert_eq!(said(with(0x438, &[0x53, 0xef])), ["nvme0n1 carries an ext file system"]);
    assert_eq!(said(with((4 << 20) - 512, b"EFI PART")), ["nvme0n1 carries the copy of a partition table (GPT)"]);
    assert_eq!(said(with(0x2_0400, &0x00ba_b10c_u64.to_le_bytes())), ["nvme0n1 carries a ZFS pool's member"]);
    let mut table = [0; 66];
    table[4] = 0x83;
    table[12] = 9;
    table[64..].copy_from_slice(&[0x55, 0xaa]);
    assert_eq!(said(with(446, &table)), ["nvme0n1 carries a partition table (MBR)"]);
    let gone = said(found(0, |m| std::fs::remove_file(m.root.join("dev/nvme0n1")).unwrap()));
    assert!(gone[0].starts_with("nvme0n1 cannot be looked at"), "{gone:?}");
}

#[test]
fn a_disk_with_several_paths_is_found_by_the_name_that_programs_use() {
    let machine = Machine::new();
    machine.function(NVME, "0x010802", "nvme", None);
    machine.disk(NVME, "nvme2c0n1", 0);
    machine.file("sys/devices/virtual/nvme-subsystem/nvme-subsys2/nvme2n1/size", "16\n");
    machine.file("sys/devices/virtual/nvme-subsystem/nvme-subsys2/nvme2n1/dev", "259:5\n");
    machine.link("sys/class/block/nvme2n1", "sys/devices/virtual/nvme-subsystem/nvme-subsys2/nvme2n1");
    machine.file("dev/nvme2n1", [0; 8192]);
    machine.file("proc/self/mountinfo", "30 22 259:5 / /srv rw - xfs /dev/nvme2n1 rw\n");
    let sysfs = machine.sysfs();
    let told = sysfs.in_use(&sysfs.device(nvme()).unwrap());
    assert_eq!(told, [InUse::Mounted { disk: "nvme2n1".into(), at: "/srv".into() }]);
}

#[test]
fn an_interface_that_is_up_is_in_use() {
    let machine = Machine::new();
    machine.function(NVME, "0x020000", "e1000e", None);
    machine.file("sys/devices/pci0000:00/0000:01:00.0/net/eth0/operstate", "up\n");
    machine.link("sys/class/net/eth0", "sys/devices/pci0000:00/0000:01:00.0/net/eth0");
    let sysfs = machine.sysfs();
    assert_eq!(sysfs.in_use(&sysfs.device(nvme()).unwrap()), [InUse::Network { interface: "eth0".into() }]);
    machine.file("sys/devices/pci0000:00/0000:01:00.0/net/eth0/operstate", "down\n");
    assert_eq!(sysfs.in_use(&sysfs.device(nvme()).unwrap()), []);
}

#[test]
fn who_has_a_group_open_is_found() {
    let machine = Machine::new();
    machine.folder("sys/bus/pci/drivers/vfio-pci");
    machine.function(NVME, "0x010802", "vfio-pci", Some(3));
    machine.file("proc/77/comm", "door\x1bbell\n");
    machine.folder("proc/77/fd");
    symlink("/dev/vfio/3", machine.root.join("proc/77/fd/5")).unwrap();
    machine.folder("proc/78/fd");
    symlink("/dev/vfio/33", machine.root.join("proc/78/fd/5")).unwrap();
    let sysfs = machine.sysfs();
    let users = sysfs.users(&sysfs.device(nvme()).unwrap());
    assert_eq!(users, [Process { pid: 77, name: "door?bell".into() }]);
}

#[test]
fn the_host_is_told() {
    let machine = Machine::new();
    machine.folder("sys/class/iommu/dmar0");
    machine.file("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "8\n");
    machine.file("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "5\n");
    machine.file("sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "2\n");
    machine.file(
        "proc/self/limits",
        "Limit  Soft Limit  Hard Limit Units\nMax locked memory         8388608              8388608              bytes\n",
    );
    let host = machine.sysfs().host();
    assert_eq!((host.iommus.len(), host.allows_noiommu, host.memlock_kib), (1, false, Some(8192)));
    assert_eq!(host.huge_pages, [HugePages { kib: 2048, total: 8, free: 3 }]);
    machine.file("proc/self/limits", "Max locked memory         unlimited            unlimited            bytes\n");
    assert_eq!(machine.sysfs().host().memlock_kib, None);
}

#[test]
fn those_that_were_taken_are_found_by_their_drivers() {
    let machine = Machine::new();
    machine.function("0000:01:00.0", "0x010802", "vfio-pci", Some(1));
    machine.function("0000:02:00.0", "0x010802", "nvme", Some(2));
    machine.function("0000:03:00.0", "0x020000", "uio_pci_generic", None);
    for (address, driver) in [("0000:01:00.0", "vfio-pci"), ("0000:02:00.0", "nvme"), ("0000:03:00.0", "uio_pci_generic")] {
        machine.link(&format!("sys/bus/pci/drivers/{driver}/{address}"), &format!("sys/devices/pci0000:00/{address}"));
    }
    machine.file("sys/bus/pci/drivers/vfio-pci/new_id", "");
    let found: Vec<(String, bool)> = machine.sysfs().taken().iter().map(|d| (d.address.to_string(), d.is_nvme())).collect();
    assert_eq!(found, [("0000:01:00.0".to_owned(), true), ("0000:03:00.0".to_owned(), false)]);
}
