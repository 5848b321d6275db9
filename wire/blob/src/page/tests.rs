use super::*;
use crate::field::put;
use crate::{Cluster, PAGE_LEN, seal, write_extent_page};

fn chain_page(id: u64, sequence: u32) -> PageBytes {
    let mut page = [0; PAGE_LEN];
    put(&mut page, 0, &id.to_le_bytes());
    put(&mut page, 8, &sequence.to_le_bytes());
    put(&mut page, AREA_END, &u32::MAX.to_le_bytes());
    seal(&mut page);
    page
}

const ID: u64 = 0x1_0000_0005;

#[test]
fn a_page_is_what_it_says_at_its_place() {
    let root = chain_page(ID, 0);
    assert!(matches!(classify(MdPage(5), &root), Page::Root(id, page) if id.root() == MdPage(5) && page.next().is_none()));
    assert!(matches!(classify(MdPage(6), &root), Page::Copy(id, _) if id.root() == MdPage(5)));
    assert!(matches!(classify(MdPage(5), &chain_page(ID, 1)), Page::Follower(id, page) if page.sequence() == 1 && Some(id) == page.id()));
    // Bits that no id has: no root, whatever the low half says, and no follower.
    for id in [5, 0x2_0000_0005, 0x3_0000_0005, u64::MAX, 0x1_ffff_ffff] {
        assert!(matches!(classify(MdPage(5), &chain_page(id, 0)), Page::Stray(_)), "{id:#x}");
        assert!(matches!(classify(MdPage(5), &chain_page(id, 3)), Page::Stray(_)), "{id:#x}");
    }
    assert_eq!(BlobId::from_raw(0x1_ffff_ffff), None, "no root lies at the end of all chains");
}

#[test]
fn a_page_of_zeroes_is_free_and_a_damaged_one_is_named() {
    assert!(matches!(classify(MdPage(0), &[0; PAGE_LEN]), Page::Free));
    let mut page = chain_page(ID, 0);
    page[2000] = 1;
    let Page::Broken(fault) = classify(MdPage(5), &page) else { panic!() };
    assert!(matches!(fault, PageFault { page: MdPage(5), damage: Damage::Checksum { id: ID, sequence: 0, .. } }));
    let text = std::format!("{fault}");
    assert!(text.starts_with("metadata page 5: its checksum is 0x") && text.contains("0x100000005"), "{text}");
    // A root whose other sectors were zeroed is not free, and neither is one of which only the end is left.
    let mut head = [0; PAGE_LEN];
    head[..512].copy_from_slice(&chain_page(ID, 0)[..512]);
    let mut tail = [0; PAGE_LEN];
    tail[3584..].copy_from_slice(&chain_page(ID, 0)[3584..]);
    assert!([head, tail].iter().all(|page| matches!(classify(MdPage(5), page), Page::Broken(_))));
    let mut sealed = [0; PAGE_LEN];
    seal(&mut sealed);
    assert!(matches!(classify(MdPage(0), &sealed), Page::Stray(_)));
}

#[test]
fn an_extent_page_is_one_wherever_it_lies_and_whoever_wrote_it() {
    let mut page = [0; PAGE_LEN];
    write_extent_page(&mut page, BlobId::of_root(MdPage(1)), 0, &[Cluster(7)]).unwrap();
    assert!(matches!(classify(MdPage(9), &page), Page::Extents(found) if found.writer() == 0x1_0000_0001));
    for id in [0u64, 77] {
        put(&mut page, 0, &id.to_le_bytes());
        seal(&mut page);
        assert!(matches!(classify(MdPage(9), &page), Page::Extents(_)), "the id is not looked at");
    }
    page[AREA_AT + 1] = 7;
    seal(&mut page);
    let Page::Broken(fault) = classify(MdPage(9), &page) else { panic!() };
    assert_eq!(fault.damage, Damage::Length { offset: 16, kind: DescriptorKind::EXTENT_PAGE, len: 7 });
}

proptest::proptest! {
    /// Any bytes, sealed or not, are something, and what is in them can be walked.
    #[test]
    fn any_page_is_something(at in 0u32..20, head in proptest::collection::vec(proptest::num::u8::ANY, 0..200), sealed in proptest::bool::ANY, id in proptest::bool::ANY) {
        let mut page = [0; PAGE_LEN];
        page[..head.len()].copy_from_slice(&head);
        if id {
            put(&mut page, 0, &(1u64 << 32 | 7).to_le_bytes());
        }
        if sealed {
            seal(&mut page);
        }
        match classify(MdPage(at), &page) {
            Page::Root(_, page) | Page::Follower(_, page) | Page::Copy(_, page) | Page::Stray(page) => proptest::prop_assert!(page.descriptors().count() <= 900),
            Page::Extents(page) => proptest::prop_assert_eq!(page.stored().len(), page.stored_len()),
            Page::Broken(fault) => proptest::prop_assert_eq!(fault.page, MdPage(at)),
            Page::Free => proptest::prop_assert!(looks_free(&page)),
        }
    }
}
