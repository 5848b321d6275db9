//! Commands as values: what a submission queue entry asks for. `parse` never fails: a command or a code that is
//! not known here is a variant of its own. `encode` makes the entry again, without command id, namespace and data
//! pointer (see [`crate::Sqe::with_cid`] and its siblings).
//!
//! Reserved bits are ignored when parsing and zero when encoding.

mod admin;
mod fabrics;
mod io;
mod media;
mod zone;

pub use admin::{Abort, AdminCommand, GetFeatures, GetLogPage, Identify, SetFeatures};
pub use fabrics::{AuthTransfer, Connect, FabricsCommand, PropertyGet, PropertySet};
pub use io::{Copy, DatasetManagement, IoCommand, Protection, ReadWrite, WriteUncorrectable, WriteZeroes};
pub use media::{CommitAction, FirmwareCommit, FirmwareDownload, FormatNvm, Sanitize, SanitizeAction, SecureErase};
pub use zone::{ZoneAppend, ZoneFilter, ZoneReceive, ZoneReceiveAction, ZoneSend, ZoneSendAction};

/// Bits `lo..lo + width` of `word`; `width` below 32.
const fn bits(word: u32, lo: u32, width: u32) -> u32 {
    (word >> lo) & ((1 << width) - 1)
}

/// Bits `lo..lo + 8` of `word`.
const fn byte(word: u32, lo: u32) -> u8 {
    ((word >> lo) & 0xff) as u8
}

/// The low half of `word`.
const fn low(word: u32) -> u16 {
    (word & 0xffff) as u16
}

/// The high half of `word`.
const fn high(word: u32) -> u16 {
    (word >> 16) as u16
}

/// Bit `at` of `word`.
const fn bit(word: u32, at: u32) -> bool {
    (word >> at) & 1 != 0
}

/// Two dwords, low first.
const fn join(lo: u32, hi: u32) -> u64 {
    lo as u64 | ((hi as u64) << 32)
}

/// Low and high dword.
pub(crate) const fn split(value: u64) -> (u32, u32) {
    ((value & 0xffff_ffff) as u32, (value >> 32) as u32)
}

#[cfg(test)]
mod tests;
