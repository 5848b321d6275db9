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
