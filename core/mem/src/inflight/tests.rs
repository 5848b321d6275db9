use super::*;
use crate::{Pool, Seg};

fn list(pool: &Pool) -> SgList {
    let mut l = SgList::default();
    l.push(pool.get(512).unwrap());
    l
}

fn done(key: &QueueKey, cid: u16) -> Completion {
    // SAFETY: no device is behind this queue.
    unsafe { key.completion(cid) }
}

#[test]
fn only_a_witness_of_this_queue_releases_and_only_once() {
    let pool = Pool::small(512, 4);
    let (key, other) = (QueueKey::new(), QueueKey::new());
    let mut t = InFlight::new(&key, 2);
    let a = t.insert(list(&pool)).unwrap();
    assert_eq!(t.segments(a).unwrap().bytes(), 512);
    assert!(t.finish(&done(&other, a.0)).is_none());
    assert!(t.finish(&done(&key, 1)).is_none(), "nothing is in slot 1");
    assert!(t.finish(&done(&key, 9)).is_none());
    let mut back = t.finish(&done(&key, a.0)).unwrap();
    assert!(back.segs_mut()[0].bytes().is_some(), "the table kept no share");
    assert!(t.finish(&done(&key, a.0)).is_none(), "a duplicate");
    assert_eq!((t.strays(), t.len()), (4, 0));
    assert!(t.segments(a).is_none());
}

#[test]
fn a_full_table_gives_it_back() {
    let pool = Pool::small(512, 4);
    let mut t = InFlight::new(&QueueKey::new(), 1);
    t.insert(list(&pool)).unwrap();
    assert_eq!(t.insert(list(&pool)).unwrap_err().bytes(), 512);
    let before = leaked();
    drop(t);
    assert_eq!(leaked() - before, 1, "dropped while not empty: leaked and counted");
    assert_eq!(pool.out(), 1, "the leaked buffer is not handed to another");
}

#[test]
fn a_stale_quiesced_releases_nothing() {
    let pool = Pool::small(512, 4);
    let key = QueueKey::new();
    let mut t = InFlight::new(&key, 4);
    // SAFETY: no device is behind this queue.
    let (first, second) = unsafe { (key.quiesced(0), key.quiesced(1)) };
    t.insert(list(&pool)).unwrap();
    assert!(t.reclaim(&second).is_empty());
    assert_eq!(t.reclaim(&first).len(), 1);
    t.insert(list(&pool)).unwrap();
    assert!(t.reclaim(&first).is_empty(), "stale");
    assert_eq!(t.reclaim(&second).len(), 1);
    let _: Option<Seg> = pool.get(512);
}
