//! What one function says of itself.

use super::{Sysfs, link_name, read};
use crate::{PciAddress, PciError};
use std::path::PathBuf;

/// An I/O memory management unit's group: functions that it cannot tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub number: u32,
    /// It stands for no protection at all: VFIO made it up where there is no IOMMU.
    pub is_noiommu: bool,
}

impl Group {
    /// The node that whoever opens it needs.
    pub fn node(&self) -> PathBuf {
        let kind = if self.is_noiommu { "noiommu-" } else { "" };
        format!("/dev/vfio/{kind}{}", self.number).into()
    }
}

/// A range of addresses that a function answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Which BAR.
    pub index: u8,
    /// The first address.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// Memory, and not I/O ports.
    pub is_memory: bool,
}

/// Drivers that hand functions to programs.
const TAKERS: [&str; 3] = ["vfio-pci", "uio_pci_generic", "igb_uio"];

/// A PCI function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Where it is.
    pub address: PciAddress,
    /// Who made it.
    pub vendor: u16,
    /// What they call it.
    pub device: u16,
    /// What it does: base class, subclass and programming interface, 8 bits each.
    pub class: u32,
    /// The kernel's driver that has it.
    pub driver: Option<String>,
    /// The only driver that may have it.
    pub driver_override: Option<String>,
    /// Whom the IOMMU takes it for.
    pub group: Option<Group>,
    /// The NUMA node that it is close to.
    pub numa_node: Option<u32>,
    /// Its BARs.
    pub resources: Vec<Resource>,
}

impl Device {
    /// Storage of any kind.
    pub fn is_storage(&self) -> bool {
        self.class >> 16 == 1
    }

    /// An NVMe controller.
    pub fn is_nvme(&self) -> bool {
        self.class == 0x01_0802
    }

    /// A bridge: other functions are behind it.
    pub fn is_bridge(&self) -> bool {
        self.class >> 16 == 6
    }

    /// Is it with a driver that hands it to programs?
    pub fn is_taken(&self) -> bool {
        self.driver.as_deref().is_some_and(|driver| TAKERS.contains(&driver))
    }

    /// What it does, in words.
    pub fn kind(&self) -> &'static str {
        match self.class >> 8 {
            0x0108 if self.is_nvme() => "NVMe",
            0x0108 => "non-volatile memory",
            0x0100 => "SCSI",
            0x0101 => "IDE",
            0x0104 => "RAID",
            0x0106 => "SATA",
            0x0107 => "SAS",
            other => match other >> 8 {
                1 => "storage",
                2 => "network",
                3 => "display",
                4 => "multimedia",
                6 => "bridge",
                7 => "communication",
                8 => "system",
                0x0c => "serial bus",
                0x10 | 0x0b => "processor",
                _ => "other",
            },
        }
    }
}

impl Sysfs {
    /// Where the kernel keeps a function's files.
    pub(crate) fn folder(&self, address: PciAddress) -> PathBuf {
        format!("/sys/bus/pci/devices/{address}").into()
    }

    /// All functions, by address.
    pub fn devices(&self) -> Vec<Device> {
        let addresses = self.names("/sys/bus/pci/devices").into_iter().filter_map(|name| name.parse().ok());
        let mut all: Vec<Device> = addresses.filter_map(|address| self.device(address).ok()).collect();
        all.sort_by_key(|device| device.address);
        all
    }

    /// Those that were taken for programs: with vfio-pci, or with a driver of uio's.
    pub fn taken(&self) -> Vec<Device> {
        let addresses = TAKERS.iter().flat_map(|driver| self.names(format!("/sys/bus/pci/drivers/{driver}")));
        let mut all: Vec<Device> = addresses.filter_map(|name| self.device(name.parse().ok()?).ok()).filter(Device::is_taken).collect();
        all.sort_by_key(|device| device.address);
        all
    }

    /// One function.
    pub fn device(&self, address: PciAddress) -> Result<Device, PciError> {
        let folder = self.path(self.folder(address));
        let hex = |name: &str| {
            let text = read(&folder.join(name))?;
            u32::from_str_radix(text.strip_prefix("0x").unwrap_or(&text), 16).ok()
        };
        let (Some(vendor), Some(device), Some(class)) = (hex("vendor"), hex("device"), hex("class")) else {
            return Err(PciError::unusable(&address.to_string(), "there is no such PCI function: see `doorbell pci list --all`"));
        };
        let own = read(&folder.join("driver_override")).filter(|name| !name.is_empty() && name != "(null)");
        Ok(Device {
            address,
            vendor: vendor as u16,
            device: device as u16,
            class: class & 0xff_ffff,
            driver: link_name(&folder.join("driver")),
            driver_override: own,
            group: self.group(address),
            numa_node: read(&folder.join("numa_node")).and_then(|node| node.parse().ok()),
            resources: resources(&read(&folder.join("resource")).unwrap_or_default()),
        })
    }

    fn group(&self, address: PciAddress) -> Option<Group> {
        let folder = self.path(self.folder(address));
        let number: u32 = link_name(&folder.join("iommu_group"))?.parse().ok()?;
        let name = self.read(format!("/sys/kernel/iommu_groups/{number}/name"));
        Some(Group { number, is_noiommu: name.as_deref() == Some("vfio-noiommu") })
    }

    /// The functions that the IOMMU cannot tell from this one, itself left out.
    pub fn neighbours(&self, of: &Device) -> Vec<Device> {
        let Some(group) = &of.group else { return Vec::new() };
        let names = self.names(format!("/sys/kernel/iommu_groups/{}/devices", group.number));
        let others = names.into_iter().filter_map(|name| name.parse().ok()).filter(|address| *address != of.address);
        others.filter_map(|address| self.device(address).ok()).collect()
    }
}

/// Lines of `start end flags`; the first six are the BARs.
fn resources(text: &str) -> Vec<Resource> {
    let number = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    let one = |(index, line): (usize, &str)| {
        let words: Vec<u64> = line.split_whitespace().filter_map(number).collect();
        let [start, end, flags] = words.as_slice() else { return None };
        let len = end.checked_sub(*start)?.checked_add(1)?;
        (*end != 0).then_some(Resource { index: index as u8, start: *start, len, is_memory: flags & 0x200 != 0 })
    };
    text.lines().take(6).enumerate().filter_map(one).collect()
}
