//! How a namespace was formatted: the metadata of its blocks, and what of it protects them.
//!
//! A request brings metadata of its own, or leaves it to the controller. What is left to it, it makes and checks where it is protection
//! information; where it is not, or is more than that, it is zeroes (see `carry`).

use doorbell_block::{Flags, Guard, Io, Metadata, Op, Protection as Protected, ProtectionType};
use doorbell_wire_nvme::Protection;
use doorbell_wire_nvme::identify::{Flbas, Namespace, NvmNamespace};
use doorbell_wire_nvme::protection::{self, Layout, Type};

/// Metadata of each block, and what protects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Format {
    /// Bytes of metadata of a block.
    pub metadata_bytes: u16,
    /// Does it follow each block's data, rather than lie in a buffer of its own?
    pub extended: bool,
    /// Type of protection information, 1 to 3; 0 for none.
    pub protection: u8,
    /// Where that lies and how it is cut; `None` for none, and for one that the specification does not know.
    pub layout: Option<Layout>,
}

/// Bytes of the metadata of one command at most: it lies in one buffer, of which pools should have some.
const METADATA_BYTES_MAX: u32 = 64 << 10;

/// Who makes the metadata of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Maker {
    /// The controller.
    Controller,
    /// Whoever made the request: it is as it should be.
    Sender,
}

impl Format {
    pub(super) fn new(raw: &Namespace, extended: Option<&NvmNamespace>) -> Format {
        let metadata_bytes = raw.format().ms.get();
        let protection = if metadata_bytes == 0 { 0 } else { raw.dps & 7 };
        // Controllers without such a page have guards of 16 bits and no storage tag.
        let cut = extended.map_or(Some((protection::Guard::Crc16, 0)), |page| page.extended_format(raw.format_index()));
        let first = raw.dps & 8 != 0;
        let layout = Type::new(protection).zip(cut).and_then(|(kind, (guard, bits))| Layout::new(kind, guard, bits, first, metadata_bytes));
        Format { metadata_bytes, extended: Flbas::from_bits(raw.flbas).extended_metadata(), protection, layout }
    }

    /// The same as the block layer says it.
    pub(super) fn metadata(self) -> Option<Metadata> {
        if self.metadata_bytes == 0 {
            return None;
        }
        let protection = self.layout.map(|layout| Protected {
            kind: match layout.kind() {
                Type::One => ProtectionType::One,
                Type::Two => ProtectionType::Two,
                Type::Three => ProtectionType::Three,
            },
            guard: match layout.guard() {
                protection::Guard::Crc16 => Guard::Crc16,
                protection::Guard::Crc32c => Guard::Crc32c,
                protection::Guard::Crc64 => Guard::Crc64,
            },
            first: layout.first(),
            storage_tag_bits: layout.storage_tag_bits(),
        });
        Some(Metadata { bytes: self.metadata_bytes, interleaved: self.extended, protection })
    }

    /// Is all of the metadata made by the controller when it is asked to, so that none of it travels (NVM 1.1, 5.3.2)?
    #[inline]
    pub(super) fn is_all_made(self) -> bool {
        self.layout.is_some_and(|layout| layout.is_whole())
    }

    /// Bytes that travel with the data of a block at most, and that a limit of transfers counts.
    pub(super) fn beside_bytes(self) -> u16 {
        if self.extended { self.metadata_bytes } else { 0 }
    }

    /// Blocks of one command whose data alone would allow `blocks`.
    pub(super) fn longest(self, blocks: u32) -> u32 {
        match self.metadata_bytes {
            0 => blocks,
            bytes => blocks.min(METADATA_BYTES_MAX / u32::from(bytes)).max(1),
        }
    }

    /// Can ranges of a copy be described to it? Wide guards have a format of their own (NVM 1.1, 3.3.2).
    pub(super) fn may_copy(self, formats: u16) -> bool {
        formats & 1 << self.range_format() != 0
    }

    /// The format of the ranges of a copy.
    pub(super) fn range_format(self) -> u8 {
        match self.layout.map(|layout| layout.guard()) {
            None | Some(protection::Guard::Crc16) => 0,
            Some(_) => 1,
        }
    }

    /// What protects the blocks of a command.
    #[inline]
    pub(super) fn protection(self, io: &Io, maker: Maker) -> Protection {
        let Some(layout) = self.layout else { return Protection::default() };
        let (own, asked) = (maker == Maker::Sender, io.flags);
        let checks = Flags::CHECK_GUARD.with(Flags::CHECK_APPLICATION).with(Flags::CHECK_REFERENCE);
        // What a request leaves to the controller is checked, unless it says what is to be.
        let by_flags = own || (io.op == Op::Verify && asked.any(checks));
        let has_reference = layout.kind() != Type::Three && layout.reference_tag_bits() > 0;
        let (reference_tag, tag_upper) = if has_reference { layout.command_tags(0, io.lba) } else { (0, 0) };
        let check_application = asked.has(Flags::CHECK_APPLICATION);
        let (application_tag, application_mask) = if own || check_application { (io.application_tag, io.application_mask) } else { (0, 0) };
        Protection {
            // A verify moves nothing that could be made or stripped (NVM 1.1, 3.3.5).
            act: !own && io.op != Op::Verify,
            check_guard: !by_flags || asked.has(Flags::CHECK_GUARD),
            check_application,
            check_reference: has_reference && (!by_flags || asked.has(Flags::CHECK_REFERENCE)),
            check_storage: false,
            reference_tag,
            tag_upper,
            application_tag,
            application_mask,
        }
    }

    /// PRINFOR of a copy.
    pub(super) fn copy_checks(self) -> u8 {
        match self.layout {
            None => 0,
            Some(layout) if layout.kind() == Type::Three || layout.reference_tag_bits() == 0 => 0b1100,
            Some(_) => 0b1101,
        }
    }
}

#[cfg(test)]
mod tests;
