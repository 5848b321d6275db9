//! What can be wrong, and where: with a super block, with the numbers in it, with a page, with a chain of pages.

use crate::{BlobId, Cluster, DescriptorKind, MaskKind, MdPage};
use core::fmt;

/// Why 4096 bytes are no super block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SuperFault {
    /// A version that is not 1, 2 or 3 (offset 8).
    Version(u32),
    /// Another signature (offset 0).
    Signature,
    /// The checksum does not fit (offset 4092).
    Checksum {
        /// What is stored.
        stored: u32,
        /// What it should be.
        computed: u32,
    },
}

impl fmt::Display for SuperFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(v) => write!(f, "the super block is of version {v}; 1 to 3 are known"),
            Self::Signature => f.write_str("there is no super block: the signature is another"),
            Self::Checksum { stored, computed } => {
                write!(f, "the super block is damaged: its checksum is {stored:#010x} and should be {computed:#010x}")
            }
        }
    }
}

impl core::error::Error for SuperFault {}

/// Why the numbers of a super block make no store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GeometryFault {
    /// The store is larger than its device.
    LargerThanDevice {
        /// Bytes of the store.
        size_bytes: u64,
        /// Bytes of the device.
        device_bytes: u64,
    },
    /// Zero, or no multiple of 4096.
    ClusterSize(u32),
    /// Below 4096, no multiple of 512, or larger than a cluster.
    MdPageSize(u32),
    /// No power of two from 512 on, or it does not divide a cluster.
    IoUnitSize(u32),
    /// More clusters than 32 bits count.
    TooManyClusters(u64),
    /// The metadata region is empty or does not lie within the store.
    MetadataOutside {
        /// Its first page.
        start: u32,
        /// Its pages.
        len: u32,
    },
    /// A mask does not lie between super block and metadata, or lies in another.
    MaskMisplaced(MaskKind),
    /// A mask has fewer pages than its bits take.
    MaskTooShort(MaskKind),
    /// The mask of clusters has no room for a store of this size.
    NoRoomToGrow {
        /// What it has room for.
        max_bytes: u64,
    },
    /// Stores of this version do not grow.
    TooOldToGrow(u32),
}

impl fmt::Display for GeometryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LargerThanDevice { size_bytes, device_bytes } => {
                write!(f, "the store has {size_bytes} bytes, and the device {device_bytes}: it was cut short, or is another device")
            }
            Self::ClusterSize(n) => write!(f, "a cluster has {n} bytes, which is no multiple of 4096"),
            Self::MdPageSize(n) => write!(f, "a metadata page has {n} bytes, which is no size that it can have"),
            Self::IoUnitSize(n) => write!(f, "an I/O unit has {n} bytes, which is no size that it can have"),
            Self::TooManyClusters(n) => write!(f, "the store would have {n} clusters, which is more than it can count"),
            Self::MetadataOutside { start, len } => write!(f, "the metadata, {len} pages from page {start} on, is not within the store"),
            Self::MaskMisplaced(kind) => write!(f, "{kind} is where something else is"),
            Self::MaskTooShort(kind) => write!(f, "{kind} has no room for its bits"),
            Self::NoRoomToGrow { max_bytes } => write!(f, "the store can grow to {max_bytes} bytes and no further"),
            Self::TooOldToGrow(v) => write!(f, "a store of version {v} cannot grow"),
        }
    }
}

impl core::error::Error for GeometryFault {}

/// A page that is not what it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageFault {
    /// Which page.
    pub page: MdPage,
    /// What is wrong with it.
    pub damage: Damage,
}

/// What is wrong with a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// The checksum does not fit (offset 4092): torn, rotten, or never a page of metadata.
    Checksum {
        /// What is stored.
        stored: u32,
        /// What it should be.
        computed: u32,
        /// The id that stands in it (offset 0), for what it is worth.
        id: u64,
        /// The sequence number that stands in it (offset 8), for what it is worth.
        sequence: u32,
    },
    /// A descriptor's payload leaves the page.
    Overrun {
        /// Where the descriptor begins, in bytes of the page.
        offset: usize,
        /// What it is.
        kind: DescriptorKind,
    },
    /// A descriptor has a length that its kind cannot have.
    Length {
        /// Where the descriptor begins, in bytes of the page.
        offset: usize,
        /// What it is.
        kind: DescriptorKind,
        /// Its payload's bytes.
        len: u32,
    },
    /// A chain refers to it for an extent page, and it is none.
    NotAnExtentPage,
    /// An extent page has a successor (offset 4088), or something behind its one descriptor.
    NotAlone,
    /// An extent page begins at another cluster of the blob than its place in the table says.
    ExtentStart {
        /// Where it should begin.
        expected: u64,
        /// Where it says that it begins.
        found: u32,
    },
    /// A page of a chain belongs to another blob (offset 0).
    Owner {
        /// The id that stands in it.
        found: u64,
    },
    /// A page of a chain has another sequence number (offset 8) than its place.
    Sequence {
        /// What it should be.
        expected: u32,
        /// What stands in it.
        found: u32,
    },
    /// The next page of a chain (offset 4088) is none of the store's.
    Next(MdPage),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum { stored, computed, id, sequence } => {
                write!(f, "its checksum is {stored:#010x} and should be {computed:#010x} (it names blob {id:#x}, sequence {sequence})")
            }
            Self::Overrun { offset, kind } => write!(f, "the {kind} at byte {offset} leaves the page"),
            Self::Length { offset, kind, len } => write!(f, "the {kind} at byte {offset} has {len} bytes, which it cannot have"),
            Self::NotAnExtentPage => f.write_str("it should be an extent page, and is none"),
            Self::NotAlone => f.write_str("it is an extent page, and something follows its list"),
            Self::ExtentStart { expected, found } => write!(f, "it begins at cluster {found} of the blob and should begin at {expected}"),
            Self::Owner { found } => write!(f, "it belongs to blob {found:#x}"),
            Self::Sequence { expected, found } => write!(f, "it has sequence number {found}, and its place is {expected}"),
            Self::Next(page) => write!(f, "the chain goes on at {page}, which does not exist"),
        }
    }
}

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.page, self.damage)
    }
}

impl core::error::Error for PageFault {}

/// A blob whose chain is not what it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainFault {
    /// Which blob.
    pub id: BlobId,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// One of its pages.
    Page(PageFault),
    /// It ends before its last page, or has none.
    Unfinished,
    /// It has more pages than the store.
    Endless,
    /// It has both an extent list and an extent table.
    TwoMaps,
    /// A list of extents stands in the chain itself.
    ExtentPageInChain,
    /// The pieces of its extent table do not agree on the number of clusters.
    TableSizes {
        /// What the first says.
        first: u64,
        /// What another says.
        found: u64,
    },
    /// Its extent table has another number of entries than its clusters need.
    TableEntries {
        /// How many it needs.
        expected: u64,
        /// How many it has, as far as they were counted.
        found: u64,
    },
    /// One entry stands for several extent pages.
    RepeatedPage(MdPage),
    /// An extent page is none of the store's pages.
    PageOutside(MdPage),
    /// A cluster is none that a blob can have.
    ClusterOutside(Cluster),
    /// Its sizes add up to more than 64 bits hold.
    TooLarge,
    /// It has unallocated clusters and is not thin.
    HoleInThick,
    /// Its parent's id is not eight bytes.
    ParentLength,
    /// It is a clone of an external snapshot that nothing names.
    NoExternalParent,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page(fault) => fault.fmt(f),
            Self::Unfinished => f.write_str("its chain of pages breaks off"),
            Self::Endless => f.write_str("its chain has more pages than the store"),
            Self::TwoMaps => f.write_str("it has an extent list and an extent table"),
            Self::ExtentPageInChain => f.write_str("an extent page's list stands in its chain"),
            Self::TableSizes { first, found } => write!(f, "its extent table is of {first} clusters, and of {found}"),
            Self::TableEntries { expected, found } => write!(f, "its extent table has {found} entries and should have {expected}"),
            Self::RepeatedPage(page) => write!(f, "{page} stands for more than one of its extent pages"),
            Self::PageOutside(page) => write!(f, "its extent {page} does not exist"),
            Self::ClusterOutside(cluster) => write!(f, "{cluster} cannot be its own"),
            Self::TooLarge => f.write_str("it is larger than can be counted"),
            Self::HoleInThick => f.write_str("it has unallocated clusters and is not thin"),
            Self::ParentLength => f.write_str("its parent's id has not eight bytes"),
            Self::NoExternalParent => f.write_str("it is a clone of something outside of the store, and nothing says of what"),
        }
    }
}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.fault)
    }
}

impl core::error::Error for ChainFault {}
