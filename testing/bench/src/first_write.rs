//! What a first write to a cluster costs: writes of 4 KiB to a volume in memory, one to each cluster, through all of the store: the cluster is
//! taken, zeroed or copied, and named by metadata before the write is done.
//!
//! The memory device gives pages back to the kernel where it is unmapped or zeroed, and gets them again when they are touched; where a cluster is
//! copied the memory was written before.

use crate::bench::{self, Bench};
use crate::instructions;
use crate::reactor::{on_reactor, told};
use clap::Args;
use doorbell_backends::malloc::{Malloc, MallocOptions};
use doorbell_blobstore::{BlobOptions, Blobstore, InitOptions};
use doorbell_block::{BlockDevice, Status};
use doorbell_mem::Regions;
use doorbell_reactor::{AsyncQueue, Local, Polling, oneshot};
use doorbell_sys::alloc_count::allocations;
use doorbell_wire_blob::{BlobId, ClearMethod};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// This benchmark.
pub(crate) const BENCH: Bench =
    Bench::of::<Options>("first-write", "First writes to clusters of a volume in memory: unallocated, and copied from a snapshot");

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this case
    #[arg(long)]
    only: Option<String>,
    /// Only clusters of so many MiB
    #[arg(long)]
    cluster_mib: Option<u32>,
    /// Only this depth
    #[arg(long)]
    depth: Option<u32>,
    /// Run one case once for so many writes and print nothing (for counting instructions)
    #[arg(long)]
    exactly: Option<u64>,
    /// Leave out the counting of instructions
    #[arg(long)]
    no_instructions: bool,
    /// Runs of which the best is told
    #[arg(long, default_value_t = 7)]
    runs: u32,
}

/// Clusters of the volume, each of which is written once.
const CLUSTERS: u64 = 192;
const IO: u32 = 4096;
/// Bytes of the writes that fill a device or a volume.
const FILL: u32 = 64 << 10;

struct Case {
    name: &'static str,
    what: &'static str,
}

const CASES: [Case; 4] = [
    Case { name: "mapped", what: "the cluster is the volume's already" },
    Case { name: "blank", what: "unallocated, known to be zeroes" },
    Case { name: "zeroed", what: "unallocated, zeroed first" },
    Case { name: "copied", what: "the snapshot's, copied first" },
];

/// Fills a device with something.
async fn fill(local: &Local, device: Arc<dyn BlockDevice>) -> Result<(), String> {
    let (shift, blocks) = (device.info().block_shift, device.info().blocks);
    let queue = AsyncQueue::open(local, device, 1).await.map_err(told)?;
    let mut buffer = local.with(|cx| cx.buffer(FILL)).await.ok_or("no buffer")?;
    buffer.fill(0, FILL, 0x5a);
    for lba in (0..blocks).step_by((FILL >> shift) as usize) {
        let (status, back) = queue.write(lba, FILL >> shift, buffer).await;
        buffer = back;
        done(status)?;
    }
    Ok(())
}

fn done(status: Status) -> Result<(), String> {
    if status == Status::Ok { Ok(()) } else { Err(format!("a write ended with {status:?}")) }
}

/// A store in memory, and a volume of it that is as the case wants it.
async fn prepare(local: &Local, case: &str, cluster_bytes: u32) -> Result<(Blobstore, BlobId), String> {
    let copies = if case == "copied" { 2 } else { 1 };
    let bytes = (CLUSTERS * copies + 4) * u64::from(cluster_bytes);
    let memory = Malloc::new(&Regions::new(), &MallocOptions::new(12, bytes >> 12)).map_err(told)?;
    let device: Arc<dyn BlockDevice> = Arc::new(memory);
    let clear = if case == "zeroed" || case == "copied" { ClearMethod::None } else { ClearMethod::Default };
    if clear == ClearMethod::None {
        fill(local, device.clone()).await?;
    }
    let store = Blobstore::init(local, device, &InitOptions { cluster_bytes, clear, ..InitOptions::default() }).await.map_err(told)?;
    let id = store.create(&BlobOptions { clusters: CLUSTERS, thin: true, ..BlobOptions::default() }).await.map_err(told)?;
    if case == "copied" || case == "mapped" {
        fill(local, Arc::new(store.volume(id).await.map_err(told)?)).await?;
    }
    if case == "copied" {
        store.snapshot(id, Vec::new()).await.map_err(told)?;
    }
    Ok((store, id))
}

/// Writes one block to each of these clusters, one after the other.
async fn write_each(local: &Local, queue: &AsyncQueue, clusters: impl Iterator<Item = u64>, cluster_blocks: u64) -> Result<(), String> {
    let mut buffer = local.with(|cx| cx.buffer(IO)).await.ok_or("no buffer")?;
    buffer.fill(0, IO, 0xa5);
    for cluster in clusters {
        let (status, back) = queue.write(cluster * cluster_blocks, IO >> 12, buffer).await;
        buffer = back;
        done(status)?;
    }
    Ok(())
}

struct Measured {
    us: f64,
    allocations: f64,
}

/// One run on a reactor of its own: `ios` writes, `depth` of them under way.
fn once(case: &str, cluster_mib: u32, depth: u32, ios: u64) -> Result<Measured, String> {
    let (case, cluster_bytes) = (case.to_owned(), cluster_mib << 20);
    on_reactor(Polling::Always, move |local| async move {
        let (store, id) = prepare(&local, &case, cluster_bytes).await?;
        let volume: Arc<dyn BlockDevice> = Arc::new(store.volume(id).await.map_err(told)?);
        let queue = Rc::new(AsyncQueue::open(&local, volume, depth).await.map_err(told)?);
        let cluster_blocks = u64::from(cluster_bytes >> 12);
        let (before, began) = (allocations(), Instant::now());
        let mut ends = Vec::new();
        for lane in 0..depth {
            let (sender, end) = oneshot();
            let (there, queue) = (local.clone(), queue.clone());
            local.spawn(async move {
                let clusters = (u64::from(lane)..ios).step_by(depth as usize);
                sender.send(write_each(&there, &queue, clusters, cluster_blocks).await);
            });
            ends.push(end);
        }
        for end in ends {
            end.await.map_err(told)??;
        }
        let (elapsed, allocated) = (began.elapsed(), allocations() - before);
        drop(queue);
        drop(store);
        Ok(Measured { us: elapsed.as_secs_f64() * 1e6 / ios as f64, allocations: allocated as f64 / ios as f64 })
    })
}

/// Instructions of one write. What is prepared is the same however many of the clusters are written.
fn counted(case: &str, cluster_mib: u32, depth: u32) -> Result<f64, String> {
    let (mib, depth) = (cluster_mib.to_string(), depth.to_string());
    instructions::per_request_of(&["first-write", "--only", case, "--cluster-mib", &mib, "--depth", &depth], [64, CLUSTERS])
}

impl bench::Options for Options {
    fn run(&self) -> Result<(), String> {
        if let Some(ios) = self.exactly {
            let case = self.only.as_deref().unwrap_or("blank");
            return once(case, self.cluster_mib.unwrap_or(4), self.depth.unwrap_or(1), ios.min(CLUSTERS)).map(drop);
        }
        println!("a write of 4 KiB to each of {CLUSTERS} clusters of a volume in memory; best of {} runs", self.runs);
        println!("{:8} {:38} {:>4} {:>6} {:>10} {:>10} {:>12}", "case", "", "MiB", "depth", "us/write", "alloc", "instructions");
        for case in CASES.iter().filter(|case| self.only.as_deref().is_none_or(|only| only == case.name)) {
            for cluster_mib in [1, 4].into_iter().filter(|mib| self.cluster_mib.is_none_or(|only| only == *mib)) {
                for depth in [1, 32].into_iter().filter(|depth| self.depth.is_none_or(|only| only == *depth)) {
                    self.line(case, cluster_mib, depth)?;
                }
            }
        }
        Ok(())
    }
}

impl Options {
    fn line(&self, case: &Case, cluster_mib: u32, depth: u32) -> Result<(), String> {
        let mut best = once(case.name, cluster_mib, depth, CLUSTERS)?;
        for _ in 1..self.runs {
            let next = once(case.name, cluster_mib, depth, CLUSTERS)?;
            best.us = best.us.min(next.us);
            best.allocations = best.allocations.min(next.allocations);
        }
        let instructions = match self.no_instructions {
            true => String::new(),
            false => counted(case.name, cluster_mib, depth).map_or_else(|_| "?".into(), |n| format!("{n:.0}")),
        };
        let Case { name, what } = case;
        println!("{name:8} {what:38} {cluster_mib:>4} {depth:>6} {:>10.2} {:>10.1} {instructions:>12}", best.us, best.allocations);
        Ok(())
    }
}
