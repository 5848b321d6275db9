//! A registered device: its names, its openers, and the services that its queues share.

use super::claim::Claims;
use super::{ClaimKind, Event, Handle, lock};
use crate::shared::{Shared, bits};
use crate::stats::{IoStat, ResetMode};
use crate::{Limit, LimitKind};
use doorbell_block::{BlockDevice, Cx, DeviceInfo};
use doorbell_control::{ConfigCall, Uuid};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

/// What a back end says of itself in overviews.
pub type DriverSpecific = Box<dyn Fn() -> serde_json::Value + Send + Sync>;

/// A device to be registered.
pub struct NewBdev {
    /// Its name.
    pub name: String,
    /// Further names.
    pub aliases: Vec<String>,
    /// Its UUID: another name.
    pub uuid: Uuid,
    /// What kind of thing it is, for people.
    pub product: &'static str,
    /// Which back end brought it.
    pub module: &'static str,
    /// The device itself.
    pub device: Arc<dyn BlockDevice>,
    /// The back end's own part of overviews.
    pub driver_specific: DriverSpecific,
    /// The call that would make it again; none for what appears by itself.
    pub created_by: Option<ConfigCall>,
}

#[derive(PartialEq, Eq)]
pub(super) enum Life {
    Live,
    Leaving,
}

pub(super) struct Openers {
    pub(super) life: Life,
    pub(super) open: Vec<Weak<Handle>>,
    pub(super) count: usize,
    pub(super) closed: Vec<doorbell_reactor::Sender<()>>,
}

/// A registered device.
pub struct Bdev {
    spec: NewBdev,
    aliases: Mutex<Vec<String>>,
    pub(crate) shared: Shared,
    pub(super) openers: Mutex<Openers>,
    pub(super) claims: Claims,
}

impl Bdev {
    pub(super) fn new(spec: NewBdev) -> Arc<Bdev> {
        let aliases = Mutex::new(spec.aliases.clone());
        let openers = Mutex::new(Openers { life: Life::Live, open: Vec::new(), count: 0, closed: Vec::new() });
        Arc::new(Bdev { spec, aliases, shared: Shared::default(), openers, claims: Claims::default() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its other names, the UUID not among them.
    pub fn aliases(&self) -> Vec<String> {
        lock(&self.aliases).clone()
    }

    /// What they were before.
    pub(super) fn set_aliases(&self, aliases: Vec<String>) -> Vec<String> {
        std::mem::replace(&mut lock(&self.aliases), aliases)
    }

    /// Its UUID.
    pub fn uuid(&self) -> Uuid {
        self.spec.uuid
    }

    /// What kind of thing it is.
    pub fn product(&self) -> &'static str {
        self.spec.product
    }

    /// Which back end brought it.
    pub fn module(&self) -> &'static str {
        self.spec.module
    }

    /// The back end's own part of overviews.
    pub fn driver_specific(&self) -> serde_json::Value {
        (self.spec.driver_specific)()
    }

    /// The call that would make it again.
    pub fn created_by(&self) -> Option<&ConfigCall> {
        self.spec.created_by.as_ref()
    }

    /// The device beneath the services.
    pub fn device(&self) -> &Arc<dyn BlockDevice> {
        &self.spec.device
    }

    /// What openers see: with what is emulated.
    pub fn info(&self) -> DeviceInfo {
        crate::info::offered(&self.spec.device.info())
    }

    /// Who claims it, if anyone.
    pub fn claimed_by(&self) -> Option<(ClaimKind, String)> {
        self.claims.first()
    }

    /// How many have it open.
    pub fn open_count(&self) -> usize {
        lock(&self.openers).count
    }

    /// Counters of all queues, past and present.
    pub fn stat(&self) -> IoStat {
        self.shared.stat()
    }

    /// Counters of each open queue: its reactor, and what it counted.
    pub fn queue_stats(&self) -> Vec<(doorbell_block::ReactorId, IoStat)> {
        self.shared.entries().iter().map(|e| (e.reactor, e.stats.read())).collect()
    }

    /// Forgets counters.
    pub fn reset_stat(&self, mode: ResetMode) {
        self.shared.reset_stat(mode);
    }

    /// Sets a rate limit and tells the queues.
    pub fn set_limit(&self, cx: &mut Cx, limit: Limit) {
        self.shared.limits.set(limit);
        self.shared.set_bit(bits::LIMITS, self.shared.limits.any());
        self.shared.wake_all(cx);
    }

    /// A rate limit; zero for none.
    pub fn limit(&self, kind: LimitKind) -> u64 {
        self.shared.limits.get(kind)
    }

    /// How long a request may take before it is aborted; zero: for ever.
    pub fn set_timeout(&self, cx: &mut Cx, ns: u64) {
        self.shared.timeout_ns.store(ns, Ordering::Relaxed);
        self.shared.set_bit(bits::TIMEOUT, ns != 0);
        self.shared.wake_all(cx);
    }

    /// How long a request may take, in nanoseconds; zero: for ever.
    pub fn timeout_ns(&self) -> u64 {
        self.shared.timeout_ns.load(Ordering::Relaxed)
    }

    /// Begins or ends recording latencies.
    pub fn set_histogram(&self, cx: &mut Cx, on: bool) {
        self.shared.set_histograms(on);
        self.shared.wake_all(cx);
    }

    /// Latencies by bucket; `None` when they are not recorded.
    pub fn histogram(&self) -> Option<Vec<u64>> {
        self.shared.histogram()
    }

    pub(super) fn tell(&self, event: Event) {
        let open: Vec<_> = lock(&self.openers).open.iter().filter_map(Weak::upgrade).collect();
        open.iter().for_each(|h| h.tell(event));
    }

    /// A handle went.
    pub(super) fn closed(&self) {
        let waiting = {
            let mut o = lock(&self.openers);
            o.count -= 1;
            o.open.retain(|h| h.strong_count() > 0);
            if o.count == 0 { std::mem::take(&mut o.closed) } else { Vec::new() }
        };
        waiting.into_iter().for_each(|tx| tx.send(()));
    }
}
