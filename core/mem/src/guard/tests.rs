//! Files that are cut short beneath their mapping, and what must still kill.

use super::*;
use crate::{Foreign, Regions};
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

fn memfd(len: u64) -> OwnedFd {
    let fd = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, len).unwrap();
    fd
}

#[test]
fn a_file_that_is_cut_short_reads_as_zeroes_and_is_told() {
    let fd = memfd(4 * 4096);
    let ours = Foreign::map(&Regions::new(), fd.try_clone().unwrap(), 0, 4 * 4096).unwrap();
    let other = Foreign::map(&Regions::new(), memfd(4096), 0, 4096).unwrap();
    let all = ours.seg(0, 4 * 4096).unwrap();
    all.fill(0, 4 * 4096, 0x5a);
    assert!(!ours.is_broken());
    ftruncate(&fd, 4096).unwrap();
    let mut page = [1u8; 4096];
    all.read_at(2 * 4096, &mut page);
    assert!(page.iter().all(|b| *b == 0));
    assert!(ours.is_broken() && !other.is_broken());
    // It goes on being memory.
    all.write_at(3 * 4096, &[7; 8]);
    all.read_at(3 * 4096, &mut page[..8]);
    assert_eq!(page[..8], [7; 8]);
}

#[test]
fn several_threads_may_fall_into_one_hole() {
    let fd = memfd(64 * 4096);
    let ours = Foreign::map(&Regions::new(), fd.try_clone().unwrap(), 0, 64 * 4096).unwrap();
    ftruncate(&fd, 0).unwrap();
    std::thread::scope(|scope| {
        for n in 0..4u64 {
            let region = ours.region().clone();
            scope.spawn(move || {
                let mine = Foreign::of(region);
                let mut byte = [1];
                (0..16).for_each(|p| mine.seg((16 * n + p) * 4096, 1).unwrap().read_at(0, &mut byte));
                assert_eq!(byte, [0]);
            });
        }
    });
    assert!(ours.is_broken());
}

#[test]
fn registers_that_are_gone_read_as_ones() {
    let fd = memfd(2 * 4096);
    let region = crate::Region::map_fd(fd.try_clone().unwrap(), 0, 2 * 4096, 4096, "a test").unwrap();
    let base = region.base();
    // SAFETY: the region lives until the end of this test and is touched through `base` alone.
    let guard = unsafe { watch(base, 2 * 4096, Fill::Ones) }.unwrap();
    ftruncate(&fd, 4096).unwrap();
    // SAFETY: inside of the mapping.
    let read = |at: usize| unsafe { base.add(at).cast::<u32>().read_volatile() };
    assert_eq!((read(0), guard.is_broken()), (0, false));
    assert_eq!((read(4096 + 0x1c), guard.is_broken()), (u32::MAX, true));
    ftruncate(&fd, 0).unwrap();
    assert_eq!(read(0x1c), u32::MAX, "the second page by itself");
}

#[test]
fn slots_are_used_again() {
    let fd = memfd(4096);
    for _ in 0..3 * WATCHED_MAX {
        let ours = Foreign::map(&Regions::new(), fd.try_clone().unwrap(), 0, 4096).unwrap();
        assert!(!ours.is_broken());
    }
}

const KILLED: &str = "DOORBELL_TEST_BUS";

/// Runs in a process of its own, which is to die.
#[test]
fn victim() {
    let Ok(how) = std::env::var(KILLED) else { return };
    if how == "sent" {
        // The standard library's handler, which stands here otherwise, swallows one that was sent.
        // SAFETY: sets a disposition.
        unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
    }
    let watched = Foreign::map(&Regions::new(), memfd(4096), 0, 4096).unwrap();
    if how == "fault" {
        let fd = memfd(4096);
        let region = crate::Region::map_fd(fd.try_clone().unwrap(), 0, 4096, 4096, "a test").unwrap();
        ftruncate(&fd, 0).unwrap();
        // SAFETY: inside of a mapping; that nothing is there is what this test is about.
        unsafe { region.base().read_volatile() };
    } else {
        // SAFETY: sends a signal.
        unsafe { libc::raise(libc::SIGBUS) };
    }
    println!("survived, {}", watched.is_broken());
}

#[test]
fn any_other_bus_error_still_kills() {
    for how in ["fault", "sent"] {
        let me = std::env::current_exe().unwrap();
        let out = Command::new(me).args(["--exact", "guard::tests::victim", "--nocapture"]).env(KILLED, how).output().unwrap();
        assert_eq!(out.status.signal(), Some(libc::SIGBUS), "{how}: {}", String::from_utf8_lossy(&out.stdout));
    }
}
