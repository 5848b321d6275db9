//! Where a device sees this process's memory.
//!
//! A domain is an observer of regions: each that arrives gets a contiguous range of I/O addresses and is mapped there, so that translation
//! is one addition. A domain of physical addresses (uio, VFIO without IOMMU) knows the address of each huge page instead.
//!
//! Invariants: a region's entry is there from before its first buffer is lent until after its last has come home; entries are read without
//! locks and written by the control plane.

use crate::PciError;
use crate::iova::{IovaRange, Iovas};
use doorbell_mem::{MemError, Region, RegionObserver, Seg};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What maps regions for a device.
pub trait Mapper: Send + Sync {
    /// Makes `region` reachable at `iova`.
    fn map(&self, region: &Region, iova: u64) -> Result<(), PciError>;
    /// Ends that. Once it returns the device cannot reach it.
    fn unmap(&self, iova: u64, len: u64);
}

/// Says where each page of a region lies in physical memory.
pub type LookUp = Box<dyn Fn(&Region) -> Result<Vec<u64>, PciError> + Send + Sync>;

enum Way {
    /// Through an IOMMU, or another process's table.
    Mapped { mapper: Box<dyn Mapper>, iovas: Mutex<Iovas> },
    /// By physical addresses: one for each page of a region.
    Physical { look: LookUp },
}

/// Regions of a process at most, as a device sees them.
const REGIONS: usize = 4096;
/// Is not mapped. No offset between page-aligned addresses is odd.
const NOTHING: u64 = u64::MAX;
/// Is paged: look in the pages.
const PAGED: u64 = u64::MAX - 2;

/// A piece of memory as a device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its address.
    pub address: u64,
    /// Bytes from there that are contiguous.
    pub len: u32,
}

struct Pages {
    shift: u32,
    frames: Vec<u64>,
}

/// A device's view of memory.
pub struct Domain {
    name: String,
    way: Way,
    /// For each region, by its number: what to add to an address of this process.
    offsets: Box<[AtomicU64]>,
    /// What each region was mapped at, to unmap it.
    pages: Mutex<Vec<Option<std::sync::Arc<Pages>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn offsets() -> Box<[AtomicU64]> {
    (0..REGIONS).map(|_| AtomicU64::new(NOTHING)).collect()
}

impl Domain {
    /// One whose addresses are chosen here, out of `usable`. `name` is the function's, for errors.
    pub fn mapped(name: &str, usable: &[IovaRange], mapper: Box<dyn Mapper>) -> Domain {
        let way = Way::Mapped { mapper, iovas: Mutex::new(Iovas::new(usable)) };
        Domain { name: name.to_owned(), way, offsets: offsets(), pages: Mutex::default() }
    }

    /// One of physical addresses. `look` says where each page of a region lies.
    pub fn physical(name: &str, look: LookUp) -> Domain {
        Domain { name: name.to_owned(), way: Way::Physical { look }, offsets: offsets(), pages: Mutex::default() }
    }

    /// The function's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Does the device use physical addresses, with nothing between it and all of memory?
    pub fn is_physical(&self) -> bool {
        matches!(self.way, Way::Physical { .. })
    }

    /// The longest contiguous run of `len` bytes of a segment from `offset`. `None` when its region is not mapped.
    ///
    /// # Panics
    /// If the range lies outside of the segment.
    #[inline]
    pub(crate) fn run(&self, seg: &Seg, offset: u32, len: u32) -> Option<Run> {
        assert!(offset.checked_add(len).is_some_and(|end| end <= seg.len()), "a run outside of its segment");
        let address = (seg.address().addr() as u64).wrapping_add(offset.into());
        self.find(seg.region(), address, len)
    }

    #[inline]
    pub(crate) fn find(&self, region: &Region, address: u64, len: u32) -> Option<Run> {
        match self.offsets.get(region.number())?.load(Ordering::Acquire) {
            NOTHING => None,
            PAGED => self.find_page(region, address, len),
            offset => Some(Run { address: address.wrapping_add(offset), len }),
        }
    }

    /// Without an IOMMU: under a lock, which only the shunned ways pay for.
    #[cold]
    fn find_page(&self, region: &Region, address: u64, len: u32) -> Option<Run> {
        let pages = lock(&self.pages).get(region.number())?.clone()?;
        let within = address.checked_sub(region.base().addr() as u64)?;
        let frame = *pages.frames.get((within >> pages.shift) as usize)?;
        let in_page = within & ((1 << pages.shift) - 1);
        let left = (1u64 << pages.shift) - in_page;
        Some(Run { address: frame + in_page, len: u64::from(len).min(left) as u32 })
    }

    fn enter(&self, region: &Region) -> Result<(), PciError> {
        let slot = self.offsets.get(region.number()).ok_or_else(|| PciError::unusable(&self.name, "too many memory regions"))?;
        match &self.way {
            Way::Mapped { mapper, iovas } => {
                let len = region.len() as u64;
                // On a boundary of 2 MiB where the region is that large: an IOMMU then needs fewer entries.
                let align = (region.page_size() as u64).max(if len >= 2 << 20 { 2 << 20 } else { 4096 });
                let taken = lock(iovas).take(len, align);
                let iova = taken.ok_or_else(|| PciError::NoAddresses { function: self.name.clone(), bytes: region.len() })?;
                if let Err(error) = mapper.map(region, iova) {
                    lock(iovas).give_back(iova);
                    return Err(error);
                }
                slot.store(iova.wrapping_sub(region.base().addr() as u64), Ordering::Release);
            }
            Way::Physical { look } => {
                let frames = look(region)?;
                let shift = region.page_size().trailing_zeros();
                let mut pages = lock(&self.pages);
                if pages.len() <= region.number() {
                    pages.resize_with(region.number() + 1, || None);
                }
                if let Some(place) = pages.get_mut(region.number()) {
                    *place = Some(std::sync::Arc::new(Pages { shift, frames }));
                }
                slot.store(PAGED, Ordering::Release);
            }
        }
        Ok(())
    }

    fn leave(&self, region: &Region) {
        let Some(slot) = self.offsets.get(region.number()) else { return };
        let offset = slot.swap(NOTHING, Ordering::AcqRel);
        match &self.way {
            Way::Mapped { mapper, iovas } if offset != NOTHING => {
                let iova = (region.base().addr() as u64).wrapping_add(offset);
                mapper.unmap(iova, region.len() as u64);
                lock(iovas).give_back(iova);
            }
            Way::Mapped { .. } => {}
            Way::Physical { .. } => {
                if let Some(place) = lock(&self.pages).get_mut(region.number()) {
                    *place = None;
                }
            }
        }
    }
}

impl RegionObserver for Domain {
    fn arrived(&self, region: &Region) -> Result<(), MemError> {
        self.enter(region).map_err(|error| MemError::Observer(error.to_string()))
    }

    fn leaving(&self, region: &Region) {
        self.leave(region);
    }
}

#[cfg(test)]
mod tests;
