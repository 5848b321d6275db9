//! Metadata pages: what a page is, from itself and its place alone.
//!
//! Header: id (offset 0), sequence number (8), a reserved word (12), descriptors (16), the next page of the chain (4088), checksum (4092).

use crate::descriptor::{AREA_AT, AREA_END};
use crate::extent::extents_of;
use crate::field::{stored_checksum, u32_at, u64_at};
use crate::{BlobId, Damage, DescriptorKind, Descriptors, ExtentPage, MdPage, PageBytes, PageFault, checksum};

/// What a metadata page is.
#[derive(Clone, Debug)]
pub enum Page<'a> {
    /// Free: its header, the beginning of its content and its end are zeroes.
    Free,
    /// The root of this blob, whose id says that it is here.
    Root(BlobId, ChainPage<'a>),
    /// Belongs to the chain of this blob, if that leads to it. Else it is left over and free.
    Follower(BlobId, ChainPage<'a>),
    /// An extent page, if a table names it. Else it is left over and free. The id in it is of whoever wrote it first, which says nothing of whose
    /// it is.
    Extents(ExtentPage<'a>),
    /// A copy of the root of this blob, which lies elsewhere. For the store it is free.
    Copy(BlobId, ChainPage<'a>),
    /// Whole, and nothing that a blob has: its id is none. It is free.
    Stray(ChainPage<'a>),
    /// Damaged: it may have been anything.
    Broken(PageFault),
}

/// A page of a chain, or what looks like one: its checksum fits.
#[derive(Clone, Copy, Debug)]
pub struct ChainPage<'a> {
    at: MdPage,
    bytes: &'a PageBytes,
}

impl<'a> ChainPage<'a> {
    /// The page at `at`, if its checksum fits. Whether a chain may lead to it is for [`ChainReader`](crate::ChainReader) to say.
    pub fn decode(at: MdPage, bytes: &'a PageBytes) -> Result<ChainPage<'a>, PageFault> {
        check_sum(at, bytes).map(|()| ChainPage { at, bytes })
    }

    /// Where it lies.
    pub const fn place(&self) -> MdPage {
        self.at
    }

    /// Offset 0: the id that stands in it.
    #[inline]
    pub fn raw_id(&self) -> u64 {
        u64_at(self.bytes, 0)
    }

    /// The same, when it is one that a blob can have.
    #[inline]
    pub fn id(&self) -> Option<BlobId> {
        BlobId::from_raw(self.raw_id())
    }

    /// Offset 8: its place in the chain; the root has zero.
    #[inline]
    pub fn sequence(&self) -> u32 {
        u32_at(self.bytes, 8)
    }

    /// Offset 4088: where the chain goes on; `None` at its end.
    #[inline]
    pub fn next(&self) -> Option<MdPage> {
        let next = MdPage(u32_at(self.bytes, AREA_END));
        (next != MdPage::END).then_some(next)
    }

    /// What it holds.
    #[inline]
    pub fn descriptors(&self) -> Descriptors<'a> {
        Descriptors::of(self.at, self.bytes)
    }
}

/// Are header, beginning and end of the page zeroes? Such a page is no one's: no id is zero, and an extent page begins with its list. A page that
/// was freed is all zeroes; this asks no more than is needed to tell, so that a scan over free pages costs next to nothing.
#[inline]
pub fn looks_free(bytes: &PageBytes) -> bool {
    let first = u64_at(bytes, AREA_AT) & 0xff_ffff_ffff;
    u64_at(bytes, 0) | u64_at(bytes, 8) | first | u64_at(bytes, AREA_END) == 0
}

/// The checksum of the page, held against what it must be.
#[inline]
pub(crate) fn check_sum(at: MdPage, bytes: &PageBytes) -> Result<(), PageFault> {
    let (stored, computed) = (stored_checksum(bytes), checksum(bytes));
    if stored == computed {
        return Ok(());
    }
    let damage = Damage::Checksum { stored, computed, id: u64_at(bytes, 0), sequence: u32_at(bytes, 8) };
    Err(PageFault { page: at, damage })
}

/// The kind of the first descriptor.
pub(crate) fn first_kind(bytes: &PageBytes) -> DescriptorKind {
    let [kind, ..] = u32_at(bytes, AREA_AT).to_le_bytes();
    DescriptorKind(kind)
}

/// What the page at `at` is.
///
/// A chain and an extent table are followed by who reads the whole region; each page needs to be looked at once only, in any order.
#[inline]
pub fn classify<'a>(at: MdPage, bytes: &'a PageBytes) -> Page<'a> {
    if looks_free(bytes) {
        return Page::Free;
    }
    if let Err(fault) = check_sum(at, bytes) {
        return Page::Broken(fault);
    }
    let page = ChainPage { at, bytes };
    match (page.sequence(), page.id()) {
        (0, Some(id)) if id.root() == at => Page::Root(id, page),
        (0, _) if first_kind(bytes) == DescriptorKind::EXTENT_PAGE => extents_of(at, bytes).map_or_else(Page::Broken, Page::Extents),
        (0, Some(id)) => Page::Copy(id, page),
        (_, Some(id)) => Page::Follower(id, page),
        (_, None) => Page::Stray(page),
    }
}

#[cfg(test)]
mod tests;
