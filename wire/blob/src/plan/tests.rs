use super::*;
use crate::{Geometry, GeometryFault, MaskKind};

fn plan(device_bytes: u64, cluster_bytes: u32) -> Plan {
    Plan { device_bytes, cluster_bytes, ..Plan::default() }
}

#[test]
fn a_small_store_has_one_page_for_each_mask() {
    let sb = plan(16 << 20, 1 << 20).super_block(BsType::LVOLSTORE).unwrap();
    assert_eq!((sb.page_mask, sb.cluster_mask, sb.blob_id_mask), (at(1, 1), at(2, 1), at(3, 1)));
    assert_eq!((sb.md_start, sb.md_len, sb.io_unit_bytes, sb.md_page_bytes, sb.size_bytes), (4, 16, 512, 4096, 16 << 20));
    assert!(!sb.clean && sb.super_blob == BlobRef::NONE);
    let g = Geometry::of(&sb, 16 << 20).unwrap();
    assert_eq!((g.md_clusters, g.data_clusters(), g.max_bytes()), (1, 15, 32_728 << 20));
}

fn at(start: u32, len: u32) -> MaskPlace {
    MaskPlace { start, len }
}

#[test]
fn masks_grow_with_the_store_and_leave_room_for_as_many_clusters_as_pages() {
    // 1 TiB in clusters of 1 MiB: 2^20 bits are 131,072 bytes, and the header makes it 33 pages.
    let sb = plan(1 << 40, 1 << 20).super_block(BsType::ANY).unwrap();
    assert_eq!((sb.page_mask, sb.cluster_mask, sb.blob_id_mask), (at(1, 33), at(34, 33), at(67, 33)));
    assert_eq!((sb.md_start, sb.md_len), (100, 1 << 20));
    // Few pages: the mask of clusters is the larger.
    let sb = Plan { md_pages: Some(100), ..plan(1 << 40, 1 << 20) }.super_block(BsType::ANY).unwrap();
    assert_eq!((sb.page_mask, sb.cluster_mask, sb.blob_id_mask, sb.md_start), (at(1, 1), at(2, 33), at(35, 1), 36));
    // Many pages: the mask of clusters has room to grow.
    let sb = Plan { md_pages: Some(100_000), ..plan(1 << 30, 1 << 20) }.super_block(BsType::ANY).unwrap();
    assert_eq!((sb.page_mask, sb.cluster_mask, sb.blob_id_mask, sb.md_start), (at(1, 4), at(5, 1), at(9, 4), 13));
    assert_eq!(Geometry::of(&sb, 1 << 30).unwrap().cluster_mask_room, 4);
}

#[test]
fn metadata_pages_are_as_large_as_the_medium_or_the_caller_wants() {
    let physical = Plan { physical_block_bytes: 16_384, ..plan(16 << 20, 1 << 20) };
    assert_eq!(physical.super_block(BsType::ANY).unwrap().md_page_bytes, 16_384);
    let asked = Plan { md_page_bytes: 65_536, ..plan(64 << 20, 1 << 20) };
    let g = Geometry::of(&asked.super_block(BsType::ANY).unwrap(), 64 << 20).unwrap();
    assert_eq!((g.md_start, g.md_len, g.md_clusters), (4, 64, 5), "68 pages, 16 to a cluster");
    let tiny = Plan { physical_block_bytes: 8192, ..plan(16 << 20, 4096) };
    assert_eq!(tiny.super_block(BsType::ANY), Err(PlanFault::MdPageSize(8192)));
}

#[test]
fn what_cannot_be_a_store_is_refused() {
    let fault = |plan: Plan| plan.super_block(BsType::ANY).unwrap_err();
    let good = plan(16 << 20, 1 << 20);
    assert_eq!(fault(Plan { cluster_bytes: 0, ..good }), PlanFault::ClusterSize(0));
    assert_eq!(fault(Plan { cluster_bytes: 6000, ..good }), PlanFault::ClusterSize(6000));
    assert_eq!(
        fault(Plan { cluster_bytes: 12_288, block_bytes: 8192, physical_block_bytes: 8192, ..good }),
        PlanFault::ClusterSize(12_288)
    );
    assert_eq!(fault(Plan { md_pages: Some(0), ..good }), PlanFault::NoMetadata);
    assert_eq!(fault(Plan { physical_block_bytes: 6144, block_bytes: 4096, ..good }), PlanFault::Blocks);
    assert_eq!(fault(Plan { block_bytes: 0, ..good }), PlanFault::Blocks);
    assert_eq!(fault(Plan { device_bytes: 1000, ..good }), PlanFault::DeviceTooSmall(1000));
    assert_eq!(fault(plan(1 << 45, 4096)), PlanFault::TooManyClusters(1 << 33));
    // All of the device for metadata is as much as can be; a page more is not.
    let full = Plan { md_pages: Some(4092), ..good };
    assert_eq!(Geometry::of(&full.super_block(BsType::ANY).unwrap(), 16 << 20).unwrap().data_clusters(), 0);
    assert_eq!(fault(Plan { md_pages: Some(4093), ..good }), PlanFault::MetadataTooLarge { needed: 17, total: 16 });
    // The cluster size need not be a power of two.
    assert!(Plan { cluster_bytes: 12_288, ..good }.super_block(BsType::ANY).is_ok());
}

proptest::proptest! {
    /// Whatever is planned is a geometry, in which nothing overlaps and every mask holds its bits.
    #[test]
    fn what_is_planned_makes_sense(
        clusters in 1u64..5_000_000, cluster_pages in 1u32..600, md_pages in proptest::option::of(0u32..6_000_000),
        shift in 9u32..13, physical in 0u32..3, wish in 0u32..70_000, rest in 0u64..4096,
    ) {
        let cluster_bytes = cluster_pages * 4096;
        let plan = Plan {
            device_bytes: clusters * u64::from(cluster_bytes) + rest,
            block_bytes: 1 << shift,
            physical_block_bytes: 1 << (shift + physical),
            cluster_bytes,
            md_page_bytes: wish & !511,
            md_pages,
        };
        if let Ok(sb) = plan.super_block(BsType::ANY) {
            let g = Geometry::of(&sb, plan.device_bytes).unwrap();
            proptest::prop_assert_eq!(u64::from(g.total_clusters), clusters);
            proptest::prop_assert!(g.md_end_offset() <= u64::from(g.md_clusters) * u64::from(cluster_bytes));
            proptest::prop_assert!(g.max_bytes() >= clusters * u64::from(cluster_bytes));
            let mut at = 1;
            for kind in [MaskKind::Pages, MaskKind::Clusters, MaskKind::BlobIds] {
                let place = g.mask(kind).unwrap();
                proptest::prop_assert!(place.start >= at);
                proptest::prop_assert!(5 + u64::from(g.mask_bits(kind)).div_ceil(8) <= u64::from(place.len) * u64::from(g.md_page_bytes));
                at = place.start + place.len;
            }
            proptest::prop_assert_eq!(at.max(g.cluster_mask.start + g.cluster_mask_room + g.page_mask.len), g.md_start);
            proptest::prop_assert!(!matches!(Geometry::of(&sb, plan.device_bytes - 1 - rest), Ok(_) | Err(GeometryFault::ClusterSize(_))));
        }
    }
}
