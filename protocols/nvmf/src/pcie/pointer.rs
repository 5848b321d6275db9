//! Data pointers: from PRPs and SGLs to segments of the host's memory (Base 2.1, 4.3).
//!
//! Lists are read piece by piece into memory of ours before they are looked at. Each piece but the last has to bring the transfer on, and
//! their number is bounded by the length of the transfer, so a list that leads in circles ends.

use super::memory::Memory;
use doorbell_mem::SgList;
use doorbell_wire_nvme::{Psdt, Sgl, SglDescriptor, Sqe, Status, bytes, view};

/// Bytes of a memory page: the only size that CAP offers.
pub(super) const PAGE: u32 = 4096;
const ENTRIES: usize = 512;
/// Descriptors of one SGL at most.
const DESCRIPTORS_MAX: usize = 4096;

/// Which way data goes, and where it is gathered.
pub(super) struct Gather<'a> {
    memory: &'a Memory,
    /// Does the device write the host's memory?
    to_write: bool,
    sg: &'a mut SgList,
    /// What has been found and is not in the list yet: pieces that follow each other are one.
    run: (u64, u32),
}

impl<'a> Gather<'a> {
    pub(super) fn new(memory: &'a Memory, to_write: bool, sg: &'a mut SgList) -> Gather<'a> {
        Gather { memory, to_write, sg, run: (0, 0) }
    }

    fn add(&mut self, address: u64, len: u32) -> Result<(), Status> {
        let (start, so_far) = self.run;
        if so_far > 0 && start.wrapping_add(so_far.into()) == address {
            self.run.1 = so_far + len;
            return Ok(());
        }
        self.finish()?;
        self.run = (address, len);
        Ok(())
    }

    #[inline]
    fn finish(&mut self) -> Result<(), Status> {
        let (start, len) = self.run;
        if self.memory.gather(start, len, self.to_write, self.sg) { Ok(()) } else { Err(Status::DATA_TRANSFER_ERROR.dnr()) }
    }

    /// Gathers `len` bytes where a command says that they are. `loose`: an SGL may be longer than that.
    #[inline(always)]
    pub(super) fn all(self, sqe: &Sqe, len: u32, loose: bool) -> Result<(), Status> {
        // One page, or two that follow each other.
        if sqe.flags.psdt() == Psdt::PRP
            && let Some((one, two)) = prps(sqe)
            && one & 3 == 0
            && let first = PAGE - in_page(one)
            && (len <= first || len - first <= PAGE && one.wrapping_add(first.into()) == two)
        {
            return Gather { run: (one, len), ..self }.finish();
        }
        self.any(sqe, len, loose)
    }

    #[inline(never)]
    fn any(mut self, sqe: &Sqe, len: u32, loose: bool) -> Result<(), Status> {
        match sqe.flags.psdt() {
            Psdt::PRP => {
                let (one, two) = prps(sqe).ok_or(Status::INTERNAL_ERROR)?;
                self.prps(one, two, len)?;
            }
            Psdt::SGL_BUFFER | Psdt::SGL_SGL => self.sgl(sqe.sgl(), len, loose)?,
            _ => return Err(Status::INVALID_FIELD.dnr()),
        }
        self.finish()
    }

    fn prps(&mut self, one: u64, two: u64, len: u32) -> Result<(), Status> {
        if one & 3 != 0 {
            return Err(Status::PRP_OFFSET_INVALID.dnr());
        }
        let first = len.min(PAGE - in_page(one));
        // The first piece: there is nothing yet that it could go on from.
        self.run = (one, first);
        match len - first {
            0 => Ok(()),
            rest if rest <= PAGE => self.page(two, rest),
            rest => self.prp_list(two, rest),
        }
    }

    fn page(&mut self, address: u64, len: u32) -> Result<(), Status> {
        if in_page(address) != 0 {
            return Err(Status::PRP_OFFSET_INVALID.dnr());
        }
        self.add(address, len)
    }

    fn prp_list(&mut self, mut list: u64, mut rest: u32) -> Result<(), Status> {
        // The first list may begin anywhere in its page, on a quadword; those that follow begin at theirs (Base 2.1, 4.3.1).
        if list & 7 != 0 {
            return Err(Status::PRP_OFFSET_INVALID.dnr());
        }
        loop {
            let room = ((PAGE - in_page(list)) / 8) as usize;
            let need = rest.div_ceil(PAGE) as usize;
            let count = need.min(room).min(ENTRIES);
            let mut raw = [0u8; ENTRIES * 8];
            let entries = raw.get_mut(..count * 8).unwrap_or_default();
            if !self.memory.read(list, entries) {
                return Err(Status::DATA_TRANSFER_ERROR.dnr());
            }
            let chained = need > room;
            let pages = if chained { count - 1 } else { count };
            for entry in entries.chunks_exact(8).take(pages) {
                let len = rest.min(PAGE);
                self.page(word(entry, 0), len)?;
                rest -= len;
            }
            if !chained {
                return Ok(());
            }
            list = word(entries, (count - 1) * 8);
            if in_page(list) != 0 {
                return Err(Status::PRP_OFFSET_INVALID.dnr());
            }
        }
    }

    fn sgl(&mut self, first: Sgl, len: u32, loose: bool) -> Result<(), Status> {
        let mut left = len;
        let mut seen = 0;
        let mut next = match first {
            Sgl::Address { .. } => {
                self.block(first, &mut left, loose)?;
                None
            }
            Sgl::Segment { addr, len, in_capsule: false } => Some((addr, len, false)),
            Sgl::LastSegment { addr, len, in_capsule: false } => Some((addr, len, true)),
            _ => return Err(Status::SGL_TYPE_INVALID.dnr()),
        };
        while let Some((at, bytes, is_last)) = next.take() {
            let count = bytes as usize / 16;
            if bytes == 0 || !bytes.is_multiple_of(16) {
                return Err(Status::INVALID_SGL_SEGMENT.dnr());
            }
            seen += count;
            if seen > DESCRIPTORS_MAX {
                return Err(Status::INVALID_SGL_COUNT.dnr());
            }
            next = self.segment(at, count, is_last, &mut left, loose)?;
        }
        if left > 0 { Err(Status::DATA_SGL_LENGTH_INVALID.dnr()) } else { Ok(()) }
    }

    /// One segment of an SGL; gives the one that follows it.
    fn segment(&mut self, at: u64, count: usize, is_last: bool, left: &mut u32, loose: bool) -> Result<Option<(u64, u32, bool)>, Status> {
        let mut done = 0;
        while done < count {
            let mut raw = [0u8; 32 * 16];
            let some = (count - done).min(32);
            let part = raw.get_mut(..some * 16).unwrap_or_default();
            if !self.memory.read(at.wrapping_add(16 * done as u64), part) {
                return Err(Status::DATA_TRANSFER_ERROR.dnr());
            }
            for d in part.chunks_exact(16) {
                done += 1;
                let Some(found) = view::<SglDescriptor>(d).map(|d| d.parse()) else { return Err(Status::INTERNAL_ERROR) };
                match found {
                    Sgl::Address { .. } => self.block(found, left, loose)?,
                    // A segment ends with the descriptor of the next one, and with nothing else (Base 2.1, 4.3.2).
                    Sgl::Segment { addr, len, in_capsule: false } if !is_last && done == count => return Ok(Some((addr, len, false))),
                    Sgl::LastSegment { addr, len, in_capsule: false } if !is_last && done == count => return Ok(Some((addr, len, true))),
                    Sgl::Segment { .. } | Sgl::LastSegment { .. } => return Err(Status::INVALID_SGL_SEGMENT.dnr()),
                    _ => return Err(Status::SGL_TYPE_INVALID.dnr()),
                }
            }
        }
        // Every segment but the last leads on.
        if is_last { Ok(None) } else { Err(Status::INVALID_SGL_SEGMENT.dnr()) }
    }

    fn block(&mut self, block: Sgl, left: &mut u32, loose: bool) -> Result<(), Status> {
        let Sgl::Address { addr, len } = block else { return Err(Status::SGL_TYPE_INVALID.dnr()) };
        if len > *left && !loose {
            return Err(Status::DATA_SGL_LENGTH_INVALID.dnr());
        }
        let len = len.min(*left);
        *left -= len;
        if len > 0 { self.add(addr, len) } else { Ok(()) }
    }
}

/// The two PRP entries of a command.
#[inline]
fn prps(sqe: &Sqe) -> Option<(u64, u64)> {
    let pointer: &[u8; 16] = bytes(&sqe.dptr).first_chunk()?;
    Some((word(pointer, 0), word(pointer, 8)))
}

#[inline]
fn in_page(address: u64) -> u32 {
    // Below 4,096.
    u32::try_from(address & u64::from(PAGE - 1)).unwrap_or(0)
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}
