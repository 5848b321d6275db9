use super::*;
use crate::{BlobId, Geometry, MdPage, Plan, is_sealed};

fn store() -> SuperBlock {
    let plan = Plan { device_bytes: 16 << 20, cluster_bytes: 1 << 20, ..Plan::default() };
    SuperBlock { super_blob: BlobId::of_root(MdPage(0)).into(), clean: true, ..plan.super_block(BsType::LVOLSTORE).unwrap() }
}

fn page() -> PageBytes {
    let mut page = [0; 4096];
    store().encode(&mut page);
    page
}

#[test]
fn it_comes_back_and_what_is_reserved_stays() {
    let mut page = page();
    assert_eq!(SuperBlock::decode(&page), Ok(store()));
    page[96] = 7;
    page[4091] = 9;
    SuperBlock { clean: false, super_blob: BlobRef::NONE, ..store() }.encode(&mut page);
    let again = SuperBlock::decode(&page).unwrap();
    assert_eq!((again.clean, again.super_blob.id(), page[96], page[4091]), (false, None, 7, 9));
    assert!(is_sealed(&page));
}

#[test]
fn version_then_signature_then_checksum() {
    let with = |at: usize, what: &[u8]| {
        let mut page = page();
        put(&mut page, at, what);
        SuperBlock::decode(&page)
    };
    assert_eq!(SuperBlock::decode(&[0; 4096]), Err(SuperFault::Version(0)));
    assert_eq!(with(8, &[4]), Err(SuperFault::Version(4)));
    assert_eq!(with(0, b"s"), Err(SuperFault::Signature));
    assert!(matches!(with(4000, &[1]), Err(SuperFault::Checksum { stored, computed }) if stored != computed));
    assert!(matches!(with(4095, &[1]), Err(SuperFault::Checksum { .. })));
    // Length is not looked at, any clean but zero is clean, older versions are read.
    for (at, what) in [(12, [9u8; 4]), (16, [0, 0, 0, 1]), (8, [2, 0, 0, 0]), (8, [1, 0, 0, 0])] {
        let mut page = page();
        put(&mut page, at, &what);
        seal(&mut page);
        assert!(SuperBlock::decode(&page).unwrap().clean);
    }
}

#[test]
fn one_that_was_torn_between_clean_and_checksum_is_read_as_not_clean() {
    let (clean, mut dirty) = (page(), [0; 4096]);
    SuperBlock { clean: false, ..store() }.encode(&mut dirty);
    let torn = |head: &PageBytes, tail: &PageBytes| {
        let mut page = *head;
        page[512..].copy_from_slice(&tail[512..]);
        page
    };
    for page in [torn(&clean, &dirty), torn(&dirty, &clean)] {
        assert!(matches!(SuperBlock::decode(&page), Err(SuperFault::Checksum { .. })));
        assert_eq!(SuperBlock::decode_torn(&page), Ok(SuperBlock { clean: false, ..store() }));
    }
    assert_eq!(SuperBlock::decode_torn(&clean), Ok(store()), "a whole one is read as it is");
    let mut rotten = torn(&clean, &dirty);
    rotten[90] ^= 1;
    assert_eq!(SuperBlock::decode_torn(&rotten), SuperBlock::decode(&rotten));
    assert_eq!(SuperBlock::decode_torn(&[0; 4096]), Err(SuperFault::Version(0)));
}

#[test]
fn types_are_told_apart_by_all_of_their_bytes() {
    assert!(BsType::LVOLSTORE.is(BsType::LVOLSTORE) && BsType::LVOLSTORE.is(BsType::ANY));
    let mut other = BsType::LVOLSTORE;
    other.0[15] = 1;
    assert!(!other.is(BsType::LVOLSTORE) && !BsType::ANY.is(BsType::LVOLSTORE));
    assert_eq!(std::format!("{} {:?}", BsType::LVOLSTORE, BsType::ANY), "LVOLSTORE BsType()");
}

proptest::proptest! {
    /// No bytes behind a right checksum make anything panic, and whatever is read is written again as it was.
    #[test]
    fn any_numbers_come_back(words in proptest::collection::vec(proptest::num::u32::ANY, 24), device in proptest::num::u64::ANY) {
        let mut page = [0; 4096];
        for (at, word) in (0..).step_by(4).zip(&words) {
            put(&mut page, at, &word.to_le_bytes());
        }
        put(&mut page, 0, SIGNATURE);
        put(&mut page, 8, &(1 + words[2] % 3).to_le_bytes());
        put(&mut page, 12, &4096u32.to_le_bytes());
        put(&mut page, 16, &(words[4] % 2).to_le_bytes());
        seal(&mut page);
        let read = SuperBlock::decode(&page).unwrap();
        let mut again = [0; 4096];
        read.encode(&mut again);
        proptest::prop_assert!(again == page);
        if let Ok(g) = Geometry::of(&read, device) {
            proptest::prop_assert!(g.md_end_offset() <= device && g.size_bytes <= device);
            let _ = g.grown(&read, device.saturating_mul(2));
        }
    }
}
