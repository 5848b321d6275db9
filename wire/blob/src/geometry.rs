//! Where things are: what the numbers of a super block come to, once they are found to make sense together.

use crate::{BlobId, Cluster, GeometryFault, MASK_HEADER_LEN, MaskKind, MdPage, PAGE_LEN, SuperBlock};
use core::ops::Range;

/// What absent sizes stand for (super block, offsets 88 and 92).
const DEFAULT_BYTES: u32 = 4096;

/// Where a mask lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MaskPlace {
    /// Its first page, counted from the start of the device.
    pub start: u32,
    /// Its pages.
    pub len: u32,
}

impl MaskPlace {
    fn pages(self) -> Range<u64> {
        u64::from(self.start)..u64::from(self.start) + u64::from(self.len)
    }
}

/// Sizes and places of a store, checked: every offset that it gives lies inside of the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Bytes of a cluster.
    pub cluster_bytes: u32,
    /// Bytes from one metadata page to the next.
    pub md_page_bytes: u32,
    /// Bytes of an I/O unit.
    pub io_unit_bytes: u32,
    /// Bytes that the store owns.
    pub size_bytes: u64,
    /// Clusters in all, those of the metadata included.
    pub total_clusters: u32,
    /// Clusters, from the first, that hold super block, masks and metadata.
    pub md_clusters: u32,
    /// First page of the metadata region, counted from the start of the device.
    pub md_start: u32,
    /// Pages of the metadata region.
    pub md_len: u32,
    /// The mask of used metadata pages.
    pub page_mask: MaskPlace,
    /// The mask of used clusters.
    pub cluster_mask: MaskPlace,
    /// Pages that the mask of used clusters may grow to.
    pub cluster_mask_room: u32,
    /// The mask of used blob ids; none in stores from before version 3.
    pub blob_id_mask: Option<MaskPlace>,
}

/// Pages of `page_bytes` that a mask of so many bits takes: ceil((5 + ceil(bits / 8)) / page_bytes).
pub(crate) const fn mask_pages(bits: u64, page_bytes: u64) -> u64 {
    (MASK_HEADER_LEN as u64 + bits.div_ceil(8)).div_ceil(page_bytes)
}

/// Bits that a mask of so many pages has room for, up to as many as can be counted.
const fn mask_capacity(pages: u32, page_bytes: u32) -> u64 {
    let bits = (pages as u64 * page_bytes as u64).saturating_sub(MASK_HEADER_LEN as u64).saturating_mul(8);
    if bits > u32::MAX as u64 { u32::MAX as u64 } else { bits }
}

impl Geometry {
    /// The geometry of a store on a device of `device_bytes`. What old versions leave out gets its meaning here.
    pub fn of(sb: &SuperBlock, device_bytes: u64) -> Result<Geometry, GeometryFault> {
        let or_default = |bytes: u32| if bytes == 0 { DEFAULT_BYTES } else { bytes };
        if sb.size_bytes > device_bytes {
            return Err(GeometryFault::LargerThanDevice { size_bytes: sb.size_bytes, device_bytes });
        }
        let (md_page_bytes, io_unit_bytes) = (or_default(sb.md_page_bytes), or_default(sb.io_unit_bytes));
        check_sizes(sb.cluster_bytes, md_page_bytes, io_unit_bytes)?;
        // A store that does not say its size has all of the device, as far as its mask of clusters has bits for.
        let size_bytes = match sb.size_bytes {
            0 => device_bytes.min(mask_capacity(sb.cluster_mask.len, md_page_bytes).saturating_mul(sb.cluster_bytes.into())),
            stated => stated,
        };
        let clusters = size_bytes / u64::from(sb.cluster_bytes);
        let total_clusters = u32::try_from(clusters).map_err(|_| GeometryFault::TooManyClusters(clusters))?;
        let pages_per_cluster = u64::from(sb.cluster_bytes / md_page_bytes);
        let md_clusters = (u64::from(sb.md_start) + u64::from(sb.md_len)).div_ceil(pages_per_cluster);
        let md_clusters = u32::try_from(md_clusters).ok().filter(|n| *n <= total_clusters && sb.md_len > 0);
        let geometry = Geometry {
            cluster_bytes: sb.cluster_bytes,
            md_page_bytes,
            io_unit_bytes,
            size_bytes,
            total_clusters,
            md_clusters: md_clusters.ok_or(GeometryFault::MetadataOutside { start: sb.md_start, len: sb.md_len })?,
            md_start: sb.md_start,
            md_len: sb.md_len,
            page_mask: sb.page_mask,
            cluster_mask: sb.cluster_mask,
            cluster_mask_room: room_of_cluster_mask(sb),
            blob_id_mask: (sb.blob_id_mask.len > 0).then_some(sb.blob_id_mask),
        };
        geometry.check_masks()?;
        Ok(geometry)
    }

    /// Each mask lies between super block and metadata, holds its bits, and none lies in another.
    fn check_masks(&self) -> Result<(), GeometryFault> {
        for kind in MaskKind::ALL {
            let Some(place) = self.mask(kind) else { continue };
            let inside = place.start >= 1 && place.pages().end <= u64::from(self.md_start);
            let apart = |other: &MaskKind| match self.mask(*other) {
                Some(o) if *other != kind => place.pages().end <= o.pages().start || o.pages().end <= place.pages().start,
                _ => true,
            };
            if !inside || !MaskKind::ALL.iter().all(apart) {
                return Err(GeometryFault::MaskMisplaced(kind));
            }
            if mask_pages(self.mask_bits(kind).into(), self.md_page_bytes.into()) > u64::from(place.len) {
                return Err(GeometryFault::MaskTooShort(kind));
            }
        }
        Ok(())
    }

    /// Where a mask lies; `None` when the store has none of that kind.
    pub const fn mask(&self, kind: MaskKind) -> Option<MaskPlace> {
        match kind {
            MaskKind::Pages => Some(self.page_mask),
            MaskKind::Clusters => Some(self.cluster_mask),
            MaskKind::BlobIds => self.blob_id_mask,
        }
    }

    /// How many bits a mask has: one for each page of the metadata region, or for each cluster.
    pub const fn mask_bits(&self, kind: MaskKind) -> u32 {
        match kind {
            MaskKind::Pages | MaskKind::BlobIds => self.md_len,
            MaskKind::Clusters => self.total_clusters,
        }
    }

    /// Bytes of the device that a mask occupies.
    pub fn mask_bytes(&self, place: MaskPlace) -> Range<u64> {
        let pages = place.pages();
        pages.start * u64::from(self.md_page_bytes)..pages.end * u64::from(self.md_page_bytes)
    }

    /// Where a metadata page lies on the device; `None` for one that the store does not have.
    #[inline]
    pub const fn page_offset(&self, page: MdPage) -> Option<u64> {
        if page.0 < self.md_len { Some((self.md_start as u64 + page.0 as u64) * self.md_page_bytes as u64) } else { None }
    }

    /// The first page that lies behind the metadata region, in bytes of the device: what a new store clears begins here.
    pub const fn md_end_offset(&self) -> u64 {
        (self.md_start as u64 + self.md_len as u64) * self.md_page_bytes as u64
    }

    /// Where a cluster lies on the device; `None` for "not allocated", one that the store does not have, and one that holds metadata.
    #[inline]
    pub const fn cluster_offset(&self, cluster: Cluster) -> Option<u64> {
        if self.holds_data(cluster) { Some(cluster.0 as u64 * self.cluster_bytes as u64) } else { None }
    }

    /// Can a blob have this cluster?
    #[inline]
    pub const fn holds_data(&self, cluster: Cluster) -> bool {
        cluster.0 != 0 && cluster.0 >= self.md_clusters && cluster.0 < self.total_clusters
    }

    /// Can this be a blob of the store: does its root lie in the metadata region?
    pub const fn holds_blob(&self, id: BlobId) -> bool {
        id.root().0 < self.md_len
    }

    /// Clusters for data.
    pub const fn data_clusters(&self) -> u32 {
        self.total_clusters - self.md_clusters
    }

    /// Bytes that the store can grow to: what the room for the mask of clusters has bits for.
    pub const fn max_bytes(&self) -> u64 {
        mask_capacity(self.cluster_mask_room, self.md_page_bytes) * self.cluster_bytes as u64
    }

    /// The super block of the same store grown to all of a device of `device_bytes`, not clean: its mask of clusters is written anew when the
    /// store is unloaded. `None` when there is nothing to do.
    pub fn grown(&self, sb: &SuperBlock, device_bytes: u64) -> Result<Option<SuperBlock>, GeometryFault> {
        if device_bytes == self.size_bytes {
            return Ok(None);
        }
        if device_bytes < self.size_bytes {
            return Err(GeometryFault::LargerThanDevice { size_bytes: self.size_bytes, device_bytes });
        }
        if self.blob_id_mask.is_none() {
            return Err(GeometryFault::TooOldToGrow(sb.version));
        }
        let clusters = device_bytes / u64::from(self.cluster_bytes);
        let total = u32::try_from(clusters).map_err(|_| GeometryFault::TooManyClusters(clusters))?;
        let needed = mask_pages(total.into(), self.md_page_bytes.into());
        match u32::try_from(needed) {
            Ok(len) if len <= self.cluster_mask_room => {
                let cluster_mask = MaskPlace { len, ..sb.cluster_mask };
                let (md_page_bytes, io_unit_bytes) = (self.md_page_bytes, self.io_unit_bytes);
                Ok(Some(SuperBlock { clean: false, size_bytes: device_bytes, cluster_mask, md_page_bytes, io_unit_bytes, ..*sb }))
            }
            _ => Err(GeometryFault::NoRoomToGrow { max_bytes: self.max_bytes() }),
        }
    }
}

/// Pages from the start of the mask of clusters to what lies next.
fn room_of_cluster_mask(sb: &SuperBlock) -> u32 {
    let next = if sb.blob_id_mask.len > 0 && sb.blob_id_mask.start > sb.cluster_mask.start { sb.blob_id_mask.start } else { sb.md_start };
    next.saturating_sub(sb.cluster_mask.start)
}

fn check_sizes(cluster: u32, md_page: u32, io_unit: u32) -> Result<(), GeometryFault> {
    if cluster == 0 || !cluster.is_multiple_of(DEFAULT_BYTES) {
        return Err(GeometryFault::ClusterSize(cluster));
    }
    if (md_page as usize) < PAGE_LEN || !md_page.is_multiple_of(512) || md_page > cluster {
        return Err(GeometryFault::MdPageSize(md_page));
    }
    if io_unit < 512 || !io_unit.is_power_of_two() || !cluster.is_multiple_of(io_unit) {
        return Err(GeometryFault::IoUnitSize(io_unit));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
