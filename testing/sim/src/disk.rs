//! A disk that does what disks may do: delays, reorders, fails, tears, loses what was not flushed, and comes back after a power cut.
//!
//! It keeps two images. `current` is what reads see; `stable` is what is on the medium for certain. A write moves into `current` when it
//! completes, and into `stable` when it completed before a flush was submitted that has completed since, or was FUA (where the device
//! claims FUA), or the device is write-through. At a power cut each write in between survives whole, in part or not at all, down to
//! `atomic.power_fail_blocks`; so do writes that had not completed yet. It enforces its own limits to the letter, and does nothing before
//! `kick`.
//!
//! What it is not: fast, or free of locks and allocation. One mutex guards its state, so that several reactors may share it.

mod image;
mod queue;
#[cfg(test)]
mod tests;

pub use image::Image;

use crate::entropy::Entropy;
use doorbell_block::{
    AtomicUnits, BlockDevice, BlockQueue, Cx, DeviceInfo, Op, OpSet, OpenError, ReadAfterUnmap, Status, Token, WriteCache,
};
use image::Medium;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
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
        DiskSpec { info, seed, delay_ns: 1_000..=200_000, faults: Faults::default() }
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
        let medium = Medium::blank(&spec.info);
        SimDisk::of(spec, medium)
    }

    /// One that begins as `image`, which a power cut left or a test made.
    ///
    /// # Panics
    /// If the image is not as large as the disk.
    pub fn from_image(spec: DiskSpec, image: Image) -> SimDisk {
        assert_eq!(image.bytes().len() as u64, spec.info.bytes(), "an image of another size");
        let medium = Medium::from_image(&spec.info, image);
        SimDisk::of(spec, medium)
    }

    fn of(spec: DiskSpec, medium: Medium) -> SimDisk {
        let entropy = Entropy::new(spec.seed ^ 0x5349_4d44_4953_4b21);
        let state = State { medium, entropy, counters: Counters::default(), power: Power::On, epoch: 0 };
        let info = Mutex::new(Arc::new(spec.info.clone()));
        SimDisk { shared: Arc::new(Shared { spec, info, state: Mutex::new(state) }) }
    }

    /// Cuts the power: what is under way ends as `Gone`, and this is what the medium holds afterwards. `seed` chooses what of the unflushed
    /// writes survived.
    pub fn power_cut(&self, seed: u64) -> Image {
        let mut state = self.shared.state();
        state.power = Power::Off;
        let atomic = self.shared.info().atomic.power_fail_blocks;
        state.medium.cut(&mut Entropy::new(seed), atomic)
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
        self.shared.state().medium.snapshot()
    }

    /// Requests that are under way at the disk.
    pub fn under_way(&self) -> usize {
        self.shared.state().medium.under_way()
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
