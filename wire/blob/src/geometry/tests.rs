use super::*;
use crate::{BsType, Plan};

const DEVICE: u64 = 64 << 20;

fn store() -> SuperBlock {
    Plan { device_bytes: DEVICE, cluster_bytes: 1 << 20, ..Plan::default() }.super_block(BsType::LVOLSTORE).unwrap()
}

#[test]
fn what_old_versions_leave_out_has_a_meaning() {
    let old = SuperBlock {
        version: 1,
        size_bytes: 0,
        io_unit_bytes: 0,
        md_page_bytes: 0,
        blob_id_mask: MaskPlace::default(),
        md_start: 3,
        clean: true,
        ..store()
    };
    let g = Geometry::of(&old, DEVICE).unwrap();
    assert_eq!((g.size_bytes, g.io_unit_bytes, g.md_page_bytes, g.blob_id_mask), (DEVICE, 4096, 4096, None));
    assert!(old.needs_recovery(), "there is no mask of blob ids");
    let larger = Geometry::of(&old, 1 << 40).unwrap();
    assert_eq!((larger.size_bytes, larger.total_clusters), (32_728 << 20, 32_728), "as far as its mask goes");
    assert_eq!(g.grown(&old, DEVICE * 2), Err(GeometryFault::TooOldToGrow(1)));
}

#[test]
fn offsets_are_given_for_what_there_is() {
    let g = Geometry::of(&store(), DEVICE).unwrap();
    assert_eq!((g.page_offset(MdPage(0)), g.page_offset(MdPage(63)), g.page_offset(MdPage(64))), (Some(16_384), Some(67 * 4096), None));
    assert_eq!(g.page_offset(MdPage::END), None);
    assert_eq!((g.cluster_offset(Cluster(0)), g.cluster_offset(Cluster(1))), (None, Some(1 << 20)));
    assert_eq!((g.cluster_offset(Cluster(63)), g.cluster_offset(Cluster(64))), (Some(63 << 20), None));
    assert!(g.holds_blob(BlobId::of_root(MdPage(63))) && !g.holds_blob(BlobId::of_root(MdPage(64))));
    assert_eq!(g.mask_bytes(g.page_mask), 4096..8192);
    let wide = SuperBlock { md_len: 600, ..store() };
    let g = Geometry::of(&wide, DEVICE).unwrap();
    assert_eq!(
        (g.md_clusters, g.cluster_offset(Cluster(2)), g.cluster_offset(Cluster(3))),
        (3, None, Some(3 << 20)),
        "metadata is no data"
    );
}

#[test]
fn a_device_may_be_larger_than_the_store_and_not_smaller() {
    let g = Geometry::of(&store(), DEVICE + 12_345).unwrap();
    assert_eq!((g.size_bytes, g.total_clusters), (DEVICE, 64));
    let fault = Geometry::of(&store(), DEVICE - 1).unwrap_err();
    assert_eq!(fault, GeometryFault::LargerThanDevice { size_bytes: DEVICE, device_bytes: DEVICE - 1 });
    // A tail smaller than a cluster is not used.
    let tail = SuperBlock { size_bytes: DEVICE - 5, ..store() };
    assert_eq!(Geometry::of(&tail, DEVICE).unwrap().total_clusters, 63);
}

#[test]
fn numbers_that_make_no_sense_are_named() {
    let fault = |sb: SuperBlock| Geometry::of(&sb, DEVICE).unwrap_err();
    let sb = store();
    assert_eq!(fault(SuperBlock { cluster_bytes: 0, ..sb }), GeometryFault::ClusterSize(0));
    assert_eq!(fault(SuperBlock { cluster_bytes: 4097, ..sb }), GeometryFault::ClusterSize(4097));
    for wrong in [512, 4100, 2 << 20] {
        assert_eq!(fault(SuperBlock { md_page_bytes: wrong, ..sb }), GeometryFault::MdPageSize(wrong));
    }
    for wrong in [1, 768, 2 << 20] {
        assert_eq!(fault(SuperBlock { io_unit_bytes: wrong, ..sb }), GeometryFault::IoUnitSize(wrong));
    }
    let huge = SuperBlock { size_bytes: 1 << 44, cluster_bytes: 4096, ..sb };
    assert_eq!(Geometry::of(&huge, 1 << 44), Err(GeometryFault::TooManyClusters(1 << 32)));
    for (start, len) in [(4, 0), (4, u32::MAX), (u32::MAX, u32::MAX), (4, 64 * 256)] {
        assert_eq!(fault(SuperBlock { md_start: start, md_len: len, ..sb }), GeometryFault::MetadataOutside { start, len });
    }
    let moved = |start, len| SuperBlock { cluster_mask: MaskPlace { start, len }, ..sb };
    for (start, len) in [(0, 1), (4, 1), (1, 1), (3, 1), (2, u32::MAX), (u32::MAX, u32::MAX)] {
        assert!(matches!(fault(moved(start, len)), GeometryFault::MaskMisplaced(_)), "{start}+{len}");
    }
    assert_eq!(fault(moved(2, 0)), GeometryFault::MaskTooShort(MaskKind::Clusters));
    // 32,728 bits fit a page, and not one more.
    let device = 32_728u64 << 20;
    let grown = SuperBlock { size_bytes: device, ..sb };
    assert!(Geometry::of(&grown, device).is_ok());
    let further = SuperBlock { size_bytes: device + (1 << 20), ..sb };
    assert_eq!(Geometry::of(&further, device * 2), Err(GeometryFault::MaskTooShort(MaskKind::Clusters)));
}

#[test]
fn a_mask_of_more_bits_than_can_be_counted_is_no_reason_to_give_up() {
    // Pages of 2 GiB, more of them than bytes of the device: what such a mask has room for does not fit any number.
    let all = MaskPlace { start: 1, len: u32::MAX };
    let large = SuperBlock { size_bytes: 0, md_page_bytes: 1 << 31, cluster_bytes: 1 << 31, cluster_mask: all, ..store() };
    assert!(Geometry::of(&large, u64::MAX).is_err());
}

#[test]
fn a_store_grows_as_far_as_its_mask_has_room() {
    let sb = SuperBlock { clean: true, ..store() };
    let g = Geometry::of(&sb, DEVICE).unwrap();
    assert_eq!(g.grown(&sb, DEVICE), Ok(None));
    assert!(g.grown(&sb, DEVICE - 1).is_err());
    let larger = g.grown(&sb, 2 * DEVICE).unwrap().unwrap();
    assert_eq!((larger.size_bytes, larger.clean, larger.cluster_mask), (2 * DEVICE, false, sb.cluster_mask));
    let fault = g.grown(&sb, g.max_bytes() + (1 << 20)).unwrap_err();
    assert_eq!(fault, GeometryFault::NoRoomToGrow { max_bytes: 32_728 << 20 });
    assert!(Geometry::of(&g.grown(&sb, g.max_bytes()).unwrap().unwrap(), g.max_bytes()).is_ok());
    // Where many pages were reserved the mask gets longer, into its room.
    let roomy = Plan { device_bytes: 1 << 30, cluster_bytes: 1 << 20, md_pages: Some(100_000), ..Plan::default() };
    let sb = roomy.super_block(BsType::ANY).unwrap();
    let g = Geometry::of(&sb, 1 << 30).unwrap();
    let larger = g.grown(&sb, 40_000 << 20).unwrap().unwrap();
    assert_eq!((larger.cluster_mask.len, Geometry::of(&larger, 40_000 << 20).unwrap().cluster_mask_room), (2, 4));
}
