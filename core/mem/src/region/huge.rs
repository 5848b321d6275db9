//! Huge pages, NUMA nodes and limits: what sysfs and the kernel say of them.

use super::HugeSize;
use crate::MemError;
use std::io;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

fn folder(size: HugeSize) -> PathBuf {
    format!("/sys/kernel/mm/hugepages/hugepages-{}kB", size.bytes() / 1024).into()
}

fn number(folder: &Path, name: &str) -> usize {
    std::fs::read_to_string(folder.join(name)).ok().and_then(|s| s.trim().parse().ok()).unwrap_or(0)
}

/// Pages that are free and that nobody has reserved, as the machine stands.
pub(super) fn free(size: HugeSize) -> usize {
    let folder = folder(size);
    number(&folder, "free_hugepages").saturating_sub(number(&folder, "resv_hugepages"))
}

/// Why a region of huge pages could not be had, with the file to raise where their number is the reason.
pub(super) fn too_few(len: usize, size: HugeSize, refused: MemError) -> MemError {
    let (wanted, free) = (len.div_ceil(size.bytes()), free(size));
    if free >= wanted {
        return refused;
    }
    let (page_kib, sysfs) = (size.bytes() / 1024, folder(size).join("nr_hugepages").display().to_string());
    MemError::HugePages { wanted, free, missing: wanted - free, page_kib, sysfs }
}

/// Puts a page behind every address of a fresh mapping, or says that it cannot be done.
pub(super) fn populate(base: NonNull<u8>, len: usize) -> io::Result<()> {
    loop {
        // SAFETY: the range is a mapping of ours that nobody uses yet; populating it changes no byte.
        if unsafe { libc::madvise(base.as_ptr().cast(), len, libc::MADV_POPULATE_WRITE) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR | libc::EAGAIN) => {}
            // What the first touch would have been killed for.
            Some(libc::EFAULT) => return Err(io::ErrorKind::OutOfMemory.into()),
            Some(libc::EINVAL) => return Err(io::Error::new(io::ErrorKind::Unsupported, "huge pages need Linux 5.14 or newer")),
            _ => return Err(error),
        }
    }
}

/// Asks for a fresh mapping's pages to come from a NUMA node, as long as it has any.
pub(super) fn prefer_node(base: NonNull<u8>, len: usize, node: u32) -> io::Result<()> {
    const MPOL_PREFERRED: libc::c_int = 1;
    let mut mask = [0u64; 16];
    let word = mask.get_mut(node as usize / 64).ok_or(io::ErrorKind::InvalidInput)?;
    *word = 1 << (node % 64);
    // SAFETY: the range is a mapping of ours, and the mask outlives the call.
    let rc = unsafe { libc::syscall(libc::SYS_mbind, base.as_ptr(), len, MPOL_PREFERRED, mask.as_ptr(), 64 * mask.len(), 0) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The soft limit on locked memory, in bytes.
pub(super) fn memlock_limit() -> u64 {
    let mut l = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes one struct of ours.
    let rc = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut l) };
    if rc == 0 { l.rlim_cur } else { 0 }
}
