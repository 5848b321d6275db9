//! Where a blob's clusters are: read by every reactor without a lock, written by the owner of the store alone.
//!
//! Invariant: an extent that is there stays, for as long as the map does.

use doorbell_wire_blob::{Cluster, EXTENT_PAGE_CLUSTERS, clusters_in_entry};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

pub(crate) const PER: u64 = EXTENT_PAGE_CLUSTERS as u64;

/// The clusters of one extent page.
pub(crate) struct Extent([AtomicU32; EXTENT_PAGE_CLUSTERS as usize]);

impl Extent {
    pub(crate) fn new(clusters: impl Iterator<Item = Cluster>) -> Extent {
        let extent = Extent(std::array::from_fn(|_| AtomicU32::new(0)));
        extent.0.iter().zip(clusters).for_each(|(to, from)| to.store(from.0, Ordering::Relaxed));
        extent
    }
}

/// A blob's clusters.
pub(crate) struct Map {
    clusters: u64,
    extents: Box<[OnceLock<Arc<Extent>>]>,
}

impl Map {
    /// A map of `clusters` of which none is allocated.
    pub(crate) fn new(clusters: u64) -> Map {
        let extents = (0..clusters.div_ceil(PER)).map(|_| OnceLock::new()).collect();
        Map { clusters, extents }
    }

    pub(crate) fn clusters(&self) -> u64 {
        self.clusters
    }

    /// Where cluster `at` of the blob is.
    #[inline]
    pub(crate) fn get(&self, at: u64) -> Cluster {
        match self.extents.get((at / PER) as usize).and_then(OnceLock::get) {
            Some(extent) => Cluster(extent.0[(at % PER) as usize].load(Ordering::Acquire)),
            None => Cluster::NONE,
        }
    }

    pub(crate) fn extent(&self, entry: u64) -> Option<&Arc<Extent>> {
        self.extents.get(entry as usize)?.get()
    }

    /// Says where a cluster is from now on.
    pub(crate) fn set(&self, at: u64, cluster: Cluster) {
        let Some(slot) = self.extents.get((at / PER) as usize) else { return };
        if slot.get().is_none() && !cluster.is_some() {
            return;
        }
        let extent = slot.get_or_init(|| Arc::new(Extent::new(std::iter::empty())));
        extent.0[(at % PER) as usize].store(cluster.0, Ordering::Release);
    }

    /// Takes a whole extent, where there is none yet.
    pub(crate) fn put(&self, entry: u64, extent: Extent) {
        if let Some(slot) = self.extents.get(entry as usize) {
            let _ = slot.set(Arc::new(extent));
        }
    }

    /// Entry `entry` as a list: what its extent page holds.
    pub(crate) fn list(&self, entry: u64) -> Vec<Cluster> {
        let first = entry * PER;
        (first..first + u64::from(clusters_in_entry(entry, self.clusters))).map(|at| self.get(at)).collect()
    }

    /// Has an entry no cluster at all?
    pub(crate) fn is_bare(&self, entry: u64) -> bool {
        self.extent(entry).is_none_or(|extent| extent.0.iter().all(|n| n.load(Ordering::Acquire) == 0))
    }

    /// The same map for another number of clusters. What both have is shared: a change of one shows in the other. What is past the end of the
    /// new one is not, so that it does not come back when the blob grows again.
    pub(crate) fn resized(&self, clusters: u64) -> Map {
        let map = Map::new(clusters);
        for (entry, slot) in (0u64..).zip(&map.extents) {
            let Some(extent) = self.extent(entry) else { continue };
            let kept = clusters_in_entry(entry, clusters.min(self.clusters));
            let whole = clusters_in_entry(entry, clusters) >= clusters_in_entry(entry, self.clusters);
            let extent = match whole {
                true => extent.clone(),
                false => Arc::new(Extent::new(self.list(entry).into_iter().take(kept as usize))),
            };
            let _ = slot.set(extent);
        }
        map
    }

    /// Entries of its table.
    pub(crate) fn entries(&self) -> u64 {
        self.extents.len() as u64
    }

    /// The clusters that are allocated, ascending: which of the blob's, and where.
    pub(crate) fn allocated(&self) -> impl Iterator<Item = (u64, Cluster)> + '_ {
        (0u64..).zip(&self.extents).filter_map(|(entry, slot)| slot.get().map(|extent| (entry, extent))).flat_map(|(entry, extent)| {
            let first = entry * PER;
            (first..self.clusters).zip(&extent.0).filter_map(|(at, n)| {
                let cluster = Cluster(n.load(Ordering::Acquire));
                cluster.is_some().then_some((at, cluster))
            })
        })
    }

    /// The first cluster from `at` on that may be allocated: what lies in extents that are not there is passed over.
    pub(crate) fn skip_absent(&self, at: u64) -> u64 {
        let mut at = at;
        while at < self.clusters && self.extent(at / PER).is_none() {
            at = (at / PER + 1) * PER;
        }
        at.min(self.clusters)
    }
}
