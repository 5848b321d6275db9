use super::*;
use crate::cli::{Cli, Command, PciBindArgs};
use clap::Parser;
use doorbell_pci::PciAddress;
use doorbell_pci::sysfs::{Driver, Hands, Sysfs};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Changes nothing.
struct Tied;

impl Hands for Tied {
    fn write(&self, _: &Path, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn modprobe(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn file(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A machine with an NVMe device and a bridge, neither of which has a driver.
fn machine() -> (Folder, Machine) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let root = std::env::temp_dir().join(format!("doorbell-pci-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    for (address, class) in [("0000:01:00.0", "0x010802"), ("0000:00:1c.0", "0x060400")] {
        let folder = format!("sys/bus/pci/devices/{address}");
        file(&root, &format!("{folder}/vendor"), "0x1b36\n");
        file(&root, &format!("{folder}/device"), "0x0010\n");
        file(&root, &format!("{folder}/class"), class);
    }
    let machine = Machine { sysfs: Sysfs::at(&root, Arc::new(Tied)), root: root.clone() };
    (Folder(root), machine)
}

fn command(line: &str) -> PciCommand {
    match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
        Command::Pci { command } => command,
        _ => panic!("not of pci"),
    }
}

fn bind_args(line: &str) -> PciBindArgs {
    match command(line) {
        PciCommand::Bind(args) => args,
        _ => panic!("not a bind"),
    }
}

fn listed(machine: &Machine, line: &str) -> String {
    let PciCommand::List(args) = command(line) else { panic!("not a list") };
    let mut out = Vec::new();
    machine.list(&args, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn storage_is_listed_and_the_rest_when_asked_for() {
    let (_folder, machine) = machine();
    let text = listed(&machine, "doorbell pci list");
    assert!(text.contains("0000:01:00.0  1b36:0010  NVMe") && !text.contains("bridge"), "{text}");
    assert!(listed(&machine, "doorbell pci list --all").contains("a bridge"));
    let json: serde_json::Value = serde_json::from_str(&listed(&machine, "doorbell pci list --json")).unwrap();
    assert_eq!(
        (&json[0]["address"], &json[0]["kind"], &json[0]["driver"]),
        (&"0000:01:00.0".into(), &"NVMe".into(), &serde_json::Value::Null)
    );
}

#[test]
fn a_unit_binds_as_it_was_said_and_goes_without_a_trace() {
    let (folder, machine) = machine();
    let address: PciAddress = "0000:01:00.0".parse().unwrap();
    let device = machine.sysfs.device(address).unwrap();
    let args = bind_args("doorbell pci bind 01:00.0 --force --user some.one --persist --memlock 4G");
    let path = machine.persist(&device, Driver::VfioPci, &args).unwrap();
    let mut out = Vec::new();
    machine.limits("some.one", &args, &mut out).unwrap();
    let unit = std::fs::read_to_string(&path).unwrap();
    assert!(unit.contains("pci bind 0000:01:00.0 --driver vfio-pci --only 1b36:0010 --force --user \"some.one\"\n"), "{unit}");
    let link = folder.0.join("etc/systemd/system/multi-user.target.wants/doorbell-pci-0000:01:00.0.service");
    assert_eq!(std::fs::read_link(&link).unwrap().to_str(), Some("/etc/systemd/system/doorbell-pci-0000:01:00.0.service"));
    let limits = folder.0.join("etc/security/limits.d/60-doorbell-some.one.conf");
    assert!(std::fs::read_to_string(&limits).unwrap().ends_with("some.one - memlock 4194304\n"));
    assert!(machine.persists(address));
    assert_eq!(machine.forget(address).unwrap().len(), 2);
    assert!(!machine.persists(address) && !path.exists() && !link.is_symlink() && !limits.exists());
    assert!(machine.forget(address).unwrap().is_empty());
}

#[test]
fn another_device_at_the_address_is_refused() {
    let (_folder, machine) = machine();
    let mut out = Vec::new();
    let args = bind_args("doorbell pci bind 01:00.0 --only 8086:0a54");
    assert!(!machine.bind(&args, &mut out).unwrap() && out.is_empty());
    let uio = bind_args("doorbell pci bind 01:00.0 --driver uio_pci_generic --user root");
    assert!(machine.bind(&uio, &mut out).unwrap_err().to_string().contains("only vfio-pci"));
    for name in ["../x", "a%b", "a\"b"] {
        let odd = PciBindArgs { user: Some(name.to_owned()), ..bind_args("doorbell pci bind 01:00.0") };
        assert!(machine.bind(&odd, &mut out).unwrap_err().to_string().contains("no name of a user"));
    }
    let nobody = bind_args("doorbell pci bind 01:00.0 --user no-such-user-here");
    assert!(machine.bind(&nobody, &mut out).unwrap_err().to_string().contains("there is no user"));
}

#[test]
fn a_machine_is_described_in_words() {
    let (folder, machine) = machine();
    let words = || {
        let PciCommand::Status(args) = command("doorbell pci status") else { panic!("not a status") };
        let mut out = Vec::new();
        machine.status(&args, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(words().contains("IOMMU: none is on") && words().contains("Taken devices: none"), "{}", words());
    std::fs::create_dir_all(folder.0.join("sys/class/iommu/dmar0")).unwrap();
    file(&folder.0, "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "8\n");
    file(&folder.0, "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "8\n");
    file(&folder.0, "proc/self/limits", "Max locked memory         8388608              8388608              bytes\n");
    let text = words();
    assert!(text.contains("IOMMU: on (dmar0)") && text.contains("may lock 8 MiB") && text.contains("2 MiB      8"), "{text}");
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for line in [
        "pci bind",
        "pci bind 1",
        "pci bind 01:00.0 --memlock 4G",
        "pci bind 01:00.0 --only 1b36",
        "pci unbind",
        "pci bind 01:00.0 -d nvme",
    ] {
        let words = std::iter::once("doorbell").chain(line.split(' '));
        assert!(Cli::try_parse_from(words).is_err(), "{line}");
    }
}
