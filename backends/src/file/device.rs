//! The device: a file that is held, and what it says of itself.

use super::Engine;
use super::bounce::Align;
use super::queue::Queue;
use super::ring::Ring;
use doorbell_block::{BlockDevice, BlockQueue, Cx, DeviceId, DeviceInfo, Op, OpSet, OpenError, ReadAfterUnmap, Shape, Token, WriteCache};
use doorbell_sys::file::{self, Access, Direct, Found, Geometry, Kind, OpenOptions, Target};
use doorbell_sys::helper::Helpers;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whether transfers ask the kernel not to block. Only Linux AIO blocks at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Nowait {
    /// As long as asking helps: a sparse file refuses nearly always.
    #[default]
    Learn,
    /// Every time. For block devices.
    Always,
}

/// Which file, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// The file or block device.
    pub path: PathBuf,
    /// Bytes of a block; what the device or direct I/O wants when not given.
    pub block_bytes: Option<u32>,
    /// Makes a file of this size if there is none, and grows one that is smaller.
    pub create_bytes: Option<u64>,
    /// Refuses writes, and shares the file with other readers.
    pub read_only: bool,
    /// Bypasses the page cache or not.
    pub direct: Direct,
    /// Takes it although somebody else has it.
    pub force: bool,
    /// Offers unmap and write zeroes, where the file or device can.
    pub unmap: bool,
    /// Asks the kernel not to block.
    pub nowait: Nowait,
}

impl FileOptions {
    /// As one would want it: direct, writable, with unmap.
    pub fn new(path: impl Into<PathBuf>) -> FileOptions {
        FileOptions {
            path: path.into(),
            block_bytes: None,
            create_bytes: None,
            read_only: false,
            direct: Direct::Prefer,
            force: false,
            unmap: true,
            nowait: Nowait::Learn,
        }
    }
}

/// Why there is no device.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be opened or held.
    #[error("{0}{hint}", hint = forced(.0))]
    Open(#[from] file::OpenError),
    /// Its size could not be read.
    #[error("cannot measure {path}: {error}", path = .path.display())]
    Size {
        /// Which file.
        path: PathBuf,
        /// The kernel's answer.
        error: io::Error,
    },
    /// No such block size.
    #[error("blocks of {0} bytes: it must be a power of two from 512 to 1048576")]
    BlockSize(u32),
    /// Smaller than what can be transferred.
    #[error("blocks of {asked} bytes are smaller than the {least} that {path} takes", path = .path.display())]
    BlockTooSmall {
        /// Which file.
        path: PathBuf,
        /// What was asked for.
        asked: u32,
        /// What would do.
        least: u32,
    },
    /// No whole number of blocks, or none.
    #[error("{path} has {bytes} bytes: not one or more whole blocks of {block_bytes}", path = .path.display())]
    NotBlocks {
        /// Which file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// Bytes of a block.
        block_bytes: u32,
    },
    /// Sequential zones refuse writes elsewhere.
    #[error("{path} is a zoned device, which this back end cannot serve", path = .0.display())]
    Zoned(PathBuf),
    /// Always asking is for block devices.
    #[error("{path} is a regular file: it would refuse nearly every request that may not block", path = .0.display())]
    NowaitOnFile(PathBuf),
}

/// What to type where force would help.
fn forced(error: &file::OpenError) -> String {
    match error {
        file::OpenError::Busy { path, .. } | file::OpenError::NoLock { path, .. } => {
            format!(" (`--file {},force`, or \"force\": true in the call)", path.display())
        }
        _ => String::new(),
    }
}

impl FileError {
    /// The errno that comes nearest.
    pub fn errno(&self) -> i32 {
        use rustix::io::Errno;
        let known = |error: &io::Error| error.raw_os_error().unwrap_or(Errno::IO.raw_os_error());
        match self {
            FileError::Open(file::OpenError::Io { error, .. }) | FileError::Size { error, .. } => known(error),
            FileError::Open(file::OpenError::NoLock { error, .. }) => known(error),
            FileError::Open(file::OpenError::NotFound(_)) => Errno::NOENT.raw_os_error(),
            FileError::Open(file::OpenError::NotStorage(_)) => Errno::NOTBLK.raw_os_error(),
            FileError::Open(file::OpenError::Busy { .. }) => Errno::BUSY.raw_os_error(),
            _ => Errno::INVAL.raw_os_error(),
        }
    }
}

/// What rings and queues need to know of the file.
pub(super) struct Medium {
    pub(super) shape: Arc<Shape>,
    pub(super) helpers: Helpers,
    pub(super) align: Align,
    pub(super) needs_sync: bool,
    /// Discarded ranges read zeroes.
    pub(super) zeroes: bool,
    pub(super) nowait: Nowait,
    /// Nothing waits for a device: no transfer need ask the kernel not to block.
    pub(super) in_memory: bool,
}

/// A file or block device behind a kernel ring of kind `E`.
pub(crate) struct FileDevice<E: Engine> {
    id: DeviceId,
    target: Arc<Target>,
    medium: Arc<Medium>,
    choice: E::Choice,
    path: PathBuf,
}

impl<E: Engine> FileDevice<E> {
    /// Opens and holds it. May block: not for reactors.
    pub(crate) fn open(options: &FileOptions, helpers: &Helpers, choice: E::Choice) -> Result<FileDevice<E>, FileError> {
        let path = options.path.clone();
        let how = OpenOptions {
            access: if options.read_only { Access::ReadOnly } else { Access::ReadWrite },
            direct: options.direct,
            create_bytes: options.create_bytes,
            force: options.force,
        };
        let target = Target::open(&path, &how)?;
        let info = match usable(&target, options) {
            Ok(info) => info,
            Err(error) => {
                if !options.force {
                    target.undo(&path);
                }
                return Err(error);
            }
        };
        let (found, geometry) = (target.found(), target.geometry());
        match found {
            Found::AsItIs => {}
            Found::Made => tracing::info!(path = %path.display(), bytes = geometry.size_bytes, "made"),
            Found::Smaller { bytes } => tracing::info!(path = %path.display(), from = bytes, to = geometry.size_bytes, "grown"),
        }
        if options.force {
            tracing::warn!(path = %path.display(), "taken by force: whoever else writes it destroys what is on it");
        }
        if !target.is_direct() && options.direct == Direct::Prefer {
            tracing::warn!(path = %path.display(), "takes no direct I/O: it is read and written through the page cache, and flushed when asked");
        }
        let medium = Medium {
            shape: Shape::new(info),
            helpers: helpers.clone(),
            align: Align { address: geometry.memory_align_bytes, length: geometry.offset_align_bytes },
            needs_sync: geometry.needs_sync,
            zeroes: geometry.discard_zeroes,
            nowait: options.nowait,
            in_memory: geometry.in_memory,
        };
        Ok(FileDevice { id: DeviceId::new(), target: Arc::new(target), medium: Arc::new(medium), choice, path })
    }

    /// Which file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the page cache is bypassed.
    pub(crate) fn is_direct(&self) -> bool {
        self.target.is_direct()
    }

    /// Looks at the file's size again. True if it has changed; whole blocks count.
    pub(crate) fn rescan(&self) -> io::Result<bool> {
        let shape = &self.medium.shape;
        let blocks = self.target.current_size()? >> shape.shift();
        let changed = blocks != shape.blocks();
        if changed {
            shape.resize(blocks);
        }
        Ok(changed)
    }
}

/// What it can be served as, if at all.
fn usable(target: &Target, options: &FileOptions) -> Result<DeviceInfo, FileError> {
    let path = &options.path;
    if target.geometry().zoned {
        return Err(FileError::Zoned(path.clone()));
    }
    if options.nowait == Nowait::Always && target.kind() == Kind::File {
        return Err(FileError::NowaitOnFile(path.clone()));
    }
    describe(path, options, target.geometry())
}

fn describe(path: &Path, options: &FileOptions, geometry: &Geometry) -> Result<DeviceInfo, FileError> {
    let least = geometry.logical_block_bytes.max(geometry.offset_align_bytes);
    let block_bytes = options.block_bytes.unwrap_or(least);
    if !block_bytes.is_power_of_two() || !(512..=1 << 20).contains(&block_bytes) {
        return Err(FileError::BlockSize(block_bytes));
    }
    if block_bytes < least {
        return Err(FileError::BlockTooSmall { path: path.to_owned(), asked: block_bytes, least });
    }
    let bytes = geometry.size_bytes;
    if bytes == 0 || !bytes.is_multiple_of(block_bytes.into()) {
        return Err(FileError::NotBlocks { path: path.to_owned(), bytes, block_bytes });
    }
    let shift = block_bytes.trailing_zeros() as u8;
    let in_blocks = |bytes: u32| (bytes >> shift).max(1);
    let mut info = DeviceInfo::plain(shift, bytes >> shift);
    info.ops = OpSet::of(&[Op::Read, Op::Write, Op::Flush, Op::Reset]);
    if options.unmap && geometry.discard {
        info.ops = info.ops.with(Op::Unmap);
    }
    if options.unmap && geometry.write_zeroes {
        info.ops = info.ops.with(Op::WriteZeroes);
    }
    info.physical_block_bytes = geometry.physical_block_bytes.max(block_bytes);
    info.preferred.write_granularity = in_blocks(geometry.physical_block_bytes);
    info.preferred.unmap_granularity = in_blocks(geometry.physical_block_bytes);
    info.fua = true;
    info.write_cache = if geometry.needs_sync { WriteCache::Volatile } else { WriteCache::WriteThrough };
    info.read_only = options.read_only;
    info.read_after_unmap = if geometry.discard_zeroes { ReadAfterUnmap::Zeroes } else { ReadAfterUnmap::Undefined };
    info.limits.segments = SEGMENTS;
    info.limits.align_bytes = geometry.memory_align_bytes.max(geometry.offset_align_bytes);
    info.rotational = geometry.rotational.unwrap_or(false);
    Ok(info)
}

/// Segments of one system call (UIO_MAXIOV).
const SEGMENTS: u16 = 1024;

impl<E: Engine> BlockDevice for FileDevice<E> {
    fn info(&self) -> Arc<DeviceInfo> {
        self.medium.shape.info()
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        let ring = cx.local_source(self.id, |cx| Ring::<E>::open(cx, &self.target, &self.medium, self.choice))?;
        let id = ring.borrow_mut().join(&self.target, who, depth);
        let ready = Vec::with_capacity(depth as usize);
        Ok(Box::new(Queue { who, id, ring, medium: self.medium.clone(), ready }))
    }
}
