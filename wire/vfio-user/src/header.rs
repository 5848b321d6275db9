//! The header that every message begins with.

use crate::Malformed;
use crate::field::{fixed, flags};

flags! {
    /// A command (vfio-user, Commands).
    Command: u16 {
        /// Agrees on version and limits: the first message.
        VERSION = 1,
        /// Makes memory of the client known to the device.
        DMA_MAP = 2,
        /// Takes it away.
        DMA_UNMAP = 3,
        /// Asks what the device is.
        DEVICE_GET_INFO = 4,
        /// Asks for a region: BAR, ROM or configuration space.
        DEVICE_GET_REGION_INFO = 5,
        /// Asks for descriptors that stand for accesses.
        DEVICE_GET_REGION_IO_FDS = 6,
        /// Asks for the vectors of a kind of interrupt.
        DEVICE_GET_IRQ_INFO = 7,
        /// Assigns, fires, masks interrupts.
        DEVICE_SET_IRQS = 8,
        /// Reads a region.
        REGION_READ = 9,
        /// Writes a region.
        REGION_WRITE = 10,
        /// Reads memory of the client (sent by the server).
        DMA_READ = 11,
        /// Writes memory of the client (sent by the server).
        DMA_WRITE = 12,
        /// Resets the device.
        DEVICE_RESET = 13,
        /// Writes several small places of regions.
        REGION_WRITE_MULTI = 15,
        /// Gets, sets or probes a feature.
        DEVICE_FEATURE = 16,
        /// Reads the state of a device that migrates.
        MIG_DATA_READ = 17,
        /// Writes it.
        MIG_DATA_WRITE = 18,
    }
}

impl Command {
    /// The name that the specification gives it; `None` for one that it does not.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::VERSION => "VERSION",
            Self::DMA_MAP => "DMA_MAP",
            Self::DMA_UNMAP => "DMA_UNMAP",
            Self::DEVICE_GET_INFO => "DEVICE_GET_INFO",
            Self::DEVICE_GET_REGION_INFO => "DEVICE_GET_REGION_INFO",
            Self::DEVICE_GET_REGION_IO_FDS => "DEVICE_GET_REGION_IO_FDS",
            Self::DEVICE_GET_IRQ_INFO => "DEVICE_GET_IRQ_INFO",
            Self::DEVICE_SET_IRQS => "DEVICE_SET_IRQS",
            Self::REGION_READ => "REGION_READ",
            Self::REGION_WRITE => "REGION_WRITE",
            Self::DMA_READ => "DMA_READ",
            Self::DMA_WRITE => "DMA_WRITE",
            Self::DEVICE_RESET => "DEVICE_RESET",
            Self::REGION_WRITE_MULTI => "REGION_WRITE_MULTI",
            Self::DEVICE_FEATURE => "DEVICE_FEATURE",
            Self::MIG_DATA_READ => "MIG_DATA_READ",
            Self::MIG_DATA_WRITE => "MIG_DATA_WRITE",
            _ => return None,
        })
    }
}

flags! {
    /// Flags of a header (vfio-user, Header). Bits 3:0 are the type: 0 a command, 1 a reply.
    HeaderFlags: u32 {
        /// A reply.
        REPLY = 1,
        /// The sender wants no reply (commands).
        NO_REPLY = 1 << 4,
        /// It failed; `error` says how (replies).
        ERROR = 1 << 5,
    }
}

impl HeaderFlags {
    /// The bits that are the type.
    pub const TYPE: u32 = 0xf;
}

fixed! {
    /// What every message begins with (vfio-user, Header).
    pub Header = 16 {
        /// Chosen by the sender of a command, repeated by its reply. Some clients use one for all.
        id: u16,
        /// The command, or that which is answered.
        command: Command,
        /// Bytes of the whole message, this header included.
        size: u32,
        /// Type and modifiers.
        flags: HeaderFlags,
        /// An error number, in a reply with [`HeaderFlags::ERROR`].
        error: u32,
    }
}

impl Header {
    /// Of a command with a body of so many bytes; `None` when that is more than a message can be.
    pub fn request(id: u16, command: Command, body: usize) -> Option<Header> {
        let size = u32::try_from(body.checked_add(Self::LEN)?).ok()?;
        Some(Header { id, command, size, flags: HeaderFlags::default(), error: 0 })
    }

    /// Reads it off the front; the body, as far as it is there, comes second.
    pub fn decode(bytes: &[u8]) -> Result<(Header, &[u8]), Malformed> {
        Self::split(bytes)
    }

    /// Of the answer to this command, with a body of so many bytes.
    pub fn reply(&self, body: usize) -> Option<Header> {
        Some(Header { flags: HeaderFlags::REPLY, ..Self::request(self.id, self.command, body)? })
    }

    /// The whole answer to a command that failed: it has no body (vfio-user, Header).
    pub fn error_reply(&self, error: u32) -> Header {
        let flags = HeaderFlags::REPLY.with(HeaderFlags::ERROR);
        Header { id: self.id, command: self.command, size: 16, flags, error }
    }

    /// Bytes of the body that follows; refused below zero and above `max`, so that nobody makes room by a peer's number.
    pub fn body_len(&self, max: usize) -> Result<usize, Malformed> {
        let size = usize::try_from(self.size).map_err(|_| Malformed::Size)?;
        size.checked_sub(Self::LEN).filter(|len| *len <= max).ok_or(Malformed::Size)
    }

    /// Is it a command?
    pub const fn is_command(&self) -> bool {
        self.flags.0 & HeaderFlags::TYPE == 0
    }

    /// Is it a reply?
    pub const fn is_reply(&self) -> bool {
        self.flags.0 & HeaderFlags::TYPE == HeaderFlags::REPLY.0
    }

    /// Is it the reply to the command with this id?
    pub const fn answers(&self, id: u16) -> bool {
        self.is_reply() && self.id == id
    }

    /// Does the sender of this command want a reply?
    pub const fn wants_reply(&self) -> bool {
        !self.flags.has(HeaderFlags::NO_REPLY)
    }

    /// The error number, if it is a reply that says that the command failed. Zero, which is no error, is told as EIO.
    pub const fn failure(&self) -> Option<u32> {
        match (self.is_reply() && self.flags.has(HeaderFlags::ERROR), self.error) {
            (false, _) => None,
            (true, 0) => Some(crate::errno::EIO),
            (true, n) => Some(n),
        }
    }
}
