//! What a volume is at a moment, as its queues see it: maps to look clusters up in, and whether it may be written.
//!
//! The owner of the store makes a new view when a blob's chain of parents, its size or its mode changes; queues notice by one word that they
//! load with every request. A view never changes; the maps in it do, where clusters are allocated and given back.

use crate::Error;
use crate::map::Map;
use doorbell_block::{BlockDevice, Shape};
use doorbell_wire_blob::Cluster;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A parent outside of the store.
#[derive(Clone)]
pub(crate) struct Outside {
    pub(crate) device: Arc<dyn BlockDevice>,
    /// Its blocks are so much smaller, as a power of two.
    pub(crate) shift: u8,
    /// Blocks of the store that it has, whole.
    pub(crate) blocks: u64,
}

impl Outside {
    /// A device as the parent of volumes on a store of `1 << block_shift` bytes a block.
    pub(crate) fn new(device: Arc<dyn BlockDevice>, block_shift: u8) -> Result<Outside, Error> {
        let info = device.info();
        let shift = block_shift.checked_sub(info.block_shift);
        let shift = shift.ok_or(Error::ExternalBlocks { parent: info.block_size(), store: 1 << block_shift })?;
        Ok(Outside { blocks: info.blocks >> shift, device, shift })
    }
}

/// A volume at a moment.
pub(crate) struct View {
    /// The blob's map, then those of its parents.
    pub(crate) chain: Box<[Arc<Map>]>,
    pub(crate) outside: Option<Outside>,
    cluster_blocks: u64,
    /// The same as a power of two, where it is one.
    shift: Option<u8>,
    /// Are clusters given back that are unmapped whole: in a thin volume that shows no parent's?
    pub(crate) releases: bool,
}

impl View {
    pub(crate) fn new(chain: Vec<Arc<Map>>, outside: Option<Outside>, cluster_blocks: u64, is_thin: bool) -> View {
        let shift = cluster_blocks.is_power_of_two().then(|| cluster_blocks.trailing_zeros() as u8);
        let releases = is_thin && chain.len() == 1 && outside.is_none();
        View { chain: chain.into(), outside, cluster_blocks, shift, releases }
    }

    #[inline]
    pub(crate) fn cluster_blocks(&self) -> u64 {
        self.cluster_blocks
    }

    /// The cluster of the blob that a block lies in, and where in it.
    #[inline]
    pub(crate) fn split(&self, lba: u64) -> (u64, u64) {
        match self.shift {
            Some(shift) => (lba >> shift, lba & (self.cluster_blocks - 1)),
            None => (lba / self.cluster_blocks, lba % self.cluster_blocks),
        }
    }

    /// The first block of a cluster.
    #[inline]
    pub(crate) fn first_block(&self, cluster: Cluster) -> u64 {
        u64::from(cluster.0) * self.cluster_blocks
    }

    /// Where cluster `at` is read.
    #[inline]
    pub(crate) fn find(&self, at: u64) -> Cluster {
        self.chain.iter().map(|map| map.get(at)).find(|cluster| cluster.is_some()).unwrap_or_default()
    }

    /// The blob's own cluster.
    #[inline]
    pub(crate) fn own(&self, at: u64) -> Cluster {
        self.chain.first().map_or(Cluster::NONE, |map| map.get(at))
    }

    /// Has cluster `at` something to show from a parent?
    pub(crate) fn is_backed(&self, at: u64) -> bool {
        self.find(at).is_some() || at * self.cluster_blocks < self.outside_blocks()
    }

    pub(crate) fn outside_blocks(&self) -> u64 {
        self.outside.as_ref().map_or(0, |outside| outside.blocks)
    }

    /// The first block from `lba` on that has data, or has none; those of an outside parent count as data.
    pub(crate) fn seek(&self, lba: u64, blocks: u64, data: bool) -> u64 {
        let (clusters, outside) = (blocks / self.cluster_blocks, self.outside_blocks());
        let (mut at, _) = self.split(lba);
        while at < clusters {
            let has = self.find(at).is_some() || at * self.cluster_blocks < outside;
            if has == data {
                return (at * self.cluster_blocks).max(lba);
            }
            // Where nobody has an extent there is nothing for many clusters on.
            let absent =
                if data && at * self.cluster_blocks >= outside { self.chain.iter().map(|map| map.skip_absent(at)).min() } else { None };
            at = absent.unwrap_or_default().max(at + 1);
        }
        u64::MAX
    }
}

/// In the word: writes wait.
const HELD: u64 = 1;
/// In the word: there are no writes.
const READ_ONLY: u64 = 2;
/// What the word goes up by with each view.
const STEP: u64 = 4;

/// A volume's present view, for its queues.
pub(crate) struct Shared {
    word: AtomicU64,
    view: Mutex<Arc<View>>,
    /// Size and limits.
    pub(crate) shape: Arc<Shape>,
}

/// What a queue saw last.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    /// Is there something about writes that has to be looked at?
    #[inline]
    pub(crate) fn restricts(self) -> bool {
        self.0 & (HELD | READ_ONLY) != 0
    }

    pub(crate) fn is_held(self) -> bool {
        self.0 & HELD != 0
    }

    pub(crate) fn is_read_only(self) -> bool {
        self.0 & READ_ONLY != 0
    }
}

impl Shared {
    pub(crate) fn new(view: View, shape: Arc<Shape>, read_only: bool) -> Arc<Shared> {
        let word = if read_only { READ_ONLY } else { 0 };
        Arc::new(Shared { word: AtomicU64::new(word), view: Mutex::new(Arc::new(view)), shape })
    }

    #[inline]
    pub(crate) fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes this the view from now on. Only the owner does.
    pub(crate) fn publish(&self, view: View, read_only: bool) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
        let word = self.word.load(Ordering::Relaxed);
        let flags = word & HELD | if read_only { READ_ONLY } else { 0 };
        self.word.store((word & !(STEP - 1)).wrapping_add(STEP) | flags, Ordering::Release);
    }

    /// From now on writes wait, or go on. Only the owner does.
    pub(crate) fn hold(&self, held: bool) {
        let word = self.word.load(Ordering::Relaxed);
        self.word.store(word & !HELD | if held { HELD } else { 0 }, Ordering::Release);
    }
}
