//! The power-cut machine on something small enough to be right: a log of records of 4096 bytes, with a count of them. What it acknowledged has to
//! be there after a cut at any moment, and a log that forgets a flush, or overwrites in place what may tear, has to be found out.

use doorbell_block::{BlockDevice, Op};
use doorbell_reactor::{AsyncQueue, Local};
use doorbell_sim::{DiskSpec, DurabilityModel, Entropy, Image, Machine, SimDisk, Tear, read_stamp, seeds, stamp_block};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

const PAGE: u64 = 4096;
const PAGES: u64 = 64;
/// Pages that hold the count; records follow.
const HEADS: u64 = 2;
const MINUTE: u64 = 60_000_000_000;

/// How a log works.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// The count goes to two pages by turns, each with its own number: a torn one is known, and the other still there.
    turns: bool,
    /// It forgets to flush the record before it counts it.
    forgets: bool,
}

const RIGHT: Way = Way { turns: true, forgets: false };

/// What the log's user was told.
#[derive(Clone, Debug, Default)]
struct Told {
    /// Records whose append was begun.
    begun: Rc<Cell<u64>>,
    /// Records that were acknowledged.
    acked: Rc<Cell<u64>>,
}

fn stamp(block: &mut [u8], page: u64, what: u64) {
    stamp_block(block, page, doorbell_sim::WriteId(what));
}

async fn write(local: &Local, queue: &AsyncQueue, shift: u8, page: u64, what: u64) -> bool {
    let buffer = local.with(|cx| cx.buffer(PAGE as u32)).await.expect("a buffer");
    let mut bytes = [0; PAGE as usize];
    stamp(&mut bytes, page, what);
    buffer.write_at(0, &bytes);
    queue.write((page * PAGE) >> shift, (PAGE >> shift) as u32, buffer).await.0.is_ok()
}

/// Appends until the power goes or the log is full. A head holds the count plus one, since nothing is stamped zero.
async fn append(local: Local, device: Arc<dyn BlockDevice>, shift: u8, way: Way, first: u64, told: Told) {
    let queue = AsyncQueue::open(&local, device, 1).await.expect("a queue");
    for n in first..PAGES - HEADS {
        told.begun.set(n + 1);
        if !write(&local, &queue, shift, HEADS + n, n + 1).await {
            return;
        }
        if !way.forgets && !queue.control(Op::Flush, 0, 0).await.is_ok() {
            return;
        }
        let head = if way.turns { n % HEADS } else { 0 };
        if !write(&local, &queue, shift, head, n + 2).await || !queue.control(Op::Flush, 0, 0).await.is_ok() {
            return;
        }
        told.acked.set(n + 1);
    }
}

/// Opens the log that a cut left: how many records it has, all of them whole.
fn recover(image: &Image, way: Way, told: &Told) -> Result<u64, String> {
    let mut bytes = [0; PAGE as usize];
    let mut stamp_of = |page: u64| {
        image.read(page * PAGE, &mut bytes);
        if bytes.iter().all(|b| *b == 0) { Some(1) } else { read_stamp(&bytes, page).map(|id| id.0) }
    };
    let heads: Vec<Option<u64>> = (0..if way.turns { HEADS } else { 1 }).map(&mut stamp_of).collect();
    let count = heads.iter().flatten().max().ok_or_else(|| format!("no count is whole: {heads:?}"))? - 1;
    if !(told.acked.get()..=told.begun.get()).contains(&count) {
        return Err(format!("{count} records, of {} acknowledged and {} begun", told.acked.get(), told.begun.get()));
    }
    match (0..count).find(|n| stamp_of(HEADS + n) != Some(n + 1)) {
        Some(n) => Err(format!("record {n} of {count} is not there")),
        None => Ok(count),
    }
}

/// One history, and a look at what a cut would leave after every change and at the end of every flush. How many looks.
fn looks(seed: u64, spec: DiskSpec, way: Way) -> Result<u64, String> {
    let shift = spec.info.block_shift;
    let disk = SimDisk::new(spec);
    let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
    let mut machine = Machine::new(seed, 1);
    let told = Told::default();
    let (mut entropy, mut last, mut looks) = (Entropy::new(seed), (0, 0), 0);
    let local = machine.local(0);
    let done = Rc::new(Cell::new(false));
    local.spawn({
        let (local, told, done) = (local.clone(), told.clone(), done.clone());
        async move {
            append(local, device, shift, way, 0, told).await;
            done.set(true);
        }
    });
    let breach = RefCell::new(None);
    machine
        .run_until(MINUTE, |_| {
            let now = (disk.counters().changes, disk.unflushed());
            if now != last && breach.borrow().is_none() {
                last = now;
                for _ in 0..3 {
                    looks += 1;
                    *breach.borrow_mut() = recover(&disk.would_hold(entropy.word()), way, &told).err();
                }
            }
            done.get() || breach.borrow().is_some()
        })
        .map_err(|e| e.to_string())?;
    match breach.into_inner() {
        Some(why) => Err(format!("seed {seed}: {why}")),
        None if told.acked.get() == PAGES - HEADS => Ok(looks),
        None => Err(format!("seed {seed}: it ended after {} records", told.acked.get())),
    }
}

/// The power goes after every few changes, and the log goes on with what is left, until it is full. How often it went.
fn cuts(seed: u64, spec: impl Fn(u64) -> DiskSpec, way: Way) -> Result<u64, String> {
    let mut entropy = Entropy::new(seed);
    let (told, mut cuts, mut first) = (Told::default(), 0, 0);
    let mut image = SimDisk::new(spec(0)).snapshot();
    while first < PAGES - HEADS {
        let spec = DiskSpec { cut_after: Some(1 + entropy.below(9)), ..spec(entropy.word()) };
        let shift = spec.info.block_shift;
        let disk = SimDisk::from_image(spec, image);
        let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
        let mut machine = Machine::new(entropy.word(), 1);
        let (begins, tells) = (first, told.clone());
        machine.run(MINUTE, move |local| append(local, device, shift, way, begins, tells)).map_err(|e| e.to_string())?;
        image = disk.power_cut(entropy.word());
        first = recover(&image, way, &told).map_err(|why| format!("seed {seed}: {why}"))?;
        // What it has now it has for good.
        told.acked.set(first);
        told.begun.set(first);
        cuts += 1;
    }
    Ok(cuts)
}

fn disk(seed: u64, shift: u8, tear: Tear) -> DiskSpec {
    DiskSpec::new(seed, shift, (PAGES * PAGE) >> shift).tearing(tear)
}

#[test]
fn a_log_that_flushes_survives_every_cut() {
    let (mut looked, mut cut) = (0, 0);
    for seed in seeds(4) {
        for shift in [9, 12] {
            for tear in [Tear::Pages, Tear::Sectors] {
                looked += looks(seed, disk(seed, shift, tear), RIGHT).unwrap();
                cut += cuts(seed, |seed| disk(seed, shift, tear), RIGHT).unwrap();
            }
            let in_place = Way { turns: false, ..RIGHT };
            looked += looks(seed, disk(seed, shift, Tear::Pages), in_place).unwrap();
        }
    }
    println!("{looked} looks at what a cut would leave, and {cut} cuts");
}

/// The seeds with which each was found out first.
const FORGETS: u64 = 0;
const IN_PLACE: u64 = 0;

#[test]
fn a_log_that_forgets_a_flush_is_found_out() {
    let forgets = Way { forgets: true, ..RIGHT };
    let why = looks(FORGETS, disk(FORGETS, 12, Tear::Pages), forgets).unwrap_err();
    assert!(why.starts_with("seed ") && why.contains("is not there"), "{why}");
    assert!((0..5).any(|seed| cuts(seed, |seed| disk(seed, 12, Tear::Pages), forgets).is_err()));
    // A disk that writes through forgives it.
    let mut through = disk(FORGETS, 12, Tear::Pages);
    through.info.write_cache = doorbell_block::WriteCache::WriteThrough;
    looks(FORGETS, through, forgets).unwrap();
}

#[test]
fn a_count_that_is_overwritten_in_place_is_found_out_where_it_tears() {
    let in_place = Way { turns: false, ..RIGHT };
    let why = looks(IN_PLACE, disk(IN_PLACE, 12, Tear::Sectors), in_place).unwrap_err();
    assert!(why.contains("no count is whole"), "{why}");
    assert!(looks(IN_PLACE, disk(IN_PLACE, 9, Tear::Blocks), in_place).is_err());
}

/// The model of what an application was told, on a volume of a terabyte over a disk that forgets: cut, checked and gone on with.
#[test]
fn a_model_of_a_large_volume_goes_through_cuts() {
    let blocks = 1u64 << 31;
    let mut image = Image::blank(9, blocks);
    let mut model = DurabilityModel::new(5, 9, blocks);
    let mut entropy = Entropy::new(5);
    for _ in 0..20 {
        let spec = DiskSpec::new(entropy.word(), 9, blocks).tearing(Tear::Sectors);
        let disk = SimDisk::from_image(spec, image);
        let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
        let mut machine = Machine::new(entropy.word(), 1);
        let shared = Rc::new(RefCell::new((model, entropy)));
        let inner = shared.clone();
        machine
            .run(MINUTE, |local| async move {
                let queue = AsyncQueue::open(&local, device, 1).await.expect("a queue");
                for _ in 0..30 {
                    step(&local, &queue, &inner, blocks).await;
                }
            })
            .unwrap();
        drop(machine);
        (model, entropy) = Rc::try_unwrap(shared).expect("all has ended").into_inner();
        image = disk.power_cut(entropy.word());
        for run in model.touched() {
            model.check_blocks(run.start, &image.blocks(run.start, run.end - run.start)).unwrap();
        }
        model.restart_from(|lba, out| image.read(lba << 9, out));
    }
    assert!(image.stored_pages() < 4_000, "{image:?}");
}

async fn step(local: &Local, queue: &AsyncQueue, shared: &RefCell<(DurabilityModel, Entropy)>, blocks: u64) {
    let (kind, lba, len) = {
        let mut shared = shared.borrow_mut();
        // A few places far from each other, so that they are written again.
        let place = shared.1.below(8) * (blocks / 8);
        (shared.1.below(5), place + shared.1.below(20), 1 + shared.1.below(12) as u32)
    };
    if kind == 0 {
        let flush = shared.borrow_mut().0.flush();
        assert!(queue.control(Op::Flush, 0, 0).await.is_ok());
        return shared.borrow_mut().0.flushed(flush);
    }
    if kind == 1 {
        let id = shared.borrow_mut().0.zeroes(lba, len.into(), false);
        assert!(queue.control(Op::Unmap, lba, len).await.is_ok());
        return shared.borrow_mut().0.acked(id);
    }
    let id = shared.borrow_mut().0.write(lba, len.into(), false);
    let mut bytes = vec![0; (len as usize) << 9];
    for (lba, block) in (lba..).zip(bytes.chunks_mut(512)) {
        stamp_block(block, lba, id);
    }
    let buffer = local.with(move |cx| cx.buffer(len << 9)).await.expect("a buffer");
    buffer.write_at(0, &bytes);
    assert!(queue.write(lba, len, buffer).await.0.is_ok());
    shared.borrow_mut().0.acked(id);
}
