//! NVMe/TCP on loopback: what a command costs the target. The target is the release binary in a process of its own on one core; the host
//! is this program on another.
//!
//! Calls and copied bytes are counted by the target itself (`nvmf_get_stats`): every receive, send and look at epoll, also those that
//! found nothing. `--strace` counts them from outside in the same run. Copied bytes are those that the target moves between the receive
//! and their place; what a device copies is the device's (null copies nothing, malloc each byte once). Allocations are counted in this
//! process, where target and host run on a thread each.

mod host;
mod inside;
mod link;
mod load;
mod outside;
mod target;

use crate::bench::{self, Bench};
use clap::Args;
use doorbell_sys::{clock, cpu};
use host::Host;
use load::{Job, Outcome, Stop};
use target::{Device, Reading, Target};

/// This benchmark.
pub(crate) const BENCH: Bench = Bench::of::<Options>(
    "nvme-tcp",
    "NVMe/TCP on loopback, the release binary on one core: IOPS, latency, CPU, system calls, bytes copied, instructions, allocations",
);

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// What the target serves
    #[arg(long, value_enum, default_value = "null")]
    device: Device,
    /// Only this case
    #[arg(long)]
    only: Option<String>,
    /// Only this depth
    #[arg(long)]
    depth: Option<u16>,
    /// Seconds of a run
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Runs of which the fastest is told
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Core of the target
    #[arg(long, default_value_t = 0)]
    target_core: u32,
    /// Core of the host
    #[arg(long, default_value_t = 1)]
    host_core: u32,
    /// Count the target's system calls with strace as well (which slows it down)
    #[arg(long)]
    strace: bool,
    /// Leave out the counting of instructions, which needs valgrind
    #[arg(long)]
    no_instructions: bool,
    /// Leave out the counting of allocations
    #[arg(long)]
    no_allocations: bool,
}

/// A case.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) write: bool,
    pub(super) io_bytes: u32,
    depths: &'static [u16],
}

const CASES: [Case; 4] = [
    Case { name: "randread", write: false, io_bytes: 4096, depths: &[1, 32, 128] },
    Case { name: "randwrite", write: true, io_bytes: 4096, depths: &[1, 32, 128] },
    Case { name: "read128k", write: false, io_bytes: 128 << 10, depths: &[32] },
    Case { name: "write128k", write: true, io_bytes: 128 << 10, depths: &[32] },
];

impl Case {
    fn job(&self, depth: u16, stop: Stop) -> Job {
        Job { write: self.write, io_bytes: self.io_bytes, depth, stop }
    }
}

/// One run and what the target counted meanwhile.
struct Measured {
    outcome: Outcome,
    spent: Reading,
}

impl Measured {
    fn iops(&self) -> f64 {
        self.outcome.ios as f64 * 1e9 / self.outcome.elapsed_ns.max(1) as f64
    }
}

fn measure(target: &mut Target, host: &mut Host, job: &Job, clock: &clock::AnyClock) -> Result<Measured, String> {
    let before = target.read()?;
    let outcome = load::run(host, job, clock)?;
    let spent = target.read()?.since(before);
    if spent.ios != outcome.ios {
        return Err(format!("the host saw {} commands end and the target counted {}", outcome.ios, spent.ios));
    }
    Ok(Measured { outcome, spent })
}

/// Runs the host on its core, in a thread of its own: a process that this one starts may run anywhere.
fn on_core<T: Send>(core: u32, work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let pinned = || cpu::pin_current(cpu::CpuId(core)).map_err(|e| e.to_string());
        let host = scope.spawn(move || pinned().and_then(|()| work()));
        host.join().map_err(|_| "the host has panicked".to_owned())?
    })
}

fn best(target: &mut Target, case: &Case, depth: u16, options: &Options) -> Result<Measured, String> {
    let clock = clock::best();
    let host = &mut Host::connect(target.address, target::NQN)?;
    load::run(host, &case.job(depth, Stop::AfterNs(50_000_000)), &clock)?;
    let job = case.job(depth, Stop::AfterNs((options.seconds * 1e9) as u64));
    let mut best = measure(target, host, &job, &clock)?;
    for _ in 1..options.runs {
        let next = measure(target, host, &job, &clock)?;
        if next.iops() > best.iops() {
            best = next;
        }
    }
    Ok(best)
}

impl bench::Options for Options {
    fn run(&self) -> Result<(), String> {
        table(self)
    }
}

/// Runs the cases and prints a table.
fn table(options: &Options) -> Result<(), String> {
    let chosen = |case: &&Case| options.only.as_deref().is_none_or(|o| o == case.name);
    let cases = || CASES.iter().filter(chosen).flat_map(|c| c.depths.iter().map(move |d| (c, *d)));
    let cases = || cases().filter(|(_, d)| options.depth.is_none_or(|o| o == *d));
    if cases().next().is_none() {
        return Err(format!("there is no such case; there are: {}", CASES.each_ref().map(|c| c.name).join(", ")));
    }
    println!(
        "NVMe/TCP on loopback, {:?} device; target on core {}, host on core {}; fastest of {} runs of {} s",
        options.device, options.target_core, options.host_core, options.runs, options.seconds
    );
    heading();
    for (case, depth) in cases() {
        let mut target = Target::start(options.device, options.target_core, &[])?;
        let measured = on_core(options.host_core, || best(&mut target, case, depth, options))?;
        target.stop()?;
        let instructions = match options.no_instructions {
            true => String::new(),
            false => outside::instructions(case, depth, options).map_or_else(|_| "?".into(), |n| format!("{n:.0}")),
        };
        let allocations = match options.no_allocations {
            true => String::new(),
            false => {
                let ios = if case.io_bytes > 4096 { 10_000 } else { 100_000 };
                let each = inside::allocations(case, depth, ios, Some([options.target_core, options.host_core]))?;
                if each == 0.0 { "0".into() } else { format!("{each:.5}") }
            }
        };
        print(case, depth, &measured, &instructions, &allocations);
        if options.strace {
            outside::strace(case, depth, options)?;
        }
    }
    println!(
        "a call is a receive, a send or a look at epoll; copied is what the target moves after the receive, the device's own left out"
    );
    Ok(())
}

fn heading() {
    println!(
        "{:9} {:>5} {:>9} {:>8} {:>8} {:>6} {:>9} {:>7} {:>7} {:>6} {:>6} {:>6} {:>6} {:>9} {:>8} {:>8}",
        "case",
        "depth",
        "IOPS",
        "p50 µs",
        "p99 µs",
        "busy",
        "IOPS/busy",
        "cpu µs",
        "user µs",
        "calls",
        "recv",
        "send",
        "epoll",
        "copied B",
        "instr",
        "alloc"
    );
}

fn print(case: &Case, depth: u16, m: &Measured, instructions: &str, allocations: &str) {
    let (o, s) = (&m.outcome, &m.spent);
    let each = |n: u64| n as f64 / o.ios.max(1) as f64;
    let busy = s.cpu_ns() as f64 / o.elapsed_ns.max(1) as f64;
    let micros = |ns: u64| ns as f64 / 1e3;
    println!(
        "{:9} {:>5} {:>9.0} {:>8.1} {:>8.1} {:>5.0}% {:>9.0} {:>7.2} {:>7.2} {:>6.3} {:>6.3} {:>6.3} {:>6.3} {:>9.1} {:>8} {:>8}",
        case.name,
        depth,
        m.iops(),
        micros(o.latency.percentile(50.0)),
        micros(o.latency.percentile(99.0)),
        busy * 100.0,
        m.iops() / busy.max(1e-3),
        each(s.cpu_ns()) / 1e3,
        each(s.user_ns) / 1e3,
        each(s.calls()),
        each(s.receives),
        each(s.sends),
        each(s.looks),
        each(s.copied_bytes),
        instructions,
        allocations,
    );
}
