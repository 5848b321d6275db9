//! A controller that does anything with a host's queue over NVMe/TCP.

use doorbell_nvme::fuzzing::fuzz_link;

/// Byte 0: digests (bits 0 and 1), whether a handshake comes first (2), admin or I/O queue (3), flow control (4), alignment (6 and 7).
/// Then operations, the kind in the low three bits of each: bytes as they are, completions, data, R2Ts, commands of the host, reaping,
/// time, reading.
pub fn run(data: &[u8]) {
    fuzz_link(data);
}

const READY: u8 = 0b100;
const DIGESTS: u8 = 0b11;
const FLOW: u8 = 0b1_0000;

const REAP: u8 = 31 << 3 | 5;
const DRAIN: u8 = 7;

fn submit(kind: u8, units: u8) -> Vec<u8> {
    vec![kind << 3 | 4, units]
}

/// `units`: of 64 bytes, `at`: of 512. `flags`: 1 last, 3 last and success.
fn data(pick: u8, at: u8, units: u8, flags: u8) -> Vec<u8> {
    vec![flags << 3 | 2, pick, at, units]
}

/// A connection each: that behaves, that lies in one way or another, that speaks another protocol, that says nothing.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let say = |mode: u8, parts: &[&[u8]]| [&[mode][..], &parts.concat()].concat();
    let (read, long_write) = (submit(3, 8), submit(1, 40));
    let done = |pick: u8| vec![1, pick, 0];
    let r2t = |at: u8, units: u8| vec![3, 0, at, units];
    vec![
        ("read", say(READY, &[&read, &[DRAIN], &data(0, 0, 64, 3), &[REAP]])),
        ("read_digests", say(READY | DIGESTS, &[&read, &data(0, 0, 32, 0), &data(0, 4, 32, 1), &done(0), &[REAP]])),
        ("write", say(READY, &[&long_write, &[DRAIN], &r2t(0, 20), &r2t(20, 20), &[REAP, DRAIN], &done(0), &[REAP]])),
        ("flow_control", say(READY | FLOW, &[&submit(0, 0), &[2 << 3 | 1, 0, 0], &[REAP], &submit(0, 0), &[3 << 3 | 1, 0, 0], &[REAP]])),
        ("data_beyond", say(READY, &[&read, &data(0, 0, 65, 1), &[REAP]])),
        ("r2t_beyond", say(READY, &[&long_write, &r2t(30, 20), &[REAP]])),
        ("done_twice", say(READY, &[&submit(0, 0), &[REAP], &done(0), &done(0), &[REAP]])),
        ("other_protocol", say(0, &[&[24 << 3], b"HTTP/1.1 400 Bad Request\r\n", &[REAP]])),
        ("silence", say(0, &[&[11 << 3 | 6], &[REAP]])),
    ]
}
