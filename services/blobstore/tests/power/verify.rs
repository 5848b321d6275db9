//! What a cut left is loaded, perhaps cut again while it is, and held against what was acknowledged.

use crate::history::Mode;
use crate::world::{CLUSTER_BLOCKS, Pending, Vol, World};
use doorbell_blobstore::{BlobInfo, Blobstore, Finding, LoadOptions, OpenOptions, Store};
use doorbell_block::BlockDevice;
use doorbell_reactor::{AsyncQueue, Local};
use doorbell_sim::{DurabilityModel, Image, Machine, SimDisk};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

const HOUR: u64 = 3_600_000_000_000;

/// What a volume holds where it was ever written, and the model that allows it.
pub(crate) struct Content {
    pub(crate) model: DurabilityModel,
    runs: Vec<(u64, Vec<u8>)>,
}

impl Content {
    /// A block; zeroes where nothing was read.
    pub(crate) fn read(&self, lba: u64, out: &mut [u8]) {
        out.fill(0);
        for (first, bytes) in &self.runs {
            if (*first..first + bytes.len() as u64 / 512).contains(&lba) {
                let at = ((lba - first) * 512) as usize;
                out.copy_from_slice(&bytes[at..at + 512]);
            }
        }
    }
}

/// What was found.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) infos: BTreeMap<String, BlobInfo>,
    pub(crate) contents: BTreeMap<String, Content>,
}

/// What is expected of a volume: its sizes, and what it may hold.
struct Expected {
    clusters: Vec<u64>,
    model: DurabilityModel,
    /// May it not be there?
    optional: bool,
}

/// Loads what a cut left and holds it against the world. `chance` other than zero may cut the power again while it is loaded.
///
/// # Panics
/// If it is not as it must be.
pub(crate) fn verify(mode: &Mode, image: &Image, world: &World, chance: u64) -> Found {
    let mut image = image.clone();
    if chance % 3 == 1 {
        // Recovery is interrupted, and done again from what that left.
        let mut spec = mode.spec(chance);
        spec.cut_after = Some(1 + chance / 3 % 6);
        let disk = SimDisk::from_image(spec, image);
        let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
        let mut machine = Machine::new(chance, 1);
        let _ = machine.run(HOUR, |local| async move { Blobstore::load(&local, device, &LoadOptions::default()).await.map(drop) });
        image = disk.power_cut(chance);
        drop(machine.close(HOUR));
    }
    let disk = SimDisk::from_image(mode.spec(chance), image);
    let expected = expected(world);
    let wanted: BTreeMap<String, Vec<Range<u64>>> =
        expected.iter().map(|(name, expected)| (name.clone(), expected.model.touched())).collect();
    let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
    let mut machine = Machine::new(mode.seed ^ chance, 1);
    let loaded = machine.run(HOUR, move |local| read(local, device, wanted)).unwrap_or_else(|stalled| panic!("{stalled}"));
    drop(machine.close(HOUR));
    let (infos, mut runs, faults) = loaded.unwrap_or_else(|error| panic!("seed {}: what the cut left is not loaded: {error}", mode.seed));
    let context = || format!("seed {}, pending {:?}", mode.seed, world.pending);
    assert!(faults.is_empty(), "{}: {faults:?}", context());
    let mut found = Found { infos, contents: BTreeMap::new() };
    for name in found.infos.keys() {
        assert!(expected.contains_key(name), "{}: {name} is there, and should not be", context());
    }
    for (name, expected) in expected {
        let Some(info) = found.infos.get(&name) else {
            assert!(expected.optional, "{}: {name} is gone", context());
            continue;
        };
        assert!(
            expected.clusters.contains(&info.clusters),
            "{}: {name} has {} clusters, not {:?}",
            context(),
            info.clusters,
            expected.clusters
        );
        check_attribute(world, &name, info);
        let runs = runs.remove(&name).unwrap_or_default();
        for (lba, bytes) in &runs {
            expected.model.check_blocks(*lba, bytes).unwrap_or_else(|breach| panic!("{}: {name}: {breach}", context()));
        }
        found.contents.insert(name, Content { model: expected.model, runs });
    }
    found
}

fn check_attribute(world: &World, name: &str, info: &BlobInfo) {
    let found = info.xattrs.iter().find(|(name, _)| name == b"v").map(|(_, value)| value);
    let pending = match &world.pending {
        Some(Pending::Attribute { name: of, value }) if of == name => Some(value),
        _ => None,
    };
    assert!(
        found == world.values.get(name) || pending.is_some() && found == pending,
        "{name}: an attribute is neither what it was nor what it was to be"
    );
}

/// What there must be, and what there may be.
fn expected(world: &World) -> BTreeMap<String, Expected> {
    let of = |vol: &Vol| Expected { clusters: vec![vol.clusters], model: vol.model.clone(), optional: false };
    let mut all: BTreeMap<String, Expected> = world.vols.iter().map(|(name, vol)| (name.clone(), of(vol))).collect();
    match &world.pending {
        Some(Pending::Create { name, clusters }) => {
            let model = DurabilityModel::new(0, 9, clusters * CLUSTER_BLOCKS);
            all.insert(name.clone(), Expected { clusters: vec![*clusters], model, optional: true });
        }
        Some(Pending::Snapshot { of, name } | Pending::Clone { of, name }) => {
            let vol = &world.vols[of];
            let model = vol.model.clone();
            all.insert(name.clone(), Expected { clusters: vec![vol.clusters], model, optional: true });
        }
        Some(Pending::Delete { name }) => all.get_mut(name).unwrap().optional = true,
        Some(Pending::Resize { name, clusters }) => {
            let expected = all.get_mut(name).unwrap();
            expected.clusters.push(*clusters);
            // What it has more than before is zeroes.
            let most = world.vols[name].clusters.max(*clusters);
            expected.model.resize(most * CLUSTER_BLOCKS);
        }
        Some(Pending::Parent | Pending::Attribute { .. }) | None => {}
    }
    all
}

type Loaded = (BTreeMap<String, BlobInfo>, BTreeMap<String, Vec<(u64, Vec<u8>)>>, Vec<String>);

/// Loads the store, reads what is wanted, and checks that the books balance.
async fn read(
    local: Local,
    device: Arc<dyn BlockDevice>,
    wanted: BTreeMap<String, Vec<Range<u64>>>,
) -> Result<Loaded, doorbell_blobstore::Error> {
    let store = Blobstore::load(&local, device.clone(), &LoadOptions::default()).await?;
    let (mut infos, mut runs, mut faults) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    faults.extend(store.stopped().await);
    for id in store.blobs().await {
        let info = store.blob(id).await?;
        let name = info.xattrs.iter().find(|(name, _)| name == b"name").map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        let name = name.unwrap_or_default();
        let bare = |name: &str| wanted.get(name).cloned().unwrap_or_default();
        let mut ranges = bare(&name);
        // Where nothing was ever written there must be nothing of anybody's: a few blocks are looked at.
        let blocks = info.clusters * CLUSTER_BLOCKS;
        ranges.extend([0..blocks.min(8), blocks.saturating_sub(4)..blocks]);
        let queue = AsyncQueue::open(&local, Arc::new(store.volume(id).await?), 1).await?;
        let mut content = Vec::new();
        for range in ranges {
            let mut at = range.start;
            while at < range.end.min(blocks) {
                let end = (at / CLUSTER_BLOCKS * CLUSTER_BLOCKS + CLUSTER_BLOCKS).min(range.end).min(blocks);
                let bytes = ((end - at) * 512) as u32;
                let buffer = local.with(move |cx| cx.buffer(bytes)).await.unwrap();
                let (status, buffer) = queue.read(at, (end - at) as u32, buffer).await;
                let mut data = vec![0; bytes as usize];
                buffer.read_at(0, &mut data);
                if !status.is_ok() {
                    faults.push(format!("{name}: blocks {at} to {end} cannot be read: {status}"));
                }
                content.push((at, data));
                at = end;
            }
        }
        runs.insert(name.clone(), content);
        infos.insert(name, info);
    }
    let usage = store.usage().await;
    let allocated: u64 = infos.values().map(|info| info.allocated).sum();
    if u64::from(usage.clusters - usage.free_clusters) != allocated {
        faults.push(format!("{allocated} clusters are allocated, and {} are used", usage.clusters - usage.free_clusters));
    }
    while store.clone().unload().await == Err(doorbell_blobstore::Error::StoreBusy) {
        local.sleep_ns(10_000).await;
    }
    drop(store);
    // Closed, it is opened by its masks and nothing is wrong; all of it says the same.
    for recover in [false, true] {
        let store = Store::open(&local, device.clone(), &OpenOptions { recover, ..OpenOptions::default() }).await?;
        if store.opening().clean == recover {
            faults.push(format!("recover: {recover}, and it was opened the other way"));
        }
        let wrong: Vec<&Finding> = store.findings().iter().filter(|finding| !matches!(finding, Finding::Page(_))).collect();
        if !wrong.is_empty() || store.free_clusters() != usage.free_clusters {
            faults.push(format!("recover: {recover}: {wrong:?}, {} clusters free, not {}", store.free_clusters(), usage.free_clusters));
        }
    }
    Ok((infos, runs, faults))
}
