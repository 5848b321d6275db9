//! Regions: mappings that pools carve into blocks and that devices map for DMA.
//!
//! Not an allocator. A region never moves and never shrinks; it is unmapped when the last block that lies in it is gone.

mod huge;
mod number;
mod registry;

pub use registry::{RegionObserver, Regions};

use crate::MemError;
use crate::guard::{self, Fill, Guard};
use number::RegionNumber;
use rustix::fd::OwnedFd;
use rustix::mm::{MapFlags, ProtFlags};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

/// Size of a huge page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugeSize {
    /// 2 MiB.
    TwoMiB,
    /// 1 GiB.
    OneGiB,
}

impl HugeSize {
    /// The page size in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            HugeSize::TwoMiB => 2 << 20,
            HugeSize::OneGiB => 1 << 30,
        }
    }
}

/// What a region is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Ordinary pages, touched as they are used.
    Ordinary,
    /// Huge pages, or an error when too few can be had.
    Huge(HugeSize),
    /// Huge pages of 2 MiB when enough can be had, ordinary ones otherwise.
    PreferHuge,
}

/// What we may do with memory of another party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Read it. Who writes it all the same kills the process, so whoever cuts segments of it asks first.
    Read,
    /// Read and write it.
    ReadWrite,
}

/// One mapping. Shared between threads; the bytes are reached only through segments.
pub struct Region {
    base: NonNull<u8>,
    len: usize,
    page: usize,
    memfd: Option<OwnedFd>,
    /// Where in its file it begins.
    file_offset: u64,
    locked: AtomicBool,
    /// A pool lends slices of it.
    pooled: AtomicBool,
    number: RegionNumber,
    /// Watched, since another party can cut its file short.
    guard: Option<Guard>,
}

// SAFETY: a region is an address range; it hands out no references. Who may touch which bytes is the business of the blocks made of it.
unsafe impl Send for Region {}
// SAFETY: as above; the only shared mutable state is two flags.
unsafe impl Sync for Region {}

impl Region {
    /// Maps `len` bytes (rounded up to whole pages), on NUMA node `node` if given.
    pub(crate) fn map(len: usize, backing: Backing, node: Option<u32>) -> Result<Region, MemError> {
        match backing {
            Backing::Ordinary => Self::ordinary(len, node),
            Backing::Huge(size) => Self::huge(len, size, node),
            Backing::PreferHuge => Self::huge(len, HugeSize::TwoMiB, node).or_else(|_| Self::ordinary(len, node)),
        }
    }

    fn ordinary(len: usize, node: Option<u32>) -> Result<Region, MemError> {
        let page = rustix::param::page_size();
        let len = len.next_multiple_of(page);
        let fd = memfd("doorbell", rustix::fs::MemfdFlags::CLOEXEC, len, "memory")?;
        let region = Self::map_fd(fd, 0, len, page, "memory")?;
        region.prefer(node);
        Ok(region)
    }

    /// Every page is there when this returns: a huge page that turns out to be missing at its first touch kills the process.
    fn huge(len: usize, size: HugeSize, node: Option<u32>) -> Result<Region, MemError> {
        use rustix::fs::MemfdFlags as F;
        const WHAT: &str = "huge pages";
        let which = match size {
            HugeSize::TwoMiB => F::HUGE_2MB,
            HugeSize::OneGiB => F::HUGE_1GB,
        };
        let len = len.next_multiple_of(size.bytes());
        let too_few = |error| huge::too_few(len, size, error);
        let fd = memfd("doorbell-huge", F::CLOEXEC | F::HUGETLB | which, len, WHAT).map_err(too_few)?;
        // Reserves: the kernel refuses when the pages that are free and that nobody else reserved do not suffice.
        let region = Self::map_as(fd, 0, len, size.bytes(), WHAT, MapFlags::SHARED).map_err(too_few)?;
        region.prefer(node);
        // A reservation is no promise under a control group's limit or on a restricted node. Touching while it can still be refused is.
        huge::populate(region.base, region.len).map_err(|source| too_few(MemError::Map { what: WHAT, bytes: len, source }))?;
        Ok(region)
    }

    /// A preference: kernels and sandboxes without NUMA refuse it, and then there is only one node anyway.
    fn prefer(&self, node: Option<u32>) {
        if let Some(node) = node {
            let _ = huge::prefer_node(self.base, self.len, node);
        }
    }

    /// Maps `len` bytes of `fd` from `offset`, shared. Nothing is set aside for them: whoever made the file saw to that, or did not.
    pub(crate) fn map_fd(fd: OwnedFd, offset: u64, len: usize, page: usize, what: &'static str) -> Result<Region, MemError> {
        Self::map_as(fd, offset, len, page, what, MapFlags::SHARED | MapFlags::NORESERVE)
    }

    /// Maps memory of another party, who may cut its file short: what is gone then reads as zeroes, and [`Region::is_broken`] tells.
    pub(crate) fn map_foreign(fd: OwnedFd, offset: u64, len: usize, may: Reach) -> Result<Region, MemError> {
        const WHAT: &str = "memory of another process";
        let (page, flags) = (rustix::param::page_size(), MapFlags::SHARED | MapFlags::NORESERVE);
        let prot = if may == Reach::Read { ProtFlags::READ } else { ProtFlags::READ | ProtFlags::WRITE };
        let mut region = Self::map_with(fd, offset, len, page, WHAT, flags, prot)?;
        // SAFETY: a shared mapping of its own, unmapped by the region's drop, which lets go of the guard first; foreign memory is never
        // behind a reference.
        region.guard = Some(unsafe { guard::watch(region.base.as_ptr(), len.next_multiple_of(page), Fill::Zeroes) }?);
        Ok(region)
    }

    /// Was something of it missing when it was touched? Only of memory of another party, whose word is then worth nothing.
    #[inline]
    pub fn is_broken(&self) -> bool {
        self.guard.as_ref().is_some_and(Guard::is_broken)
    }

    fn map_as(fd: OwnedFd, offset: u64, len: usize, page: usize, what: &'static str, flags: MapFlags) -> Result<Region, MemError> {
        Self::map_with(fd, offset, len, page, what, flags, ProtFlags::READ | ProtFlags::WRITE)
    }

    fn map_with(
        fd: OwnedFd,
        offset: u64,
        len: usize,
        page: usize,
        what: &'static str,
        flags: MapFlags,
        prot: ProtFlags,
    ) -> Result<Region, MemError> {
        // SAFETY: a fresh shared mapping at an address of the kernel's choice touches no memory of ours.
        let p = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, prot, flags, &fd, offset) }.map_err(|e| MemError::Map {
            what,
            bytes: len,
            source: e.into(),
        })?;
        let base =
            NonNull::new(p.cast::<u8>()).ok_or_else(|| MemError::Map { what, bytes: len, source: std::io::ErrorKind::Other.into() })?;
        Ok(Region {
            base,
            len,
            page,
            memfd: Some(fd),
            file_offset: offset,
            locked: AtomicBool::new(false),
            pooled: AtomicBool::new(false),
            number: RegionNumber::take(),
            guard: None,
        })
    }

    /// Bytes mapped.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true: there are no empty regions.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Size of the pages it is made of.
    pub fn page_size(&self) -> usize {
        self.page
    }

    /// Its first address, for a device that maps it.
    pub fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// A small number that no other region alive has: where devices keep what they know of it.
    #[inline]
    pub fn number(&self) -> usize {
        self.number.get()
    }

    /// A number that no other region ever had: tells whether what is known under [`Region::number`] is of this one.
    pub fn serial(&self) -> u64 {
        self.number.serial()
    }

    /// The file behind it, to share it with another process.
    pub fn memfd(&self) -> Option<&OwnedFd> {
        self.memfd.as_ref()
    }

    /// Where in that file it begins.
    pub fn file_offset(&self) -> u64 {
        self.file_offset
    }

    /// From now on a pool lends slices of it, so that it cannot be cut into foreign memory as well.
    pub(crate) fn set_pooled(&self) {
        self.pooled.store(true, Ordering::Release);
    }

    pub(crate) fn is_pooled(&self) -> bool {
        self.pooled.load(Ordering::Acquire)
    }

    /// Keeps its pages in memory. Called once a device does DMA into it.
    pub(crate) fn lock(&self) -> Result<(), MemError> {
        if self.locked.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // SAFETY: the range is this region's own mapping.
        let done = unsafe { rustix::mm::mlock(self.base.as_ptr().cast(), self.len) };
        done.map_err(|e| {
            self.locked.store(false, Ordering::Release);
            let limit = huge::memlock_limit();
            MemError::Lock {
                bytes: self.len,
                limit_kib: limit / 1024,
                wanted_kib: (limit + self.len as u64).div_ceil(1024),
                source: e.into(),
            }
        })
    }

    pub(crate) fn at(&self, offset: usize, len: usize) -> Option<NonNull<u8>> {
        let end = offset.checked_add(len)?;
        // SAFETY: the offset lies inside of the mapping, just checked.
        (end <= self.len).then(|| unsafe { self.base.add(offset) })
    }
}

fn memfd(name: &str, flags: rustix::fs::MemfdFlags, len: usize, what: &'static str) -> Result<OwnedFd, MemError> {
    let fail = |e: rustix::io::Errno| MemError::Map { what, bytes: len, source: e.into() };
    let fd = rustix::fs::memfd_create(name, flags).map_err(fail)?;
    rustix::fs::ftruncate(&fd, len as u64).map_err(fail)?;
    Ok(fd)
}

impl Drop for Region {
    fn drop(&mut self) {
        // Before it is unmapped: its addresses may be another mapping's a moment later.
        self.guard = None;
        // SAFETY: the mapping is ours, and every block in it held this region alive, so none is left.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Region").field("base", &self.base).field("len", &self.len).field("page", &self.page).finish()
    }
}

#[cfg(test)]
mod tests;
