//! Huge pages, NUMA nodes and limits: what sysfs and the kernel say of them.

use super::HugeSize;
use crate::MemError;
use std::path::PathBuf;
use std::ptr::NonNull;

fn folder(size: HugeSize, node: Option<u32>) -> PathBuf {
    let kib = size.bytes() / 1024;
    match node {
        Some(n) => format!("/sys/devices/system/node/node{n}/hugepages/hugepages-{kib}kB").into(),
        None => format!("/sys/kernel/mm/hugepages/hugepages-{kib}kB").into(),
    }
}

fn number(path: PathBuf) -> usize {
    std::fs::read_to_string(path).ok().and_then(|s| s.trim().parse().ok()).unwrap_or(0)
}

/// Are enough huge pages free that nobody else has reserved? Mapping more would succeed and kill a neighbour at its first touch.
pub(super) fn check_free(len: usize, size: HugeSize, node: Option<u32>) -> Result<(), MemError> {
    let wanted = len.div_ceil(size.bytes());
    let dir = folder(size, node);
    // A node's folder does not say what is reserved; the machine's does.
    let reserved = number(folder(size, None).join("resv_hugepages"));
    let free = number(dir.join("free_hugepages")).saturating_sub(reserved);
    if free >= wanted {
        return Ok(());
    }
    Err(MemError::HugePages {
        wanted,
        free,
        missing: wanted - free,
        page_kib: size.bytes() / 1024,
        sysfs: dir.join("nr_hugepages").display().to_string(),
    })
}

/// Asks for a fresh mapping's pages to come from a NUMA node, as long as it has any.
pub(super) fn prefer_node(base: NonNull<u8>, len: usize, node: u32) -> std::io::Result<()> {
    const MPOL_PREFERRED: libc::c_int = 1;
    let mut mask = [0u64; 16];
    let word = mask.get_mut(node as usize / 64).ok_or(std::io::ErrorKind::InvalidInput)?;
    *word = 1 << (node % 64);
    // SAFETY: the range is a mapping of ours, and the mask outlives the call.
    let rc = unsafe { libc::syscall(libc::SYS_mbind, base.as_ptr(), len, MPOL_PREFERRED, mask.as_ptr(), 64 * mask.len(), 0) };
    if rc == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// The soft limit on locked memory, in bytes.
pub(super) fn memlock_limit() -> u64 {
    let mut l = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes one struct of ours.
    let rc = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut l) };
    if rc == 0 { l.rlim_cur } else { 0 }
}
