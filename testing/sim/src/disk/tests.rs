use super::*;
use crate::{DurabilityModel, Machine, StormLog, StormSpec, seeds, storm};
use doorbell_block::Flags;
use doorbell_reactor::AsyncQueue;

const SECOND: u64 = 1_000_000_000;
const BLOCKS: u64 = 256;

/// Storms over `cuts` power cuts; what each leaves is held against the model, and is where the next run begins.
fn cuts(seed: u64, spec: impl Fn(u64) -> DiskSpec, cuts: u64) -> Result<StormLog, String> {
    let mut image = Image::of(9, vec![0; (BLOCKS as usize) << 9]);
    let mut entropy = Entropy::new(seed);
    let mut model = DurabilityModel::new(seed, 9, BLOCKS);
    if spec(seed).info.write_cache == WriteCache::WriteThrough {
        model = model.write_through();
    }
    let log = StormLog::new(model);
    for _ in 0..cuts {
        let disk_spec = spec(entropy.word());
        let atomic = disk_spec.info.atomic.power_fail_blocks;
        let disk = SimDisk::from_image(disk_spec, image);
        let mut machine = Machine::new(entropy.word(), 2);
        for n in 0..2 {
            let spec = StormSpec { seed: entropy.word(), ..StormSpec::default() };
            storm(machine.cx(n), &disk, spec, log.clone()).map_err(|e| e.to_string())?;
        }
        let until = log.borrow().done + 50 + entropy.below(600);
        machine.run_until(60 * SECOND, |_| log.borrow().done >= until).map_err(|e| e.to_string())?;
        image = disk.power_cut(entropy.word());
        let mut log = log.borrow_mut();
        if let Some(breach) = &log.breach {
            return Err(format!("a read brought what it must not: {breach}"));
        }
        log.model.check_image(image.bytes()).map_err(|b| b.to_string())?;
        log.model.check_atomic(image.bytes(), atomic).map_err(|b| b.to_string())?;
        log.model.restart(image.bytes());
    }
    drop(image);
    let log = std::rc::Rc::try_unwrap(log).map_err(|_| "the storm still blows".to_owned())?;
    Ok(log.into_inner())
}

fn plain(seed: u64) -> DiskSpec {
    DiskSpec::new(seed, 9, BLOCKS)
}

#[test]
fn what_was_flushed_survives_every_power_cut() {
    for seed in seeds(12) {
        let log = cuts(seed, plain, 4).unwrap();
        assert!(log.flushed > 0 && log.acked > log.flushed && log.failed == 0, "seed {seed}: {} flushes", log.flushed);
    }
}

#[test]
fn so_it_does_on_a_write_through_disk_and_with_atomic_writes() {
    for seed in seeds(8) {
        let through = |seed| {
            let mut spec = plain(seed);
            spec.info.write_cache = WriteCache::WriteThrough;
            spec.info.atomic = AtomicUnits { normal_blocks: 8, power_fail_blocks: 8 };
            spec
        };
        cuts(seed, through, 3).unwrap();
        let atomic = |seed| {
            let mut spec = plain(seed);
            spec.info.atomic = AtomicUnits { normal_blocks: 16, power_fail_blocks: 4 };
            spec
        };
        cuts(seed, atomic, 3).unwrap();
    }
}

#[test]
fn failing_requests_are_allowed_for() {
    for seed in seeds(8) {
        let failing = |seed| DiskSpec { faults: Faults { fail_per_million: 50_000, ..Faults::default() }, ..plain(seed) };
        assert!(cuts(seed, failing, 3).unwrap().failed > 0);
    }
}

/// The same storm on a disk that lies must be found out by some seed, or the tests above say nothing.
fn is_found_out(spec: impl Fn(u64) -> DiskSpec) {
    assert!((0..20).any(|seed| cuts(seed, &spec, 3).is_err()), "twenty seeds, and nobody noticed");
}

#[test]
fn a_write_cache_that_denies_itself_is_found_out() {
    // The model is told write-through, and the disk keeps a cache.
    let found = (0..20).any(|seed| {
        let log = StormLog::new(DurabilityModel::new(seed, 9, BLOCKS).write_through());
        let disk = SimDisk::new(plain(seed));
        let mut m = Machine::new(seed, 1);
        storm(m.cx(0), &disk, StormSpec { seed, ..StormSpec::default() }, log.clone()).unwrap();
        m.run_until(60 * SECOND, |_| log.borrow().done > 300).unwrap();
        let image = disk.power_cut(seed);
        let log = log.borrow();
        log.model.check_image(image.bytes()).is_err()
    });
    assert!(found);
}

#[test]
fn misdirected_writes_and_rot_are_found_out() {
    is_found_out(|seed| DiskSpec { faults: Faults { misdirect_per_million: 10_000, ..Faults::default() }, ..plain(seed) });
    is_found_out(|seed| DiskSpec { faults: Faults { rot_per_million: 10_000, ..Faults::default() }, ..plain(seed) });
}

#[test]
fn atomic_writes_that_tear_are_found_out() {
    let found = (0..20).any(|seed| {
        let log = StormLog::new(DurabilityModel::new(seed, 9, BLOCKS));
        let disk = SimDisk::new(plain(seed)); // tears everything longer than a block
        let mut m = Machine::new(seed, 1);
        storm(m.cx(0), &disk, StormSpec { seed, ..StormSpec::default() }, log.clone()).unwrap();
        m.run_until(60 * SECOND, |_| log.borrow().done > 300).unwrap();
        let image = disk.power_cut(seed);
        let log = log.borrow();
        log.model.check_atomic(image.bytes(), 16).is_err()
    });
    assert!(found);
}

#[test]
fn the_nth_request_ends_as_planned() {
    let faults = Faults { plan: [(1, Status::NoSpace), (3, Status::Busy)].into(), ..Faults::default() };
    let disk = SimDisk::new(DiskSpec { faults, ..plain(1) });
    let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
    let mut m = Machine::new(1, 1);
    let statuses = m.run(SECOND, |local| async move {
        let queue = AsyncQueue::open(&local, device, 1).await.unwrap();
        let mut out = Vec::new();
        for _ in 0..5 {
            out.push(queue.control(Op::WriteZeroes, 0, 1).await);
        }
        out
    });
    assert_eq!(statuses.unwrap(), [Status::Ok, Status::NoSpace, Status::Ok, Status::Busy, Status::Ok]);
    assert_eq!(disk.counters().faults, 2);
}

#[test]
fn a_pulled_disk_ends_everything_as_gone_and_opens_no_more() {
    let disk = SimDisk::new(plain(2));
    let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
    let mut m = Machine::new(2, 1);
    m.run(SECOND, |local| async move {
        let queue = AsyncQueue::open(&local, device.clone(), 1).await.unwrap();
        assert_eq!(queue.control(Op::WriteZeroes, 0, 1).await, Status::Ok);
        disk.remove();
        assert_eq!(queue.control(Op::WriteZeroes, 0, 1).await, Status::Gone);
        assert!(matches!(AsyncQueue::open(&local, device, 1).await, Err(OpenError::Gone)));
    })
    .unwrap();
    assert!(m.close(SECOND).iter().all(|c| c.boxes_out == 0));
}

#[test]
fn a_resized_disk_says_so_and_keeps_to_it() {
    let disk = SimDisk::new(plain(3));
    let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
    let mut m = Machine::new(3, 1);
    m.run(SECOND, |local| async move {
        let queue = AsyncQueue::open(&local, device.clone(), 1).await.unwrap();
        assert_eq!(queue.control(Op::WriteZeroes, BLOCKS, 1).await, Status::OutOfRange);
        disk.resize(BLOCKS + 8);
        assert_eq!(device.info().blocks, BLOCKS + 8);
        assert_eq!(queue.control(Op::WriteZeroes, BLOCKS, 8).await, Status::Ok);
        disk.resize(8);
        assert_eq!(queue.control(Op::WriteZeroes, 8, 1).await, Status::OutOfRange);
    })
    .unwrap();
}

#[test]
fn a_fua_write_cannot_be_undone_by_what_was_cached_before_it() {
    // Many seeds: an older cached write of the same blocks, then FUA over its middle.
    for seed in seeds(30) {
        let disk = SimDisk::new(DiskSpec::new(seed, 9, 16));
        let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
        let mut m = Machine::new(seed, 1);
        m.run(SECOND, |local| async move {
            let queue = AsyncQueue::open(&local, device, 1).await.unwrap();
            for (lba, blocks, byte, flags) in [(0u64, 8u32, 1u8, Flags::NONE), (2, 3, 2, Flags::FUA)] {
                let buffer = local.with(move |cx| cx.buffer(blocks << 9)).await.unwrap();
                buffer.fill(0, blocks << 9, byte);
                let fill = move |io: &mut doorbell_block::Io| {
                    (io.op, io.lba, io.blocks, io.flags) = (Op::Write, lba, blocks, flags);
                    io.sg.push(buffer);
                };
                assert!(queue.request(fill, |io| io.status).await.is_ok());
            }
        })
        .unwrap();
        let image = disk.power_cut(seed);
        assert!(image.blocks(2, 3).iter().all(|b| *b == 2), "seed {seed}: FUA was lost");
        assert!(image.blocks(0, 2).iter().chain(image.blocks(5, 3)).all(|b| *b < 2));
    }
}
