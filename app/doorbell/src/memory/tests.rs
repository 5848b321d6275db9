use super::*;
use doorbell_mem::DEFAULT_CLASSES;

fn small_and_large(classes: &[ClassSpec]) -> (u64, u64) {
    let (small, large): (Vec<ClassSpec>, Vec<ClassSpec>) = classes.iter().partition(|class| class.size <= SMALL_BYTES);
    (bytes_of(&small), bytes_of(&large))
}

#[test]
fn spdks_counts_are_bytes_for_our_classes() {
    let before = small_and_large(&DEFAULT_CLASSES);
    let spdk = Options { small_pool_count: Some(8192), large_pool_count: Some(1024), ..Options::NONE };
    let (small, large) = small_and_large(&classes(&DEFAULT_CLASSES, &spdk, 2));
    // Half of 64 MiB and of 132 MiB for each of two, less what is no whole buffer.
    assert!((31 << 20..=32 << 20).contains(&small) && (63 << 20..=66 << 20).contains(&large), "{small} {large}");
    let sized = Options { large_bufsize: Some(1 << 20), ..Options::NONE };
    let (small, large) = small_and_large(&classes(&DEFAULT_CLASSES, &sized, 1));
    assert!(small == before.0 && (1000 << 20..=1024 << 20).contains(&large), "{small} {large}");
    assert_eq!(small_and_large(&classes(&DEFAULT_CLASSES, &Options::NONE, 3)), before);
}

#[test]
fn no_class_is_left_without_buffers_and_none_overflows() {
    for bytes in [0, 1 << 20, u64::MAX] {
        for class in scaled(&DEFAULT_CLASSES, bytes) {
            assert!(class.count >= 4 && u64::from(class.count) * u64::from(class.size) >= LEAST_BYTES, "{bytes}: {class:?}");
        }
    }
    let least: u64 = bytes_of(&scaled(&DEFAULT_CLASSES, 0));
    assert!(least < 6 << 20, "{least}");
    let twice = scaled(&DEFAULT_CLASSES, 2 * bytes_of(&DEFAULT_CLASSES));
    assert!(twice.iter().zip(DEFAULT_CLASSES).all(|(a, b)| a.count == 2 * b.count));
}

#[test]
fn what_is_not_given_stays_and_too_little_is_refused() {
    let first = Options { small_pool_count: Some(100), enable_numa: Some(true), ..Options::NONE };
    let both = first.and(&Options { small_pool_count: Some(200), large_pool_count: Some(9), ..Options::NONE });
    assert_eq!(both, Options { small_pool_count: Some(200), large_pool_count: Some(9), enable_numa: Some(true), ..Options::NONE });
    both.check().unwrap();
    for few in [
        Options { small_pool_count: Some(63), ..Options::NONE },
        Options { large_pool_count: Some(7), ..Options::NONE },
        Options { small_bufsize: Some(4095), ..Options::NONE },
        Options { large_bufsize: Some(8191), ..Options::NONE },
    ] {
        assert!(few.check().is_err(), "{few:?}");
    }
}
