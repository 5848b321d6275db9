//! What can be wrong with a message.

/// Why a message is refused. All are EINVAL to the peer; the variants tell who writes the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// Shorter than its structure, or than the data that it announces.
    Short,
    /// A message size below the header's, or above what was agreed on.
    Size,
    /// `argsz` does not hold the structure.
    Argsz,
    /// Flags that exclude each other, or none where one is needed.
    Flags,
    /// A range that wraps, or that lies outside of what it is a range of.
    Range,
    /// A number of descriptors that does not fit the message.
    Descriptors,
    /// A version text without its final NUL.
    Text,
    /// A chain of capabilities that leaves its message or does not end.
    Chain,
    /// A command that there is not.
    Command,
}

impl Malformed {
    /// The error number for the peer.
    pub const fn errno(self) -> u32 {
        errno::EINVAL
    }
}

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Malformed::Short => "the message is shorter than what it holds",
            Malformed::Size => "the message's size is not one that a message can have",
            Malformed::Argsz => "argsz is smaller than the structure",
            Malformed::Flags => "its flags exclude each other",
            Malformed::Range => "a range wraps or lies outside",
            Malformed::Descriptors => "the number of descriptors does not fit",
            Malformed::Text => "the version text has no end",
            Malformed::Chain => "the chain of capabilities is broken",
            Malformed::Command => "there is no such command",
        })
    }
}

impl core::error::Error for Malformed {}

/// Error numbers as the protocol uses them: Linux's, on every machine (vfio-user, Header).
pub mod errno {
    /// Not allowed.
    pub const EPERM: u32 = 1;
    /// No such range.
    pub const ENOENT: u32 = 2;
    /// An error of the device or its file.
    pub const EIO: u32 = 5;
    /// No memory for it.
    pub const ENOMEM: u32 = 12;
    /// An address that is not mapped.
    pub const EFAULT: u32 = 14;
    /// The device is busy.
    pub const EBUSY: u32 = 16;
    /// The range is mapped already.
    pub const EEXIST: u32 = 17;
    /// Malformed.
    pub const EINVAL: u32 = 22;
    /// Too many, or too large.
    pub const ENOSPC: u32 = 28;
    /// An unknown command.
    pub const ENOSYS: u32 = 38;
    /// Known, but not to be had here.
    pub const ENOTSUP: u32 = 95;
}
