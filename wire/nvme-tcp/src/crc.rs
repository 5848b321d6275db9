//! CRC-32C, the header and data digest (TCP 1.1, 3.3.1.1), computed piece by piece.

use crc_fast::{CrcAlgorithm, Digest};

/// A CRC-32C under way. Payload is never contiguous: feed it segment by segment, in order.
///
/// ```
/// use doorbell_wire_nvme_tcp::Crc32c;
/// let mut crc = Crc32c::new();
/// crc.update(b"1234");
/// crc.update(b"56789");
/// assert_eq!(crc.finish(), 0xe306_9283);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc32c {
    state: u32,
}

impl Crc32c {
    /// Of nothing yet.
    pub const fn new() -> Self {
        Self { state: !0 }
    }

    /// Goes on from the CRC of what came before, as some other code computed it ([`Crc32c::finish`] gives it back).
    pub const fn resume(crc: u32) -> Self {
        Self { state: !crc }
    }

    /// Of the whole of `bytes`.
    #[inline]
    pub fn of(bytes: &[u8]) -> u32 {
        crc_fast::crc32_iscsi(bytes)
    }

    /// Takes the next bytes.
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        if self.state == !0 {
            // The short way, which spares the crate's general digest object: most payloads are one segment.
            self.state = !crc_fast::crc32_iscsi(bytes);
            return;
        }
        let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(self.state));
        digest.update(bytes);
        // The state of a 32-bit CRC fits.
        self.state = (digest.get_state() & 0xffff_ffff) as u32;
    }

    /// The digest of everything so far.
    pub const fn finish(self) -> u32 {
        !self.state
    }

    /// The digest as it travels.
    pub const fn to_bytes(self) -> [u8; DIGEST_LEN] {
        self.finish().to_le_bytes()
    }

    /// Whether the digest that came with the data is this one.
    pub const fn matches(self, received: [u8; DIGEST_LEN]) -> bool {
        self.finish() == u32::from_le_bytes(received)
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes of a header or data digest.
pub const DIGEST_LEN: usize = 4;
