//! The registry of regions: it makes them, and tells devices that do DMA of each that comes and goes.

use super::{Backing, Region};
use crate::MemError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A device (or an IOMMU container) that maps regions for DMA.
pub trait RegionObserver: Send + Sync {
    /// A region is there; map it. An error undoes the step that brought it.
    fn arrived(&self, region: &Region) -> Result<(), MemError>;
    /// A region leaves; nothing of it is in use any more.
    fn leaving(&self, region: &Region);
}

#[derive(Default)]
struct Inner {
    regions: Vec<Weak<Region>>,
    observers: Vec<Arc<dyn RegionObserver>>,
}

/// All regions of a process (or of one simulated machine). Control plane only: it locks.
#[derive(Clone, Default)]
pub struct Regions {
    inner: Arc<Mutex<Inner>>,
}

impl std::fmt::Debug for Regions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (regions, bytes) = self.totals();
        f.debug_struct("Regions").field("regions", &regions).field("bytes", &bytes).finish()
    }
}

impl Regions {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Maps a region and shows it to every observer.
    pub fn map(&self, len: usize, backing: Backing, node: Option<u32>) -> Result<Arc<Region>, MemError> {
        self.adopt(Region::map(len, backing, node)?)
    }

    /// Takes in a region that was mapped elsewhere (foreign memory).
    pub(crate) fn adopt(&self, region: Region) -> Result<Arc<Region>, MemError> {
        let region = Arc::new(region);
        let mut inner = self.inner();
        if !inner.observers.is_empty() {
            region.lock()?;
        }
        for (n, o) in inner.observers.iter().enumerate() {
            if let Err(e) = o.arrived(&region) {
                inner.observers.iter().take(n).for_each(|o| o.leaving(&region));
                return Err(e);
            }
        }
        inner.regions.retain(|r| r.strong_count() > 0);
        inner.regions.push(Arc::downgrade(&region));
        Ok(region)
    }

    /// Tells observers that a region's last user is done with it. The mapping itself goes with the last block.
    pub fn retire(&self, region: &Arc<Region>) {
        let mut inner = self.inner();
        let known = inner.regions.len();
        inner.regions.retain(|r| !std::ptr::eq(r.as_ptr(), Arc::as_ptr(region)));
        if inner.regions.len() < known {
            inner.observers.iter().for_each(|o| o.leaving(region));
        }
    }

    /// Attaches a device that does DMA: locks every region and shows it to the device. All or nothing.
    pub fn attach(&self, observer: Arc<dyn RegionObserver>) -> Result<(), MemError> {
        let mut inner = self.inner();
        let live: Vec<_> = inner.regions.iter().filter_map(Weak::upgrade).collect();
        for (n, region) in live.iter().enumerate() {
            if let Err(e) = region.lock().and_then(|()| observer.arrived(region)) {
                live.iter().take(n).for_each(|r| observer.leaving(r));
                return Err(e);
            }
        }
        inner.observers.push(observer);
        Ok(())
    }

    /// Detaches a device; every region leaves it. One that was attached several times (a table that devices share) is detached once.
    pub fn detach(&self, observer: &Arc<dyn RegionObserver>) {
        let mut inner = self.inner();
        let Some(place) = inner.observers.iter().position(|o| Arc::ptr_eq(o, observer)) else { return };
        inner.observers.remove(place);
        inner.regions.iter().filter_map(Weak::upgrade).for_each(|r| observer.leaving(&r));
    }

    /// Regions alive, and their bytes.
    pub fn totals(&self) -> (usize, usize) {
        let inner = self.inner();
        let live = inner.regions.iter().filter_map(Weak::upgrade);
        live.fold((0, 0), |(n, b), r| (n + 1, b + r.len()))
    }
}
