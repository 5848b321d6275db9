//! Descriptors: what a page holds from byte 16 on. Each has a kind (offset 0), the length of its payload (offset 1), and its payload (offset 5).

use crate::field::{u32_at, u64_at};
use crate::{BlobRef, Cluster, Damage, Flags, MdPage, PageBytes, PageFault};
use core::fmt;

/// Where descriptors begin and end in a page.
pub(crate) const AREA_AT: usize = 16;
pub(crate) const AREA_END: usize = 4088;
/// Bytes of a descriptor before its payload.
pub(crate) const HEADER_LEN: usize = 5;
/// Bytes of the flags descriptor's payload.
pub(crate) const FLAGS_LEN: usize = 24;

/// What a descriptor is (descriptor, offset 0). Any number is a kind; the format has seven.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DescriptorKind(pub u8);

impl DescriptorKind {
    /// Nothing: to be skipped, and with no length the end of the page.
    pub const PADDING: Self = Self(0);
    /// Runs of clusters.
    pub const EXTENT_RLE: Self = Self(1);
    /// An attribute that a user gave.
    pub const XATTR: Self = Self(2);
    /// Flags.
    pub const FLAGS: Self = Self(3);
    /// An attribute that the store gave.
    pub const XATTR_INTERNAL: Self = Self(4);
    /// Extent pages.
    pub const EXTENT_TABLE: Self = Self(5);
    /// What an extent page lists.
    pub const EXTENT_PAGE: Self = Self(6);
}

impl fmt::Display for DescriptorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::PADDING => "padding",
            Self::EXTENT_RLE => "extent list",
            Self::XATTR => "attribute",
            Self::FLAGS => "flags descriptor",
            Self::XATTR_INTERNAL => "internal attribute",
            Self::EXTENT_TABLE => "extent table",
            Self::EXTENT_PAGE => "list of an extent page",
            Self(kind) => return write!(f, "descriptor of unknown kind {kind}"),
        })
    }
}

/// A descriptor, borrowed from its page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Descriptor<'a> {
    /// Flags.
    Flags(Flags),
    /// A user's attribute.
    Xattr(Xattr<'a>),
    /// The store's attribute. Its names are apart from the users'.
    Internal(Xattr<'a>),
    /// Runs of clusters, one behind the other in the blob.
    ExtentRle(Runs<'a>),
    /// A piece of the extent table.
    ExtentTable(Table<'a>),
    /// What an extent page lists; it is found in no chain.
    ExtentPage {
        /// Payload 0: the first cluster of the blob that it covers.
        start: u32,
        /// Payload 4: cluster numbers of four bytes.
        clusters: &'a [u8],
    },
    /// A kind that the format does not have. Nobody writes one; a reader skips it.
    Unknown {
        /// Which.
        kind: DescriptorKind,
        /// Its payload.
        payload: &'a [u8],
    },
}

/// An attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Xattr<'a> {
    /// Payload 4: its name, without NUL.
    pub name: &'a [u8],
    /// Behind the name: its value.
    pub value: &'a [u8],
}

/// Names of internal attributes.
pub mod internal {
    /// Of a clone: the id of its parent snapshot, eight bytes.
    pub const SNAP: &[u8] = b"SNAP";
    /// Of a snapshot that is being made: the id of its origin, eight bytes.
    pub const SNAPTMP: &[u8] = b"SNAPTMP";
    /// Of a snapshot that is being deleted: the id of its only clone, eight bytes.
    pub const SNAPRM: &[u8] = b"SNAPRM";
    /// Of a clone of an external snapshot: what names that, opaque.
    pub const EXTSNAP: &[u8] = b"EXTSNAP";
}

impl<'a> Xattr<'a> {
    /// The most bytes of name and value together: a descriptor does not leave its page.
    pub const LEN_MAX: usize = AREA_END - AREA_AT - HEADER_LEN - 4;

    /// The blob that its value names; `None` when the value has not eight bytes.
    pub fn blob(&self) -> Option<BlobRef> {
        let bytes: [u8; 8] = self.value.try_into().ok()?;
        Some(BlobRef::from_raw(u64::from_le_bytes(bytes)))
    }

    /// Payload 0 and 2 are the lengths of name and value, and the payload ends with the value.
    fn decode(payload: &'a [u8]) -> Option<Xattr<'a>> {
        let (lengths, rest) = payload.split_first_chunk::<4>()?;
        let [a, b, c, d] = *lengths;
        let (name, value) = rest.split_at_checked(u16::from_le_bytes([a, b]).into())?;
        (value.len() == usize::from(u16::from_le_bytes([c, d]))).then_some(Xattr { name, value })
    }
}

/// A run of an extent list: `count` clusters from `cluster` on, or as many that are not allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Its first cluster, or none.
    pub cluster: Cluster,
    /// How many.
    pub count: u32,
}

/// The runs of an extent list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Runs<'a>(&'a [u8]);

impl Iterator for Runs<'_> {
    type Item = Run;

    #[inline]
    fn next(&mut self) -> Option<Run> {
        let (pair, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(Run { cluster: Cluster(u32_at(pair, 0)), count: u32_at(pair, 4) })
    }
}

/// A piece of the extent table: every piece says how many clusters the blob has, and goes on where the last one ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table<'a> {
    /// Payload 0: clusters of the blob.
    pub clusters: u64,
    /// Payload 8: the entries of this piece. There may be none.
    pub entries: TableRuns<'a>,
}

/// An entry of the extent table: an extent page, or `count` that are absent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableRun {
    /// The page, or none.
    pub page: MdPage,
    /// How many.
    pub count: u32,
}

/// The entries of a piece of the extent table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableRuns<'a>(Runs<'a>);

impl Iterator for TableRuns<'_> {
    type Item = TableRun;

    #[inline]
    fn next(&mut self) -> Option<TableRun> {
        self.0.next().map(|run| TableRun { page: MdPage(run.cluster.0), count: run.count })
    }
}

/// The descriptors of a page, in order; a malformed one is the last.
#[derive(Clone, Debug)]
pub struct Descriptors<'a> {
    page: MdPage,
    rest: &'a [u8],
}

impl<'a> Descriptors<'a> {
    /// Those of a page.
    #[inline]
    pub(crate) fn of(page: MdPage, bytes: &'a PageBytes) -> Self {
        Self { page, rest: bytes.get(AREA_AT..AREA_END).unwrap_or_default() }
    }

    /// Where the next one begins, in bytes of the page.
    fn offset(&self) -> usize {
        AREA_END - self.rest.len()
    }

    fn fail(&mut self, damage: Damage) -> Option<Result<Descriptor<'a>, PageFault>> {
        self.rest = &[];
        Some(Err(PageFault { page: self.page, damage }))
    }
}

impl<'a> Iterator for Descriptors<'a> {
    type Item = Result<Descriptor<'a>, PageFault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let offset = self.offset();
            let (header, rest) = self.rest.split_first_chunk::<HEADER_LEN>()?;
            let (kind, len) = (DescriptorKind(header[0]), u32_at(header, 1));
            if kind == DescriptorKind::PADDING && len == 0 {
                self.rest = &[];
                return None;
            }
            let Some((payload, rest)) = rest.split_at_checked(len as usize) else {
                return self.fail(Damage::Overrun { offset, kind });
            };
            self.rest = rest;
            if kind == DescriptorKind::PADDING {
                continue;
            }
            return match decode(kind, payload) {
                Some(found) => Some(Ok(found)),
                None => self.fail(Damage::Length { offset, kind, len }),
            };
        }
    }
}

/// What a payload means; `None` when it has a length that its kind cannot have.
fn decode(kind: DescriptorKind, payload: &[u8]) -> Option<Descriptor<'_>> {
    let len = payload.len();
    Some(match kind {
        DescriptorKind::FLAGS if len == FLAGS_LEN => {
            Descriptor::Flags(Flags { invalid: u64_at(payload, 0), data_ro: u64_at(payload, 8), md_ro: u64_at(payload, 16) })
        }
        DescriptorKind::XATTR => Descriptor::Xattr(Xattr::decode(payload)?),
        DescriptorKind::XATTR_INTERNAL => Descriptor::Internal(Xattr::decode(payload)?),
        DescriptorKind::EXTENT_RLE if len > 0 && len.is_multiple_of(8) => Descriptor::ExtentRle(Runs(payload)),
        DescriptorKind::EXTENT_TABLE if len >= 8 && len.is_multiple_of(8) => {
            let (_, entries) = payload.split_at_checked(8)?;
            Descriptor::ExtentTable(Table { clusters: u64_at(payload, 0), entries: TableRuns(Runs(entries)) })
        }
        DescriptorKind::EXTENT_PAGE if len > 4 && len.is_multiple_of(4) => {
            let (_, clusters) = payload.split_at_checked(4)?;
            Descriptor::ExtentPage { start: u32_at(payload, 0), clusters }
        }
        DescriptorKind::FLAGS | DescriptorKind::EXTENT_RLE | DescriptorKind::EXTENT_TABLE | DescriptorKind::EXTENT_PAGE => return None,
        _ => Descriptor::Unknown { kind, payload },
    })
}

#[cfg(test)]
mod tests;
