//! Range lists that commands carry as data (NVM 1.1, 3.3.2 and 3.3.3).

use crate::{U16, U32, U64};
use zerocopy::FromBytes;

wire_struct! {
    /// A range of a Dataset Management command (NVM 1.1, 3.3.3).
    #[derive(Copy, Hash)]
    pub struct DsmRange, 16 bytes {
        /// Context attributes: hints about the range.
        pub attributes: U32,
        /// Length in logical blocks (not zero-based).
        pub blocks: U32,
        /// Starting LBA.
        pub slba: U64,
    }
}

wire_struct! {
    /// A source range of a Copy command, descriptor format 0h (NVM 1.1, 3.3.2).
    #[derive(Copy, Hash)]
    pub struct CopyRange, 32 bytes {
        /// SPARS: source parameters, of formats 2h and 3h only.
        pub source: U32,
        /// Reserved.
        pub reserved4: [u8; 4],
        /// SLBA: first logical block to read.
        pub slba: U64,
        /// NLB: logical blocks, zero-based.
        pub nlb: U16,
        /// CETYPE in bits 3:0: command extension type.
        pub extension_type: U16,
        /// CEV: command extension value.
        pub extension: U16,
        /// SOPT: source options (bit 15: fast copy only).
        pub options: U16,
        /// ELBRT: expected logical block reference tag.
        pub reference_tag: U32,
        /// ELBAT: expected logical block application tag.
        pub application_tag: U16,
        /// ELBATM: its mask.
        pub application_mask: U16,
    }
}

wire_struct! {
    /// A source range of a Copy command, descriptor format 1h: for guards of 32 and 64 bits (NVM 1.1, 3.3.2).
    #[derive(Copy, Hash)]
    pub struct CopyRangeWide, 40 bytes {
        /// Reserved.
        pub reserved0: [u8; 8],
        /// SLBA: first logical block to read.
        pub slba: U64,
        /// NLB: logical blocks, zero-based.
        pub nlb: U16,
        /// Reserved.
        pub reserved18: [u8; 8],
        /// ELBST and ELBRT: expected storage tag and reference tag, 80 bits, big-endian.
        pub tags: [u8; 10],
        /// ELBAT: expected logical block application tag.
        pub application_tag: U16,
        /// ELBATM: its mask.
        pub application_mask: U16,
    }
}

impl DsmRange {
    /// The ranges that lie whole in `data`, in order; the caller holds their number against the command's.
    pub fn slice(data: &[u8]) -> &[Self] {
        prefix(data)
    }
}

impl CopyRange {
    /// The ranges that lie whole in `data`, in order; the caller holds their number against the command's.
    pub fn slice(data: &[u8]) -> &[Self] {
        prefix(data)
    }

    /// Logical blocks to read, 1 to 65,536.
    pub fn blocks(&self) -> u32 {
        u32::from(self.nlb.get()) + 1
    }
}

fn prefix<T: crate::Wire>(data: &[u8]) -> &[T] {
    <[T]>::ref_from_prefix_with_elems(data, data.len() / size_of::<T>()).map_or(&[], |(ranges, _)| ranges)
}
