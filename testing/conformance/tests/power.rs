//! Power cuts under the whole block layer: splitting, bouncing and emulation above a disk that loses what was not flushed. What a completed
//! flush or FUA write promised must be there afterwards, from any seed.

mod common;

use common::opened;
use doorbell_backends::passthru::Passthru;
use doorbell_bdev::Access;
use doorbell_block::{BlockDevice, BlockQueue, Cx, DeviceInfo, Done, Io, Limits, Op, OpSet, OpenError, Status, Token};
use doorbell_conformance::Checked;
use doorbell_sim::{DiskSpec, DurabilityModel, Entropy, Image, Machine, SimDisk, StormLog, StormSpec, seeds, storm};
use std::sync::Arc;

const BLOCKS: u64 = 512;
const CUTS: u64 = 3;
const MINUTE: u64 = 60_000_000_000;

/// Storms through what `stack` puts over the disk, with a power cut after each. How many writes and flushes were acknowledged, or the breach.
fn run(
    seed: u64,
    spec: impl Fn(u64) -> DiskSpec,
    stack: impl Fn(Arc<dyn BlockDevice>) -> Arc<dyn BlockDevice>,
) -> Result<(u64, u64), String> {
    let mut entropy = Entropy::new(seed);
    let mut image = Image::blank(9, BLOCKS);
    let log = StormLog::new(DurabilityModel::new(seed, 9, BLOCKS));
    for _ in 0..CUTS {
        let disk = SimDisk::from_image(spec(entropy.word()), image);
        let device = stack(Arc::new(disk.clone()));
        let mut machine = Machine::new(entropy.word(), 2);
        for n in 0..2 {
            let storm_spec = StormSpec { seed: entropy.word(), most_blocks: 48, ..StormSpec::default() };
            storm(machine.cx(n), &*device, storm_spec, log.clone()).map_err(|e| e.to_string())?;
        }
        let until = log.borrow().done + 100 + entropy.below(900);
        machine.run_until(MINUTE, |_| log.borrow().done >= until).map_err(|e| e.to_string())?;
        image = disk.power_cut(entropy.word());
        let mut log = log.borrow_mut();
        if let Some(breach) = &log.breach {
            return Err(format!("a read brought what it must not: {breach}"));
        }
        if log.failed > 0 {
            return Err(format!("seed {seed}: {} requests failed, and nothing was wrong with the disk", log.failed));
        }
        log.model.check_image(&image.to_vec()).map_err(|b| b.to_string())?;
        log.model.restart(&image.to_vec());
    }
    let log = log.borrow();
    Ok((log.acked, log.flushed))
}

fn layer(device: Arc<dyn BlockDevice>) -> Arc<dyn BlockDevice> {
    opened(device, Access::Write).1
}

fn survives(name: &str, usual: u64, spec: impl Fn(u64) -> DiskSpec, stack: impl Fn(Arc<dyn BlockDevice>) -> Arc<dyn BlockDevice>) {
    let (mut writes, mut flushes) = (0, 0);
    for seed in seeds(usual) {
        match run(seed, &spec, &stack) {
            Ok((w, f)) => (writes, flushes) = (writes + w, flushes + f),
            Err(why) => panic!("{name}: {why}"),
        }
    }
    assert!(writes > 0 && flushes > 0, "{name}: {writes} writes and {flushes} flushes");
}

fn whole(seed: u64) -> DiskSpec {
    DiskSpec::new(seed, 9, BLOCKS)
}

/// No FUA, no zeroes, narrow limits: the layer makes up for all of it.
fn bare(seed: u64) -> DiskSpec {
    let mut spec = whole(seed);
    spec.info.ops = OpSet::of(&[Op::Read, Op::Write, Op::Flush]);
    spec.info.fua = false;
    spec.info.limits = Limits { boundary_blocks: 32, transfer_blocks: 12, segments: 2, segment_bytes: 4096, ..Limits::default() };
    spec
}

#[test]
fn a_disk_with_every_operation() {
    survives("whole", 6, whole, layer);
}

#[test]
fn a_disk_whose_fua_and_zeroes_are_emulated() {
    survives("bare", 6, bare, layer);
}

#[test]
fn a_stack_of_layers() {
    survives("stack", 4, bare, |disk| layer(Arc::new(Passthru::new(layer(Arc::new(Passthru::new(disk)))))));
}

/// Answers every flush by itself.
struct Swallows(Arc<dyn BlockDevice>);

struct SwallowsQueue(Box<dyn BlockQueue>, Token, Vec<Box<Io>>);

impl BlockDevice for Swallows {
    fn info(&self) -> Arc<DeviceInfo> {
        self.0.info()
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        let (inner, _) = Checked::new(self.0.open(cx, who, depth)?);
        Ok(Box::new(SwallowsQueue(Box::new(inner), who, Vec::new())))
    }
}

impl BlockQueue for SwallowsQueue {
    fn submit(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        if io.op == Op::Flush {
            io.status = Status::Ok;
            self.2.push(io);
            return cx.wake(self.1);
        }
        self.0.submit(cx, io);
    }

    fn kick(&mut self, cx: &mut Cx) {
        self.0.kick(cx);
    }

    fn poll(&mut self, cx: &mut Cx, done: &mut Done) {
        done.append(&mut self.2);
        self.0.poll(cx, done);
    }
}

/// A layer that swallows flushes beneath the block layer must be found out by one of few seeds, or the tests above say nothing.
#[test]
fn a_swallowed_flush_is_found_out() {
    let found = (0..6).find_map(|seed| run(seed, bare, |disk| layer(Arc::new(Swallows(disk)))).err());
    let report = found.expect("six seeds, and nobody noticed");
    assert!(report.contains("seed") && report.contains("flush: submitted"), "{report}");
}
