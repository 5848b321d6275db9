//! `doorbell perf block`: devices made in this process, one generator on each core for each, and what came of it.

mod configured;
mod device;
mod drives;

use super::block::{Generator, Job, Outcome, Pattern, Stop};
use super::report::{Report, grouped};
use crate::cli::{BlockArgs, Poll};
use crate::size::Size;
use device::{Made, Wanted};
use doorbell_block::{BlockDevice, ReactorId};
use doorbell_mem::{DEFAULT_CLASSES, PoolSpec};
use doorbell_reactor::{Config, Local, Polling, oneshot, run};
use doorbell_sys::cpu::{self, CpuId};
use drives::Attached;
pub(crate) use drives::{Drives, name as namespace_name};
use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[cfg(test)]
mod tests;

/// Why nothing was measured, in words for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PerfError(String);

fn error(what: impl std::fmt::Display) -> PerfError {
    PerfError(what.to_string())
}

/// What the reactors of this process are asked for.
const BOXES: u32 = 4096;
const SPIN_NS: u64 = 20_000;

/// Where the devices under load come from.
pub(crate) enum Under {
    /// What `--device` names.
    Devices(Vec<Wanted>),
    /// Namespaces of NVMe controllers, attached for it.
    Drives(Drives),
}

/// Runs it and prints. True when every request succeeded.
pub fn block(args: BlockArgs) -> Result<bool, PerfError> {
    let devices = device::check(&args)?;
    load(args, Under::Devices(devices))
}

/// Puts the load on what there is and prints what came of it. True when every request succeeded.
pub(crate) fn load(args: BlockArgs, under: Under) -> Result<bool, PerfError> {
    let mut config = config(&args)?;
    if let Under::Drives(drives) = &under {
        config.pool.backing = drives.backing();
    }
    let args = Arc::new(args);
    let title = (!args.json).then(|| title(&args, &config));
    let shared = args.clone();
    let regions = config.regions.clone();
    let (measured, closed) = run(&config, |local| async move { measure(&local, &shared, title, under, &regions).await }).map_err(error)?;
    let Measured { all, each } = measured?;
    let lost: u32 = closed.iter().map(|c| c.boxes_out).sum();
    if lost > 0 {
        return Err(error(format!("{lost} requests were lost: a bug, please report it")));
    }
    if args.json {
        println!("{}", all.to_json_with(&each));
    } else {
        for (name, report) in &each {
            println!("{name}\n{}", report.rates());
        }
        println!("{}{all}", if each.is_empty() { "" } else { "all together\n" });
    }
    Ok(all.is_clean())
}

/// What came of it: of all devices, and of each where there are several.
struct Measured {
    all: Report,
    each: Vec<(String, Report)>,
}

fn title(args: &BlockArgs, config: &Config) -> String {
    let mix = match args.pattern {
        Pattern::Rw | Pattern::RandRw => format!(" ({} % reads)", args.mix),
        _ => String::new(),
    };
    let layers = if args.layers > 0 { format!(" under {} layers", args.layers) } else { String::new() };
    let cores = if config.cpus.is_empty() { config.reactors as usize } else { config.cpus.len() };
    let many = if cores == 1 { "" } else { "s" };
    format!(
        "{}{mix} of {} at depth {} on {}{layers}, {cores} core{many}, {} s",
        args.pattern.name(),
        Size(args.io_size.into()),
        args.queue_depth,
        args.devices.join(" and "),
        args.time
    )
}

/// Reactors with boxes and buffers for the load, beside what the layers below need.
fn config(args: &BlockArgs) -> Result<Config, PerfError> {
    let (reactors, cpus) = cores(&args.cores)?;
    let requests = args.queue_depth.saturating_mul(u32::try_from(args.devices.len()).unwrap_or(u32::MAX));
    let piece = args.io_size.clamp(512, 1 << 20).next_power_of_two();
    let buffers = requests.saturating_mul(args.io_size.div_ceil(1 << 20).max(1));
    let mut classes = DEFAULT_CLASSES.to_vec();
    match classes.iter_mut().find(|class| class.size >= piece) {
        Some(class) => class.count = class.count.saturating_add(buffers),
        None => return Err(error(format!("requests of {} are too large", Size(args.io_size.into())))),
    }
    let polling = match args.poll {
        Poll::Always => Polling::Always,
        Poll::Adaptive => Polling::Adaptive { spin_ns: SPIN_NS },
    };
    let pool = PoolSpec { classes, ..PoolSpec::default() };
    Ok(Config { reactors, cpus, polling, boxes: requests.saturating_add(BOXES), pool, ..Config::default() })
}

/// `2` is how many, anything else names them.
fn cores(text: &str) -> Result<(u32, Vec<CpuId>), PerfError> {
    match text.parse::<u32>() {
        Ok(0) => Err(error("--cores 0: there must be one")),
        Ok(n) if n <= 1024 => Ok((n, Vec::new())),
        Ok(n) => Err(error(format!("--cores {n}: at most 1024; a mask begins with 0x, a list with ["))),
        Err(_) => Ok((0, cpu::parse(text).map_err(error)?)),
    }
}

/// The blocks that core `n` of `cores` may touch. Random loads that check nothing share all; others each have their own.
fn share(blocks: u64, args: &BlockArgs, block_bytes: u32, n: u32, cores: u32) -> Range<u64> {
    let blocks = args.size.map_or(blocks, |size| blocks.min(size / u64::from(block_bytes)));
    let random = matches!(args.pattern, Pattern::RandRead | Pattern::RandWrite | Pattern::RandRw);
    if cores == 1 || (random && !args.verify) {
        return 0..blocks;
    }
    let io_blocks = u64::from((args.io_size / block_bytes).max(1));
    let part = blocks / u64::from(cores) / io_blocks * io_blocks;
    u64::from(n) * part..(u64::from(n) + 1) * part
}

async fn measure(
    local: &Local,
    args: &Arc<BlockArgs>,
    title: Option<String>,
    under: Under,
    regions: &doorbell_mem::Regions,
) -> Result<Measured, PerfError> {
    let mut made = Made::new(args, regions)?;
    let configured = match &args.config {
        Some(path) => Some(configured::load(local, path, &mut made).await?),
        None => None,
    };
    let mut attached = Attached::default();
    let opened = match under {
        Under::Devices(all) => all.into_iter().try_for_each(|wanted| made.open(wanted)),
        Under::Drives(drives) => attached.add(local, &drives, &mut made).await,
    };
    let measured = match opened {
        Ok(()) => generate(local, args, title, &made).await,
        Err(why) => Err(why),
    };
    made.close(configured.is_none()).await;
    attached.detach().await;
    if let Some(control) = configured {
        control.stop().await;
    }
    measured
}

/// One generator on each core for each device. `title` is said once all have begun.
async fn generate(local: &Local, args: &Arc<BlockArgs>, title: Option<String>, made: &Made) -> Result<Measured, PerfError> {
    let progress = (!args.json && std::io::stderr().is_terminal()).then(|| Arc::new(Shown::new(local.reactors(), made.handles.len())));
    let mut answers = Vec::new();
    for n in 0..local.reactors() {
        let mut of_core = Vec::new();
        for (d, handle) in made.handles.iter().enumerate() {
            let info = handle.info();
            let job = Job {
                mix_percent: args.mix,
                depth: args.queue_depth,
                range: share(info.blocks, args, info.block_size(), n, local.reactors()),
                stop: Stop::AfterNs((args.time * 1e9) as u64),
                seed: args.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(n) << 32 | d as u64),
                verify: args.verify,
                progress: progress.as_ref().and_then(|shown| shown.of(n, d)),
                ..Job::new(args.pattern, args.io_size)
            };
            let (tx, rx) = oneshot();
            let handle = handle.clone();
            let start = move |cx: &mut doorbell_block::Cx| Generator::start(cx, &*handle, &job, tx).map_err(error);
            local.visit(ReactorId(n), start).await.map_err(error)??;
            of_core.push(rx);
        }
        answers.push(of_core);
    }
    if let Some(title) = title {
        println!("{title}");
    }
    if let Some(shown) = progress {
        show(local, shown, args.time);
    }
    let mut all = Report::new(args.io_size);
    let mut each: Vec<_> = args.devices.iter().map(|name| (name.clone(), Report::new(args.io_size))).collect();
    for of_core in answers {
        let mut outcomes: Vec<Outcome> = Vec::new();
        for (answer, (_, report)) in of_core.into_iter().zip(&mut each) {
            let outcome = answer.await.map_err(error)?;
            report.add_core(vec![outcome.clone()]);
            outcomes.push(outcome);
        }
        all.add_core(outcomes);
    }
    if each.len() < 2 {
        each.clear();
    }
    Ok(Measured { all, each })
}

/// How far each generator is.
struct Shown(Vec<Vec<Arc<AtomicU64>>>);

impl Shown {
    fn new(cores: u32, devices: usize) -> Shown {
        Shown((0..cores).map(|_| (0..devices).map(|_| Arc::default()).collect()).collect())
    }

    fn of(&self, core: u32, device: usize) -> Option<Arc<AtomicU64>> {
        self.0.get(core as usize)?.get(device).cloned()
    }

    fn sum(&self) -> u64 {
        self.0.iter().flatten().map(|n| n.load(Relaxed)).sum()
    }
}

/// Says on the terminal, four times a second, how fast it goes.
fn show(local: &Local, shown: Arc<Shown>, seconds: f64) {
    let here = local.clone();
    local.spawn(async move {
        let (mut before, mut last) = (0, here.now());
        let end = last.after((seconds * 1e9) as u64);
        while here.now() < end {
            here.sleep_ns(250_000_000).await;
            let (now, sum) = (here.now(), shown.sum());
            let rate = (sum - before) as f64 * 1e9 / now.since(last).max(1) as f64;
            eprint!("\r  {:>4.1} s left, {} IOPS   ", end.since(now) as f64 / 1e9, grouped(rate));
            let _ = std::io::stderr().flush();
            (before, last) = (sum, now);
        }
        eprint!("\r\u{1b}[K");
    });
}
