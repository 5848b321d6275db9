//! A blob from the pages of its chain: the rules that go across descriptors and pages.
//!
//! The reader keeps a few words and no lists; what a page holds goes to its caller piece by piece. It goes on after what makes a blob unfit for
//! use but leaves the rest of its chain readable, so that whoever rebuilds the masks learns of everything that the blob refers to; the first such
//! fault is what [`ChainReader::finish`] ends with.

use crate::{
    BlobId, BlobRef, ChainFault, ChainPage, Damage, Descriptor, DescriptorKind, EXTENT_PAGE_CLUSTERS, Fault, Flags, Geometry, MdPage,
    PageFault, Run, Table, TableRun, Xattr, internal,
};

/// What a chain holds, in its order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part<'a> {
    /// A user's attribute. Of several of one name the first counts.
    Xattr(Xattr<'a>),
    /// The store's attribute. Of several of one name the first counts.
    Internal(Xattr<'a>),
    /// The blob's next clusters. Those that are allocated are within the store.
    Clusters(Run),
    /// The blob's next extent pages, one that is within the store or a run of absent ones. They are never more than the blob's clusters need.
    ExtentPages(TableRun),
    /// A kind of descriptor that the format does not have.
    Unknown(DescriptorKind),
}

/// How the blob's clusters are found, and how many there are. The number may be far larger than the store: of a thin blob it is its size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapKind {
    /// By runs in the chain; also where there is nothing.
    Rle {
        /// Clusters of the blob.
        clusters: u64,
    },
    /// By extent pages.
    Table {
        /// Clusters of the blob.
        clusters: u64,
    },
}

impl MapKind {
    /// Clusters of the blob.
    pub const fn clusters(self) -> u64 {
        match self {
            MapKind::Rle { clusters } | MapKind::Table { clusters } => clusters,
        }
    }
}

/// What a blob is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Its id.
    pub id: BlobId,
    /// Its flags; without any where the chain has none.
    pub flags: Flags,
    /// Pages of its chain.
    pub pages: u32,
    /// Its map.
    pub map: MapKind,
    /// The snapshot that it is a clone of.
    pub parent: Option<BlobRef>,
    /// The origin of a snapshot whose making was interrupted.
    pub being_made_of: Option<BlobRef>,
    /// The clone of a snapshot whose deletion was interrupted.
    pub being_deleted_into: Option<BlobRef>,
}

/// Reads a chain.
#[derive(Clone, Debug)]
pub struct ChainReader {
    geometry: Geometry,
    id: BlobId,
    pages: u32,
    /// Where the chain goes on.
    next: Option<MdPage>,
    flags: Flags,
    map: Option<MapKind>,
    /// Extent pages so far, absent ones included.
    entries: u64,
    hole: bool,
    /// The first of each; no reference when the value has another length.
    snap: Option<Option<BlobRef>>,
    snaptmp: Option<BlobRef>,
    snaprm: Option<BlobRef>,
    external: bool,
    fault: Option<Fault>,
}

impl ChainReader {
    /// Begins with a blob of a store.
    pub fn new(geometry: &Geometry, id: BlobId) -> ChainReader {
        ChainReader {
            geometry: *geometry,
            id,
            pages: 0,
            next: Some(id.root()),
            flags: Flags::default(),
            map: None,
            entries: 0,
            hole: false,
            snap: None,
            snaptmp: None,
            snaprm: None,
            external: false,
            fault: None,
        }
    }

    /// The page that comes next; `None` when the chain is whole.
    pub const fn wanted(&self) -> Option<MdPage> {
        self.next
    }

    /// Takes the next page, hands what is in it to `take`, and says which page comes then. An error ends the chain here: the page is not the one
    /// that comes next, or says that none of the store's does.
    pub fn push<'a>(&mut self, at: MdPage, page: &ChainPage<'a>, mut take: impl FnMut(Part<'a>)) -> Result<Option<MdPage>, ChainFault> {
        self.expect(at, page)?;
        self.pages += 1;
        self.next = page.next();
        for descriptor in page.descriptors() {
            match descriptor {
                Ok(found) => self.descriptor(found, &mut take),
                Err(fault) => self.note(Fault::Page(fault)),
            }
        }
        match self.next {
            Some(next) if next.0 >= self.geometry.md_len => Err(self.error(damaged(at, Damage::Next(next)))),
            next => Ok(next),
        }
    }

    /// Is this the page that comes next?
    fn expect(&self, at: MdPage, page: &ChainPage<'_>) -> Result<(), ChainFault> {
        if self.next != Some(at) || page.place() != at {
            return Err(self.error(Fault::Unfinished));
        }
        if self.pages >= self.geometry.md_len {
            return Err(self.error(Fault::Endless));
        }
        if page.raw_id() != self.id.to_raw() {
            return Err(self.error(damaged(at, Damage::Owner { found: page.raw_id() })));
        }
        if page.sequence() != self.pages {
            let damage = Damage::Sequence { expected: self.pages, found: page.sequence() };
            return Err(self.error(damaged(at, damage)));
        }
        Ok(())
    }

    fn error(&self, fault: Fault) -> ChainFault {
        ChainFault { id: self.id, fault }
    }

    /// The first fault counts.
    fn note(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    fn descriptor<'a>(&mut self, found: Descriptor<'a>, take: &mut impl FnMut(Part<'a>)) {
        match found {
            Descriptor::Flags(flags) => self.flags = flags,
            Descriptor::Xattr(xattr) => take(Part::Xattr(xattr)),
            Descriptor::Internal(xattr) => {
                self.internal(&xattr);
                take(Part::Internal(xattr));
            }
            Descriptor::ExtentRle(runs) => {
                let before = match self.map {
                    None => 0,
                    Some(MapKind::Rle { clusters }) => clusters,
                    Some(MapKind::Table { .. }) => return self.note(Fault::TwoMaps),
                };
                let clusters = runs.fold(before, |sum, run| self.run(sum, run, take));
                self.map = Some(MapKind::Rle { clusters });
            }
            Descriptor::ExtentTable(table) => self.table(table, take),
            Descriptor::ExtentPage { .. } => self.note(Fault::ExtentPageInChain),
            Descriptor::Unknown { kind, .. } => take(Part::Unknown(kind)),
        }
    }

    fn internal(&mut self, xattr: &Xattr<'_>) {
        // A marker that names nothing is still a marker.
        let marker = || Some(xattr.blob().unwrap_or(BlobRef::NONE));
        match xattr.name {
            internal::SNAP => self.snap = self.snap.or(Some(xattr.blob())),
            internal::SNAPTMP => self.snaptmp = self.snaptmp.or_else(marker),
            internal::SNAPRM => self.snaprm = self.snaprm.or_else(marker),
            internal::EXTSNAP => self.external = true,
            _ => {}
        }
    }

    /// One run of an extent list; how many clusters there are then.
    fn run<'a>(&mut self, sum: u64, run: Run, take: &mut impl FnMut(Part<'a>)) -> u64 {
        let Some(after) = sum.checked_add(run.count.into()) else {
            self.note(Fault::TooLarge);
            return sum;
        };
        if run.cluster.is_some() {
            let last = run.cluster.0.checked_add(run.count.saturating_sub(1));
            if !self.geometry.holds_data(run.cluster) || last.is_none_or(|last| last >= self.geometry.total_clusters) {
                self.note(Fault::ClusterOutside(run.cluster));
                return after;
            }
        } else {
            self.hole |= run.count > 0;
        }
        take(Part::Clusters(run));
        after
    }

    fn table<'a>(&mut self, table: Table<'a>, take: &mut impl FnMut(Part<'a>)) {
        match self.map {
            None => self.map = Some(MapKind::Table { clusters: table.clusters }),
            Some(MapKind::Table { clusters }) if clusters == table.clusters => {}
            Some(MapKind::Table { clusters }) => return self.note(Fault::TableSizes { first: clusters, found: table.clusters }),
            Some(MapKind::Rle { .. }) => return self.note(Fault::TwoMaps),
        }
        let needed = table.clusters.div_ceil(EXTENT_PAGE_CLUSTERS.into());
        for run in table.entries {
            let entries = self.entries.saturating_add(run.count.into());
            if entries > needed {
                return self.note(Fault::TableEntries { expected: needed, found: entries });
            }
            if run.page.is_present() && run.count != 1 {
                return self.note(Fault::RepeatedPage(run.page));
            }
            self.entries = entries;
            if run.page.0 >= self.geometry.md_len {
                self.note(Fault::PageOutside(run.page));
                continue;
            }
            self.hole |= !run.page.is_present() && run.count > 0;
            take(Part::ExtentPages(run));
        }
    }

    /// What the blob is, once its chain is whole. An error says why it must not be used; what it refers to, as far as that was handed out, is its
    /// own all the same. (Whether its flags allow to open it is for [`Flags::access`] to say, and a thick blob's extent pages are its reader's.)
    pub fn finish(self) -> Result<Head, ChainFault> {
        let fault = |fault| Err(ChainFault { id: self.id, fault });
        if let Some(noted) = self.fault {
            return fault(noted);
        }
        if self.next.is_some() {
            return fault(Fault::Unfinished);
        }
        let map = self.map.unwrap_or(MapKind::Rle { clusters: 0 });
        if let MapKind::Table { clusters } = map {
            let expected = clusters.div_ceil(EXTENT_PAGE_CLUSTERS.into());
            if self.entries != expected {
                return fault(Fault::TableEntries { expected, found: self.entries });
            }
        }
        if self.hole && !self.flags.is_thin() {
            return fault(Fault::HoleInThick);
        }
        if self.flags.is_external_clone() && !self.external {
            return fault(Fault::NoExternalParent);
        }
        // The attribute means something in a thin blob without an external parent only.
        let parent = match self.snap {
            Some(found) if self.flags.is_thin() && !self.flags.is_external_clone() => match found {
                Some(parent) => Some(parent),
                None => return fault(Fault::ParentLength),
            },
            _ => None,
        };
        let (flags, pages) = (self.flags, self.pages);
        Ok(Head { id: self.id, flags, pages, map, parent, being_made_of: self.snaptmp, being_deleted_into: self.snaprm })
    }
}

fn damaged(page: MdPage, damage: Damage) -> Fault {
    Fault::Page(PageFault { page, damage })
}

#[cfg(test)]
mod tests;
