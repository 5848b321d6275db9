//! Masks: which metadata pages, clusters and blob ids are used. A header of five bytes, then the bits; they have no checksum.

use crate::field::u32_at;
use core::fmt;

/// Bytes of the header: the kind (offset 0), the length in bits (offset 1).
pub const MASK_HEADER_LEN: usize = 5;

/// What a mask is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MaskKind {
    /// Metadata pages of chains and extent pages.
    Pages,
    /// Clusters, those of the metadata included.
    Clusters,
    /// Root pages.
    BlobIds,
}

impl MaskKind {
    /// All, in the order in which they are written.
    pub const ALL: [MaskKind; 3] = [MaskKind::Pages, MaskKind::BlobIds, MaskKind::Clusters];

    /// Mask header, offset 0.
    const fn code(self) -> u8 {
        match self {
            MaskKind::Pages => 0,
            MaskKind::Clusters => 1,
            MaskKind::BlobIds => 2,
        }
    }
}

impl fmt::Display for MaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MaskKind::Pages => "the mask of used metadata pages",
            MaskKind::Clusters => "the mask of used clusters",
            MaskKind::BlobIds => "the mask of used blob ids",
        })
    }
}

/// Why a mask is not to be trusted. Whoever meets one makes the masks anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MaskFault {
    /// The header says another kind.
    Kind {
        /// What it should be.
        expected: MaskKind,
        /// What the header says.
        found: u8,
    },
    /// The header says another length than the store has.
    Length {
        /// Which mask.
        kind: MaskKind,
        /// Bits that it should have.
        expected: u32,
        /// Bits that the header says.
        found: u32,
    },
    /// The bytes end before the bits do.
    Short(MaskKind),
}

impl fmt::Display for MaskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { expected, found } => write!(f, "{expected} says that it is of kind {found}"),
            Self::Length { kind, expected, found } => write!(f, "{kind} has {found} bits, and should have {expected}"),
            Self::Short(kind) => write!(f, "{kind} ends before its bits do"),
        }
    }
}

impl core::error::Error for MaskFault {}

/// A mask in the bytes of its pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mask<'a> {
    kind: MaskKind,
    len: u32,
    bits: &'a [u8],
}

impl<'a> Mask<'a> {
    /// Reads the mask at the start of `bytes`, of which `len` bits are expected. The mask of clusters may be longer, as a grow that was
    /// interrupted leaves it: what is too much of it is not looked at.
    pub fn decode(kind: MaskKind, len: u32, bytes: &'a [u8]) -> Result<Mask<'a>, MaskFault> {
        let (header, bits) = bytes.split_at_checked(MASK_HEADER_LEN).ok_or(MaskFault::Short(kind))?;
        let code = header.first().copied().unwrap_or_default();
        if code != kind.code() {
            return Err(MaskFault::Kind { expected: kind, found: code });
        }
        let found = u32_at(header, 1);
        if !(found == len || kind == MaskKind::Clusters && found > len) {
            return Err(MaskFault::Length { kind, expected: len, found });
        }
        let bits = bits.get(..len.div_ceil(8) as usize).ok_or(MaskFault::Short(kind))?;
        Ok(Mask { kind, len, bits })
    }

    /// What it is about.
    pub const fn kind(&self) -> MaskKind {
        self.kind
    }

    /// How many bits it has.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Has it no bits at all?
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Is a bit set? Not one past its end.
    pub fn has(&self, bit: u32) -> bool {
        bit < self.len && self.bits.get(bit as usize / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }

    /// Its bits in words of 64, the lowest first. What lies past its end is clear.
    pub fn words(&self) -> impl Iterator<Item = u64> + use<'a> {
        let len = self.len;
        (0u32..).step_by(64).zip(self.bits.chunks(8)).map(move |(first, bytes)| {
            let mut word = [0; 8];
            word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            let left = len - first;
            u64::from_le_bytes(word) & if left < 64 { (1 << left) - 1 } else { u64::MAX }
        })
    }

    /// The bits that are set, ascending.
    pub fn ones(&self) -> impl Iterator<Item = u32> + use<'a> {
        (0u32..).step_by(64).zip(self.words()).flat_map(|(first, word)| {
            core::iter::successors((word != 0).then_some(word), |left| Some(left & (left - 1)).filter(|left| *left != 0))
                .map(move |left| first + left.trailing_zeros())
        })
    }

    /// How many bits are set.
    pub fn count(&self) -> u32 {
        self.words().map(u64::count_ones).sum()
    }

    /// Is every bit of it set in `other` too? Blob ids have to be among the pages.
    pub fn is_within(&self, other: &Mask<'_>) -> bool {
        self.len <= other.len && self.words().zip(other.words()).all(|(mine, other)| mine & !other == 0)
    }

    /// Are the first `n` bits set? The clusters of the metadata have to be.
    pub fn begins_with_ones(&self, n: u32) -> bool {
        let wanted = |first: u32| if n - first >= 64 { u64::MAX } else { (1 << (n - first)) - 1 };
        n <= self.len
            && (0u32..)
                .step_by(64)
                .take_while(|first| *first < n)
                .zip(self.words())
                .all(|(first, word)| word & wanted(first) == wanted(first))
    }
}

/// Fills `out` with what lies at byte `offset` of the mask's pages: header, the bits of `words` (64 each, the lowest first), then zeroes. A large
/// mask is so written in parts. Bits past `len` are not written.
pub fn mask_part(kind: MaskKind, len: u32, words: &[u64], offset: u64, out: &mut [u8]) {
    let mut header = [0; MASK_HEADER_LEN];
    if let Some((code, length)) = header.split_first_mut() {
        *code = kind.code();
        length.copy_from_slice(&len.to_le_bytes());
    }
    let bit_bytes = u64::from(len.div_ceil(8));
    for (at, byte) in (offset..).zip(out) {
        *byte = match at.checked_sub(MASK_HEADER_LEN as u64) {
            None => header.get(usize::try_from(at).unwrap_or(usize::MAX)).copied().unwrap_or_default(),
            Some(n) if n < bit_bytes => byte_of(words, n) & last_byte(len, n),
            Some(_) => 0,
        };
    }
}

/// Byte `n` of the bits.
fn byte_of(words: &[u64], n: u64) -> u8 {
    let word = usize::try_from(n / 8).ok().and_then(|at| words.get(at)).copied().unwrap_or_default();
    let [byte, ..] = (word >> (n % 8 * 8)).to_le_bytes();
    byte
}

/// The bits of byte `n` that are not past the end.
fn last_byte(len: u32, n: u64) -> u8 {
    let left = u64::from(len) - n * 8;
    if left >= 8 { 0xff } else { (1 << left) - 1 }
}

#[cfg(test)]
mod tests;
