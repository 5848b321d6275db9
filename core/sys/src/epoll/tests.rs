use std::{
    io::{Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    time::{Duration, Instant},
};

use super::{Event, Interest, Mode, Poller};

const NOW: Option<Duration> = Some(Duration::ZERO);

fn only(poller: &Poller) -> Event {
    let mut events = poller.events();
    assert_eq!(events.len(), 1);
    events.next().unwrap()
}

#[test]
fn level_tells_until_read_and_edge_tells_once() {
    for (mode, again) in [(Mode::Level, 1), (Mode::Edge, 0)] {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(near.as_fd(), u64::MAX - 7, Interest::READ, mode).unwrap();
        assert_eq!(poller.wait(NOW).unwrap(), 0);
        assert_eq!(poller.events().len(), 0);
        far.write_all(b"x").unwrap();
        assert_eq!(poller.wait(None).unwrap(), 1);
        let expected = Event { key: u64::MAX - 7, readable: true, writable: false, hangup: false, error: false };
        assert_eq!(only(&poller), expected);
        assert_eq!(poller.wait(NOW).unwrap(), again);
        near.read_exact(&mut [0]).unwrap();
        assert_eq!(poller.wait(NOW).unwrap(), 0);
    }
}

#[test]
fn modify_and_remove() {
    let (near, far) = UnixStream::pair().unwrap();
    let mut poller = Poller::new().unwrap();
    poller.add(near.as_fd(), 1, Interest::NONE, Mode::Level).unwrap();
    assert!(poller.add(near.as_fd(), 1, Interest::NONE, Mode::Level).is_err(), "there already");
    assert_eq!(poller.wait(NOW).unwrap(), 0);
    poller.modify(near.as_fd(), 2, Interest::READ | Interest::WRITE, Mode::Level).unwrap();
    poller.wait(NOW).unwrap();
    assert_eq!(only(&poller), Event { key: 2, readable: false, writable: true, hangup: false, error: false });
    drop(far);
    poller.wait(NOW).unwrap();
    let event = only(&poller);
    assert!(event.readable && event.hangup);
    poller.remove(near.as_fd()).unwrap();
    assert_eq!(poller.wait(NOW).unwrap(), 0);
    assert!(poller.remove(near.as_fd()).is_err());
}

#[test]
fn a_timeout_shorter_than_a_millisecond_waits_at_least_that_long() {
    for fine in [true, false] {
        let mut poller = Poller::new().unwrap();
        poller.fine_timeouts = fine;
        let start = Instant::now();
        assert_eq!(poller.wait(Some(Duration::from_micros(300))).unwrap(), 0);
        assert!(start.elapsed() >= Duration::from_micros(300));
    }
}

#[test]
fn absurd_timeouts_are_taken() {
    let (near, _far) = UnixStream::pair().unwrap();
    for fine in [true, false] {
        let mut poller = Poller::new().unwrap();
        poller.fine_timeouts = fine;
        poller.add(near.as_fd(), 0, Interest::WRITE, Mode::Level).unwrap();
        assert_eq!(poller.wait(Some(Duration::MAX)).unwrap(), 1);
    }
}

#[test]
fn sets_nest() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut inner = Poller::new().unwrap();
    let mut outer = Poller::new().unwrap();
    inner.add(near.as_fd(), 1, Interest::READ, Mode::Level).unwrap();
    outer.add(inner.as_fd(), 2, Interest::READ, Mode::Level).unwrap();
    assert_eq!(outer.wait(NOW).unwrap(), 0);
    far.write_all(b"x").unwrap();
    assert_eq!(outer.wait(NOW).unwrap(), 1);
    assert_eq!(inner.wait(NOW).unwrap(), 1);
}

#[test]
fn more_ready_than_a_batch_come_with_the_next_wait() {
    let mut poller = Poller::new().unwrap();
    let pairs: Vec<_> = (0..super::BATCH + 10).map(|_| UnixStream::pair().unwrap()).collect();
    let mut seen = vec![false; pairs.len()];
    for (key, (near, _)) in pairs.iter().enumerate() {
        poller.add(near.as_fd(), key as u64, Interest::WRITE, Mode::Edge).unwrap();
    }
    for expected in [super::BATCH, 10, 0] {
        assert_eq!(poller.wait(NOW).unwrap(), expected);
        for event in poller.events() {
            let seen = &mut seen[usize::try_from(event.key).unwrap()];
            assert!(!*seen);
            *seen = true;
        }
    }
    assert!(seen.into_iter().all(|seen| seen));
}
