use super::*;

#[test]
fn bits_that_came_from_words_end_where_they_end() {
    let mut bits = Bits::of_words(70, [1 << 63 | 1, u64::MAX].into_iter());
    assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, 64, 65, 66, 67, 68, 69]);
    assert_eq!(bits.clear_bits(), 62);
    assert!(bits.set(1) && !bits.set(1) && !bits.set(70));
    assert_eq!((bits.clear_bits(), bits.has(1), bits.has(2), bits.has(70)), (61, true, false, false));
}
