//! What a disk stores: what readers see, what is on the medium, and the writes between the two.

use crate::entropy::Entropy;
use doorbell_block::{DeviceInfo, ReadAfterUnmap};
use std::collections::BTreeMap;

/// The bytes of a disk, and which blocks are mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    shift: u8,
    bytes: Vec<u8>,
    mapped: Vec<bool>,
}

impl Image {
    fn blank(shift: u8, blocks: u64) -> Image {
        Image { shift, bytes: vec![0; (blocks << shift) as usize], mapped: vec![false; blocks as usize] }
    }

    /// An image of these bytes, all of them mapped.
    ///
    /// # Panics
    /// If they are not whole blocks.
    pub fn of(shift: u8, bytes: Vec<u8>) -> Image {
        assert_eq!(bytes.len() % (1 << shift), 0, "an image of whole blocks");
        let mapped = vec![true; bytes.len() >> shift];
        Image { shift, bytes, mapped }
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whole blocks.
    ///
    /// # Panics
    /// If they lie outside.
    pub fn blocks(&self, lba: u64, blocks: u64) -> &[u8] {
        &self.bytes[(lba << self.shift) as usize..((lba + blocks) << self.shift) as usize]
    }

    /// Does the block hold data, as far as the disk knows?
    pub fn is_mapped(&self, lba: u64) -> bool {
        self.mapped.get(lba as usize).is_some_and(|m| *m)
    }

    fn put(&mut self, lba: u64, bytes: &[u8], mapped: bool) {
        let at = (lba << self.shift) as usize;
        // A disk that shrank meanwhile has no room for what lies past its end.
        let fits = bytes.len().min(self.bytes.len().saturating_sub(at));
        if fits > 0 {
            self.bytes[at..at + fits].copy_from_slice(&bytes[..fits]);
            let blocks = fits >> self.shift;
            self.mapped[lba as usize..lba as usize + blocks].fill(mapped);
        }
    }

    fn resize(&mut self, blocks: u64) {
        self.bytes.resize((blocks << self.shift) as usize, 0);
        self.mapped.resize(blocks as usize, false);
    }
}

/// New content of a range.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) lba: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) mapped: bool,
}

/// Is a completed write certain to survive?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durable {
    Now,
    AfterFlush,
}

pub(super) struct Medium {
    shift: u8,
    unmapped_reads: ReadAfterUnmap,
    current: Image,
    stable: Image,
    /// Completed and not certain, in order of completion.
    unflushed: Vec<(u64, Change)>,
    /// Started and not completed.
    under_way: BTreeMap<u64, Change>,
    next: u64,
}

impl Medium {
    pub(super) fn blank(info: &DeviceInfo) -> Medium {
        Medium::from_image(info, Image::blank(info.block_shift, info.blocks))
    }

    pub(super) fn from_image(info: &DeviceInfo, image: Image) -> Medium {
        let (unflushed, under_way) = (Vec::new(), BTreeMap::new());
        let (shift, unmapped_reads) = (info.block_shift, info.read_after_unmap);
        Medium { shift, unmapped_reads, stable: image.clone(), current: image, unflushed, under_way, next: 0 }
    }

    pub(super) fn current(&self) -> &Image {
        &self.current
    }

    pub(super) fn snapshot(&self) -> Image {
        self.current.clone()
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// What blocks hold once they are unmapped. A device that promises nothing is given no chance to be right by accident.
    pub(super) fn unmapped(&self, blocks: u32, entropy: &mut Entropy) -> Vec<u8> {
        let mut bytes = vec![0; (blocks as usize) << self.shift];
        if self.unmapped_reads == ReadAfterUnmap::Undefined {
            entropy.fill(&mut bytes);
        }
        bytes
    }

    /// A change begins. Its ticket ends it.
    pub(super) fn start(&mut self, change: Change) -> u64 {
        self.next += 1;
        self.under_way.insert(self.next, change);
        self.next
    }

    /// The order number of the last completion: a flush that starts now covers everything up to it.
    pub(super) fn mark(&self) -> u64 {
        self.next
    }

    /// A change completes.
    pub(super) fn finish(&mut self, ticket: u64, durable: Durable) {
        if let Some(change) = self.under_way.remove(&ticket) {
            self.apply(change, durable);
        }
    }

    /// A change is done at once.
    pub(super) fn apply(&mut self, change: Change, durable: Durable) {
        self.current.put(change.lba, &change.bytes, change.mapped);
        match durable {
            Durable::Now => {
                self.stable.put(change.lba, &change.bytes, change.mapped);
                self.supersede(&change);
            }
            Durable::AfterFlush => {
                self.next += 1;
                self.unflushed.push((self.next, change));
            }
        }
    }

    /// Older unflushed content of these blocks cannot come back any more.
    fn supersede(&mut self, newer: &Change) {
        let blocks = |c: &Change| (c.bytes.len() >> self.shift) as u64;
        let (begin, end) = (newer.lba, newer.lba + blocks(newer));
        let mut kept = Vec::with_capacity(self.unflushed.len());
        for (n, old) in std::mem::take(&mut self.unflushed) {
            let old_end = old.lba + blocks(&old);
            if old_end <= begin || old.lba >= end {
                kept.push((n, old));
                continue;
            }
            for (from, to) in [(old.lba, begin), (end, old_end)] {
                if from < to {
                    let (a, b) = ((from - old.lba) << self.shift, (to - old.lba) << self.shift);
                    kept.push((n, Change { lba: from, bytes: old.bytes[a as usize..b as usize].to_vec(), mapped: old.mapped }));
                }
            }
        }
        self.unflushed = kept;
    }

    /// Completed changes up to `mark` become certain.
    pub(super) fn flush(&mut self, mark: u64) {
        let later = self.unflushed.split_off(self.unflushed.partition_point(|(n, _)| *n <= mark));
        for (_, change) in std::mem::replace(&mut self.unflushed, later) {
            self.stable.put(change.lba, &change.bytes, change.mapped);
        }
    }

    /// A change that failed or was swept away: each of its blocks may or may not have been written.
    pub(super) fn tear(&mut self, ticket: u64, entropy: &mut Entropy) {
        let Some(change) = self.under_way.remove(&ticket) else { return };
        for part in blocks_of(&change, self.shift) {
            if entropy.coin() {
                self.apply(part, Durable::AfterFlush);
            }
        }
    }

    /// A change that never happened.
    pub(super) fn forget(&mut self, ticket: u64) {
        self.under_way.remove(&ticket);
    }

    /// Flips a bit.
    pub(super) fn rot(&mut self, lba: u64, entropy: &mut Entropy) {
        let at = (lba << self.shift) + entropy.below(1 << self.shift);
        let bit = 1 << entropy.below(8);
        for image in [&mut self.current, &mut self.stable] {
            if let Some(byte) = image.bytes.get_mut(at as usize) {
                *byte ^= bit;
            }
        }
    }

    pub(super) fn resize(&mut self, blocks: u64) {
        self.current.resize(blocks);
        self.stable.resize(blocks);
    }

    /// What a power cut leaves: of every uncertain change, something. Changes no longer than `atomic` blocks survive whole or not at all.
    pub(super) fn cut(&self, entropy: &mut Entropy, atomic: u32) -> Image {
        let mut left = self.stable.clone();
        let mut under_way: Vec<&Change> = self.under_way.values().collect();
        entropy.shuffle(&mut under_way);
        for change in self.unflushed.iter().map(|(_, c)| c).chain(under_way) {
            let blocks = change.bytes.len() >> self.shift;
            if blocks <= atomic.max(1) as usize {
                if entropy.coin() {
                    left.put(change.lba, &change.bytes, change.mapped);
                }
                continue;
            }
            // Long writes go in runs: some whole, some torn in the middle, some gone.
            let odds = *entropy.pick(&[0, 100_000, 500_000, 900_000, 1_000_000]);
            for part in blocks_of(change, self.shift) {
                if entropy.chance(odds) {
                    left.put(part.lba, &part.bytes, part.mapped);
                }
            }
        }
        left
    }
}

fn blocks_of(change: &Change, shift: u8) -> Vec<Change> {
    let block = |(n, bytes): (usize, &[u8])| Change { lba: change.lba + n as u64, bytes: bytes.to_vec(), mapped: change.mapped };
    change.bytes.chunks(1 << shift).enumerate().map(block).collect()
}
