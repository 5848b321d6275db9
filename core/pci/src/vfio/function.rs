//! A function that VFIO hands out.

use super::bars::{self, Layout};
use super::container::{self, Group};
use super::interrupts::{self, Lines};
use super::ioctl;
use crate::sysfs::Device;
use crate::{Bar, Domain, Function, Interrupts, PciAddress, PciError, ready};
use rustix::event::EventfdFlags;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use vfio_bindings::bindings::vfio as v;

/// Opens it. `physical`: also where no IOMMU stands between it and memory.
pub(crate) fn open(device: &Device, physical: bool) -> Result<Arc<dyn Function>, PciError> {
    let name = device.address.to_string();
    let Some(group) = &device.group else {
        return Err(PciError::unusable(&name, "it is in no IOMMU group, so VFIO cannot hand it out"));
    };
    if group.is_noiommu && !physical {
        return Err(PciError::unusable(&name, crate::open::UNPROTECTED));
    }
    let group = container::enter(device.address, group)?;
    Ok(Arc::new(Vfio::new(device.address, name, group)?))
}

struct Vfio {
    name: String,
    bars: [Mutex<Option<Arc<Bar>>>; 6],
    lines: Lines,
    config: Layout,
    can_reset: bool,
    /// Counts notices.
    leaving: OwnedFd,
    tells: bool,
    device: Arc<File>,
    group: Arc<Group>,
}

impl Vfio {
    fn new(address: PciAddress, name: String, group: Arc<Group>) -> Result<Vfio, PciError> {
        let device = Arc::new(File::from(group.device(address)?));
        let failed = |what| {
            let name = name.clone();
            move |e: std::io::Error| PciError::system(&name, what, e)
        };
        let flags = ioctl::device_flags(device.as_fd()).map_err(failed("ask what it is"))?;
        if flags & v::VFIO_DEVICE_FLAGS_PCI == 0 {
            return Err(PciError::unusable(&name, "VFIO says that it is no PCI function"));
        }
        let config = bars::layout(&name, &device, v::VFIO_PCI_CONFIG_REGION_INDEX)?;
        let leaving =
            rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|e| failed("make an event")(e.into()))?;
        let tells = interrupts::notices(&device, leaving.as_fd());
        let lines = Lines::new(&name, &device);
        let can_reset = flags & v::VFIO_DEVICE_FLAGS_RESET != 0;
        Ok(Vfio { name, bars: Default::default(), lines, config, can_reset, leaving, tells, device, group })
    }

    fn config_place(&self, offset: u16, len: usize) -> Result<u64, PciError> {
        let end = u64::from(offset) + len as u64;
        let fits = matches!(len, 1 | 2 | 4) && usize::from(offset).is_multiple_of(len) && end <= self.config.info.size;
        let at = fits.then(|| self.config.info.offset.checked_add(offset.into())).flatten();
        at.ok_or_else(|| PciError::unusable(&self.name, "an access outside of its configuration space"))
    }

    /// What an access that failed means.
    fn failed(&self, what: &'static str, error: std::io::Error) -> PciError {
        match error.raw_os_error() {
            Some(libc::ENODEV | libc::EIO | libc::ENXIO) => PciError::Gone { function: self.name.clone() },
            _ => PciError::system(&self.name, what, error),
        }
    }
}

impl Function for Vfio {
    fn name(&self) -> &str {
        &self.name
    }

    fn config_read(&self, offset: u16, into: &mut [u8]) -> Result<(), PciError> {
        let at = self.config_place(offset, into.len())?;
        self.device.read_exact_at(into, at).map_err(|e| self.failed("read its configuration space", e))
    }

    fn config_write(&self, offset: u16, from: &[u8]) -> Result<(), PciError> {
        let at = self.config_place(offset, from.len())?;
        self.device.write_all_at(from, at).map_err(|e| self.failed("write its configuration space", e))
    }

    fn bar(&self, index: u8) -> Result<Arc<Bar>, PciError> {
        let place = self.bars.get(usize::from(index)).ok_or_else(|| PciError::unusable(&self.name, format!("there is no BAR {index}")))?;
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = &*place {
            return Ok(bar.clone());
        }
        let bar = Arc::new(bars::bar(&self.name, &self.device, index)?);
        *place = Some(bar.clone());
        Ok(bar)
    }

    fn interrupts(&self) -> Interrupts {
        self.lines.kind()
    }

    fn set_interrupt(&self, vector: u32, notify: Option<BorrowedFd<'_>>) -> Result<(), PciError> {
        self.lines.set(vector, notify)
    }

    fn rearm(&self) -> Result<(), PciError> {
        self.lines.rearm()
    }

    fn reset(&self) -> Result<(), PciError> {
        if !self.can_reset {
            return Err(PciError::unusable(&self.name, "it can be reset neither by itself nor by its slot"));
        }
        ioctl::reset(self.device.as_fd()).map_err(|e| self.failed("reset it", e))
    }

    fn domain(&self) -> &Arc<Domain> {
        &self.group.container.domain
    }

    fn leaving(&self) -> Option<BorrowedFd<'_>> {
        self.tells.then(|| self.leaving.as_fd())
    }

    fn is_leaving(&self) -> bool {
        ready(self.leaving.as_fd())
    }
}

impl Drop for Vfio {
    /// Its BARs may be mapped elsewhere for a while, which keeps the kernel's descriptor open: so it is silenced here.
    fn drop(&mut self) {
        let _ = self.set_bus_master(false);
        let _ = self.lines.off();
    }
}
