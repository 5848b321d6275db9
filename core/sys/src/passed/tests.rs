use super::*;
use crate::socket::{Recv, Sent, Stream};
use crate::temp::TempDir;

#[test]
fn descriptors_arrive_with_the_bytes_that_they_were_sent_with() {
    let (a, b) = Stream::pair().unwrap();
    let first = sealed_memory("first", 4096).unwrap();
    let second = sealed_memory("second", 8192).unwrap();
    assert_eq!(a.send_passing(b"one", &[first.as_fd(), second.as_fd()]).unwrap(), Sent::Bytes(3));
    assert_eq!(a.send_passing(b"two", &[second.as_fd()]).unwrap(), Sent::Bytes(3));
    let (mut bytes, mut fds) = ([0; 64], Vec::new());
    assert_eq!(b.recv_passed(&mut bytes, &mut fds).unwrap(), Recv::Bytes(3), "the second message has its own");
    let lens: Vec<_> = fds.iter().map(|fd| mappable(fd.as_fd()).unwrap().len).collect();
    assert_eq!(lens, [4096, 8192]);
    fds.clear();
    assert_eq!(b.recv_passed(&mut bytes, &mut fds).unwrap(), Recv::Bytes(3));
    assert_eq!(fds.len(), 1);
    assert_eq!(b.recv_passed(&mut bytes, &mut fds).unwrap(), Recv::WouldBlock);
    drop(a);
    assert!(matches!(b.recv_passed(&mut bytes, &mut fds).unwrap(), Recv::Closed(_)));
}

#[test]
fn only_files_are_mapped_and_what_may_not_be_written_is_known() {
    let (a, _b) = Stream::pair().unwrap();
    assert!(mappable(a.as_fd()).is_err(), "a socket");
    assert!(mappable(Bell::of_our_own().unwrap().as_fd()).is_err(), "an event counter");
    let dir = TempDir::new();
    let path = dir.path().join("file");
    std::fs::write(&path, [0; 100]).unwrap();
    let read = std::fs::File::open(&path).unwrap();
    let found = mappable(read.as_fd()).unwrap();
    assert_eq!((found.len, found.writable), (100, false));
    assert_eq!(found.file, mappable(std::fs::File::open(&path).unwrap().as_fd()).unwrap().file);
    let write = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    assert!(mappable(write.as_fd()).is_err(), "it cannot be read");
}

#[test]
fn sealed_memory_keeps_its_size() {
    let fd = sealed_memory("test", 8192).unwrap();
    assert!(rustix::fs::ftruncate(&fd, 0).is_err() && rustix::fs::ftruncate(&fd, 1 << 20).is_err());
    let found = mappable(fd.as_fd()).unwrap();
    assert_eq!((found.len, found.writable), (8192, true));
}

#[test]
fn a_bell_rings_and_a_full_one_does_not_hold_anybody_up() {
    let theirs = eventfd(0, EventfdFlags::empty()).unwrap();
    let bell = Bell::new(theirs.try_clone().unwrap()).unwrap();
    bell.ring();
    bell.ring();
    assert_eq!(bell.count(), 2);
    // Full, and made one that waits behind our back.
    rustix::io::write(&theirs, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    rustix::fs::fcntl_setfl(&theirs, OFlags::RDWR).unwrap();
    bell.ring();
    assert_eq!(bell.count(), u64::MAX - 1);
    assert!(Bell::new(sealed_memory("no bell", 8).unwrap()).is_err());
}
