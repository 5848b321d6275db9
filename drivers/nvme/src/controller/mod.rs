//! A controller: brought up, kept up and let go by async code on one reactor.
//!
//! `attach` brings it up and starts its supervisor, one task that alone changes the controller: it makes queue pairs for reactors that want
//! one, handles events, resets, reconnects. Everyone else asks it ([`Shared::tell`]).

mod commands;
mod describe;
mod disable;
mod discover;
mod events;
mod inject;
mod maintain;
mod memory;
mod paths;
mod queues;
mod recover;
mod registers;
mod scan;
mod supervisor;
mod tcp;
mod transport;

pub use describe::Identity;
pub use maintain::Committed;
pub use paths::{PathError, PathId};
pub(crate) use queues::take_place;
pub use scan::{Change, Watcher};

use crate::address::TcpAddress;
use crate::admin::{Answer, Commands, Payload};
use crate::error::{CommandError, NvmeError};
use crate::link::Raw;
use crate::namespace::Namespace;
use crate::options::Options;
use crate::pair::Pair;
use crate::shared::{Event, Shared, State, Why};
use crate::time::within;
use doorbell_block::ReactorId;
use doorbell_mem::Regions;
use doorbell_pci::Function;
use doorbell_pci::queue::ControllerMemory;
use doorbell_reactor::{Local, oneshot};
use doorbell_sys::helper::Helpers;
use doorbell_wire_nvme::identify::Fna;
use doorbell_wire_nvme::{AdminOpcode, Fuse, NSID_ALL, Sqe};
use memory::Memory;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use tcp::Tcp;
pub use tcp::TcpOptions;
use transport::Transport;

/// What a driver needs of its process.
#[derive(Clone)]
pub struct Env {
    /// The reactor that it is controlled from.
    pub local: Local,
    /// Where memory comes from.
    pub regions: Regions,
    /// Threads for what blocks.
    pub helpers: Helpers,
}

impl Env {
    /// Has a helper thread do what may block.
    pub(crate) async fn blocking<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Option<R> {
        let (tx, rx) = oneshot();
        let mut job: Box<dyn FnOnce() + Send> = Box::new(move || tx.send(work()));
        while let Err(back) = self.helpers.call(job) {
            job = back;
            self.local.sleep_ns(1_000_000).await;
        }
        rx.await.ok()
    }
}

/// What is known of a controller since it was last identified.
#[derive(Clone)]
pub(crate) struct Facts {
    pub(crate) identity: Arc<Identity>,
    /// Bytes of one command at most.
    pub(crate) max_bytes: u32,
    pub(crate) shadows: Option<Arc<doorbell_pci::queue::ShadowPages>>,
}

pub(crate) struct Inner {
    pub(crate) name: String,
    pub(crate) env: Env,
    pub(crate) options: Options,
    pub(crate) shared: Arc<Shared>,
    pub(crate) transport: Transport,
    pub(crate) admin: Commands,
    pub(crate) admin_pair: Rc<RefCell<Pair>>,
    pub(crate) facts: RefCell<Option<Facts>>,
    pub(crate) namespaces: RefCell<BTreeMap<u32, Arc<Namespace>>>,
    pub(crate) watcher: RefCell<Option<Watcher>>,
    pub(crate) queues: RefCell<queues::Queues>,
    /// Where submission queues lie, when that is in the controller.
    pub(crate) controller_memory: RefCell<Option<Arc<ControllerMemory>>>,
    /// Rises with each bring-up: tasks of an earlier one end.
    pub(crate) epoch: Cell<u64>,
    pub(crate) waiting: RefCell<supervisor::Waiting>,
    /// Passthrough on this reactor's I/O queue, once it was asked for.
    pub(crate) io_commands: RefCell<Option<Rc<Commands>>>,
}

/// A controller. Clones are the same one; it stays on the reactor that attached it.
#[derive(Clone)]
pub struct Controller(Rc<Inner>);

const GIVEN_UP: &str = "it was given up while it was being brought up";

/// What `work` gives, unless `until` comes first.
async fn unless<T>(until: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    let (mut until, mut work) = (pin!(until), pin!(work));
    poll_fn(|c| match work.as_mut().poll(c) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => until.as_mut().poll(c).map(|()| None),
    })
    .await
}

impl Controller {
    /// Brings up the controller behind a PCI function. `name` is what it is called in logs.
    pub async fn attach(env: &Env, name: &str, function: Arc<dyn Function>, options: Options) -> Result<Controller, NvmeError> {
        Self::attach_until(env, name, function, options, pending()).await
    }

    /// As [`Controller::attach`], given up once `until` is ready: then the function is left as it is after a failure.
    pub async fn attach_until(
        env: &Env,
        name: &str,
        function: Arc<dyn Function>,
        options: Options,
        until: impl Future<Output = ()>,
    ) -> Result<Controller, NvmeError> {
        let transport = Transport::Memory(Memory::open(env, function, &options).await?);
        Self::bring_up(env, name, transport, options, until).await
    }

    /// Connects to a subsystem over TCP and brings its controller up. A discovery subsystem's has no namespaces.
    pub async fn connect(env: &Env, name: &str, address: TcpAddress, how: TcpOptions, options: Options) -> Result<Controller, NvmeError> {
        Self::connect_until(env, name, address, how, options, pending()).await
    }

    /// As [`Controller::connect`], given up once `until` is ready.
    pub async fn connect_until(
        env: &Env,
        name: &str,
        address: TcpAddress,
        how: TcpOptions,
        options: Options,
        until: impl Future<Output = ()>,
    ) -> Result<Controller, NvmeError> {
        Self::bring_up(env, name, Transport::Tcp(Tcp::new(address, how)), options, until).await
    }

    async fn bring_up(
        env: &Env,
        name: &str,
        transport: Transport,
        options: Options,
        until: impl Future<Output = ()>,
    ) -> Result<Controller, NvmeError> {
        let shared = Arc::new(Shared::new(name, options.policy));
        let (local, filed) = (env.local.clone(), shared.clone());
        let admin_pair = local
            .with(move |cx| {
                let id = filed.pair_id(cx.reactor());
                cx.local_source(filed.admin_device, |cx| Pair::new(filed.clone(), id, cx.now()))
            })
            .await
            .map_err(|e| NvmeError::unusable(name, format!("cannot make its admin queue: {e}")))?;
        let admin = Commands::open(&env.local, admin_pair.clone()).await;
        let controller = Controller(Rc::new(Inner {
            name: name.to_owned(),
            env: env.clone(),
            options,
            shared,
            transport,
            admin,
            admin_pair,
            facts: RefCell::default(),
            namespaces: RefCell::default(),
            watcher: RefCell::default(),
            queues: RefCell::default(),
            controller_memory: RefCell::default(),
            epoch: Cell::new(0),
            waiting: RefCell::default(),
            io_commands: RefCell::default(),
        }));
        if let Err(error) = unless(until, controller.0.first_time()).await.unwrap_or_else(|| Err(NvmeError::unusable(name, GIVEN_UP))) {
            // Also what waits in its lines ends: requests for events may.
            controller.0.end().await;
            return Err(error);
        }
        controller.0.shared.set_state(State::Live);
        let inner = controller.0.clone();
        env.local.spawn(async move { inner.supervise().await });
        Ok(controller)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How it stands.
    pub fn state(&self) -> State {
        self.0.shared.state()
    }

    /// What it says of itself.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.0.facts.borrow().as_ref().map(|facts| facts.identity.clone())
    }

    /// Its namespaces, by identifier.
    pub fn namespaces(&self) -> Vec<Arc<Namespace>> {
        self.0.namespaces.borrow().values().cloned().collect()
    }

    /// Bytes of the controller's own memory, and of those that submission queues lie in, where they do.
    pub fn controller_memory(&self) -> Option<(u64, u64)> {
        self.0.controller_memory.borrow().as_ref().map(|memory| (memory.bytes(), memory.used()))
    }

    /// The reactors that have a queue pair of it.
    pub fn reactors(&self) -> Vec<ReactorId> {
        self.0.pairs().into_iter().map(|id| id.reactor).collect()
    }

    /// Has `watcher` told of namespaces that come, go or change. Those that are there already are not told.
    pub fn watch(&self, watcher: Watcher) {
        *self.0.watcher.borrow_mut() = Some(watcher);
    }

    /// Sends an admin command and gives its answer, whatever its status is. Those that hand memory to the controller for longer than they
    /// last (queues, shadow doorbells, a host memory buffer), or that end nobody knows when (requests for events), are the driver's own.
    pub async fn admin(&self, sqe: Sqe, payload: Payload) -> Result<Answer, CommandError> {
        if is_reserved(&sqe) {
            return Err(CommandError::Reserved);
        }
        let changes =
            matches!(sqe.admin_opcode(), AdminOpcode::FORMAT_NVM | AdminOpcode::NAMESPACE_MANAGEMENT | AdminOpcode::NAMESPACE_ATTACHMENT);
        if sqe.admin_opcode() == AdminOpcode::FORMAT_NVM {
            self.0.leave_for_format(sqe.nsid());
        }
        let answer = self.0.admin.send(sqe, payload).await;
        // Also what failed may have changed something.
        if changes {
            self.0.shared.tell(Event::Rescan);
        }
        answer
    }

    /// Sends a command on the I/O queue of this reactor and gives its answer, whatever its status is.
    pub async fn io(&self, sqe: Sqe, payload: Payload) -> Result<Answer, CommandError> {
        if sqe.is_fabrics() || sqe.fuse() != Fuse::NORMAL {
            return Err(CommandError::Reserved);
        }
        self.0.passthrough(sqe, payload).await
    }

    /// Resets it. Commands in flight are sent again afterwards.
    pub async fn reset(&self) -> Result<(), NvmeError> {
        self.reset_for(Why::Asked).await
    }

    /// Resets the NVM subsystem that it is part of, with all controllers of it, whoever uses them; then this one is brought up again as after
    /// [`Controller::reset`]. Not every controller offers that.
    pub async fn reset_subsystem(&self) -> Result<(), NvmeError> {
        if !self.0.cap().nssrs() {
            return Err(NvmeError::unusable(self.name(), "it does not offer resets of its whole subsystem (CAP.NSSRS)"));
        }
        self.reset_for(Why::Subsystem).await
    }

    /// Lets it go: shut down by the specification and disabled, its function given up. Whatever is open on its namespaces is told that
    /// they have gone.
    pub async fn detach(self) {
        if self.state() == State::Gone {
            return;
        }
        let done = self.0.waiting.borrow_mut().detach();
        self.0.shared.tell(Event::Detach);
        let _ = done.await;
    }
}

/// May only the driver itself send this admin command?
fn is_reserved(sqe: &Sqe) -> bool {
    const HOST_MEMORY_BUFFER: u32 = 0x0d;
    match sqe.admin_opcode() {
        AdminOpcode::CREATE_SQ | AdminOpcode::DELETE_SQ | AdminOpcode::CREATE_CQ | AdminOpcode::DELETE_CQ => true,
        AdminOpcode::DOORBELL_BUFFER_CONFIG | AdminOpcode::ASYNC_EVENT_REQUEST | AdminOpcode::KEEP_ALIVE | AdminOpcode::FABRICS => true,
        // A controller data queue keeps its memory.
        AdminOpcode(0x45) => true,
        AdminOpcode::SET_FEATURES => sqe.cdw10.get() & 0xff == HOST_MEMORY_BUFFER,
        _ => sqe.fuse() != Fuse::NORMAL,
    }
}

impl Inner {
    /// The namespaces that a format is about leave; what becomes of them is found afterwards.
    fn leave_for_format(&self, nsid: u32) {
        let fna = self.facts.borrow().as_ref().map_or(0, |facts| facts.identity.raw.fna);
        let fna = Fna::from_bits(fna);
        let all = nsid == NSID_ALL || fna.format_all() || fna.erase_all();
        let about: Vec<u32> = self.namespaces.borrow().keys().copied().filter(|n| all || *n == nsid).collect();
        about.into_iter().for_each(|nsid| self.forget(nsid));
    }

    /// A command of bring-up or supervision: within the time for admin commands.
    pub(crate) async fn command(&self, what: &'static str, sqe: Sqe, payload: Payload) -> Result<Answer, NvmeError> {
        self.raw_command(what, Raw { sqe, pages: None }, payload).await
    }

    /// As `command`, also for commands that name rings.
    pub(crate) async fn raw_command(&self, what: &'static str, raw: Raw, payload: Payload) -> Result<Answer, NvmeError> {
        let ns = self.options.policy.admin_timeout_ns;
        let sent = self.admin.run(raw, payload);
        let answer = match ns {
            0 => Some(sent.await),
            ns => within(&self.env.local, ns, sent).await,
        };
        match answer {
            Some(answer) => answer.map_err(|e| NvmeError::command(&self.name, what, e)),
            None => Err(NvmeError::TimedOut { controller: self.name.clone(), what, seconds: ns / 1_000_000_000 }),
        }
    }
}

#[cfg(test)]
mod tests;
