//! The aio and uring back ends against fio with the same engine of the kernel's: same file, size, depth and pattern, one after the other in
//! pairs, so that what disturbs the machine disturbs both.
//!
//! fio runs as fast as its flags allow (batches, and for io_uring registered buffers and files). Time on cores is that of the whole process,
//! helper threads and the kernel's workers included, less what a run of hardly any requests takes. Ours sleeps when it has nothing to do, as
//! it does when it serves.

mod fio;
mod ours;

use crate::bench::{self, Bench};
use crate::figures::median;
use clap::Args;
use doorbell_sys::file::{Direct, OpenOptions, Target};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// This benchmark.
pub(crate) const BENCH: Bench = Bench::of::<Options>("files", "The aio and uring back ends against fio with the same engine");

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Where the file lies; may be repeated [default: the folder for temporary files, and /dev/shm]
    #[arg(long = "folder", value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// Only this engine: aio or uring
    #[arg(long, value_parser = ["aio", "uring"])]
    engine: Option<String>,
    /// Only this pattern: randread, randwrite, read or write
    #[arg(long, value_parser = ["randread", "randwrite", "read", "write"])]
    pattern: Option<String>,
    /// Only this depth
    #[arg(long)]
    depth: Option<u32>,
    /// Size of the file in MiB
    #[arg(long, default_value_t = 256)]
    size_mib: u64,
    /// Seconds of a run
    #[arg(long, default_value_t = 1.0)]
    time: f64,
    /// Pairs of runs
    #[arg(long, default_value_t = 5)]
    pairs: u32,
    /// When our reactor sleeps: adaptive or always
    #[arg(long, default_value = "adaptive", value_parser = ["adaptive", "always"])]
    poll: String,
}

/// An engine of the kernel's, by our name and by fio's.
#[derive(Clone, Copy)]
struct Engine {
    ours: &'static str,
    fio: &'static str,
}

const ENGINES: [Engine; 2] = [Engine { ours: "aio", fio: "libaio" }, Engine { ours: "uring", fio: "io_uring" }];

/// Pattern, bytes of a request, depth.
const LOADS: [(&str, u32, u32); 8] = [
    ("randread", 4 << 10, 1),
    ("randread", 4 << 10, 32),
    ("randread", 4 << 10, 128),
    ("randwrite", 4 << 10, 1),
    ("randwrite", 4 << 10, 32),
    ("randwrite", 4 << 10, 128),
    ("read", 128 << 10, 32),
    ("write", 128 << 10, 32),
];

/// One load on one file.
struct Load<'a> {
    file: &'a Path,
    is_direct: bool,
    size_bytes: u64,
    engine: Engine,
    pattern: &'static str,
    io_bytes: u32,
    depth: u32,
    seconds: f64,
    poll: &'a str,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    ios: f64,
    iops: f64,
    /// Of the whole process.
    cpu_s: f64,
}

impl bench::Options for Options {
    fn run(&self) -> Result<(), String> {
        let usual = [std::env::temp_dir(), PathBuf::from("/dev/shm")];
        let folders = if self.folders.is_empty() { usual.to_vec() } else { self.folders.clone() };
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            let file = Laid::new(folder, self.size_mib << 20)?;
            self.on(&file)?;
        }
        Ok(())
    }
}

impl Options {
    fn on(&self, file: &Laid) -> Result<(), String> {
        let direct = if file.is_direct { "direct" } else { "through the page cache: this file system takes no direct I/O" };
        println!("{} MiB on {}, {direct}; medians of {} pairs of {} s", self.size_mib, file.path.display(), self.pairs, self.time);
        println!(
            "{:6} {:10} {:>5} {:>5} | {:>9} {:>9} {:>6} {:>13} | {:>8} {:>8} | {:>8}",
            "engine", "pattern", "KiB", "depth", "IOPS", "fio's", "ratio", "least..most", "µs/io", "fio's", "calls/io"
        );
        for engine in ENGINES.into_iter().filter(|engine| self.engine.as_deref().is_none_or(|only| only == engine.ours)) {
            for (pattern, io_bytes, depth) in LOADS {
                let wanted = self.pattern.as_deref().is_none_or(|only| only == pattern) && self.depth.is_none_or(|only| only == depth);
                if wanted {
                    let load = Load {
                        file: &file.path,
                        is_direct: file.is_direct,
                        size_bytes: self.size_mib << 20,
                        engine,
                        pattern,
                        io_bytes,
                        depth,
                        seconds: self.time,
                        poll: &self.poll,
                    };
                    self.pairs_of(&load)?;
                }
            }
        }
        Ok(())
    }

    /// Runs the pairs and prints their line.
    fn pairs_of(&self, load: &Load<'_>) -> Result<(), String> {
        let starts = [ours::starting(load)?, fio::starting(load)?];
        let mut runs = Vec::new();
        for pair in 0..self.pairs {
            // Whoever runs second finds the caches warm: that is each in turn.
            let pair = if pair % 2 == 0 { [ours::run(load)?, fio::run(load)?] } else { swapped([fio::run(load)?, ours::run(load)?]) };
            runs.push(pair);
        }
        let of = |side: usize, figure: fn(&Run) -> f64| median(runs.iter().map(|pair| figure(&pair[side])).collect());
        let iops = [of(0, |run| run.iops), of(1, |run| run.iops)];
        let cost = |side: usize| {
            let each = runs.iter().map(|pair| (pair[side].cpu_s - starts[side]).max(0.0) * 1e6 / pair[side].ios.max(1.0));
            median(each.collect())
        };
        let mut ratios: Vec<f64> = runs.iter().map(|[ours, fio]| ours.iops / fio.iops.max(1.0)).collect();
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios.first().copied().unwrap_or(0.0), ratios.last().copied().unwrap_or(0.0));
        let calls = ours::calls_per_request(load).map_or_else(|why| why, |calls| format!("{calls:.3}"));
        println!(
            "{:6} {:10} {:>5} {:>5} | {:>9.0} {:>9.0} {:>6.2} {:>13} | {:>8.2} {:>8.2} | {:>8}",
            load.engine.ours,
            load.pattern,
            load.io_bytes >> 10,
            load.depth,
            iops[0],
            iops[1],
            iops[0] / iops[1].max(1.0),
            format!("{least:.2}..{most:.2}"),
            cost(0),
            cost(1),
            calls
        );
        Ok(())
    }
}

fn swapped([a, b]: [Run; 2]) -> [Run; 2] {
    [b, a]
}

/// A file of which every block has been written. It goes away with this.
struct Laid {
    path: PathBuf,
    is_direct: bool,
}

impl Laid {
    fn new(folder: &Path, bytes: u64) -> Result<Laid, String> {
        let path = folder.join(format!("doorbell-bench-{}", std::process::id()));
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let mut laid = Laid { path: path.clone(), is_direct: false };
        let mut file = File::create(&path).map_err(|error| told(&error))?;
        let piece: Vec<u8> = (0..1u32 << 20).map(|n| (n % 251) as u8).collect();
        for _ in 0..bytes >> 20 {
            file.write_all(&piece).map_err(|error| told(&error))?;
        }
        file.sync_all().map_err(|error| told(&error))?;
        let target =
            Target::open(&path, &OpenOptions { direct: Direct::Prefer, ..OpenOptions::default() }).map_err(|error| told(&error))?;
        laid.is_direct = target.is_direct();
        Ok(laid)
    }
}

impl Drop for Laid {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
