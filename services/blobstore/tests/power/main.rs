//! Power cuts: long random histories of a store under load, cut after every change that reached the disk, loaded again and held against what
//! was acknowledged. `DOORBELL_SEEDS` says how many histories, `DOORBELL_SEED` which one.
//!
//! Two modes are judged apart. In the first the disk writes each 4096 bytes whole or not at all, which the format rests on. In the second it
//! tears at 512 bytes.

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod forgetful;
mod history;
mod verify;
mod worker;
mod world;

use doorbell_sim::{DiskSpec, Tear, seeds};
use history::{Mode, run};

/// A disk that writes pages whole.
fn whole(seed: u64) -> Mode {
    Mode::new(seed, |spec: DiskSpec| {
        let mut spec = spec.tearing(Tear::Pages);
        spec.info.atomic.power_fail_blocks = 8;
        spec
    })
}

/// A disk that tears at 512 bytes.
fn torn(seed: u64) -> Mode {
    Mode::new(seed, |spec| spec.tearing(Tear::Sectors))
}

#[test]
fn nothing_acknowledged_is_lost_where_pages_are_written_whole() {
    let cuts: u64 = seeds(12).map(|seed| run(whole(seed))).sum();
    println!("{cuts} cuts, pages whole");
}

#[test]
fn nothing_acknowledged_is_lost_where_pages_are_torn() {
    let cuts: u64 = seeds(8).map(|seed| run(torn(seed))).sum();
    println!("{cuts} cuts, pages torn");
}

/// Where the pages that a root refers to are not durable before it is, a cut shows it. This is how it is known that the machine finds such things.
#[test]
fn an_order_that_is_broken_is_found() {
    let broken = || Mode { forgetful: true, ..whole(0) };
    let found = std::panic::catch_unwind(|| run(broken()));
    let why = found.expect_err("the machine did not find it");
    let why = why.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(why.contains("seed 0"), "something else went wrong: {why}");
}
