use super::*;

#[test]
fn the_numbers_are_those_of_the_published_generator() {
    // The reference implementation's first words for seed 1234567.
    let mut e = Entropy::new(1_234_567);
    let words: Vec<u64> = (0..3).map(|_| e.word()).collect();
    assert_eq!(words, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
}

#[test]
fn ranges_are_kept_and_reached() {
    let mut e = Entropy::new(1);
    let mut seen = [false; 5];
    for _ in 0..200 {
        seen[e.within(&(3..=7)) as usize - 3] = true;
        assert_eq!(e.below(1), 0);
        assert_eq!(e.below(0), 0);
        assert!(!e.chance(0) && e.chance(1_000_000));
    }
    assert_eq!(seen, [true; 5]);
    assert_eq!(e.within(&(9..=9)), 9);
    e.within(&(0..=u64::MAX));
}

#[test]
fn a_shuffle_keeps_what_it_shuffles() {
    let mut e = Entropy::new(2);
    let mut all: Vec<u32> = (0..50).collect();
    e.shuffle(&mut all);
    assert_ne!(all, (0..50).collect::<Vec<_>>());
    all.sort_unstable();
    assert_eq!(all, (0..50).collect::<Vec<_>>());
}

#[test]
fn forks_do_not_depend_on_what_comes_after() {
    let (mut a, mut b) = (Entropy::new(3), Entropy::new(3));
    let (mut x, mut y) = (a.fork(), b.fork());
    a.word();
    assert_eq!(x.word(), y.word());
    let (mut p, mut q) = ([0; 13], [0; 13]);
    x.fill(&mut p);
    y.fill(&mut q);
    assert_eq!(p, q);
    assert_ne!(p, [0; 13]);
}
