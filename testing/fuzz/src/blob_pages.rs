//! What a store may find on its disk: a super block, masks, and a small region of metadata pages whose chains and extent pages are followed. What
//! was read without a fault is written again, and must be read as the same.

use crate::show;
use doorbell_wire_blob::*;

/// Pages of the region that is made up.
const PAGES: usize = 6;
const DEVICE: u64 = 16 << 20;

/// The first byte says which structure the rest is, and whether checksums are made right.
pub fn run(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else { return };
    let sealed = kind & 0x80 != 0;
    match kind & 0x7f {
        0 => super_block(data, sealed),
        1 => masks(data),
        2 => region(data, sealed),
        _ => {}
    }
}

fn page(data: &[u8], sealed: bool) -> PageBytes {
    let mut page = [0; PAGE_LEN];
    page.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
    if sealed {
        seal(&mut page);
    }
    page
}

fn super_block(data: &[u8], sealed: bool) {
    let page = page(data, sealed);
    show(&SuperBlock::decode_torn(&page));
    let Ok(read) = SuperBlock::decode(&page) else { return };
    let mut again = page;
    read.encode(&mut again);
    assert_eq!(SuperBlock::decode(&again), Ok(read));
    for device in [0, DEVICE, read.size_bytes, u64::MAX] {
        let Ok(geometry) = Geometry::of(&read, device) else { continue };
        assert!(geometry.md_end_offset() <= device && geometry.size_bytes <= device);
        assert!(
            (0..geometry.total_clusters).step_by(1 << 20).map(Cluster).all(|c| geometry.cluster_offset(c).is_none_or(|at| at < device))
        );
        if let Ok(Some(grown)) = geometry.grown(&read, device.saturating_add(1 << 30)) {
            assert!(Geometry::of(&grown, grown.size_bytes).is_ok());
        }
    }
}

fn masks(data: &[u8]) {
    let Some((len, bytes)) = data.split_first_chunk() else { return };
    let len = u32::from_le_bytes(*len) % 40_000;
    for kind in MaskKind::ALL {
        let Ok(mask) = Mask::decode(kind, len, bytes) else { continue };
        let ones: Vec<u32> = mask.ones().collect();
        assert!(ones.len() == mask.count() as usize && ones.iter().all(|bit| *bit < len && mask.has(*bit)));
        assert!(mask.is_within(&mask));
        let words: Vec<u64> = mask.words().collect();
        let mut again = vec![0; 5 + len.div_ceil(8) as usize];
        mask_part(kind, len, &words, 0, &mut again);
        assert_eq!(Mask::decode(kind, len, &again).map(|m| m.ones().collect()), Ok(ones));
    }
}

/// A region from fragments: each begins with the page it is for and its length in bytes, two bytes. Headers are mostly made for the page.
fn region(data: &[u8], sealed: bool) {
    let mut pages = [[0; PAGE_LEN]; PAGES];
    let mut rest = data;
    while let Some(([place, len, sequence], more)) = rest.split_first_chunk::<3>() {
        let (content, left) = more.split_at(usize::from(*len).min(more.len()));
        rest = left;
        let at = usize::from(place & 7) % PAGES;
        let mut whole = vec![0; 16];
        whole[0] = place >> 3 & 7;
        whole[4] = 1;
        whole[8] = *sequence;
        whole.extend_from_slice(content);
        pages[at] = page(&whole, false);
        pages[at][4088..4092].copy_from_slice(&if place & 0x40 == 0 { u32::MAX } else { u32::from(*sequence) + 1 }.to_le_bytes());
        if sealed {
            seal(&mut pages[at]);
        }
    }
    let plan = Plan { device_bytes: DEVICE, ..Plan::default() };
    let geometry = plan.super_block(BsType::ANY).map(|sb| Geometry::of(&sb, DEVICE)).expect("a store").expect("a geometry");
    for (at, bytes) in (0..).map(MdPage).zip(&pages) {
        match classify(at, bytes) {
            Page::Root(id, _) => chain(&geometry, &pages, id),
            Page::Follower(_, page) | Page::Copy(_, page) | Page::Stray(page) => page.descriptors().for_each(|d| show(&d)),
            Page::Extents(page) => extents(at, &page),
            Page::Broken(fault) => assert_eq!(fault.page, at),
            Page::Free => assert!(looks_free(bytes)),
        }
        show(&extents_in(at, bytes));
    }
}

fn extents(at: MdPage, page: &ExtentPage<'_>) {
    let entry = page.start() / EXTENT_PAGE_CLUSTERS;
    let total = u64::from(page.start()) + page.stored_len() as u64;
    let Ok(clusters) = page.clusters(entry.into(), total) else { return };
    let clusters: Vec<Cluster> = clusters.collect();
    let mut again = [0; PAGE_LEN];
    write_extent_page(&mut again, BlobId::of_root(at), entry, &clusters).expect("what was read can be written");
    let read = extents_in(at, &again).expect("what was written can be read");
    assert!(read.stored().eq(clusters));
}

/// Follows a chain. What it is made of is written again where it was, if it is fit to be.
fn chain(geometry: &Geometry, pages: &[PageBytes; PAGES], id: BlobId) {
    let (mut xattrs, mut internal, mut clusters, mut entries) = (vec![], vec![], vec![], vec![]);
    let (mut places, mut unknown, mut huge) = (vec![], false, false);
    let mut reader = ChainReader::new(geometry, id);
    while let Some(at) = reader.wanted() {
        let Some(bytes) = pages.get(at.0 as usize) else { break };
        let Ok(page) = ChainPage::decode(at, bytes) else { break };
        places.push(at);
        let pushed = reader.push(at, &page, |part| match part {
            Part::Xattr(x) => xattrs.push(x),
            Part::Internal(x) => internal.push(x),
            // A thin blob may be larger than anything: its reader keeps runs.
            Part::Clusters(run) if run.count < 10_000 => {
                let step = u32::from(run.cluster.is_some());
                assert!(!run.cluster.is_some() || run.count == 0 || geometry.holds_data(Cluster(run.cluster.0 + run.count - 1)));
                clusters.extend((0..run.count).map(|n| Cluster(run.cluster.0 + n * step)));
            }
            Part::ExtentPages(run) if run.count < 10_000 => entries.extend((0..run.count).map(|_| run.page)),
            Part::Clusters(_) | Part::ExtentPages(_) => huge = true,
            Part::Unknown(_) => unknown = true,
        });
        assert!(places.len() <= PAGES, "a chain that does not end");
        if pushed.is_err() {
            break;
        }
    }
    let head = match reader.finish() {
        Ok(head) if !unknown && !huge => head,
        other => return show(&other),
    };
    show(&(head.flags.access(), head.flags.clear_method(), head.parent));
    let map = match head.map {
        MapKind::Rle { .. } => Map::Rle(&clusters),
        MapKind::Table { clusters } => Map::Table { clusters, pages: &entries },
    };
    let chain = Chain { id: head.id, flags: head.flags, xattrs: &xattrs, internal: &internal, map };
    // Names that a writer refuses are read all the same.
    let Ok(count) = chain.page_count() else { return };
    let followers: Vec<MdPage> = (1..count).map(|n| MdPage((head.id.root().0 + n as u32) % geometry.md_len)).collect();
    if count > geometry.md_len as usize {
        return;
    }
    let mut again = ChainReader::new(geometry, head.id);
    chain
        .write(&followers, |at, bytes| {
            let page = ChainPage::decode(at, bytes).expect("what was written is whole");
            again.push(at, &page, |_| ()).expect("and is what comes next");
        })
        .expect("as many pages as it said");
    let read = again.finish().expect("and makes a blob");
    assert_eq!(Head { pages: head.pages, ..read }, head);
}

/// A fragment of a region: its page, whose it is, its sequence number, whether another follows; then descriptors.
fn fragment(at: u8, root: u8, sequence: u8, more: bool, content: &[u8]) -> Vec<u8> {
    [&[at | root << 3 | u8::from(more) << 6, content.len() as u8, sequence], content].concat()
}

/// One of each structure.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let plan = Plan { device_bytes: DEVICE, ..Plan::default() };
    let mut sb = [0; PAGE_LEN];
    plan.super_block(BsType::LVOLSTORE).expect("a store").encode(&mut sb);
    let mut mask = vec![1];
    mask.extend_from_slice(&100u32.to_le_bytes());
    let mut bits = [0; 18];
    mask_part(MaskKind::Clusters, 100, &[0xff, 1], 0, &mut bits);
    mask.extend_from_slice(&bits);
    let flags = |invalid: u8| [&[3, 24, 0, 0, 0, invalid][..], &[0; 23]].concat();
    let name = b"\x02\x08\0\0\0\x02\0\x02\0idab";
    let snap = b"\x04\x10\0\0\0\x04\0\x08\0SNAP\x04\0\0\0\x01\0\0\0";
    let rle = b"\x01\x10\0\0\0\x05\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0";
    let table = b"\x05\x10\0\0\0\x03\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0";
    let list = b"\x06\x10\0\0\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0";
    let sealed = |parts: &[Vec<u8>]| [&[0x80 | 2][..], &parts.concat()].concat();
    vec![
        ("super_block", [&[0], &sb[..96], &[0; 3996], &sb[4092..]].concat()),
        ("super_block_sealed", [&[0x80][..], &sb[..96]].concat()),
        ("mask", mask),
        ("list", sealed(&[fragment(1, 1, 0, false, &[&flags(1)[..], name, rle].concat())])),
        ("table", sealed(&[fragment(1, 1, 0, false, &[&flags(4)[..], name, table].concat()), fragment(2, 1, 0, false, list)])),
        ("clone", sealed(&[fragment(3, 3, 0, false, &[&flags(7)[..], snap, b"\x05\x08"].concat())])),
        (
            "chain",
            sealed(&[
                fragment(0, 0, 0, true, &[&flags(1)[..], rle].concat()),
                fragment(1, 0, 1, true, rle),
                fragment(2, 0, 2, false, &[&name[..], rle].concat()),
            ]),
        ),
        ("torn", [&[2][..], &fragment(0, 0, 0, false, &flags(4))].concat()),
    ]
}
