use super::*;
use crate::field::put;
use crate::{BsType, Cluster, PAGE_LEN, PageBytes, Plan, seal};
use std::vec::Vec;

const ID: BlobId = BlobId::of_root(MdPage(2));

/// 63 clusters of data and 64 metadata pages.
fn geometry() -> Geometry {
    let plan = Plan { device_bytes: 64 << 20, cluster_bytes: 1 << 20, ..Plan::default() };
    Geometry::of(&plan.super_block(BsType::ANY).unwrap(), 64 << 20).unwrap()
}

type Descriptors<'a> = &'a [(u8, Vec<u8>)];

fn page(sequence: u32, next: MdPage, descriptors: Descriptors<'_>) -> PageBytes {
    let mut page = [0; PAGE_LEN];
    put(&mut page, 0, &ID.to_raw().to_le_bytes());
    put(&mut page, 8, &sequence.to_le_bytes());
    let mut at = 16;
    for (kind, payload) in descriptors {
        put(&mut page, at, &[*kind]);
        put(&mut page, at + 1, &(payload.len() as u32).to_le_bytes());
        put(&mut page, at + 5, payload);
        at += 5 + payload.len();
    }
    put(&mut page, 4088, &next.0.to_le_bytes());
    seal(&mut page);
    page
}

fn flags(invalid: u64) -> (u8, Vec<u8>) {
    (3, [invalid, 0, 0].map(u64::to_le_bytes).concat())
}

fn pairs(of: &[(u32, u32)]) -> Vec<u8> {
    of.iter().flat_map(|(a, b)| [a.to_le_bytes(), b.to_le_bytes()].concat()).collect()
}

fn rle(of: &[(u32, u32)]) -> (u8, Vec<u8>) {
    (1, pairs(of))
}

fn table(clusters: u64, of: &[(u32, u32)]) -> (u8, Vec<u8>) {
    (5, [clusters.to_le_bytes().to_vec(), pairs(of)].concat())
}

fn attribute(kind: u8, name: &[u8], value: &[u8]) -> (u8, Vec<u8>) {
    (kind, [&(name.len() as u16).to_le_bytes()[..], &(value.len() as u16).to_le_bytes(), name, value].concat())
}

/// What a chain of pages 2, 10, 11, … with these descriptors is, and what it referred to.
fn read(pages: &[Descriptors<'_>]) -> (Result<Head, Fault>, Vec<Run>, Vec<TableRun>) {
    let places: Vec<MdPage> = (0..pages.len() as u32).map(|n| MdPage(if n == 0 { 2 } else { 9 + n })).collect();
    let (mut runs, mut entries) = (Vec::new(), Vec::new());
    let mut reader = ChainReader::new(&geometry(), ID);
    for (n, descriptors) in pages.iter().enumerate() {
        let bytes = page(n as u32, places.get(n + 1).copied().unwrap_or(MdPage::END), descriptors);
        let at = reader.wanted().unwrap();
        let take = |part: Part<'_>| match part {
            Part::Clusters(run) => runs.push(run),
            Part::ExtentPages(run) => entries.push(run),
            _ => {}
        };
        reader.push(at, &ChainPage::decode(at, &bytes).unwrap(), take).unwrap();
    }
    (reader.finish().map_err(|e| e.fault), runs, entries)
}

fn head(descriptors: Descriptors<'_>) -> Result<Head, Fault> {
    read(&[descriptors]).0
}

#[test]
fn a_chain_without_anything_is_an_empty_blob() {
    let found = head(&[]).unwrap();
    assert_eq!((found.flags, found.map, found.pages, found.parent), (Flags::default(), MapKind::Rle { clusters: 0 }, 1, None));
    assert_eq!(head(&[flags(4), table(0, &[])]).unwrap().map, MapKind::Table { clusters: 0 });
}

#[test]
fn the_map_that_is_found_counts_and_not_the_flag() {
    assert_eq!(head(&[flags(4), rle(&[(5, 3), (20, 1)])]).unwrap().map, MapKind::Rle { clusters: 4 });
    assert_eq!(head(&[flags(0), table(513, &[(7, 1), (8, 1)])]).unwrap().map, MapKind::Table { clusters: 513 });
    assert_eq!(head(&[rle(&[(5, 3)]), table(3, &[(7, 1)])]), Err(Fault::TwoMaps));
    assert_eq!(head(&[table(3, &[(7, 1)]), rle(&[(5, 3)])]), Err(Fault::TwoMaps));
    assert_eq!(head(&[(6, pairs(&[(0, 5)]))]), Err(Fault::ExtentPageInChain));
}

#[test]
fn a_table_may_be_split_in_any_way() {
    let one = [flags(1), table(1025, &[(7, 1)])];
    let (two, three) = ([table(1025, &[])], [table(1025, &[(0, 2)])]);
    let (found, _, entries) = read(&[&one, &two, &three]);
    assert_eq!(found.unwrap().map, MapKind::Table { clusters: 1025 });
    assert_eq!(entries, [TableRun { page: MdPage(7), count: 1 }, TableRun { page: MdPage(0), count: 2 }]);
    let other = [table(1024, &[(0, 2)])];
    assert_eq!(read(&[&one, &other]).0, Err(Fault::TableSizes { first: 1025, found: 1024 }));
}

#[test]
fn a_table_has_an_entry_for_each_512_clusters() {
    assert_eq!(head(&[flags(1), table(513, &[(7, 1)])]), Err(Fault::TableEntries { expected: 2, found: 1 }));
    assert_eq!(head(&[flags(1), table(512, &[(7, 1), (0, 1)])]), Err(Fault::TableEntries { expected: 1, found: 2 }));
    assert_eq!(head(&[flags(1), table(0, &[(0, u32::MAX)])]), Err(Fault::TableEntries { expected: 0, found: u32::MAX.into() }));
    assert_eq!(head(&[flags(1), table(1024, &[(7, 2)])]), Err(Fault::RepeatedPage(MdPage(7))));
    assert_eq!(head(&[flags(1), table(1024, &[(7, 1), (64, 1)])]), Err(Fault::PageOutside(MdPage(64))));
    // As large as it says, without a byte for it anywhere.
    assert_eq!(head(&[flags(1), table(1 << 40, &[(0, 1 << 31)])]).unwrap().map.clusters(), 1 << 40);
    assert!(head(&[flags(1), table(u64::MAX, &[(0, u32::MAX); 20])]).is_err());
}

#[test]
fn holes_are_for_thin_blobs() {
    assert_eq!(head(&[rle(&[(5, 1), (0, 2)])]), Err(Fault::HoleInThick));
    assert_eq!(head(&[table(513, &[(7, 1), (0, 1)])]), Err(Fault::HoleInThick));
    assert!(head(&[rle(&[(5, 1), (0, 2)]), flags(1)]).is_ok(), "wherever the flags stand");
    assert!(head(&[flags(1), table(513, &[(7, 1), (0, 1)])]).is_ok());
}

#[test]
fn clusters_outside_make_it_unfit_and_the_others_are_still_its_own() {
    for wrong in [(64, 1), (63, 2), (u32::MAX, 1), (5, u32::MAX)] {
        let (found, runs, _) = read(&[&[rle(&[wrong, (8, 2)])]]);
        assert_eq!(found, Err(Fault::ClusterOutside(Cluster(wrong.0))));
        assert_eq!(runs, [Run { cluster: Cluster(8), count: 2 }]);
    }
    assert!(head(&[rle(&[(63, 1), (1, 1)])]).is_ok());
    assert!(head(&[flags(1), rle(&[(0, u32::MAX), (0, u32::MAX)])]).unwrap().map.clusters() > u64::from(u32::MAX));
}

#[test]
fn unknown_descriptors_and_flags_are_passed_over() {
    let found = head(&[flags(1 << 20), (77, [1, 2, 3].to_vec()), rle(&[(5, 1)])]).unwrap();
    assert_eq!((found.flags.access(), found.map), (crate::Access::None, MapKind::Rle { clusters: 1 }));
    // One that is malformed hides what follows on its page, not the pages after it.
    let (found, runs, _) = read(&[&[(3, [0; 23].to_vec()), rle(&[(5, 1)])], &[rle(&[(6, 1)])]]);
    assert!(matches!(found, Err(Fault::Page(PageFault { page: MdPage(2), damage: Damage::Length { .. } }))));
    assert_eq!(runs, [Run { cluster: Cluster(6), count: 1 }]);
}

#[test]
fn parents_and_markers() {
    let id = |n: u32| BlobRef::from(BlobId::of_root(MdPage(n)));
    let snap = |name: &[u8], n: u32| attribute(4, name, &id(n).to_raw().to_le_bytes());
    let found = head(&[flags(1), snap(b"SNAP", 7), snap(b"SNAP", 8), snap(b"SNAPTMP", 9), snap(b"SNAPRM", 10)]).unwrap();
    assert_eq!((found.parent, found.being_made_of, found.being_deleted_into), (Some(id(7)), Some(id(9)), Some(id(10))), "the first counts");
    assert_eq!(head(&[snap(b"SNAP", 7)]).unwrap().parent, None, "a thick blob has no parent");
    assert_eq!(head(&[flags(1), attribute(2, b"SNAP", &[0; 8])]).unwrap().parent, None, "users' names are apart");
    assert_eq!(head(&[flags(1), attribute(4, b"SNAP", &[0; 7])]), Err(Fault::ParentLength));
    assert!(head(&[flags(0), attribute(4, b"SNAP", &[0; 7])]).is_ok());
    let external = attribute(4, b"EXTSNAP", b"somewhere");
    assert_eq!(head(&[flags(9)]), Err(Fault::NoExternalParent));
    assert_eq!(head(&[flags(9), external.clone(), attribute(4, b"SNAP", &[0; 7])]).unwrap().parent, None);
    let marked = head(&[attribute(4, b"SNAPTMP", b"x")]).unwrap();
    assert_eq!(marked.being_made_of, Some(BlobRef::NONE), "a marker that names nothing is still one");
}

#[test]
fn only_the_page_that_comes_next_is_taken() {
    let push = |reader: &mut ChainReader, at: u32, bytes: &PageBytes| {
        reader.push(MdPage(at), &ChainPage::decode(MdPage(at), bytes).unwrap(), |_| ()).map_err(|e| e.fault)
    };
    let damage = |at: u32, damage| Err(Fault::Page(PageFault { page: MdPage(at), damage }));
    let fresh = ChainReader::new(&geometry(), ID);
    let root = page(0, MdPage(10), &[]);
    assert_eq!(push(&mut fresh.clone(), 3, &root), Err(Fault::Unfinished));
    assert_eq!(push(&mut fresh.clone(), 2, &page(1, MdPage(10), &[])), damage(2, Damage::Sequence { expected: 0, found: 1 }));
    assert_eq!(push(&mut fresh.clone(), 2, &page(0, MdPage(64), &[])), damage(2, Damage::Next(MdPage(64))));
    let mut other = root;
    put(&mut other, 0, &[9]);
    seal(&mut other);
    assert_eq!(push(&mut fresh.clone(), 2, &other), damage(2, Damage::Owner { found: 0x1_0000_0009 }));

    let mut reader = fresh.clone();
    assert_eq!(push(&mut reader, 2, &root), Ok(Some(MdPage(10))));
    assert_eq!(reader.clone().finish().unwrap_err().fault, Fault::Unfinished);
    // A chain that comes back to itself is found by its sequence numbers.
    assert_eq!(push(&mut reader, 10, &page(1, MdPage(10), &[])), Ok(Some(MdPage(10))));
    assert_eq!(push(&mut reader, 10, &page(1, MdPage(10), &[])), damage(10, Damage::Sequence { expected: 2, found: 1 }));
    // And one that is longer than the region by its length.
    let mut reader = fresh;
    push(&mut reader, 2, &root).unwrap();
    for n in 1..64 {
        push(&mut reader, 10, &page(n, MdPage(10), &[])).unwrap();
    }
    assert_eq!(push(&mut reader, 10, &page(64, MdPage(10), &[])), Err(Fault::Endless));
    assert_eq!(ChainReader::new(&geometry(), ID).finish().unwrap_err().fault, Fault::Unfinished);
}
