//! Data pointers: physical region pages and scatter gather lists (Base 2.1, 4.3).
//!
//! PRP: the first entry may begin at any dword and runs to the end of its page; every other begins at a page; only the last may be short.

use crate::Domain;
use doorbell_mem::SgList;
use doorbell_wire_nvme::{Psdt, Sgl, SglDescriptor, Sqe, U64, bytes, view};

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

    pub(super) fn put(self, sqe: &mut Sqe) {
        set_prps(sqe, self.first, self.second);
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

/// Points the command at all of `list`.
#[inline]
pub(super) fn point(sqe: &mut Sqe, list: &SgList, domain: &Domain, how: Pointing, room: ListRoom<'_>) -> Result<(), Refusal> {
    if list.is_empty() {
        sqe.dptr = SglDescriptor::default();
        sqe.flags.set_psdt(Psdt::PRP);
        return Ok(());
    }
    // One buffer within a page or two: the usual case, the same words either way.
    if let [only] = list.segs()
        && let Some(run) = domain.run(only, 0, only.len())
        && run.len == only.len()
        && run.address % 4 == 0
        && u64::from(run.len) <= PAGE - run.address % PAGE + PAGE
    {
        let first = PAGE - run.address % PAGE;
        let second = if u64::from(run.len) > first { run.address + first } else { 0 };
        set_prps(sqe, run.address, second);
        return Ok(());
    }
    match how {
        Pointing::Sgl { dwords } => sgl(sqe, list, domain, dwords, room),
        Pointing::Prp => prp(sqe, list, domain, room),
    }
}

#[inline]
fn set_prps(sqe: &mut Sqe, first: u64, second: u64) {
    let mut both = [0; 16];
    let (low, high) = both.split_at_mut(8);
    low.copy_from_slice(&first.to_le_bytes());
    high.copy_from_slice(&second.to_le_bytes());
    if let Some(pointer) = view::<SglDescriptor>(&both) {
        sqe.dptr = *pointer;
    }
    sqe.flags.set_psdt(Psdt::PRP);
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

fn prp(sqe: &mut Sqe, list: &SgList, domain: &Domain, room: ListRoom<'_>) -> Result<(), Refusal> {
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
    set_prps(sqe, first.unwrap_or(0), second);
    Ok(())
}

fn sgl(sqe: &mut Sqe, list: &SgList, domain: &Domain, dwords: bool, room: ListRoom<'_>) -> Result<(), Refusal> {
    let (mut count, mut single) = (0usize, Sgl::default());
    pieces(list, domain, |addr, len| {
        if dwords && (addr % 4 != 0 || len % 4 != 0) {
            return Err(Refusal::Misaligned);
        }
        single = Sgl::Address { addr, len };
        let descriptor = single.encode();
        let place = room.words.get_mut(count * 2..count * 2 + 2).ok_or(Refusal::TooLong)?;
        for (word, half) in place.iter_mut().zip(bytes(&descriptor).chunks_exact(8)) {
            *word = half.try_into().map_or(0, u64::from_ne_bytes);
        }
        count += 1;
        Ok(())
    })?;
    if count > 1 {
        // At most 2^28 descriptors would fit in the length; the room is far smaller.
        single = Sgl::LastSegment { addr: room.address, len: count as u32 * 16, in_capsule: false };
    }
    sqe.dptr = single.encode();
    sqe.flags.set_psdt(Psdt::SGL_BUFFER);
    Ok(())
}

/// Points the command at its metadata, one contiguous buffer.
#[inline]
pub(super) fn point_meta(sqe: &mut Sqe, meta: &SgList, domain: &Domain) -> Result<(), Refusal> {
    let [only] = meta.segs() else { return Err(Refusal::Misaligned) };
    let run = domain.run(only, 0, only.len()).ok_or(Refusal::Unmapped)?;
    if run.len != only.len() || run.address % 4 != 0 {
        return Err(Refusal::Misaligned);
    }
    sqe.mptr = U64::new(run.address);
    Ok(())
}
