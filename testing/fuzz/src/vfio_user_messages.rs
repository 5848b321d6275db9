//! A client of vfio-user that says anything, with and without descriptors.

use doorbell_nvmf::fuzzing::fuzz_vfio_user_messages;

/// Byte 0: whether the version is agreed on (bit 0), whether memory is mapped too (1), whether doorbells come as messages (2). Then operations,
/// the kind in the low three bits of each: bytes as they are, messages (command, descriptors, body), time, reading, settling.
pub fn run(data: &[u8]) {
    fuzz_vfio_user_messages(data);
}

const AGREED: u8 = 1;
const MAPPED: u8 = 2;
const SETTLE: u8 = 7;

/// A message of so many words.
fn message(command: u8, descriptors: u8, words: &[u32]) -> Vec<u8> {
    let head = [(words.len() as u8) << 3 | 1, command, descriptors];
    [&head[..], &words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>()].concat()
}

/// A conversation each.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let say = |mode: u8, parts: &[Vec<u8>]| [&[mode][..], &parts.concat(), &[SETTLE]].concat();
    let map = message(2, 1, &[32, 3, 0, 0, 0x10_0000, 0, 0x1_0000, 0]);
    let unmap = message(3, 0, &[24, 0, 0x10_0000, 0, 0x1_0000, 0]);
    let irqs = message(8, 1 | 4, &[20, 0x24, 2, 0, 1]);
    let register = |at: u32, value: u32| message(10, 0, &[at, 0, 0, 4, value]);
    let reset = message(13, 0, &[]);
    vec![
        ("version", say(0, &[message(1, 0, &[0x1_0000])])),
        (
            "info_of_all",
            say(AGREED, &[message(4, 0, &[16, 0, 0, 0]), message(5, 0, &[64, 0, 0, 0, 0, 0, 0, 0]), message(7, 0, &[16, 0, 2, 0])]),
        ),
        ("map_and_unmap", say(AGREED, &[map.clone(), unmap, reset.clone()])),
        ("interrupts", say(AGREED, &[irqs, message(8, 0, &[20, 0x21, 2, 0, 0])])),
        ("enable", say(MAPPED, &[register(0x24, 0x1f_001f), register(0x2c, 1), register(0x34, 1), register(0x14, 0x46_0001), reset])),
        ("half", say(AGREED, &[vec![31 << 3, 1, 0, 2, 0, 48, 0], vec![11 << 3 | 4]])),
    ]
}
