//! A small store as SPDK made it, byte for byte: built from values, and read back. 16 MiB of 512-byte blocks in clusters of 1 MiB; a store of
//! logical volumes `lvs0` with `thick1` (three clusters, thick) and `thin1` (four, thin), unloaded cleanly. Then what two operations change.

use doorbell_wire_blob::*;
use sha2::{Digest, Sha256};

const DEVICE: usize = 16 << 20;
const ROOM: usize = 32_768;
const SUPER: BlobId = BlobId::of_root(MdPage(0));
const THICK: BlobId = BlobId::of_root(MdPage(1));
const THIN: BlobId = BlobId::of_root(MdPage(3));
const SNAPSHOT: BlobId = BlobId::of_root(MdPage(4));

const STORE_UUID: &[u8] = b"af7586ae-4671-4a82-a13c-0bf2bab1f9f3\0";
const THICK_UUID: &[u8] = b"9ac04cdb-3590-4706-b552-41c4018a8666\0";
const THIN_UUID: &[u8] = b"975d0227-b187-4801-b2d8-c9043efdac02\0";
const SNAPSHOT_UUID: &[u8] = b"9273a229-af83-4a39-ba1d-fc96949bdefc\0";

fn store(clean: bool) -> (SuperBlock, Geometry) {
    let plan = Plan { device_bytes: DEVICE as u64, ..Plan::default() };
    let sb = plan.super_block(BsType::LVOLSTORE).unwrap();
    let geometry = Geometry::of(&sb, DEVICE as u64).unwrap();
    (SuperBlock { clean, super_blob: SUPER.into(), ..sb }, geometry)
}

/// A name as a new volume has it: padded to 64 bytes.
fn padded(name: &str) -> [u8; 64] {
    let mut value = [0; 64];
    value[..name.len()].copy_from_slice(name.as_bytes());
    value
}

fn attributes<'a>(name: &'a [u8], uuid: &'a [u8]) -> [Xattr<'a>; 2] {
    [Xattr { name: b"name", value: name }, Xattr { name: b"uuid", value: uuid }]
}

fn flags(invalid: u64) -> Flags {
    Flags { invalid: invalid | Flags::EXTENT_TABLE, ..Flags::default() }
}

fn one_page(chain: &Chain<'_>) -> PageBytes {
    let mut written = None;
    chain.write(&[], |_, page| written = Some(*page)).unwrap();
    written.unwrap()
}

fn put_page(image: &mut [u8], geometry: &Geometry, at: MdPage, page: &PageBytes) {
    let offset = geometry.page_offset(at).unwrap() as usize;
    image[offset..offset + PAGE_LEN].copy_from_slice(page);
}

fn page_at(image: &[u8], at: usize) -> &PageBytes {
    image[at..].first_chunk().unwrap()
}

/// What is not zero of it; the rest of the 16 MiB is.
fn image() -> Vec<u8> {
    let (sb, geometry) = store(true);
    let mut image = vec![0; ROOM];
    sb.encode(image.first_chunk_mut().unwrap());
    for (kind, bits) in [(MaskKind::Pages, 0b1111), (MaskKind::Clusters, 0b1111), (MaskKind::BlobIds, 0b1011)] {
        let range = geometry.mask_bytes(geometry.mask(kind).unwrap());
        mask_part(kind, geometry.mask_bits(kind), &[bits], 0, &mut image[range.start as usize..range.end as usize]);
    }
    let of_store = [Xattr { name: b"uuid", value: STORE_UUID }, Xattr { name: b"name", value: b"lvs0\0" }];
    let (thick, thin) = (padded("thick1"), padded("thin1"));
    let (of_thick, of_thin) = (attributes(&thick, THICK_UUID), attributes(&thin, THIN_UUID));
    let chain = |id, invalid, xattrs, map| Chain { id, flags: flags(invalid), xattrs, internal: &[], map };
    for chain in [
        chain(SUPER, 0, &of_store, Map::Table { clusters: 0, pages: &[] }),
        chain(THICK, 0, &of_thick, Map::Table { clusters: 3, pages: &[MdPage(2)] }),
        chain(THIN, Flags::THIN, &of_thin, Map::Table { clusters: 4, pages: &[MdPage::ABSENT] }),
    ] {
        put_page(&mut image, &geometry, chain.id.root(), &one_page(&chain));
    }
    let mut extents = [0; PAGE_LEN];
    write_extent_page(&mut extents, THICK, 0, &[1, 2, 3].map(Cluster)).unwrap();
    put_page(&mut image, &geometry, MdPage(2), &extents);
    image
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn built_from_values_it_is_the_original_to_the_byte() {
    let mut image = image();
    assert_eq!(hex(&Sha256::digest(&image)), "90bdda57a4751d8f0ca595ffc7ebc271d063bab18a6fa9ae49cb0848ec4c7ad1");
    let crc = |at: usize| u32::from_le_bytes(image[at + 4092..at + 4096].try_into().unwrap());
    assert_eq!([0, 0x4000, 0x5000, 0x6000, 0x7000].map(crc), [0xfd2e_842d, 0x7b0c_9b8f, 0x540f_a235, 0x3da0_a5c0, 0xab2a_ac3b]);
    assert_eq!(image[0x1000..0x1006], [0, 0x10, 0, 0, 0, 0x0f]);
    assert_eq!(image[0x2000..0x2006], [1, 0x10, 0, 0, 0, 0x0f]);
    assert_eq!(image[0x3000..0x3006], [2, 0x10, 0, 0, 0, 0x0b]);
    assert_eq!(image[0x5079..0x5080], [0, 2, 0x2d, 0, 0, 0, 4], "the second attribute begins at 0x507a");
    assert_eq!(image[0x6010..0x6025], [6, 16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]);
    image.resize(DEVICE, 0);
    assert_eq!(hex(&Sha256::digest(&image)), "424baaa048703438cfabae927e5d7243a4edccff3929f772ed992287294c996c");
}

#[test]
fn the_super_block_before_it_was_unloaded() {
    let mut page = *page_at(&image(), 0);
    let (dirty, _) = store(false);
    dirty.encode(&mut page);
    assert_eq!(page[4092..], 0x8518_199f_u32.to_le_bytes());
    assert!(SuperBlock::decode(&page).unwrap().needs_recovery());
}

/// A blob as it is found: head, attributes (users', then the store's), extent pages.
type Found = (Head, Vec<(Vec<u8>, Vec<u8>)>, Vec<TableRun>);

fn blob(page: &PageBytes, geometry: &Geometry, id: BlobId) -> Found {
    let Page::Root(_, root) = classify(id.root(), page) else { panic!("no root") };
    let (mut xattrs, mut entries) = (Vec::new(), Vec::new());
    let mut reader = ChainReader::new(geometry, id);
    let next = reader.push(id.root(), &root, |part| match part {
        Part::Xattr(x) | Part::Internal(x) => xattrs.push((x.name.to_vec(), x.value.to_vec())),
        Part::ExtentPages(run) => entries.push(run),
        other => panic!("{other:?}"),
    });
    assert_eq!(next, Ok(None));
    (reader.finish().unwrap(), xattrs, entries)
}

fn entry(page: u32, count: u32) -> TableRun {
    TableRun { page: MdPage(page), count }
}

#[test]
fn read_back_it_is_the_values() {
    let image = image();
    let sb = SuperBlock::decode(page_at(&image, 0)).unwrap();
    let (expected, geometry) = store(true);
    assert_eq!((sb, sb.needs_recovery(), sb.bs_type.is(BsType::LVOLSTORE)), (expected, false, true));
    assert_eq!(Geometry::of(&sb, DEVICE as u64), Ok(geometry));
    let mask = |kind| {
        let range = geometry.mask_bytes(geometry.mask(kind).unwrap());
        Mask::decode(kind, geometry.mask_bits(kind), &image[range.start as usize..range.end as usize]).unwrap()
    };
    let (pages, clusters, ids) = (mask(MaskKind::Pages), mask(MaskKind::Clusters), mask(MaskKind::BlobIds));
    assert!(pages.ones().eq(0..4) && clusters.ones().eq(0..4) && ids.ones().eq([0, 1, 3]));
    assert!(ids.is_within(&pages) && clusters.begins_with_ones(geometry.md_clusters));

    let at = |n: u32| page_at(&image, geometry.page_offset(MdPage(n)).unwrap() as usize);
    let (head, xattrs, entries) = blob(at(0), &geometry, SUPER);
    assert_eq!((head.map, entries.len(), head.flags), (MapKind::Table { clusters: 0 }, 0, flags(0)));
    assert_eq!(xattrs[1], (b"name".to_vec(), b"lvs0\0".to_vec()));
    let (head, xattrs, entries) = blob(at(1), &geometry, THICK);
    assert_eq!((head.map, head.flags.is_thin(), entries), (MapKind::Table { clusters: 3 }, false, vec![entry(2, 1)]));
    assert_eq!(xattrs, [(b"name".to_vec(), padded("thick1").to_vec()), (b"uuid".to_vec(), THICK_UUID.to_vec())]);
    let (head, _, entries) = blob(at(3), &geometry, THIN);
    assert_eq!((head.map, head.flags.is_thin(), entries), (MapKind::Table { clusters: 4 }, true, vec![entry(0, 1)]));
    let Page::Extents(extents) = classify(MdPage(2), at(2)) else { panic!("no extent page") };
    assert!(extents.clusters(0, 3).unwrap().eq([1, 2, 3].map(Cluster)) && extents.writer() == THICK.to_raw());
}

#[test]
fn after_a_rename_and_a_snapshot() {
    let (_, geometry) = store(false);
    let attributes_of_volume = attributes(b"vol\0", THICK_UUID);
    let parent = SNAPSHOT.to_raw().to_le_bytes();
    let internal = [Xattr { name: internal::SNAP, value: &parent }];
    let volume = one_page(&Chain {
        id: THICK,
        flags: flags(Flags::THIN | Flags::INTERNAL_XATTR),
        xattrs: &attributes_of_volume,
        internal: &internal,
        map: Map::Table { clusters: 3, pages: &[MdPage::ABSENT] },
    });
    assert_eq!(volume[4092..], 0x6c37_276a_u32.to_le_bytes());
    assert_eq!(volume[0x70..0x85], *b"\x04\x10\0\0\0\x04\0\x08\0SNAP\x04\0\0\0\x01\0\0\0");
    assert_eq!((volume[0x85], u32::from_le_bytes(volume[0x96..0x9a].try_into().unwrap())), (5, 1));

    let name = padded("s1");
    let of_snapshot = attributes(&name, SNAPSHOT_UUID);
    let read_only = Flags { data_ro: Flags::READ_ONLY, ..flags(0) };
    let map = Map::Table { clusters: 3, pages: &[MdPage(2)] };
    let snapshot = one_page(&Chain { id: SNAPSHOT, flags: read_only, xattrs: &of_snapshot, internal: &[], map });
    assert_eq!((&snapshot[4092..], snapshot[0x1d]), (&0xc63c_9bc0_u32.to_le_bytes()[..], 1));

    let (head, _, entries) = blob(&volume, &geometry, THICK);
    assert_eq!((head.parent.and_then(BlobRef::id), head.flags.is_thin(), entries), (Some(SNAPSHOT), true, vec![entry(0, 1)]));
    let (head, _, entries) = blob(&snapshot, &geometry, SNAPSHOT);
    assert_eq!((head.flags.access(), head.flags.is_thin(), entries), (Access::ReadOnly, false, vec![entry(2, 1)]));
    // The extent page is the snapshot's now, and still says who wrote it.
    let image = image();
    let extents = extents_in(MdPage(2), page_at(&image, 0x6000)).unwrap();
    assert_ne!(extents.writer(), SNAPSHOT.to_raw());
}

#[test]
fn after_a_first_write_into_a_thin_volume() {
    let mut page = [0; PAGE_LEN];
    write_extent_page(&mut page, THIN, 0, &[0, 4, 0, 0].map(Cluster)).unwrap();
    assert_eq!(page[..16], *b"\x03\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(page[16..41], [6, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(page[4088..4092], [0xff; 4]);
    let name = padded("thin1");
    let xattrs = attributes(&name, THIN_UUID);
    let map = Map::Table { clusters: 4, pages: &[MdPage(4)] };
    let root = one_page(&Chain { id: THIN, flags: flags(Flags::THIN), xattrs: &xattrs, internal: &[], map });
    assert_eq!(root[0xac..0xc1], [5, 16, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0]);
    let (_, geometry) = store(false);
    assert_eq!(blob(&root, &geometry, THIN).2, [entry(4, 1)]);
    let extents = extents_in(MdPage(4), &page).unwrap();
    assert!(extents.clusters(0, 4).unwrap().eq([0, 4, 0, 0].map(Cluster)));
}
