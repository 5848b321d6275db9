//! Protection information: what travels with a block to say that its data is right, and that it is the block that was meant
//! (NVM 1.1, 5.3).
//!
//! It is 8 or 16 bytes of a block's metadata, its first or its last, all numbers big-endian: a guard (a checksum of the data, and of the
//! metadata before it), an application tag, and a field that a storage tag and a reference tag share.
//!
//! What it is not: nothing here knows a command's bits or a device; a driver asks for the tags, a test or a target makes and checks whole
//! blocks. Invariant: a [`Layout`] is one that the specification allows, so that nothing is out of its metadata.

use crate::U32;
use crate::identify::NvmNamespace;
use core::ops::Range;
use crc_fast::{CrcAlgorithm, Digest};

/// What guards the data (NVM 1.1, 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// CRC-16 T10-DIF: 8 bytes of information.
    Crc16,
    /// CRC-32C: 16 bytes.
    Crc32c,
    /// CRC-64 NVM Express: 16 bytes.
    Crc64,
}

/// Types of protection information (NVM 1.1, 5.3.1): what the reference tag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// The block's number.
    One,
    /// What the command says, rising with the blocks.
    Two,
    /// The application's: not checked.
    Three,
}

/// Where the information of a namespace lies, and how its fields are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    guard: Guard,
    kind: Type,
    storage_tag_bits: u8,
    first: bool,
    metadata_bytes: u16,
}

/// The fields of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub struct Information {
    /// Guard, in its low bits.
    pub guard: u64,
    /// Application tag.
    pub application_tag: u16,
    /// Storage tag.
    pub storage_tag: u64,
    /// Reference tag.
    pub reference_tag: u64,
}

/// What is checked of a block; what is `None` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Expected {
    /// The guard, against the data.
    pub guard: bool,
    /// Application tag, and which of its bits count.
    pub application_tag: Option<(u16, u16)>,
    /// Storage tag.
    pub storage_tag: Option<u64>,
    /// Reference tag; in type 3 it is never checked.
    pub reference_tag: Option<u64>,
}

/// What is wrong with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The guard.
    Guard,
    /// The application tag.
    ApplicationTag,
    /// The storage tag or the reference tag: a command ends the same way for both.
    ReferenceTag,
}

impl Guard {
    /// Bytes of information of a block.
    pub const fn information_bytes(self) -> u16 {
        match self {
            Self::Crc16 => 8,
            Self::Crc32c | Self::Crc64 => 16,
        }
    }

    /// Bytes of the guard itself.
    const fn bytes(self) -> usize {
        match self {
            Self::Crc16 => 2,
            Self::Crc32c => 4,
            Self::Crc64 => 8,
        }
    }

    /// Bits that the storage tag and the reference tag share.
    const fn space_bits(self) -> u8 {
        match self {
            Self::Crc16 => 32,
            Self::Crc32c => 80,
            Self::Crc64 => 48,
        }
    }

    /// How few and how many of them may be the storage tag's (NVM 1.1, 4.1.5.3, STS).
    const fn storage_bits(self) -> (u8, u8) {
        match self {
            Self::Crc16 => (0, 32),
            Self::Crc32c => (16, 64),
            Self::Crc64 => (0, 48),
        }
    }

    const fn algorithm(self) -> CrcAlgorithm {
        match self {
            Self::Crc16 => CrcAlgorithm::Crc16T10Dif,
            Self::Crc32c => CrcAlgorithm::Crc32Iscsi,
            Self::Crc64 => CrcAlgorithm::Crc64Nvme,
        }
    }
}

impl Type {
    /// By its number in DPS: 1 to 3.
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            3 => Some(Self::Three),
            _ => None,
        }
    }
}

impl Layout {
    /// `None` where the specification allows no such thing: too little metadata, a storage tag too short or too long.
    pub const fn new(kind: Type, guard: Guard, storage_tag_bits: u8, first: bool, metadata_bytes: u16) -> Option<Self> {
        let (least, most) = guard.storage_bits();
        if metadata_bytes < guard.information_bytes() || storage_tag_bits < least || storage_tag_bits > most {
            return None;
        }
        Some(Self { guard, kind, storage_tag_bits, first, metadata_bytes })
    }

    /// What guards the data.
    pub const fn guard(&self) -> Guard {
        self.guard
    }

    /// What the reference tag is.
    pub const fn kind(&self) -> Type {
        self.kind
    }

    /// Bits of the storage tag.
    pub const fn storage_tag_bits(&self) -> u8 {
        self.storage_tag_bits
    }

    /// Is it in the first bytes of the metadata?
    pub const fn first(&self) -> bool {
        self.first
    }

    /// Is it all of the metadata?
    pub const fn is_whole(&self) -> bool {
        self.metadata_bytes == self.guard.information_bytes()
    }

    /// Where it is in a block's metadata.
    fn place(&self) -> Range<usize> {
        let (all, own) = (usize::from(self.metadata_bytes), usize::from(self.guard.information_bytes()));
        if self.first { 0..own } else { all - own..all }
    }

    /// Bits of the reference tag.
    pub const fn reference_tag_bits(&self) -> u8 {
        self.guard.space_bits() - self.storage_tag_bits
    }

    /// The reference tag of a block with this number: as many of its low bits as there is room for.
    pub const fn reference_tag(&self, lba: u64) -> u64 {
        match self.reference_tag_bits() {
            bits @ 0..64 => lba & ((1 << bits) - 1),
            _ => lba,
        }
    }

    /// The field that storage tag and reference tag share.
    fn space(&self, storage_tag: u64, reference_tag: u64) -> u128 {
        let mask = (1u128 << self.guard.space_bits()) - 1;
        (u128::from(storage_tag) << self.reference_tag_bits() | u128::from(self.reference_tag(reference_tag))) & mask
    }

    /// The same as a command carries it: dword 14, and dwords 2 and 3 (NVM 1.1, 5.3.1.4.1).
    pub fn command_tags(&self, storage_tag: u64, reference_tag: u64) -> (u32, u64) {
        let space = self.space(storage_tag, reference_tag);
        #[allow(clippy::cast_possible_truncation)] // 32 bits at a time
        let dword = |shift: u32| (space >> shift) as u32;
        // Dword 3 is the upper half of the two, and holds what is next to dword 14.
        (dword(0), u64::from(dword(32)) << 32 | u64::from(dword(64)))
    }

    /// The same as a source range of a Copy carries it, in format 1h (NVM 1.1, 3.3.2).
    pub fn range_tags(&self, storage_tag: u64, reference_tag: u64) -> [u8; 10] {
        let [_, _, _, _, _, _, tags @ ..] = self.space(storage_tag, reference_tag).to_be_bytes();
        tags
    }

    /// The guard of a block. `None` when its metadata has another length than the layout's.
    pub fn guard_of<'a>(&self, data: impl IntoIterator<Item = &'a [u8]>, metadata: &[u8]) -> Option<u64> {
        let before = metadata.get(..self.place().start)?;
        let mut digest = Digest::new(self.guard.algorithm());
        data.into_iter().for_each(|piece| digest.update(piece));
        digest.update(before);
        Some(digest.finalize())
    }

    /// The information in a block's metadata. `None` when that is too short.
    #[allow(clippy::cast_possible_truncation)] // each field was cut to its width
    pub fn read(&self, metadata: &[u8]) -> Option<Information> {
        let own = metadata.get(self.place())?;
        let number = |bytes: &[u8]| bytes.iter().fold(0u128, |n, b| n << 8 | u128::from(*b));
        let (guard, rest) = own.split_at_checked(self.guard.bytes())?;
        let (application, space) = rest.split_at_checked(2)?;
        let space = number(space);
        let reference_tag = space & ((1 << self.reference_tag_bits()) - 1);
        Some(Information {
            guard: number(guard) as u64,
            application_tag: number(application) as u16,
            storage_tag: (space >> self.reference_tag_bits()) as u64,
            reference_tag: reference_tag as u64,
        })
    }

    /// Puts information into a block's metadata. False when that is too short.
    pub fn write(&self, metadata: &mut [u8], information: &Information) -> bool {
        let Some(own) = metadata.get_mut(self.place()) else { return false };
        let put = |to: &mut [u8], number: u128| {
            let from = number.to_be_bytes();
            let skip = from.len() - to.len();
            to.iter_mut().zip(from.iter().skip(skip)).for_each(|(to, from)| *to = *from);
        };
        let (guard, rest) = own.split_at_mut(self.guard.bytes());
        let (application, space) = rest.split_at_mut(2);
        put(guard, information.guard.into());
        put(application, information.application_tag.into());
        put(space, self.space(information.storage_tag, information.reference_tag));
        true
    }

    /// Makes a block's information: the guard of what is there, and these tags. False when the metadata is too short.
    pub fn protect<'a>(
        &self,
        data: impl IntoIterator<Item = &'a [u8]>,
        metadata: &mut [u8],
        application_tag: u16,
        storage_tag: u64,
        reference_tag: u64,
    ) -> bool {
        let Some(guard) = self.guard_of(data, metadata) else { return false };
        self.write(metadata, &Information { guard, application_tag, storage_tag, reference_tag })
    }

    /// Checks a block as a controller does (NVM 1.1, 5.3.3): the guard first, the reference tag last, and nothing of a block that says not
    /// to be checked. Metadata that is too short is a bad guard.
    pub fn check<'a>(&self, data: impl IntoIterator<Item = &'a [u8]>, metadata: &[u8], expected: &Expected) -> Result<(), Fault> {
        let found = self.read(metadata).ok_or(Fault::Guard)?;
        if self.is_escaped(&found) {
            return Ok(());
        }
        if expected.guard && self.guard_of(data, metadata) != Some(found.guard) {
            return Err(Fault::Guard);
        }
        if let Some((tag, mask)) = expected.application_tag
            && (tag ^ found.application_tag) & mask != 0
        {
            return Err(Fault::ApplicationTag);
        }
        let storage = expected.storage_tag.is_some_and(|tag| tag != found.storage_tag);
        let reference = expected.reference_tag.is_some_and(|tag| self.reference_tag(tag) != found.reference_tag);
        if storage || (reference && self.kind != Type::Three) {
            return Err(Fault::ReferenceTag);
        }
        Ok(())
    }

    /// Does the block say that it is not to be checked?
    fn is_escaped(&self, found: &Information) -> bool {
        found.application_tag == u16::MAX && (self.kind != Type::Three || found.reference_tag == self.reference_tag(u64::MAX))
    }
}

impl NvmNamespace {
    /// The guard and the bits of the storage tag of an LBA format (ELBAF: NVM 1.1, 4.1.5.3). `None` for a guard that is not known here.
    pub fn extended_format(&self, index: usize) -> Option<(Guard, u8)> {
        let elbaf = self.elbaf.get(index).copied().map_or(0, U32::get);
        let guard = match elbaf >> 7 & 3 {
            0 => Guard::Crc16,
            1 => Guard::Crc32c,
            2 => Guard::Crc64,
            _ => return None,
        };
        Some((guard, (elbaf & 0x7f) as u8))
    }
}

#[cfg(test)]
mod tests;
