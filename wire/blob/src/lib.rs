//! The blobstore's format on disk, as SPDK writes it (super block version 3): read and written without a disk, a thread or a heap.
//!
//! A reader decodes the [`SuperBlock`], computes the [`Geometry`] of the store from it, and holds every metadata page against [`classify`],
//! which says what the page is: free, the root of a blob, a page of a blob's chain, or an extent page. [`ChainReader`] puts a chain together
//! and keeps the rules that go across its pages; [`ExtentPage::clusters`] does so for an extent page and its owner. A writer fills in a
//! [`Chain`], asks how many pages it takes, and has it written page by page; [`write_extent_page`] and [`mask_part`] do the rest.
//!
//! What it is not: a store. It decides nothing about order, allocation or recovery, and knows nothing of volumes' names.
//!
//! Invariants: no input makes anything here panic, and none makes it allocate; what is borrowed from a page lies within that page; a fault
//! names the page and what is wrong with it; what was written here is read back as the same values, and written again as the same bytes.
//!
//! All numbers on disk are little-endian and lie at any offset. A metadata structure is 4096 bytes long, also where the store's metadata pages
//! are larger; the rest of such a page means nothing. Comments name the structure and the offset of each field.
//!
//! ```
//! use doorbell_wire_blob::*;
//!
//! // A store of 16 MiB, and in it a thin blob of three clusters with one extent page.
//! let plan = Plan { device_bytes: 16 << 20, cluster_bytes: 1 << 20, ..Plan::default() };
//! let store = plan.super_block(BsType::LVOLSTORE)?;
//! let geometry = Geometry::of(&store, 16 << 20)?;
//! assert_eq!((geometry.md_start, geometry.md_len, geometry.total_clusters), (4, 16, 16));
//!
//! let id = BlobId::of_root(MdPage(1));
//! let chain = Chain {
//!     id,
//!     flags: Flags { invalid: Flags::THIN | Flags::EXTENT_TABLE, ..Flags::default() },
//!     xattrs: &[Xattr { name: b"name", value: b"disk0\0" }],
//!     internal: &[],
//!     map: Map::Table { clusters: 3, pages: &[MdPage(2)] },
//! };
//! assert_eq!(chain.page_count()?, 1);
//! let mut pages = std::vec::Vec::new();
//! chain.write(&[], |at, page| pages.push((at, *page)))?;
//!
//! let (at, page) = &pages[0];
//! let Page::Root(found, root) = classify(*at, page) else { panic!("not a root") };
//! let mut reader = ChainReader::new(&geometry, found);
//! let mut names = 0;
//! reader.push(*at, &root, |part| names += usize::from(matches!(part, Part::Xattr(_))))?;
//! let head = reader.finish()?;
//! assert_eq!((names, head.map, head.flags.is_thin()), (1, MapKind::Table { clusters: 3 }, true));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

#[cfg(test)]
extern crate std;

mod chain;
mod descriptor;
mod extent;
mod fault;
mod field;
mod flags;
mod geometry;
mod mask;
mod number;
mod page;
mod plan;
mod reader;
mod super_block;

pub use chain::{Chain, Map, Unwritable};
pub use descriptor::{Descriptor, DescriptorKind, Descriptors, Run, Runs, Table, TableRun, TableRuns, Xattr, internal};
pub use extent::{ExtentPage, Extents, clusters_in_entry, extents_in, write_extent_page};
pub use fault::{ChainFault, Damage, Fault, GeometryFault, PageFault, SuperFault};
pub use field::{PAGE_LEN, PageBytes, checksum, is_sealed, seal};
pub use flags::{Access, ClearMethod, Flags};
pub use geometry::{Geometry, MaskPlace};
pub use mask::{MASK_HEADER_LEN, Mask, MaskFault, MaskKind, mask_part};
pub use number::{BlobId, BlobRef, Cluster, MdPage};
pub use page::{ChainPage, Page, classify, looks_free};
pub use plan::{Plan, PlanFault};
pub use reader::{ChainReader, Head, MapKind, Part};
pub use super_block::{BsType, SuperBlock};

/// Blob clusters that one extent page covers (extent table: entry k covers clusters 512k to 512k + 511).
pub const EXTENT_PAGE_CLUSTERS: u32 = 512;
