use super::*;

fn pool(classes: &[(u32, u32)]) -> Pool {
    let classes = classes.iter().map(|&(size, count)| ClassSpec { size, count }).collect();
    Pool::new(&Regions::new(), &PoolSpec { classes, backing: Backing::Ordinary, node: None }).unwrap()
}

#[test]
fn the_smallest_class_that_holds_it_serves_and_larger_ones_stand_in() {
    let p = pool(&[(512, 1), (4096, 2), (1 << 20, 1)]);
    let a = p.get(1).unwrap();
    assert_eq!((a.len(), p.stats()[0].free), (1, 0));
    let b = p.get(512).unwrap(); // 512 is empty: a 4096 serves
    assert_eq!((b.len(), p.stats()[1].free), (512, 1));
    let c = p.get(4097).unwrap();
    assert_eq!((c.len(), p.stats()[2].free), (4097, 0));
    let _d = p.get(4096).unwrap();
    assert!(p.get(1).is_none() && p.get(1 << 20).is_none() && p.get((1 << 20) + 1).is_none());
    assert_eq!(p.stats()[0].misses, 1);
    assert_eq!(p.out(), 4);
    drop((a, b, c));
    assert_eq!(p.out(), 1);
    assert!(p.get(1 << 20).is_some());
}

#[test]
fn buffers_are_aligned_to_their_size_or_a_page_and_do_not_overlap() {
    let p = pool(&[(512, 8), (4096, 8), (65536, 4)]);
    let mut spans = Vec::new();
    let mut held = Vec::new();
    for size in [512u32, 4096, 65536] {
        for _ in 0..4 {
            let s = p.get(size).unwrap();
            let at = s.address() as usize;
            assert_eq!(at % size.min(4096) as usize, 0);
            spans.push((at, at + size as usize));
            held.push(s);
        }
    }
    spans.sort();
    assert!(spans.windows(2).all(|w| w[0].1 <= w[1].0));
}

#[test]
fn a_buffer_outlives_its_pool() {
    let p = pool(&[(4096, 1)]);
    let s = p.get(4096).unwrap();
    drop(p);
    s.write_at(4000, &[7; 96]);
    let mut b = [0; 96];
    s.read_at(4000, &mut b);
    assert_eq!(b, [7; 96]);
}

#[test]
fn default_pool_is_not_resident_until_used() {
    let p = Pool::new(&Regions::new(), &PoolSpec { backing: Backing::Ordinary, ..PoolSpec::default() }).unwrap();
    assert!(p.region().len() > 60 << 20);
    assert_eq!(p.largest(), 1 << 20);
}
