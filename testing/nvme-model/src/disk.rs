//! What a namespace holds.

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

/// A namespace and its bytes.
pub(crate) struct Disk {
    pub(crate) spec: DiskSpec,
    /// Is it attached?
    pub(crate) present: bool,
    bytes: Vec<u8>,
}

impl Disk {
    pub(crate) fn new(spec: DiskSpec) -> Disk {
        Disk { spec, present: true, bytes: vec![0; (spec.blocks as usize) << spec.shift] }
    }

    /// The bytes of a run of blocks; `None` past the end.
    pub(crate) fn blocks(&mut self, lba: u64, blocks: u32) -> Option<&mut [u8]> {
        let end = lba.checked_add(blocks.into()).filter(|end| *end <= u64::from(self.spec.blocks))?;
        self.bytes.get_mut((lba as usize) << self.spec.shift..(end as usize) << self.spec.shift)
    }
}
