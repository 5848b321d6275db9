//! Taking a function from its driver and giving it back.
//!
//! What was taken here is noted in a file of its own under `/run/doorbell/pci`, so that after a crash it is known from what others took
//! (a virtual machine's manager, an operator) and left alone. The note goes when the function goes back.

use super::{Device, InUse, Process, Sysfs, read};
use crate::{PciAddress, PciError};
use std::fmt;
use std::path::PathBuf;

/// A driver that hands functions to programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// With the IOMMU between the function and memory.
    #[default]
    VfioPci,
    /// With nothing between: the function can write anywhere in memory. Root only, no MSI.
    UioPciGeneric,
}

impl Driver {
    /// The kernel's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Driver::VfioPci => "vfio-pci",
            Driver::UioPciGeneric => "uio_pci_generic",
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a bind came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The function as it is now.
    pub device: Device,
    /// The driver that had it.
    pub before: Option<String>,
    /// It was with the driver already.
    pub was_there: bool,
    /// What `force` went over.
    pub forced: Vec<InUse>,
    /// Functions of the same group that are still with drivers of the kernel: VFIO opens none of the group before they leave.
    pub in_the_way: Vec<Device>,
}

/// What an unbind came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The function as it is now: its driver, if one took it.
    pub device: Device,
    /// Programs that had it open all the same.
    pub users: Vec<Process>,
}

const NOTES: &str = "/run/doorbell/pci";

impl Sysfs {
    /// Takes a function from its driver for `driver`. What is in use is refused, unless forced.
    pub fn bind(&self, address: PciAddress, driver: Driver, force: bool) -> Result<Bound, PciError> {
        let name = address.to_string();
        let device = self.device(address)?;
        if device.is_bridge() {
            return Err(PciError::unusable(&name, "it is a bridge, which other functions are behind: bridges stay with the kernel"));
        }
        let before = device.driver.clone();
        if before.as_deref() == Some(driver.name()) {
            let in_the_way = self.in_the_way(&device, driver);
            return Ok(Bound { device, before, was_there: true, forced: Vec::new(), in_the_way });
        }
        let forced = self.check(&device, force)?;
        self.load(&device, driver)?;
        // Noted first: a crash in between leaves a note too many, which says nothing once the function is with the kernel's driver.
        self.note(address, before.as_deref())?;
        if let Err(error) = self.hand_over(&device, driver) {
            self.forget(address);
            return Err(error);
        }
        let device = self.device(address)?;
        let in_the_way = self.in_the_way(&device, driver);
        Ok(Bound { device, before, was_there: false, forced, in_the_way })
    }

    /// What speaks against it, which only `force` goes over.
    fn check(&self, device: &Device, force: bool) -> Result<Vec<InUse>, PciError> {
        let name = device.address.to_string();
        let users = self.users(device);
        if !users.is_empty() {
            return Err(busy(&name, &users));
        }
        let reasons = self.in_use(device);
        if reasons.is_empty() || force {
            return Ok(reasons);
        }
        let said: Vec<String> = reasons.iter().map(InUse::to_string).collect();
        let why = format!("it is in use: {}. Free it, or take it all the same with --force", said.join("; "));
        Err(PciError::unusable(&name, why))
    }

    /// Sees to it that the driver is there, and can do what it is for.
    fn load(&self, device: &Device, driver: Driver) -> Result<(), PciError> {
        let name = device.address.to_string();
        if driver == Driver::VfioPci && device.group.is_none() && !self.allows_noiommu() {
            return Err(PciError::unusable(
                &name,
                "there is no IOMMU to protect memory from it: switch VT-d or AMD-Vi on in the firmware, add intel_iommu=on to the kernel's \
                 command line (Intel), and start again; or take it with --driver uio_pci_generic, and it can then write anywhere in memory",
            ));
        }
        let modules: &[(&str, &str)] = match driver {
            Driver::VfioPci => &[("/sys/module/vfio_iommu_type1", "vfio_iommu_type1"), ("/sys/bus/pci/drivers/vfio-pci", "vfio-pci")],
            Driver::UioPciGeneric => &[("/sys/bus/pci/drivers/uio_pci_generic", "uio_pci_generic")],
        };
        for (sign, module) in modules {
            if self.path(sign).exists() {
                continue;
            }
            let loaded = self.hands.modprobe(module);
            if !self.path(sign).exists() {
                let said = loaded.err().map_or_else(String::new, |error| format!(" ({error})"));
                let why =
                    format!("the kernel has no {module}{said}: load it with `modprobe {module}` as root, or use a kernel that has it");
                return Err(PciError::unusable(&name, why));
            }
        }
        Ok(())
    }

    /// The change itself. A function that does not arrive goes back to where it was.
    fn hand_over(&self, device: &Device, driver: Driver) -> Result<(), PciError> {
        let name = device.address.to_string();
        let folder = self.folder(device.address);
        self.write(&folder.join("driver_override"), driver.name(), "choose its driver (are you root?)", &name)?;
        if let Err(error) = self.let_go(device) {
            let _ = self.write(&folder.join("driver_override"), "\n", "forget its driver", &name);
            return Err(error);
        }
        let probed = self.probe(&name);
        match self.device(device.address)?.driver {
            Some(now) if now == driver.name() => Ok(()),
            now => {
                let _ = self.write(&folder.join("driver_override"), "\n", "forget its driver", &name);
                let _ = self.probe(&name);
                probed?;
                let now = now.map_or_else(|| "no driver took it".to_owned(), |now| format!("{now} took it"));
                let why = format!("{driver} did not take it ({now}); the kernel's log (dmesg) may say why. It was given back");
                Err(PciError::unusable(&name, why))
            }
        }
    }

    fn let_go(&self, device: &Device) -> Result<(), PciError> {
        let name = device.address.to_string();
        match &device.driver {
            Some(_) => {
                self.write(&self.folder(device.address).join("driver/unbind"), &name, "take it from its driver (are you root?)", &name)
            }
            None => Ok(()),
        }
    }

    fn probe(&self, name: &str) -> Result<(), PciError> {
        self.write("/sys/bus/pci/drivers_probe".as_ref(), name, "have a driver take it", name)
    }

    /// Gives a function back to the kernel's own driver. One that a program has open is refused, unless forced: the program is then asked
    /// for it, and this waits until it lets go.
    pub fn unbind(&self, address: PciAddress, force: bool) -> Result<Given, PciError> {
        let name = address.to_string();
        let device = self.device(address)?;
        if device.driver.is_some() && !device.is_taken() {
            self.forget(address);
            return Ok(Given { device, users: Vec::new() });
        }
        let users = self.users(&device);
        if !users.is_empty() && !force {
            return Err(busy(&name, &users));
        }
        self.write(&self.folder(address).join("driver_override"), "\n", "forget its driver (are you root?)", &name)?;
        self.let_go(&device)?;
        self.probe(&name)?;
        if self.device(address)?.driver.is_none()
            && let Some(alias) = self.read(self.folder(address).join("modalias"))
            && self.hands.modprobe(&alias).is_ok()
        {
            // A module that was just loaded has found its functions by itself, mostly.
            let _ = self.probe(&name);
        }
        self.forget(address);
        Ok(Given { device: self.device(address)?, users })
    }

    /// Functions of the same group that VFIO would not accept beside it.
    pub fn in_the_way(&self, device: &Device, driver: Driver) -> Vec<Device> {
        if driver != Driver::VfioPci {
            return Vec::new();
        }
        let fits = |other: &Device| matches!(other.driver.as_deref(), None | Some("vfio-pci" | "pci-stub" | "pcieport"));
        self.neighbours(device).into_iter().filter(|other| !fits(other)).collect()
    }

    fn note_path(&self, address: PciAddress) -> PathBuf {
        self.path(NOTES).join(address.to_string())
    }

    fn note(&self, address: PciAddress, before: Option<&str>) -> Result<(), PciError> {
        let path = self.note_path(address);
        let folder = self.path(NOTES);
        let noted = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(path, before.unwrap_or_default()));
        noted.map_err(|e| PciError::system(&address.to_string(), "note that it was taken, in /run/doorbell/pci", e))
    }

    fn forget(&self, address: PciAddress) {
        // There is none when it was taken by others, or before the machine started again.
        let _ = std::fs::remove_file(self.note_path(address));
    }

    /// Was it taken by `bind`, and not by somebody else?
    pub fn is_ours(&self, address: PciAddress) -> bool {
        self.note_path(address).exists()
    }

    /// The driver that it was taken from.
    pub fn taken_from(&self, address: PciAddress) -> Option<String> {
        read(&self.note_path(address)).filter(|name| !name.is_empty())
    }

    /// What was taken here and nobody has open: what a program that crashed left behind.
    pub fn left_behind(&self) -> Vec<Device> {
        let taken = self.devices().into_iter().filter(Device::is_taken);
        taken.filter(|device| self.is_ours(device.address) && self.users(device).is_empty()).collect()
    }
}

fn busy(name: &str, users: &[Process]) -> PciError {
    let who: Vec<String> = users.iter().map(|user| format!("{} (process {})", user.name, user.pid)).collect();
    PciError::unusable(name, format!("{} has it open: stop that first", who.join(", ")))
}
