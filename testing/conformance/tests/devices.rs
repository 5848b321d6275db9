//! The suite over the devices that it is itself tested on: plain memory, and a simulated disk on which nothing goes wrong.

use doorbell_block::{AtomicUnits, DeviceInfo, Limits, Op, OpSet, ReadAfterUnmap};
use doorbell_conformance::{Ram, Subject, Suite};
use doorbell_sim::{DiskSpec, SimDisk, seeds};
use std::sync::Arc;

fn ram(info: DeviceInfo) -> Suite {
    Suite::new("ram", move |_| {
        let device = Arc::new(Ram::with(info.clone()));
        async move { Ok(Subject::new(device)) }
    })
}

fn disk(spec: DiskSpec) -> Suite {
    Suite::new("disk", move |_| {
        let disk = SimDisk::new(spec.clone());
        let counters = disk.clone();
        let subject = Subject::new(Arc::new(disk)).probe(move || {
            let c = counters.counters();
            c.flushes + c.fua_writes
        });
        async move { Ok(subject) }
    })
}

#[test]
fn ram_on_threads() {
    Suite::new("ram", |_| async { Ok(Subject::new(Arc::new(Ram::new(9, 4096)))) }).run().assert_passed();
}

#[test]
fn ram_in_a_machine() {
    for seed in seeds(2) {
        Suite::new("ram", |_| async { Ok(Subject::new(Arc::new(Ram::new(12, 3000)))) }).seed(seed).run_simulated().assert_passed();
    }
}

#[test]
fn ram_that_only_reads_and_writes() {
    ram(DeviceInfo::plain(9, 1000)).run_simulated().assert_passed();
}

#[test]
fn ram_that_may_not_be_written() {
    let info =
        DeviceInfo { read_only: true, ops: OpSet::of(&Op::COMMON).without(Op::SeekData).without(Op::SeekHole), ..DeviceInfo::plain(9, 64) };
    ram(info).run_simulated().assert_passed();
}

#[test]
fn ram_of_one_block() {
    ram(DeviceInfo { fua: true, ..DeviceInfo::plain(12, 1) }).run_simulated().assert_passed();
}

#[test]
fn disk_on_threads() {
    disk(DiskSpec::new(1, 9, 4096)).run().assert_passed();
}

#[test]
fn disk_in_a_machine() {
    for seed in seeds(3) {
        disk(DiskSpec::new(seed, 12, 2048)).seed(seed).run_simulated().assert_passed();
    }
}

#[test]
fn disk_with_every_limit() {
    for seed in seeds(2) {
        let mut spec = DiskSpec::new(seed, 9, 2048);
        spec.info.limits = Limits {
            boundary_blocks: 64,
            transfer_blocks: 32,
            segments: 8,
            segment_bytes: 8192,
            write_unit_blocks: 4,
            unmap_blocks: 100,
            write_zeroes_blocks: 50,
            copy_blocks: 16,
            verify_blocks: 0,
            uncorrectable_blocks: 0,
            compare_and_write_blocks: 0,
            align_bytes: 4,
        };
        spec.info.atomic = AtomicUnits { normal_blocks: 4, power_fail_blocks: 4 };
        spec.info.read_after_unmap = ReadAfterUnmap::Undefined;
        disk(spec).seed(seed).run_simulated().assert_passed();
    }
}
