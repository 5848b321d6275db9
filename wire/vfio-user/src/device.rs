//! What the device is: its regions and what can be done with them.

use crate::Malformed;
use crate::field::{fits, fixed, flags};

/// Regions of a PCI function (vfio-user, Device get info).
pub mod region {
    /// BAR 0; the others follow.
    pub const BAR0: u32 = 0;
    /// BAR 5, the last.
    pub const BAR5: u32 = 5;
    /// Expansion ROM.
    pub const ROM: u32 = 6;
    /// Configuration space.
    pub const CONFIG: u32 = 7;
    /// VGA.
    pub const VGA: u32 = 8;
    /// How many there are.
    pub const COUNT: u32 = 9;
}

flags! {
    /// What a device is (vfio-user, Device get info).
    DeviceInfoFlags: u32 {
        /// It can be reset by message.
        RESET = 1,
        /// It is a PCI function.
        PCI = 2,
    }
}

fixed! {
    /// What a device is (vfio-user, Device get info): request and reply.
    pub DeviceInfo = 16 {
        /// Bytes of this structure.
        argsz: u32,
        /// What it is.
        flags: DeviceInfoFlags,
        /// Regions; 9 of a PCI function.
        regions: u32,
        /// Kinds of interrupts; 5 of a PCI function.
        irqs: u32,
    }
}

impl DeviceInfo {
    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<DeviceInfo, Malformed> {
        let (info, _) = Self::split(body)?;
        fits(info.argsz, Self::LEN)?;
        Ok(info)
    }
}

flags! {
    /// What can be done with a region (vfio-user, Device get region info).
    RegionInfoFlags: u32 {
        /// It can be read.
        READ = 1,
        /// It can be written.
        WRITE = 2,
        /// Its descriptor, or parts of it, can be mapped.
        MMAP = 4,
        /// Capabilities follow.
        CAPS = 8,
    }
}

fixed! {
    /// A region (vfio-user, Device get region info): request and reply. A region that is not there has size and flags 0.
    pub RegionInfo = 32 {
        /// In a request: bytes that the client has room for, this structure included. In a reply: bytes that all of it needs.
        argsz: u32,
        /// What can be done.
        flags: RegionInfoFlags,
        /// Which; see [`region`].
        index: u32,
        /// Where the first capability begins, from the start of this structure; 0 for none.
        cap_offset: u32,
        /// Its bytes.
        size: u64,
        /// Where it begins in the descriptor's file.
        offset: u64,
    }
}

impl RegionInfo {
    /// Reads a body. Requests of some clients are as long as their room for the answer.
    pub fn decode(body: &[u8]) -> Result<RegionInfo, Malformed> {
        let (info, _) = Self::split(body)?;
        fits(info.argsz, Self::LEN)?;
        Ok(info)
    }

    /// Reads a reply with its capabilities. Those that did not fit into the client's room are not there though `argsz` speaks of them.
    pub fn decode_reply(body: &[u8]) -> Result<(RegionInfo, crate::Capabilities<'_>), Malformed> {
        let info = Self::decode(body)?;
        let offset = if info.flags.has(RegionInfoFlags::CAPS) { info.cap_offset } else { 0 };
        let whole = usize::try_from(info.argsz).is_ok_and(|n| n <= body.len());
        Ok((info, crate::Capabilities::new(body, if whole { offset } else { 0 })))
    }
}

fixed! {
    /// Asks for descriptors that stand for accesses to a region (vfio-user, Device get region I/O descriptors): request, and reply up to the
    /// entries. Entries are 40 bytes in the text and 48 in libvfio-user; no known client asks, and an answer of none is always right.
    pub RegionIoFds = 16 {
        /// Bytes of this structure and of the entries.
        argsz: u32,
        /// 0.
        flags: u32,
        /// Which region.
        index: u32,
        /// Entries that follow.
        count: u32,
    }
}

impl RegionIoFds {
    /// Reads a request.
    pub fn decode(body: &[u8]) -> Result<RegionIoFds, Malformed> {
        let (asked, _) = Self::split(body)?;
        fits(asked.argsz, Self::LEN)?;
        if asked.flags != 0 || asked.count != 0 {
            return Err(Malformed::Flags);
        }
        Ok(asked)
    }
}
