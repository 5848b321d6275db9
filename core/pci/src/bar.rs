//! A base address register's range: the parts that are mapped, and the way to the rest.
//!
//! A read of what has gone gives all ones, as the bus does; a write to it is lost.

use crate::PciError;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Access to what cannot be mapped: by system call or by message. May block.
pub trait Trapped: Send + Sync {
    /// Reads 1, 2, 4 or 8 bytes.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), PciError>;
    /// Writes 1, 2, 4 or 8 bytes.
    fn write(&self, offset: u64, from: &[u8]) -> Result<(), PciError>;
}

/// A mapped part of a BAR.
pub struct Area {
    offset: u64,
    len: u64,
    base: NonNull<u8>,
    /// Unmaps, when the area goes.
    _mapping: Box<dyn Send + Sync>,
}

// SAFETY: an address range that outlives the area; it is reached by volatile accesses only.
unsafe impl Send for Area {}
// SAFETY: as above; registers take accesses from any thread.
unsafe impl Sync for Area {}

impl Area {
    /// The part `[offset, offset + len)` of a BAR, mapped at `base`.
    ///
    /// # Safety
    /// The range at `base` is mapped for reading and writing until `mapping` is dropped, aligned to 8 bytes, and nothing here holds
    /// references into it.
    pub unsafe fn new(offset: u64, len: u64, base: NonNull<u8>, mapping: Box<dyn Send + Sync>) -> Area {
        Area { offset, len, base, _mapping: mapping }
    }

    /// A part that is memory of this process: the doorbells of a function which is simulated here, or served by a process that shares
    /// them.
    pub fn of_region(offset: u64, region: Arc<doorbell_mem::Region>) -> Option<Area> {
        let base = NonNull::new(region.base())?;
        // SAFETY: the region stays mapped while it is held, at a page; regions lend references to pools' buffers only, and this one's
        // owner has handed it here.
        Some(unsafe { Area::new(offset, region.len() as u64, base, Box::new(region)) })
    }

    fn at(&self, offset: u64, len: u64) -> Option<NonNull<u8>> {
        let within = offset.checked_sub(self.offset)?;
        let fits = within.checked_add(len)? <= self.len && offset.is_multiple_of(len.min(8));
        // SAFETY: inside of the mapping, just checked.
        fits.then(|| unsafe { self.base.add(within as usize) })
    }
}

/// A BAR.
pub struct Bar {
    len: u64,
    areas: Vec<Area>,
    rest: Option<Box<dyn Trapped>>,
    /// How often its controller was seen to be silent (see [`crate::queue::MemoryQueue::reclaim`]).
    silences: AtomicU64,
}

macro_rules! access {
    ($read:ident, $write:ident, $ty:ty, $bits:literal) => {
        #[doc = concat!("Reads ", $bits, " bits at a multiple of their size; all ones when there is nothing.")]
        pub fn $read(&self, offset: u64) -> $ty {
            if let Some(at) = self.mapped(offset, size_of::<$ty>() as u64) {
                // SAFETY: mapped and aligned.
                return <$ty>::from_le(unsafe { at.cast::<$ty>().read_volatile() });
            }
            let mut bytes = [0xff; size_of::<$ty>()];
            match &self.rest {
                Some(rest) if rest.read(offset, &mut bytes).is_ok() => <$ty>::from_le_bytes(bytes),
                _ => <$ty>::MAX,
            }
        }

        #[doc = concat!("Writes ", $bits, " bits at a multiple of their size.")]
        pub fn $write(&self, offset: u64, value: $ty) {
            if let Some(at) = self.mapped(offset, size_of::<$ty>() as u64) {
                // What was written to memory before is seen before this.
                fence(Ordering::SeqCst);
                // SAFETY: mapped and aligned.
                unsafe { at.cast::<$ty>().write_volatile(value.to_le()) };
            } else if let Some(rest) = &self.rest {
                // A function that has gone takes no writes; what follows finds out.
                let _ = rest.write(offset, &value.to_le_bytes());
            }
        }
    };
}

impl Bar {
    /// A BAR of `len` bytes: mapped `areas`, and `rest` for what lies outside of them.
    pub fn new(len: u64, areas: Vec<Area>, rest: Option<Box<dyn Trapped>>) -> Bar {
        Bar { len, areas, rest, silences: AtomicU64::new(0) }
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where a part that is mapped in one piece is.
    pub(crate) fn mapped(&self, offset: u64, len: u64) -> Option<NonNull<u8>> {
        self.areas.iter().find_map(|area| area.at(offset, len))
    }

    /// Do accesses to `[offset, offset + len)` go straight to memory, without blocking?
    pub fn is_mapped(&self, offset: u64, len: u64) -> bool {
        self.areas.iter().any(|a| offset >= a.offset && offset.checked_add(len).is_some_and(|end| end <= a.offset + a.len))
    }

    access!(read32, write32, u32, "32");
    access!(read64, write64, u64, "64");

    /// A doorbell: a mapped register of 32 bits that one thread writes. `None` where it is not mapped.
    pub fn doorbell(self: &Arc<Self>, offset: u64) -> Option<Doorbell> {
        let at = self.mapped(offset, 4)?.cast();
        Some(Doorbell { at, _bar: self.clone() })
    }

    /// Notes that the NVMe controller behind this BAR 0 does no DMA for commands given to it so far: it says that it is not ready
    /// (CSTS.RDY is 0), or there is nothing there any more. True if so. May block where registers are not mapped.
    ///
    /// Core asks the register itself, because what a device may still write to is handed back on the strength of it.
    pub fn note_silence(&self) -> bool {
        const CSTS: u64 = 0x1c;
        let silent = match (self.mapped(CSTS, 4), &self.rest) {
            (None, Some(rest)) => {
                let mut bytes = [0; 4];
                match rest.read(CSTS, &mut bytes) {
                    Ok(()) => is_silent(u32::from_le_bytes(bytes)),
                    Err(PciError::Gone { .. }) => true,
                    // No answer says nothing about what it does.
                    Err(_) => false,
                }
            }
            _ => is_silent(self.read32(CSTS)),
        };
        if silent {
            self.silences.fetch_add(1, Ordering::SeqCst);
        }
        silent
    }

    /// How often silence was noted.
    pub(crate) fn silences(&self) -> u64 {
        self.silences.load(Ordering::SeqCst)
    }
}

/// Not ready, or not there.
fn is_silent(csts: u32) -> bool {
    const RDY: u32 = 1;
    csts & RDY == 0 || csts == u32::MAX
}

/// A mapped doorbell register.
pub struct Doorbell {
    at: NonNull<u32>,
    _bar: Arc<Bar>,
}

// SAFETY: a register's address; whoever has it writes to it from one thread.
unsafe impl Send for Doorbell {}

impl Doorbell {
    /// Writes it, after everything that was written to memory before.
    #[inline]
    pub fn ring(&self, value: u32) {
        fence(Ordering::Release);
        // SAFETY: mapped, aligned, held by the BAR.
        unsafe { self.at.as_ptr().write_volatile(value.to_le()) }
    }
}

#[cfg(test)]
mod tests;
