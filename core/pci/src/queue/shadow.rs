//! Shadow doorbells: doorbells in memory, and how far the device has looked (Base 2.1, 5.2.5 and Annex B.5).

use super::Pages;
use crate::{Domain, PciError};
use doorbell_mem::{Backing, Region, Regions};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

/// The two pages of a controller: doorbells, and the device's event indices.
pub struct ShadowPages {
    regions: Regions,
    region: Arc<Region>,
    doorbells: u64,
    events: u64,
}

impl ShadowPages {
    /// Pages in memory that `domain` maps.
    pub fn new(regions: &Regions, domain: &Domain) -> Result<ShadowPages, PciError> {
        let region = regions.map(8192, Backing::Ordinary, None)?;
        let base = region.base().addr() as u64;
        let at = |offset: u64| domain.find(&region, base + offset, 4096).filter(|run| run.len == 4096).map(|run| run.address);
        let (Some(doorbells), Some(events)) = (at(0), at(4096)) else {
            return Err(PciError::unusable(domain.name(), "the pages of its shadow doorbells cannot be mapped for it"));
        };
        Ok(ShadowPages { regions: regions.clone(), region, doorbells, events })
    }

    /// Addresses of both, for Doorbell Buffer Config.
    pub fn addresses(&self) -> Pages {
        Pages { first: self.doorbells, second: self.events }
    }

    /// The place of a doorbell: `index` counts doorbells. `None` beyond the page.
    pub fn place(self: &Arc<Self>, index: u32) -> Option<Shadow> {
        let offset = (index as usize).checked_mul(4).filter(|at| *at < 4096)?;
        let base = NonNull::new(self.region.base())?;
        // SAFETY: inside of the mapping, whose first page holds doorbells and whose second holds event indices.
        let (doorbell, event) = unsafe { (base.add(offset).cast(), base.add(offset + 4096).cast()) };
        Some(Shadow { doorbell, event, _pages: self.clone() })
    }
}

impl Drop for ShadowPages {
    fn drop(&mut self) {
        self.regions.retire(&self.region);
    }
}

/// One doorbell's place in the pages.
pub struct Shadow {
    doorbell: NonNull<AtomicU32>,
    event: NonNull<AtomicU32>,
    _pages: Arc<ShadowPages>,
}

// SAFETY: two words that are only reached atomically, kept mapped by the pages.
unsafe impl Send for Shadow {}

impl Shadow {
    /// Forgets what a queue of the same number left: with its event index, the device would not be told of the first commands of the next.
    pub fn clear(&self) {
        // SAFETY: as in `store`.
        let (doorbell, event) = unsafe { (self.doorbell.as_ref(), self.event.as_ref()) };
        doorbell.store(0, Ordering::Release);
        event.store(0, Ordering::Release);
    }

    /// Stores the doorbell's new value. True when the device wants the register to be written too.
    #[inline]
    pub(super) fn store(&self, old: u16, new: u16) -> bool {
        // SAFETY: mapped, aligned, and the device writes whole words.
        let (doorbell, event) = unsafe { (self.doorbell.as_ref(), self.event.as_ref()) };
        doorbell.store(u32::from(new).to_le(), Ordering::Release);
        fence(Ordering::SeqCst);
        let event = u32::from_le(event.load(Ordering::Relaxed)) as u16;
        wants(old, new, event)
    }
}

/// Did the value pass the event index on its way from `old` to `new`?
#[inline]
pub(super) fn wants(old: u16, new: u16, event: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}
