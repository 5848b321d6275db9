use super::*;
use std::vec;
use std::vec::Vec;

const ID: BlobId = BlobId::of_root(MdPage(0));
const NONE: Xattr<'_> = Xattr { name: b"", value: b"" };

fn chain<'a>(xattrs: &'a [Xattr<'a>], map: Map<'a>) -> Chain<'a> {
    let flags = Flags { invalid: Flags::THIN, ..Flags::default() };
    Chain { id: ID, flags, xattrs, internal: &[], map }
}

fn pages(chain: &Chain<'_>) -> Vec<PageBytes> {
    let followers: Vec<MdPage> = (1..chain.page_count().unwrap() as u32).map(MdPage).collect();
    let mut pages = Vec::new();
    chain
        .write(&followers, |at, page| {
            assert_eq!(at, MdPage(pages.len() as u32));
            pages.push(*page);
        })
        .unwrap();
    pages
}

/// The descriptors of a page: kind, where they begin, length of payload.
fn shape(page: &PageBytes) -> Vec<(u8, usize, usize)> {
    let mut at = 16;
    let mut found = Vec::new();
    while at + 5 <= 4088 && page[at] != 0 {
        let len = crate::field::u32_at(page, at + 1) as usize;
        found.push((page[at], at, len));
        at += 5 + len;
    }
    assert!(page[at.min(4088)..4088].iter().all(|b| *b == 0), "what is unused is zero");
    found
}

#[test]
fn a_descriptor_that_does_not_fit_begins_the_next_page() {
    // Flags take 29 bytes of 4072: an attribute of 4043 fits exactly behind them.
    let value = vec![1; 4043];
    let fits = [Xattr { name: b"n", value: &value[..4043 - 10] }];
    let empty = Map::Rle(&[]);
    assert_eq!(chain(&fits, empty).page_count(), Ok(1));
    let one_more = [Xattr { name: b"n", value: &value[..4043 - 9] }];
    let written = pages(&chain(&one_more, empty));
    assert_eq!((shape(&written[0]), shape(&written[1])), (vec![(3, 16, 24)], vec![(2, 16, 4 + 4043 - 8)]));
    assert_eq!((written[0][8], written[1][8], written[0][4088..4092].to_vec()), (0, 1, vec![1, 0, 0, 0]));
    assert_eq!(written[1][4088..4092], [0xff; 4]);
}

#[test]
fn an_extent_list_is_split_and_a_run_of_adjacent_clusters_is_one_pair() {
    let clusters: Vec<Cluster> = [5, 6, 7, 0, 0, 9, 8, 8, u32::MAX, 0].map(Cluster).to_vec();
    let runs: Vec<_> = ClusterRuns(&clusters).collect();
    assert_eq!(runs, [(5, 3), (0, 2), (9, 1), (8, 1), (8, 1), (u32::MAX, 1), (0, 1)]);
    // 29 bytes of flags and 5 of header leave room for 504 pairs; a page of its own has 508.
    let scattered: Vec<Cluster> = (0..504 + 508 + 1).map(|n| Cluster(10 + 2 * n)).collect();
    let written = pages(&chain(&[], Map::Rle(&scattered)));
    let shapes: Vec<_> = written.iter().map(shape).collect();
    assert_eq!(shapes, [vec![(3, 16, 24), (1, 45, 504 * 8)], vec![(1, 16, 508 * 8)], vec![(1, 16, 8)]]);
    assert_eq!(chain(&[], Map::Rle(&scattered[..504 + 508])).page_count(), Ok(2));
    assert_eq!(shape(&pages(&chain(&[], Map::Rle(&[])))[0]), [(3, 16, 24)], "a blob of no size has no list");
}

#[test]
fn a_table_is_always_there_and_its_pieces_repeat_the_size() {
    let none = Map::Table { clusters: 0, pages: &[] };
    assert_eq!(shape(&pages(&chain(&[], none))[0]), [(3, 16, 24), (5, 45, 8)]);
    let places: Vec<MdPage> = [3, 0, 0, 4, 5, 0].map(MdPage).to_vec();
    assert!(PageRuns(&places).eq([(3, 1), (0, 2), (4, 1), (5, 1), (0, 1)]));
    let places: Vec<MdPage> = (1..=504).map(MdPage).collect();
    let clusters = 504 * 512 - 5;
    let written = pages(&chain(&[], Map::Table { clusters, pages: &places }));
    assert_eq!((shape(&written[0]), shape(&written[1])), (vec![(3, 16, 24), (5, 45, 8 + 503 * 8)], vec![(5, 16, 16)]));
    assert!(written.iter().zip([50, 21]).all(|(page, at)| page[at..at + 8] == clusters.to_le_bytes()));
}

#[test]
fn a_piece_at_the_end_of_a_page_may_have_no_entries() {
    let places = [MdPage(7)];
    let table = Map::Table { clusters: 5, pages: &places };
    for left in 0..32 {
        // An attribute that leaves so many bytes behind flags and itself.
        let value = vec![1; 4043 - 10 - left];
        let xattrs = [Xattr { name: b"n", value: &value }];
        let written = pages(&chain(&xattrs, table));
        let (first, second) = (shape(&written[0]), written.get(1).map(shape));
        match left {
            0..13 => assert!(first.len() == 2 && second == Some(vec![(5, 16, 16)]), "{left}: {first:?}"),
            13..21 => assert!(first[2].2 == 8 && second == Some(vec![(5, 16, 16)]), "{left}: {first:?}"),
            _ => assert!(first[2].2 == 16 && second.is_none(), "{left}: {first:?}"),
        }
        let empty = pages(&chain(&xattrs, Map::Table { clusters: 0, pages: &[] }));
        assert_eq!(shape(empty.last().unwrap()).last().unwrap().2, 8, "{left}: it is there, wherever there is room");
    }
}

#[test]
fn what_the_format_has_no_room_for_is_refused() {
    let count = |xattrs: &[Xattr<'_>], map| chain(xattrs, map).page_count();
    let empty = Map::Rle(&[]);
    let value = vec![1; Xattr::LEN_MAX];
    assert_eq!(count(&[Xattr { name: b"n", value: &value[1..] }], empty), Ok(2));
    assert_eq!(count(&[Xattr { name: b"n", value: &value }], empty), Err(Unwritable::XattrTooLong(Xattr::LEN_MAX + 1)));
    for name in [&b""[..], b"a\0b"] {
        assert_eq!(count(&[Xattr { name, ..NONE }], empty), Err(Unwritable::XattrName));
    }
    let pages = [MdPage(4), MdPage::ABSENT];
    assert_eq!(count(&[], Map::Table { clusters: 512, pages: &pages }), Err(Unwritable::TableEntries { expected: 1, found: 2 }));
    let thick = Chain { flags: Flags::default(), ..chain(&[], Map::Table { clusters: 513, pages: &pages }) };
    assert_eq!(thick.page_count(), Err(Unwritable::HoleInThick));
    let thick = Chain { map: Map::Rle(&[Cluster(4), Cluster::NONE]), ..thick };
    assert_eq!(thick.page_count(), Err(Unwritable::HoleInThick));
    let short = chain(&[], empty).write(&[MdPage(1)], |_, _| panic!("nothing is written"));
    assert_eq!(short, Err(Unwritable::Followers { needed: 0, given: 1 }));
}
