//! A controller in memory that does anything with the driver's commands, with readers and writers on top of the driver.

use doorbell_nvme_model::trial::Trial;

/// Bytes as [`Trial::of_bytes`] reads them: what the controller is, what it does wrong, and what becomes of each of its commands.
pub fn run(data: &[u8]) {
    let outcome = Trial::of_bytes(data).run();
    assert!(outcome.wrong.is_empty(), "{:?}", outcome.wrong);
}

/// Operations, seed, queues, entries, flags, fused blocks, vectors, coalescing, events; then CSTS, identify data (2), removal (2), a fatal
/// error, namespaces that leave, two rates (4); then a script.
fn trial(is: [u8; 9], does: [u8; 11], script: &[u8]) -> Vec<u8> {
    [&is[..], &does[..], script].concat()
}

const NOTHING: [u8; 11] = [0; 11];
/// Shadow doorbells, scatter gather lists, and reactors that sleep.
const ALL: u8 = 0b1_0101;

/// Controllers of all kinds: without a fault, with interrupts, with every fault of a command in a row, with failures and removal on the way.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let usual = [5, 1, 0, 0, 0, 0, 0, 0, 0];
    let awake = [5, 2, 0, 1, ALL, 1, 0, 0, 1];
    let sleepy = [11, 3, 1, 2, ALL, 2, 2, 1, 0];
    // Bring-up takes a dozen commands.
    let later = |faults: &[u8]| [&[0; 16][..], faults].concat();
    let twice = [0, 0, 0, 0, 0, 0, 0, 4, 100, 6, 100];
    vec![
        ("honest", trial(usual, NOTHING, &[])),
        ("shadows", trial(awake, NOTHING, &[])),
        ("interrupts", trial(sleepy, NOTHING, &[])),
        ("muted", trial(sleepy, [0, 0, 0, 0, 0, 0, 0, 11, 160, 12, 20], &[])),
        ("at_bring_up", trial(usual, NOTHING, &[0, 0x16, 0, 1, 0x26, 4, 5])),
        ("each_fault", trial(usual, NOTHING, &later(&[2, 0, 3, 0, 4, 5, 0x06, 0x56, 0xe6, 1]))),
        ("fails", trial(awake, NOTHING, &later(&[0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8]))),
        ("leaves", trial(usual, NOTHING, &later(&[0, 0, 2, 9]))),
        ("twice", trial(sleepy, twice, &[])),
        ("never_stops", trial(usual, [2, 0, 0, 0, 0, 40, 0, 2, 20, 0, 0], &[])),
    ]
}
