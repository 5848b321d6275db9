//! What a namespace holds.

use doorbell_wire_nvme::Status;
use std::collections::BTreeSet;

/// A namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpec {
    /// Its number.
    pub nsid: u32,
    /// Blocks of 2^n bytes.
    pub shift: u8,
    /// How many.
    pub blocks: u32,
}

/// Sizes of blocks that a namespace of one of them may be formatted to.
const SHIFTS: [u8; 2] = [9, 12];

/// A namespace and its bytes.
pub(crate) struct Disk {
    pub(crate) spec: DiskSpec,
    /// Is it attached?
    pub(crate) present: bool,
    bytes: Vec<u8>,
    /// Blocks that were made unreadable (Write Uncorrectable).
    spoilt: BTreeSet<u64>,
}

impl Disk {
    pub(crate) fn new(spec: DiskSpec) -> Disk {
        let bytes = vec![0; (spec.blocks as usize) << spec.shift];
        Disk { spec, present: true, bytes, spoilt: BTreeSet::new() }
    }

    /// Bytes of all its blocks.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Sizes of blocks that it can have, as shifts: its formats.
    pub(crate) fn shifts(&self) -> Vec<u8> {
        if SHIFTS.contains(&self.spec.shift) { SHIFTS.to_vec() } else { vec![self.spec.shift] }
    }

    /// Blocks of another size, and nothing in them.
    pub(crate) fn format(&mut self, shift: u8) {
        self.spec = DiskSpec { shift, blocks: (self.bytes.len() >> shift) as u32, ..self.spec };
        self.erase();
    }

    /// Nothing is in it any more.
    pub(crate) fn erase(&mut self) {
        self.bytes.fill(0);
        self.spoilt.clear();
    }

    /// The end of a run of blocks; `None` past the end.
    fn end(&self, lba: u64, blocks: u32) -> Option<u64> {
        lba.checked_add(blocks.into()).filter(|end| *end <= u64::from(self.spec.blocks))
    }

    /// The bytes of a run of blocks, to be read.
    pub(crate) fn read(&self, lba: u64, blocks: u32) -> Result<&[u8], Status> {
        let end = self.end(lba, blocks).ok_or(Status::LBA_OUT_OF_RANGE)?;
        if self.spoilt.range(lba..end).next().is_some() {
            return Err(Status::UNRECOVERED_READ);
        }
        self.bytes.get((lba as usize) << self.spec.shift..(end as usize) << self.spec.shift).ok_or(Status::LBA_OUT_OF_RANGE)
    }

    /// The bytes of a run of blocks, to be written: all of them, so that they can be read afterwards.
    pub(crate) fn write(&mut self, lba: u64, blocks: u32) -> Result<&mut [u8], Status> {
        let end = self.end(lba, blocks).ok_or(Status::LBA_OUT_OF_RANGE)?;
        self.spoilt.retain(|at| !(lba..end).contains(at));
        self.bytes.get_mut((lba as usize) << self.spec.shift..(end as usize) << self.spec.shift).ok_or(Status::LBA_OUT_OF_RANGE)
    }

    /// Makes a run of blocks unreadable until it is written.
    pub(crate) fn spoil(&mut self, lba: u64, blocks: u32) -> Result<(), Status> {
        let end = self.end(lba, blocks).ok_or(Status::LBA_OUT_OF_RANGE)?;
        self.spoilt.extend(lba..end);
        Ok(())
    }
}
