use super::*;

#[test]
fn bits_that_came_from_words_end_where_they_end() {
    let mut bits = Bits::of_words(70, [1 << 63 | 1, u64::MAX].into_iter());
    assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, 64, 65, 66, 67, 68, 69]);
    assert_eq!(bits.clear_bits(), 62);
    assert!(bits.set(1) && !bits.set(1) && !bits.set(70));
    assert_eq!((bits.clear_bits(), bits.has(1), bits.has(2), bits.has(70)), (61, true, false, false));
}

#[test]
fn the_lowest_that_is_clear_is_taken() {
    let mut bits = Bits::new(200);
    assert_eq!((bits.take(1), bits.take(1), bits.take(0), bits.take(0)), (Some(1), Some(2), Some(0), Some(3)));
    assert!(bits.clear(1) && !bits.clear(1) && !bits.clear(200));
    assert_eq!((bits.take(2), bits.take(0), bits.take(0)), (Some(4), Some(1), Some(5)));
    let rest: Vec<u32> = std::iter::from_fn(|| bits.take(1)).collect();
    assert_eq!(rest, (6..200).collect::<Vec<_>>());
    assert_eq!((bits.clear_bits(), bits.take(0)), (0, None));
    bits.clear(77);
    bits.resize(64);
    assert_eq!((bits.len(), bits.clear_bits(), bits.take(0)), (64, 0, None));
    bits.resize(300);
    assert_eq!((bits.clear_bits(), bits.take(0), bits.words().len()), (236, Some(64), 5));
}
