//! A store of very many volumes: made, closed, loaded, listed; straight on the services, without a server.

use crate::bench::{self, Bench};
use crate::reactor::{on_reactor, told};
use clap::Args;
use doorbell_backends::aio::Aio;
use doorbell_backends::file::FileOptions;
use doorbell_block::BlockDevice;
use doorbell_control::Uuid;
use doorbell_lvol::{LvolStore, NewLvol, NewStore};
use doorbell_reactor::{Local, Polling};
use doorbell_sys::helper::Helpers;
use doorbell_wire_blob::ClearMethod;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// This benchmark.
pub(crate) const BENCH: Bench = Bench::of::<Options>("many-volumes", "A store of ten thousand volumes: made, loaded, listed");

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Where the store's file lies; may be repeated [default: the folder for temporary files, and /dev/shm]
    #[arg(long = "folder", value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// How many volumes
    #[arg(long, default_value_t = 10_000)]
    volumes: u32,
}

const STORE_BYTES: u64 = 1 << 40;
const VOLUME_BYTES: u64 = 10 << 30;

/// A file that goes away.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl bench::Options for Options {
    fn run(&self) -> Result<(), String> {
        let usual = [std::env::temp_dir(), PathBuf::from("/dev/shm")];
        let folders = if self.folders.is_empty() { usual.to_vec() } else { self.folders.clone() };
        println!("{} thin volumes of 10 GiB in a store of 1 TiB with clusters of 4 MiB", self.volumes);
        println!(
            "{:24} {:>10} {:>10} {:>10} {:>10} {:>14} {:>12}",
            "folder", "made s", "closed s", "loaded s", "listed ms", "recovered s", "one more ms"
        );
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            let file = File(folder.join(format!("doorbell-bench-{}-volumes", std::process::id())));
            let (path, volumes) = (file.0.clone(), self.volumes);
            let times = on_reactor(Polling::Adaptive { spin_ns: 20_000 }, move |local| async move { all(&local, &path, volumes).await })?;
            let [made, closed, loaded, listed, recovered, more] = times;
            let folder = folder.display().to_string();
            println!(
                "{folder:24} {made:>10.2} {closed:>10.3} {loaded:>10.3} {:>10.2} {recovered:>14.3} {:>12.2}",
                listed * 1e3,
                more * 1e3
            );
        }
        Ok(())
    }
}

fn uuid(n: u32) -> Uuid {
    let mut bytes = [0x42; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    Uuid(bytes)
}

fn volume(n: u32) -> NewLvol {
    NewLvol { name: format!("volume-{n}"), uuid: uuid(n), bytes: VOLUME_BYTES, thin: true, clear: ClearMethod::Default }
}

/// Lets a store's queue be closed.
async fn pause(local: &Local) {
    local.sleep_ns(2_000_000).await;
}

/// Seconds: made, closed, loaded, listed, recovered, and one more volume made.
async fn all(local: &Local, path: &Path, volumes: u32) -> Result<[f64; 6], String> {
    let options = FileOptions { create_bytes: Some(STORE_BYTES), block_bytes: Some(4096), ..FileOptions::new(path) };
    let helpers = Helpers::new(2).map_err(told)?;
    let device: Arc<dyn BlockDevice> = Arc::new(Aio::open(&options, &helpers).map_err(told)?);
    let new = NewStore {
        name: "many".to_owned(),
        uuid: uuid(u32::MAX),
        cluster_bytes: 4 << 20,
        pages_per_100_clusters: None,
        md_page_bytes: 0,
        clear: ClearMethod::None,
    };
    let store = LvolStore::make(local, device.clone(), &new).await.map_err(told)?;
    let began = Instant::now();
    for n in 0..volumes {
        store.create(&volume(n)).await.map_err(told)?;
    }
    let made = began.elapsed().as_secs_f64();
    let began = Instant::now();
    store.unload().await.map_err(told)?;
    let closed = began.elapsed().as_secs_f64();
    drop(store);
    pause(local).await;
    let began = Instant::now();
    let store = LvolStore::load(local, device.clone()).await.map_err(told)?;
    let loaded = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let listed = store.catalog().all();
    let infos = store.blobstore().all().await;
    let listing = began.elapsed().as_secs_f64();
    if listed.len() != volumes as usize || infos.len() != volumes as usize + 1 {
        return Err(format!("{} of {volumes} volumes were listed", listed.len()));
    }
    // Changed, and then let go as by a crash.
    let began = Instant::now();
    store.create(&volume(volumes)).await.map_err(told)?;
    let more = began.elapsed().as_secs_f64();
    drop(store);
    pause(local).await;
    let began = Instant::now();
    let store = LvolStore::load(local, device).await.map_err(told)?;
    let recovered = began.elapsed().as_secs_f64();
    drop(store);
    pause(local).await;
    Ok([made, closed, loaded, listing, recovered, more])
}
