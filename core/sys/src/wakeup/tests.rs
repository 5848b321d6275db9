use super::pair;
use crate::ring::ring;

#[cfg(not(loom))]
mod plain {
    use std::time::Duration;

    use super::*;
    use crate::epoll::{Interest, Mode, Poller};

    /// Whether the bell is readable now.
    fn readable(poller: &mut Poller) -> bool {
        poller.wait(Some(Duration::ZERO)).unwrap() > 0
    }

    #[test]
    fn one_write_per_sleep_and_none_while_awake() {
        let (mut sleeper, notifier) = pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(sleeper.fd(), 0, Interest::READ, Mode::Level).unwrap();
        notifier.notify();
        assert!(!readable(&mut poller), "awake: no write");

        sleeper.prepare();
        assert!(!readable(&mut poller));
        notifier.notify();
        notifier.clone().notify();
        assert!(readable(&mut poller));
        assert_eq!(sleeper.shared.bell.drain(), 1, "two notifiers, one ring");
        sleeper.shared.bell.ring();
        assert!(sleeper.awake());
        assert!(!readable(&mut poller), "awake drained it");
        assert_eq!(sleeper.owed, 0);

        sleeper.prepare();
        assert!(!sleeper.cancel());
        assert!(!readable(&mut poller));
    }

    /// The ringer takes the flag down, the sleeper wakes for another reason, and only then the ring arrives.
    #[test]
    fn a_late_ring_is_drained_at_the_next_wake_up() {
        let (mut sleeper, notifier) = pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(sleeper.fd(), 0, Interest::READ, Mode::Level).unwrap();
        sleeper.prepare();
        notifier.shared.asleep.0.swap(false, std::sync::atomic::Ordering::AcqRel);
        assert!(sleeper.awake());
        assert_eq!(sleeper.owed, 1);
        notifier.shared.bell.ring();
        sleeper.prepare();
        assert!(readable(&mut poller), "woken once for nothing");
        assert!(!sleeper.awake(), "nobody rang during this sleep");
        assert!(!readable(&mut poller), "and not again");
        assert_eq!(sleeper.owed, 0);
    }

    #[test]
    fn threads_wake_each_other() {
        let rounds = 2_000;
        let (mut sleeper, notifier) = pair().unwrap();
        let (tx, mut rx) = ring(4);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let (tx, notifier) = (tx.clone(), notifier.clone());
                scope.spawn(move || {
                    for n in 0..rounds {
                        while tx.push(n).is_err() {
                            std::thread::yield_now();
                        }
                        notifier.notify();
                    }
                });
            }
            let mut poller = Poller::new().unwrap();
            poller.add(sleeper.fd(), 0, Interest::READ, Mode::Edge).unwrap();
            let mut got = 0;
            while got < 2 * rounds {
                sleeper.prepare();
                if rx.is_empty() {
                    // A lost wake-up shows as a wait that times out.
                    assert!(poller.wait(Some(Duration::from_secs(30))).unwrap() > 0);
                }
                sleeper.awake();
                while rx.pop().is_some() {
                    got += 1;
                }
            }
        });
    }
}

#[cfg(loom)]
mod model {
    use loom::thread;

    use super::*;

    /// Every order of two producers against a consumer that sleeps whenever it finds nothing. A lost wake-up is a deadlock.
    #[test]
    fn no_wake_up_is_lost() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let (mut sleeper, notifier) = pair().unwrap();
            let (tx, mut rx) = ring::<u8>(2);
            let producers: Vec<_> = (0..2)
                .map(|_| {
                    let (tx, notifier) = (tx.clone(), notifier.clone());
                    thread::spawn(move || {
                        tx.push(1).unwrap();
                        notifier.notify();
                    })
                })
                .collect();
            let mut got = 0;
            while got < 2 {
                sleeper.prepare();
                if rx.is_empty() {
                    sleeper.shared.bell.wait();
                }
                sleeper.awake();
                while rx.pop().is_some() {
                    got += 1;
                }
            }
            for producer in producers {
                producer.join().unwrap();
            }
            // Whatever is still owed has been written by now, and only that.
            assert_eq!(sleeper.shared.bell.count(), sleeper.owed);
        });
    }
}
