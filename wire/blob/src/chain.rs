//! Writing a chain: flags, users' attributes, internal attributes, then the map, packed into pages from the root on.
//!
//! A descriptor that does not fit in the rest of a page begins the next; the map alone is split, into descriptors of its own kind. What is unused
//! is zero. The root lies where the id says; the others go where the caller has free pages, so that the blob changes with its root.

use crate::descriptor::{AREA_AT, AREA_END, FLAGS_LEN, HEADER_LEN};
use crate::field::put;
use crate::{BlobId, Cluster, DescriptorKind, EXTENT_PAGE_CLUSTERS, Flags, MdPage, PAGE_LEN, PageBytes, Xattr, seal};
use core::fmt;

/// A blob's metadata, to be written.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    /// Whose.
    pub id: BlobId,
    /// Its flags.
    pub flags: Flags,
    /// Users' attributes, in the order in which they were set first.
    pub xattrs: &'a [Xattr<'a>],
    /// Internal attributes.
    pub internal: &'a [Xattr<'a>],
    /// Where its clusters are.
    pub map: Map<'a>,
}

/// Where a blob's clusters are.
#[derive(Clone, Copy, Debug)]
pub enum Map<'a> {
    /// One number for each cluster of the blob.
    Rle(&'a [Cluster]),
    /// One extent page for each 512 clusters of the blob.
    Table {
        /// Clusters of the blob.
        clusters: u64,
        /// The pages, or none where all 512 are unallocated.
        pages: &'a [MdPage],
    },
}

/// Why a blob cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unwritable {
    /// Name and value of an attribute are longer than a page has room for.
    XattrTooLong(usize),
    /// A name is empty or has a NUL in it.
    XattrName,
    /// The table has not one page for each 512 clusters.
    TableEntries {
        /// How many it needs.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// An unallocated cluster, and the blob is not thin.
    HoleInThick,
    /// Pages behind the root.
    Followers {
        /// How many are needed.
        needed: usize,
        /// How many were given.
        given: usize,
    },
    /// An extent page of no clusters, or of more than 512.
    ExtentPageLength,
    /// More clusters, or more pages, than the format counts.
    TooLarge,
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::XattrTooLong(n) => write!(f, "an attribute of {n} bytes is longer than {} bytes", Xattr::LEN_MAX),
            Self::XattrName => f.write_str("an attribute's name is empty or has a zero byte in it"),
            Self::TableEntries { expected, found } => write!(f, "an extent table of {found} entries, which should have {expected}"),
            Self::HoleInThick => f.write_str("an unallocated cluster in a blob that is not thin"),
            Self::Followers { needed, given } => write!(f, "the chain takes {needed} pages behind its root, and {given} were given"),
            Self::ExtentPageLength => f.write_str("an extent page lists one to 512 clusters"),
            Self::TooLarge => f.write_str("larger than the format can count"),
        }
    }
}

impl core::error::Error for Unwritable {}

impl Chain<'_> {
    /// How many pages it takes, the root included.
    pub fn page_count(&self) -> Result<usize, Unwritable> {
        self.check()?;
        let mut count = 0;
        self.pack(|_, _| count += 1);
        Ok(count)
    }

    /// Writes it: `emit` gets each page and where it goes, the root first. `followers` are the pages behind the root, exactly as many as are
    /// needed. (Followers are to be on disk before the root is: it is the root that makes them count.)
    pub fn write(&self, followers: &[MdPage], mut emit: impl FnMut(MdPage, &PageBytes)) -> Result<(), Unwritable> {
        let needed = self.page_count()? - 1;
        if followers.len() != needed {
            return Err(Unwritable::Followers { needed, given: followers.len() });
        }
        let mut places = core::iter::once(self.id.root()).chain(followers.iter().copied());
        let mut nexts = followers.iter().copied();
        let mut sequence = 0u32;
        self.pack(|page, _| {
            let next = nexts.next().unwrap_or(MdPage::END);
            put(page, 0, &self.id.to_raw().to_le_bytes());
            put(page, 8, &sequence.to_le_bytes());
            put(page, AREA_END, &next.0.to_le_bytes());
            seal(page);
            sequence += 1;
            if let Some(at) = places.next() {
                emit(at, page);
            }
        });
        Ok(())
    }

    /// Holds it against what the format has room for.
    fn check(&self) -> Result<(), Unwritable> {
        for xattr in self.xattrs.iter().chain(self.internal) {
            let len = xattr.name.len().saturating_add(xattr.value.len());
            if len > Xattr::LEN_MAX {
                return Err(Unwritable::XattrTooLong(len));
            }
            if xattr.name.is_empty() || xattr.name.contains(&0) {
                return Err(Unwritable::XattrName);
            }
        }
        let hole = match self.map {
            Map::Rle(clusters) => clusters.contains(&Cluster::NONE),
            Map::Table { clusters, pages } => {
                let (expected, found) = (clusters.div_ceil(EXTENT_PAGE_CLUSTERS.into()), pages.len() as u64);
                if expected != found {
                    return Err(Unwritable::TableEntries { expected, found });
                }
                pages.contains(&MdPage::ABSENT)
            }
        };
        if hole && !self.flags.is_thin() { Err(Unwritable::HoleInThick) } else { Ok(()) }
    }

    /// Fills pages one after the other, each handed to `full` without header, successor and checksum.
    fn pack(&self, full: impl FnMut(&mut PageBytes, usize)) {
        let mut packer = Packer { page: [0; PAGE_LEN], at: AREA_AT, full };
        packer.flags(self.flags);
        for xattr in self.xattrs {
            packer.xattr(DescriptorKind::XATTR, xattr);
        }
        for xattr in self.internal {
            packer.xattr(DescriptorKind::XATTR_INTERNAL, xattr);
        }
        match self.map {
            Map::Rle(clusters) => packer.rle(ClusterRuns(clusters)),
            Map::Table { clusters, pages } => packer.table(clusters, PageRuns(pages)),
        }
        packer.turn();
    }
}

/// Puts descriptors one behind the other. The second argument of `full` is how far the page is filled.
struct Packer<F: FnMut(&mut PageBytes, usize)> {
    page: PageBytes,
    at: usize,
    full: F,
}

impl<F: FnMut(&mut PageBytes, usize)> Packer<F> {
    /// Ends the page and begins another.
    fn turn(&mut self) {
        (self.full)(&mut self.page, self.at);
        self.page = [0; PAGE_LEN];
        self.at = AREA_AT;
    }

    fn room(&self) -> usize {
        AREA_END - self.at
    }

    /// Sees to it that `len` bytes fit.
    fn need(&mut self, len: usize) {
        if self.room() < len {
            self.turn();
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        put(&mut self.page, self.at, bytes);
        self.at += bytes.len();
    }

    /// Begins a descriptor whose length comes later; where it begins.
    fn begin(&mut self, kind: DescriptorKind) -> usize {
        let begin = self.at;
        self.put(&[kind.0, 0, 0, 0, 0]);
        begin
    }

    fn end(&mut self, begin: usize) {
        // Below 4072, since it lies within a page.
        let len = u32::try_from(self.at - begin - HEADER_LEN).unwrap_or_default();
        put(&mut self.page, begin + 1, &len.to_le_bytes());
    }

    fn flags(&mut self, flags: Flags) {
        self.need(HEADER_LEN + FLAGS_LEN);
        let begin = self.begin(DescriptorKind::FLAGS);
        for word in [flags.invalid, flags.data_ro, flags.md_ro] {
            self.put(&word.to_le_bytes());
        }
        self.end(begin);
    }

    fn xattr(&mut self, kind: DescriptorKind, xattr: &Xattr<'_>) {
        self.need(HEADER_LEN + 4 + xattr.name.len() + xattr.value.len());
        let begin = self.begin(kind);
        for part in [xattr.name, xattr.value] {
            self.put(&u16::try_from(part.len()).unwrap_or_default().to_le_bytes());
        }
        self.put(xattr.name);
        self.put(xattr.value);
        self.end(begin);
    }

    fn pair(&mut self, (number, count): (u32, u32)) {
        self.put(&number.to_le_bytes());
        self.put(&count.to_le_bytes());
    }

    /// As many pairs as fit; true when there are more.
    fn pairs(&mut self, pairs: &mut core::iter::Peekable<impl Iterator<Item = (u32, u32)>>) -> bool {
        while self.room() >= 8 {
            match pairs.next() {
                Some(pair) => self.pair(pair),
                None => return false,
            }
        }
        pairs.peek().is_some()
    }

    /// An extent list; none for a blob of no size.
    fn rle(&mut self, runs: impl Iterator<Item = (u32, u32)>) {
        let mut runs = runs.peekable();
        let mut more = runs.peek().is_some();
        while more {
            self.need(HEADER_LEN + 8);
            let begin = self.begin(DescriptorKind::EXTENT_RLE);
            more = self.pairs(&mut runs);
            self.end(begin);
        }
    }

    /// An extent table, always. A piece at the end of a page may have no entries.
    fn table(&mut self, clusters: u64, runs: impl Iterator<Item = (u32, u32)>) {
        let mut runs = runs.peekable();
        loop {
            self.need(HEADER_LEN + 8);
            let begin = self.begin(DescriptorKind::EXTENT_TABLE);
            self.put(&clusters.to_le_bytes());
            let more = self.pairs(&mut runs);
            self.end(begin);
            if !more {
                return;
            }
            self.turn();
        }
    }
}

/// Merges clusters into maximal runs: numbers that ascend by one, or that are all zero.
struct ClusterRuns<'a>(&'a [Cluster]);

impl Iterator for ClusterRuns<'_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        let first = self.0.first()?.0;
        let follows = |n: u32| if first == 0 { Some(0) } else { first.checked_add(n) };
        let run = (0u32..u32::MAX).zip(self.0).take_while(|(n, cluster)| follows(*n) == Some(cluster.0)).count();
        self.0 = self.0.get(run..).unwrap_or_default();
        Some((first, u32::try_from(run).unwrap_or(u32::MAX)))
    }
}

/// Merges absent extent pages; a present one stands alone.
struct PageRuns<'a>(&'a [MdPage]);

impl Iterator for PageRuns<'_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        let first = self.0.first()?;
        let run = match first.is_present() {
            true => 1,
            false => (0u32..u32::MAX).zip(self.0).take_while(|(_, page)| !page.is_present()).count(),
        };
        self.0 = self.0.get(run..).unwrap_or_default();
        Some((first.0, u32::try_from(run).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests;
