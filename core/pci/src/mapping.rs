//! Registers mapped into this process, watched: those that go away read as all ones.

use crate::Area;
use doorbell_mem::MemError;
use doorbell_mem::guard::{self, Fill, Guard};
use rustix::mm::{MapFlags, ProtFlags};
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

/// A mapping of a device's registers.
struct Registers {
    base: NonNull<u8>,
    len: usize,
    guard: Option<Guard>,
}

// SAFETY: an address range; it is reached through the area that holds it, by volatile accesses.
unsafe impl Send for Registers {}
// SAFETY: as above.
unsafe impl Sync for Registers {}

impl Drop for Registers {
    fn drop(&mut self) {
        // Before it is unmapped: its addresses may be another mapping's a moment later.
        self.guard = None;
        // SAFETY: the mapping is ours, and the area that was reached through it goes with it.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Maps `len` bytes of `fd` from `at`, which are those from `offset` of a BAR. Both are whole pages.
pub(crate) fn area(fd: BorrowedFd<'_>, at: u64, offset: u64, len: u64) -> Result<Area, MemError> {
    let failed = |source| MemError::Map { what: "registers", bytes: len as usize, source };
    // SAFETY: a fresh shared mapping at an address of the kernel's choice touches no memory of ours.
    let p = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len as usize, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, at) };
    let p = p.map_err(|e| failed(e.into()))?;
    let base = NonNull::new(p.cast::<u8>()).ok_or_else(|| failed(std::io::ErrorKind::Other.into()))?;
    let mut mapping = Registers { base, len: len as usize, guard: None };
    // SAFETY: whole pages of one shared mapping, which is unmapped by the drop above, after the guard; registers are never behind references.
    mapping.guard = Some(unsafe { guard::watch(base.as_ptr(), mapping.len, Fill::Ones) }?);
    // SAFETY: mapped for both until `mapping` is dropped, which the area holds; pages are aligned.
    Ok(unsafe { Area::new(offset, len, base, Box::new(mapping)) })
}
