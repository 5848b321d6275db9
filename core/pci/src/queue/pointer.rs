//! Data pointers: physical region pages and scatter gather lists (Base 2.1, 4.3).
//!
//! PRP: the first entry may begin at any dword and runs to the end of its page; every other begins at a page; only the last may be short.

use crate::Domain;
use doorbell_mem::SgList;
use doorbell_wire_nvme::{Psdt, Sgl, SglDescriptor, bytes};

/// What the controller can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointing {
    /// Physical region pages alone.
    Prp,
    /// Scatter gather lists where they say it in fewer words, or where pages cannot.
    Sgl {
        /// Addresses and lengths must be multiples of four.
        dwords: bool,
    },
}

/// Why a request was not given to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The ring is full.
    Full,
    /// Its segments do not lie as the device wants them: copied into one buffer, they would.
    Misaligned,
    /// It takes more entries than there is room for: in fewer segments it might not.
    TooLong,
    /// Its memory is not mapped for the device.
    Unmapped,
    /// There is no command for it any more.
    Nothing,
    /// The way to the device carries no such command.
    Uncarried,
}

/// Addresses of whole pages that core made for a device: a ring's, or a pair of shadow pages. The only ones that a command can carry without
/// a segment in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    pub(super) first: u64,
    pub(super) second: u64,
}

impl Pages {
    /// The first address, for a register.
    pub fn address(self) -> u64 {
        self.first
    }

    pub(super) fn pointer(self) -> Pointer {
        Pointer { words: [self.first, self.second], psdt: Psdt::PRP }
    }
}

/// Where the list of one command lies.
pub(super) struct ListRoom<'a> {
    /// The entries, 8 bytes each.
    pub(super) words: &'a mut [u64],
    /// Where the device sees them.
    pub(super) address: u64,
}

/// Bytes of a memory page as the controller was told (CC.MPS 0).
pub(super) const PAGE: u64 = 4096;

/// A command's data pointer: its two words, and what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    pub(super) words: [u64; 2],
    pub(super) psdt: Psdt,
}

/// What points at one buffer within a page or two: the usual case, the same words whatever the controller can read. `None` for all others.
#[inline(always)]
pub(super) fn point_plainly(list: &SgList, domain: &Domain) -> Option<Pointer> {
    let [only] = list.segs() else { return None };
    let (address, len) = (domain.whole(only)?, u64::from(only.len()));
    let first = PAGE - address % PAGE;
    if len == 0 || address % 4 != 0 || len > first + PAGE {
        return None;
    }
    let second = if len > first { address + first } else { 0 };
    Some(Pointer { words: [address, second], psdt: Psdt::PRP })
}

/// What points at all of `list`.
#[inline(never)]
pub(super) fn point(list: &SgList, domain: &Domain, how: Pointing, room: ListRoom<'_>) -> Result<Pointer, Refusal> {
    if list.is_empty() {
        return Ok(Pointer { words: [0; 2], psdt: Psdt::PRP });
    }
    if let Some(pointer) = point_plainly(list, domain) {
        return Ok(pointer);
    }
    match how {
        Pointing::Sgl { dwords } => sgl(list, domain, dwords, room),
        Pointing::Prp => prp(list, domain, room),
    }
}

/// Hands `each` the list as pieces that are contiguous for the device.
fn pieces(list: &SgList, domain: &Domain, mut each: impl FnMut(u64, u32) -> Result<(), Refusal>) -> Result<(), Refusal> {
    for seg in list.segs() {
        let mut at = 0;
        while at < seg.len() {
            let run = domain.run(seg, at, seg.len() - at).ok_or(Refusal::Unmapped)?;
            each(run.address, run.len)?;
            at += run.len;
        }
    }
    Ok(())
}

fn prp(list: &SgList, domain: &Domain, room: ListRoom<'_>) -> Result<Pointer, Refusal> {
    let (mut first, mut count, mut ended) = (None, 0usize, false);
    pieces(list, domain, |mut address, len| {
        let end = address + u64::from(len);
        while address < end {
            if ended {
                return Err(Refusal::Misaligned);
            }
            if first.is_none() {
                if address % 4 != 0 {
                    return Err(Refusal::Misaligned);
                }
                first = Some(address);
            } else {
                if address % PAGE != 0 {
                    return Err(Refusal::Misaligned);
                }
                *room.words.get_mut(count).ok_or(Refusal::TooLong)? = address.to_le();
                count += 1;
            }
            address = (address / PAGE + 1) * PAGE;
        }
        // What does not end with its page can only be the last.
        ended = end % PAGE != 0;
        Ok(())
    })?;
    let second = match (count, room.words.first()) {
        (0, _) => 0,
        (1, Some(only)) => u64::from_le(*only),
        _ => room.address,
    };
    Ok(Pointer { words: [first.unwrap_or(0), second], psdt: Psdt::PRP })
}

fn sgl(list: &SgList, domain: &Domain, dwords: bool, room: ListRoom<'_>) -> Result<Pointer, Refusal> {
    let (mut count, mut single) = (0usize, Sgl::default());
    pieces(list, domain, |addr, len| {
        if dwords && (addr % 4 != 0 || len % 4 != 0) {
            return Err(Refusal::Misaligned);
        }
        single = Sgl::Address { addr, len };
        let place = room.words.get_mut(count * 2..count * 2 + 2).ok_or(Refusal::TooLong)?;
        for (word, half) in place.iter_mut().zip(words(&single.encode())) {
            *word = half.to_le();
        }
        count += 1;
        Ok(())
    })?;
    if count > 1 {
        // At most 2^28 descriptors would fit in the length; the room is far smaller.
        single = Sgl::LastSegment { addr: room.address, len: count as u32 * 16, in_capsule: false };
    }
    Ok(Pointer { words: words(&single.encode()), psdt: Psdt::SGL_BUFFER })
}

fn words(descriptor: &SglDescriptor) -> [u64; 2] {
    let mut words = [0; 2];
    for (word, part) in words.iter_mut().zip(bytes(descriptor).as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*part);
    }
    words
}

/// Where a command's metadata lies: one contiguous buffer.
#[inline(never)]
pub(super) fn metadata(meta: &SgList, domain: &Domain) -> Result<u64, Refusal> {
    let [only] = meta.segs() else { return Err(Refusal::Misaligned) };
    let run = domain.run(only, 0, only.len()).ok_or(Refusal::Unmapped)?;
    if run.len != only.len() || run.address % 4 != 0 {
        return Err(Refusal::Misaligned);
    }
    Ok(run.address)
}
