//! The number spaces of the format. Each is a type, so that a page is not taken for a cluster.

use core::fmt;

/// A cluster, counted from the start of the device: cluster k is the bytes from k times the cluster size on. Zero, which holds the super block,
/// stands for "not allocated" in every map.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
#[repr(transparent)]
pub struct Cluster(pub u32);

impl Cluster {
    /// Not allocated.
    pub const NONE: Self = Self(0);

    /// Is it allocated?
    #[inline]
    pub const fn is_some(self) -> bool {
        self.0 != 0
    }
}

/// A metadata page, counted from the start of the metadata region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
#[repr(transparent)]
pub struct MdPage(pub u32);

impl MdPage {
    /// In the `next` field of a page: the chain ends here.
    pub const END: Self = Self(u32::MAX);
    /// In an extent table: there is no extent page. (Page 0 is never one.)
    pub const ABSENT: Self = Self(0);

    /// In an extent table: is there an extent page?
    #[inline]
    pub const fn is_present(self) -> bool {
        self.0 != 0
    }
}

impl fmt::Display for MdPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metadata page {}", self.0)
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cluster {}", self.0)
    }
}

/// Bit 32, which every blob id has.
const ID_BIT: u64 = 1 << 32;

/// The id of a blob: bit 32 is set, the low 32 bits are the page of its root, all others are clear.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct BlobId(u64);

impl BlobId {
    /// The id of the blob whose root is `page`.
    #[inline]
    pub const fn of_root(page: MdPage) -> Self {
        Self(ID_BIT | page.0 as u64)
    }

    /// The id that these bits are; `None` for bits that no blob has.
    #[inline]
    pub const fn from_raw(raw: u64) -> Option<Self> {
        if raw >> 32 == 1 && raw != ID_BIT | u32::MAX as u64 { Some(Self(raw)) } else { None }
    }

    /// Its bits.
    #[inline]
    pub const fn to_raw(self) -> u64 {
        self.0
    }

    /// Where its root page is.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the low half is the page, and all of the rest is fixed")]
    pub const fn root(self) -> MdPage {
        MdPage(self.0 as u32)
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blob {:#x}", self.0)
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobId({:#x})", self.0)
    }
}

/// Where the disk names a blob: an id, nothing, or bits that are neither and are kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct BlobRef(u64);

impl BlobRef {
    /// No blob: all ones.
    pub const NONE: Self = Self(u64::MAX);

    /// These bits.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Its bits.
    pub const fn to_raw(self) -> u64 {
        self.0
    }

    /// The blob, if it names one.
    pub const fn id(self) -> Option<BlobId> {
        BlobId::from_raw(self.0)
    }
}

impl From<BlobId> for BlobRef {
    fn from(id: BlobId) -> Self {
        Self(id.0)
    }
}

impl fmt::Debug for BlobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE { f.write_str("BlobRef::NONE") } else { write!(f, "BlobRef({:#x})", self.0) }
    }
}
