//! Stores of terabytes in a file: recovery, clean load, a snapshot, and memory.
//!
//! A store's metadata region is really written (see [`made`]), and read past the page cache. A recovery is held against the rate at which the same
//! device gives the same bytes to a load of sequential reads, one after the other in one run, since a disk that is shared is not the same an
//! hour later.

mod made;
mod measure;

use crate::bench::{self, Bench};
use crate::figures::median;
use crate::instructions;
use clap::Args;
use made::{Content, Made, Pages, Spec};
use measure::Memory;
use std::path::PathBuf;

/// This benchmark.
pub(crate) const BENCH: Bench = Bench::of::<Options>("stores", "Stores of terabytes: recovery, clean load, a snapshot, memory");

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Where the store's file lies [default: the folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Only this: recovery, clean, snapshot or memory
    #[arg(long, value_parser = ["recovery", "clean", "snapshot", "memory"])]
    only: Option<String>,
    /// Stores with more GiB of metadata than this are left out
    #[arg(long, default_value_t = 8)]
    most_gib: u64,
    /// Runs of which the median is told
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Leave out the counting of instructions
    #[arg(long)]
    no_instructions: bool,
    /// Load the store in this file and print the memory that it takes, as the benchmark has itself do
    #[arg(long, hide = true)]
    memory_of: Option<PathBuf>,
    /// Load the store in this file so often and print nothing (for counting instructions)
    #[arg(long, hide = true)]
    load: Option<PathBuf>,
    /// How often
    #[arg(long, hide = true)]
    exactly: Option<u64>,
}

const fn spec(tebibytes: u64, cluster_mib: u32, pages: Pages, content: Content) -> Spec {
    Spec { tebibytes, cluster_mib, pages, content }
}

/// Stores that are recovered.
const RECOVERED: [Spec; 11] = [
    spec(1, 4, Pages::Usual, Content::Full),
    spec(1, 4, Pages::EachCluster, Content::Full),
    spec(1, 4, Pages::EachCluster, Content::Scattered),
    spec(1, 1, Pages::Usual, Content::Full),
    spec(1, 1, Pages::Usual, Content::Scattered),
    spec(1, 1, Pages::EachCluster, Content::Full),
    spec(1, 1, Pages::EachCluster, Content::Scattered),
    spec(8, 4, Pages::Usual, Content::Full),
    spec(8, 4, Pages::EachCluster, Content::Full),
    spec(8, 1, Pages::Usual, Content::Full),
    spec(8, 1, Pages::EachCluster, Content::Full),
];

/// Stores of a terabyte of which everything else is measured.
const OF_A_TERABYTE: [Spec; 4] = [
    spec(1, 4, Pages::Usual, Content::Empty),
    spec(1, 4, Pages::Usual, Content::Full),
    spec(1, 1, Pages::Usual, Content::Empty),
    spec(1, 1, Pages::Usual, Content::Full),
];

impl bench::Options for Options {
    fn run(&self) -> Result<(), String> {
        if let Some(path) = &self.memory_of {
            println!("{}", measure::memory(path)?);
            return Ok(());
        }
        if let Some(path) = &self.load {
            return measure::loads(path, self.exactly.unwrap_or(1));
        }
        let wanted = |what: &str| self.only.as_deref().is_none_or(|only| only == what);
        if wanted("recovery") {
            self.recovery()?;
        }
        if wanted("clean") {
            self.clean()?;
        }
        if wanted("snapshot") {
            self.snapshot()?;
        }
        if wanted("memory") {
            self.memory()?;
        }
        Ok(())
    }
}

impl Options {
    fn make(&self, spec: &Spec) -> Result<Made, String> {
        Made::new(&self.folder.clone().unwrap_or_else(std::env::temp_dir), spec)
    }

    fn recovery(&self) -> Result<(), String> {
        println!("recovery of stores that were not closed; medians of {} pairs of a sequential read and a recovery", self.runs);
        println!(
            "{:38} {:>9} {:>9} {:>9} | {:>8} {:>8} {:>8} {:>6} | {:>9} {:>9} {:>10}",
            "store", "pages", "read", "MiB", "seconds", "MB/s", "device's", "ratio", "CPU ns/pg", "the load's", "instr/page"
        );
        for spec in RECOVERED {
            let bytes = spec.metadata_bytes()?;
            if bytes > self.most_gib << 30 {
                println!("{:38} left out: {} GiB of metadata", spec.name(), bytes >> 30);
                continue;
            }
            let made = self.make(&spec)?;
            let found = measure::recovery(&made, self.runs)?;
            let seconds = median(found.runs.iter().map(|run| run.recovery_s).collect());
            let rate = |seconds: f64| bytes as f64 / seconds / 1e6;
            let device = median(found.runs.iter().map(|run| rate(run.device_s)).collect());
            let ratio = median(found.runs.iter().map(|run| run.device_s / run.recovery_s).collect());
            let per_page = |ns: f64| ns / found.pages as f64;
            let instructions = match self.no_instructions || bytes > 1 << 30 {
                true => String::new(),
                false => counted(&made).map_or_else(|why| why, |n| format!("{:.0}", per_page(n))),
            };
            println!(
                "{:38} {:>9} {:>9} {:>9} | {:>8.3} {:>8.0} {:>8.0} {:>6.2} | {:>9.0} {:>9.0} {:>10}",
                spec.name(),
                made.geometry.md_len,
                found.pages,
                found.bytes >> 20,
                seconds,
                rate(seconds),
                device,
                ratio,
                per_page(found.recovery_cpu_ns),
                per_page(found.device_cpu_ns),
                instructions
            );
        }
        Ok(())
    }

    fn clean(&self) -> Result<(), String> {
        println!("load of stores that were closed; medians of {} loads (budget: 100 ms)", self.runs);
        println!("{:38} {:>9} {:>10} {:>10} {:>10}", "store", "load ms", "slowest", "KiB read", "close ms");
        for spec in OF_A_TERABYTE {
            let made = self.make(&spec)?;
            let found = measure::clean(&made, self.runs)?;
            let slowest = found.iter().map(|run| run.load_ms).fold(0.0, f64::max);
            let load = median(found.iter().map(|run| run.load_ms).collect());
            let close = median(found.iter().map(|run| run.close_ms).collect());
            let bytes = found.iter().map(|run| run.bytes).max().unwrap_or(0);
            println!("{:38} {load:>9.2} {slowest:>10.2} {:>10} {close:>10.2}", spec.name(), bytes >> 10);
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<(), String> {
        println!("a snapshot of a volume of the store's size, and its deletion into the volume; medians of {}", self.runs);
        println!("{:38} {:>12} {:>12}", "store", "snapshot ms", "deletion ms");
        for spec in OF_A_TERABYTE {
            let made = self.make(&spec)?;
            let found = measure::snapshot(&made, self.runs)?;
            let [made_ms, gone_ms] = [0, 1].map(|at| median(found.iter().map(|times| times[at]).collect()));
            println!("{:38} {made_ms:>12.2} {gone_ms:>12.2}", spec.name());
        }
        Ok(())
    }

    fn memory(&self) -> Result<(), String> {
        println!("resident memory of a process that loads a store after a crash, and again after it was closed, more than before");
        println!("{:38} {:>12} {:>12} {:>12} {:>16}", "store", "recovered", "at most", "loaded clean", "KiB per TiB");
        for spec in OF_A_TERABYTE.into_iter().chain([spec(1, 4, Pages::EachCluster, Content::Scattered)]) {
            let made = self.make(&spec)?;
            let recovered = Memory::of_child(&made.path)?;
            measure::close(&made.path)?;
            let clean = Memory::of_child(&made.path)?;
            let kib = |n: u64| format!("{n} KiB");
            println!(
                "{:38} {:>12} {:>12} {:>12} {:>16}",
                spec.name(),
                kib(recovered.open_kib),
                kib(recovered.most_kib),
                kib(clean.open_kib),
                clean.open_kib / spec.tebibytes
            );
        }
        Ok(())
    }
}

/// Instructions of a load, the process's start and end left out.
fn counted(made: &Made) -> Result<f64, String> {
    let path = made.path.to_str().ok_or("the file's name is no text")?;
    instructions::per_request_of(&["stores", "--load", path], [1, 3])
}
