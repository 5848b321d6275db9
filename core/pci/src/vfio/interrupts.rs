//! Interrupts by VFIO.
//!
//! Older kernels set vectors up for a whole range at once and afterwards only change what is inside of it. So the first vector that is asked
//! for brings a range with it; one beyond takes a new range, after which every descriptor fires once, since nobody knows what was missed.

use super::ioctl;
use crate::{Interrupts, PciError};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use vfio_bindings::bindings::vfio as v;

/// Vectors that are set up before they are asked for.
const RANGE: u32 = 128;
/// MSI-X has no more.
const MOST: u32 = 2048;

/// The way a function interrupts.
pub(super) struct Lines {
    name: String,
    device: Arc<File>,
    index: u32,
    count: u32,
    /// Vectors beyond the range can be added one by one.
    grows: bool,
    set: Mutex<Set>,
}

#[derive(Default)]
struct Set {
    /// Vectors set up: from 0 on.
    range: u32,
    /// Who is told, by vector.
    events: Vec<Option<OwnedFd>>,
}

impl Lines {
    /// Finds the best that there is: MSI-X, MSI, the line.
    pub(super) fn new(name: &str, device: &Arc<File>) -> Lines {
        let best = [v::VFIO_PCI_MSIX_IRQ_INDEX, v::VFIO_PCI_MSI_IRQ_INDEX, v::VFIO_PCI_INTX_IRQ_INDEX].into_iter().find_map(|index| {
            let (flags, count) = ioctl::irq(device.as_fd(), index).ok()?;
            (count > 0 && flags & v::VFIO_IRQ_INFO_EVENTFD != 0).then_some((index, flags, count.min(MOST)))
        });
        let (index, flags, count) = best.unwrap_or((v::VFIO_PCI_INTX_IRQ_INDEX, 0, 0));
        let grows = flags & v::VFIO_IRQ_INFO_NORESIZE == 0;
        Lines { name: name.to_owned(), device: device.clone(), index, count, grows, set: Mutex::default() }
    }

    fn is_line(&self) -> bool {
        self.index == v::VFIO_PCI_INTX_IRQ_INDEX
    }

    pub(super) fn kind(&self) -> Interrupts {
        match self.count {
            0 => Interrupts::None,
            _ if self.is_line() => Interrupts::Line,
            count => Interrupts::Vectors(count),
        }
    }

    /// Has a vector write to an eventfd, or to none.
    pub(super) fn set(&self, vector: u32, notify: Option<BorrowedFd<'_>>) -> Result<(), PciError> {
        if vector >= self.count {
            return Err(PciError::unusable(&self.name, format!("it has no interrupt {vector} (of {})", self.count)));
        }
        let own = notify.map(|fd| fd.try_clone_to_owned()).transpose();
        let own = own.map_err(|e| PciError::system(&self.name, "keep an event descriptor", e))?;
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        if set.events.len() <= vector as usize {
            set.events.resize_with(vector as usize + 1, || None);
        }
        let Some(place) = set.events.get_mut(vector as usize) else { return Ok(()) };
        let before = std::mem::replace(place, own);
        let done = self.apply(&mut set, vector);
        if done.is_err()
            && let Some(place) = set.events.get_mut(vector as usize)
        {
            *place = before;
        }
        done
    }

    fn apply(&self, set: &mut Set, vector: u32) -> Result<(), PciError> {
        let fd = set.events.get(vector as usize).and_then(Option::as_ref).map_or(-1, AsRawFd::as_raw_fd);
        // Vectors that nobody listens to need no setting up.
        if fd == -1 && vector >= set.range {
            return Ok(());
        }
        if vector < set.range || (self.grows && set.range > 0) {
            self.trigger(vector, &[fd])?;
            set.range = set.range.max(vector + 1);
            return Ok(());
        }
        let again = set.range > 0;
        if again {
            self.off()?;
            set.range = 0;
        }
        set.range = self.set_up(&set.events, vector)?;
        if again {
            for event in set.events.iter().flatten() {
                // Full means that it has been written to.
                let _ = rustix::io::write(event, &1u64.to_ne_bytes());
            }
        }
        Ok(())
    }

    /// Sets up a range that holds `vector`: says how long it is.
    fn set_up(&self, events: &[Option<OwnedFd>], vector: u32) -> Result<u32, PciError> {
        let mut range = if self.grows { vector + 1 } else { RANGE.max((vector + 1).next_power_of_two()).min(self.count) };
        loop {
            let fds: Vec<i32> =
                (0..range).map(|n| events.get(n as usize).and_then(Option::as_ref).map_or(-1, AsRawFd::as_raw_fd)).collect();
            match self.trigger(0, &fds)? {
                0 => return Ok(range),
                // So many can be had.
                fewer if fewer > vector && fewer < range => range = fewer,
                fewer => {
                    let why = format!("the kernel has {fewer} interrupts left for it, and number {vector} was asked for");
                    return Err(PciError::unusable(&self.name, why));
                }
            }
        }
    }

    fn trigger(&self, start: u32, fds: &[i32]) -> Result<u32, PciError> {
        const HOW: u32 = v::VFIO_IRQ_SET_DATA_EVENTFD | v::VFIO_IRQ_SET_ACTION_TRIGGER;
        let done = ioctl::set_irqs(self.device.as_fd(), HOW, self.index, start, fds.len() as u32, fds);
        done.map_err(|e| PciError::system(&self.name, "set its interrupts", e))
    }

    /// Lets the line fire again.
    pub(super) fn rearm(&self) -> Result<(), PciError> {
        if !self.is_line() {
            return Ok(());
        }
        const HOW: u32 = v::VFIO_IRQ_SET_DATA_NONE | v::VFIO_IRQ_SET_ACTION_UNMASK;
        let done = ioctl::set_irqs(self.device.as_fd(), HOW, self.index, 0, 1, &[]);
        done.map(drop).map_err(|e| PciError::system(&self.name, "unmask its interrupt", e))
    }

    /// Ends them all.
    pub(super) fn off(&self) -> Result<(), PciError> {
        const HOW: u32 = v::VFIO_IRQ_SET_DATA_NONE | v::VFIO_IRQ_SET_ACTION_TRIGGER;
        let done = ioctl::set_irqs(self.device.as_fd(), HOW, self.index, 0, 0, &[]);
        done.map(drop).map_err(|e| PciError::system(&self.name, "end its interrupts", e))
    }
}

/// Has the notices that a function is wanted back, or has failed, write to `event`. False when the kernel gives none.
pub(super) fn notices(device: &File, event: BorrowedFd<'_>) -> bool {
    const HOW: u32 = v::VFIO_IRQ_SET_DATA_EVENTFD | v::VFIO_IRQ_SET_ACTION_TRIGGER;
    let one = |index| ioctl::set_irqs(device.as_fd(), HOW, index, 0, 1, &[event.as_raw_fd()]).is_ok();
    // Errors are told by those that are behind a PCI Express port only.
    let _ = one(v::VFIO_PCI_ERR_IRQ_INDEX);
    one(v::VFIO_PCI_REQ_IRQ_INDEX)
}
