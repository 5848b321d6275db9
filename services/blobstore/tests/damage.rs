//! Stores that are damaged, or were left in the middle of something: what can be read is read, what cannot is named, and nothing vanishes.

mod support;

use doorbell_blobstore::{Error, Finding};
use doorbell_block::{BlockDevice, Op, Status};
use doorbell_reactor::AsyncQueue;
use doorbell_wire_blob::*;
use std::sync::Arc;
use support::{CLUSTER, Made, ask, disk, image, read, run, with_store};

const THIN: u64 = Flags::THIN;

fn made() -> Made {
    Made::new(CLUSTER as u32)
}

fn parent(name: &'static [u8], value: &[u8; 8]) -> Xattr<'static> {
    Xattr { name, value: Box::leak(Box::new(*value)) }
}

/// The bytes with which each cluster of a volume begins.
async fn firsts(local: &doorbell_reactor::Local, store: &doorbell_blobstore::Store, id: BlobId) -> Vec<u8> {
    let bytes = read(local, store.volume(id, None).unwrap()).await;
    bytes.chunks(CLUSTER).map(|cluster| if cluster.iter().all(|b| *b == cluster[0]) { cluster[0] } else { 0xff }).collect()
}

#[test]
fn a_damaged_page_is_named_and_takes_nobody_else_along() {
    let mut store = made();
    let good = store.blob(1, 0, &[], 2, &[100, 101]);
    let bad = store.blob(3, 0, &[], 4, &[102]);
    let clone = store.blob(5, THIN, &[parent(internal::SNAP, &bad.to_raw().to_le_bytes())], 0, &[0]);
    store.fill(101, 7);
    store.page(4)[100] ^= 1;
    store.open(move |local, store| async move {
        let store = store.unwrap();
        assert_eq!(store.blobs().collect::<Vec<_>>(), [good]);
        assert_eq!(firsts(&local, &store, good).await, [0, 7]);
        let unusable: Vec<_> = store.unusable().map(|(id, why)| (id, why.to_owned())).collect();
        assert_eq!(unusable.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [bad, clone]);
        assert!(unusable[0].1.contains("metadata page 4"), "{}", unusable[0].1);
        assert!(unusable[1].1.contains("is a clone of blob 0x100000003"), "{}", unusable[1].1);
        assert!(store.findings().iter().any(|f| matches!(f, Finding::Page(fault) if fault.page == MdPage(4))));
        assert!(matches!(store.volume(bad, None), Err(Error::Unusable { .. })));
    });
}

#[test]
fn flags_that_nobody_knows_and_rings_of_parents_make_a_blob_unusable() {
    let mut store = made();
    let newer = store.blob(1, 1 << 40, &[], 2, &[100]);
    let (a, b) = (BlobId::of_root(MdPage(3)), BlobId::of_root(MdPage(4)));
    store.blob(3, THIN, &[parent(internal::SNAP, &b.to_raw().to_le_bytes())], 0, &[0]);
    store.blob(4, THIN, &[parent(internal::SNAP, &a.to_raw().to_le_bytes())], 0, &[0]);
    let leads_in = store.blob(5, THIN, &[parent(internal::SNAP, &a.to_raw().to_le_bytes())], 0, &[0]);
    store.open(move |_, store| async move {
        let store = store.unwrap();
        assert_eq!(store.blobs().count(), 0);
        assert_eq!(store.unusable().map(|(id, _)| id).collect::<Vec<_>>(), [newer, a, b, leads_in]);
        // What an unusable blob has is still its own: metadata takes clusters 0 to 4.
        assert_eq!(store.free_clusters(), store.geometry().data_clusters() - 1);
    });
}

#[test]
fn a_cluster_of_two_blobs_is_reported() {
    let mut store = made();
    let (one, two) = (store.blob(1, 0, &[], 2, &[100, 101]), store.blob(3, 0, &[], 4, &[101]));
    store.open(move |_, store| async move {
        let found = Finding::TwoOwners { cluster: Cluster(101), first: one, second: two };
        assert_eq!(store.unwrap().findings(), [found]);
    });
}

#[test]
fn a_thick_blob_without_a_cluster_and_one_outside_of_the_store_are_refused() {
    let mut store = made();
    store.blob(1, 0, &[], 2, &[100, 0]);
    store.blob(3, 0, &[], 4, &[256]);
    store.open(|_, store| async move {
        let why: Vec<String> = store.unwrap().unusable().map(|(_, why)| why.to_owned()).collect();
        assert!(why[0].contains("not thin") && why[1].contains("cluster 256"), "{why:?}");
    });
}

/// SPDK leaves such pages when a clone was enlarged or shrunk before its snapshot was deleted, and then loses the volume (format, 10.2, 1 and 2).
#[test]
fn an_extent_page_that_is_too_short_or_too_long_leaves_the_volume_its_size() {
    let mut store = made();
    let grown = store.blob(1, THIN, &[], 2, &[100, 101, 102, 0, 0, 0]);
    write_extent_page(store.page(2), grown, 0, &[Cluster(100), Cluster(101), Cluster(102)]).unwrap();
    let shrunk = store.blob(3, THIN, &[], 4, &[103, 104]);
    write_extent_page(store.page(4), shrunk, 0, &[Cluster(103), Cluster(104), Cluster(102)]).unwrap();
    store.fill(102, 9);
    store.open(move |local, store| async move {
        let store = store.unwrap();
        assert_eq!(store.findings(), []);
        assert_eq!(firsts(&local, &store, grown).await, [0, 0, 9, 0, 0, 0]);
        assert_eq!((store.blob(shrunk).unwrap().clusters, store.blob(shrunk).unwrap().allocated), (2, 2));
    });
}

/// The states that a crash leaves while a snapshot is made (format, 6.2): `parent` says whether the origin is its clone already.
fn making(taken: bool) -> Made {
    let mut store = made();
    let origin = BlobId::of_root(MdPage(1)).to_raw().to_le_bytes();
    let snapshot = BlobId::of_root(MdPage(3)).to_raw().to_le_bytes();
    let origin_has = if taken { &[0, 0] } else { &[100, 101] };
    let link = [parent(internal::SNAP, &snapshot)];
    store.blob(1, THIN, if taken { &link } else { &[] }, if taken { 0 } else { 2 }, origin_has);
    store.blob(3, THIN, &[parent(internal::SNAPTMP, &origin)], 2, &[100, 101]);
    store.fill(100, 5);
    store
}

#[test]
fn a_snapshot_whose_making_was_interrupted_goes_or_stays() {
    for taken in [false, true] {
        making(taken).open(move |local, store| async move {
            let store = store.unwrap();
            let (origin, snapshot) = (BlobId::of_root(MdPage(1)), BlobId::of_root(MdPage(3)));
            assert_eq!(store.findings(), [Finding::Interrupted { id: snapshot, kept: taken }]);
            assert_eq!(store.blobs().count(), 1 + usize::from(taken));
            assert_eq!(firsts(&local, &store, origin).await, [5, 0]);
            assert_eq!(store.free_clusters(), store.geometry().data_clusters() - 2);
        });
    }
}

/// Deletion stopped after the clone's extent page was written and before its root was: both list the snapshot's clusters (format, 10.2, 3).
#[test]
fn a_snapshot_whose_deletion_was_interrupted_does_not_share_its_clusters() {
    let mut store = made();
    let (snapshot, clone) = (BlobId::of_root(MdPage(1)), BlobId::of_root(MdPage(3)));
    store.blob(1, THIN, &[parent(internal::SNAPRM, &clone.to_raw().to_le_bytes())], 2, &[100, 101]);
    store.blob(3, THIN, &[parent(internal::SNAP, &snapshot.to_raw().to_le_bytes())], 4, &[100, 102]);
    store.fill(100, 1);
    store.fill(102, 2);
    store.open(move |local, store| async move {
        let store = store.unwrap();
        assert_eq!(store.findings(), [Finding::Interrupted { id: snapshot, kept: true }]);
        assert_eq!(store.blob(clone).unwrap().allocated, 1);
        assert_eq!((firsts(&local, &store, snapshot).await, firsts(&local, &store, clone).await), (vec![1, 0], vec![1, 2]));
        assert_eq!(store.free_clusters(), store.geometry().data_clusters() - 3);
    });
}

#[test]
fn masks_that_do_not_fit_are_not_believed() {
    let (whole, _) = image("a_lvs_plain_bs512");
    let found = SuperBlock::decode(whole.first_chunk().unwrap()).unwrap();
    let geometry = Geometry::of(&found, whole.len() as u64).unwrap();
    let at = |place: MaskPlace| geometry.mask_bytes(place).start as usize;
    // A used cluster that counts as free; a blob that counts as none; a blob where there is none; a mask of nothing at all.
    let (clusters, pages, ids) = (at(geometry.cluster_mask), at(geometry.page_mask), at(geometry.blob_id_mask.unwrap()));
    // What is damaged, and what is said of it. A page that a map needs and the mask lacks loses nobody a volume.
    let lacks = |kind, count| Finding::MaskLacks { kind, count };
    let cases = [
        (clusters + 5, 0x01, lacks(MaskKind::Clusters, 1)),
        (clusters + 5 + 9, 0xff, lacks(MaskKind::Clusters, 8)),
        (ids + 5, 0x02, lacks(MaskKind::BlobIds, 1)),
        (ids + 6, 0x80, Finding::NoRoot { page: MdPage(15) }),
        (pages, 0xff, Finding::Mask(MaskFault::Kind { expected: MaskKind::Pages, found: 0xff })),
        (pages + 5, 0x04, lacks(MaskKind::Pages, 1)),
    ];
    for (offset, change, doubt) in cases {
        for recover in [false, true] {
            let (mut bytes, doubt) = (whole.clone(), doubt.clone());
            bytes[offset] ^= change;
            with_store(&bytes, 512, recover, move |_, store| async move {
                let store = store.unwrap();
                assert_eq!((store.opening().clean, store.findings(), store.blobs().count()), (false, &[][..], 4), "byte {offset:#x}");
                assert_eq!(store.doubts().first(), Some(&doubt), "byte {offset:#x}: {:?}", store.doubts());
            });
        }
    }
    // Clusters that nobody has are no reason to doubt the rest.
    let mut bytes = whole;
    bytes[clusters + 5 + 100] |= 3;
    with_store(&bytes, 512, false, |_, store| async move {
        let store = store.unwrap();
        assert_eq!((store.opening().clean, store.findings()), (true, &[Finding::Leaked { count: 2 }][..]));
        assert_eq!(store.doubts(), []);
    });
}

#[test]
fn a_store_that_is_none_of_ours_is_refused_in_words() {
    let said = |bytes: Vec<u8>, block| with_store(&bytes, block, false, |_, store| async move { store.err().unwrap().to_string() });
    assert!(said(vec![0; 1 << 20], 512).contains("version"), "no store at all");
    assert!(said(made().bytes, 4096).contains("blocks of 512 bytes, and the device has blocks of 4096"));
    assert!(said(made().bytes[..8 << 20].to_vec(), 512).contains("16777216"), "a device that was cut");
    // A super block of which only half was written when `clean` was.
    let mut torn = made().bytes;
    torn[16] = 1;
    with_store(&torn, 512, false, |_, store| async move { assert!(!store.unwrap().super_block().clean) });
}

#[test]
fn a_parent_outside_is_read_and_zeroes_follow_it() {
    let mut store = made();
    let flags = THIN | Flags::EXTERNAL_SNAPSHOT;
    let clone = store.blob(1, flags, &[Xattr { name: internal::EXTSNAP, value: b"golden\0" }], 2, &[0, 100, 0]);
    store.fill(100, 4);
    // It ends eight blocks into the third cluster.
    let outside = disk(&vec![6; 2 * CLUSTER + 4096], 512);
    store.open(move |local, store| async move {
        let store = store.unwrap();
        let missing = store.volume(clone, None).err().unwrap().to_string();
        assert!(missing.contains("golden"), "{missing}");
        let bytes = read(&local, store.volume(clone, Some(Arc::new(outside))).unwrap()).await;
        let expected = [vec![6; CLUSTER], vec![4; CLUSTER], vec![6; 4096], vec![0; CLUSTER - 4096]].concat();
        assert!(bytes == expected);
    });
}

#[test]
fn clusters_need_not_be_a_power_of_two_and_holes_are_found() {
    let mut store = Made::new(3 << 14);
    let blob = store.blob(1, THIN, &[], 2, &[0, 200, 201, 0]);
    store.fill(200, 1);
    store.fill(201, 2);
    store.open(move |local, store| async move {
        let store = store.unwrap();
        let bytes = read(&local, store.volume(blob, None).unwrap()).await;
        let size = 3 << 14;
        assert!(bytes == [vec![0; size], vec![1; size], vec![2; size], vec![0; size]].concat());
        let queue = AsyncQueue::open(&local, Arc::new(store.volume(blob, None).unwrap()), 1).await.unwrap();
        let per = size as u64 / 512;
        for (op, lba, found) in [
            (Op::SeekData, 0, per),
            (Op::SeekData, per + 3, per + 3),
            (Op::SeekData, 3 * per, u64::MAX),
            (Op::SeekHole, 5, 5),
            (Op::SeekHole, per, 3 * per),
        ] {
            assert_eq!(ask(&queue, op, lba).await, (Status::Ok, found), "{op:?} from {lba}");
        }
        assert_eq!(ask(&queue, Op::Write, 0).await.0, Status::ReadOnly);
        assert_eq!(ask(&queue, Op::SeekData, 4 * per).await.0, Status::OutOfRange);
    });
}

#[test]
fn a_page_that_the_device_cannot_read_is_named_and_the_others_are_read() {
    let mut store = made();
    let (good, bad) = (store.blob(8, 0, &[], 2, &[100]), store.blob(9, 0, &[], 4, &[101]));
    store.fill(100, 3);
    let disk = disk(&store.bytes, 512);
    let at = store.geometry.page_offset(MdPage(4)).unwrap() / 512;
    disk.make_unreadable(at..at + 1);
    let device: Arc<dyn BlockDevice> = Arc::new(disk);
    run(move |local| async move {
        let store = doorbell_blobstore::Store::open(&local, device, &Default::default()).await.unwrap();
        assert_eq!(store.findings().first(), Some(&Finding::Unreadable(MdPage(4))));
        assert_eq!(store.unusable().map(|(id, _)| id).collect::<Vec<_>>(), [bad]);
        assert_eq!(firsts(&local, &store, good).await, [3]);
    });
}

/// Pages whose checksums fit and whose words are anything: opening and reading what is left neither panics nor hangs, nor asks for memory without
/// end.
#[test]
fn whatever_stands_in_pages_opening_ends() {
    let (whole, _) = image("b_lvs_snapclone_bs512");
    let found = SuperBlock::decode(whole.first_chunk().unwrap()).unwrap();
    let geometry = Geometry::of(&found, whole.len() as u64).unwrap();
    for seed in doorbell_sim::seeds(60) {
        let mut entropy = doorbell_sim::Entropy::new(seed);
        let mut bytes = whole.clone();
        for _ in 0..1 + entropy.below(6) {
            // The super block now and then; else one of the pages that hold something.
            let page = entropy.below(24) as u32;
            let offset = geometry.page_offset(MdPage(page)).filter(|_| entropy.below(8) > 0).unwrap_or_default() as usize;
            let page: &mut PageBytes = bytes[offset..].first_chunk_mut().unwrap();
            for _ in 0..1 + entropy.below(4) {
                let at = if entropy.coin() { entropy.below(160) } else { entropy.below(4090) } as usize;
                let word = [0, 1, 0xff, entropy.word() as u8][entropy.below(4) as usize];
                page[at] = word;
            }
            seal(page);
        }
        let recover = entropy.coin();
        with_store(&bytes, 512, recover, |local, store| async move {
            let Ok(store) = store else { return };
            for id in store.blobs() {
                let blob = store.blob(id).unwrap();
                if let Ok(volume) = store.volume(id, None)
                    && blob.clusters < 400
                {
                    read(&local, volume).await;
                }
            }
        });
    }
}
