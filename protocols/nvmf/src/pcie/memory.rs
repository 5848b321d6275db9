//! The host's memory: which addresses are mapped, and where.

use doorbell_mem::{Foreign, Regions, Seg, SgList};
use std::cell::Cell;

/// Which bytes of which file a range is: device, file, offset.
pub(crate) type FileKey = (u64, u64, u64);

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) address: u64,
    pub(crate) len: u64,
}

impl Span {
    /// All but the very last byte, which is nobody's: ranges are whole pages.
    pub(crate) const ALL: Span = Span { address: 0, len: u64::MAX };

    /// One past the last; a span does not wrap but may end at the top.
    fn last(self) -> u64 {
        self.address + (self.len - 1)
    }

    /// Is an address in it?
    #[inline]
    fn has(self, address: u64) -> bool {
        address.checked_sub(self.address).is_some_and(|offset| offset < self.len)
    }

    fn covers(self, other: Span) -> bool {
        self == Span::ALL || self.address <= other.address && other.last() <= self.last()
    }

    fn meets(self, other: Span) -> bool {
        self.address <= other.last() && other.address <= self.last()
    }
}

struct Range {
    span: Span,
    /// None: the host keeps it to itself, and nothing of ours can be there.
    foreign: Option<Foreign>,
    writable: bool,
    file: Option<FileKey>,
}

/// Why memory was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapError {
    /// It meets a range that is there already.
    Overlap,
    /// There are as many as there may be.
    TooMany,
}

/// Ranges at most.
pub(crate) const RANGES_MAX: usize = 4096;

/// The table, in rising order of addresses.
#[derive(Default)]
pub(crate) struct Memory {
    ranges: Vec<Range>,
    /// The place of the range that was found last: hosts keep to few. Only where to look first; what is there is checked each time.
    last: Cell<usize>,
}

impl Memory {
    /// May a range be added? `Ok(false)`: the very same is there already.
    pub(crate) fn admits(&self, span: Span, file: Option<FileKey>, writable: bool) -> Result<bool, MapError> {
        if self.ranges.iter().any(|r| r.span == span && r.file == file && r.writable == writable && file.is_some()) {
            return Ok(false);
        }
        if self.ranges.iter().any(|r| r.span.meets(span)) {
            return Err(MapError::Overlap);
        }
        if self.ranges.len() >= RANGES_MAX { Err(MapError::TooMany) } else { Ok(true) }
    }

    /// Adds one that was admitted.
    pub(crate) fn add(&mut self, span: Span, foreign: Option<Foreign>, file: Option<FileKey>, writable: bool) {
        let at = self.ranges.partition_point(|r| r.span.address < span.address);
        self.ranges.insert(at, Range { span, foreign, writable, file });
    }

    /// Is what is to go whole ranges, one at least?
    pub(crate) fn can_remove(&self, span: Span) -> bool {
        let mut met = self.ranges.iter().filter(|r| r.span.meets(span)).peekable();
        met.peek().is_some() && met.all(|r| span.covers(r.span))
    }

    /// Forgets what lies within. Devices that were shown it are told.
    pub(crate) fn remove(&mut self, span: Span, regions: &Regions) {
        for gone in self.ranges.extract_if(.., |r| span.covers(r.span)).filter_map(|r| r.foreign) {
            regions.retire(gone.region());
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self, regions: &Regions) {
        self.remove(Span::ALL, regions);
    }

    /// Has the host taken away what lies beneath a range?
    pub(crate) fn is_broken(&self) -> bool {
        self.ranges.iter().any(|r| r.foreign.as_ref().is_some_and(Foreign::is_broken))
    }

    #[inline]
    fn find(&self, address: u64) -> Option<&Range> {
        match self.ranges.get(self.last.get()).filter(|r| r.span.has(address)) {
            None => self.search(address),
            found => found,
        }
    }

    fn search(&self, address: u64) -> Option<&Range> {
        let at = self.ranges.partition_point(|r| r.span.address <= address).checked_sub(1)?;
        self.last.set(at);
        self.ranges.get(at).filter(|r| r.span.has(address))
    }

    /// The longest piece from `address` that is one segment, `len` bytes at most.
    #[inline(always)]
    fn piece(&self, address: u64, len: u32, to_write: bool) -> Option<Seg> {
        let range = self.find(address)?;
        if to_write && !range.writable {
            return None;
        }
        let offset = address - range.span.address;
        let left = u32::try_from(range.span.len - offset).unwrap_or(u32::MAX);
        range.foreign.as_ref()?.run(offset, len.min(left))
    }

    /// Appends `len` bytes from `address`; false when one of them is not mapped, or not for writing.
    #[inline]
    pub(crate) fn gather(&self, address: u64, len: u32, to_write: bool, into: &mut SgList) -> bool {
        match self.piece(address, len, to_write) {
            Some(seg) if len > 0 && seg.len() == len => {
                into.push(seg);
                true
            }
            _ => self.gather_pieces(address, len, to_write, into),
        }
    }

    #[cold]
    fn gather_pieces(&self, mut address: u64, mut len: u32, to_write: bool, into: &mut SgList) -> bool {
        while len > 0 {
            let Some(seg) = self.piece(address, len, to_write) else { return false };
            if seg.is_empty() {
                return false;
            }
            len -= seg.len();
            address = address.wrapping_add(seg.len().into());
            into.push(seg);
        }
        true
    }

    /// Copies bytes out; false when one of them is not mapped.
    pub(crate) fn read(&self, mut address: u64, mut to: &mut [u8]) -> bool {
        while !to.is_empty() {
            let want = u32::try_from(to.len()).unwrap_or(u32::MAX);
            let Some(seg) = self.piece(address, want, false).filter(|s| !s.is_empty()) else { return false };
            let Some((part, rest)) = std::mem::take(&mut to).split_at_mut_checked(seg.len() as usize) else { return false };
            seg.read_at(0, part);
            address = address.wrapping_add(seg.len().into());
            to = rest;
        }
        true
    }

    /// A range that lies in one mapping: a queue, a page of doorbells. It may cross a border between two of its segments once.
    pub(crate) fn ring(&self, span: Span, to_write: bool) -> Option<Ring> {
        let range = self.find(span.address).filter(|r| r.span.covers(span))?;
        debug_assert!(range.span.len > 0);
        let len = u32::try_from(span.len).ok()?;
        let first = self.piece(span.address, len, to_write)?;
        let rest = len - first.len();
        let second = match rest {
            0 => None,
            n => Some(self.piece(span.address + u64::from(first.len()), n, to_write).filter(|s| s.len() == n)?),
        };
        Some(Ring { span, first, second })
    }
}

/// A queue's entries.
pub(crate) struct Ring {
    span: Span,
    first: Seg,
    second: Option<Seg>,
}

impl Ring {
    /// Does it lie in what goes away?
    pub(crate) fn meets(&self, span: Span) -> bool {
        self.span.meets(span)
    }

    /// The segment that holds the entry at `offset`, and where in it. No entry is cut: segments end at pages.
    #[inline]
    pub(crate) fn at(&self, offset: u32) -> Option<(&Seg, u32)> {
        match offset.checked_sub(self.first.len()) {
            None => Some((&self.first, offset)),
            Some(rest) => self.second.as_ref().filter(|s| rest < s.len()).map(|s| (s, rest)),
        }
    }
}
