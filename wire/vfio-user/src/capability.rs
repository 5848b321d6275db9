//! Capabilities of a region: a chain behind its structure. One kind is in use, which says what parts can be mapped.

use crate::field::fixed;
use crate::{Malformed, RegionInfo};

/// The kind that says which areas of a region can be mapped (vfio-user, Region capabilities).
pub const SPARSE_MMAP: u16 = 1;

fixed! {
    /// What every capability begins with (vfio-user, Region capabilities).
    pub(crate) CapabilityHeader = 8 {
        /// Kind.
        id: u16,
        /// Version of that kind.
        version: u16,
        /// Where the next begins, from the start of the region's structure; 0 for none.
        next: u32,
    }
}

fixed! {
    /// A part of a region that can be mapped. It lies in the descriptor's file at the region's offset and this one added up.
    pub Area = 16 {
        /// Where in the region.
        offset: u64,
        /// Bytes.
        size: u64,
    }
}

fixed! {
    /// What stands between a sparse capability's header and its areas.
    pub(crate) Areas = 8 {
        /// How many areas.
        count: u32,
        /// 0.
        reserved: u32,
    }
}

/// The areas of a region that can be mapped (vfio-user, Region capabilities: sparse mmap).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SparseMmap<'a> {
    areas: &'a [u8],
}

impl<'a> SparseMmap<'a> {
    /// Reads it, from behind its capability's header.
    fn decode(bytes: &'a [u8]) -> Result<SparseMmap<'a>, Malformed> {
        let (head, rest) = Areas::split(bytes)?;
        let len = usize::try_from(head.count).ok().and_then(|n| n.checked_mul(Area::LEN)).ok_or(Malformed::Short)?;
        let all = SparseMmap { areas: rest.get(..len).ok_or(Malformed::Short)? };
        if all.iter().all(|a| a.offset.checked_add(a.size).is_some()) { Ok(all) } else { Err(Malformed::Range) }
    }

    /// The areas, in the order in which they were told.
    pub fn iter(&self) -> impl Iterator<Item = Area> + use<'a> {
        self.areas.chunks_exact(Area::LEN).filter_map(|a| Area::split(a).ok()).map(|(a, _)| a)
    }

    /// Writes the capability, the last of its chain, behind a region's structure: the bytes used, or `None` when `out` is too small.
    pub fn encode(areas: &[Area], out: &mut [u8]) -> Option<usize> {
        let count = u32::try_from(areas.len()).ok()?;
        let len = sparse_len(areas.len())?;
        let (head, rest) = out.get_mut(..len)?.split_at_mut_checked(CapabilityHeader::LEN)?;
        head.copy_from_slice(&CapabilityHeader { id: SPARSE_MMAP, version: 1, next: 0 }.encode());
        let (head, rest) = rest.split_at_mut_checked(Areas::LEN)?;
        head.copy_from_slice(&Areas { count, reserved: 0 }.encode());
        for (area, to) in areas.iter().zip(rest.chunks_exact_mut(Area::LEN)) {
            to.copy_from_slice(&area.encode());
        }
        Some(len)
    }
}

/// Bytes of a sparse capability with so many areas.
pub const fn sparse_len(areas: usize) -> Option<usize> {
    match areas.checked_mul(Area::LEN) {
        Some(n) => n.checked_add(CapabilityHeader::LEN + Areas::LEN),
        None => None,
    }
}

/// A capability.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Capability<'a> {
    /// What can be mapped.
    SparseMmap(SparseMmap<'a>),
    /// One of another kind, of which nothing is known.
    Other(u16),
}

/// The chain of a region's capabilities. Each lies behind the one before it, so it ends.
#[derive(Clone, Debug)]
pub struct Capabilities<'a> {
    body: &'a [u8],
    next: u32,
    /// The next one begins here at the earliest.
    least: u32,
}

impl<'a> Capabilities<'a> {
    pub(crate) fn new(body: &'a [u8], first: u32) -> Capabilities<'a> {
        const LEAST: u32 = 32;
        const _: () = assert!(RegionInfo::LEN == 32);
        Capabilities { body, next: first, least: LEAST }
    }

    fn read(&self) -> Result<(Capability<'a>, u32), Malformed> {
        if self.next < self.least {
            return Err(Malformed::Chain);
        }
        let at = usize::try_from(self.next).map_err(|_| Malformed::Chain)?;
        let (head, rest) = CapabilityHeader::split(self.body.get(at..).ok_or(Malformed::Chain)?)?;
        let found = if head.id == SPARSE_MMAP { Capability::SparseMmap(SparseMmap::decode(rest)?) } else { Capability::Other(head.id) };
        Ok((found, head.next))
    }
}

impl<'a> Iterator for Capabilities<'a> {
    type Item = Result<Capability<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == 0 {
            return None;
        }
        match self.read() {
            Ok((found, next)) => {
                self.least = self.next.saturating_add(8);
                self.next = next;
                Some(Ok(found))
            }
            Err(e) => {
                self.next = 0;
                Some(Err(e))
            }
        }
    }
}
