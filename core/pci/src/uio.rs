//! Functions by `uio_pci_generic`: registers and configuration space by sysfs files, the interrupt line by `/dev/uioN`, memory by physical
//! addresses.
//!
//! Nothing stands between the function and memory, so this is opened only for who said that it may be. There are no message interrupts:
//! who sleeps waits for the line, which other functions may share, or looks from time to time.
//!
//! The kernel leaves the mapped registers of a function that was unplugged as they are: they read as the bus answers, all ones on real machines.
//!
//! What it is not: a way for ordinary users. Only root learns where memory is.

mod waiter;

use crate::sysfs::{Device, Sysfs};
use crate::{Bar, Domain, Function, Interrupts, PciError, mapping, physical, ready};
use rustix::event::EventfdFlags;
use rustix::fs::FlockOperation;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use waiter::Waiter;

/// Where the command register is, and the bit that keeps the line quiet (PCI Local Bus 3.0, 6.2.2).
const COMMAND: u16 = 4;
const LINE_OFF: u16 = 1 << 10;

/// Opens it.
pub(crate) fn open(device: &Device) -> Result<Arc<dyn Function>, PciError> {
    let name = device.address.to_string();
    let Some(node) = Sysfs::new().nodes(device).into_iter().next() else {
        return Err(PciError::unusable(
            &name,
            "uio_pci_generic has it, but there is no /dev/uioN for it: look into the kernel's log (dmesg)",
        ));
    };
    let folder = Sysfs::new().path(Sysfs::new().folder(device.address));
    let both = |path: &PathBuf, what| {
        let file = OpenOptions::new().read(true).write(true).open(path);
        file.map_err(|e| match e.kind() {
            io::ErrorKind::PermissionDenied => PciError::unusable(&name, format!("you may not open {}: uio is for root", path.display())),
            _ => PciError::system(&name, what, e),
        })
    };
    let uio = both(&node, "open its uio device")?;
    rustix::fs::flock(&uio, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| PciError::unusable(&name, format!("another program has {} open: `doorbell pci status` says which", node.display())))?;
    let config = both(&folder.join("config"), "open its configuration space")?;
    let leaving = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
    let leaving = Arc::new(leaving.map_err(|e| PciError::system(&name, "make an event", e))?);
    let has_line = std::fs::read_to_string(folder.join("irq")).is_ok_and(|irq| irq.trim().parse::<u32>().is_ok_and(|n| n > 0));
    let waiter = Waiter::start(&name, uio, leaving.clone())?;
    let domain = Arc::new(Domain::physical(&name, physical::look_up(&name)));
    let function = Uio { name, folder, device: device.clone(), config, waiter, leaving, has_line, bars: Default::default(), domain };
    function.line(false)?;
    Ok(Arc::new(function))
}

struct Uio {
    name: String,
    folder: PathBuf,
    device: Device,
    config: File,
    waiter: Waiter,
    leaving: Arc<OwnedFd>,
    has_line: bool,
    bars: [Mutex<Option<Arc<Bar>>>; 6],
    domain: Arc<Domain>,
}

impl Uio {
    /// Lets the line fire, or not.
    fn line(&self, on: bool) -> Result<(), PciError> {
        let mut command = [0; 2];
        self.config_read(COMMAND, &mut command)?;
        let old = u16::from_le_bytes(command);
        let new = if on { old & !LINE_OFF } else { old | LINE_OFF };
        self.config_write(COMMAND, &new.to_le_bytes())
    }

    fn check(&self, offset: u16, len: usize) -> Result<(), PciError> {
        let fits = matches!(len, 1 | 2 | 4) && usize::from(offset).is_multiple_of(len) && usize::from(offset) + len <= 4096;
        if fits { Ok(()) } else { Err(PciError::unusable(&self.name, "an access outside of its configuration space")) }
    }

    fn failed(&self, what: &'static str, error: io::Error) -> PciError {
        match (error.raw_os_error(), error.kind()) {
            (Some(libc::ENODEV | libc::EIO | libc::ENXIO), _) | (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero) => {
                PciError::Gone { function: self.name.clone() }
            }
            _ => PciError::system(&self.name, what, error),
        }
    }

    fn map(&self, index: u8) -> Result<Bar, PciError> {
        let found = self.device.resources.iter().find(|resource| resource.index == index && resource.is_memory);
        let resource = found.ok_or_else(|| PciError::unusable(&self.name, format!("it has no memory at BAR {index}")))?;
        let path = self.folder.join(format!("resource{index}"));
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(|e| PciError::system(&self.name, "open a BAR", e))?;
        let page = rustix::param::page_size() as u64;
        // A BAR shorter than a page has its page for itself only by chance: what follows is no part of it.
        let area = mapping::area(file.as_fd(), 0, 0, resource.len.next_multiple_of(page))?;
        Ok(Bar::new(resource.len, vec![area], None))
    }
}

impl Function for Uio {
    fn name(&self) -> &str {
        &self.name
    }

    fn config_read(&self, offset: u16, into: &mut [u8]) -> Result<(), PciError> {
        self.check(offset, into.len())?;
        self.config.read_exact_at(into, offset.into()).map_err(|e| self.failed("read its configuration space", e))
    }

    fn config_write(&self, offset: u16, from: &[u8]) -> Result<(), PciError> {
        self.check(offset, from.len())?;
        self.config.write_all_at(from, offset.into()).map_err(|e| self.failed("write its configuration space", e))
    }

    fn bar(&self, index: u8) -> Result<Arc<Bar>, PciError> {
        let place = self.bars.get(usize::from(index)).ok_or_else(|| PciError::unusable(&self.name, format!("there is no BAR {index}")))?;
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = &*place {
            return Ok(bar.clone());
        }
        let bar = Arc::new(self.map(index)?);
        *place = Some(bar.clone());
        Ok(bar)
    }

    fn interrupts(&self) -> Interrupts {
        if self.has_line { Interrupts::Line } else { Interrupts::None }
    }

    fn set_interrupt(&self, vector: u32, notify: Option<BorrowedFd<'_>>) -> Result<(), PciError> {
        if vector != 0 || !self.has_line {
            return Err(PciError::unusable(&self.name, format!("it has no interrupt {vector}: uio_pci_generic knows the line alone")));
        }
        let own = notify.map(|fd| fd.try_clone_to_owned()).transpose();
        let own = own.map_err(|e| PciError::system(&self.name, "keep an event descriptor", e))?;
        let on = own.is_some();
        self.waiter.tell(own);
        self.line(on)
    }

    fn rearm(&self) -> Result<(), PciError> {
        self.line(true)
    }

    fn reset(&self) -> Result<(), PciError> {
        let path = self.folder.join("reset");
        if !path.exists() {
            return Err(PciError::unusable(&self.name, "it can be reset neither by itself nor by its slot"));
        }
        std::fs::write(path, "1").map_err(|e| self.failed("reset it", e))
    }

    fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }

    fn leaving(&self) -> Option<BorrowedFd<'_>> {
        Some((*self.leaving).as_fd())
    }

    fn is_leaving(&self) -> bool {
        ready((*self.leaving).as_fd())
    }
}

impl Drop for Uio {
    fn drop(&mut self) {
        let _ = self.set_bus_master(false);
        let _ = self.line(false);
    }
}
