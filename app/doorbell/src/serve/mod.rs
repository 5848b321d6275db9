//! `doorbell serve`: one process from its flags to its end.
//!
//! Flags become calls of RPC methods ([`plan`]), so that nothing is served that a client could not list, save and take away again. The order
//! of a start: log, signals, RPC socket, reactors, parts, configuration, devices, listeners; of a stop: connections, parts, a flush of every
//! device, the socket.

mod banner;
mod files;
mod identity;
mod layout;
mod listen;
mod plan;
mod run;
mod signals;
mod volumes;

pub(crate) use identity::random_bytes;
pub(crate) use volumes::Volumes;

use crate::cli::{DeviceSpec, ServeArgs};
use crate::log::Log;
use doorbell_nvme::address::TransportId;
use doorbell_rpc::{LogControl, LogLevel, Socket};
use identity::{Beside, Draft, Identity};
use listen::Unnamed;
use plan::{Device, Plan, Store};
use std::path::PathBuf;
use std::sync::Arc;

/// Why it does not serve (or did not stop cleanly), in words for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ServeError(String);

fn error(what: impl std::fmt::Display) -> ServeError {
    ServeError(what.to_string())
}

/// The file of the embedded default.
const DEFAULT_FILE: &str = "doorbell.img";
const DEFAULT_BYTES: u64 = 1 << 30;
const DEFAULT_LISTEN: &str = "127.0.0.1:4420";

/// Serves until it is told to stop.
pub(crate) fn serve(args: ServeArgs) -> Result<(), ServeError> {
    let log = Log::install();
    let _flushed = log.flush_at_end();
    set_up(&log, &args)?;
    let handlers = signals::Handlers::install().map_err(|e| error(format!("signals cannot be handled: {e}")))?;
    let layout = layout::layout(&args).map_err(error)?;
    let wanted = wanted(&args)?;
    let socket = match args.no_rpc_server {
        true => None,
        false => Some(Socket::open(args.rpc_socket.as_deref()).map_err(error)?),
    };
    if let Some(why) = socket.as_ref().and_then(Socket::moved) {
        tracing::warn!("{why}");
    }
    if let Some(socket) = &socket {
        handlers.leftovers().add(socket.names());
        tracing::info!(socket = %socket.path().display(), "RPC");
    }
    let pid_file = args.pid_file.as_deref().map(files::PidFile::write).transpose().map_err(error)?;
    if let Some(file) = &pid_file {
        handlers.leftovers().add(file.names());
    }
    run::run(run::Start { args, log, handlers, layout, plan: wanted, socket })
}

fn set_up(log: &Log, args: &ServeArgs) -> Result<(), ServeError> {
    if args.syslog {
        log.open_syslog().map_err(|e| error(format!("the system log cannot be reached: {e}")))?;
    }
    if args.silence_noticelog {
        log.set_print_level(LogLevel::Warning);
        log.set_level(LogLevel::Warning);
    }
    for flag in &args.logflags {
        log.turn_on(flag).map_err(error)?;
    }
    for (flag, why) in args.idle.given() {
        tracing::info!("{flag} has nothing to do: {why}");
    }
    Ok(())
}

/// What the flags ask to be served; nothing, if they do not.
fn wanted(args: &ServeArgs) -> Result<Option<Plan>, ServeError> {
    let mut files: Vec<DeviceSpec> = args.files.clone();
    if args.is_default() {
        let path = PathBuf::from(DEFAULT_FILE);
        let size = files::is_blank(&path).then_some(DEFAULT_BYTES);
        files.push(DeviceSpec { path, size, read_only: false, force: false, engine: None, block_size: None, name: None });
    }
    if files.is_empty() && args.volume_stores.is_empty() && args.mallocs.is_empty() && args.drives.is_empty() {
        let flags = [("--listen", !args.listens.is_empty()), ("--allow-host", !args.allow_hosts.is_empty()), ("--nqn", args.nqn.is_some())];
        return match flags.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(error(format!(
                "{flag} needs something to serve: add --file, --volume-store, --malloc or --nvme, or leave out --empty, --json and --wait-for-rpc"
            ))),
            None => Ok(None),
        };
    }
    let texts = if args.listens.is_empty() { vec![DEFAULT_LISTEN.to_owned()] } else { args.listens.clone() };
    let mut listens = Vec::new();
    for text in &texts {
        listens.extend(listen::resolve(text).map_err(error)?);
    }
    listens.dedup();
    let named = args.allow_any_host || !args.allow_hosts.is_empty();
    let unnamed = if args.is_default() { Unnamed::ThisMachine } else { Unnamed::Nobody };
    listen::check(&listens, named, unnamed).map_err(error)?;
    let any_host = args.allow_any_host || !named;
    let Served { devices, stores, drafts, mut subsystem } = devices(files, &args.volume_stores, &args.mallocs, &args.drives)?;
    if let Some(nqn) = &args.nqn {
        subsystem.nqn.clone_from(nqn);
    }
    let devices = plan::name(devices);
    Ok(Some(Plan {
        stores: plan::name_stores(stores, &devices),
        devices,
        drives: args.drives.clone(),
        allow_physical: args.allow_physical,
        subsystem,
        listens,
        hosts: args.allow_hosts.clone(),
        any_host,
        is_default: args.is_default(),
        drafts,
    }))
}

/// What is served, and as whom.
struct Served {
    devices: Vec<Device>,
    stores: Vec<Store>,
    /// Identities that are new.
    drafts: Arc<[Draft]>,
    /// The subsystem's: that of the first file, so that it comes back with it.
    subsystem: Identity,
}

/// The devices and stores with their identities.
fn devices(files: Vec<DeviceSpec>, stores: &[DeviceSpec], mallocs: &[u64], drives: &[TransportId]) -> Result<Served, ServeError> {
    let (mut devices, mut drafts, mut found) = (Vec::new(), Vec::new(), Vec::new());
    let mut subsystem = None;
    for spec in files {
        let identity = known_as(&spec, &mut drafts)?;
        subsystem.get_or_insert_with(|| identity.clone());
        devices.push(Device::File(spec, identity));
    }
    for spec in stores {
        if spec.read_only {
            return Err(error(format!("--volume-store {}: a store is written: leave out ro", spec.path.display())));
        }
        let identity = known_as(spec, &mut drafts)?;
        subsystem.get_or_insert_with(|| identity.clone());
        found.push(Store { spec: spec.clone(), identity, is_blank: files::holds_nothing(&spec.path) });
    }
    devices.extend(mallocs.iter().map(|bytes| Device::Malloc(*bytes, Identity::random())));
    let subsystem = subsystem.unwrap_or_else(|| Identity::derived(&drives.first().map_or("malloc".to_owned(), TransportId::to_string)));
    Ok(Served { devices, stores: found, drafts: drafts.into(), subsystem })
}

/// Who a file or block device is. A new identity is kept once the file is there.
fn known_as(spec: &DeviceSpec, drafts: &mut Vec<Draft>) -> Result<Identity, ServeError> {
    if !files::keeps_identity(spec).map_err(error)? {
        return Ok(files::identity(&spec.path));
    }
    let (identity, beside) = Identity::beside(&spec.path).map_err(error)?;
    match beside {
        Beside::Kept => {}
        Beside::New(draft) => drafts.push(draft),
        Beside::Not(why) => tracing::warn!("the disk's identity is made from this machine's name and the path: {why}"),
    }
    Ok(identity)
}
