//! A disk that does what disks may do: delays, reorders, fails, tears, loses what was not flushed, and comes back after a power cut.
//!
//! It keeps two images. `current` is what reads see; `stable` is what is on the medium for certain. A write moves into `current` when it
//! completes, and into `stable` when it completed before a flush was submitted that has completed since, or was FUA (where the device
//! claims FUA), or the device is write-through. At a power cut each write in between survives whole, in part or not at all, down to
//! `atomic.power_fail_blocks` and as [`Tear`] says; so do writes that had not completed yet. It enforces its own limits to the letter, and does
//! nothing before `kick`.
//!
//! The power goes when the test says so ([`SimDisk::power_cut`]), or by itself after a number of changes (`DiskSpec::cut_after`); what would be left
//! if it went now is to be had without cutting it ([`SimDisk::would_hold`]). A cut costs what is in the cache, and not what is on the disk.
//!
//! What it is not: fast, or free of locks and allocation. One mutex guards its state, so that several reactors may share it.

mod image;
mod medium;
mod queue;
#[cfg(test)]
mod tests;

pub use image::Image;

use crate::entropy::Entropy;
use doorbell_block::{
    AtomicUnits, BlockDevice, BlockQueue, Cx, DeviceInfo, Op, OpSet, OpenError, ReadAfterUnmap, Status, Token, WriteCache,
};
use medium::Medium;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What goes wrong, and how often.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The nth request that reaches the disk (from zero) ends like this.
    pub plan: BTreeMap<u64, Status>,
    /// Requests in a million that fail: reads with `ReadError`, others with `WriteError`. A failed write may have happened in part.
    pub fail_per_million: u32,
    /// Writes in a million that land elsewhere and say `Ok`.
    pub misdirect_per_million: u32,
    /// Completed writes in a million after which one bit of the medium flips somewhere.
    pub rot_per_million: u32,
}

/// What of a write survives a power cut whole or not at all, besides the writes that `DeviceInfo::atomic` promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tear {
    /// Each block.
    #[default]
    Blocks,
    /// What the write has of each 4096 bytes of the disk that begin at a multiple of 4096.
    Pages,
    /// 512 bytes, also where blocks are larger and whatever `atomic` promises.
    Sectors,
}

/// What a simulated disk is.
#[derive(Clone, Debug)]
pub struct DiskSpec {
    /// What it says of itself, and then is.
    pub info: DeviceInfo,
    /// All of its chance.
    pub seed: u64,
    /// How long a request takes. The spread is what reorders.
    pub delay_ns: RangeInclusive<u64>,
    /// What goes wrong.
    pub faults: Faults,
    /// Where writes tear when the power goes, or when they fail.
    pub tear: Tear,
    /// The power goes by itself as soon as so many changes have completed: whoever made the last of them learns of that, nobody of any more.
    pub cut_after: Option<u64>,
}

impl DiskSpec {
    /// A disk with every operation and a volatile write cache, on which nothing goes wrong.
    pub fn new(seed: u64, block_shift: u8, blocks: u64) -> DiskSpec {
        let mut info = DeviceInfo::plain(block_shift, blocks);
        info.ops = OpSet::of(&Op::COMMON);
        info.fua = true;
        info.write_cache = WriteCache::Volatile;
        info.read_after_unmap = ReadAfterUnmap::Zeroes;
        info.atomic = AtomicUnits { normal_blocks: 1, power_fail_blocks: 1 };
        DiskSpec { info, seed, delay_ns: 1_000..=200_000, faults: Faults::default(), tear: Tear::Blocks, cut_after: None }
    }

    /// The same disk with other tears.
    pub fn tearing(self, tear: Tear) -> DiskSpec {
        DiskSpec { tear, ..self }
    }
}

/// What reached a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests of any kind.
    pub requests: u64,
    /// Reads.
    pub reads: u64,
    /// Writes, zeroes and copies included.
    pub writes: u64,
    /// Writes with FUA.
    pub fua_writes: u64,
    /// Flushes.
    pub flushes: u64,
    /// Unmaps.
    pub unmaps: u64,
    /// Changes that completed: writes, zeroes, copies, unmaps. What `cut_after` counts.
    pub changes: u64,
    /// Requests that failed because the faults said so.
    pub faults: u64,
    /// Writes that landed elsewhere.
    pub misdirected: u64,
    /// Bits that flipped.
    pub rotten: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    /// Cut or pulled: whatever comes or is under way ends as `Gone`.
    Off,
}

struct State {
    medium: Medium,
    entropy: Entropy,
    counters: Counters,
    power: Power,
    /// Goes up with every reset: requests of an older epoch are swept away.
    epoch: u64,
    /// Blocks that cannot be read until they are written.
    unreadable: BTreeSet<u64>,
    /// Blocks that cannot be written.
    unwritable: BTreeSet<u64>,
}

struct Shared {
    spec: DiskSpec,
    info: Mutex<Arc<DeviceInfo>>,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn info(&self) -> Arc<DeviceInfo> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

impl SimDisk {
    /// An empty one: all zeroes, nothing mapped.
    pub fn new(spec: DiskSpec) -> SimDisk {
        let image = Image::blank(spec.info.block_shift, spec.info.blocks);
        SimDisk::from_image(spec, image)
    }

    /// One that begins as `image`, which a power cut left or a test made.
    ///
    /// # Panics
    /// If the image is not as large as the disk.
    pub fn from_image(spec: DiskSpec, image: Image) -> SimDisk {
        assert_eq!(image.len_bytes(), spec.info.bytes(), "an image of another size");
        let medium = Medium::new(&spec.info, spec.tear, image);
        let entropy = Entropy::new(spec.seed ^ 0x5349_4d44_4953_4b21);
        let (unreadable, unwritable) = (BTreeSet::new(), BTreeSet::new());
        let state = State { medium, entropy, counters: Counters::default(), power: Power::On, epoch: 0, unreadable, unwritable };
        let info = Mutex::new(Arc::new(spec.info.clone()));
        SimDisk { shared: Arc::new(Shared { spec, info, state: Mutex::new(state) }) }
    }

    /// Cuts the power: what is under way ends as `Gone`, and this is what the medium holds afterwards. `seed` chooses what of the unflushed
    /// writes survived.
    pub fn power_cut(&self, seed: u64) -> Image {
        self.shared.state().power = Power::Off;
        self.would_hold(seed)
    }

    /// What the medium would hold if the power went now. It does not: a history is cut at every moment while it runs once.
    pub fn would_hold(&self, seed: u64) -> Image {
        let atomic = self.shared.info().atomic.power_fail_blocks;
        self.shared.state().medium.cut(&mut Entropy::new(seed), atomic)
    }

    /// Is it gone: cut, pulled, or off by itself?
    pub fn is_off(&self) -> bool {
        self.shared.state().power == Power::Off
    }

    /// Reads of these blocks fail, until each is written.
    pub fn make_unreadable(&self, blocks: Range<u64>) {
        self.shared.state().unreadable.extend(blocks);
    }

    /// Writes to these blocks fail, and may have happened in part.
    pub fn make_unwritable(&self, blocks: Range<u64>) {
        self.shared.state().unwritable.extend(blocks);
    }

    /// All blocks can be read and written again.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        state.unreadable.clear();
        state.unwritable.clear();
    }

    /// Pulls the disk: everything ends as `Gone` from now on.
    pub fn remove(&self) {
        self.shared.state().power = Power::Off;
    }

    /// Grows or shrinks it. What is under way past a new end fails.
    ///
    /// # Panics
    /// If memory cannot hold it.
    pub fn resize(&self, blocks: u64) {
        let mut info = self.shared.info.lock().unwrap_or_else(PoisonError::into_inner);
        *info = Arc::new(DeviceInfo { blocks, ..(**info).clone() });
        self.shared.state().medium.resize(blocks);
    }

    /// Flips a bit of a block, on the medium and for readers.
    pub fn rot(&self, lba: u64) {
        let mut state = self.shared.state();
        let State { medium, entropy, counters, .. } = &mut *state;
        medium.rot(lba, entropy);
        counters.rotten += 1;
    }

    /// What reached it so far.
    pub fn counters(&self) -> Counters {
        self.shared.state().counters
    }

    /// What readers would see now, bypassing every queue.
    pub fn snapshot(&self) -> Image {
        self.shared.state().medium.current().clone()
    }

    /// Requests that are under way at the disk.
    pub fn under_way(&self) -> usize {
        self.shared.state().medium.under_way()
    }

    /// Completed changes that a power cut may undo.
    pub fn unflushed(&self) -> usize {
        self.shared.state().medium.unflushed()
    }
}

impl BlockDevice for SimDisk {
    fn info(&self) -> Arc<DeviceInfo> {
        self.shared.info()
    }

    fn open(&self, _cx: &mut Cx, who: Token, _depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        match self.shared.state().power {
            Power::On => Ok(Box::new(queue::SimQueue::new(self.shared.clone(), who))),
            Power::Off => Err(OpenError::Gone),
        }
    }
}
