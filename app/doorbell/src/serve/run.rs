//! The life of a server on its reactors.

use super::banner::{Banner, Next};
use super::identity::Draft;
use super::plan::{self, Found, Plan, Step};
use super::signals::{Handlers, Stop};
use super::{ServeError, error, volumes};
use crate::cli::ServeArgs;
use crate::log::Log;
use crate::parts::{self, Parts, Process};
use crate::reactors::Reactors;
use doorbell_bdev::{Access, Registry};
use doorbell_block::{Op, OpenError, Status};
use doorbell_nvme::address::TransportId;
use doorbell_reactor::{AsyncQueue, Config, Load, Local, run_with_loads};
use doorbell_rpc::{LoadOptions, Signal, Socket, load_config};
use doorbell_sys::helper::Helpers;
use sd_notify::NotifyState;
use serde_json::Value;
use std::future::{Future, poll_fn};
use std::io::Write;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// Threads for what the kernel would make a reactor wait for.
const HELPERS: usize = 4;

/// What it begins with.
pub(crate) struct Start {
    pub(super) args: ServeArgs,
    pub(super) log: Log,
    pub(super) handlers: Handlers,
    pub(super) layout: Config,
    pub(super) plan: Option<Plan>,
    pub(super) socket: Option<Socket>,
}

/// Runs it to its end.
pub(crate) fn run(start: Start) -> Result<(), ServeError> {
    let config = start.layout.clone();
    let helpers = Helpers::new(HELPERS).map_err(|e| error(format!("threads cannot be started: {e}")))?;
    let regions = config.regions.clone();
    let (outcome, closed) = run_with_loads(&config, |local, loads| async move {
        let reactors = Reactors {
            local: local.clone(),
            loads: Arc::<[Arc<Load>]>::from(loads),
            cpus: start.layout.cpus.iter().map(|cpu| cpu.0).collect(),
            polling: start.layout.polling,
            registry: Registry::new(),
        };
        let process = Process {
            local: local.clone(),
            reactors,
            regions,
            pool: start.layout.pool.clone(),
            helpers,
            log: Rc::new(start.log.clone()),
            kill: Rc::new(raise),
            allowed: start.args.rpcs_allowed.clone(),
        };
        let parts = parts::assemble(process).map_err(error)?;
        life(&local, &parts, start).await
    })
    .map_err(error)?;
    outcome?;
    for one in closed.iter().filter(|one| one.boxes_out > 0 || one.buffers_out > 0) {
        tracing::error!(reactor = one.reactor.0, requests = one.boxes_out, buffers = one.buffers_out, "lost: a bug, please report it");
    }
    Ok(())
}

/// Sends this process the signal.
fn raise(signal: Signal) {
    use rustix::process::{Signal as Os, getpid, kill_process};
    let signal = match signal {
        Signal::Int => Os::INT,
        Signal::Term => Os::TERM,
        Signal::Quit => Os::QUIT,
        Signal::Hup => Os::HUP,
        Signal::Kill => Os::KILL,
        Signal::Usr1 => Os::USR1,
    };
    if let Err(error) = kill_process(getpid(), signal) {
        tracing::error!(%error, "the signal was not sent");
    }
}

/// The first of the two that ends.
async fn first<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> Result<A, B> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| {
        if let Poll::Ready(value) = a.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        b.as_mut().poll(cx).map(Err)
    })
    .await
}

async fn life(local: &Local, parts: &Parts, start: Start) -> Result<(), ServeError> {
    let stop = start.handlers.watch(local).await.map_err(|e| error(format!("signals cannot be waited for: {e}")))?;
    let socket = start.socket.map(Rc::new);
    let begin = Begin { args: &start.args, plan: start.plan, socket: socket.clone() };
    let begun = match first(begin.begin(local, parts), stop.asked()).await {
        Ok(begun) => begun,
        Err(()) => return end(local, parts, start.args.stop_deadline).await,
    };
    if begun.is_ok() {
        wait(&stop).await;
    }
    let ended = end(local, parts, start.args.stop_deadline).await;
    begun.and(ended)
}

async fn wait(stop: &Stop) {
    tell(&[NotifyState::Ready]);
    stop.asked().await;
    tracing::info!("stopping");
    tell(&[NotifyState::Stopping]);
}

/// Tells systemd, if it asked to be told.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd was not told");
    }
}

struct Begin<'a> {
    args: &'a ServeArgs,
    plan: Option<Plan>,
    socket: Option<Rc<Socket>>,
}

impl Begin<'_> {
    async fn begin(self, local: &Local, parts: &Parts) -> Result<(), ServeError> {
        if self.args.wait_for_rpc {
            self.answer(local, parts);
            tracing::info!("waiting for the RPC framework_start_init");
            if let Some(plan) = self.plan {
                let (parts, socket) = (parts.clone(), self.socket);
                local.spawn(async move {
                    if parts.control.started().await.is_ok()
                        && let Err(error) = carry_out(&parts, &plan, socket.as_deref()).await
                    {
                        tracing::error!("{error}");
                    }
                });
            }
            return Ok(());
        }
        match &self.args.json {
            Some(path) => load(parts, path, self.args.json_ignore_init_errors).await?,
            None => parts.control.start().await.map_err(error)?,
        }
        if let Some(plan) = &self.plan {
            carry_out(parts, plan, self.socket.as_deref()).await?;
        }
        self.answer(local, parts);
        Ok(())
    }

    /// Answers RPC from now on. Clients that came before wait in the socket's queue.
    fn answer(&self, local: &Local, parts: &Parts) {
        let Some(socket) = self.socket.clone() else { return };
        let (here, control) = (local.clone(), parts.control.clone());
        local.spawn(async move {
            let error = doorbell_rpc::serve(here, control, socket).await;
            tracing::error!(%error, "RPC is not answered");
        });
    }
}

async fn load(parts: &Parts, path: &std::path::Path, ignore_errors: bool) -> Result<(), ServeError> {
    let said = |what: &dyn std::fmt::Display| error(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| said(&e))?;
    let config = doorbell_rpc::read_json(&text).map_err(|e| said(&e))?;
    let report = load_config(&parts.control, &config, LoadOptions { ignore_errors }).await.map_err(|e| said(&e))?;
    for failed in &report.failed {
        tracing::warn!("{}: passed over: {failed}", path.display());
    }
    tracing::info!(config = %path.display(), calls = report.applied, "configured");
    Ok(())
}

pub(super) async fn call(parts: &Parts, step: Step) -> Result<Value, ServeError> {
    let Step { method, params } = step;
    let what = ["name", "filename", "traddr", "nqn"].iter().filter_map(|key| params.get(*key)?.as_str()).collect::<Vec<_>>().join(" ");
    match parts.control.call(method, Some(params.into())).await {
        Ok(answer) => Ok(answer),
        // The detail is for people, the message for programs.
        Err(refused) => Err(match refused.data {
            Some(detail) => error(detail),
            None => error(format!("{method} {what}: {refused}")),
        }),
    }
}

/// Attaches the controllers and gives their namespaces.
async fn attach(parts: &Parts, plan: &Plan) -> Result<Vec<Found>, ServeError> {
    let mut found = Vec::new();
    for (step, drive) in plan::drives(plan).into_iter().zip(&plan.drives) {
        let names = call(parts, step).await?;
        let names: Vec<_> = names.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if names.is_empty() && matches!(drive, TransportId::Tcp(tcp) if tcp.is_discovery()) {
            let why = "a discovery service, which has no namespaces: add subnqn:NQN of a subsystem that `doorbell nvme discover` lists";
            return Err(error(format!("{drive}: {why}")));
        }
        if names.is_empty() {
            return Err(error(format!("{drive}: it has no namespace that can be served; the log says why")));
        }
        let bdevs = names.iter().filter_map(|name| parts.registry.find(name));
        found.extend(bdevs.map(|bdev| Found { name: bdev.name().to_owned(), uuid: bdev.uuid(), nsid: None }));
    }
    Ok(found)
}

/// Makes what the flags ask for and says how to connect.
async fn carry_out(parts: &Parts, plan: &Plan, socket: Option<&Socket>) -> Result<(), ServeError> {
    for (name, store) in &plan.stores {
        call(parts, plan::file(name, &store.spec, &store.identity)).await?;
        volumes::open(parts, name, store).await?;
    }
    // What is served is not looked into: it is what its hosts make it.
    let held_back = parts.registry.hold_back();
    for step in plan::devices(plan) {
        call(parts, step).await?;
    }
    let mut found = attach(parts, plan).await?;
    found.extend(volumes::all(parts, plan));
    // The files are held now. Before any host can see them, who they are is made to last.
    plan.drafts.iter().try_for_each(Draft::keep).map_err(error)?;
    if parts.target.transport().is_none() {
        call(parts, plan::transport()).await?;
    }
    for step in plan::subsystem(plan, &found) {
        let listens = step.method == plan::ADD_LISTENER;
        let hint = |refused| if listens { error(format!("{refused}. --listen ADDRESS:PORT chooses another place")) } else { refused };
        call(parts, step).await.map_err(hint)?;
    }
    if !plan.stores.is_empty() {
        parts.volumes.serve(&parts.control, plan);
    }
    drop(held_back);
    let nqn = &plan.subsystem.nqn;
    let snapshot = parts.target.snapshot();
    let listens: Vec<_> = snapshot.find(nqn).into_iter().flat_map(|s| s.listeners.iter().map(|l| l.bound)).collect();
    let told = |name: &String| {
        let bdev = parts.registry.find(name)?;
        // Volumes are called by their UUIDs, and known by their aliases.
        let name = bdev.aliases().into_iter().next().filter(|_| bdev.module() == "lvol").unwrap_or_else(|| name.clone());
        Some((name, bdev.info().bytes()))
    };
    let devices: Vec<_> = plan.devices.iter().map(|(name, _)| name).chain(found.iter().map(|one| &one.name)).filter_map(told).collect();
    let stores = volumes::told(parts, &plan.stores).await?;
    let path = socket.map(|socket| socket.path().to_string_lossy().into_owned()).filter(|path| path != doorbell_rpc::DEFAULT_SOCKET);
    let hosts = if plan.any_host { &[][..] } else { &plan.hosts };
    let store = plan.stores.first().map(|(_, store)| store.spec.path.display().to_string());
    let next = match &store {
        Some(path) => Next::Volume { path },
        None if plan.is_default => Next::Store,
        None => Next::Nothing,
    };
    let text = Banner { devices: &devices, stores: &stores, nqn, listens: &listens, hosts, socket: path.as_deref(), next }.text();
    // Somebody who closed stdout does not want to read it.
    let _ = std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush());
    Ok(())
}

/// Ends what is in flight, stops the parts, and makes every completed write durable.
async fn end(local: &Local, parts: &Parts, deadline: f64) -> Result<(), ServeError> {
    let deadline_ns = (deadline * 1e9) as u64;
    let over = local.now().after(deadline_ns);
    parts.volumes.end();
    parts.target.stop(local, deadline_ns).await;
    // Parts get a second more than connections, so that a deadline of nothing still closes files.
    let over = over.after(1_000_000_000);
    if first(parts.control.stop(), local.sleep_until(over)).await.is_err() {
        return Err(error(format!("requests did not end within {deadline} s (--stop-deadline): devices are closed without a flush")));
    }
    match first(flush(local, &parts.registry), local.sleep_until(over.after(deadline_ns))).await {
        Ok(flushed) => flushed,
        Err(()) => Err(error("devices did not take a flush in time")),
    }
}

async fn flush(local: &Local, registry: &Registry) -> Result<(), ServeError> {
    let mut outcome = Ok(());
    for bdev in registry.all() {
        let handle = match registry.open(bdev.name(), Access::Read, Box::new(|_| {})) {
            Ok(handle) => handle,
            Err(_) => continue, // it is going, and with it what it held
        };
        let status = match AsyncQueue::open(local, handle, 1).await {
            Ok(queue) => queue.control(Op::Flush, 0, 0).await,
            // Its part has let it go, and saw to this before.
            Err(OpenError::Gone) => Status::Gone,
            Err(why) => {
                tracing::error!(device = bdev.name(), %why, "not flushed");
                Status::Internal
            }
        };
        match status {
            Status::Ok => tracing::debug!(device = bdev.name(), "flushed"),
            Status::Unsupported | Status::Gone => {}
            other => outcome = Err(error(format!("{} was not flushed: {other}", bdev.name()))),
        }
    }
    outcome
}
