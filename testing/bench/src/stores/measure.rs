//! What is done to a store in a file, and what that took.

use super::made::{BLOCK, Made};
use crate::procfs;
use crate::reactor::{on_reactor, thread_cpu_ns, told};
use doorbell::perf::block::{Generator, Job, Pattern, Stop};
use doorbell_backends::aio::Aio;
use doorbell_backends::file::FileOptions;
use doorbell_blobstore::{Blobstore, LoadOptions, OpenOptions, Store};
use doorbell_block::BlockDevice;
use doorbell_reactor::{Local, Polling, oneshot};
use doorbell_sys::helper::Helpers;
use doorbell_wire_blob::{BlobId, MdPage};
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

/// Bytes of a request of the sequential load, and how many are under way.
const LOAD_BYTES: u32 = 128 << 10;
const LOAD_DEPTH: u32 = 32;
/// As a server's reactors are.
const SERVING: Polling = Polling::Adaptive { spin_ns: 20_000 };
/// Asleep whenever there is nothing to do: what it takes of its core is what the work takes.
const SLEEPING: Polling = Polling::Adaptive { spin_ns: 0 };

/// A pair.
pub(super) struct Pair {
    pub(super) device_s: f64,
    pub(super) recovery_s: f64,
}

/// What recoveries of a store took.
pub(super) struct Recovery {
    pub(super) runs: Vec<Pair>,
    /// Pages of metadata that were looked at.
    pub(super) pages: u64,
    /// Bytes that the kernel fetched from the disk for one.
    pub(super) bytes: u64,
    /// Time of the reactor's thread, the kernel's work in it included, that a recovery takes, and that the sequential load takes.
    pub(super) recovery_cpu_ns: f64,
    pub(super) device_cpu_ns: f64,
}

/// A file as a device, past the page cache where the file system can.
fn open(path: &Path) -> Result<Arc<dyn BlockDevice>, String> {
    let options = FileOptions { block_bytes: Some(BLOCK), ..FileOptions::new(path) };
    let helpers = Helpers::new(2).map_err(told)?;
    Ok(Arc::new(Aio::open(&options, &helpers).map_err(told)?))
}

/// Seconds that the device takes for the metadata of a store, as sequential reads.
async fn sequential(local: &Local, device: &Arc<dyn BlockDevice>, made: [u64; 2]) -> Result<f64, String> {
    let [from, bytes] = made;
    let shift = device.info().block_shift;
    let range = from >> shift..(from + bytes) >> shift;
    let stop = Stop::AfterIos(bytes / u64::from(LOAD_BYTES));
    let job = Job { depth: LOAD_DEPTH, range, stop, ..Job::new(Pattern::Read, LOAD_BYTES) };
    let (sender, ended) = oneshot();
    let device = device.clone();
    let started = local.with(move |cx| Generator::start(cx, &*device, &job, sender)).await;
    started.map_err(told)?;
    let outcome = ended.await.map_err(told)?;
    match outcome.errors.iter().sum::<u64>() {
        0 => Ok(outcome.elapsed_ns as f64 / 1e9),
        failed => Err(format!("{failed} sequential reads failed")),
    }
}

async fn load(local: &Local, device: &Arc<dyn BlockDevice>) -> Result<Blobstore, String> {
    let store = Blobstore::load(local, device.clone(), &LoadOptions::default()).await.map_err(told)?;
    match store.stopped().await {
        Some(why) => Err(why),
        None => Ok(store),
    }
}

/// Lets a store go as a crash would, and waits until its queue is closed.
async fn let_go(local: &Local, store: Blobstore) {
    drop(store);
    local.sleep_ns(2_000_000).await;
}

/// Pairs of a sequential read of the metadata region and a recovery.
pub(super) fn recovery(made: &Made, runs: u32) -> Result<Recovery, String> {
    let start = made.geometry.page_offset(MdPage(0)).unwrap_or_default();
    let region = [start, u64::from(made.geometry.md_len) * u64::from(made.geometry.md_page_bytes)];
    let path = made.path.clone();
    let found = on_reactor(SERVING, move |local| async move {
        let device = open(&path)?;
        let mut pairs = Vec::new();
        let mut bytes = 0;
        for _ in 0..runs {
            let device_s = sequential(&local, &device, region).await?;
            let (before, began) = (procfs::fetched_bytes()?, Instant::now());
            let store = load(&local, &device).await?;
            pairs.push(Pair { device_s, recovery_s: began.elapsed().as_secs_f64() });
            bytes = procfs::fetched_bytes()?.saturating_sub(before);
            let_go(&local, store).await;
        }
        Ok((pairs, bytes))
    })?;
    let path = made.path.clone();
    let (pages, cpu_ns) = on_reactor(SLEEPING, move |local| async move {
        let device = open(&path)?;
        let seen = Store::open(&local, device.clone(), &OpenOptions::default()).await.map_err(told)?;
        let pages = seen.opening().pages_read;
        drop(seen);
        let begun = thread_cpu_ns();
        sequential(&local, &device, region).await?;
        let read = thread_cpu_ns();
        let store = load(&local, &device).await?;
        let loaded = thread_cpu_ns();
        let_go(&local, store).await;
        Ok((pages, [loaded - read, read - begun]))
    })?;
    let [recovery_cpu_ns, device_cpu_ns] = cpu_ns.map(|ns| ns as f64);
    Ok(Recovery { runs: found.0, pages, bytes: found.1, recovery_cpu_ns, device_cpu_ns })
}

/// A load of a store that was closed.
pub(super) struct Clean {
    pub(super) load_ms: f64,
    pub(super) close_ms: f64,
    pub(super) bytes: u64,
}

fn ms(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

/// Loads of a store that was closed before each.
pub(super) fn clean(made: &Made, runs: u32) -> Result<Vec<Clean>, String> {
    let path = made.path.clone();
    on_reactor(SERVING, move |local| async move {
        let device = open(&path)?;
        load(&local, &device).await?.unload().await.map_err(told)?;
        let mut found = Vec::new();
        for _ in 0..runs {
            local.sleep_ns(2_000_000).await;
            let (before, began) = (procfs::fetched_bytes()?, Instant::now());
            let store = load(&local, &device).await?;
            let load_ms = ms(began);
            let bytes = procfs::fetched_bytes()?.saturating_sub(before);
            // So that there is something to write when it is closed.
            let id = BlobId::of_root(MdPage(0));
            store.set_xattr(id, b"bench", &[found.len() as u8]).await.map_err(told)?;
            let began = Instant::now();
            store.unload().await.map_err(told)?;
            found.push(Clean { load_ms, close_ms: ms(began), bytes });
        }
        Ok(found)
    })
}

/// Milliseconds that snapshots of the first volume took, and their deletions.
pub(super) fn snapshot(made: &Made, runs: u32) -> Result<Vec<[f64; 2]>, String> {
    let path = made.path.clone();
    on_reactor(SERVING, move |local| async move {
        let device = open(&path)?;
        let store = load(&local, &device).await?;
        let id = BlobId::of_root(MdPage(0));
        let mut found = Vec::new();
        for _ in 0..runs {
            let began = Instant::now();
            let snapshot = store.snapshot(id, Vec::new()).await.map_err(told)?;
            let made_ms = ms(began);
            let began = Instant::now();
            store.delete(snapshot).await.map_err(told)?;
            found.push([made_ms, ms(began)]);
        }
        let_go(&local, store).await;
        Ok(found)
    })
}

/// Loads the store in a file and closes it.
pub(super) fn close(path: &Path) -> Result<(), String> {
    let path = path.to_owned();
    on_reactor(SERVING, move |local| async move { load(&local, &open(&path)?).await?.unload().await.map_err(told) })
}

/// Loads the store in a file so often.
pub(super) fn loads(path: &Path, times: u64) -> Result<(), String> {
    let path = path.to_owned();
    on_reactor(SLEEPING, move |local| async move {
        let device = open(&path)?;
        for _ in 0..times {
            let store = load(&local, &device).await?;
            let_go(&local, store).await;
        }
        Ok(())
    })
}

/// Memory that became resident while a store was loaded.
pub(super) struct Memory {
    /// Once it was open.
    pub(super) open_kib: u64,
    /// The most that it ever was.
    pub(super) most_kib: u64,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.open_kib, self.most_kib)
    }
}

/// That of the store in a file, in this process.
pub(super) fn memory(path: &Path) -> Result<Memory, String> {
    let path = path.to_owned();
    on_reactor(SERVING, move |local| async move {
        let device = open(&path)?;
        let me = std::process::id();
        let [before, _] = procfs::resident_kib(me)?;
        let store = load(&local, &device).await?;
        let [now, most] = procfs::resident_kib(me)?;
        let_go(&local, store).await;
        Ok(Memory { open_kib: now.saturating_sub(before), most_kib: most.saturating_sub(before) })
    })
}

impl Memory {
    /// That of the store in a file, in a process of its own, in which nothing was before.
    pub(super) fn of_child(path: &Path) -> Result<Memory, String> {
        let me = std::env::current_exe().map_err(told)?;
        let output = Command::new(me).args(["stores", "--memory-of"]).arg(path).stdin(Stdio::null()).output().map_err(told)?;
        let said = String::from_utf8_lossy(&output.stdout);
        let figures: Vec<u64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match figures.as_slice() {
            [open_kib, most_kib] => Ok(Memory { open_kib: *open_kib, most_kib: *most_kib }),
            _ => Err(format!("the process that loads it said: {said}{}", String::from_utf8_lossy(&output.stderr))),
        }
    }
}
