//! The devices under load: made for it, or files and block devices that are there.

use super::{PerfError, error};
use crate::cli::{BlockArgs, DeviceSpec, Engine};
use doorbell_backends::aio::Aio;
use doorbell_backends::file::FileOptions;
use doorbell_backends::malloc::{Malloc, MallocOptions};
use doorbell_backends::null::{Null, NullOptions};
use doorbell_backends::passthru::Passthru;
use doorbell_backends::uring::{Completions, Uring};
use doorbell_bdev::{Access, Handle, NewBdev, Registry};
use doorbell_block::BlockDevice;
use doorbell_control::Uuid;
use doorbell_mem::Regions;
use doorbell_sys::helper::Helpers;
use std::sync::Arc;

/// Threads for what the kernel would make a reactor wait for.
const HELPERS: usize = 4;

/// Of devices that are registered here.
const MODULE: &str = "perf";

/// What a device of no size has.
const NULL_BYTES: u64 = 1 << 40;
const MALLOC_BYTES: u64 = 256 << 20;

/// One device asked for.
pub(crate) enum Wanted {
    Null,
    Malloc,
    File(DeviceSpec),
    /// One that a configuration made.
    Named {
        name: String,
        access: Access,
        /// Is what it holds to be kept?
        careful: bool,
    },
}

/// Reads what was asked for, and refuses to write over what somebody else made.
pub(super) fn check(args: &BlockArgs) -> Result<Vec<Wanted>, PerfError> {
    let writes = args.pattern.writes() || args.verify;
    let careful = writes && !args.destroy_data;
    let access = if writes { Access::Write } else { Access::Read };
    let named = |text: &String| Wanted::Named { name: text.clone(), access, careful };
    match args.config {
        Some(_) => Ok(args.devices.iter().map(named).collect()),
        None => args.devices.iter().map(|text| wanted(text, careful)).collect(),
    }
}

fn wanted(text: &str, careful: bool) -> Result<Wanted, PerfError> {
    match text {
        "null" => return Ok(Wanted::Null),
        "malloc" => return Ok(Wanted::Malloc),
        _ => {}
    }
    let spec: DeviceSpec = text.parse().map_err(|e| error(format!("--device {text}: {e}")))?;
    let there = spec.path.symlink_metadata().is_ok();
    if !there && spec.size.is_none() {
        return Err(error(format!("--device {text}: there is no such file. Add ,size=1G to make it, or choose null or malloc")));
    }
    if there && careful {
        return Err(would_destroy(&spec.path.display().to_string()));
    }
    Ok(Wanted::File(spec))
}

fn would_destroy(what: &str) -> PerfError {
    let why = "this load writes to it, and what it holds would be lost. Add --destroy-data if that is meant, or choose --pattern randread";
    error(format!("{what}: {why}"))
}

/// Modules whose devices hold nothing yet when they are made.
const HOLD_NOTHING: [&str; 2] = ["null", "malloc"];

/// The devices, open.
pub(super) struct Made {
    pub(super) registry: Registry,
    pub(super) regions: Regions,
    block_shift: u8,
    bytes: Option<u64>,
    layers: u8,
    count: u32,
    helpers: Option<Helpers>,
    pub(super) handles: Vec<Arc<Handle>>,
}

impl Made {
    pub(super) fn new(args: &BlockArgs, regions: &Regions) -> Result<Made, PerfError> {
        if !args.block_size.is_power_of_two() || !(512..=65536).contains(&args.block_size) {
            return Err(error(format!("--block-size {}: a power of two from 512 to 65536", args.block_size)));
        }
        Ok(Made {
            registry: Registry::new(),
            regions: regions.clone(),
            block_shift: args.block_size.ilog2() as u8,
            bytes: args.size,
            layers: args.layers,
            count: 0,
            helpers: None,
            handles: Vec::new(),
        })
    }

    /// Makes a device, puts layers over it, registers the whole and opens it through the block device layer.
    pub(super) fn open(&mut self, wanted: Wanted) -> Result<(), PerfError> {
        let blocks = |bytes: u64| self.bytes.unwrap_or(bytes) >> self.block_shift;
        let mut device: Arc<dyn BlockDevice> = match wanted {
            Wanted::Null => Arc::new(Null::new(&NullOptions::new(self.block_shift, blocks(NULL_BYTES)))),
            Wanted::Malloc => {
                let options = MallocOptions::new(self.block_shift, blocks(MALLOC_BYTES));
                Arc::new(Malloc::new(&self.regions, &options).map_err(error)?)
            }
            Wanted::File(spec) => self.file(&spec)?,
            Wanted::Named { name, access, careful } => {
                let handle = self.named(&name, access, careful)?;
                if self.layers == 0 {
                    self.handles.push(handle);
                    return Ok(());
                }
                handle
            }
        };
        for _ in 0..self.layers {
            device = Arc::new(Passthru::new(device));
        }
        let name = format!("perf{}", self.count);
        self.count += 1;
        self.adopt(&name, device, Access::Write)
    }

    /// Registers a device and opens it through the block device layer.
    pub(super) fn adopt(&mut self, name: &str, device: Arc<dyn BlockDevice>, access: Access) -> Result<(), PerfError> {
        let spec = NewBdev {
            name: name.to_owned(),
            aliases: Vec::new(),
            uuid: Uuid::default(),
            product: "device under load",
            module: MODULE,
            device,
            driver_specific: Box::new(|| serde_json::Value::Null),
            created_by: None,
        };
        self.registry.register(spec).map_err(error)?;
        let handle = self.registry.open(name, access, Box::new(|_| {})).map_err(error)?;
        self.handles.push(handle);
        Ok(())
    }

    fn named(&self, name: &str, access: Access, careful: bool) -> Result<Arc<Handle>, PerfError> {
        let Some(bdev) = self.registry.find(name) else {
            let all: Vec<_> = self.registry.all().iter().map(|bdev| bdev.name().to_owned()).collect();
            return Err(error(format!("--device {name}: the configuration makes no such device, but {}", all.join(", "))));
        };
        if careful && !HOLD_NOTHING.contains(&bdev.module()) {
            return Err(would_destroy(name));
        }
        self.registry.open(name, access, Box::new(|_| {})).map_err(error)
    }

    /// Threads for what the kernel would make a reactor wait for.
    pub(super) fn helpers(&mut self) -> Result<&Helpers, PerfError> {
        match &mut self.helpers {
            Some(helpers) => Ok(helpers),
            none => Ok(none.insert(Helpers::new(HELPERS).map_err(error)?)),
        }
    }

    fn file(&mut self, spec: &DeviceSpec) -> Result<Arc<dyn BlockDevice>, PerfError> {
        let helpers = self.helpers()?;
        let options = FileOptions {
            block_bytes: spec.block_size,
            create_bytes: spec.size,
            read_only: spec.read_only,
            force: spec.force,
            ..FileOptions::new(&spec.path)
        };
        Ok(match spec.engine.unwrap_or(Engine::DEFAULT) {
            Engine::Aio => Arc::new(Aio::open(&options, helpers).map_err(error)?),
            Engine::Uring => Arc::new(Uring::open(&options, Completions::default(), helpers).map_err(error)?),
        })
    }

    /// Closes them; those of a configuration are its own to take away.
    pub(super) async fn close(mut self, unregister: bool) {
        self.handles.clear();
        for bdev in self.registry.all().iter().filter(|bdev| unregister || bdev.module() == MODULE) {
            let _ = self.registry.unregister(bdev.name()).await;
        }
    }
}
