//! The super block: the first 4096 bytes of the device.

use crate::field::{put, stored_checksum, u32_at, u64_at};
use crate::{BlobRef, MaskPlace, PageBytes, SuperFault, checksum, seal};
use core::fmt;

const SIGNATURE: &[u8; 8] = b"SPDKBLOB";
/// What is written, and the newest that is read.
const VERSION: u32 = 3;
/// Super block, offset 12.
const LENGTH: u32 = 4096;
/// Super block, offset 16.
const CLEAN_AT: usize = 16;

/// Whose store it is: an opaque tag (super block, offset 56).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BsType(pub [u8; 16]);

impl BsType {
    /// A store of logical volumes.
    pub const LVOLSTORE: Self = Self(*b"LVOLSTORE\0\0\0\0\0\0\0");
    /// Expected: any.
    pub const ANY: Self = Self([0; 16]);

    /// Is a store of this type what is expected? All 16 bytes count; [`BsType::ANY`] expects nothing in particular.
    pub fn is(self, expected: Self) -> bool {
        expected == Self::ANY || self == expected
    }
}

impl fmt::Display for BsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        self.0.iter().take(end).try_for_each(|b| write!(f, "{}", b.escape_ascii()))
    }
}

impl fmt::Debug for BsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BsType({self})")
    }
}

/// What the super block says, as it is stored: a size of zero, which stores of old versions have, is still zero here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SuperBlock {
    /// Offset 8: 1, 2 or 3.
    pub version: u32,
    /// Offset 16: the masks on disk are valid.
    pub clean: bool,
    /// Offset 20: the blob that describes the store.
    pub super_blob: BlobRef,
    /// Offset 28: bytes of a cluster.
    pub cluster_bytes: u32,
    /// Offsets 32 and 36: the mask of used metadata pages.
    pub page_mask: MaskPlace,
    /// Offsets 40 and 44: the mask of used clusters, as far as it is used. There may be room behind it.
    pub cluster_mask: MaskPlace,
    /// Offset 48: the first page of the metadata region.
    pub md_start: u32,
    /// Offset 52: pages of the metadata region.
    pub md_len: u32,
    /// Offset 56: whose store it is.
    pub bs_type: BsType,
    /// Offsets 72 and 76: the mask of used blob ids; of no length in stores from before version 3.
    pub blob_id_mask: MaskPlace,
    /// Offset 80: bytes that the store owns; zero for all of the device.
    pub size_bytes: u64,
    /// Offset 88: bytes of an I/O unit; zero for 4096.
    pub io_unit_bytes: u32,
    /// Offset 92: bytes from one metadata page to the next; zero for 4096.
    pub md_page_bytes: u32,
}

impl SuperBlock {
    /// The version of new stores.
    pub const VERSION: u32 = VERSION;

    /// Reads it. Version, signature and checksum are held against what they must be, in this order; what the numbers are worth is found by
    /// [`Geometry::of`](crate::Geometry::of).
    pub fn decode(page: &PageBytes) -> Result<SuperBlock, SuperFault> {
        let version = u32_at(page, 8);
        if !(1..=VERSION).contains(&version) {
            return Err(SuperFault::Version(version));
        }
        if !page.starts_with(SIGNATURE) {
            return Err(SuperFault::Signature);
        }
        let (stored, computed) = (stored_checksum(page), checksum(page));
        if stored != computed {
            return Err(SuperFault::Checksum { stored, computed });
        }
        Ok(SuperBlock::fields(page))
    }

    /// Reads one that a power cut may have torn while `clean` was written: its checksum may also fit the other value of `clean`. Then the store
    /// counts as not clean.
    pub fn decode_torn(page: &PageBytes) -> Result<SuperBlock, SuperFault> {
        let fault = match SuperBlock::decode(page) {
            Err(fault @ SuperFault::Checksum { .. }) => fault,
            decided => return decided,
        };
        let mut other = *page;
        let clean = u32_at(page, CLEAN_AT) != 0;
        put(&mut other, CLEAN_AT, &u32::from(!clean).to_le_bytes());
        match SuperBlock::decode(&other) {
            Ok(found) => Ok(SuperBlock { clean: false, ..found }),
            Err(_) => Err(fault),
        }
    }

    fn fields(page: &PageBytes) -> SuperBlock {
        let place = |at| MaskPlace { start: u32_at(page, at), len: u32_at(page, at + 4) };
        let mut bs_type = BsType::default();
        if let Some(tag) = page.get(56..72) {
            bs_type.0.copy_from_slice(tag);
        }
        SuperBlock {
            version: u32_at(page, 8),
            clean: u32_at(page, CLEAN_AT) != 0,
            super_blob: BlobRef::from_raw(u64_at(page, 20)),
            cluster_bytes: u32_at(page, 28),
            page_mask: place(32),
            cluster_mask: place(40),
            md_start: u32_at(page, 48),
            md_len: u32_at(page, 52),
            bs_type,
            blob_id_mask: place(72),
            size_bytes: u64_at(page, 80),
            io_unit_bytes: u32_at(page, 88),
            md_page_bytes: u32_at(page, 92),
        }
    }

    /// Writes it over what `page` holds, and seals that. Reserved bytes (offset 96 on) stay as they are: a store that is written anew begins with
    /// a page of zeroes, one that is rewritten with the page that was read.
    pub fn encode(&self, page: &mut PageBytes) {
        let mut word = |at: usize, value: u32| put(page, at, &value.to_le_bytes());
        word(8, self.version);
        word(12, LENGTH);
        word(CLEAN_AT, u32::from(self.clean));
        word(28, self.cluster_bytes);
        word(32, self.page_mask.start);
        word(36, self.page_mask.len);
        word(40, self.cluster_mask.start);
        word(44, self.cluster_mask.len);
        word(48, self.md_start);
        word(52, self.md_len);
        word(72, self.blob_id_mask.start);
        word(76, self.blob_id_mask.len);
        word(88, self.io_unit_bytes);
        word(92, self.md_page_bytes);
        put(page, 0, SIGNATURE);
        put(page, 20, &self.super_blob.to_raw().to_le_bytes());
        put(page, 56, &self.bs_type.0);
        put(page, 80, &self.size_bytes.to_le_bytes());
        seal(page);
    }

    /// Must the masks be made anew from the metadata? When they were not written, and where there is none of blob ids.
    pub const fn needs_recovery(&self) -> bool {
        !self.clean || self.blob_id_mask.len == 0
    }
}

#[cfg(test)]
mod tests;
