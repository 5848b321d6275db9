//! What a disk stores: what readers see, what is on the medium for certain, and the changes between the two.

use super::Tear;
use super::image::{Image, PAGE, SECTOR, noise};
use crate::entropy::Entropy;
use doorbell_block::{DeviceInfo, ReadAfterUnmap};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What blocks are to hold.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// These bytes, from the first of the change on.
    Bytes(Arc<[u8]>),
    /// Zeroes.
    Zeroes,
    /// Anything: noise that depends on this seed and the place.
    Noise(u64),
    /// What they hold: they are merely no longer mapped.
    Kept,
}

/// New content of a range.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) lba: u64,
    pub(super) blocks: u64,
    pub(super) content: Content,
    pub(super) mapped: bool,
}

impl Change {
    pub(super) fn bytes(lba: u64, shift: u8, bytes: Vec<u8>) -> Change {
        Change { lba, blocks: (bytes.len() >> shift) as u64, content: Content::Bytes(bytes.into()), mapped: true }
    }

    fn range(&self) -> Range<u64> {
        self.lba..self.lba + self.blocks
    }
}

/// A part of a change, or all of it, in bytes of the disk.
#[derive(Clone, Debug)]
struct Part {
    change: Change,
    bytes: Range<u64>,
}

/// Is a completed write certain to survive?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durable {
    Now,
    AfterFlush,
}

pub(super) struct Medium {
    shift: u8,
    tear: Tear,
    unmapped_reads: ReadAfterUnmap,
    current: Image,
    stable: Image,
    /// Completed and not certain, in order of completion.
    unflushed: Vec<(u64, Part)>,
    /// Started and not completed.
    under_way: BTreeMap<u64, Change>,
    next: u64,
}

impl Medium {
    pub(super) fn new(info: &DeviceInfo, tear: Tear, image: Image) -> Medium {
        let (unflushed, under_way) = (Vec::new(), BTreeMap::new());
        let (shift, unmapped_reads) = (info.block_shift, info.read_after_unmap);
        Medium { shift, tear, unmapped_reads, stable: image.clone(), current: image, unflushed, under_way, next: 0 }
    }

    pub(super) fn current(&self) -> &Image {
        &self.current
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn unflushed(&self) -> usize {
        self.unflushed.len()
    }

    /// What blocks hold once they are unmapped. A device that promises nothing is given no chance to be right by accident.
    pub(super) fn unmapped(&self, entropy: &mut Entropy) -> Content {
        match self.unmapped_reads {
            ReadAfterUnmap::Zeroes => Content::Zeroes,
            ReadAfterUnmap::Undefined if entropy.coin() => Content::Kept,
            ReadAfterUnmap::Undefined => Content::Noise(entropy.word()),
        }
    }

    fn part(&self, change: Change) -> Part {
        let Range { start, end } = change.range();
        Part { bytes: start << self.shift..end << self.shift, change }
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
        let part = self.part(change);
        self.apply_part(part, durable);
    }

    fn apply_part(&mut self, part: Part, durable: Durable) {
        put(&mut self.current, self.shift, &part);
        match durable {
            Durable::Now => {
                put(&mut self.stable, self.shift, &part);
                self.supersede(&part.bytes);
            }
            Durable::AfterFlush => {
                self.next += 1;
                self.unflushed.push((self.next, part));
            }
        }
    }

    /// Older unflushed content of these bytes cannot come back any more.
    fn supersede(&mut self, newer: &Range<u64>) {
        let mut kept = Vec::with_capacity(self.unflushed.len());
        for (n, old) in std::mem::take(&mut self.unflushed) {
            for bytes in [old.bytes.start..old.bytes.end.min(newer.start), old.bytes.start.max(newer.end)..old.bytes.end] {
                if !bytes.is_empty() {
                    kept.push((n, Part { bytes, change: old.change.clone() }));
                }
            }
        }
        self.unflushed = kept;
    }

    /// Completed changes up to `mark` become certain.
    pub(super) fn flush(&mut self, mark: u64) {
        let later = self.unflushed.split_off(self.unflushed.partition_point(|(n, _)| *n <= mark));
        for (_, part) in std::mem::replace(&mut self.unflushed, later) {
            put(&mut self.stable, self.shift, &part);
        }
    }

    /// A change that failed or was swept away: each of its parts may or may not have been written.
    pub(super) fn tear(&mut self, ticket: u64, entropy: &mut Entropy) {
        let Some(change) = self.under_way.remove(&ticket) else { return };
        let whole = self.part(change);
        for bytes in self.units(&whole.bytes, entropy) {
            if entropy.coin() {
                self.apply_part(Part { bytes, change: whole.change.clone() }, Durable::AfterFlush);
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
        let bit = entropy.below(8) as u8;
        self.current.flip(at, bit);
        self.stable.flip(at, bit);
    }

    pub(super) fn resize(&mut self, blocks: u64) {
        self.current.resize(blocks);
        self.stable.resize(blocks);
    }

    /// The parts of which each survives whole or not at all. A very long change comes in a few long parts.
    fn units(&self, bytes: &Range<u64>, entropy: &mut Entropy) -> Vec<Range<u64>> {
        let unit = match self.tear {
            Tear::Blocks => 1 << self.shift,
            Tear::Pages => PAGE.max(1 << self.shift),
            Tear::Sectors => SECTOR,
        };
        let (first, end) = (bytes.start / unit, bytes.end.div_ceil(unit));
        let mut cuts: Vec<u64> = match end - first {
            0..=MANY => (first..=end).collect(),
            long => [first, end].into_iter().chain((0..MANY).map(|_| first + entropy.below(long))).collect(),
        };
        cuts.sort_unstable();
        let clamp = |at: u64| (at * unit).clamp(bytes.start, bytes.end);
        cuts.windows(2).map(|pair| clamp(pair[0])..clamp(pair[1])).filter(|part| !part.is_empty()).collect()
    }

    /// What a power cut leaves: of every uncertain change, something. Changes no longer than `atomic` blocks survive whole or not at all, unless
    /// sectors tear.
    pub(super) fn cut(&self, entropy: &mut Entropy, atomic: u32) -> Image {
        let mut left = self.stable.clone();
        let mut under_way: Vec<Part> = self.under_way.values().map(|change| self.part(change.clone())).collect();
        entropy.shuffle(&mut under_way);
        for part in self.unflushed.iter().map(|(_, part)| part).chain(&under_way) {
            let short = (part.bytes.end - part.bytes.start) <= u64::from(atomic.max(1)) << self.shift;
            if short && self.tear != Tear::Sectors {
                if entropy.coin() {
                    put(&mut left, self.shift, part);
                }
                continue;
            }
            // Long writes go in runs: some whole, some torn in the middle, some gone.
            let odds = *entropy.pick(&[0, 100_000, 500_000, 900_000, 1_000_000]);
            for bytes in self.units(&part.bytes, entropy) {
                if entropy.chance(odds) {
                    put(&mut left, self.shift, &Part { bytes, change: part.change.clone() });
                }
            }
        }
        left
    }
}

/// Parts that a change is torn into at most.
const MANY: u64 = 2048;

fn put(image: &mut Image, shift: u8, part: &Part) {
    let (at, len) = (part.bytes.start, part.bytes.end - part.bytes.start);
    let skip = (at - (part.change.lba << shift)) as usize;
    match &part.change.content {
        Content::Bytes(bytes) => image.change(at, len, part.change.mapped, |to, from| {
            let from = skip + from;
            to.copy_from_slice(&bytes[from..from + to.len()]);
        }),
        Content::Zeroes if !part.change.mapped => image.clear(at, len),
        Content::Zeroes => image.change(at, len, true, |to, _| to.fill(0)),
        Content::Noise(seed) => image.change(at, len, part.change.mapped, |to, from| noise(*seed, at + from as u64, to)),
        Content::Kept => image.change(at, len, part.change.mapped, |_, _| ()),
    }
}
