//! The NVMe driver alone, over queues in memory: what a request costs from the load generator to the ring and back, whatever the device.
//!
//! Behind the driver stands a responder that answers commands as fast as it can and moves no data. Times are taken with the responder on
//! a core of its own; both sides then wait for each other now and then, and how much is told. Instructions are counted with the responder
//! in the driver's own thread, left out of the count: it answers so many commands a turn, so that no turn is empty and the count is the
//! same on every machine.

mod drive;
mod responder;

use crate::bench::{self, Bench};
use crate::instructions::{self, Between};
use clap::Args;
use doorbell::perf::block::Pattern;
use drive::{Device, Measured, Work};

/// This benchmark.
pub(crate) const BENCH: Bench =
    Bench::of::<Options>("nvme-driver", "The NVMe driver over queues in memory, 4 KiB: ns, instructions and allocations per request");

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this case
    #[arg(long)]
    only: Option<String>,
    /// Only this depth
    #[arg(long)]
    depth: Option<u32>,
    /// Run one case once for so many requests with the responder in the driver's thread, and print nothing (for counting instructions)
    #[arg(long)]
    exactly: Option<u64>,
    /// With --exactly: answers a turn at most; 0: as many as there are
    #[arg(long, default_value_t = 0)]
    answers: u32,
    /// Leave out the counting of instructions
    #[arg(long)]
    no_instructions: bool,
    /// Requests of a run
    #[arg(long, default_value_t = 2_000_000)]
    ios: u64,
    /// Runs of which the best is told
    #[arg(long, default_value_t = 7)]
    runs: u32,
    /// Core of the driver
    #[arg(long, default_value_t = 0)]
    driver_core: u32,
    /// Core of the responder
    #[arg(long, default_value_t = 1)]
    responder_core: u32,
}

const CASES: [(&str, Pattern); 2] = [("read", Pattern::RandRead), ("write", Pattern::RandWrite)];
const DEPTHS: [u32; 3] = [1, 32, 128];
/// Answers a turn for which instructions are counted: by ones, by eights, and all that there is at once.
const ANSWERS: [u32; 3] = [1, 8, 0];
/// From the design: at depth 32 and 128.
const BUDGET_NS: u32 = 70;
const BUDGET_INSTRUCTIONS: u32 = 300;

impl bench::Options for Options {
    fn run(&self) -> Result<(), String> {
        let chosen = || CASES.iter().filter(|(name, _)| self.only.as_deref().is_none_or(|only| only == *name));
        if chosen().next().is_none() {
            return Err(format!("there is no such case; there are: {}", CASES.map(|(name, _)| name).join(", ")));
        }
        if let Some(ios) = self.exactly {
            let most = if self.answers == 0 { u32::MAX } else { self.answers };
            let work = |pattern| Work { pattern, depth: self.depth.unwrap_or(32), ios };
            return chosen().try_for_each(|(_, pattern)| drive::run(work(*pattern), Device::Inside(most)).map(drop));
        }
        println!(
            "NVMe driver, {} KiB, driver on core {}, responder on core {}; best of {} runs of {} requests",
            drive::IO_BYTES >> 10,
            self.driver_core,
            self.responder_core,
            self.runs,
            self.ios
        );
        println!("budgets at depth 32 and 128: {BUDGET_NS} ns, {BUDGET_INSTRUCTIONS} instructions");
        println!(
            "{:6} {:>5} {:>7} {:>12} {:>15} {:>9} {:>9} {:>9} {:>9}",
            "case", "depth", "ns/io", "driver idle", "responder idle", "by 1", "by 8", "by all", "alloc/io"
        );
        for (name, pattern) in chosen() {
            for depth in DEPTHS.into_iter().filter(|d| self.depth.is_none_or(|only| only == *d)) {
                self.line(name, *pattern, depth)?;
            }
        }
        println!(
            "by 1, 8, all: instructions a request of the driver's thread when so many answers come at once; generator and turns included"
        );
        Ok(())
    }
}

impl Options {
    fn line(&self, name: &str, pattern: Pattern, depth: u32) -> Result<(), String> {
        let work = Work { pattern, depth, ios: self.ios };
        let mut best: Option<Measured> = None;
        for _ in 0..self.runs.max(1) {
            let next = drive::run(work, Device::Beside([self.driver_core, self.responder_core]))?;
            if best.is_none_or(|best| next.ns < best.ns) {
                best = Some(next);
            }
        }
        let Some(best) = best else { return Ok(()) };
        let counted = ANSWERS.map(|answers| match self.no_instructions {
            true => String::new(),
            false => instructions(name, depth, answers).map_or_else(|_| "?".into(), |n| format!("{n:.0}")),
        });
        let [one, eight, all] = counted;
        println!(
            "{name:6} {depth:>5} {:>7.1} {:>11.0}% {:>14.0}% {one:>9} {eight:>9} {all:>9} {:>9.5}",
            best.ns,
            best.driver_waited * 100.0,
            best.responder_waited * 100.0,
            best.allocations as f64 / self.ios as f64
        );
        Ok(())
    }
}

fn instructions(name: &str, depth: u32, answers: u32) -> Result<f64, String> {
    let (depth, answers) = (depth.to_string(), answers.to_string());
    let words = ["nvme-driver", "--only", name, "--depth", &depth, "--answers", &answers];
    let between = Between { begins: "*drive::load_begins*", ends: "*drive::load_ended*", left_out: "*Responder*respond*" };
    instructions::per_request_between(&words, &between)
}

#[cfg(test)]
mod tests;
