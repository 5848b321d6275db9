//! Clients of vfio-user that do anything: by message, and in the memory that they share.

use super::Bytes;
use crate::VfioUserOptions;
use crate::vfio_user::rig::{BASE, DATA, Guest, LEN, Peer, Rig, prp};
use doorbell_sys::passed::{Bell, sealed_memory};
use doorbell_wire_nvme::{IoCommand, ReadWrite, Sqe, view};
use doorbell_wire_vfio_user::{Command, Header, HeaderFlags};
use std::os::fd::{AsFd, OwnedFd};

/// Descriptors that a message may bring: memory, an event counter, one that is neither.
#[allow(clippy::unwrap_used)] // Fuzzers have descriptors.
fn descriptors(kinds: u8) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    for n in 0..kinds & 3 {
        fds.push(match (kinds >> 2).wrapping_add(n) % 3 {
            0 => sealed_memory("fuzz", 1 << 16).unwrap(),
            1 => Bell::of_our_own().unwrap().as_fd().try_clone_to_owned().unwrap(),
            _ => std::io::pipe().unwrap().0.into(),
        });
    }
    fds
}

/// The client goes; nothing of it stays, and the next one is served.
fn ends_well(mut rig: Rig) {
    rig.settle();
    rig.advance(60_000_000_000);
    assert!(!rig.is_busy(), "what is left of a client holds up the next one");
    assert_eq!(rig.cx.boxes_out(), 0, "boxes were lost");
    let mut guest = Guest::new(&mut rig);
    guest.create(&mut rig, 1);
    let read = prp(IoCommand::Read(ReadWrite { blocks: 8, ..ReadWrite::default() }).encode().with_nsid(1), BASE + DATA, 0);
    assert!(guest.command(&mut rig, 1, &read).status().is_ok(), "the next client is not served");
}

/// Drives the server with what `data` says: messages whole and broken, with descriptors and without, bytes as they are, time.
///
/// # Panics
/// If the server has a bug: it hangs, loses boxes, or does not serve the next client.
pub fn fuzz_vfio_user_messages(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mode = bytes.byte().unwrap_or(0);
    let options = VfioUserOptions { mappable_doorbells: mode & 4 == 0, ..VfioUserOptions::default() };
    let mut rig = Rig::new(options, crate::MemoryDevice::new(9, 64), 16);
    let mut peer: Peer = if mode & 2 != 0 { Guest::attached(&mut rig).peer } else { rig.connect() };
    if mode & 3 == 1 {
        let _ = peer.version(&mut rig);
    }
    while let Some(op) = bytes.byte() {
        match op & 7 {
            0 => peer.send(bytes.take(usize::from(op >> 3) + 1), &[]),
            1..=3 => {
                let (command, kinds) = (bytes.byte().unwrap_or(0), bytes.byte().unwrap_or(0));
                let body = bytes.take(usize::from(op >> 3) * 4).to_vec();
                let flags = HeaderFlags(u32::from(kinds >> 6) << 4);
                let size = u32::try_from(16 + body.len()).unwrap_or(16);
                let header = Header { id: 7, command: Command((command % 24).into()), size, flags, error: 0 };
                let fds = descriptors(kinds);
                let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                peer.send(&[&header.encode()[..], &body].concat(), &fds);
            }
            4 => rig.advance(u64::from(op >> 3) * 1_000_000_000),
            5 => drop(peer.hear()),
            _ => rig.settle(),
        }
    }
    drop(peer);
    ends_well(rig);
}

/// Drives a function with what `data` says: commands with hostile pointers, lists, doorbells and registers.
///
/// # Panics
/// As [`fuzz_vfio_user_messages`].
pub fn fuzz_memory_queues(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mode = bytes.byte().unwrap_or(0);
    let mut rig = Rig::new(VfioUserOptions::default(), crate::MemoryDevice::new(9, 256).volatile(), if mode & 1 == 0 { 32 } else { 2 });
    let mut guest = Guest::new(&mut rig);
    guest.create(&mut rig, 1);
    while let Some(op) = bytes.byte() {
        let qid = u16::from(op >> 7);
        match op & 7 {
            // An entry as it is.
            0 => {
                let sqe = view::<Sqe>(bytes.take(64)).copied().unwrap_or_default();
                guest.push(qid, &sqe);
                guest.kick(&mut rig, qid);
            }
            // A transfer whose pointers are near what there is.
            1 | 2 => {
                let [blocks, lba, one, two] = bytes.word().to_le_bytes();
                let rw = ReadWrite { slba: lba.into(), blocks: u32::from(blocks) + 1, ..ReadWrite::default() };
                let command = if op & 7 == 1 { IoCommand::Read(rw) } else { IoCommand::Write(rw) };
                let near = |n: u8| (BASE + LEN - 0x8_0000).wrapping_add(u64::from(n) * 4088);
                guest.push(1, &prp(command.encode().with_nsid(1), near(one), near(two)));
                guest.kick(&mut rig, 1);
            }
            // A doorbell.
            3 => {
                let word = bytes.word();
                guest.ring(&mut rig, (word & 0x3f) * 4, word >> 8);
            }
            // A list, or whatever lies there.
            4 => {
                let at = u64::from(bytes.word()) % (LEN - 512);
                let part = bytes.take(usize::from(op >> 3) * 8);
                let absolute: Vec<u8> = part
                    .chunks_exact(8)
                    .flat_map(|c| c.first_chunk().map_or(0, |c| u64::from_le_bytes(*c) & 0x3f_ffff).wrapping_add(BASE).to_le_bytes())
                    .collect();
                guest.put(at, &absolute);
            }
            // A register.
            5 => {
                let (at, value) = (bytes.byte().unwrap_or(0), bytes.word());
                let _ = guest.peer.write(&mut rig, 0, u64::from(at & 0x3f) * 4, &value.to_le_bytes());
            }
            6 => drop(guest.reap(&mut rig, qid)),
            _ => rig.settle(),
        }
    }
    drop(guest);
    ends_well(rig);
}
