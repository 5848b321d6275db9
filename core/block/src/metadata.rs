//! Metadata of blocks, and the protection information in it.

/// Metadata of each block of a device. A request carries it in `Io::meta`, apart from its data, however the device keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Bytes of a block's metadata.
    pub bytes: u16,
    /// Does the device keep it behind each block's data, rather than in a place of its own? Requests never do.
    pub interleaved: bool,
    /// What of it is protection information.
    pub protection: Option<Protection>,
}

/// How blocks are protected. A request without metadata leaves protection information to the device, which makes, checks and strips it; one
/// with metadata brings it, and says by its flags what the device is to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// What the tags mean.
    pub kind: ProtectionType,
    /// What guards the data.
    pub guard: Guard,
    /// Is it in the first bytes of the metadata, rather than in the last?
    pub first: bool,
    /// Bits of the storage tag; the rest of that field is the reference tag.
    pub storage_tag_bits: u8,
}

/// Types of protection information (NVM Command Set 1.1, 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ProtectionType {
    /// The reference tag is the block's number.
    One = 1,
    /// The reference tag is what the request says, and rises with the blocks.
    Two = 2,
    /// The reference tag is the application's.
    Three = 3,
}

/// What guards the data (NVM Command Set 1.1, 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// CRC-16 T10-DIF, in 8 bytes of protection information.
    Crc16,
    /// CRC-32C, in 16 bytes.
    Crc32c,
    /// CRC-64 NVM Express, in 16 bytes.
    Crc64,
}

impl Guard {
    /// Bytes of protection information of a block.
    pub const fn information_bytes(self) -> u16 {
        match self {
            Guard::Crc16 => 8,
            Guard::Crc32c | Guard::Crc64 => 16,
        }
    }
}
