//! `doorbell volume`: volume stores in files and devices, without a server or by one.
//!
//! What only looks opens the file for reading and locks it as a reader does, so that a server that has it is in the way, and other readers are
//! not. What changes a store calls the methods of `bdev_lvol_*`: of the server that has it, or of this process ([`place`]).
//!
//! Invariant: names and attributes come from the store, which may come from anywhere; those that are printed move no cursor.

mod catalog;
mod change;
mod check;
mod diff;
mod dump;
mod export;
mod import;
mod init;
mod list;
mod place;
mod progress;

use crate::cli::{DeviceSpec, StoreArgs, VolumeCommand};
use catalog::Catalog;
use doorbell_backends::aio::Aio;
use doorbell_backends::file::{FileError, FileOptions};
use doorbell_blobstore::{OpenOptions, Store};
use doorbell_block::BlockDevice;
use doorbell_mem::Regions;
use doorbell_reactor::{Config, Local, run};
use doorbell_sys::file::{Access, Direct, OpenError, Target};
use doorbell_sys::helper::Helpers;
use doorbell_wire_blob::{BsType, SuperBlock};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Threads for what the kernel would make the reactor wait for.
const HELPERS: usize = 4;

/// Why nothing came of it, in words for people.
#[derive(Debug)]
pub(crate) struct Failed {
    why: String,
    /// The exit status that says so.
    pub(crate) status: u8,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

fn failed(why: impl fmt::Display) -> Failed {
    Failed { why: why.to_string(), status: 1 }
}

/// Does it. False when the store is not sound.
pub(crate) fn volume(command: VolumeCommand) -> Result<bool, Failed> {
    match command {
        VolumeCommand::List(args) => list::list(&args).map(|()| true),
        // Whoever checks wants to tell a damaged store from none.
        VolumeCommand::Check(args) => check::check(&args).map_err(|failed| Failed { status: 2, ..failed }),
        VolumeCommand::Dump(args) => dump::dump(&args).map(|()| true),
        VolumeCommand::Diff(args) => diff::diff(&args).map(|()| true),
        VolumeCommand::Export(args) => export::export(args).map(|()| true),
        VolumeCommand::Init(args) => init::init(args).map(|()| true),
        VolumeCommand::Import(args) => import::import(args).map(|()| true),
        VolumeCommand::Create(args) => change::create(args).map(|()| true),
        VolumeCommand::Snapshot(args) => change::snapshot(args).map(|()| true),
        VolumeCommand::Clone(args) => change::clone(args).map(|()| true),
        VolumeCommand::Resize(args) => change::resize(args).map(|()| true),
        VolumeCommand::Inflate(args) => change::inflate(args).map(|()| true),
        VolumeCommand::Rename(args) => change::rename(args).map(|()| true),
        VolumeCommand::Delete(args) => change::delete(args).map(|()| true),
    }
}

/// Opens the store and has `work` done with it.
fn with<T: 'static>(
    at: &StoreArgs,
    recover: bool,
    work: impl AsyncFnOnce(&Local, &Catalog) -> Result<T, Failed> + 'static,
) -> Result<T, Failed> {
    let device = open(&at.store)?;
    let path = at.store.path.clone();
    let options = OpenOptions { expected: BsType::ANY, recover };
    on_a_reactor(async move |local, _| {
        let opened = Store::open(&local, device, &options).await;
        let store = opened.map_err(|why| failed(format!("{}: {why}", path.display())))?;
        work(&local, &Catalog::of(store)).await
    })
}

/// Runs it on a reactor of its own, with memory that devices are shown.
fn on_a_reactor<T: 'static>(work: impl AsyncFnOnce(Local, Regions) -> Result<T, Failed> + 'static) -> Result<T, Failed> {
    let config = Config::default();
    let regions = config.regions.clone();
    let (done, closed) = run(&config, |local| async move { work(local, regions).await }).map_err(failed)?;
    let lost: u32 = closed.iter().map(|c| c.boxes_out).sum();
    if lost > 0 {
        return Err(failed(format!("{lost} requests were lost: a bug, please report it")));
    }
    done
}

/// The file as a device, with the blocks that the store was made for.
fn open(spec: &DeviceSpec) -> Result<Arc<dyn BlockDevice>, Failed> {
    if spec.size.is_some() || spec.engine.is_some() || spec.name.is_some() {
        let what = "a store is read as it is: after its path come block-size=.. and force only";
        return Err(failed(format!("{}: {what}", spec.path.display())));
    }
    let block_bytes = match spec.block_size {
        Some(bytes) => Some(bytes),
        None => blocks_of(&spec.path, spec.force)?,
    };
    // Through the page cache: blocks may then be smaller than what the file system transfers.
    let options = FileOptions { block_bytes, read_only: true, direct: Direct::Off, force: spec.force, ..FileOptions::new(&spec.path) };
    let helpers = Helpers::new(HELPERS).map_err(|e| failed(format!("threads cannot be started: {e}")))?;
    match Aio::open(&options, &helpers) {
        Ok(device) => Ok(Arc::new(device)),
        Err(FileError::Open(why)) => Err(unopened(why)),
        Err(why) => Err(failed(why)),
    }
}

/// The blocks that the store in a file was made for. Where there is no store, opening that says so.
fn blocks_of(path: &Path, force: bool) -> Result<Option<u32>, Failed> {
    let how = doorbell_sys::file::OpenOptions { access: Access::ReadOnly, direct: Direct::Off, create_bytes: None, force };
    let target = Target::open(path, &how).map_err(unopened)?;
    let mut page = [0; doorbell_wire_blob::PAGE_LEN];
    target.read_at(0, &mut page).map_err(|why| failed(format!("{} cannot be read: {why}", path.display())))?;
    let least = target.geometry().logical_block_bytes;
    let wanted = |found: SuperBlock| if found.io_unit_bytes == 0 { doorbell_wire_blob::PAGE_LEN as u32 } else { found.io_unit_bytes };
    let blocks = SuperBlock::decode_torn(&page).ok().map(wanted);
    // Of what cannot be a block there is nothing to be said here either.
    Ok(blocks.filter(|bytes| bytes.is_power_of_two() && (least.max(512)..=1 << 20).contains(bytes)))
}

/// As those say it who open files to serve them, but with what helps a reader.
fn unopened(why: OpenError) -> Failed {
    match why {
        OpenError::NotFound(path) => failed(format!("{}: there is no such file", path.display())),
        OpenError::Busy { path, who } => {
            let path = path.display();
            let ways = format!(
                "stop that first, or ask it (`doorbell volume list --socket PATH`); `{path},force` reads what may change meanwhile"
            );
            failed(format!("{path} is in use: {who}. What it holds cannot be relied upon: {ways}"))
        }
        OpenError::NoLock { path, error } => {
            let path = path.display();
            failed(format!("{path} cannot be locked ({error}): make sure that nobody writes to it, and say {path},force"))
        }
        why => failed(why),
    }
}

/// Text from the store as it may be printed.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
