//! Bytes of a metadata structure: numbers at offsets, and the checksum at its end.

/// Bytes of a super block and of every metadata page structure, whatever the size of the store's metadata pages.
pub const PAGE_LEN: usize = 4096;

/// The bytes of one structure.
pub type PageBytes = [u8; PAGE_LEN];

/// Where the checksum of a structure lies; it covers what is before it.
pub(crate) const CRC_AT: usize = 4092;

/// The 32-bit number at `at`; zero past the end, which no caller asks for.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word))
}

/// The 64-bit number at `at`; zero past the end, which no caller asks for.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
}

/// Writes `what` at `at`, as far as there is room.
pub(crate) fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..what.len())) {
        place.copy_from_slice(what);
    }
}

/// The CRC-32C that a structure has to end with: of its bytes 0 to 4091. The ordinary one: Castagnoli, reflected, begun with and ended by ones.
#[inline]
pub fn checksum(page: &PageBytes) -> u32 {
    let (covered, _) = page.split_at(CRC_AT);
    crc_fast::crc32_iscsi(covered)
}

/// The checksum that it ends with.
#[inline]
pub(crate) fn stored_checksum(page: &PageBytes) -> u32 {
    u32_at(page, CRC_AT)
}

/// Does it end with the right one?
#[inline]
pub fn is_sealed(page: &PageBytes) -> bool {
    stored_checksum(page) == checksum(page)
}

/// Gives it the right one. The last thing that is done to a structure before it is written.
pub fn seal(page: &mut PageBytes) {
    let crc = checksum(page);
    put(page, CRC_AT, &crc.to_le_bytes());
}

#[cfg(test)]
mod tests;
