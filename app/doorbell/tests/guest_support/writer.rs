//! Writes that remember what was acknowledged, and the check that all of it is on the file.
//!
//! Each thread has slots of its own, a block each. It writes a slot's next version synchronously past the page cache and, once the write has
//! returned, notes slot and version in one line. So at any time a slot on the file holds the last version noted, or the one after.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const BLOCK: usize = 4096;
const THREADS: u64 = 4;
/// Few enough that slots are written again and again.
const SLOTS_PER_THREAD: u64 = 16;
/// Where the slots begin: away from what others write.
const START: u64 = 100 << 20;
/// O_DIRECT of x86-64, the only guests there are.
const O_DIRECT: i32 = 0o40000;
/// A helper that nobody stops ends by itself.
const VERSIONS_MAX: u64 = 1 << 20;

fn path(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set")).into()
}

/// A block that direct I/O takes: part of a longer one, where it is aligned.
struct Aligned(Vec<u8>, usize);

impl Aligned {
    fn new() -> Aligned {
        let room = vec![0; 2 * BLOCK];
        let start = room.as_ptr().align_offset(BLOCK);
        Aligned(room, start)
    }

    fn block(&mut self) -> &mut [u8] {
        &mut self.0[self.1..self.1 + BLOCK]
    }

    /// The whole block says slot and version, so that a torn one shows.
    fn stamp(&mut self, slot: u64, version: u64) {
        for piece in self.block().chunks_exact_mut(16) {
            piece[..8].copy_from_slice(&slot.to_le_bytes());
            piece[8..].copy_from_slice(&version.to_le_bytes());
        }
    }

    /// The version that all of the block is of.
    fn version(&mut self, slot: u64) -> Result<u64, String> {
        let block = self.block();
        if block.iter().all(|byte| *byte == 0) {
            return Ok(0);
        }
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        let version = number(&block[8..16]);
        let whole = block.chunks_exact(16).all(|piece| number(&piece[..8]) == slot && number(&piece[8..]) == version);
        if whole { Ok(version) } else { Err(format!("slot {slot} is torn or not its own: it begins with {:?}", &block[..32])) }
    }
}

fn offset(slot: u64) -> u64 {
    START + slot * BLOCK as u64
}

/// Writes until told to stop.
pub(crate) fn write() {
    let (device, stop) = (path("WRITER_DEVICE"), path("WRITER_STOP"));
    let acked = OpenOptions::new().append(true).create(true).open(path("WRITER_ACKED")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (device, stop, acked) = (&device, &stop, &acked);
            scope.spawn(move || write_slots(thread, device, stop, acked));
        }
    });
}

fn write_slots(thread: u64, device: &Path, stop: &Path, mut acked: &File) {
    // Half of the threads ask for durability with each write, which is FUA on the wire.
    let sync = if thread.is_multiple_of(2) { rustix::fs::OFlags::DSYNC.bits() as i32 } else { 0 };
    let device = OpenOptions::new().write(true).custom_flags(O_DIRECT | sync).open(device).unwrap();
    let mut block = Aligned::new();
    for version in 1..VERSIONS_MAX {
        for slot in thread * SLOTS_PER_THREAD..(thread + 1) * SLOTS_PER_THREAD {
            if stop.exists() {
                return;
            }
            block.stamp(slot, version);
            device.write_all_at(block.block(), offset(slot)).unwrap_or_else(|error| panic!("write of slot {slot}: {error}"));
            // One call, so that lines of several threads do not mix.
            acked.write_all(format!("{slot} {version}\n").as_bytes()).unwrap();
        }
    }
}

/// Every version noted is on the file, or the one after it.
pub(crate) fn check() {
    let noted = std::fs::read_to_string(path("WRITER_ACKED")).unwrap();
    let mut last = BTreeMap::new();
    for line in noted.lines() {
        let (slot, version) = line.split_once(' ').unwrap();
        let (slot, version): (u64, u64) = (slot.parse().unwrap(), version.parse().unwrap());
        last.insert(slot, version);
    }
    let file = OpenOptions::new().read(true).custom_flags(O_DIRECT).open(path("WRITER_FILE")).unwrap();
    let mut block = Aligned::new();
    let mut lost = Vec::new();
    for (slot, acked) in &last {
        file.read_exact_at(block.block(), offset(*slot)).unwrap();
        match block.version(*slot) {
            Ok(found) if found == *acked || found == acked + 1 => {}
            Ok(found) => lost.push(format!("slot {slot} holds version {found}; {acked} was acknowledged")),
            Err(torn) => lost.push(torn),
        }
    }
    assert!(lost.is_empty(), "{}", lost.join("\n"));
    assert!(!last.is_empty(), "nothing was acknowledged");
    println!("checked: {} acknowledged writes, the last of each of {} slots on the file", noted.lines().count(), last.len());
}
