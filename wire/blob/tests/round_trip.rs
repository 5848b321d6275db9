//! Blobs of any shape: written, read back, and written again to the same bytes.

use doorbell_wire_blob::*;
use proptest::collection::vec;
use proptest::prelude::*;

const DEVICE: u64 = 1 << 40;
const CLUSTERS: u32 = 1 << 20;
const DATA: u32 = 5000;

fn geometry() -> Geometry {
    let plan = Plan { device_bytes: DEVICE, ..Plan::default() };
    Geometry::of(&plan.super_block(BsType::ANY).unwrap(), DEVICE).unwrap()
}

#[derive(Clone, Debug)]
enum OwnMap {
    Rle(Vec<Cluster>),
    Table(u64, Vec<MdPage>),
}

#[derive(Clone, Debug)]
struct Blob {
    root: u32,
    flags: Flags,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    internal: Vec<(Vec<u8>, Vec<u8>)>,
    map: OwnMap,
}

impl Blob {
    fn write(&self, followers: Option<&[MdPage]>) -> Vec<(MdPage, PageBytes)> {
        let (xattrs, internal) = (borrowed(&self.xattrs), borrowed(&self.internal));
        let map = match &self.map {
            OwnMap::Rle(clusters) => Map::Rle(clusters),
            OwnMap::Table(clusters, pages) => Map::Table { clusters: *clusters, pages },
        };
        let chain = Chain { id: BlobId::of_root(MdPage(self.root)), flags: self.flags, xattrs: &xattrs, internal: &internal, map };
        let count = chain.page_count().unwrap() as u32;
        // Places in no order: whatever was free.
        let free: Vec<MdPage> = (1..count).map(|n| MdPage((self.root + n * 7919) % CLUSTERS)).collect();
        let mut pages = Vec::new();
        chain.write(followers.unwrap_or(&free), |at, page| pages.push((at, *page))).unwrap();
        pages
    }

    fn read(pages: &[(MdPage, PageBytes)]) -> (Blob, Head) {
        let root = pages[0].0;
        let mut reader = ChainReader::new(&geometry(), BlobId::of_root(root));
        let mut blob = Blob { root: root.0, flags: Flags::default(), xattrs: vec![], internal: vec![], map: OwnMap::Rle(vec![]) };
        let (mut clusters, mut entries) = (vec![], vec![]);
        for (n, (at, bytes)) in pages.iter().enumerate() {
            let page = match classify(*at, bytes) {
                Page::Root(_, page) if n == 0 => page,
                Page::Follower(_, page) if n > 0 => page,
                other => panic!("{n}: {other:?}"),
            };
            let own = |x: Xattr<'_>| (x.name.to_vec(), x.value.to_vec());
            let next = reader.push(*at, &page, |part| match part {
                Part::Xattr(x) => blob.xattrs.push(own(x)),
                Part::Internal(x) => blob.internal.push(own(x)),
                Part::Clusters(run) => {
                    let step = u32::from(run.cluster.is_some());
                    clusters.extend((0..run.count).map(|n| Cluster(run.cluster.0 + n * step)));
                }
                Part::ExtentPages(run) => entries.extend((0..run.count).map(|_| run.page)),
                Part::Unknown(kind) => panic!("{kind}"),
            });
            assert_eq!(next.unwrap(), pages.get(n + 1).map(|(at, _)| *at));
        }
        let head = reader.finish().unwrap();
        blob.flags = head.flags;
        blob.map = match head.map {
            MapKind::Rle { .. } => OwnMap::Rle(clusters),
            MapKind::Table { clusters } => OwnMap::Table(clusters, entries),
        };
        (blob, head)
    }
}

fn borrowed(of: &[(Vec<u8>, Vec<u8>)]) -> Vec<Xattr<'_>> {
    of.iter().map(|(name, value)| Xattr { name, value }).collect()
}

fn attribute() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (vec(1u8..=255, 1..40), prop_oneof![4 => vec(any::<u8>(), 0..80), 1 => vec(any::<u8>(), 0..4000)])
}

fn cluster() -> impl Strategy<Value = Vec<Cluster>> {
    // Runs, so that there is something to merge.
    let run = (prop_oneof![Just(0), DATA..CLUSTERS - 40], 1u32..40);
    vec(run, 0..300).prop_map(|runs| {
        let run = |(first, count): (u32, u32)| (0..count).map(move |n| Cluster(if first == 0 { 0 } else { first + n }));
        runs.into_iter().flat_map(run).collect()
    })
}

fn map() -> impl Strategy<Value = OwnMap> {
    let pages = vec(prop_oneof![Just(MdPage::ABSENT), (1..CLUSTERS).prop_map(MdPage)], 0..1500);
    let table = (pages, 0u64..512).prop_map(|(pages, less)| OwnMap::Table((pages.len() as u64 * 512).saturating_sub(less), pages));
    prop_oneof![cluster().prop_map(OwnMap::Rle), table]
}

fn blob() -> impl Strategy<Value = Blob> {
    let flags = (any::<u64>(), any::<u64>(), any::<u64>());
    (0u32..CLUSTERS, flags, vec(attribute(), 0..12), vec(attribute(), 0..4), map()).prop_map(|(root, words, xattrs, internal, map)| {
        // Thin, so that holes are allowed, and with no external parent, which would have to be named.
        let invalid = (words.0 | Flags::THIN) & !Flags::EXTERNAL_SNAPSHOT;
        Blob { root, flags: Flags { invalid, data_ro: words.1, md_ro: words.2 }, xattrs, internal, map }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_read_and_written_again_as_it_was(blob in blob()) {
        let pages = blob.write(None);
        let (read, head) = Blob::read(&pages);
        prop_assert_eq!(head.pages as usize, pages.len());
        prop_assert_eq!((&read.xattrs, &read.internal, read.flags), (&blob.xattrs, &blob.internal, blob.flags));
        match (&read.map, &blob.map) {
            (OwnMap::Rle(a), OwnMap::Rle(b)) => prop_assert_eq!(a, b),
            (OwnMap::Table(n, a), OwnMap::Table(m, b)) => prop_assert_eq!((n, a), (m, b)),
            other => prop_assert!(false, "{:?}", other),
        }
        let followers: Vec<MdPage> = pages.iter().skip(1).map(|(at, _)| *at).collect();
        prop_assert!(read.write(Some(&followers)) == pages);
    }

    /// One byte of one page turned over is found, whichever it is.
    #[test]
    fn a_rotten_byte_is_found(blob in blob(), which in any::<prop::sample::Index>(), at in 0usize..4096, bit in 0u8..8) {
        let pages = blob.write(None);
        let (place, mut bytes) = pages[which.index(pages.len())];
        bytes[at] ^= 1 << bit;
        let found = classify(place, &bytes);
        prop_assert!(matches!(&found, Page::Broken(fault) if fault.page == place), "{:?}", found);
    }

    #[test]
    fn extent_pages_come_back(entry in 0u32..8_000_000, clusters in vec(any::<u32>(), 1..=512), at in 1u32..CLUSTERS) {
        let clusters: Vec<Cluster> = clusters.into_iter().map(Cluster).collect();
        let mut page = [0; PAGE_LEN];
        write_extent_page(&mut page, BlobId::of_root(MdPage(0)), entry, &clusters).unwrap();
        let Page::Extents(read) = classify(MdPage(at), &page) else { panic!("no extent page") };
        prop_assert!(read.stored().eq(clusters.iter().copied()));
        let total = u64::from(entry) * 512 + clusters.len() as u64;
        prop_assert!(read.clusters(entry.into(), total).unwrap().eq(clusters.iter().copied()));
    }
}
