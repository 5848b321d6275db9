use super::*;
use std::vec;
use std::vec::Vec;

fn encoded(kind: MaskKind, len: u32, words: &[u64], pages: usize) -> Vec<u8> {
    let mut bytes = vec![0xaa; pages * 4096];
    mask_part(kind, len, words, 0, &mut bytes);
    bytes
}

#[test]
fn a_mask_is_a_header_and_its_bits() {
    let bytes = encoded(MaskKind::Clusters, 16, &[0b1111], 1);
    assert_eq!(bytes[..8], [1, 16, 0, 0, 0, 0x0f, 0, 0]);
    assert!(bytes[6..].iter().all(|b| *b == 0));
    let mask = Mask::decode(MaskKind::Clusters, 16, &bytes).unwrap();
    assert!(mask.ones().eq([0, 1, 2, 3]));
    assert!(mask.has(3) && !mask.has(4) && !mask.has(1000) && mask.count() == 4 && mask.len() == 16);
    assert!(mask.begins_with_ones(0) && mask.begins_with_ones(4) && !mask.begins_with_ones(5) && !mask.begins_with_ones(17));
}

#[test]
fn a_mask_that_is_not_to_be_trusted_says_why() {
    let bytes = encoded(MaskKind::BlobIds, 100, &[1], 1);
    let decode = |kind, len, bytes| Mask::decode(kind, len, bytes).unwrap_err();
    let (pages, ids, clusters) = (MaskKind::Pages, MaskKind::BlobIds, MaskKind::Clusters);
    assert_eq!(decode(pages, 100, &bytes), MaskFault::Kind { expected: pages, found: 2 });
    assert_eq!(decode(ids, 99, &bytes), MaskFault::Length { kind: ids, expected: 99, found: 100 });
    assert_eq!(decode(ids, 101, &bytes), MaskFault::Length { kind: ids, expected: 101, found: 100 });
    assert_eq!(decode(ids, 100, &bytes[..17]), MaskFault::Short(ids));
    assert_eq!(decode(ids, 100, &[]), MaskFault::Short(ids));
    assert!(Mask::decode(ids, 100, &bytes[..18]).is_ok());
    // Pages that were never written: the mask of pages looks like one of no bits.
    assert!(MaskKind::ALL.iter().all(|kind| Mask::decode(*kind, 16, &[0; 4096]).is_err()));
    // A grow that was interrupted leaves a mask of clusters that is too long; the others have one length.
    let long = encoded(clusters, 200, &[u64::MAX; 4], 1);
    let mask = Mask::decode(clusters, 100, &long).unwrap();
    assert_eq!((mask.count(), mask.ones().last(), mask.has(100)), (100, Some(99), false));
    assert!(Mask::decode(clusters, 201, &long).is_err());
}

#[test]
fn blob_ids_are_among_the_pages() {
    let (pages, ids) = (encoded(MaskKind::Pages, 70, &[0b111, 0b10], 1), encoded(MaskKind::BlobIds, 70, &[0b101, 0b10], 1));
    let stray = encoded(MaskKind::BlobIds, 70, &[0b101, 0b11], 1);
    let pages = Mask::decode(MaskKind::Pages, 70, &pages).unwrap();
    assert!(Mask::decode(MaskKind::BlobIds, 70, &ids).unwrap().is_within(&pages));
    assert!(!Mask::decode(MaskKind::BlobIds, 70, &stray).unwrap().is_within(&pages));
}

proptest::proptest! {
    /// In one part or in several, a mask comes back bit for bit, and clear behind its end.
    #[test]
    fn masks_come_back(words in proptest::collection::vec(proptest::num::u64::ANY, 0..40), short in 0u32..64, cut in 0usize..400) {
        let len = (words.len() as u32 * 64).saturating_sub(short);
        let whole = encoded(MaskKind::Pages, len, &words, 1);
        let mut parts = vec![0xaa; 4096];
        let (head, tail) = parts.split_at_mut(cut);
        mask_part(MaskKind::Pages, len, &words, 0, head);
        mask_part(MaskKind::Pages, len, &words, cut as u64, tail);
        proptest::prop_assert_eq!(&whole, &parts);
        let mask = Mask::decode(MaskKind::Pages, len, &whole).unwrap();
        let set = |bit: u32| words[bit as usize / 64] >> (bit % 64) & 1 == 1;
        let ones: Vec<u32> = (0..len).filter(|bit| set(*bit)).collect();
        proptest::prop_assert!(mask.ones().eq(ones.iter().copied()));
        proptest::prop_assert_eq!(mask.count() as usize, ones.len());
        let leading = (0..len).take_while(|bit| set(*bit)).count() as u32;
        proptest::prop_assert!(mask.begins_with_ones(leading) && !mask.begins_with_ones(leading + 1));
        proptest::prop_assert!(whole[5 + len.div_ceil(8) as usize..].iter().all(|b| *b == 0));
    }
}
