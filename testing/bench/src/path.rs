//! The block path: what a request costs from the load generator to the device and back, every service of the block layer on.

use crate::bench::{self, Bench};
use crate::instructions;
use clap::Args;
use doorbell::perf::block::{Generator, Job, Outcome, Pattern, Stop};
use doorbell_backends::malloc::{Malloc, MallocOptions};
use doorbell_backends::null::{Null, NullOptions};
use doorbell_backends::passthru::Passthru;
use doorbell_bdev::{Access, NewBdev, Registry};
use doorbell_blobstore::{BlobOptions, Blobstore, InitOptions};
use doorbell_block::BlockDevice;
use doorbell_control::Uuid;
use doorbell_mem::Regions;
use doorbell_reactor::{Config, Local, Polling, oneshot, run as run_reactors};
use doorbell_sys::alloc_count::allocations;
use std::sync::Arc;

/// This benchmark.
pub(crate) const BENCH: Bench =
    Bench::of::<Options>("path", "The block path in this process: null, malloc, layers; ns, instructions and allocations per request");

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this case
    #[arg(long)]
    only: Option<String>,
    /// Only this depth
    #[arg(long)]
    depth: Option<u32>,
    /// Run one case once for so many requests and print nothing (for counting instructions)
    #[arg(long)]
    exactly: Option<u64>,
    /// Leave out the counting of instructions
    #[arg(long)]
    no_instructions: bool,
    /// Requests of a run
    #[arg(long, default_value_t = 2_000_000)]
    ios: u64,
    /// Runs of which the best is told
    #[arg(long, default_value_t = 7)]
    runs: u32,
}

/// Nanoseconds allowed at depth 1, 32, 128; from the design.
struct Case {
    name: &'static str,
    what: &'static str,
    budget: [Option<u32>; 3],
}

const CASES: [Case; 9] = [
    Case { name: "bare", what: "null, no services", budget: [None; 3] },
    Case { name: "null", what: "null, all services", budget: [Some(50), Some(18), Some(20)] },
    Case { name: "null+1", what: "and 1 pass-through layer", budget: [None; 3] },
    Case { name: "null+3", what: "and 3 pass-through layers", budget: [None; 3] },
    Case { name: "null+3s", what: "and 3 layers, each a device with services", budget: [None; 3] },
    Case { name: "volume", what: "a volume of 64 GiB on null, all services", budget: [None; 3] },
    Case { name: "clone", what: "and what it shows is its third parent's", budget: [None; 3] },
    Case { name: "malloc", what: "malloc, random read of 64 MiB", budget: [None; 3] },
    Case { name: "mallocw", what: "malloc, random write of 64 MiB", budget: [None; 3] },
];

const DEPTHS: [u32; 4] = [1, 32, 128, 4096];

/// A device under all services.
pub(crate) fn registered(registry: &Registry, name: &str, device: Arc<dyn BlockDevice>) -> Result<Arc<dyn BlockDevice>, String> {
    let spec = NewBdev {
        name: name.into(),
        aliases: vec![],
        uuid: Uuid([0; 16]),
        product: "Bench disk",
        module: "bench",
        device,
        driver_specific: Box::new(|| serde_json::Value::Null),
        created_by: None,
    };
    registry.register(spec).map_err(|e| e.to_string())?;
    let handle = registry.open(name, Access::Write, Box::new(|_| {})).map_err(|e| e.to_string())?;
    Ok(handle)
}

/// A device, what is done with it, and the store that it is a volume of.
type Opened = (Arc<dyn BlockDevice>, Pattern, Option<Blobstore>);

async fn open(local: &Local, case: &str) -> Result<Opened, String> {
    if !["volume", "clone"].contains(&case) {
        return device(case).map(|(device, pattern)| (device, pattern, None));
    }
    let text = |error: doorbell_blobstore::Error| error.to_string();
    let null: Arc<dyn BlockDevice> = Arc::new(Null::new(&NullOptions::new(9, 1 << 30)));
    let store = Blobstore::init(local, null, &InitOptions::default()).await.map_err(text)?;
    let mut id = store.create(&BlobOptions { clusters: 16 << 10, ..BlobOptions::default() }).await.map_err(text)?;
    for _ in 0..if case == "clone" { 3 } else { 0 } {
        let snapshot = store.snapshot(id, Vec::new()).await.map_err(text)?;
        id = store.clone_of(snapshot, Vec::new()).await.map_err(text)?;
    }
    let volume = store.volume(id).await.map_err(text)?;
    Ok((registered(&Registry::new(), "v", Arc::new(volume))?, Pattern::RandRead, Some(store)))
}

fn device(case: &str) -> Result<(Arc<dyn BlockDevice>, Pattern), String> {
    let null = || -> Arc<dyn BlockDevice> { Arc::new(Null::new(&NullOptions::new(9, 1 << 30))) };
    let layered = |n: u32| (0..n).fold(null(), |base, _| Arc::new(Passthru::new(base)) as Arc<dyn BlockDevice>);
    let registry = Registry::new();
    let memory = || -> Result<Arc<dyn BlockDevice>, String> {
        let made = Malloc::new(&Regions::new(), &MallocOptions::new(9, 64 << 11)).map_err(|e| e.to_string())?;
        registered(&Registry::new(), "m", Arc::new(made))
    };
    Ok(match case {
        "bare" => (null(), Pattern::RandRead),
        "null" => (registered(&registry, "n", null())?, Pattern::RandRead),
        "null+1" => (registered(&registry, "n", layered(1))?, Pattern::RandRead),
        "null+3" => (registered(&registry, "n", layered(3))?, Pattern::RandRead),
        "null+3s" => {
            let mut top = registered(&registry, "n", null())?;
            for n in 0..3 {
                top = registered(&registry, &format!("p{n}"), Arc::new(Passthru::new(top)))?;
            }
            (top, Pattern::RandRead)
        }
        "malloc" => (memory()?, Pattern::RandRead),
        "mallocw" => (memory()?, Pattern::RandWrite),
        other => return Err(format!("there is no case {other}; there are: {}", CASES.map(|c| c.name).join(", "))),
    })
}

struct Measured {
    ns: f64,
    allocations: u64,
}

/// One run of `ios` requests on a reactor of its own; allocations are those of the whole run.
fn once(case: &str, depth: u32, ios: u64) -> Result<Measured, String> {
    let pool = doorbell_mem::PoolSpec {
        classes: vec![doorbell_mem::ClassSpec { size: 4096, count: depth + 16 }, doorbell_mem::ClassSpec { size: 64 << 10, count: 8 }],
        ..Default::default()
    };
    let config = Config { boxes: depth + 64, pool, polling: Polling::Always, ..Config::default() };
    let name = case.to_owned();
    let (result, closed) = run_reactors(&config, |local| async move {
        let (device, pattern, store) = open(&local, &name).await?;
        let job = Job { depth, stop: Stop::AfterIos(ios), ..Job::new(pattern, 4096) };
        let (tx, rx) = oneshot();
        let started = local.with(move |cx| Generator::start(cx, &*device, &job, tx)).await;
        started.map_err(|e| e.to_string())?;
        let before = allocations();
        let outcome: Outcome = rx.await.map_err(|e| e.to_string())?;
        let allocated = allocations() - before;
        drop(store);
        Ok::<_, String>((outcome, allocated))
    })
    .map_err(|e| e.to_string())?;
    let (outcome, allocations) = result?;
    if closed.iter().any(|c| c.boxes_out != 0 || c.buffers_out != 0) {
        return Err(format!("{case} at depth {depth} lost something: {closed:?}"));
    }
    Ok(Measured { ns: outcome.elapsed_ns as f64 / outcome.ios.max(1) as f64, allocations })
}

impl bench::Options for Options {
    fn run(&self) -> Result<(), String> {
        table(self)
    }
}

fn counted(case: &str, depth: u32) -> Result<f64, String> {
    instructions::per_request(&["path", "--only", case, "--depth", &depth.to_string()])
}

/// Runs the cases and prints a table.
fn table(options: &Options) -> Result<(), String> {
    if let Some(ios) = options.exactly {
        let case = options.only.as_deref().unwrap_or("null");
        return once(case, options.depth.unwrap_or(32), ios).map(drop);
    }
    println!("block path, 4 KiB, one core; best of {} runs of {} requests", options.runs, options.ios);
    println!("{:9} {:44} {:>6} {:>9} {:>7} {:>14} {:>12}", "case", "", "depth", "ns/io", "budget", "instr/io", "alloc/io");
    for case in CASES.iter().filter(|c| options.only.as_deref().is_none_or(|o| o == c.name)) {
        for depth in DEPTHS.into_iter().filter(|d| options.depth.is_none_or(|o| o == *d)) {
            let mut best = once(case.name, depth, options.ios)?;
            for _ in 1..options.runs {
                let next = once(case.name, depth, options.ios)?;
                best.ns = best.ns.min(next.ns);
                best.allocations = best.allocations.min(next.allocations);
            }
            let budget = [1, 32, 128].iter().position(|d| *d == depth).and_then(|n| case.budget[n]);
            let budget = budget.map_or(String::new(), |b| b.to_string());
            let instructions = match options.no_instructions {
                true => String::new(),
                false => counted(case.name, depth).map_or_else(|_| "?".into(), |n| format!("{n:.0}")),
            };
            let allocations = best.allocations as f64 / options.ios as f64;
            println!(
                "{:9} {:44} {:>6} {:>9.1} {:>7} {:>14} {:>12.5}",
                case.name, case.what, depth, best.ns, budget, instructions, allocations
            );
        }
    }
    Ok(())
}
