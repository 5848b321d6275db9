//! One history: a store is made, worked on, cut after every change, and at last cut for good and worked on again.

use crate::admin::change;
use crate::forgetful::Forgetful;
use crate::verify::{Found, verify};
use crate::worker::work;
use crate::world::{CLUSTER_BYTES, Shared, World};
use doorbell_blobstore::{Blobstore, InitOptions, LoadOptions};
use doorbell_block::BlockDevice;
use doorbell_sim::{DiskSpec, Entropy, Image, Machine, SimDisk};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

const HOUR: u64 = 3_600_000_000_000;
/// Blocks of 512 bytes: 4 MiB.
const BLOCKS: u64 = 8192;
/// Pages of metadata.
pub(crate) const PAGES: u32 = 64;
/// Changes to the store in each half of a history.
const CHANGES: u32 = 10;

/// What kind of disk, and which history.
pub(crate) struct Mode {
    pub(crate) seed: u64,
    pub(crate) disk: Box<dyn Fn(DiskSpec) -> DiskSpec>,
    /// Does the disk pass over the flush that comes before a root is written?
    pub(crate) forgetful: bool,
}

impl Mode {
    pub(crate) fn new(seed: u64, disk: impl Fn(DiskSpec) -> DiskSpec + 'static) -> Mode {
        Mode { seed, disk: Box::new(disk), forgetful: false }
    }

    /// Half of the disks do not zero what is unmapped.
    fn is_wild(&self) -> bool {
        self.seed % 2 == 1
    }

    pub(crate) fn spec(&self, salt: u64) -> DiskSpec {
        let mut spec = (self.disk)(DiskSpec::new(self.seed ^ salt, 9, BLOCKS));
        spec.delay_ns = 1_000..=120_000;
        if self.is_wild() {
            spec.info.read_after_unmap = doorbell_block::ReadAfterUnmap::Undefined;
        }
        spec
    }
}

/// Runs it; how often the power was cut.
///
/// # Panics
/// If something was lost, or came back, or leaked.
pub(crate) fn run(mode: Mode) -> u64 {
    let world: Shared = Rc::new(RefCell::new(World::new(mode.seed, mode.is_wild())));
    let mut cuts = 0;
    // What lay on the disk before must show nowhere.
    let image = Image::stale(9, BLOCKS, mode.seed);
    let left = half(&mode, image, &world, true, &mut cuts);
    restart(&mode, &left, &world);
    half(&mode, left, &world, false, &mut cuts);
    cuts
}

/// After a cut: what is there is what there was.
fn restart(mode: &Mode, image: &Image, world: &Shared) {
    let Found { contents, infos, .. } = verify(mode, image, &world.borrow(), 0);
    let mut world = world.borrow_mut();
    world.pending = None;
    world.stop = false;
    let names: Vec<String> = infos.keys().cloned().collect();
    let old = std::mem::take(&mut world.vols);
    for name in names {
        let (info, content) = (&infos[&name], &contents[&name]);
        let model = match old.get(&name) {
            Some(vol) => {
                let mut model = vol.model.clone();
                model.resize(info.clusters * crate::world::CLUSTER_BLOCKS);
                Some(model)
            }
            None => None,
        };
        let mut model = model.unwrap_or_else(|| content.model.clone());
        model.restart_from(|lba, out| content.read(lba, out));
        let first = world.number() << 24;
        let vol = crate::world::Vol {
            id: info.id,
            clusters: info.clusters,
            parent: match info.parent {
                doorbell_blobstore::Parent::Snapshot(id) => infos.iter().find(|(_, other)| other.id == id).map(|(name, _)| name.clone()),
                _ => None,
            },
            thin: info.flags.is_thin(),
            read_only: info.flags.is_read_only(),
            model: model.numbered_from(first),
            volume: None,
            paused: false,
            closing: false,
            under_way: 0,
        };
        let value = info.xattrs.iter().find(|(name, _)| name == b"v").map(|(_, value)| value.clone());
        match value {
            Some(value) => drop(world.values.insert(name.clone(), value)),
            None => drop(world.values.remove(&name)),
        }
        world.vols.insert(name, vol);
    }
}

/// Works on the store of a disk until the changes are made, with a cut after each change of the disk; what is left at the last of them.
fn half(mode: &Mode, image: Image, world: &Shared, fresh: bool, cuts: &mut u64) -> Image {
    let disk = SimDisk::from_image(mode.spec(u64::from(fresh) << 40), image);
    let device: Arc<dyn BlockDevice> = match mode.forgetful {
        true => Arc::new(Forgetful(disk.clone())),
        false => Arc::new(disk.clone()),
    };
    let mut machine = Machine::new(mode.seed ^ 0x6861_6c66, 2);
    let finished = Rc::new(RefCell::new(None));
    let ready = Rc::new(RefCell::new(false));
    {
        let (world, finished, ready, local, other) = (world.clone(), finished.clone(), ready.clone(), machine.local(0), machine.local(1));
        machine.local(0).spawn(async move {
            let store = match fresh {
                true => {
                    let options = InitOptions { cluster_bytes: CLUSTER_BYTES, md_pages: Some(PAGES), ..InitOptions::default() };
                    Blobstore::init(&local, device, &options).await.unwrap()
                }
                false => Blobstore::load(&local, device, &LoadOptions::default()).await.unwrap(),
            };
            let names: Vec<(String, _)> = world.borrow().vols.iter().map(|(name, vol)| (name.clone(), vol.id)).collect();
            for (name, id) in names {
                let volume = store.volume(id).await.unwrap();
                world.borrow_mut().vols.get_mut(&name).unwrap().volume = Some(volume);
            }
            *ready.borrow_mut() = true;
            for local in [&local, &local, &other, &other] {
                world.borrow_mut().workers += 1;
                local.spawn(work(local.clone(), world.clone()));
            }
            change(local.clone(), store.clone(), world.clone(), CHANGES).await;
            world.borrow_mut().stop = true;
            while world.borrow().workers > 0 {
                local.sleep_ns(100_000).await;
            }
            *finished.borrow_mut() = Some(store);
        });
    }
    let mut entropy = Entropy::new(mode.seed ^ 0x6375_7473 ^ u64::from(fresh));
    let mut last = (0, disk.would_hold(0));
    loop {
        let changes = last.0;
        let (end, counted) = (finished.clone(), disk.clone());
        machine
            .run_until(HOUR, move |_| end.borrow().is_some() || counted.counters().changes != changes)
            .unwrap_or_else(|stalled| panic!("{stalled}"));
        if let Some(fault) = world.borrow().fault.clone() {
            panic!("seed {}: {fault}", mode.seed);
        }
        if !*ready.borrow() {
            last.0 = disk.counters().changes;
            continue;
        }
        last = (disk.counters().changes, disk.would_hold(entropy.word()));
        *cuts += 1;
        verify(mode, &last.1, &world.borrow(), entropy.word());
        if finished.borrow().is_some() {
            break;
        }
    }
    // The power goes here for good; what the machine still has to do comes to nothing.
    disk.power_cut(0);
    world.borrow_mut().vols.values_mut().for_each(|vol| vol.volume = None);
    finished.take();
    let closed = machine.close(HOUR);
    assert!(closed.iter().all(|closed| closed.boxes_out == 0 && closed.buffers_out == 0), "seed {}: {closed:?}", mode.seed);
    last.1
}
