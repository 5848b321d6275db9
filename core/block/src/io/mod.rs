//! The box: a request that moves down a stack of queues and back up.
//!
//! Invariants: a box has one owner at any time; it comes back exactly once; whoever pushed a frame word pops it; its id is for life.

use doorbell_mem::{Carrier, SgList};
use std::sync::atomic::{AtomicU32, Ordering};

/// How many words a stack of layers may keep on a box: a power of two, so that no access needs a check.
pub const FRAMES: usize = 16;
const _: () = assert!(FRAMES.is_power_of_two());

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// Read `blocks` from `lba` into the payload.
    Read,
    /// Write the payload.
    Write,
    /// Write zeroes; may deallocate when `Flags::MAY_UNMAP` is set and reads then give zeroes.
    WriteZeroes,
    /// Tell the device that the blocks are not needed.
    Unmap,
    /// Make every completed write survive a power cut.
    Flush,
    /// Reset the device (and sweep away what is in flight).
    Reset,
    /// Compare the payload with what is stored.
    Compare,
    /// Compare the first half of the payload, and if equal write the second, in one step that nobody can get between.
    CompareAndWrite,
    /// Copy `blocks` from `source` to `lba`.
    Copy,
    /// Find the first block at or after `lba` that holds data; its number comes back in `result` (`u64::MAX`: none).
    SeekData,
    /// Find the first block at or after `lba` that is a hole; its number comes back in `result` (`u64::MAX`: none).
    SeekHole,
    /// Have the device read and check the blocks; no data moves.
    Verify,
    /// Make the blocks fail to be read until they are written again.
    WriteUncorrectable,
    /// Describe the zone of `lba` and those after it: at least one, and at most as many as there is room for in the payload,
    /// [`Zone::BYTES`](crate::Zone::BYTES) each. How many were put there comes back in `result`; who wants more asks again.
    ZoneReport,
    /// Write the payload where the zone that begins at `lba` is written next; the first block written comes back in `result`. It is never
    /// split.
    ZoneAppend,
    /// Open the zone that begins at `lba`; with `Flags::ALL_ZONES` every closed one.
    ZoneOpen,
    /// Close the zone that begins at `lba`; with `Flags::ALL_ZONES` every open one.
    ZoneClose,
    /// Make the zone that begins at `lba` full; with `Flags::ALL_ZONES` every open and closed one.
    ZoneFinish,
    /// Empty the zone that begins at `lba`; with `Flags::ALL_ZONES` every one that holds something.
    ZoneReset,
    /// Give up the read-only zone that begins at `lba`; with `Flags::ALL_ZONES` every one.
    ZoneOffline,
}

impl Op {
    /// Every operation, in order.
    pub const ALL: [Op; 20] = [
        Op::Read,
        Op::Write,
        Op::WriteZeroes,
        Op::Unmap,
        Op::Flush,
        Op::Reset,
        Op::Compare,
        Op::CompareAndWrite,
        Op::Copy,
        Op::SeekData,
        Op::SeekHole,
        Op::Verify,
        Op::WriteUncorrectable,
        Op::ZoneReport,
        Op::ZoneAppend,
        Op::ZoneOpen,
        Op::ZoneClose,
        Op::ZoneFinish,
        Op::ZoneReset,
        Op::ZoneOffline,
    ];

    /// What a disk of memory or a file can do: everything that needs neither zones nor a medium that may go bad.
    pub const COMMON: [Op; 11] = [
        Op::Read,
        Op::Write,
        Op::WriteZeroes,
        Op::Unmap,
        Op::Flush,
        Op::Reset,
        Op::Compare,
        Op::CompareAndWrite,
        Op::Copy,
        Op::SeekData,
        Op::SeekHole,
    ];

    /// Does it change what is stored?
    #[inline]
    pub const fn writes(self) -> bool {
        matches!(self, Op::Write | Op::WriteZeroes | Op::Unmap | Op::CompareAndWrite | Op::Copy | Op::WriteUncorrectable | Op::ZoneAppend)
            || self.manages_zones()
    }

    /// Does it change the state of a zone, or of all?
    #[inline]
    pub const fn manages_zones(self) -> bool {
        matches!(self, Op::ZoneOpen | Op::ZoneClose | Op::ZoneFinish | Op::ZoneReset | Op::ZoneOffline)
    }

    /// Does it name a range of blocks?
    #[inline]
    pub const fn has_range(self) -> bool {
        !matches!(self, Op::Flush | Op::Reset | Op::SeekData | Op::SeekHole | Op::ZoneReport) && !self.manages_zones()
    }

    /// Bytes of payload that `blocks` of `1 << shift` bytes need; a report takes what room there is.
    #[inline]
    pub const fn payload(self, blocks: u32, shift: u8) -> u64 {
        let bytes = (blocks as u64) << shift;
        match self {
            Op::Read | Op::Write | Op::Compare | Op::ZoneAppend => bytes,
            Op::CompareAndWrite => 2 * bytes,
            _ => 0,
        }
    }
}

/// A set of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct OpSet(u32);

impl OpSet {
    /// The set of these.
    pub const fn of(ops: &[Op]) -> OpSet {
        let mut bits = 0;
        let mut rest = ops;
        while let [op, more @ ..] = rest {
            bits |= 1 << *op as u16;
            rest = more;
        }
        OpSet(bits)
    }

    /// Is `op` in it?
    #[inline]
    pub const fn has(self, op: Op) -> bool {
        self.0 & (1 << op as u16) != 0
    }

    /// With `op`.
    pub const fn with(self, op: Op) -> OpSet {
        OpSet(self.0 | 1 << op as u16)
    }

    /// Without `op`.
    pub const fn without(self, op: Op) -> OpSet {
        OpSet(self.0 & !(1 << op as u16))
    }
}

/// How it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Flags(u8);

impl Flags {
    /// Nothing special.
    pub const NONE: Flags = Flags(0);
    /// Force unit access: done means that the data survives a power cut.
    pub const FUA: Flags = Flags(1);
    /// Write zeroes may deallocate, if the blocks then read as zeroes.
    pub const MAY_UNMAP: Flags = Flags(2);
    /// The device checks the guard of each block's protection information.
    pub const CHECK_GUARD: Flags = Flags(4);
    /// The device checks the application tag: `Io::application_tag` under `Io::application_mask`.
    pub const CHECK_APPLICATION: Flags = Flags(8);
    /// The device checks the reference tag: the low bits of the block's number.
    pub const CHECK_REFERENCE: Flags = Flags(16);
    /// All zones, not one.
    pub const ALL_ZONES: Flags = Flags(32);

    /// Are all of `f` set?
    #[inline]
    pub const fn has(self, f: Flags) -> bool {
        self.0 & f.0 == f.0
    }

    /// Is any of `f` set?
    #[inline]
    pub const fn any(self, f: Flags) -> bool {
        self.0 & f.0 != 0
    }

    /// With `f`.
    #[inline]
    pub const fn with(self, f: Flags) -> Flags {
        Flags(self.0 | f.0)
    }

    /// Without `f`.
    #[inline]
    pub const fn without(self, f: Flags) -> Flags {
        Flags(self.0 & !f.0)
    }
}

/// The number of a box, for life: what abort names. Tags belong to whoever set them, so a layer's children and passing boxes collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IoId(u32);

/// A request. What its owner set comes back as it was, but for `status`, `result` and the payload of a read.
#[derive(Debug)]
pub struct Io {
    /// What is asked for.
    pub op: Op,
    /// How.
    pub flags: Flags,
    /// How it ended; meaningful once it is back.
    pub status: Status,
    depth: u8,
    /// How many blocks.
    pub blocks: u32,
    /// First block.
    pub lba: u64,
    /// Its owner's own; no layer touches it.
    pub tag: u64,
    /// What a seek found, how many zones were reported, where an append went.
    pub result: u64,
    /// The payload.
    pub sg: SgList,
    /// First block to copy from, for `Op::Copy`.
    pub source: u64,
    id: IoId,
    frames: [u64; FRAMES],
    /// Metadata of the payload's blocks, block after block; empty where nobody wants it. It always travels apart from the data: a driver
    /// whose device keeps both together puts them together.
    pub meta: SgList,
    /// What the application tag of protection information is, or has to be.
    pub application_tag: u16,
    /// Which of its bits are checked.
    pub application_mask: u16,
}

use crate::Status;

static NEXT: AtomicU32 = AtomicU32::new(1);

impl Io {
    /// A new box, with room for `segments` before its list must grow. Pools call this once for each; nobody does on the path of a request.
    pub fn boxed(segments: usize) -> Box<Io> {
        Box::new(Io {
            op: Op::Read,
            flags: Flags::NONE,
            status: Status::Ok,
            depth: 0,
            blocks: 0,
            lba: 0,
            tag: 0,
            result: 0,
            sg: SgList::with_capacity(segments),
            source: 0,
            id: IoId(NEXT.fetch_add(1, Ordering::Relaxed)),
            frames: [0; FRAMES],
            meta: SgList::default(),
            application_tag: 0,
            application_mask: 0,
        })
    }

    /// Its number, for life.
    #[inline]
    pub fn id(&self) -> IoId {
        self.id
    }

    /// Keeps a word for a layer on the way down.
    ///
    /// A stack deeper than `open` allowed is a bug of a device's `info`: debug builds stop at it, others overwrite the oldest word.
    #[inline]
    pub fn push(&mut self, word: u64) {
        debug_assert!((self.depth as usize) < FRAMES, "more layers than a request has room for");
        self.frames[self.depth as usize % FRAMES] = word;
        self.depth = self.depth.wrapping_add(1);
    }

    /// Gives the layer its word back on the way up.
    ///
    /// That it had pushed one is its own to know: debug builds stop where it had not.
    #[inline]
    pub fn pop(&mut self) -> u64 {
        debug_assert!(self.depth > 0, "no layer has a word on this request");
        self.depth = self.depth.wrapping_sub(1);
        self.frames[self.depth as usize % FRAMES]
    }

    /// The word that would be popped.
    ///
    #[inline]
    pub fn top(&self) -> u64 {
        debug_assert!(self.depth > 0, "no layer has a word on this request");
        self.frames[self.depth.wrapping_sub(1) as usize % FRAMES]
    }

    /// Layers that have a word on it.
    #[inline]
    pub fn depth(&self) -> u8 {
        self.depth
    }

    /// The end of its range; `None` when it wraps.
    #[inline]
    pub fn end(&self) -> Option<u64> {
        self.lba.checked_add(u64::from(self.blocks))
    }

    /// Ready for its next owner: payload and metadata dropped, flags and frames cleared. Tags are not: they mean something only with the flag
    /// that has them checked, or with metadata, and whoever gives those sets them.
    #[inline]
    pub fn clean(&mut self) {
        self.sg.clear();
        if !self.meta.segs().is_empty() {
            self.meta.clear();
        }
        self.depth = 0;
        self.flags = Flags::NONE;
        self.status = Status::Ok;
    }
}

impl Carrier for Box<Io> {
    #[inline]
    fn sg(&self) -> &SgList {
        &self.sg
    }

    #[inline]
    fn meta(&self) -> Option<&SgList> {
        (!self.meta.is_empty()).then_some(&self.meta)
    }
}

#[cfg(test)]
mod tests;
