use super::*;
use proptest::prelude::*;

#[test]
fn an_empty_one_has_zeroes() {
    let h = Histogram::default();
    assert_eq!((h.count(), h.mean(), h.max(), h.percentile(50.0)), (0, 0.0, 0, 0));
}

#[test]
fn every_value_has_a_bucket_and_buckets_follow_one_another() {
    assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    for n in 0..BUCKETS - 1 {
        assert_eq!(bucket(top_of(n)), n);
        assert_eq!(bucket(top_of(n) + 1), n + 1);
    }
}

proptest! {
    #[test]
    fn agrees_with_a_sorted_list(mut values in prop::collection::vec((0u64..40).prop_flat_map(|bits| 0..=1u64 << bits), 1..300), split in 0usize..300) {
        let (mut a, mut b) = (Histogram::default(), Histogram::default());
        for (n, v) in values.iter().enumerate() {
            if n < split { a.record(*v) } else { b.record(*v) }
        }
        a.merge(b);
        values.sort_unstable();
        prop_assert_eq!(a.count(), values.len() as u64);
        prop_assert_eq!(a.max(), *values.last().unwrap());
        let mean = values.iter().map(|v| *v as f64).sum::<f64>() / values.len() as f64;
        prop_assert!((a.mean() - mean).abs() <= mean * 1e-9);
        for percent in [1.0, 50.0, 99.0, 99.9, 100.0] {
            let exact = values[((values.len() as f64 * percent / 100.0).ceil() as usize).max(1) - 1];
            let ours = a.percentile(percent);
            prop_assert!(ours >= exact && ours as f64 <= exact as f64 * 1.016, "{} {} {}", percent, ours, exact);
        }
    }
}
