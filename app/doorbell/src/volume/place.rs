//! Where a store is changed: by the server that has it, or here, by the same calls, where nobody has it.
//!
//! Invariant: a file that somebody has is never opened for writing; a store that was opened here is closed again, whatever came of it.

use super::{Failed, HELPERS, blocks_of, failed, on_a_reactor, shown, unopened};
use crate::cli::{ChangeArgs, DeviceSpec, PlaceArgs, Server, StoreArgs};
use crate::client::{Client, ClientError};
use crate::parts::only_block_devices;
use doorbell_backends::Host;
use doorbell_bdev::{HeldBack, Registry};
use doorbell_control::{Control, RpcError};
use doorbell_mem::Regions;
use doorbell_reactor::Local;
use doorbell_sys::file::{Access, Direct, Holders, OpenError, OpenOptions, Target};
use doorbell_sys::helper::Helpers;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the one device is called that a file becomes here.
const DEVICE: &str = "device";
/// Nothing is given up: what takes long, such as inflating a volume, is done when it is done.
const PATIENCE_S: f64 = 1e8;
/// Names that are told to somebody who named something else.
const NAMES_TOLD: usize = 12;

/// Who does it.
enum Doer {
    Server(Box<RefCell<Client>>),
    /// Nothing is examined while `held_back` is there.
    Here {
        control: Control,
        registry: Registry,
        held_back: Option<HeldBack>,
    },
}

/// Where calls go.
pub(super) struct Place {
    doer: Doer,
    pub(super) local: Local,
}

/// What is on the command line, and what was found there.
enum Found {
    /// A file that nobody has.
    File(DeviceSpec),
    /// A server.
    Server(Client),
}

fn said(error: RpcError) -> Failed {
    failed(error.data.unwrap_or_else(|| error.message.into_owned()))
}

fn connect(socket: Option<&Path>) -> Result<Client, ClientError> {
    Client::connect(&Server { socket: socket.map(Path::to_owned), timeout: PATIENCE_S })
}

/// The text of a field.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The number of a field.
pub(super) fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

impl Place {
    /// Calls a method.
    pub(super) async fn call(&self, method: &str, params: Value) -> Result<Value, Failed> {
        let params: Map<String, Value> = match params {
            Value::Object(params) => params.into_iter().filter(|(_, value)| !value.is_null()).collect(),
            _ => Map::new(),
        };
        match &self.doer {
            Doer::Server(client) => client.borrow_mut().call(method, Some(params)).map_err(|error| match error {
                // The detail is for people, the message for programs.
                ClientError::Refused(error) => {
                    failed(if error.get("data").is_some() { text(&error, "data") } else { text(&error, "message") })
                }
                other => failed(other),
            }),
            Doer::Here { control, .. } => control.call(method, Some(params.into())).await.map_err(said),
        }
    }

    /// The block devices, where they are this process's own.
    pub(super) fn registry(&self) -> Option<&Registry> {
        match &self.doer {
            Doer::Server(_) => None,
            Doer::Here { registry, .. } => Some(registry),
        }
    }

    async fn end(self) {
        if let Doer::Here { control, registry, held_back } = self.doer {
            // What was held back is looked at now, and found claimed by the store.
            drop(held_back);
            registry.wait_for_examine().await;
            control.stop().await;
        }
    }
}

/// A store, where it is changed.
pub(super) struct At {
    pub(super) place: Place,
    /// As `bdev_lvol_get_lvstores` describes it.
    pub(super) store: Value,
}

impl At {
    /// Calls a method.
    pub(super) async fn call(&self, method: &str, params: Value) -> Result<Value, Failed> {
        self.place.call(method, params).await
    }

    pub(super) fn name(&self) -> &str {
        text(&self.store, "name")
    }

    pub(super) fn uuid(&self) -> &str {
        text(&self.store, "uuid")
    }

    pub(super) fn cluster_bytes(&self) -> u64 {
        number(&self.store, "cluster_size").max(1)
    }

    /// Its volumes, as `bdev_lvol_get_lvols` describes them.
    pub(super) async fn volumes(&self) -> Result<Vec<Value>, Failed> {
        let all = self.call("bdev_lvol_get_lvols", json!({ "lvs_uuid": self.uuid() })).await?;
        Ok(match all {
            Value::Array(all) => all,
            _ => Vec::new(),
        })
    }

    /// The volume of a name, `STORENAME/NAME` or UUID.
    pub(super) async fn find(&self, wanted: &str) -> Result<Value, Failed> {
        let all = self.volumes().await?;
        self.among(&all, wanted).cloned()
    }

    /// The same among volumes that are known.
    pub(super) fn among<'a>(&self, all: &'a [Value], wanted: &str) -> Result<&'a Value, Failed> {
        let named = |one: &Value| text(one, "name") == wanted || text(one, "alias") == wanted;
        if let Some(found) = all.iter().find(|one| named(one) || text(one, "uuid").eq_ignore_ascii_case(wanted)) {
            return Ok(found);
        }
        let mut names: Vec<String> = all.iter().take(NAMES_TOLD).map(|one| shown(text(one, "name"))).collect();
        if all.len() > NAMES_TOLD {
            names.push(format!("{} more", all.len() - NAMES_TOLD));
        }
        let there = if names.is_empty() { "there are none".to_owned() } else { format!("there are {}", names.join(", ")) };
        Err(failed(format!("no volume of {} is called {wanted}: {there}", shown(self.name()))))
    }

    /// Bytes of a volume.
    pub(super) async fn bytes(&self, volume: &str) -> Result<u64, Failed> {
        let device = self.call("bdev_get_bdevs", json!({ "name": volume })).await?;
        Ok(device.get(0).map_or(0, |device| number(device, "num_blocks") * number(device, "block_size")))
    }
}

/// Has `work` done on the store that is meant.
pub(super) fn at<T: 'static>(args: &PlaceArgs, work: impl AsyncFnOnce(&At) -> Result<T, Failed> + 'static) -> Result<T, Failed> {
    let (found, wanted) = (find(args)?, args.store.clone());
    if let Found::File(spec) = &found {
        holds_store(spec)?;
    }
    on_a_reactor(async move |local, regions| {
        let place = match found {
            Found::File(spec) => Place::here(local, regions, &spec, true).await?,
            Found::Server(client) => Place { doer: Doer::Server(Box::new(RefCell::new(client))), local },
        };
        match place.store(&wanted).await {
            Ok(store) => {
                let at = At { place, store };
                let done = work(&at).await;
                at.place.end().await;
                done
            }
            Err(why) => {
                place.end().await;
                Err(why)
            }
        }
    })
}

/// Has `work` done with a device on which there is to be a store: its name, where it is, and whether it may hold something.
pub(super) fn on_device<T: 'static>(
    (device, how): (&str, &ChangeArgs),
    check: impl FnOnce(Option<&DeviceSpec>) -> Result<(), Failed>,
    work: impl AsyncFnOnce(&Place, &str) -> Result<T, Failed> + 'static,
) -> Result<T, Failed> {
    if let Some(socket) = &how.socket {
        check(None)?;
        let (client, device) = (connect(Some(socket)).map_err(failed)?, device.to_owned());
        return on_a_reactor(async move |local, _| {
            work(&Place { doer: Doer::Server(Box::new(RefCell::new(client))), local }, &device).await
        });
    }
    let spec: DeviceSpec = device.parse().map_err(|why| failed(format!("{device}: {why}")))?;
    check(Some(&spec))?;
    on_a_reactor(async move |local, regions| {
        let place = Place::here(local, regions, &spec, false).await?;
        let done = work(&place, DEVICE).await;
        place.end().await;
        done
    })
}

/// Somebody has the file, and nobody answers.
fn unanswered(path: &Path, who: &Holders) -> Failed {
    let ways = "If that is a server, say where it listens (--socket PATH); otherwise stop it first";
    failed(format!("{} is in use: {who}. {ways}", path.display()))
}

/// The file to read the store from, where no server is to be asked for it.
pub(super) fn to_read(args: &PlaceArgs) -> Result<Option<StoreArgs>, Failed> {
    let spec: DeviceSpec = match args.how.socket {
        Some(_) => return Ok(None),
        None => args.store.parse().map_err(|why| failed(format!("{}: {why}", args.store)))?,
    };
    let how = OpenOptions { access: Access::ReadOnly, direct: Direct::Off, create_bytes: None, force: spec.force };
    let is_elsewhere = match Target::open(&spec.path, &how) {
        Err(OpenError::Busy { .. } | OpenError::NotFound(_)) => connect(None).is_ok(),
        _ => false,
    };
    Ok((!is_elsewhere).then_some(StoreArgs { store: spec }))
}

/// Who is to change the store?
fn find(args: &PlaceArgs) -> Result<Found, Failed> {
    if let Some(socket) = &args.how.socket {
        return connect(Some(socket)).map(Found::Server).map_err(failed);
    }
    let spec: DeviceSpec = args.store.parse().map_err(|why| failed(format!("{}: {why}", args.store)))?;
    let path = &spec.path;
    if path.symlink_metadata().is_err() {
        return connect(None).map(Found::Server).map_err(|_| {
            let what = path.display();
            failed(format!(
                "{what}: there is no such file, and no server that could have a store of this name (--socket says where one listens)"
            ))
        });
    }
    if spec.size.is_some() || spec.engine.is_some() || spec.name.is_some() || spec.force || spec.read_only {
        return Err(failed(format!("{}: a store is opened as it is: after its path comes block-size=.. only", path.display())));
    }
    let how = OpenOptions { access: Access::ReadWrite, direct: Direct::Off, create_bytes: None, force: false };
    match Target::open(path, &how) {
        Ok(_) => Ok(Found::File(spec)),
        Err(OpenError::Busy { path, who }) => connect(None).map(Found::Server).map_err(|_| unanswered(&path, &who)),
        Err(why) => Err(unopened(why)),
    }
}

/// Says why a file is no store that can be changed, as reading it finds it.
fn holds_store(spec: &DeviceSpec) -> Result<(), Failed> {
    super::with(&StoreArgs { store: spec.clone() }, false, async |_, catalog| match catalog.uuid {
        Some(_) => Ok(()),
        None => Err(failed("it is a blobstore that is not one of logical volumes, and is only read here")),
    })
    .map_err(|why| failed(format!("{}: {why}", spec.path.display())))
}

impl Place {
    /// A control plane of this process alone, and the file as its one device. A store that is in it is loaded, if that is wanted.
    async fn here(local: Local, regions: Regions, spec: &DeviceSpec, loaded: bool) -> Result<Place, Failed> {
        let helpers = Helpers::new(HELPERS).map_err(|e| failed(format!("threads cannot be started: {e}")))?;
        let registry = Registry::new();
        let host = Host { registry: registry.clone(), regions, helpers, local: local.clone(), entropy: crate::serve::random_bytes };
        let control = only_block_devices(host).map_err(failed)?;
        control.start().await.map_err(failed)?;
        let held_back = (!loaded).then(|| registry.hold_back());
        let place = Place { doer: Doer::Here { control, registry, held_back }, local };
        let mut opened = place.open(spec).await;
        if loaded && opened.is_ok() {
            opened = place.call("bdev_wait_for_examine", Value::Null).await.map(drop);
        }
        match opened {
            Ok(()) => Ok(place),
            Err(why) => {
                place.end().await;
                Err(why)
            }
        }
    }

    async fn open(&self, spec: &DeviceSpec) -> Result<(), Failed> {
        let block_size = match (spec.block_size, spec.path.exists()) {
            (None, true) => blocks_of(&spec.path, false)?,
            (given, _) => given,
        };
        let file = spec.path.to_string_lossy();
        let params = json!({"name": DEVICE, "filename": file, "block_size": block_size, "size": spec.size, "fallocate": true});
        self.call("bdev_aio_create", params).await.map(drop)
    }

    /// The store of a name or UUID, or that a file holds.
    async fn store(&self, wanted: &str) -> Result<Value, Failed> {
        let all = self.call("bdev_lvol_get_lvstores", Value::Null).await?;
        let all = all.as_array().map_or(&[][..], Vec::as_slice);
        let base = match &self.doer {
            Doer::Here { .. } => Some(DEVICE.to_owned()),
            Doer::Server(_) => self.device_of(wanted).await?,
        };
        let is_it = |one: &&Value| match &base {
            Some(base) => text(one, "base_bdev") == base,
            None => text(one, "name") == wanted || text(one, "uuid").eq_ignore_ascii_case(wanted),
        };
        if let Some(found) = all.iter().find(is_it) {
            return Ok(found.clone());
        }
        let names: Vec<String> = all.iter().map(|one| shown(text(one, "name"))).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Err(failed(match (&self.doer, base) {
            (Doer::Here { .. }, _) => format!("{wanted}: the store in it cannot be loaded; `doorbell volume check` says more"),
            (Doer::Server(_), Some(base)) => {
                format!("the server has {wanted} as its device {base}, and no store on it; its stores: {there}")
            }
            (Doer::Server(_), None) => format!("the server has no store {wanted}; its stores: {there}"),
        }))
    }

    /// The server's device that is this file.
    async fn device_of(&self, wanted: &str) -> Result<Option<String>, Failed> {
        let path = wanted.split(',').next().unwrap_or(wanted);
        let Ok(file) = Path::new(path).metadata() else { return Ok(None) };
        let all = self.call("bdev_get_bdevs", Value::Null).await?;
        let is_it = |one: &&Value| {
            let of_module = one.get("driver_specific").and_then(|all| all.get("aio").or_else(|| all.get("uring")));
            let at = of_module.and_then(|of| Path::new(text(of, "filename")).metadata().ok());
            at.is_some_and(|at| match (at.rdev(), file.rdev()) {
                (0, 0) => (at.dev(), at.ino()) == (file.dev(), file.ino()),
                (a, b) => a == b,
            })
        };
        Ok(all.as_array().into_iter().flatten().find(is_it).map(|one| text(one, "name").to_owned()))
    }
}
