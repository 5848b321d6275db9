//! The first message: versions, and limits as JSON text.

use crate::Malformed;
use crate::field::Field;

/// Limits that hold when the version text does not state them (vfio-user, Version).
pub mod limit {
    /// Descriptors in one message (`max_msg_fds`).
    pub const MAX_MSG_FDS: u32 = 1;
    /// Data in one message, in bytes (`max_data_xfer_size`).
    pub const MAX_DATA_XFER_BYTES: u32 = 1 << 20;
    /// Ranges of memory at once (`max_dma_maps`).
    pub const MAX_DMA_MAPS: u32 = 65535;
    /// Page sizes of memory, a set of bits (`pgsizes`).
    pub const PAGE_SIZES: u64 = 4096;
    /// What some clients send in one message whatever the server said.
    pub const FDS_TO_TAKE: usize = 64;
}

/// A version message, of either side (vfio-user, Version).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Version<'a> {
    /// 0.
    pub major: u16,
    /// 1. The server answers the smaller of the two.
    pub minor: u16,
    /// A JSON object, without its final NUL; `None` when there is none, which is legal and means the limits of [`limit`].
    pub text: Option<&'a [u8]>,
}

impl<'a> Version<'a> {
    /// Bytes before the text.
    pub const FIXED: usize = 4;

    /// The version that this crate speaks.
    pub const fn ours(text: &'a [u8]) -> Version<'a> {
        Version { major: 0, minor: 1, text: Some(text) }
    }

    /// Reads a body.
    pub fn decode(body: &'a [u8]) -> Result<Version<'a>, Malformed> {
        let (major, rest) = u16::take(body)?;
        let (minor, rest) = u16::take(rest)?;
        let text = match rest.split_last() {
            None => None,
            // What follows the first NUL is nothing: some senders round their message up.
            Some((0, _)) => rest.split(|b| *b == 0).next(),
            Some(_) => return Err(Malformed::Text),
        };
        Ok(Version { major, minor, text: text.filter(|t| !t.is_empty()) })
    }

    /// The bytes before the text. The text and a NUL follow, if there is one.
    pub fn encode_fixed(&self) -> [u8; 4] {
        let mut out = [0; 4];
        self.minor.put(self.major.put(&mut out));
        out
    }

    /// Bytes of the body.
    pub fn len(&self) -> usize {
        Self::FIXED + self.text.map_or(0, |t| t.len() + 1)
    }

    /// Never: it has two numbers at least.
    pub fn is_empty(&self) -> bool {
        false
    }
}
