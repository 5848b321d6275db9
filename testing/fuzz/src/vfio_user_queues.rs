//! A client of vfio-user that puts anything into its queues, lists, doorbells and registers.

use doorbell_nvmf::fuzzing::fuzz_memory_queues;
use doorbell_wire_nvme::{AdminCommand, IoCommand, Sqe, bytes};

/// Byte 0: whether boxes are scarce. Then operations, the kind in the low three bits of each: an entry, a read, a write, a doorbell, a list,
/// a register, reading a completion, settling. Bit 7 of an entry and a reading says that it is the I/O queue's.
pub fn run(data: &[u8]) {
    fuzz_memory_queues(data);
}

const IO: u8 = 0x80;
const SETTLE: u8 = 7;
const REAP: u8 = 6;

fn entry(queue: u8, sqe: &Sqe) -> Vec<u8> {
    let mut sqe = *sqe;
    sqe.flags.set_psdt(doorbell_wire_nvme::Psdt::PRP);
    [&[queue], bytes(&sqe)].concat()
}

/// `blocks` less one, where, and the two pointers, in steps of 4088 bytes.
fn transfer(kind: u8, blocks: u8, lba: u8, one: u8, two: u8) -> Vec<u8> {
    vec![kind, blocks, lba, one, two]
}

/// A client each.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let say = |parts: &[Vec<u8>]| [&[0][..], &parts.concat(), &[SETTLE, REAP | IO, REAP]].concat();
    let list: Vec<u8> =
        [&[31 << 3 | 4, 0x08, 0, 0x38, 0][..], &(0..31u64).flat_map(|n| (n * 4096).to_le_bytes()).collect::<Vec<_>>()].concat();
    vec![
        ("read_and_write", say(&[transfer(1, 7, 0, 0, 2), transfer(2, 15, 3, 4, 8)])),
        ("list", say(&[list, transfer(1, 63, 0, 0, 1)])),
        ("beyond", say(&[transfer(1, 255, 250, 120, 130)])),
        ("flush", say(&[entry(IO, &IoCommand::Flush.encode().with_nsid(1))])),
        ("event_request", say(&[entry(0, &AdminCommand::AsyncEventRequest.encode())])),
        ("doorbells", say(&[vec![3, 2, 77, 0, 0], vec![3, 3, 200, 0, 0]])),
        ("off_and_on", say(&[vec![5, 5, 0, 0, 0, 0], vec![5, 5, 1, 0, 0x46, 0], transfer(1, 7, 0, 0, 2)])),
    ]
}
