//! The flags descriptor: what a reader must understand before it may open, write or change a blob (flags descriptor, payload 0 to 23).

/// The three words of flags. A blob without the descriptor, from before version 3, has none of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Flags {
    /// Payload 0: who does not know one of these must not open the blob.
    pub invalid: u64,
    /// Payload 8: who does not know one of these may read data and metadata only.
    pub data_ro: u64,
    /// Payload 16: who does not know one of these may not change metadata.
    pub md_ro: u64,
}

/// What may be done with a blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Access {
    /// It must not be opened: it has a flag that nobody here knows.
    None,
    /// Data and metadata may be read.
    ReadOnly,
    /// Data may be written, metadata may not.
    MetadataReadOnly,
    /// Everything.
    Full,
}

/// How clusters that a blob gives up are cleared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ClearMethod {
    /// Whatever is usual, which is unmap.
    #[default]
    Default,
    /// Not at all.
    None,
    /// By unmap.
    Unmap,
    /// By writing zeroes.
    WriteZeroes,
}

impl Flags {
    /// Invalid, bit 0: clusters may be unallocated.
    pub const THIN: u64 = 1;
    /// Invalid, bit 1: there are internal attributes. Says nothing for certain: whoever reads looks for them.
    pub const INTERNAL_XATTR: u64 = 2;
    /// Invalid, bit 2: the map is an extent table. Says nothing for certain: what is found in the chain counts.
    pub const EXTENT_TABLE: u64 = 4;
    /// Invalid, bit 3: the parent is a device outside of the store, which the internal attribute EXTSNAP names.
    pub const EXTERNAL_SNAPSHOT: u64 = 8;
    /// Data read-only, bit 0: neither data nor metadata is written.
    pub const READ_ONLY: u64 = 1;
    /// Metadata read-only, bits 0 and 1: the clear method.
    const CLEAR_METHOD: u64 = 3;

    /// All bits of each word that mean something.
    const KNOWN: Flags = Flags {
        invalid: Self::THIN | Self::INTERNAL_XATTR | Self::EXTENT_TABLE | Self::EXTERNAL_SNAPSHOT,
        data_ro: Self::READ_ONLY,
        md_ro: Self::CLEAR_METHOD,
    };

    /// May clusters be unallocated?
    pub const fn is_thin(self) -> bool {
        self.invalid & Self::THIN != 0
    }

    /// Is the parent outside of the store?
    pub const fn is_external_clone(self) -> bool {
        self.invalid & Self::EXTERNAL_SNAPSHOT != 0
    }

    /// Is it marked read-only, as snapshots are?
    pub const fn is_read_only(self) -> bool {
        self.data_ro & Self::READ_ONLY != 0
    }

    /// The flags of the first word that nobody here knows; zero for none.
    pub const fn unknown_invalid(self) -> u64 {
        self.invalid & !Self::KNOWN.invalid
    }

    /// What may be done with a blob that has these.
    pub const fn access(self) -> Access {
        if self.unknown_invalid() != 0 {
            Access::None
        } else if self.is_read_only() || self.data_ro & !Self::KNOWN.data_ro != 0 {
            Access::ReadOnly
        } else if self.md_ro & !Self::KNOWN.md_ro != 0 {
            Access::MetadataReadOnly
        } else {
            Access::Full
        }
    }

    /// How clusters are cleared.
    pub const fn clear_method(self) -> ClearMethod {
        match self.md_ro & Self::CLEAR_METHOD {
            1 => ClearMethod::None,
            2 => ClearMethod::Unmap,
            3 => ClearMethod::WriteZeroes,
            _ => ClearMethod::Default,
        }
    }

    /// The same with another clear method.
    #[must_use]
    pub const fn with_clear_method(mut self, method: ClearMethod) -> Self {
        let bits = match method {
            ClearMethod::Default => 0,
            ClearMethod::None => 1,
            ClearMethod::Unmap => 2,
            ClearMethod::WriteZeroes => 3,
        };
        self.md_ro = self.md_ro & !Self::CLEAR_METHOD | bits;
        self
    }
}

#[cfg(test)]
mod tests;
