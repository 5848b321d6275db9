use super::*;
use crate::{DurabilityModel, Machine, StormLog, StormSpec, seeds, storm};
use doorbell_block::Flags;
use doorbell_reactor::AsyncQueue;

const SECOND: u64 = 1_000_000_000;
const BLOCKS: u64 = 256;

/// Storms over `cuts` power cuts; what each leaves is held against the model, and is where the next run begins.
fn cuts(seed: u64, spec: impl Fn(u64) -> DiskSpec, cuts: u64) -> Result<StormLog, String> {
    let mut image = Image::blank(9, BLOCKS);
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
        log.model.check_image(&image.to_vec()).map_err(|b| b.to_string())?;
        log.model.check_atomic(&image.to_vec(), atomic).map_err(|b| b.to_string())?;
        log.model.restart(&image.to_vec());
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
        log.model.check_image(&image.to_vec()).is_err()
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
        log.model.check_atomic(&image.to_vec(), 16).is_err()
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
        assert!(image.blocks(0, 2).iter().chain(&image.blocks(5, 3)).all(|b| *b < 2));
    }
}

/// Runs writes of whole pages and says what a cut may leave of each, over many seeds: which of the page's sectors are new.
fn left_of_page_writes(tear: Tear, shift: u8) -> std::collections::BTreeSet<[bool; 8]> {
    let mut left = std::collections::BTreeSet::new();
    for seed in seeds(60) {
        let mut spec = DiskSpec::new(seed, shift, 1 << (16 - shift)).tearing(tear);
        spec.info.write_cache = WriteCache::Volatile;
        let disk = SimDisk::from_image(spec, Image::stale(shift, 1 << (16 - shift), seed));
        let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
        let mut m = Machine::new(seed, 1);
        m.run(SECOND, |local| async move {
            let queue = AsyncQueue::open(&local, device, 1).await.unwrap();
            // From the middle of page 1 to the middle of page 4: two whole pages, and two halves where blocks are small.
            let (lba, blocks) = if shift == 9 { (12, 24) } else { (1, 4) };
            assert!(queue.control(Op::WriteZeroes, lba, blocks).await.is_ok());
        })
        .unwrap();
        let before = disk.unflushed();
        let (peek, image) = (disk.would_hold(seed), disk.power_cut(seed));
        assert_eq!((before, peek.to_vec() == image.to_vec()), (1, true), "a look does not change what is left");
        let new = |sector: u64| {
            let mut bytes = [0; 512];
            image.read(sector * 512, &mut bytes);
            assert!(bytes.iter().all(|b| *b == 0) || bytes.iter().all(|b| *b != 0), "a sector is whole");
            bytes[0] == 0
        };
        assert!(!new(7) && !new(5 * 8), "what was not written to is as it was");
        for page in 2..4 {
            left.insert(std::array::from_fn(|n| new(page * 8 + n as u64)));
        }
    }
    left
}

#[test]
fn pages_stay_whole_or_tear_by_the_sector_as_the_disk_is_told() {
    for shift in [9, 12] {
        let whole = left_of_page_writes(Tear::Pages, shift);
        assert_eq!(whole.into_iter().collect::<Vec<_>>(), [[false; 8], [true; 8]]);
        assert!(left_of_page_writes(Tear::Sectors, shift).len() > 10);
    }
    assert_eq!(left_of_page_writes(Tear::Blocks, 12).len(), 2);
    assert!(left_of_page_writes(Tear::Blocks, 9).len() > 10);
}

#[test]
fn the_power_goes_by_itself_after_so_many_changes() {
    for after in 0..5 {
        let disk = SimDisk::new(DiskSpec { cut_after: Some(after), ..plain(after) });
        let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
        let mut m = Machine::new(after, 1);
        let statuses = m.run(SECOND, |local| async move {
            let queue = AsyncQueue::open(&local, device, 1).await.unwrap();
            let mut out = Vec::new();
            for n in 0..5 {
                out.push(queue.control(Op::WriteZeroes, n, 1).await);
                queue.control(Op::Flush, 0, 0).await;
            }
            out
        });
        // Before the first change there is no moment to go at.
        let done = after.max(1) as usize;
        let expected: Vec<Status> = (0..5).map(|n| if n < done { Status::Ok } else { Status::Gone }).collect();
        assert_eq!(statuses.unwrap(), expected);
        assert!(disk.is_off() && disk.counters().changes == done as u64);
    }
}

#[test]
fn blocks_that_cannot_be_read_are_until_they_are_written() {
    let disk = SimDisk::new(plain(4));
    let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
    let mut m = Machine::new(4, 1);
    m.run(SECOND, |local| async move {
        let queue = AsyncQueue::open(&local, device, 1).await.unwrap();
        let read = async |lba: u64| {
            let buffer = local.with(|cx| cx.buffer(1024)).await.unwrap();
            queue.read(lba, 2, buffer).await.0
        };
        disk.make_unreadable(10..12);
        assert_eq!(
            (read(8).await, read(9).await, read(11).await, read(12).await),
            (Status::Ok, Status::ReadError, Status::ReadError, Status::Ok)
        );
        assert_eq!(queue.control(Op::WriteZeroes, 10, 1).await, Status::Ok);
        assert_eq!((read(9).await, read(10).await), (Status::Ok, Status::ReadError));
        disk.make_unwritable(20..21);
        assert_eq!(
            (queue.control(Op::WriteZeroes, 19, 2).await, queue.control(Op::Unmap, 20, 1).await),
            (Status::WriteError, Status::WriteError)
        );
        assert_eq!((queue.control(Op::WriteZeroes, 21, 1).await, read(20).await), (Status::Ok, Status::Ok));
        disk.heal();
        assert_eq!((queue.control(Op::WriteZeroes, 20, 1).await, read(10).await), (Status::Ok, Status::Ok));
        assert_eq!(disk.counters().faults, 5);
    })
    .unwrap();
}

#[test]
fn an_unmap_that_promises_nothing_leaves_what_was_there_or_noise() {
    let mut left = [0; 2];
    for seed in seeds(30) {
        let mut spec = plain(seed);
        spec.info.read_after_unmap = doorbell_block::ReadAfterUnmap::Undefined;
        let disk = SimDisk::from_image(spec, Image::stale(9, BLOCKS, seed));
        let before = disk.snapshot().blocks(8, 8);
        let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
        let mut m = Machine::new(seed, 1);
        m.run(SECOND, |local| async move {
            let queue = AsyncQueue::open(&local, device, 1).await.unwrap();
            assert!(queue.control(Op::Unmap, 8, 8).await.is_ok());
        })
        .unwrap();
        let after = disk.snapshot();
        assert!(!after.is_mapped(8) && after.is_mapped(16) && after.blocks(8, 8).iter().all(|b| *b != 0));
        left[usize::from(after.blocks(8, 8) == before)] += 1;
    }
    assert!(left[0] > 0 && left[1] > 0);
}

#[test]
fn of_changes_that_are_due_together_no_more_than_allowed_complete() {
    for after in 1..8 {
        let spec = DiskSpec { cut_after: Some(after), delay_ns: 5_000..=5_000, ..plain(after) };
        let disk = SimDisk::new(spec);
        let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
        let mut m = Machine::new(after, 1);
        let ended = m.run(SECOND, |local| async move {
            let queue = std::rc::Rc::new(AsyncQueue::open(&local, device, 8).await.unwrap());
            let statuses = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
            for n in 0..8 {
                let (queue, statuses) = (queue.clone(), statuses.clone());
                local.spawn(async move {
                    let status = queue.control(Op::WriteZeroes, n * 8, 8).await;
                    statuses.borrow_mut().push(status);
                });
            }
            while statuses.borrow().len() < 8 {
                local.sleep_ns(1_000).await;
            }
            let ok = statuses.borrow().iter().filter(|s| s.is_ok()).count();
            (ok, statuses.borrow().iter().filter(|s| **s == Status::Gone).count())
        });
        assert_eq!(ended.unwrap(), (after as usize, 8 - after as usize));
        // Those that had not completed may have happened all the same.
        assert_eq!((disk.counters().changes, disk.under_way()), (after, 8 - after as usize));
    }
}

#[test]
fn what_was_under_way_when_the_power_went_may_have_happened_whoever_left_first() {
    let mut survived = [0; 2];
    for seed in seeds(10) {
        let disk = SimDisk::new(DiskSpec { cut_after: Some(1), ..plain(seed) });
        let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
        let mut m = Machine::new(seed, 1);
        let local = m.local(0);
        local.spawn({
            let local = local.clone();
            async move {
                let queue = std::rc::Rc::new(AsyncQueue::open(&local, device, 8).await.unwrap());
                for n in 0..8 {
                    let queue = queue.clone();
                    local.spawn(async move {
                        queue.control(Op::WriteZeroes, n, 1).await;
                    });
                }
            }
        });
        m.run_until(SECOND, |_| disk.is_off()).unwrap();
        drop((m, local));
        assert_eq!(disk.under_way(), 7);
        let image = disk.power_cut(seed);
        (0..8).for_each(|lba| survived[usize::from(image.is_mapped(lba))] += 1);
    }
    assert!(survived[0] > 8 && survived[1] > 8, "{survived:?}");
}
