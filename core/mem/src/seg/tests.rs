use crate::{Foreign, Pool, Regions};

#[test]
fn bytes_are_lent_to_the_sole_share_only() {
    let pool = Pool::small(4096, 2);
    let mut s = pool.get(4096).unwrap();
    s.bytes().unwrap().fill(7);
    let (a, b) = (s.slice(0, 2048), s.slice(2048, 2048));
    assert!(s.bytes().is_none());
    a.write_at(0, &[1; 2048]);
    b.write_at(0, &[2; 2048]);
    drop(a);
    assert!(s.bytes().is_none());
    drop(b);
    let v = s.bytes().unwrap();
    assert_eq!((v[0], v[2047], v[2048]), (1, 1, 2));
    assert_eq!(pool.out(), 1);
    drop(s);
    assert_eq!(pool.out(), 0);
}

#[test]
fn a_narrowed_sole_share_can_be_restored_and_a_shared_one_cannot() {
    let pool = Pool::small(4096, 1);
    let mut s = pool.get(4096).unwrap();
    s.narrow(100, 50);
    assert_eq!(s.bytes().unwrap().len(), 50);
    let t = s.clone();
    assert!(!s.reset(4096));
    drop(t);
    assert!(s.reset(4096) && !s.reset(4097));
    assert_eq!(s.len(), 4096);
}

#[test]
fn foreign_memory_is_never_lent_and_outlives_its_map() {
    let regions = Regions::new();
    let map = Foreign::scratch(&regions, 8192).unwrap();
    let mut s = map.seg(0, 512).unwrap();
    assert!(s.is_foreign() && s.bytes().is_none());
    assert!(map.seg(8000, 512).is_none() && map.seg(u64::MAX, 2).is_none());
    drop(map);
    s.write_at(3, b"hello there");
    let mut b = [0; 11];
    s.read_at(3, &mut b);
    assert_eq!(&b, b"hello there");
    let mut seen = vec![];
    s.each_chunk(3, 11, |c| seen.extend_from_slice(c));
    assert_eq!(seen, b"hello there");
}

#[test]
#[should_panic(expected = "outside")]
fn a_slice_outside_is_refused() {
    let _ = Pool::small(512, 1).get(512).unwrap().slice(500, 13);
}

#[test]
fn copy_and_fill() {
    let pool = Pool::small(512, 2);
    let (a, b) = (pool.get(512).unwrap(), pool.get(512).unwrap());
    a.fill(0, 512, 9);
    b.fill(0, 512, 0);
    b.copy_from(10, &a, 0, 5);
    let mut v = [0; 512];
    b.read_at(0, &mut v);
    assert_eq!(&v[8..17], &[0, 0, 9, 9, 9, 9, 9, 0, 0]);
}

/// What a closure was lent stays what it was, whatever the closure does to the memory meanwhile.
#[test]
fn a_chunk_is_a_copy_that_no_share_can_write() {
    let pool = Pool::small(4096, 1);
    let a = pool.get(4096).unwrap();
    a.fill(0, 4096, 7);
    let b = a.clone();
    a.each_chunk(0, 4096, |c| {
        let before = c.to_vec();
        b.fill(0, 4096, before[0] + 1);
        b.write_at(1, c); // must not be the memory that is written
        assert_eq!(c, before);
    });
}

#[test]
fn foreign_memory_is_copied_whole_also_onto_itself() {
    let map = Foreign::scratch(&Regions::new(), 8192).unwrap();
    let all = map.seg(0, 8192).unwrap();
    let pattern: Vec<u8> = (0..8192u32).map(|n| (n % 251) as u8).collect();
    for len in [0u32, 1, 7, 8, 9, 63, 64, 65, 1000, 4096] {
        for (to, from) in [(0u32, 3u32), (3, 0), (5, 5), (0, 4096), (2000, 1000), (1000, 2000)] {
            all.write_at(0, &pattern);
            all.copy_from(to, &all.clone(), from, len);
            let mut want = pattern.clone();
            want.copy_within(from as usize..(from + len) as usize, to as usize);
            let mut got = vec![0; 8192];
            all.read_at(0, &mut got);
            assert!(got == want, "{len} bytes from {from} to {to}");
        }
    }
    all.fill(10, 5000, 3);
    let pool = Pool::small(8192, 1);
    let ours = pool.get(8192).unwrap();
    ours.copy_from(0, &all, 0, 8192);
    assert_eq!(ours.first_difference(0, &all, 0, 8192), None);
    ours.fill(5005, 1, 0);
    assert_eq!(ours.first_difference(0, &all, 0, 8192), Some(5005));
    assert_eq!(all.first_difference(5000, &ours, 5000, 8), Some(5));
}

#[test]
#[should_panic(expected = "a pool's memory")]
fn what_a_pool_lends_is_nobody_elses() {
    let _ = Foreign::of(Pool::small(4096, 1).region().clone());
}

#[test]
fn words_are_read_and_written_whole_and_only_where_they_are_aligned() {
    let f = Foreign::scratch(&Regions::new(), 4096).unwrap();
    let s = f.seg(8, 64).unwrap();
    s.store32(4, 0x0102_0304);
    s.store64(8, 0x1112_1314_1516_1718);
    let mut bytes = [0; 12];
    s.read_at(4, &mut bytes);
    assert_eq!(bytes, [4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
    assert_eq!((s.load32(4), s.load64(8)), (0x0102_0304, 0x1112_1314_1516_1718));
    for wrong in [2u32, 61, 64] {
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| s.load32(wrong))).is_err(), "{wrong}");
    }
    s.store_words(48, [1, 2]);
    assert_eq!((s.load64(40), s.load64(48), s.load64(56)), (0, 1, 2));
    for wrong in [44u32, 56, 64] {
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| s.store_words(wrong, [1, 2]))).is_err(), "{wrong}");
    }
}
