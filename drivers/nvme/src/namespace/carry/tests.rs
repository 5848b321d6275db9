//! What travels, and what comes back of it: every way, with pieces that begin anywhere.

use super::*;
use doorbell_block::Status;

const SHIFT: u8 = 9;
const BLOCKS: u32 = 6;

fn format(bytes: u16, extended: bool) -> Format {
    Format { metadata_bytes: bytes, extended, ..Format::default() }
}

/// A list of `bytes`, in pieces that end after `cuts`.
fn list(cx: &mut Cx, bytes: &[u8], cuts: &[u32]) -> SgList {
    let buffer = cx.buffer(bytes.len() as u32).unwrap();
    buffer.write_at(0, bytes);
    let mut list = SgList::default();
    let mut at = 0;
    for end in cuts.iter().copied().chain([buffer.len()]).filter(|end| *end <= buffer.len()) {
        list.push(buffer.slice(at, end - at));
        at = end;
    }
    list
}

fn bytes(list: &SgList) -> Vec<u8> {
    let mut bytes = vec![0; list.bytes() as usize];
    list.read_at(0, &mut bytes);
    bytes
}

fn pattern(len: u32, by: u32) -> Vec<u8> {
    (0..len).map(|n| (n * by + n / 256) as u8).collect()
}

/// What a controller should see of a run of blocks: data, and metadata that lies apart.
fn expected(data: &[u8], meta: &[u8], format: Format) -> (Vec<u8>, Vec<u8>) {
    if !format.extended {
        return (data.to_vec(), meta.to_vec());
    }
    let blocks = data.chunks(1 << SHIFT).zip(meta.chunks(format.metadata_bytes.into()));
    (blocks.flat_map(|(data, meta)| [data, meta].concat()).collect(), vec![])
}

fn one_way(format: Format, has_meta: bool, op: Op, copied: Copied) {
    let mut cx = Cx::for_test(4, 8192, 8);
    let data = pattern(BLOCKS << SHIFT, 7);
    let mut meta = pattern(BLOCKS * u32::from(format.metadata_bytes), 11);
    if !has_meta {
        meta.fill(0);
    }
    let mut io = cx.take_io().unwrap();
    (io.op, io.blocks) = (op, BLOCKS);
    let (there, meta_there) = if op == Op::Read { (vec![0xa5; data.len()], vec![0xa5; meta.len()]) } else { (data.clone(), meta.clone()) };
    io.sg = list(&mut cx, &there, &[100, 512, 1500]);
    if has_meta {
        io.meta = list(&mut cx, &meta_there, &[3, 20]);
    }
    let aside = prepare(&mut cx, &mut io, format, SHIFT, copied).unwrap();
    let (on_wire, apart) = expected(&data, &meta, format);
    if op == Op::Write {
        assert!(bytes(&io.sg) == on_wire && bytes(&io.meta) == apart, "{format:?} {has_meta} {copied:?}");
    } else {
        assert_eq!((io.sg.bytes() as usize, io.meta.bytes() as usize), (on_wire.len(), apart.len()));
        io.sg.write_at(0, &on_wire);
        io.meta.write_at(0, &apart);
    }
    if copied == Copied::All {
        assert!(io.sg.segs().len() == 1 && io.meta.segs().len() <= 1, "in one piece each");
    }
    io.status = Status::Ok;
    if let Some(aside) = aside {
        assert_eq!(aside.is_copied(), copied == Copied::All);
        aside.restore(&mut io, format, SHIFT);
    }
    assert!(bytes(&io.sg) == data, "{format:?} {has_meta} {op:?} {copied:?}");
    assert!(bytes(&io.meta) == if has_meta { meta } else { vec![] }, "{format:?} {has_meta} {op:?} {copied:?}");
    assert_eq!(io.sg.segs().len(), 4, "its own pieces");
    cx.put_io(io);
}

#[test]
fn what_travels_is_what_the_controller_wants_and_comes_back_as_it_was() {
    for format in [format(8, false), format(8, true), format(64, false), format(5, true)] {
        for copied in [Copied::Least, Copied::All] {
            for (has_meta, op) in [(true, Op::Write), (true, Op::Read), (false, Op::Write), (false, Op::Read)] {
                one_way(format, has_meta, op, copied);
            }
        }
    }
}

#[test]
fn without_a_buffer_a_request_stays_as_it_was() {
    for format in [format(8, false), format(8, true)] {
        let mut cx = Cx::for_test(4, 4096, 2);
        let mut io = cx.take_io().unwrap();
        (io.op, io.blocks) = (Op::Write, BLOCKS);
        io.sg = list(&mut cx, &pattern(BLOCKS << SHIFT, 3), &[]);
        let other = cx.buffer(1).unwrap();
        assert!(prepare(&mut cx, &mut io, format, SHIFT, Copied::Least).is_none());
        assert!(bytes(&io.sg) == pattern(BLOCKS << SHIFT, 3) && io.meta.is_empty());
        drop(other);
        cx.put_io(io);
    }
}

/// What has no buffer so large is refused by whoever asks `in_one_piece`: here it would wait for ever.
#[test]
fn what_goes_in_one_piece_is_known_before_it_is_asked_for() {
    for (format, copied, brought, expected) in [
        (format(128, false), Copied::Least, 0, 768),
        (format(128, false), Copied::Least, 1, 0),
        (format(128, false), Copied::Least, 2, 768),
        (format(128, false), Copied::All, 1, 768),
        (format(128, true), Copied::Least, 0, 768),
        (format(128, true), Copied::Least, 1, 0),
        (format(128, true), Copied::All, 1, 0),
    ] {
        let mut cx = Cx::for_test(4, 512, 64);
        let mut io = cx.take_io().unwrap();
        (io.op, io.blocks) = (Op::Write, BLOCKS);
        assert!(cx.gather(BLOCKS << SHIFT, &mut io.sg));
        for _ in 0..brought {
            io.meta.push(Seg::clone(io.sg.segs().first().unwrap()).slice(0, 768 / brought / 2));
        }
        let needed = in_one_piece(&io, format, copied);
        assert_eq!(needed, expected, "{format:?} {copied:?} {brought}");
        if needed > cx.largest_buffer() {
            assert!(prepare(&mut cx, &mut io, format, SHIFT, copied).is_none());
        }
        cx.put_io(io);
    }
}

#[test]
fn words_say_whose_metadata_it_is() {
    let mut cx = Cx::for_test(1, 512, 1);
    let mut io = cx.take_io().unwrap();
    assert_eq!(maker(word(&io)), Maker::Controller);
    io.meta = list(&mut cx, &[0; 8], &[]);
    assert_eq!(maker(word(&io)), Maker::Sender);
    cx.put_io(io);
}
