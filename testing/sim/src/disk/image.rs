//! The bytes of a disk: sparse, and shared between copies until one of them changes.
//!
//! Pages of 4096 bytes stand in chunks of 64, chunks in a map. A copy takes the map; a change takes the chunk and the page that it touches. So a
//! copy of a disk of any size costs what was ever written to it, by the quarter of a mebibyte, and no bytes at all.

use crate::entropy::mix;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub(super) const PAGE: u64 = 4096;
/// What the bits of `Page::mapped` stand for.
pub(super) const SECTOR: u64 = 512;
const CHUNK_PAGES: u64 = 64;
const CHUNK: u64 = CHUNK_PAGES * PAGE;

#[derive(Clone)]
struct Page {
    bytes: [u8; PAGE as usize],
    /// A bit for each sector: does it hold data, as far as the disk knows?
    mapped: u8,
}

type Chunk = [Option<Arc<Page>>; CHUNK_PAGES as usize];

/// What is read where nothing was ever written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Past {
    Zeroes,
    Noise(u64),
}

/// The bytes of a disk, and which of its blocks are mapped.
#[derive(Clone)]
pub struct Image {
    shift: u8,
    blocks: u64,
    past: Past,
    chunks: BTreeMap<u64, Arc<Chunk>>,
}

/// Fills `out` with bytes that depend on `seed` and on their place alone. None of them is zero, so that they are told from what was cleared.
pub(super) fn noise(seed: u64, at: u64, out: &mut [u8]) {
    for (place, byte) in (at..).zip(out) {
        let [raw, ..] = (mix(seed ^ (place / 8)) >> (place % 8 * 8)).to_le_bytes();
        *byte = raw.max(1);
    }
}

/// The parts of a range of bytes, page by page: the page, the range within it, and how far into the whole.
fn pages_of(at: u64, len: u64) -> impl Iterator<Item = (u64, Range<usize>, usize)> {
    let end = at + len;
    (at / PAGE..end.div_ceil(PAGE)).filter(move |_| len > 0).map(move |page| {
        let (from, to) = (at.max(page * PAGE), end.min((page + 1) * PAGE));
        (page, (from - page * PAGE) as usize..(to - page * PAGE) as usize, (from - at) as usize)
    })
}

fn sectors(range: &Range<usize>) -> u8 {
    let (first, end) = (range.start / SECTOR as usize, range.end.div_ceil(SECTOR as usize));
    (((1u16 << end) - 1) as u8) & !(((1u16 << first) - 1) as u8)
}

impl Image {
    /// One of zeroes, with nothing mapped.
    pub fn blank(block_shift: u8, blocks: u64) -> Image {
        Image { shift: block_shift, blocks, past: Past::Zeroes, chunks: BTreeMap::new() }
    }

    /// A disk that was used before: all of it mapped, and full of what somebody left, no byte of which is zero.
    pub fn stale(block_shift: u8, blocks: u64, seed: u64) -> Image {
        Image { past: Past::Noise(seed), ..Image::blank(block_shift, blocks) }
    }

    /// An image of these bytes, all of them mapped.
    ///
    /// # Panics
    /// If they are not whole blocks.
    pub fn of(block_shift: u8, bytes: &[u8]) -> Image {
        assert_eq!(bytes.len() % (1 << block_shift), 0, "an image of whole blocks");
        let mut image = Image::blank(block_shift, (bytes.len() >> block_shift) as u64);
        image.write(0, bytes);
        image
    }

    /// Blocks in all.
    pub fn len_blocks(&self) -> u64 {
        self.blocks
    }

    /// Bytes in all.
    pub fn len_bytes(&self) -> u64 {
        self.blocks << self.shift
    }

    /// Pages that it keeps, shared ones included: what it costs.
    pub fn stored_pages(&self) -> usize {
        self.chunks.values().map(|chunk| chunk.iter().flatten().count()).sum()
    }

    fn page(&self, page: u64) -> Option<&Page> {
        self.chunks.get(&(page / CHUNK_PAGES))?[(page % CHUNK_PAGES) as usize].as_deref()
    }

    /// A page to be changed, with what it holds.
    fn page_mut(&mut self, page: u64) -> &mut Page {
        let past = self.past;
        let chunk = self.chunks.entry(page / CHUNK_PAGES).or_insert_with(|| Arc::new([const { None }; CHUNK_PAGES as usize]));
        let slot = &mut Arc::make_mut(chunk)[(page % CHUNK_PAGES) as usize];
        let fresh = || {
            let mut fresh = Page { bytes: [0; PAGE as usize], mapped: 0 };
            if let Past::Noise(seed) = past {
                noise(seed, page * PAGE, &mut fresh.bytes);
                fresh.mapped = 0xff;
            }
            Arc::new(fresh)
        };
        Arc::make_mut(slot.get_or_insert_with(fresh))
    }

    /// Reads bytes from byte `at` on.
    ///
    /// # Panics
    /// If they lie outside.
    pub fn read(&self, at: u64, out: &mut [u8]) {
        assert!(at + out.len() as u64 <= self.len_bytes(), "a read past the end of an image");
        for (page, range, into) in pages_of(at, out.len() as u64) {
            let part = &mut out[into..into + range.len()];
            match (self.page(page), self.past) {
                (Some(found), _) => part.copy_from_slice(&found.bytes[range]),
                (None, Past::Zeroes) => part.fill(0),
                (None, Past::Noise(seed)) => noise(seed, page * PAGE + range.start as u64, part),
            }
        }
    }

    /// Writes bytes from byte `at` on, and maps their blocks: how a test makes a disk, or damages one.
    ///
    /// # Panics
    /// If they lie outside.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        assert!(at + bytes.len() as u64 <= self.len_bytes(), "a write past the end of an image");
        self.change(at, bytes.len() as u64, true, |part, from| part.copy_from_slice(&bytes[from..from + part.len()]));
    }

    /// All bytes, of a disk that fits in memory.
    pub fn to_vec(&self) -> Vec<u8> {
        self.blocks(0, self.blocks)
    }

    /// Whole blocks.
    ///
    /// # Panics
    /// If they lie outside.
    pub fn blocks(&self, lba: u64, blocks: u64) -> Vec<u8> {
        let mut out = vec![0; (blocks << self.shift) as usize];
        self.read(lba << self.shift, &mut out);
        out
    }

    /// Does the block hold data, as far as the disk knows?
    pub fn is_mapped(&self, lba: u64) -> bool {
        let at = lba << self.shift;
        let bit = |page: &Page| page.mapped >> (at % PAGE / SECTOR) & 1 == 1;
        lba < self.blocks && self.page(at / PAGE).map_or(self.past != Past::Zeroes, bit)
    }

    /// The first block from `lba` on that is mapped, or that is not. It looks at what is kept alone, however large the disk is.
    pub fn seek(&self, lba: u64, mapped: bool) -> Option<u64> {
        let (block, end) = (1u64 << self.shift, self.len_bytes());
        let mut at = lba << self.shift;
        while at < end {
            let Some(chunk) = self.chunks.get(&(at / CHUNK)) else {
                if mapped == (self.past != Past::Zeroes) {
                    return Some(at >> self.shift);
                }
                at = self.chunks.range(at / CHUNK..).next()?.0 * CHUNK;
                continue;
            };
            match &chunk[(at / PAGE % CHUNK_PAGES) as usize] {
                None if mapped == (self.past != Past::Zeroes) => return Some(at >> self.shift),
                None => at = (at / PAGE + 1) * PAGE,
                Some(_) if self.is_mapped(at >> self.shift) == mapped => return Some(at >> self.shift),
                Some(_) => at += block,
            }
        }
        None
    }

    /// Changes bytes page by page: `fill` gets each part, and how far into the whole it lies. What is past the end has no room, on a disk that
    /// shrank meanwhile.
    pub(super) fn change(&mut self, at: u64, len: u64, mapped: bool, mut fill: impl FnMut(&mut [u8], usize)) {
        let len = len.min(self.len_bytes().saturating_sub(at));
        for (page, range, from) in pages_of(at, len) {
            let bits = sectors(&range);
            let page = self.page_mut(page);
            page.mapped = if mapped { page.mapped | bits } else { page.mapped & !bits };
            fill(&mut page.bytes[range], from);
        }
    }

    /// Zeroes that are not mapped. Of a disk that was blank nothing remains of them, however many they are.
    pub(super) fn clear(&mut self, at: u64, len: u64) {
        let end = (at + len).min(self.len_bytes());
        if self.past != Past::Zeroes {
            return self.change(at, len, false, |part, _| part.fill(0));
        }
        let whole = at.div_ceil(CHUNK)..end / CHUNK;
        if whole.is_empty() {
            return self.clear_stored(at, end);
        }
        self.clear_stored(at, whole.start * CHUNK);
        let gone: Vec<u64> = self.chunks.range(whole.clone()).map(|(n, _)| *n).collect();
        for n in gone {
            self.chunks.remove(&n);
        }
        self.clear_stored(whole.end * CHUNK, end);
    }

    /// The same for less than two chunks: pages that are not kept are zeroes already.
    fn clear_stored(&mut self, at: u64, end: u64) {
        for (page, range, _) in pages_of(at, end.saturating_sub(at)) {
            if self.page(page).is_some() {
                let bits = sectors(&range);
                let page = self.page_mut(page);
                page.mapped &= !bits;
                page.bytes[range].fill(0);
            }
        }
    }

    /// Flips a bit of a byte; nothing past the end.
    pub(super) fn flip(&mut self, at: u64, bit: u8) {
        if at < self.len_bytes() {
            self.page_mut(at / PAGE).bytes[(at % PAGE) as usize] ^= 1 << (bit % 8);
        }
    }

    pub(super) fn resize(&mut self, blocks: u64) {
        let (old, new) = (self.len_bytes(), blocks << self.shift);
        if new < old {
            self.clear(new, old - new);
        }
        self.blocks = blocks;
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({} blocks of {} bytes, {} pages stored)", self.blocks, 1u64 << self.shift, self.stored_pages())
    }
}

#[cfg(test)]
mod tests;
