//! Reading and writing regions by message.

use crate::Malformed;
use crate::field::fixed;

fixed! {
    /// An access to a region (vfio-user, Region read and Region write). Data follows it in the reply of a read and in the request of a
    /// write; the reply's count says how much was done.
    pub RegionAccess = 16 {
        /// Where in the region.
        offset: u64,
        /// Which region; see [`crate::region`].
        region: u32,
        /// Bytes.
        count: u32,
    }
}

impl RegionAccess {
    /// Reads a body without data.
    pub fn decode(body: &[u8]) -> Result<RegionAccess, Malformed> {
        let (access, _) = Self::split(body)?;
        access.offset.checked_add(access.count.into()).ok_or(Malformed::Range)?;
        Ok(access)
    }

    /// Reads a body with data, which is `count` bytes; what follows them is nobody's.
    pub fn decode_data(body: &[u8]) -> Result<(RegionAccess, &[u8]), Malformed> {
        let (access, rest) = (Self::decode(body)?, body.get(Self::LEN..).ok_or(Malformed::Short)?);
        let count = usize::try_from(access.count).map_err(|_| Malformed::Short)?;
        Ok((access, rest.get(..count).ok_or(Malformed::Short)?))
    }

    /// Does it lie inside of a region of so many bytes?
    pub fn is_within(&self, size: u64) -> bool {
        self.offset.checked_add(self.count.into()).is_some_and(|end| end <= size)
    }
}

fixed! {
    /// One of several writes (vfio-user, Region write multiple).
    pub MultiWrite = 24 {
        /// Where in the region.
        offset: u64,
        /// Which region.
        region: u32,
        /// Bytes, 1 to 8.
        count: u32,
        /// The data, its first byte first.
        data: u64,
    }
}

impl MultiWrite {
    /// What it writes, with the bytes that count.
    pub fn bytes(&self) -> ([u8; 8], usize) {
        (self.data.to_ne_bytes(), usize::try_from(self.count).map_or(8, |n| n.min(8)))
    }
}

/// Several writes in one message (vfio-user, Region write multiple). The reply is the count of those done, 8 bytes. Only for peers that
/// both said `write_multiple`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WriteMulti<'a> {
    entries: &'a [u8],
}

impl<'a> WriteMulti<'a> {
    /// Bytes before the entries: their count.
    pub const FIXED: usize = 8;

    /// Reads a body. Every entry is there and writes 1 to 8 bytes.
    pub fn decode(body: &'a [u8]) -> Result<WriteMulti<'a>, Malformed> {
        let (count, rest) = body.split_first_chunk::<8>().ok_or(Malformed::Short)?;
        let count = usize::try_from(u64::from_ne_bytes(*count)).map_err(|_| Malformed::Short)?;
        let len = count.checked_mul(MultiWrite::LEN).ok_or(Malformed::Short)?;
        let all = WriteMulti { entries: rest.get(..len).ok_or(Malformed::Short)? };
        let fits = |w: MultiWrite| (1..=8).contains(&w.count) && w.offset.checked_add(w.count.into()).is_some();
        if all.iter().all(fits) { Ok(all) } else { Err(Malformed::Range) }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len() / MultiWrite::LEN
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The writes, in order.
    pub fn iter(&self) -> impl Iterator<Item = MultiWrite> + use<'a> {
        self.entries.chunks_exact(MultiWrite::LEN).filter_map(|e| MultiWrite::split(e).ok()).map(|(w, _)| w)
    }
}
