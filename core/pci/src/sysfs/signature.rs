//! What seems to be on a disk: marks that file systems, partition tables and the like leave at fixed places.
//!
//! To keep people from losing data, not to tell formats apart: a mark is enough.

use std::fs::File;
use std::os::unix::fs::FileExt;

struct Mark {
    /// Where; from the end of the disk when negative.
    at: i64,
    bytes: &'static [u8],
    what: &'static str,
}

const fn mark(at: i64, bytes: &'static [u8], what: &'static str) -> Mark {
    Mark { at, bytes, what }
}

const MARKS: &[Mark] = &[
    mark(512, b"EFI PART", "a partition table (GPT)"),
    mark(4096, b"EFI PART", "a partition table (GPT)"),
    mark(-512, b"EFI PART", "the copy of a partition table (GPT)"),
    mark(-4096, b"EFI PART", "the copy of a partition table (GPT)"),
    mark(0x438, &[0x53, 0xef], "an ext file system"),
    mark(0, b"XFSB", "an XFS file system"),
    mark(0x1_0040, b"_BHRfS_M", "a btrfs file system"),
    mark(0x400, &[0x10, 0x20, 0xf5, 0xf2], "an F2FS file system"),
    mark(3, b"NTFS    ", "an NTFS file system"),
    mark(3, b"EXFAT   ", "an exFAT file system"),
    mark(0x36, b"FAT1", "a FAT file system"),
    mark(0x52, b"FAT32", "a FAT file system"),
    mark(0x8001, b"CD001", "an ISO 9660 file system"),
    mark(0, b"hsqs", "a squashfs file system"),
    mark(0x1_0034, b"ReIsErFs", "a ReiserFS file system"),
    mark(0x1_0034, b"ReIsEr2Fs", "a ReiserFS file system"),
    mark(0x1018, &[0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca], "bcache or bcachefs data"),
    mark(0, b"LABELONE", "an LVM volume"),
    mark(512, b"LABELONE", "an LVM volume"),
    mark(1024, b"LABELONE", "an LVM volume"),
    mark(1536, b"LABELONE", "an LVM volume"),
    mark(0, b"LUKS\xba\xbe", "an encrypted volume (LUKS)"),
    mark(0, b"SKUL\xba\xbe", "the copy of an encrypted volume's header (LUKS)"),
    mark(3, b"-FVE-FS-", "an encrypted volume (BitLocker)"),
    mark(4086, b"SWAPSPACE2", "swap space"),
    mark(0x1000, &[0xfc, 0x4e, 0x2b, 0xa9], "a RAID member (md)"),
    mark(0, &[0xfc, 0x4e, 0x2b, 0xa9], "a RAID member (md)"),
    mark(-0x2000, &[0xfc, 0x4e, 0x2b, 0xa9], "a RAID member (md)"),
    mark(0, b"bluestore block device", "a Ceph OSD"),
    mark(0x0020_0000, b"\x5e\xf1\xab\x2f", "a VMFS volume"),
];

/// What there is on a disk of `len` bytes; what cannot be read is an error.
pub(super) fn look(disk: &File, len: u64) -> std::io::Result<Option<&'static str>> {
    // One read for what is near the start; the few others go where they are.
    let mut head = vec![0; len.min(0x1_1000) as usize];
    disk.read_exact_at(&mut head, 0)?;
    for mark in MARKS {
        let at = if mark.at < 0 { len.checked_add_signed(mark.at) } else { u64::try_from(mark.at).ok() };
        let Some(at) = at else { continue };
        if is_at(disk, len, &head, at, mark.bytes)? {
            return Ok(Some(mark.what));
        }
    }
    if is_mbr(&head) {
        return Ok(Some("a partition table (MBR)"));
    }
    // ZFS: one of the first label's uberblocks; which of them is used says nothing to us.
    let mut label = vec![0; 0x2_0000];
    if len >= 0x4_0000 {
        disk.read_exact_at(&mut label, 0x2_0000)?;
        const UBER: [u8; 8] = 0x00ba_b10c_u64.to_le_bytes();
        let swapped: Vec<u8> = UBER.iter().rev().copied().collect();
        if label.chunks_exact(1024).any(|block| block.starts_with(&UBER) || block.starts_with(&swapped)) {
            return Ok(Some("a ZFS pool's member"));
        }
    }
    Ok(None)
}

fn is_at(disk: &File, len: u64, head: &[u8], at: u64, bytes: &[u8]) -> std::io::Result<bool> {
    let end = at + bytes.len() as u64;
    if end > len {
        return Ok(false);
    }
    if let Some(found) = head.get(at as usize..end as usize) {
        return Ok(found == bytes);
    }
    let mut found = vec![0; bytes.len()];
    disk.read_exact_at(&mut found, at)?;
    Ok(found == bytes)
}

/// The mark of a boot record, and entries that look like some: states 0 or 0x80, and one that has a kind and a length.
fn is_mbr(head: &[u8]) -> bool {
    let Some(table) = head.get(446..512) else { return false };
    let (entries, mark) = table.split_at(64);
    let entries = entries.chunks_exact(16);
    let sane = entries.clone().all(|entry| entry.first().is_some_and(|state| state & 0x7f == 0));
    let any =
        entries.clone().any(|e| e.get(4).is_some_and(|kind| *kind != 0) && e.get(12..).is_some_and(|len| len.iter().any(|b| *b != 0)));
    mark == [0x55, 0xaa] && sane && any
}
