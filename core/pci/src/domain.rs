//! Where a device sees this process's memory.
//!
//! A domain is an observer of regions: each that arrives gets a contiguous range of I/O addresses and is mapped there, so that translation
//! is one addition. A domain of physical addresses (uio, VFIO without IOMMU) knows the address of each huge page instead.
//!
//! Several devices may share one (those of one IOMMU container): each attaches it, and a region is mapped from its first arrival to its
//! last leaving.
//!
//! Invariants: a region's entry is there from before its first buffer is lent until after its last has come home; entries are read without
//! locks and written by the control plane. What is known of a region that went without a word is undone before its number's next owner is
//! mapped.

use crate::PciError;
use crate::iova::{IovaRange, Iovas};
use doorbell_mem::{MemError, Region, RegionObserver, Seg};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What maps regions for a device.
pub trait Mapper: Send + Sync {
    /// Makes `region` reachable at `iova`.
    fn map(&self, region: &Region, iova: u64) -> Result<(), PciError>;
    /// Ends that. Once it returns the device cannot reach it.
    /// False: nobody knows whether it still can.
    fn unmap(&self, iova: u64, len: u64) -> bool;
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
const _: () = assert!(NOTHING & 1 == 1 && PAGED & 1 == 1);

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

/// A region that is mapped.
struct Entry {
    serial: u64,
    /// How many devices it arrived at.
    uses: u32,
    len: u64,
    to: Mapping,
}

enum Mapping {
    /// It begins at this address.
    At(u64),
    /// Its pages are here and there.
    Pages(Arc<Pages>),
}

/// A device's view of memory.
pub struct Domain {
    name: String,
    way: Way,
    /// For each region, by its number: what to add to an address of this process.
    offsets: Box<[AtomicU64]>,
    /// What each region was mapped at, to unmap it.
    entries: Mutex<Vec<Option<Entry>>>,
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
        Domain { name: name.to_owned(), way, offsets: offsets(), entries: Mutex::default() }
    }

    /// One of physical addresses. `look` says where each page of a region lies.
    pub fn physical(name: &str, look: LookUp) -> Domain {
        Domain { name: name.to_owned(), way: Way::Physical { look }, offsets: offsets(), entries: Mutex::default() }
    }

    /// The function's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Does the device use physical addresses, with nothing between it and all of memory?
    pub fn is_physical(&self) -> bool {
        matches!(self.way, Way::Physical { .. })
    }

    /// Takes addresses that no memory is mapped at from now on, for what a device answers to itself. `None` when there are not so many, or all
    /// of them are the machine's.
    pub(crate) fn reserve(&self, len: u64) -> Option<u64> {
        match &self.way {
            Way::Mapped { iovas, .. } => lock(iovas).take(len, 4096),
            Way::Physical { .. } => None,
        }
    }

    /// As `reserve`, from `at` on. False when memory is mapped there.
    pub(crate) fn reserve_at(&self, at: u64, len: u64) -> bool {
        match &self.way {
            Way::Mapped { iovas, .. } => lock(iovas).take_at(at, len),
            Way::Physical { .. } => true,
        }
    }

    /// Gives back what was reserved from `at` on.
    pub(crate) fn release(&self, at: u64) {
        if let Way::Mapped { iovas, .. } = &self.way {
            lock(iovas).give_back(at);
        }
    }

    /// Where a segment lies, if all of it is contiguous whatever it is: not where the domain is one of physical addresses.
    #[inline(always)]
    pub(crate) fn whole(&self, seg: &Seg) -> Option<u64> {
        let offset = self.offsets.get(seg.region().number())?.load(Ordering::Acquire);
        // The special ones are odd, the others are not.
        (offset & 1 == 0).then(|| (seg.address().addr() as u64).wrapping_add(offset))
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
        let pages = match &lock(&self.entries).get(region.number())?.as_ref()?.to {
            Mapping::Pages(pages) => pages.clone(),
            Mapping::At(_) => return None,
        };
        let within = address.checked_sub(region.base().addr() as u64)?;
        let frame = *pages.frames.get((within >> pages.shift) as usize)?;
        let in_page = within & ((1 << pages.shift) - 1);
        let left = (1u64 << pages.shift) - in_page;
        Some(Run { address: frame + in_page, len: u64::from(len).min(left) as u32 })
    }

    fn enter(&self, region: &Region) -> Result<(), PciError> {
        let slot = self.offsets.get(region.number()).ok_or_else(|| PciError::unusable(&self.name, "too many memory regions"))?;
        let mut entries = lock(&self.entries);
        if entries.len() <= region.number() {
            entries.resize_with(region.number() + 1, || None);
        }
        let Some(place) = entries.get_mut(region.number()) else { return Ok(()) };
        if let Some(entry) = place.as_mut().filter(|entry| entry.serial == region.serial()) {
            entry.uses += 1;
            return Ok(());
        }
        if let Some(stale) = place.take() {
            slot.store(NOTHING, Ordering::Release);
            self.undo(&stale);
        }
        let (to, word) = match &self.way {
            Way::Mapped { mapper, iovas } => {
                let iova = self.map(region, mapper.as_ref(), iovas)?;
                (Mapping::At(iova), iova.wrapping_sub(region.base().addr() as u64))
            }
            Way::Physical { look } => {
                let pages = Pages { shift: region.page_size().trailing_zeros(), frames: look(region)? };
                (Mapping::Pages(Arc::new(pages)), PAGED)
            }
        };
        *place = Some(Entry { serial: region.serial(), uses: 1, len: region.len() as u64, to });
        slot.store(word, Ordering::Release);
        Ok(())
    }

    fn map(&self, region: &Region, mapper: &dyn Mapper, iovas: &Mutex<Iovas>) -> Result<u64, PciError> {
        let len = region.len() as u64;
        // On a boundary of 2 MiB where the region is that large: an IOMMU then needs fewer entries.
        let align = (region.page_size() as u64).max(if len >= 2 << 20 { 2 << 20 } else { 4096 });
        let taken = lock(iovas).take(len, align);
        let iova = taken.ok_or_else(|| PciError::NoAddresses { function: self.name.clone(), bytes: region.len() })?;
        if let Err(error) = mapper.map(region, iova) {
            lock(iovas).give_back(iova);
            return Err(error);
        }
        Ok(iova)
    }

    /// True once the device cannot reach it. Addresses that it may still reach are not handed out again.
    fn undo(&self, entry: &Entry) -> bool {
        let (Way::Mapped { mapper, iovas }, Mapping::At(iova)) = (&self.way, &entry.to) else { return true };
        let done = mapper.unmap(*iova, entry.len);
        if done {
            lock(iovas).give_back(*iova);
        }
        done
    }

    fn leave(&self, region: &Region) {
        let Some(slot) = self.offsets.get(region.number()) else { return };
        let mut entries = lock(&self.entries);
        let Some(place) = entries.get_mut(region.number()) else { return };
        let Some(entry) = place.as_mut().filter(|entry| entry.serial == region.serial()) else { return };
        entry.uses -= 1;
        if entry.uses == 0
            && let Some(last) = place.take()
            && self.undo(&last)
        {
            slot.store(NOTHING, Ordering::Release);
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
