#[cfg(not(loom))]
use super::Full;
use super::ring;

#[cfg(not(loom))]
mod plain {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn capacity_is_a_power_of_two_and_at_least_two() {
        for (asked, got) in [(0, 2), (1, 2), (2, 2), (3, 4), (1000, 1024)] {
            assert_eq!(ring::<u8>(asked).0.capacity(), got);
        }
    }

    #[test]
    fn full_gives_the_value_back() {
        let (tx, mut rx) = ring(2);
        assert_eq!(tx.push(1), Ok(()));
        assert_eq!(tx.push(2), Ok(()));
        assert_eq!(tx.push(3), Err(Full(3)));
        assert_eq!(rx.pop(), Some(1));
        assert_eq!(tx.push(4), Ok(()));
        assert_eq!((rx.pop(), rx.pop(), rx.pop()), (Some(2), Some(4), None));
        assert!(rx.is_empty());
    }

    #[test]
    fn several_threads_lose_nothing_and_keep_their_own_order() {
        const THREADS: usize = 3;
        let each = if cfg!(miri) { 100 } else { 20_000 };
        let (tx, mut rx) = ring(64);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let tx = tx.clone();
                scope.spawn(move || {
                    for n in 0..each {
                        let mut item = (thread, n);
                        while let Err(Full(back)) = tx.push(item) {
                            item = back;
                            std::thread::yield_now();
                        }
                    }
                });
            }
            let mut next = [0; THREADS];
            while next.iter().sum::<usize>() < THREADS * each {
                match rx.pop() {
                    Some((thread, n)) => {
                        assert_eq!(n, next[thread]);
                        next[thread] += 1;
                    }
                    None => std::thread::yield_now(),
                }
            }
        });
        assert!(rx.pop().is_none());
    }

    /// Counts its drops.
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    proptest! {
        /// Against a queue of the standard library; what is left inside is dropped with the ring, once.
        #[test]
        fn behaves_as_a_bounded_queue(capacity in 1usize..9, steps in prop::collection::vec(any::<bool>(), 0..200)) {
            let drops = Arc::new(AtomicUsize::new(0));
            let mut made = 0;
            let (tx, mut rx) = ring(capacity);
            let mut model = std::collections::VecDeque::new();
            for push in steps {
                if push {
                    let fits = tx.push((made, Counted(drops.clone()))).is_ok();
                    prop_assert_eq!(fits, model.len() < tx.capacity());
                    if fits {
                        model.push_back(made);
                    }
                    made += 1;
                } else {
                    prop_assert_eq!(rx.is_empty(), model.is_empty());
                    prop_assert_eq!(rx.pop().map(|(n, _)| n), model.pop_front());
                }
                prop_assert_eq!(drops.load(Ordering::Relaxed), made - model.len());
            }
            drop((tx, rx));
            prop_assert_eq!(drops.load(Ordering::Relaxed), made);
        }
    }
}

#[cfg(loom)]
mod model {
    use loom::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use super::*;

    /// Two producers, more values than slots: every lap, every order.
    #[test]
    fn two_producers_wrap_around() {
        loom::model(|| {
            let (tx, mut rx) = ring::<(usize, usize)>(2);
            let producers: Vec<_> = (0..2)
                .map(|who| {
                    let tx = tx.clone();
                    thread::spawn(move || {
                        let mut sent = 0;
                        for n in 0..2 {
                            // What does not fit is given up: loom has no notion of "later" that would make spinning finite.
                            if tx.push((who, n)).is_err() {
                                break;
                            }
                            sent += 1;
                        }
                        sent
                    })
                })
                .collect();
            let mut got = [0, 0];
            let mut take = |rx: &mut crate::ring::Receiver<(usize, usize)>| {
                if let Some((who, n)) = rx.pop() {
                    assert_eq!(n, got[who], "own order kept");
                    got[who] += 1;
                }
            };
            take(&mut rx);
            take(&mut rx);
            let sent: Vec<usize> = producers.into_iter().map(|p| p.join().unwrap()).collect();
            while !rx.is_empty() {
                take(&mut rx);
            }
            assert_eq!(sent, got, "nothing lost, nothing twice");
        });
    }

    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The receiver leaves while a producer is pushing; every value is dropped once.
    #[test]
    fn drops_its_content() {
        loom::model(|| {
            let drops = Arc::new(AtomicUsize::new(0));
            let (tx, mut rx) = ring(2);
            let thread = {
                let drops = drops.clone();
                thread::spawn(move || {
                    for _ in 0..3 {
                        let _ = tx.push(Counted(drops.clone()));
                    }
                })
            };
            drop(rx.pop());
            drop(rx);
            thread.join().unwrap();
            assert_eq!(drops.load(Ordering::Relaxed), 3);
        });
    }
}
