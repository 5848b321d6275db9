//! Extent pages: the clusters of 512 blob clusters each. Such a page holds one descriptor and belongs to whoever's table names it.

use crate::descriptor::{AREA_AT, AREA_END, Descriptor, HEADER_LEN};
use crate::field::{put, u32_at};
use crate::page::{check_sum, first_kind};
use crate::{
    BlobId, Cluster, Damage, DescriptorKind, Descriptors, EXTENT_PAGE_CLUSTERS, MdPage, PAGE_LEN, PageBytes, PageFault, Unwritable, seal,
};

/// An extent page, borrowed from its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtentPage<'a> {
    at: MdPage,
    writer: u64,
    start: u32,
    clusters: &'a [u8],
}

/// The extent page that `bytes` must be, since a table names it.
pub fn extents_in(at: MdPage, bytes: &PageBytes) -> Result<ExtentPage<'_>, PageFault> {
    check_sum(at, bytes)?;
    if u32_at(bytes, 8) != 0 || first_kind(bytes) != DescriptorKind::EXTENT_PAGE {
        return Err(PageFault { page: at, damage: Damage::NotAnExtentPage });
    }
    extents_of(at, bytes)
}

/// An extent page by its first descriptor, its checksum and sequence number checked.
pub(crate) fn extents_of(at: MdPage, bytes: &PageBytes) -> Result<ExtentPage<'_>, PageFault> {
    let fault = |damage| PageFault { page: at, damage };
    let mut descriptors = Descriptors::of(at, bytes);
    let Some(Descriptor::ExtentPage { start, clusters }) = descriptors.next().transpose()? else {
        return Err(fault(Damage::NotAnExtentPage));
    };
    // Its one descriptor is followed by the end: a header of no length, or no room for one. The original looks at the length alone.
    let end = AREA_AT + HEADER_LEN + 4 + clusters.len();
    let follows = bytes.get(end..AREA_END).filter(|rest| rest.len() >= HEADER_LEN).is_some_and(|rest| u32_at(rest, 1) != 0);
    if follows || u32_at(bytes, AREA_END) != MdPage::END.0 {
        return Err(fault(Damage::NotAlone));
    }
    Ok(ExtentPage { at, writer: crate::field::u64_at(bytes, 0), start, clusters })
}

impl<'a> ExtentPage<'a> {
    /// Where it lies.
    pub const fn place(&self) -> MdPage {
        self.at
    }

    /// Offset 0 of the page: the id of the blob that wrote it first, which need not be its owner's.
    pub const fn writer(&self) -> u64 {
        self.writer
    }

    /// The first cluster of the blob that it covers.
    pub const fn start(&self) -> u32 {
        self.start
    }

    /// Cluster numbers that stand in it.
    pub const fn stored_len(&self) -> usize {
        self.clusters.len() / 4
    }

    /// Cluster numbers as they stand in it, also those that are no part of any blob.
    pub fn stored(&self) -> impl ExactSizeIterator<Item = Cluster> + use<'a> {
        self.clusters.as_chunks::<4>().0.iter().map(|n| Cluster(u32::from_le_bytes(*n)))
    }

    /// The clusters that entry `entry` of the table of a blob of `blob_clusters` has by this page: as many as that entry covers. A page that lists
    /// fewer, as stores of the original have it after a volume grew, leaves the rest unallocated (in a thick blob that is damage); what it lists
    /// too many is nobody's.
    pub fn clusters(&self, entry: u64, blob_clusters: u64) -> Result<Extents<'a>, PageFault> {
        let expected = entry.saturating_mul(EXTENT_PAGE_CLUSTERS.into());
        if u64::from(self.start) != expected {
            return Err(PageFault { page: self.at, damage: Damage::ExtentStart { expected, found: self.start } });
        }
        Ok(Extents { rest: self.clusters, left: clusters_in_entry(entry, blob_clusters) })
    }
}

/// The clusters of a part of a blob, in order.
#[derive(Clone, Copy, Debug)]
pub struct Extents<'a> {
    rest: &'a [u8],
    left: u32,
}

impl Iterator for Extents<'_> {
    type Item = Cluster;

    #[inline]
    fn next(&mut self) -> Option<Cluster> {
        self.left = self.left.checked_sub(1)?;
        let Some((number, rest)) = self.rest.split_first_chunk() else { return Some(Cluster::NONE) };
        self.rest = rest;
        Some(Cluster(u32::from_le_bytes(*number)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Extents<'_> {}

/// How many clusters entry `entry` of the table of a blob of `blob_clusters` covers: 512, or the rest. What an extent page lists when it is
/// written.
pub fn clusters_in_entry(entry: u64, blob_clusters: u64) -> u32 {
    let left = blob_clusters.saturating_sub(entry.saturating_mul(EXTENT_PAGE_CLUSTERS.into()));
    u32::try_from(left).map_or(EXTENT_PAGE_CLUSTERS, |left| left.min(EXTENT_PAGE_CLUSTERS))
}

/// Makes `page` the extent page of entry `entry` of a blob's table. `clusters` are all that the entry covers: 512, or the rest of the blob; an
/// empty list is never written, since the original loads no store that has one.
pub fn write_extent_page(page: &mut PageBytes, id: BlobId, entry: u32, clusters: &[Cluster]) -> Result<(), Unwritable> {
    let start = entry.checked_mul(EXTENT_PAGE_CLUSTERS).ok_or(Unwritable::TooLarge)?;
    let len = u32::try_from(clusters.len()).ok().filter(|n| (1..=EXTENT_PAGE_CLUSTERS).contains(n)).ok_or(Unwritable::ExtentPageLength)?;
    *page = [0; PAGE_LEN];
    put(page, 0, &id.to_raw().to_le_bytes());
    put(page, AREA_AT, &[DescriptorKind::EXTENT_PAGE.0]);
    put(page, AREA_AT + 1, &(4 + 4 * len).to_le_bytes());
    put(page, AREA_AT + HEADER_LEN, &start.to_le_bytes());
    for (at, cluster) in (AREA_AT + HEADER_LEN + 4..).step_by(4).zip(clusters) {
        put(page, at, &cluster.0.to_le_bytes());
    }
    put(page, AREA_END, &MdPage::END.0.to_le_bytes());
    seal(page);
    Ok(())
}

#[cfg(test)]
mod tests;
