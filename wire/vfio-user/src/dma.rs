//! Memory of the client: what the device may reach, and messages that carry its bytes.

use crate::Malformed;
use crate::field::{fits, fixed, flags};

flags! {
    /// What a device may do with a range (vfio-user, DMA map).
    DmaMapFlags: u32 {
        /// The device may read it.
        READ = 1,
        /// The device may write it.
        WRITE = 2,
        /// Its descriptor may be mapped.
        MAPPABLE = 4,
        /// Its descriptor may be read and written (newer text).
        FILE_IO = 8,
    }
}

fixed! {
    /// Makes memory known (vfio-user, DMA map). A descriptor may come with it; without, the range is reached by messages only.
    pub DmaMap = 32 {
        /// Bytes of this structure.
        argsz: u32,
        /// What is allowed.
        flags: DmaMapFlags,
        /// Where the range begins in the descriptor's file.
        offset: u64,
        /// Its first I/O address.
        address: u64,
        /// Its bytes.
        size: u64,
    }
}

impl DmaMap {
    /// Reads a body. The range is one byte at least and does not wrap, neither in addresses nor in the file.
    pub fn decode(body: &[u8]) -> Result<DmaMap, Malformed> {
        let (map, _) = Self::split(body)?;
        fits(map.argsz, Self::LEN)?;
        map.offset.checked_add(map.size).ok_or(Malformed::Range)?;
        range(map.address, map.size)?;
        Ok(map)
    }
}

/// The last address of a range; refused when it is empty or wraps.
fn range(address: u64, size: u64) -> Result<u64, Malformed> {
    size.checked_sub(1).and_then(|n| address.checked_add(n)).ok_or(Malformed::Range)
}

flags! {
    /// How memory is taken away (vfio-user, DMA unmap).
    DmaUnmapFlags: u32 {
        /// The client wants to know which pages were written.
        DIRTY_BITMAP = 1,
        /// All ranges; address and size are 0.
        ALL = 2,
    }
}

fixed! {
    /// Takes memory away (vfio-user, DMA unmap). The reply repeats it.
    pub DmaUnmap = 24 {
        /// Bytes of this structure, and of the bitmap if one is wanted.
        argsz: u32,
        /// How.
        flags: DmaUnmapFlags,
        /// The first I/O address.
        address: u64,
        /// Bytes.
        size: u64,
    }
}

fixed! {
    /// Which bitmap of written pages is wanted (vfio-user, DMA unmap).
    pub DirtyBitmap = 16 {
        /// Bytes that a bit stands for.
        page_size: u64,
        /// Bytes of the bitmap.
        size: u64,
    }
}

impl DmaUnmap {
    /// Reads a body, with the bitmap that is wanted.
    pub fn decode(body: &[u8]) -> Result<(DmaUnmap, Option<DirtyBitmap>), Malformed> {
        let (unmap, rest) = Self::split(body)?;
        fits(unmap.argsz, Self::LEN)?;
        if unmap.flags.has(DmaUnmapFlags::ALL) {
            if (unmap.address, unmap.size) != (0, 0) || unmap.flags.has(DmaUnmapFlags::DIRTY_BITMAP) {
                return Err(Malformed::Flags);
            }
        } else {
            range(unmap.address, unmap.size)?;
        }
        let bitmap = if unmap.flags.has(DmaUnmapFlags::DIRTY_BITMAP) { Some(DirtyBitmap::split(rest)?.0) } else { None };
        Ok((unmap, bitmap))
    }
}

fixed! {
    /// An access to memory that has no descriptor, sent by the server (vfio-user, DMA read and DMA write). Data follows it in the reply of a
    /// read and in the request of a write. The text once said a write's reply is a 4-byte count; implementations repeat these 16 bytes.
    pub DmaAccess = 16 {
        /// The first I/O address.
        address: u64,
        /// Bytes.
        count: u64,
    }
}

impl DmaAccess {
    /// Reads a body without data.
    pub fn decode(body: &[u8]) -> Result<DmaAccess, Malformed> {
        let (access, _) = Self::split(body)?;
        access.address.checked_add(access.count).ok_or(Malformed::Range)?;
        Ok(access)
    }

    /// Reads a body with data, which is `count` bytes exactly as told.
    pub fn decode_data(body: &[u8]) -> Result<(DmaAccess, &[u8]), Malformed> {
        let (access, rest) = (Self::decode(body)?, body.get(Self::LEN..).ok_or(Malformed::Short)?);
        let count = usize::try_from(access.count).map_err(|_| Malformed::Short)?;
        Ok((access, rest.get(..count).ok_or(Malformed::Short)?))
    }
}
