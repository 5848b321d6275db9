//! The layout of a new store: super block, masks and metadata region, one behind the other, in pages.

use crate::geometry::mask_pages;
use crate::{BlobRef, BsType, MaskPlace, SuperBlock};
use core::fmt;

/// What a new store is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Bytes of the device.
    pub device_bytes: u64,
    /// Bytes of its blocks, which become the I/O unit.
    pub block_bytes: u32,
    /// Bytes of a block on its medium.
    pub physical_block_bytes: u32,
    /// Bytes of a cluster: a multiple of 4096 and of the blocks.
    pub cluster_bytes: u32,
    /// The least bytes of a metadata page; zero for what the device asks for.
    pub md_page_bytes: u32,
    /// Pages of the metadata region; `None` for one for each cluster.
    pub md_pages: Option<u32>,
}

impl Default for Plan {
    /// Blocks of 512 bytes, clusters of 1 MiB, a page of metadata for each. The device has no bytes yet.
    fn default() -> Self {
        Plan { device_bytes: 0, block_bytes: 512, physical_block_bytes: 512, cluster_bytes: 1 << 20, md_page_bytes: 0, md_pages: None }
    }
}

/// Why a store cannot be made like this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlanFault {
    /// The cluster size is zero, or no multiple of 4096 and of the block size.
    ClusterSize(u32),
    /// No pages of metadata.
    NoMetadata,
    /// The device holds no cluster, or one block is no power of two, or the medium's is no multiple of it.
    Blocks,
    /// The device is smaller than a cluster.
    DeviceTooSmall(u64),
    /// A metadata page is larger than a cluster, or no multiple of 512.
    MdPageSize(u32),
    /// More clusters than 32 bits count.
    TooManyClusters(u64),
    /// The metadata takes more clusters than there are.
    MetadataTooLarge {
        /// Clusters that it takes.
        needed: u64,
        /// Clusters of the device.
        total: u32,
    },
}

impl fmt::Display for PlanFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClusterSize(bytes) => write!(f, "a cluster of {bytes} bytes is no multiple of 4096 bytes and of the device's blocks"),
            Self::NoMetadata => f.write_str("a store needs one page of metadata at least"),
            Self::Blocks => f.write_str("the device's block is no power of two from 512 on, or does not divide its physical block"),
            Self::DeviceTooSmall(bytes) => write!(f, "a device of {bytes} bytes is smaller than a cluster"),
            Self::MdPageSize(bytes) => write!(f, "metadata pages of {bytes} bytes do not fit a cluster, or are no multiple of 512"),
            Self::TooManyClusters(n) => write!(f, "{n} clusters are more than a store can count: choose larger clusters"),
            Self::MetadataTooLarge { needed, total } => write!(f, "the metadata takes {needed} clusters, and the device has {total}"),
        }
    }
}

impl core::error::Error for PlanFault {}

impl Plan {
    /// The super block of the new store: not clean, without a super blob. Its masks are not written before the store is first unloaded.
    pub fn super_block(&self, bs_type: BsType) -> Result<SuperBlock, PlanFault> {
        self.check()?;
        let md_page_bytes = self.md_page_bytes.max(self.physical_block_bytes).max(4096);
        if md_page_bytes > self.cluster_bytes || !md_page_bytes.is_multiple_of(512) {
            return Err(PlanFault::MdPageSize(md_page_bytes));
        }
        let clusters = self.device_bytes / u64::from(self.cluster_bytes);
        let total = u32::try_from(clusters).map_err(|_| PlanFault::TooManyClusters(clusters))?;
        let md_len = self.md_pages.unwrap_or(total);
        let (of_pages, of_clusters) = (mask_pages(md_len.into(), md_page_bytes.into()), mask_pages(total.into(), md_page_bytes.into()));
        // Room for the mask of clusters to grow: as much as the mask of pages has, if that is more.
        let room = of_clusters.max(of_pages);
        let md_start = 1 + of_pages + room + of_pages;
        let needed = (md_start + u64::from(md_len)).div_ceil(u64::from(self.cluster_bytes / md_page_bytes));
        if needed > clusters {
            return Err(PlanFault::MetadataTooLarge { needed, total });
        }
        // All are below `needed`, times pages of a cluster; a mask of 32 bits takes less than 2^18 pages.
        let page = |n: u64| u32::try_from(n).map_err(|_| PlanFault::MetadataTooLarge { needed, total });
        Ok(SuperBlock {
            version: SuperBlock::VERSION,
            clean: false,
            super_blob: BlobRef::NONE,
            cluster_bytes: self.cluster_bytes,
            page_mask: MaskPlace { start: 1, len: page(of_pages)? },
            cluster_mask: MaskPlace { start: page(1 + of_pages)?, len: page(of_clusters)? },
            md_start: page(md_start)?,
            md_len,
            bs_type,
            blob_id_mask: MaskPlace { start: page(1 + of_pages + room)?, len: page(of_pages)? },
            size_bytes: self.device_bytes,
            io_unit_bytes: self.block_bytes,
            md_page_bytes,
        })
    }

    fn check(&self) -> Result<(), PlanFault> {
        let block = self.block_bytes;
        if block < 512 || !block.is_power_of_two() || !self.physical_block_bytes.is_multiple_of(block) {
            return Err(PlanFault::Blocks);
        }
        if self.cluster_bytes == 0 || !self.cluster_bytes.is_multiple_of(4096) || !self.cluster_bytes.is_multiple_of(block) {
            return Err(PlanFault::ClusterSize(self.cluster_bytes));
        }
        if self.md_pages == Some(0) {
            return Err(PlanFault::NoMetadata);
        }
        if self.device_bytes < u64::from(self.cluster_bytes) {
            return Err(PlanFault::DeviceTooSmall(self.device_bytes));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
