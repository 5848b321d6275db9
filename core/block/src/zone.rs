//! Zones: ranges of blocks that are written from their beginning.

/// The zones of a device, all of the same size. A write begins where its zone is written next, does not cross its end, and is not split
/// into parts that run side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zones {
    /// Blocks from the beginning of one zone to that of the next.
    pub blocks: u64,
    /// Zones that may be open at once; 0 for no limit.
    pub max_open: u32,
    /// Zones that may be open or closed at once; 0 for no limit.
    pub max_active: u32,
    /// Blocks of one append; 0 for none at all.
    pub max_append_blocks: u32,
}

/// How a zone stands (ZNS 1.1, 2.1.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ZoneState {
    /// Nothing is written in it.
    Empty = 1,
    /// Open because it was written to.
    ImplicitlyOpen = 2,
    /// Open because somebody said so.
    ExplicitlyOpen = 3,
    /// Begun, and not open.
    Closed = 4,
    /// It can be read only.
    ReadOnly = 13,
    /// Full, or finished.
    Full = 14,
    /// It can be neither read nor written.
    Offline = 15,
}

impl ZoneState {
    /// The state of this number.
    pub const fn of(number: u8) -> Option<ZoneState> {
        Some(match number {
            1 => ZoneState::Empty,
            2 => ZoneState::ImplicitlyOpen,
            3 => ZoneState::ExplicitlyOpen,
            4 => ZoneState::Closed,
            13 => ZoneState::ReadOnly,
            14 => ZoneState::Full,
            15 => ZoneState::Offline,
            _ => return None,
        })
    }
}

/// What may be written where in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ZoneKind {
    /// From the beginning to the end, and in no other order.
    SequentialWriteRequired = 2,
}

/// A zone, as [`Op::ZoneReport`](crate::Op::ZoneReport) puts it into the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    /// What may be written where.
    pub kind: ZoneKind,
    /// How it stands.
    pub state: ZoneState,
    /// First block.
    pub start: u64,
    /// Blocks that can be written, from the first.
    pub capacity: u64,
    /// Where it is written next; meaningless when it is full, read-only or offline.
    pub write_pointer: u64,
}

impl Zone {
    /// Bytes of one in a payload.
    pub const BYTES: usize = 32;

    /// As it lies in a payload: kind, state, six bytes of zero, start, capacity, write pointer, the lowest byte first.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = self.kind as u8;
        bytes[1] = self.state as u8;
        bytes[8..16].copy_from_slice(&self.start.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.write_pointer.to_le_bytes());
        bytes
    }

    /// The zone that these bytes are; `None` when they are none.
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Option<Zone> {
        let word = |at: usize| bytes.get(at..at + 8).and_then(|w| w.try_into().ok()).map(u64::from_le_bytes);
        if bytes[0] != ZoneKind::SequentialWriteRequired as u8 {
            return None;
        }
        let (kind, state) = (ZoneKind::SequentialWriteRequired, ZoneState::of(bytes[1])?);
        Some(Zone { kind, state, start: word(8)?, capacity: word(16)?, write_pointer: word(24)? })
    }
}

#[cfg(test)]
mod tests;
