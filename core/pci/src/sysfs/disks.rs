//! The disks and network interfaces behind a function, and whether somebody would miss them.

use super::{Device, Sysfs, names, read, signature};
use crate::PciAddress;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A disk that the kernel presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its name, such as `nvme0n1`.
    pub name: String,
    /// Bytes.
    pub len: u64,
    /// Its partitions' names.
    pub partitions: Vec<String>,
}

/// Why a function should stay where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InUse {
    /// A disk or partition is mounted.
    Mounted {
        /// Which.
        disk: String,
        /// Where.
        at: String,
    },
    /// It is swapped to.
    Swap {
        /// Which.
        disk: String,
    },
    /// Another device of the kernel lies on it.
    Held {
        /// Which.
        disk: String,
        /// By what: `dm-0`, `md127`.
        by: Vec<String>,
    },
    /// A program, or the kernel, has it open for itself.
    Open {
        /// Which.
        disk: String,
    },
    /// It has partitions.
    Partitioned {
        /// Which.
        disk: String,
        /// Their names.
        partitions: Vec<String>,
    },
    /// It seems to carry data.
    Carries {
        /// Which.
        disk: String,
        /// What.
        what: &'static str,
    },
    /// It cannot be read, so nobody knows.
    Unreadable {
        /// Which.
        disk: String,
        /// Why.
        why: String,
    },
    /// A network interface is up.
    Network {
        /// Which.
        interface: String,
    },
}

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InUse::Mounted { disk, at } => write!(f, "{disk} is mounted at {at}"),
            InUse::Swap { disk } => write!(f, "{disk} is in use as swap"),
            InUse::Held { disk, by } => write!(f, "{disk} is part of {}", by.join(", ")),
            InUse::Open { disk } => write!(f, "{disk} is held open by a program or by the kernel"),
            InUse::Partitioned { disk, partitions } => write!(f, "{disk} has partitions ({})", partitions.join(", ")),
            InUse::Carries { disk, what } => write!(f, "{disk} carries {what}"),
            InUse::Unreadable { disk, why } => write!(f, "{disk} cannot be looked at: {why}"),
            InUse::Network { interface } => write!(f, "network interface {interface} is up"),
        }
    }
}

impl Sysfs {
    /// The disks behind a function.
    pub fn disks(&self, address: PciAddress) -> Vec<Disk> {
        self.disk_names(address).into_iter().map(|name| self.disk(name)).collect()
    }

    fn disk_names(&self, address: PciAddress) -> BTreeSet<String> {
        let Ok(own) = self.path(self.folder(address)).canonicalize() else { return BTreeSet::new() };
        let classes = self.path("/sys/class/block");
        let behind = names(&classes).into_iter().filter(|name| {
            let folder = classes.join(name);
            !folder.join("partition").exists() && folder.canonicalize().is_ok_and(|place| place.starts_with(&own))
        });
        // A path to a namespace with several (nvme2c0n1) hides behind the disk that programs use (nvme2n1).
        behind.map(|name| visible(&name).unwrap_or(name)).filter(|name| classes.join(name).exists()).collect()
    }

    fn disk(&self, name: String) -> Disk {
        let folder = self.path("/sys/class/block").join(&name);
        let sectors = read(&folder.join("size")).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        let partitions = names(&folder).into_iter().filter(|inner| folder.join(inner).join("partition").exists()).collect();
        Disk { name, len: sectors.saturating_mul(512), partitions }
    }

    /// Everything that speaks against taking a function from its driver.
    pub fn in_use(&self, device: &Device) -> Vec<InUse> {
        let mut all = Vec::new();
        for disk in self.disks(device.address) {
            let before = all.len();
            for name in std::iter::once(&disk.name).chain(&disk.partitions) {
                self.holders(name, &disk, &mut all);
            }
            let is_held = all.len() > before;
            if !disk.partitions.is_empty() {
                all.push(InUse::Partitioned { disk: disk.name.clone(), partitions: disk.partitions.clone() });
            }
            self.contents(&disk, is_held, &mut all);
        }
        all.extend(self.interfaces(device.address).into_iter().map(|interface| InUse::Network { interface }));
        all
    }

    /// Mounts, swap and other devices on a disk or partition.
    fn holders(&self, name: &str, disk: &Disk, all: &mut Vec<InUse>) {
        let folder = self.path("/sys/class/block").join(name);
        let number = read(&folder.join("dev")).unwrap_or_default();
        let node = format!("/dev/{name}");
        // Of process 1 too: it may see mounts that this one does not.
        let mounts = ["/proc/self/mountinfo", "/proc/1/mountinfo"].map(|file| self.read(file).unwrap_or_default());
        let places: BTreeSet<String> = mounts.iter().flat_map(|text| mounted(text, &number, &node)).collect();
        all.extend(places.into_iter().map(|at| InUse::Mounted { disk: name.to_owned(), at }));
        let swaps = self.read("/proc/swaps").unwrap_or_default();
        if swaps.lines().any(|line| line.split_whitespace().next() == Some(&node)) {
            all.push(InUse::Swap { disk: name.to_owned() });
        }
        let holders = names(&folder.join("holders"));
        // With several paths the visible disk holds none of them; partitions are named by themselves.
        let by: Vec<String> = holders.into_iter().filter(|holder| *holder != disk.name).collect();
        if !by.is_empty() {
            all.push(InUse::Held { disk: name.to_owned(), by });
        }
    }

    fn contents(&self, disk: &Disk, is_held: bool, all: &mut Vec<InUse>) {
        if disk.len == 0 {
            return;
        }
        let node = self.path(format!("/dev/{}", disk.name));
        match open_alone(&node) {
            Ok(file) => match len(&file).and_then(|len| signature::look(&file, len)) {
                Ok(None) => {}
                Ok(Some(what)) => all.push(InUse::Carries { disk: disk.name.clone(), what }),
                Err(error) => all.push(InUse::Unreadable { disk: disk.name.clone(), why: error.to_string() }),
            },
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                if !is_held {
                    all.push(InUse::Open { disk: disk.name.clone() });
                }
            }
            Err(error) => all.push(InUse::Unreadable { disk: disk.name.clone(), why: error.to_string() }),
        }
    }

    /// Network interfaces behind a function that are up.
    fn interfaces(&self, address: PciAddress) -> Vec<String> {
        let Ok(own) = self.path(self.folder(address)).canonicalize() else { return Vec::new() };
        let classes = self.path("/sys/class/net");
        let behind = names(&classes).into_iter().filter(|name| {
            let folder: PathBuf = classes.join(name);
            let is_up = read(&folder.join("operstate")).is_some_and(|state| state == "up" || state == "unknown");
            is_up && folder.canonicalize().is_ok_and(|place| place.starts_with(&own))
        });
        behind.collect()
    }
}

/// Opens a disk as nobody else may have it open: what is mounted, in a RAID or held by a program anywhere is busy.
fn open_alone(node: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().read(true).custom_flags(libc::O_EXCL | libc::O_CLOEXEC).open(node)
}

/// Bytes of a file, or of a block device.
fn len(mut file: &File) -> std::io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

/// `nvme2n1` of `nvme2c0n1`.
fn visible(name: &str) -> Option<String> {
    let rest = name.strip_prefix("nvme")?;
    let (subsystem, rest) = rest.split_once('c')?;
    let (path, space) = rest.split_once('n')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (digits(subsystem) && digits(path) && digits(space)).then(|| format!("nvme{subsystem}n{space}"))
}

/// Where a device is mounted, by its number or (btrfs has numbers of its own) by its node.
fn mounted(text: &str, number: &str, node: &str) -> Vec<String> {
    let one = |line: &str| {
        let (front, back) = line.split_once(" - ")?;
        let front: Vec<&str> = front.split_whitespace().collect();
        let source = back.split_whitespace().nth(1);
        let is_it = (!number.is_empty() && front.get(2) == Some(&number)) || source == Some(node);
        is_it.then(|| front.get(4).map(|place| (*place).to_owned())).flatten()
    };
    text.lines().filter_map(one).collect()
}
