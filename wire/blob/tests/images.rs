//! Stores that SPDK made (`testing/interop`): every page of their metadata is read, held against SPDK's own dump of it, and written again.

use doorbell_wire_blob::*;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/interop")
}

fn text(file: &str) -> String {
    fs::read_to_string(folder().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// An image, and the manifest's entry for it.
struct Image {
    bytes: Vec<u8>,
    entry: serde_json::Value,
}

fn load(name: &str) -> Image {
    let manifest: serde_json::Value = serde_json::from_str(&text("manifest.json")).unwrap();
    let entry = manifest["images"].as_array().unwrap().iter().find(|image| image["image"] == name).unwrap().clone();
    let packed = fs::File::open(folder().join(format!("{name}.img.zst"))).unwrap();
    let mut bytes = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(packed).unwrap().read_to_end(&mut bytes).unwrap();
    let digest: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!((bytes.len() as u64, entry["raw_sha256"].as_str()), (entry["raw_size"].as_u64().unwrap(), Some(digest.as_str())));
    Image { bytes, entry }
}

impl Image {
    fn at(&self, offset: u64) -> &PageBytes {
        self.bytes[offset as usize..].first_chunk().unwrap()
    }
}

/// What a page says, in the terms of SPDK's dump.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    id: u64,
    sequence: u32,
    next: Option<u32>,
    crc: u32,
    flags: Vec<u64>,
    attributes: Vec<(bool, String)>,
    clusters: Vec<u32>,
    table: Vec<(u32, u32)>,
}

/// Is the page in the mask of pages, and in that of blob ids?
type Marks = (bool, bool);

fn number(text: &str) -> u64 {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
        None => text.parse().unwrap(),
    }
}

/// The pages of a dump.
fn dumped(file: &str) -> BTreeMap<u32, (Said, Marks)> {
    let text = text(file);
    let mut pages = BTreeMap::new();
    for page in text.split("=========\n").filter(|part| part.starts_with("Metadata Page Index")) {
        let (mut said, mut marks, mut index) = (Said::default(), (false, false), 0);
        for line in page.lines() {
            let (key, value) = line.split_once(':').unwrap_or((line, ""));
            let first = value.split_whitespace().next().unwrap_or_default();
            match key.trim() {
                "Metadata Page Index" => index = number(first) as u32,
                "Blob ID" => said.id = number(first),
                "Sequence" => said.sequence = number(first) as u32,
                "Next" => said.next = (first != "None").then(|| number(first) as u32),
                "CRC" => said.crc = number(first) as u32,
                "In used bit array" => marks = (value.contains("md"), value.contains("blob")),
                "invalid" | "data_ro" | "md_ro" => said.flags.push(number(first)),
                "XATTR" | "XATTR_INTERNAL" => said.attributes.push((key == "XATTR_INTERNAL", value.split('"').nth(1).unwrap().to_owned())),
                "Allocated Extent - Start" => said.clusters.push(number(first) as u32),
                "Unallocated Extent" => said.clusters.push(0),
                "Extent page" => said.table.push((number(first) as u32, number(value.split_whitespace().nth(2).unwrap()) as u32)),
                _ => {}
            }
        }
        pages.insert(index, (said, marks));
    }
    pages
}

/// The same of a page that was read here.
fn said(page: &Page<'_>, bytes: &PageBytes) -> Said {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let name = |x: Xattr<'_>| String::from_utf8(x.name.to_vec()).unwrap();
    let mut said = Said { crc: word(4092), ..Said::default() };
    match page {
        Page::Root(_, page) | Page::Follower(_, page) => {
            (said.id, said.sequence, said.next) = (page.raw_id(), page.sequence(), page.next().map(|next| next.0));
            for descriptor in page.descriptors() {
                match descriptor.unwrap() {
                    Descriptor::Flags(flags) => said.flags.extend([flags.invalid, flags.data_ro, flags.md_ro]),
                    Descriptor::Xattr(x) => said.attributes.push((false, name(x))),
                    Descriptor::Internal(x) => said.attributes.push((true, name(x))),
                    // The dump leaves out what is absent.
                    Descriptor::ExtentTable(table) => {
                        said.table.extend(table.entries.filter(|run| run.page.is_present()).map(|run| (run.page.0, run.count)));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        Page::Extents(page) => {
            said.id = page.writer();
            said.clusters.extend(page.stored().map(|cluster| cluster.0));
        }
        other => panic!("{other:?}"),
    }
    said
}

/// A blob whose chain is one page, as all of these are: written again it is the same page. Its extent pages, by entry.
fn again(geometry: &Geometry, id: BlobId, root: &ChainPage<'_>, bytes: &PageBytes) -> (Head, Vec<MdPage>) {
    let (mut xattrs, mut internal, mut pages) = (Vec::new(), Vec::new(), Vec::new());
    let mut reader = ChainReader::new(geometry, id);
    reader
        .push(root.place(), root, |part| match part {
            Part::Xattr(x) => xattrs.push(x),
            Part::Internal(x) => internal.push(x),
            Part::ExtentPages(run) => pages.extend((0..run.count).map(|_| run.page)),
            other => panic!("{other:?}"),
        })
        .unwrap();
    let head = reader.finish().unwrap();
    let map = Map::Table { clusters: head.map.clusters(), pages: &pages };
    let chain = Chain { id: head.id, flags: head.flags, xattrs: &xattrs, internal: &internal, map };
    chain.write(&[], |at, page| assert!(at == root.place() && page == bytes, "{} is written differently", head.id)).unwrap();
    (head, pages)
}

/// What a walk over all pages found.
#[derive(Default)]
struct Walk {
    roots: BTreeSet<u32>,
    /// Pages that a root leads to, itself included.
    used: BTreeSet<u32>,
    clusters: BTreeSet<u32>,
    /// Clusters of each blob, unallocated ones included.
    sizes: BTreeMap<u32, u64>,
}

fn walk(image: &Image, geometry: &Geometry) -> Walk {
    let page_at = |at: MdPage| image.at(geometry.page_offset(at).unwrap());
    let mut walk = Walk::default();
    for at in (0..geometry.md_len).map(MdPage) {
        let Page::Root(id, root) = classify(at, page_at(at)) else { continue };
        let (head, pages) = again(geometry, id, &root, page_at(at));
        let total = head.map.clusters();
        walk.roots.insert(at.0);
        walk.used.insert(at.0);
        walk.sizes.insert(at.0, total);
        for (entry, page) in (0u32..).zip(&pages).filter(|(_, page)| page.is_present()) {
            let extents = extents_in(*page, page_at(*page)).unwrap();
            assert!(walk.used.insert(page.0), "{page} has two owners");
            let clusters: Vec<Cluster> = extents.clusters(entry.into(), total).unwrap().collect();
            assert_eq!(clusters.len(), extents.stored_len());
            for cluster in clusters.iter().filter(|cluster| cluster.is_some()) {
                assert!(geometry.holds_data(*cluster) && walk.clusters.insert(cluster.0), "{cluster} has two owners");
            }
            // The writer's id is kept; all else is as it would be written here.
            let mut own = [0; PAGE_LEN];
            let writer = BlobId::from_raw(extents.writer()).unwrap();
            write_extent_page(&mut own, writer, entry, &clusters).unwrap();
            assert!(own == *page_at(*page), "{page} is written differently");
        }
    }
    walk
}

fn check(name: &str) {
    let image = load(name);
    let device = image.bytes.len() as u64;
    let first = image.at(0);
    let sb = SuperBlock::decode(first).unwrap();
    assert_eq!(SuperBlock::decode_torn(first), Ok(sb));
    let mut rewritten = *first;
    sb.encode(&mut rewritten);
    assert!(rewritten == *first, "{name}: the super block is written differently");
    let geometry = Geometry::of(&sb, device).unwrap();
    assert_eq!(Some(u64::from(geometry.io_unit_bytes)), image.entry["block_size"].as_u64());
    planned_alike(&sb, &geometry, device);
    let store = &image.entry["lvstore"][0];
    if let Some(max) = store["max_growable_size"].as_u64() {
        assert_eq!((geometry.max_bytes(), Some(geometry.data_clusters().into())), (max, store["total_data_clusters"].as_u64()));
        assert!(sb.bs_type.is(BsType::LVOLSTORE));
    }

    let dump = dumped(image.entry["blob_dump"].as_str().unwrap());
    let found = walk(&image, &geometry);
    let mut seen = BTreeSet::new();
    for at in (0..geometry.md_len).map(MdPage) {
        let bytes = image.at(geometry.page_offset(at).unwrap());
        match classify(at, bytes) {
            Page::Free => assert!(bytes.iter().all(|b| *b == 0) && !dump.contains_key(&at.0)),
            page => {
                let (dumped, marks) = &dump[&at.0];
                assert_eq!(&said(&page, bytes), dumped, "{name}, {at}");
                if sb.clean {
                    assert_eq!(*marks, (found.used.contains(&at.0), found.roots.contains(&at.0)), "{name}, {at}");
                }
                seen.insert(at.0);
            }
        }
    }
    assert!(seen.iter().eq(dump.keys()) && seen == found.used && !seen.is_empty(), "{name}");
    masks(&image, &sb, &geometry, &found);
    sizes(&image.entry, &geometry, &found);
}

/// The layout is what a new store of these sizes gets here.
fn planned_alike(sb: &SuperBlock, geometry: &Geometry, device_bytes: u64) {
    let plan = Plan {
        device_bytes,
        block_bytes: geometry.io_unit_bytes,
        physical_block_bytes: geometry.io_unit_bytes,
        cluster_bytes: geometry.cluster_bytes,
        md_page_bytes: 0,
        md_pages: None,
    };
    let planned = plan.super_block(sb.bs_type).unwrap();
    assert_eq!(SuperBlock { clean: sb.clean, super_blob: sb.super_blob, ..planned }, *sb);
}

/// The masks on disk are what the walk found, and would be written as they are; those of a store that was not unloaded are not to be read.
fn masks(image: &Image, sb: &SuperBlock, geometry: &Geometry, found: &Walk) {
    let mut clusters = found.clusters.clone();
    clusters.extend(0..geometry.md_clusters);
    for (kind, bits) in [(MaskKind::Pages, &found.used), (MaskKind::BlobIds, &found.roots), (MaskKind::Clusters, &clusters)] {
        let range = geometry.mask_bytes(geometry.mask(kind).unwrap());
        let bytes = &image.bytes[range.start as usize..range.end as usize];
        let mask = Mask::decode(kind, geometry.mask_bits(kind), bytes);
        if !sb.clean {
            assert!(mask.is_err(), "{kind} was never written");
            continue;
        }
        assert!(mask.unwrap().ones().eq(bits.iter().copied()), "{kind}");
        let mut words = vec![0u64; geometry.mask_bits(kind).div_ceil(64) as usize];
        bits.iter().for_each(|bit| words[*bit as usize / 64] |= 1 << (bit % 64));
        let mut own = vec![0; bytes.len()];
        mask_part(kind, geometry.mask_bits(kind), &words, 0, &mut own);
        assert!(own == bytes, "{kind} is written differently");
    }
}

/// Sizes and free space are those that SPDK's own answers give.
fn sizes(entry: &serde_json::Value, geometry: &Geometry, found: &Walk) {
    let used = found.clusters.len() as u64;
    if let Some(free) = entry["lvstore"][0]["free_clusters"].as_u64().filter(|_| entry["lvols_before_kill"].is_null()) {
        assert_eq!(u64::from(geometry.data_clusters()) - used, free);
    }
    let mut bytes: Vec<u64> = found.sizes.values().map(|n| n * u64::from(geometry.cluster_bytes)).filter(|n| *n > 0).collect();
    let stated = |of: &serde_json::Value| -> Vec<u64> { of.as_object().unwrap().values().map(|v| v["bytes"].as_u64().unwrap()).collect() };
    let mut expected = if entry["blobs"].is_null() { stated(&entry["content"]) } else { stated(&entry["blobs"]) };
    bytes.sort_unstable();
    expected.sort_unstable();
    assert_eq!(bytes, expected);
}

#[test]
fn volumes_thick_and_thin() {
    check("a_lvs_plain_bs512");
}

#[test]
fn the_same_on_blocks_of_4096_bytes() {
    check("a_lvs_plain_bs4096");
}

#[test]
fn snapshots_and_clones() {
    check("b_lvs_snapclone_bs512");
}

#[test]
fn a_store_that_was_not_unloaded() {
    check("c_lvs_dirty_bs512");
}

#[test]
fn a_plain_store_with_attributes() {
    check("e_blob_xattrs_bs4096");
}
