use super::*;
use std::vec::Vec;

const ID: BlobId = BlobId::of_root(MdPage(3));

fn page(entry: u32, clusters: &[Cluster]) -> PageBytes {
    let mut page = [0xaa; PAGE_LEN];
    write_extent_page(&mut page, ID, entry, clusters).unwrap();
    page
}

fn damage(bytes: &PageBytes) -> Damage {
    extents_in(MdPage(4), bytes).unwrap_err().damage
}

/// The page after a change, with its checksum right again.
fn changed(mut page: PageBytes, at: usize, what: &[u8]) -> PageBytes {
    put(&mut page, at, what);
    seal(&mut page);
    page
}

#[test]
fn a_short_page_is_filled_up_and_a_long_one_cut_off() {
    let bytes = page(1, &[Cluster(7), Cluster::NONE, Cluster(9)]);
    let found = extents_in(MdPage(4), &bytes).unwrap();
    assert_eq!((found.start(), found.stored_len(), found.writer(), found.place()), (512, 3, ID.to_raw(), MdPage(4)));
    let clusters = |total| found.clusters(1, total).unwrap().map(|c| c.0).collect::<Vec<_>>();
    assert_eq!(clusters(515), [7, 0, 9]);
    assert_eq!(clusters(517), [7, 0, 9, 0, 0], "the volume grew around a snapshot's deletion");
    assert_eq!(clusters(513), [7], "the volume shrank around it");
    assert_eq!((clusters(512), clusters(0)), (Vec::new(), Vec::new()));
    assert_eq!(found.clusters(1, u64::MAX).unwrap().len(), 512);
    let wrong = found.clusters(0, 600).unwrap_err();
    assert_eq!(wrong, PageFault { page: MdPage(4), damage: Damage::ExtentStart { expected: 0, found: 512 } });
    assert!(found.clusters(u64::MAX, u64::MAX).is_err());
}

#[test]
fn lists_have_one_to_512_clusters() {
    let full: Vec<Cluster> = (1..=513).map(Cluster).collect();
    let mut bytes = [0; PAGE_LEN];
    assert_eq!(write_extent_page(&mut bytes, ID, 0, &full), Err(Unwritable::ExtentPageLength));
    assert_eq!(write_extent_page(&mut bytes, ID, 0, &[]), Err(Unwritable::ExtentPageLength));
    assert_eq!(write_extent_page(&mut bytes, ID, u32::MAX, &full[..1]), Err(Unwritable::TooLarge));
    let bytes = page(0, &full[..512]);
    assert_eq!(bytes[16..25], [6, 4, 8, 0, 0, 0, 0, 0, 0], "2052 bytes of payload, from cluster 0 on");
    assert!(extents_in(MdPage(4), &bytes).unwrap().stored().eq(full[..512].iter().copied()));
}

#[test]
fn what_is_no_extent_page_says_why() {
    let good = page(0, &[Cluster(1), Cluster(2)]);
    assert!(matches!(damage(&[0; PAGE_LEN]), Damage::Checksum { stored: 0, .. }), "it was zeroed");
    let mut torn = good;
    torn[30] = 1;
    assert!(matches!(damage(&torn), Damage::Checksum { .. }));
    assert_eq!(damage(&changed(good, 8, &[1])), Damage::NotAnExtentPage, "a page of a chain");
    assert_eq!(damage(&changed(good, 16, &[5])), Damage::NotAnExtentPage);
    assert!(matches!(damage(&changed(good, 17, &[4])), Damage::Length { len: 4, .. }), "an empty list");
    assert!(matches!(damage(&changed(good, 17, &[255, 15])), Damage::Overrun { .. }));
    assert_eq!(damage(&changed(good, AREA_END, &[7, 0, 0, 0])), Damage::NotAlone);
    // 16 + 5 + 12 is where another descriptor would begin; the original asks for its length only.
    assert_eq!(damage(&changed(good, 33, &[2, 9])), Damage::NotAlone);
    assert!(extents_in(MdPage(4), &changed(good, 33, &[2])).is_ok());
    assert!(extents_in(MdPage(4), &changed(good, 0, &[0; 8])).is_ok(), "the id is not looked at");
}

#[test]
fn a_list_up_to_the_end_of_the_area_is_read() {
    let mut bytes = page(0, &[Cluster(1)]);
    put(&mut bytes, 17, &(4 + 4 * 1015u32).to_le_bytes());
    seal(&mut bytes);
    let found = extents_in(MdPage(4), &bytes).unwrap();
    assert_eq!((found.stored_len(), found.clusters(0, 5000).unwrap().len()), (1015, 512));
}

#[test]
fn an_entry_covers_512_clusters_or_the_rest() {
    let covered = |entry| clusters_in_entry(entry, 1025);
    assert_eq!([covered(0), covered(1), covered(2), covered(3), covered(u64::MAX)], [512, 512, 1, 0, 0]);
    assert_eq!((clusters_in_entry(0, u64::MAX), clusters_in_entry(0, 0)), (512, 0));
}
