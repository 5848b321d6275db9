//! What a disk may hold: a plain model of writes, flushes and power cuts, against which images and reads are held.
//!
//! Each written block carries a stamp: the number of its write, and its place. The model keeps, per block, every content that it may have
//! now. A completed flush (or FUA write) drops whatever a write it covers has replaced for certain: content whose writer had ended before
//! that write was submitted. Everything else stays possible: a write that was acknowledged and not flushed, one still under way, one that
//! failed or was aborted. What nobody wrote to costs nothing, and a flush costs what was not flushed, so that a volume of any size is modelled.
//!
//! Invariant: the model allows all that the contract allows and nothing else; order between writes that overlapped in time is open.

#[cfg(test)]
mod tests;

use crate::entropy::mix;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::ops::Range;

/// Names a write (or zeroing) of the model. Also the stamp of its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriteId(pub u64);

/// The stamp of a block that reads as zeroes.
const ZEROES: WriteId = WriteId(0);
/// In place of a stamp: whatever it reads as.
const ANYTHING: WriteId = WriteId(u64::MAX);

/// Fills a block with the stamp of `write` at `lba`.
pub fn stamp_block(block: &mut [u8], lba: u64, write: WriteId) {
    if write == ZEROES {
        return block.fill(0);
    }
    let mut words = [write.0, lba].into_iter().chain((0u64..).map(|n| mix(write.0 ^ lba.rotate_left(32) ^ n << 17)));
    for part in block.chunks_mut(8) {
        let word = words.next().unwrap_or_default().to_le_bytes();
        part.copy_from_slice(&word[..part.len()]);
    }
}

/// Whose a block is; `None` when it is torn, misplaced or rotten: no write made it.
pub fn read_stamp(block: &[u8], lba: u64) -> Option<WriteId> {
    let mut word = [0; 8];
    word.copy_from_slice(block.get(..8)?);
    let write = WriteId(u64::from_le_bytes(word));
    let mut expected = vec![0; block.len()];
    stamp_block(&mut expected, lba, write);
    (expected == block).then_some(write)
}

#[derive(Clone, Copy, Debug)]
enum End {
    UnderWay,
    /// Acknowledged as done, at this moment.
    Acked(u64),
    /// Failed or aborted at this moment: it may have happened all the same, until then.
    Failed(u64),
}

#[derive(Clone, Debug)]
struct Write {
    lba: u64,
    blocks: u64,
    /// What its blocks hold: its own stamp, zeroes, or anything.
    content: WriteId,
    fua: bool,
    submitted: u64,
    end: End,
}

impl Write {
    fn ended(&self) -> u64 {
        match self.end {
            End::UnderWay => u64::MAX,
            End::Acked(at) | End::Failed(at) => at,
        }
    }
}

/// What is known of one block.
#[derive(Clone, Debug)]
struct Block {
    /// Writes that it may show to somebody, in order of submission. The first of all is what the disk began with.
    writes: Vec<WriteId>,
    /// When the newest write that is certainly durable was submitted: what had ended before is gone for ever.
    floor: u64,
}

/// A block that holds what it must not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}: block {lba} holds {found}\n{history}")]
pub struct Breach {
    /// The seed of the run.
    pub seed: u64,
    /// Which block.
    pub lba: u64,
    /// What it holds.
    pub found: String,
    /// What it might have held, and what happened to it.
    pub history: String,
}

/// Tracks what every block may hold.
#[derive(Clone, Debug)]
pub struct DurabilityModel {
    seed: u64,
    shift: u8,
    moment: u64,
    writes: HashMap<WriteId, Write>,
    next: u64,
    len: u64,
    /// What blocks hold that are not in `blocks`.
    untouched: Block,
    blocks: BTreeMap<u64, Block>,
    /// Blocks that may show more than one content.
    unsettled: BTreeSet<u64>,
    /// Reads under way, by when they began.
    reads: BTreeSet<u64>,
    /// Flushes under way, and when they were submitted.
    flushes: HashMap<u64, u64>,
    flush_notes: Vec<(u64, u64)>,
    write_through: bool,
}

impl DurabilityModel {
    /// The model of an empty disk: all zeroes.
    pub fn new(seed: u64, block_shift: u8, blocks: u64) -> DurabilityModel {
        let base = WriteId(1);
        let write = Write { lba: 0, blocks, content: ZEROES, fua: false, submitted: 0, end: End::Acked(0) };
        DurabilityModel {
            seed,
            shift: block_shift,
            moment: 0,
            writes: HashMap::from([(base, write)]),
            next: 2,
            len: blocks,
            untouched: Block { writes: vec![base], floor: 0 },
            blocks: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            reads: BTreeSet::new(),
            flushes: HashMap::new(),
            flush_notes: Vec::new(),
            write_through: false,
        }
    }

    /// Writes are numbered from `first` on: models whose writes must be told apart, as those of several volumes, get numbers far from each other.
    ///
    /// # Panics
    /// If it has given that number already.
    pub fn numbered_from(mut self, first: u64) -> DurabilityModel {
        assert!(first >= self.next, "write {first} is another one already");
        self.next = first;
        self
    }

    /// The model of a copy that is made at this moment, as a snapshot or a clone is: it may hold what this one may, and goes its own way from
    /// here on. Writes under way may or may not be in it. Its own are numbered from `first` on.
    ///
    /// # Panics
    /// If that number was given already.
    pub fn fork(&self, first: u64) -> DurabilityModel {
        let (reads, flushes) = (BTreeSet::new(), HashMap::new());
        DurabilityModel { reads, flushes, ..self.clone() }.numbered_from(first)
    }

    /// Every acknowledged write is durable at once, as a write-through device claims.
    pub fn write_through(mut self) -> DurabilityModel {
        self.write_through = true;
        self
    }

    /// Content that was there before anything else.
    fn base(&mut self, lba: u64, blocks: u64, content: WriteId) -> WriteId {
        let id = WriteId(self.next);
        self.next += 1;
        self.writes.insert(id, Write { lba, blocks, content, fua: false, submitted: 0, end: End::Acked(0) });
        id
    }

    fn block(&self, lba: u64) -> &Block {
        self.blocks.get(&lba).unwrap_or(&self.untouched)
    }

    /// Blocks in all.
    pub fn len_blocks(&self) -> u64 {
        self.len
    }

    /// Blocks that were ever written to, in runs: all others read as they did at first.
    pub fn touched(&self) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for lba in self.blocks.keys() {
            match runs.last_mut() {
                Some(run) if run.end == *lba => run.end += 1,
                _ => runs.push(*lba..lba + 1),
            }
        }
        runs
    }

    /// It has `blocks` blocks from now on, for certain. New ones read as zeroes.
    pub fn resize(&mut self, blocks: u64) {
        self.len = blocks;
        self.blocks.split_off(&blocks);
        self.unsettled.split_off(&blocks);
    }

    fn tick(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    fn begin(&mut self, lba: u64, blocks: u64, fua: bool, content: Option<WriteId>) -> WriteId {
        assert!(lba + blocks <= self.len, "a write past the end of the model");
        let id = WriteId(self.next);
        self.next += 1;
        let submitted = self.tick();
        let content = content.unwrap_or(id);
        self.writes.insert(id, Write { lba, blocks, content, fua, submitted, end: End::UnderWay });
        for lba in lba..lba + blocks {
            self.blocks.entry(lba).or_insert_with(|| self.untouched.clone()).writes.push(id);
        }
        self.unsettled.extend(lba..lba + blocks);
        id
    }

    /// A write is submitted: stamp its blocks with what this returns.
    ///
    /// # Panics
    /// If it lies outside of the disk.
    pub fn write(&mut self, lba: u64, blocks: u64, fua: bool) -> WriteId {
        self.begin(lba, blocks, fua, None)
    }

    /// Zeroes are submitted (write zeroes, or an unmap of a device whose unmapped blocks read as zeroes).
    ///
    /// # Panics
    /// If they lie outside of the disk.
    pub fn zeroes(&mut self, lba: u64, blocks: u64, fua: bool) -> WriteId {
        self.begin(lba, blocks, fua, Some(ZEROES))
    }

    /// Something is submitted after which the blocks may read as anything (an unmap of a device that promises nothing of unmapped blocks).
    ///
    /// # Panics
    /// If they lie outside of the disk.
    pub fn anything(&mut self, lba: u64, blocks: u64, fua: bool) -> WriteId {
        self.begin(lba, blocks, fua, Some(ANYTHING))
    }

    /// A write came back `Ok`.
    pub fn acked(&mut self, id: WriteId) {
        let now = self.tick();
        let Some(write) = self.writes.get_mut(&id) else { return };
        write.end = End::Acked(now);
        if write.fua || self.write_through {
            let range = write.lba..write.lba + write.blocks;
            self.settle(range.collect(), |w, _| w == id);
        }
    }

    /// A write came back with an error: it may have happened, in part or in whole.
    pub fn failed(&mut self, id: WriteId) {
        let now = self.tick();
        if let Some(write) = self.writes.get_mut(&id) {
            write.end = End::Failed(now);
        }
    }

    /// A flush is submitted. What it covers is fixed now.
    pub fn flush(&mut self) -> u64 {
        let at = self.tick();
        self.flushes.insert(at, at);
        at
    }

    /// It came back `Ok`.
    pub fn flushed(&mut self, flush: u64) {
        let now = self.tick();
        let Some(submitted) = self.flushes.remove(&flush) else { return };
        self.flush_notes.push((submitted, now));
        let unsettled = self.unsettled.iter().copied().collect();
        self.settle(unsettled, |_, write| matches!(write.end, End::Acked(at) if at < submitted));
    }

    /// It came back with an error, and promises nothing.
    pub fn flush_failed(&mut self, flush: u64) {
        self.flushes.remove(&flush);
    }

    /// Raises the floor of blocks to what is now durable, and drops what nobody can see any more.
    fn settle(&mut self, which: Vec<u64>, durable: impl Fn(WriteId, &Write) -> bool) {
        let oldest_read = self.reads.first().copied().unwrap_or(u64::MAX);
        let writes = &self.writes;
        for lba in which {
            let Some(block) = self.blocks.get_mut(&lba) else { continue };
            let known = || block.writes.iter().filter_map(|id| writes.get(id).map(|w| (*id, w)));
            let certain = known().filter(|(id, w)| durable(*id, w)).map(|(_, w)| w.submitted).max();
            // A read under way may still see what was newest when it began.
            let seen = known().filter(|(_, w)| matches!(w.end, End::Acked(t) if t < oldest_read)).map(|(_, w)| w.submitted).max();
            block.floor = certain.unwrap_or(0).max(block.floor);
            let gone = block.floor.min(seen.unwrap_or(0));
            block.writes.retain(|id| writes.get(id).is_some_and(|w| w.ended() >= gone));
            if block.writes.len() <= 1 {
                self.unsettled.remove(&lba);
            }
        }
    }

    /// Those of a block's writes that had not ended at `since`.
    fn alive(&self, block: &Block, since: u64) -> Vec<WriteId> {
        block.writes.iter().copied().filter(|id| self.writes.get(id).is_some_and(|w| w.ended() >= since)).collect()
    }

    /// Holds what a power cut left against the model. A whole image, block 0 first.
    ///
    /// # Panics
    /// If it is not as large as the disk.
    pub fn check_image(&self, image: &[u8]) -> Result<(), Breach> {
        assert_eq!(image.len() as u64, self.len << self.shift, "an image of another size");
        self.check_blocks(0, image)
    }

    /// The same for some blocks: what a power cut left of them, from `lba` on.
    pub fn check_blocks(&self, lba: u64, data: &[u8]) -> Result<(), Breach> {
        for (lba, bytes) in (lba..).zip(data.chunks(1 << self.shift)) {
            let block = self.block(lba);
            self.check_block(lba, bytes, &self.alive(block, block.floor))?;
        }
        Ok(())
    }

    /// Holds an image against the promise that writes of up to `atomic_blocks` survive a power cut whole or not at all: none shows in one
    /// of its blocks while another still holds what was there before it.
    pub fn check_atomic(&self, image: &[u8], atomic_blocks: u32) -> Result<(), Breach> {
        let block = |lba: u64| &image[(lba << self.shift) as usize..((lba + 1) << self.shift) as usize];
        let content = |lba: u64| if block(lba).iter().all(|b| *b == 0) { Some(ZEROES) } else { read_stamp(block(lba), lba) };
        for (id, w) in self
            .writes
            .iter()
            .filter(|(_, w)| ![ZEROES, ANYTHING].contains(&w.content) && (2..=u64::from(atomic_blocks)).contains(&w.blocks))
        {
            let shows = (w.lba..w.lba + w.blocks).any(|lba| content(lba) == Some(w.content));
            let older = |lba: &u64| {
                let found = content(*lba);
                let writers = self.block(*lba).writes.iter().filter_map(|id| self.writes.get(id));
                let mut same = writers.filter(|other| Some(other.content) == found).peekable();
                found != Some(w.content) && same.peek().is_some() && same.all(|other| other.ended() < w.submitted)
            };
            if let Some(lba) = (w.lba..w.lba + w.blocks).find(older).filter(|_| shows) {
                let found = format!("what was there before write {}, whose other blocks survived: it was to be atomic", id.0);
                return Err(Breach { seed: self.seed, lba, found, history: self.history(lba, &[]) });
            }
        }
        Ok(())
    }

    /// When a read begins: what it may return is fixed by the writes that were acknowledged until now.
    pub fn read(&mut self) -> u64 {
        let at = self.tick();
        self.reads.insert(at);
        at
    }

    /// Holds what a read that began at `began` returned against the model.
    pub fn check_read(&mut self, began: u64, lba: u64, data: &[u8]) -> Result<(), Breach> {
        self.reads.remove(&began);
        for (at, bytes) in (lba..).zip(data.chunks(1 << self.shift)) {
            let block = self.block(at);
            let acked = |id: &WriteId| self.writes.get(id).filter(|w| matches!(w.end, End::Acked(t) if t < began)).map(|w| w.submitted);
            let newest = block.writes.iter().filter_map(acked).max().unwrap_or(0);
            self.check_block(at, bytes, &self.alive(block, newest))?;
        }
        Ok(())
    }

    /// A read came back with an error.
    pub fn read_failed(&mut self, began: u64) {
        self.reads.remove(&began);
    }

    fn check_block(&self, lba: u64, block: &[u8], allowed: &[WriteId]) -> Result<(), Breach> {
        let found = if block.iter().all(|b| *b == 0) { Some(ZEROES) } else { read_stamp(block, lba) };
        let fits = |id: &WriteId| self.writes.get(id).is_some_and(|w| w.content == ANYTHING || Some(w.content) == found);
        if allowed.iter().any(fits) {
            return Ok(());
        }
        let found = match found {
            Some(ZEROES) => "zeroes".to_owned(),
            Some(WriteId(n)) => format!("what write {n} wrote"),
            None => format!("what no write made (it begins {:02x?})", &block[..block.len().min(16)]),
        };
        Err(Breach { seed: self.seed, lba, found, history: self.history(lba, allowed) })
    }

    /// What happened to a block, and which of it may still be there.
    fn history(&self, lba: u64, allowed: &[WriteId]) -> String {
        let mut text = String::new();
        let mut all: Vec<(&WriteId, &Write)> = self.writes.iter().filter(|(_, w)| (w.lba..w.lba + w.blocks).contains(&lba)).collect();
        all.sort_by_key(|(id, _)| **id);
        for (id, w) in all {
            let mark = if allowed.contains(id) { "allowed" } else { "       " };
            let what = match w.content {
                ZEROES => "zeroes",
                ANYTHING => "anything",
                _ => "write",
            };
            let fua = if w.fua { " fua" } else { "" };
            let (lba, blocks, submitted, end) = (w.lba, w.blocks, w.submitted, w.end);
            let _ = writeln!(text, "  {mark} {what} {}{fua}: blocks {lba}+{blocks}, submitted at {submitted}, {end:?}", id.0);
        }
        for (submitted, done) in &self.flush_notes {
            let _ = writeln!(text, "          flush: submitted at {submitted}, done at {done}");
        }
        text
    }

    /// Goes on after a power cut with what `image` holds: nothing is under way, everything there is durable.
    ///
    /// # Panics
    /// If the image was not checked and holds what no write made.
    pub fn restart(&mut self, image: &[u8]) {
        let shift = self.shift;
        self.restart_from(|lba, block| block.copy_from_slice(&image[(lba << shift) as usize..((lba + 1) << shift) as usize]));
    }

    /// The same, where `read` fetches a block that was ever written to.
    ///
    /// # Panics
    /// If what it fetches was not checked and is what no write made.
    pub fn restart_from(&mut self, mut read: impl FnMut(u64, &mut [u8])) {
        let mut bytes = vec![0; 1 << self.shift];
        let mut contents = BTreeMap::new();
        for (lba, block) in &self.blocks {
            let free = self.alive(block, block.floor).iter().any(|id| self.writes.get(id).is_some_and(|w| w.content == ANYTHING));
            read(*lba, &mut bytes);
            let found = if bytes.iter().all(|b| *b == 0) { Some(ZEROES) } else { read_stamp(&bytes, *lba) };
            match found {
                // What may be anything may be something else the next time.
                _ if free => contents.insert(*lba, ANYTHING),
                Some(content) => contents.insert(*lba, content),
                None => panic!("block {lba} holds what no write made: check the image first"),
            };
        }
        self.moment = 0;
        self.flushes.clear();
        self.reads.clear();
        self.flush_notes.clear();
        self.unsettled.clear();
        self.blocks.clear();
        self.writes.retain(|id, _| self.untouched.writes.contains(id));
        for (lba, content) in contents.into_iter().filter(|(_, content)| *content != ZEROES) {
            let id = self.base(lba, 1, content);
            self.blocks.insert(lba, Block { writes: vec![id], floor: 0 });
        }
    }
}
