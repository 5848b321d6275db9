//! What a file or device is like: sizes, alignment, abilities, and whether a completed write is durable.

use std::{
    fs, io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    str::FromStr,
};

use rustix::{
    fs::{AtFlags, FallocateFlags, Statx, StatxFlags, fallocate, statx},
    io::Errno,
};

use super::{Handle, Kind, open::Access};

/// What a file or device is like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Geometry {
    /// Its size.
    pub size_bytes: u64,
    /// The unit of addressing: what a device calls its sector; what direct I/O on a file has to keep to; 512 for a buffered file.
    pub logical_block_bytes: u32,
    /// The unit in which writes cost nothing extra.
    pub physical_block_bytes: u32,
    /// What buffers must be aligned to; 1 when buffered.
    pub memory_align_bytes: u32,
    /// What offsets and lengths must be aligned to; 1 when buffered.
    pub offset_align_bytes: u32,
    /// Whether seeks cost: a disk with a head. `None` when nobody says.
    pub rotational: Option<bool>,
    /// Whether `Discard` does something.
    pub discard: bool,
    /// Whether a discarded range reads zeroes.
    pub discard_zeroes: bool,
    /// Whether `WriteZeroes` is cheaper than writing zeroes.
    pub write_zeroes: bool,
    /// Whether a completed write needs `Fdatasync` (or dsync) to survive power loss. False only for a device, used directly, that says
    /// it has no volatile cache.
    pub needs_sync: bool,
    /// A zoned device, whose sequential zones refuse writes elsewhere.
    pub zoned: bool,
    /// A file system in memory: no transfer waits for a device.
    pub in_memory: bool,
}

/// Alignment that every file system and device of today takes.
const SAFE_ALIGN_BYTES: u32 = 4096;

pub(super) fn stat(fd: impl AsFd) -> Result<Statx, Errno> {
    statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | StatxFlags::DIOALIGN)
}

/// Whether the file system takes direct I/O on this file, where it says so; an `O_DIRECT` open may succeed without.
pub(super) fn refuses_direct(stat: &Statx) -> bool {
    stat.stx_mask & StatxFlags::DIOALIGN.bits() != 0 && stat.stx_dio_offset_align == 0
}

pub(super) fn measure(handle: &Handle, stat: &Statx, direct: bool, access: Access) -> io::Result<Geometry> {
    let (major, minor) = match handle.kind {
        Kind::File => (stat.stx_dev_major, stat.stx_dev_minor),
        Kind::Block => (stat.stx_rdev_major, stat.stx_rdev_minor),
    };
    let queue = queue_dir(Path::new("/sys"), major, minor).map(|dir| Queue::read(&dir)).unwrap_or_default();
    let size_bytes = handle.size()?;
    Ok(match handle.kind {
        Kind::File => of_file(handle, stat, direct, access, size_bytes, &queue),
        Kind::Block => of_block(handle, stat, direct, size_bytes, &queue),
    })
}

fn of_file(handle: &Handle, stat: &Statx, direct: bool, access: Access, size_bytes: u64, queue: &Queue) -> Geometry {
    let unknown = || (SAFE_ALIGN_BYTES, queue.logical_block_bytes.unwrap_or(SAFE_ALIGN_BYTES));
    let (memory, offset) = match direct {
        true => stated_alignment(stat).unwrap_or_else(unknown),
        false => (1, 1),
    };
    let punches = access == Access::ReadWrite && can_punch(handle, size_bytes);
    Geometry {
        size_bytes,
        logical_block_bytes: offset.max(512),
        physical_block_bytes: stat.stx_blksize.max(offset).max(512),
        memory_align_bytes: memory,
        offset_align_bytes: offset,
        rotational: queue.rotational,
        discard: punches,
        discard_zeroes: true,
        write_zeroes: punches,
        needs_sync: true,
        zoned: false,
        in_memory: is_in_memory(handle),
    }
}

fn of_block(handle: &Handle, stat: &Statx, direct: bool, size_bytes: u64, queue: &Queue) -> Geometry {
    let asked = || rustix::fs::ioctl_blksszget(handle).ok();
    let logical = queue.logical_block_bytes.or_else(asked).unwrap_or(SAFE_ALIGN_BYTES);
    let physical = queue.physical_block_bytes.or_else(|| rustix::fs::ioctl_blkpbszget(handle).ok()).unwrap_or(logical);
    let unknown = || (queue.dma_align_mask.map_or(SAFE_ALIGN_BYTES, |mask| mask.saturating_add(1)), logical);
    let (memory, offset) = match direct {
        true => stated_alignment(stat).unwrap_or_else(unknown),
        false => (1, 1),
    };
    Geometry {
        size_bytes,
        logical_block_bytes: logical,
        physical_block_bytes: physical,
        memory_align_bytes: memory,
        offset_align_bytes: offset,
        rotational: queue.rotational,
        discard: queue.discard_max_bytes > 0,
        discard_zeroes: false,
        write_zeroes: queue.write_zeroes_max_bytes > 0,
        // Who says nothing is taken to have a cache: a needless flush costs time, a missing one data.
        needs_sync: !direct || queue.write_through != Some(true),
        zoned: queue.zoned,
        in_memory: false,
    }
}

/// What the kernel says of direct I/O (6.1), in bytes: of memory, and of offsets and lengths.
fn stated_alignment(stat: &Statx) -> Option<(u32, u32)> {
    let known = stat.stx_mask & StatxFlags::DIOALIGN.bits() != 0 && stat.stx_dio_offset_align > 0;
    known.then_some((stat.stx_dio_mem_align.max(1), stat.stx_dio_offset_align))
}

/// tmpfs, which may swap as all memory may, and ramfs (linux/magic.h).
fn is_in_memory(handle: &Handle) -> bool {
    const TMPFS: u32 = 0x0102_1994;
    const RAMFS: u32 = 0x8584_58f6;
    // The kernel's word is wider on some architectures; these numbers are not.
    rustix::fs::fstatfs(handle).is_ok_and(|found| [TMPFS, RAMFS].contains(&(found.f_type as u32)))
}

/// Tries to punch a hole beyond the end, where nothing is.
fn can_punch(handle: &Handle, size_bytes: u64) -> bool {
    let beyond = size_bytes.next_multiple_of(u64::from(SAFE_ALIGN_BYTES));
    fallocate(handle, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, beyond, SAFE_ALIGN_BYTES.into()).is_ok()
}

/// What sysfs says of a block device's queue. Absent values: no sysfs, or an older kernel.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    logical_block_bytes: Option<u32>,
    physical_block_bytes: Option<u32>,
    dma_align_mask: Option<u32>,
    rotational: Option<bool>,
    write_through: Option<bool>,
    discard_max_bytes: u64,
    write_zeroes_max_bytes: u64,
    zoned: bool,
}

/// A partition's queue is its disk's.
pub(super) fn queue_dir(sys: &Path, major: u32, minor: u32) -> Option<PathBuf> {
    let device = sys.join(format!("dev/block/{major}:{minor}"));
    [device.join("queue"), device.join("../queue")].into_iter().find(|dir| dir.is_dir())
}

impl Queue {
    pub(super) fn read(dir: &Path) -> Queue {
        let text = |name| fs::read_to_string(dir.join(name)).ok();
        fn number<T: FromStr>(text: Option<String>) -> Option<T> {
            text?.trim().parse().ok()
        }
        Queue {
            logical_block_bytes: number(text("logical_block_size")),
            physical_block_bytes: number(text("physical_block_size")),
            dma_align_mask: number(text("dma_alignment")),
            rotational: number::<u8>(text("rotational")).map(|flag| flag != 0),
            write_through: text("write_cache").map(|cache| cache.trim() == "write through"),
            discard_max_bytes: number(text("discard_max_bytes")).unwrap_or(0),
            write_zeroes_max_bytes: number(text("write_zeroes_max_bytes")).unwrap_or(0),
            zoned: text("zoned").is_some_and(|model| model.trim() != "none"),
        }
    }
}
