//! The control plane: what an operator changes, and the snapshot that groups read. It locks; nothing on the path of an I/O comes here.

mod edit;
mod registry;
mod seat;
mod traffic;

pub use edit::TargetError;
pub use registry::{Association, ControllerInfo, QueueInfo};
pub(crate) use registry::{Join, JoinError, Registry, Where};
pub use seat::GroupStats;
pub(crate) use seat::{Incoming, Seat};
pub(crate) use traffic::Traffic;

use crate::listen::ListenPoint;
use crate::{Subsystem, TransportOptions, VfioUserOptions};
use doorbell_block::{Message, ReactorId};
use doorbell_mem::Regions;
use doorbell_reactor::{Gone, Local, Sender};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is served, at one moment. Immutable.
#[derive(Clone)]
pub struct Snapshot {
    /// Rises with every change.
    pub version: u64,
    /// Rises with every change that a discovery log shows.
    pub genctr: u64,
    /// The transport's options.
    pub options: Arc<TransportOptions>,
    /// The vfio-user transport's options, if there is one.
    pub vfio_user: Option<Arc<VfioUserOptions>>,
    /// The subsystems, the discovery subsystem first, in the order in which they were made.
    pub subsystems: Vec<Arc<Subsystem>>,
    /// Subsystems at most, the discovery subsystem among them.
    pub max_subsystems: u32,
    /// What hosts wait before they send a failed command again, in 100 ms; the first is what statuses ask for.
    pub retry_delays_100ms: [u16; 3],
    pub(crate) ending: Ending,
}

/// Subsystems at most unless told otherwise, as SPDK has it.
const MAX_SUBSYSTEMS: u32 = 1024;

/// Is the target on its way out?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    No,
    /// No new commands; what is in flight ends.
    Graceful,
    /// Now.
    Hard,
}

impl Snapshot {
    /// The subsystem of this name.
    pub fn find(&self, nqn: &str) -> Option<&Arc<Subsystem>> {
        self.subsystems.iter().find(|s| s.nqn == nqn)
    }

    pub(crate) fn by_id(&self, id: u64) -> Option<&Arc<Subsystem>> {
        self.subsystems.iter().find(|s| s.id == id)
    }
}

pub(crate) struct State {
    pub(crate) transport: Option<Arc<TransportOptions>>,
    pub(crate) vfio_user: Option<Arc<VfioUserOptions>>,
    pub(crate) subsystems: Vec<Arc<Subsystem>>,
    pub(crate) max_subsystems: u32,
    pub(crate) retry_delays_100ms: [u16; 3],
    pub(crate) listening: Vec<ListenPoint>,
    /// Somebody begins to listen, and these wait for their turn to.
    pub(crate) binding: Option<Vec<Sender<()>>>,
    genctr: u64,
    next_id: u64,
    ending: Ending,
}

struct Inner {
    state: Mutex<State>,
    current: Mutex<Arc<Snapshot>>,
    version: AtomicU64,
    seats: Mutex<Vec<Arc<Seat>>>,
    registry: Registry,
    connections: AtomicU32,
    next_seat: AtomicU32,
    regions: Regions,
}

/// An NVMe-oF target. Clones are the same target.
#[derive(Clone)]
pub struct Target(Arc<Inner>);

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Target {
    fn default() -> Self {
        Target::new()
    }
}

impl Target {
    /// One with a discovery subsystem, no transport and nobody served. Memory of clients is its own business.
    pub fn new() -> Target {
        Self::with_regions(Regions::new())
    }

    /// The same; memory of clients is shown to whatever devices these regions are shown to.
    pub fn with_regions(regions: Regions) -> Target {
        let state = State {
            transport: None,
            vfio_user: None,
            subsystems: vec![Arc::new(Subsystem::discovery(0))],
            max_subsystems: MAX_SUBSYSTEMS,
            retry_delays_100ms: [0; 3],
            listening: Vec::new(),
            binding: None,
            genctr: 1,
            next_id: 1,
            ending: Ending::No,
        };
        let snapshot = snapshot(&state, 1);
        Target(Arc::new(Inner {
            state: Mutex::new(state),
            current: Mutex::new(Arc::new(snapshot)),
            version: AtomicU64::new(1),
            seats: Mutex::default(),
            registry: Registry::default(),
            connections: AtomicU32::new(0),
            next_seat: AtomicU32::new(0),
            regions,
        }))
    }

    /// What is served now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        lock(&self.0.current).clone()
    }

    /// Has the snapshot changed since `version`? One load of a word that is written seldom.
    #[inline]
    pub(crate) fn is_newer(&self, version: u64) -> bool {
        self.0.version.load(Ordering::Acquire) != version
    }

    /// Where memory of clients is mapped.
    pub(crate) fn regions(&self) -> &Regions {
        &self.0.regions
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// Connections in all, on every reactor.
    pub fn connections(&self) -> u32 {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// Counts a connection in, unless there are too many.
    pub(crate) fn admit(&self, max: u32) -> bool {
        self.0.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < max).then_some(n + 1)).is_ok()
    }

    pub(crate) fn left(&self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Publishes what `state` says and wakes every group.
    pub(crate) fn publish(&self, state: &State) {
        let version = self.0.version.load(Ordering::Relaxed) + 1;
        *lock(&self.0.current) = Arc::new(snapshot(state, version));
        self.0.version.store(version, Ordering::Release);
        self.wake_groups();
    }

    fn wake_groups(&self) {
        for seat in lock(&self.0.seats).iter() {
            seat.wake();
        }
    }

    /// Makes a group on every reactor. To be called once, before the first listener.
    pub async fn start(&self, local: &Local) -> Result<(), Gone> {
        for n in 0..local.reactors() {
            let (target, port) = (self.clone(), local.port(ReactorId(n)));
            local.visit(ReactorId(n), move |cx| crate::tcp::Group::install(cx, &target, port)).await?;
        }
        Ok(())
    }

    pub(crate) fn take_seat(&self, seat: Arc<Seat>) {
        lock(&self.0.seats).push(seat);
    }

    pub(crate) fn leave_seat(&self, seat: &Arc<Seat>) {
        seat.close();
        lock(&self.0.seats).retain(|s| !Arc::ptr_eq(s, seat));
    }

    /// Gives a new connection to the reactor with the fewest, in turn among equals.
    pub(crate) fn assign(&self, incoming: Incoming) -> bool {
        let seats: Vec<_> = lock(&self.0.seats).iter().filter(|s| s.is_group()).cloned().collect();
        if seats.is_empty() {
            return false;
        }
        let first = self.0.next_seat.fetch_add(1, Ordering::Relaxed) as usize;
        let in_turn = (0..seats.len()).filter_map(|n| seats.get((first + n) % seats.len()));
        match in_turn.min_by_key(|s| s.load()) {
            Some(seat) => {
                seat.give(incoming);
                true
            }
            None => false,
        }
    }

    /// How each group stands; what a reactor serves by vfio-user counts among its group's.
    pub fn stats(&self) -> Vec<GroupStats> {
        let seats = lock(&self.0.seats);
        let mut all: Vec<GroupStats> = seats.iter().filter(|s| s.is_group()).map(|s| s.stats()).collect();
        for more in seats.iter().filter(|s| !s.is_group()).map(|s| s.stats()) {
            if let Some(g) = all.iter_mut().find(|g| g.reactor == more.reactor) {
                g.admin_queues += more.admin_queues;
                g.io_queues += more.io_queues;
                g.admin_queues_ever += more.admin_queues_ever;
                g.io_queues_ever += more.io_queues_ever;
                g.completed += more.completed;
            }
        }
        all
    }

    /// The reactor of the next endpoint, in turn.
    pub(crate) fn next_endpoint(&self, reactors: u32) -> u32 {
        self.0.next_seat.fetch_add(1, Ordering::Relaxed) % reactors.max(1)
    }

    /// The controllers of a subsystem.
    pub fn controllers(&self, nqn: &str) -> Vec<ControllerInfo> {
        self.0.registry.controllers(nqn)
    }

    /// The queues of a subsystem's controllers.
    pub fn queues(&self, nqn: &str) -> Vec<QueueInfo> {
        self.0.registry.queues(nqn)
    }

    /// Stops: takes no new connections and commands, lets what is in flight end within `deadline_ns`, then closes what is left.
    pub async fn stop(&self, local: &Local, deadline_ns: u64) {
        self.stop_listening();
        self.end(Ending::Graceful);
        let deadline = local.now().after(deadline_ns);
        while self.connections() > 0 && local.now() < deadline {
            local.sleep_ns(2_000_000).await;
        }
        self.end(Ending::Hard);
        // A group goes in its next turn; a reactor that does not turn would be the operator's second signal.
        let deadline = local.now().after(1_000_000_000);
        while !lock(&self.0.seats).is_empty() && local.now() < deadline {
            self.wake_groups();
            local.sleep_ns(1_000_000).await;
        }
    }

    /// Ends at once, for a reactor that is turned by hand.
    #[cfg(test)]
    pub(crate) fn stop_for_test(&self) {
        self.end(Ending::Hard);
    }

    fn end(&self, how: Ending) {
        let mut state = self.state();
        state.ending = how;
        self.publish(&state);
    }
}

impl State {
    pub(crate) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending != Ending::No
    }

    pub(crate) fn touch_discovery(&mut self) {
        self.genctr += 1;
    }
}

fn snapshot(state: &State, version: u64) -> Snapshot {
    Snapshot {
        version,
        genctr: state.genctr,
        options: state.transport.clone().unwrap_or_default(),
        vfio_user: state.vfio_user.clone(),
        subsystems: state.subsystems.clone(),
        max_subsystems: state.max_subsystems,
        retry_delays_100ms: state.retry_delays_100ms,
        ending: state.ending,
    }
}

/// Tells a token of a reactor to look at what it shares.
pub(crate) fn wake(cx: &mut doorbell_block::Cx, at: Where) {
    cx.send(at.reactor, Message::Wake(at.token));
}

#[cfg(test)]
mod tests;
