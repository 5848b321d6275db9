//! A host that does anything with a whole NVMe/TCP target, next to one that behaves and must not notice.

use doorbell_nvmf::fuzzing::fuzz_connection;
use doorbell_wire_nvme::{AdminCommand, Cid, IoCommand, ReadWrite, Sgl, Sqe, bytes};

/// Byte 0: digests (bits 0 and 1), whether a handshake (2) and the connects (3) come first, whether the I/O queue speaks (4).
/// Then operations, the kind in the low three bits of each: bytes as they are, capsules, data, time, the other queue, reading.
pub fn run(data: &[u8]) {
    fuzz_connection(data);
}

const CONNECTED: u8 = 0b1100;
const ON_IO: u8 = 0b1_0000;
const DIGESTS: u8 = 0b11;

const SWITCH: u8 = 5;
const READ: u8 = 6;
const SETTLE: u8 = 7;

fn capsule(sqe: &Sqe, units: u8) -> Vec<u8> {
    [&[units << 3 | 1], bytes(sqe)].concat()
}

fn raw(text: &[u8]) -> Vec<u8> {
    let pieces = text.chunks(32).map(|piece| [&[(piece.len() as u8 - 1) << 3], piece].concat());
    pieces.collect::<Vec<_>>().concat()
}

/// `units`: of 512 bytes, less one.
fn data(units: u8, tag: u8, cid: u8, at: u8, last: bool) -> Vec<u8> {
    vec![units << 3 | 3, tag, cid, at, u8::from(last) << 7]
}

/// A connection each: that behaves, that is cut off at some point, that speaks another protocol, that says nothing.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let on = |cid: u16, sqe: Sqe| sqe.with_cid(Cid(cid)).with_nsid(1);
    let blocks = |blocks: u32| ReadWrite { blocks, ..ReadWrite::default() };
    let transport = |len: u32| Sgl::Transport { len };
    let read = on(1, IoCommand::Read(blocks(8)).encode()).with_sgl(transport(4096));
    let write = on(2, IoCommand::Write(blocks(16)).encode()).with_sgl(transport(8192));
    let flush = on(3, IoCommand::Flush.encode());
    let settle = vec![SETTLE, READ];
    let say = |mode: u8, parts: &[&[u8]]| [&[mode][..], &parts.concat()].concat();
    let whole = [capsule(&write, 0), settle.clone(), data(7, 0, 2, 0, false), data(7, 0, 2, 8, true), settle.clone()].concat();
    let keep_alive = capsule(&AdminCommand::KeepAlive.encode().with_cid(Cid(9)), 0);
    vec![
        ("read_and_flush", say(CONNECTED | ON_IO, &[&capsule(&read, 0), &capsule(&flush, 0), &settle])),
        ("write", say(CONNECTED | ON_IO, &[&whole])),
        ("write_digests", say(CONNECTED | ON_IO | DIGESTS, &[&whole])),
        ("data_out_of_order", say(CONNECTED | ON_IO, &[&capsule(&write, 0), &settle, &data(7, 0, 2, 8, true), &settle])),
        ("data_beyond", say(CONNECTED | ON_IO, &[&capsule(&write, 0), &settle, &data(31, 0, 2, 0, true), &settle])),
        ("two_queues", say(CONNECTED, &[&keep_alive, &[SWITCH], &capsule(&read, 0), &settle, &[SWITCH], &keep_alive, &settle])),
        ("other_protocol", say(0, &[&raw(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:4420\r\n\r\n"), &settle])),
        ("nothing_for_eleven_seconds", say(0, &[&[11 << 3 | 4], &settle])),
    ]
}
