//! The suite over the block layer: handles of devices that lack nearly everything, and of such as have it, must offer the same.

mod common;

use common::opened;
use doorbell_backends::malloc::{Malloc, MallocOptions};
use doorbell_backends::passthru::Passthru;
use doorbell_bdev::Access;
use doorbell_block::{BlockDevice, Cx, DeviceInfo, Limits, Metadata, Op, OpSet, ReadAfterUnmap, WriteCache};
use doorbell_conformance::{Ram, Subject, Suite};
use doorbell_mem::Regions;
use doorbell_sim::{DiskSpec, SimDisk, seeds};
use std::sync::Arc;

/// The suite over a handle of what `make` makes.
fn layered(make: impl Fn() -> Arc<dyn BlockDevice> + 'static, access: Access) -> Suite {
    Suite::new("bdev", move |_| {
        let (registry, handle) = opened(make(), access);
        async move { Ok(Subject::new(handle).keep(registry)) }
    })
}

/// The suite over a handle of a simulated disk, which tells of the flushes that reached it.
fn over_disk(spec: DiskSpec) -> Suite {
    Suite::new("bdev over a disk", move |_| {
        let disk = SimDisk::new(spec.clone());
        let [counters, pulled, resized] = std::array::from_fn(|_| disk.clone());
        let (registry, handle) = opened(Arc::new(disk), Access::Write);
        let probe = move || counters.counters().flushes + counters.counters().fua_writes;
        let told = registry.clone();
        let resize = move |cx: &mut Cx, blocks| {
            resized.resize(blocks);
            told.resized(cx, "device");
        };
        async move { Ok(Subject::new(handle).probe(probe).removal(move || pulled.remove()).resizing(resize).keep(registry)) }
    })
}

fn bare(seed: u64) -> DiskSpec {
    let mut spec = DiskSpec::new(seed, 9, 2048);
    spec.info.ops = OpSet::of(&[Op::Read, Op::Write, Op::Flush]);
    spec.info.fua = false;
    spec
}

#[test]
fn over_memory_with_every_operation() {
    layered(|| Arc::new(Ram::new(9, 4096)), Access::Write).run_simulated().assert_passed();
}

#[test]
fn over_memory_that_only_reads_and_writes() {
    for (shift, blocks) in [(9, 3000), (12, 1000), (12, 1)] {
        layered(move || Arc::new(Ram::with(DeviceInfo::plain(shift, blocks))), Access::Write).run_simulated().assert_passed();
    }
}

fn with_metadata(info: DeviceInfo) -> DeviceInfo {
    DeviceInfo { metadata: Some(Metadata { bytes: 16, interleaved: false, protection: None }), ..info }
}

#[test]
fn over_memory_with_metadata() {
    let cases = ["metadata", "metadata_of_the_wrong_length"];
    for limits in [Limits::default(), Limits { transfer_blocks: 3, segments: 1, align_bytes: 512, ..Limits::default() }] {
        let info = with_metadata(DeviceInfo { limits, ..DeviceInfo::plain(9, 1000) });
        let report = layered(move || Arc::new(Ram::with(info.clone())), Access::Write).run_simulated();
        report.assert_passed();
        assert!(cases.iter().all(|case| report.passed().contains(case)), "{:?}", report.skipped());
    }
    let info = with_metadata(Ram::new(9, 1000).info().as_ref().clone());
    let bare = Suite::new("memory", move |_| {
        let ram = Ram::with(info.clone());
        async move { Ok(Subject::new(Arc::new(ram))) }
    });
    let report = bare.only(&cases).run_simulated();
    report.assert_passed();
    assert_eq!(report.passed(), cases);
}

#[test]
fn opened_to_read() {
    layered(|| Arc::new(Ram::new(9, 1000)), Access::Read).run_simulated().assert_passed();
}

#[test]
fn over_a_disk_that_only_reads_writes_and_flushes() {
    for seed in seeds(2) {
        over_disk(bare(seed)).seed(seed).run_simulated().assert_passed();
    }
}

#[test]
fn over_a_disk_with_every_operation() {
    for seed in seeds(2) {
        over_disk(DiskSpec::new(seed, 9, 2048)).seed(seed).run_simulated().assert_passed();
    }
}

fn narrow() -> Limits {
    Limits {
        boundary_blocks: 32,
        transfer_blocks: 16,
        segments: 4,
        segment_bytes: 4096,
        write_unit_blocks: 0,
        unmap_blocks: 20,
        write_zeroes_blocks: 24,
        copy_blocks: 8,
        verify_blocks: 0,
        uncorrectable_blocks: 0,
        compare_and_write_blocks: 0,
        align_bytes: 4,
    }
}

#[test]
fn over_a_disk_with_narrow_limits() {
    for seed in seeds(2) {
        let mut spec = DiskSpec::new(seed, 9, 2048);
        spec.info.limits = narrow();
        spec.info.read_after_unmap = ReadAfterUnmap::Undefined;
        over_disk(spec).seed(seed).run_simulated().assert_passed();
        let mut spec = bare(seed);
        spec.info.limits = narrow();
        over_disk(spec).seed(seed).run_simulated().assert_passed();
    }
}

#[test]
fn over_a_disk_with_aligned_segments_and_an_odd_boundary() {
    for seed in seeds(2) {
        let mut spec = bare(seed);
        spec.info.limits = Limits { align_bytes: 512, boundary_blocks: 24, ..Limits::default() };
        over_disk(spec).seed(seed).run_simulated().assert_passed();
    }
}

#[test]
fn over_a_disk_with_write_units() {
    for seed in seeds(2) {
        let mut spec = bare(seed);
        spec.info.limits = Limits { write_unit_blocks: 4, transfer_blocks: 16, ..Limits::default() };
        over_disk(spec).seed(seed).run_simulated().assert_passed();
    }
}

#[test]
fn over_a_disk_with_a_cache_that_only_fua_passes() {
    let mut spec = DiskSpec::new(3, 9, 2048);
    spec.info.ops = OpSet::of(&[Op::Read, Op::Write]);
    assert_eq!(spec.info.write_cache, WriteCache::Volatile);
    over_disk(spec).run_simulated().assert_passed();
}

#[test]
fn over_a_layer_over_the_block_layer() {
    let stack = || -> Arc<dyn BlockDevice> {
        let mut device: Arc<dyn BlockDevice> = Arc::new(Passthru::new(Arc::new(SimDisk::new(bare(5)))));
        for _ in 0..2 {
            // The lower registries live as long as their handles.
            let (_, handle) = opened(device, Access::Write);
            device = Arc::new(Passthru::new(handle));
        }
        device
    };
    layered(stack, Access::Write).run_simulated().assert_passed();
}

#[test]
fn over_malloc_on_threads() {
    let malloc = || -> Arc<dyn BlockDevice> {
        let options = MallocOptions { boundary_blocks: 64, ..MallocOptions::new(9, 8192) };
        Arc::new(Malloc::new(&Regions::new(), &options).expect("four megabytes"))
    };
    layered(malloc, Access::Write).run().assert_passed();
}
