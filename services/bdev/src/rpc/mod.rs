//! The layer's RPC methods, and the part that brings them.
//!
//! Shapes, units and texts are those of SPDK's interface. Latencies are told in ticks, and a tick here is a nanosecond.

pub(crate) mod describe;
mod stat;

use crate::{Bdev, Change, Examiner, Limit, LimitKind, Registry, ResetMode};
use doorbell_block::Cx;
use doorbell_control::{ConfigCall, LocalFuture, Methods, NoParams, Notifications, Part, RpcError, When, choices, params};
use doorbell_reactor::Local;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

choices! {
    /// What a reset of counters forgets.
    pub enum Reset {
        /// Everything.
        All = "all",
        /// Least and most.
        Extremes = "maxmin",
        /// Errors.
        Errors = "error",
        /// Nothing.
        None = "none",
    }
}

impl Reset {
    fn mode(self) -> Option<ResetMode> {
        match self {
            Reset::All => Some(ResetMode::All),
            Reset::Extremes => Some(ResetMode::Extremes),
            Reset::Errors => Some(ResetMode::Errors),
            Reset::None => None,
        }
    }
}

params! {
    /// Of `bdev_get_bdevs`.
    struct GetBdevs {
        /// One device: its name, an alias or its UUID.
        name: Option<String>,
        /// Milliseconds to wait for it to appear.
        timeout: u64 = 0,
    }

    /// Of methods that name a device.
    struct Named {
        /// The device: its name, an alias or its UUID.
        name: String,
    }

    /// Of `bdev_get_iostat`.
    struct GetIostat {
        /// The devices; all when not given.
        names: Option<Vec<String>>,
        /// Counters of each open queue by itself.
        per_channel: bool = false,
        /// What to forget once it is told.
        reset_mode: Reset = Reset::None,
    }

    /// Of `bdev_reset_iostat`.
    struct ResetIostat {
        /// The device; all when not given.
        name: Option<String>,
        /// What to forget.
        mode: Reset = Reset::All,
    }

    /// Of `bdev_set_qos_limit`. What is not given stays as it is.
    struct QosLimit {
        /// The device.
        name: String,
        /// Reads and writes a second; 0 is no limit. Any number is kept as it is.
        rw_ios_per_sec: Option<u64>,
        /// MiB read and written a second.
        rw_mbytes_per_sec: Option<u64>,
        /// MiB read a second.
        r_mbytes_per_sec: Option<u64>,
        /// MiB written a second.
        w_mbytes_per_sec: Option<u64>,
    }

    /// Of `doorbell_bdev_set_timeout`.
    struct SetTimeout {
        /// The device.
        name: String,
        /// Microseconds after which a request is aborted; 0: never. Holds for requests that are under way, too.
        timeout_us: u64,
    }

    /// Of `bdev_set_options`.
    struct Options {
        /// Requests in the pool. Kept; each reactor's pool is sized at start.
        bdev_io_pool_size: u32 = 65535,
        /// Requests that a thread keeps. Kept; every request here belongs to one reactor's pool.
        bdev_io_cache_size: u32 = 256,
        /// Whether each new device is shown to the modules that look for partitions and volumes.
        bdev_auto_examine: bool = true,
        /// Small buffers that a thread keeps. Kept.
        iobuf_small_cache_size: u32 = 128,
        /// Large buffers that a thread keeps. Kept.
        iobuf_large_cache_size: u32 = 16,
    }

    /// Of `bdev_enable_histogram`.
    struct EnableHistogram {
        /// The device.
        name: String,
        /// On or off.
        enable: bool,
        /// The I/O type to record. Every type is recorded together here, so it must not be given.
        opc: Option<String>,
        /// Buckets in a power of two, as a power of two; 7 is what there is.
        granularity: Option<u8>,
        /// The smallest latency to tell apart, in nanoseconds. All are.
        min_nsec: Option<u64>,
        /// The largest. All are.
        max_nsec: Option<u64>,
    }
}

/// The block device layer as a part of the process.
pub struct BdevPart {
    registry: Registry,
    local: Local,
    notifications: Notifications,
    examiners: Vec<Rc<dyn Examiner>>,
    modules: Vec<Rc<dyn Module>>,
    options: RefCell<Options>,
}

/// A back end that has more to it than its devices.
pub trait Module {
    /// Calls of a saved configuration besides those that made single devices.
    fn save(&self) -> Vec<ConfigCall>;
    /// Lets go of what it holds, at the end of the process: what it was given is made durable first.
    fn stop(self: Rc<Self>) -> LocalFuture<()>;
}

const MIB: u64 = 1 << 20;
const NS_PER_US: u64 = 1000;

impl BdevPart {
    /// Of these devices. `examiners` are shown each new one; `modules` are saved before the devices, and stopped.
    pub fn new(
        registry: Registry,
        local: Local,
        notifications: Notifications,
        examiners: Vec<Rc<dyn Examiner>>,
        modules: Vec<Rc<dyn Module>>,
    ) -> Rc<BdevPart> {
        let options = Options {
            bdev_io_pool_size: 65535,
            bdev_io_cache_size: 256,
            bdev_auto_examine: true,
            iobuf_small_cache_size: 128,
            iobuf_large_cache_size: 16,
        };
        for kind in ["bdev_register", "bdev_unregister", "bdev_resize"] {
            notifications.register(kind);
        }
        Rc::new(BdevPart { registry, local, notifications, examiners, modules, options: RefCell::new(options) })
    }

    fn find(&self, name: &str) -> Result<Arc<Bdev>, RpcError> {
        self.registry.find(name).ok_or_else(RpcError::no_device)
    }

    async fn get_bdevs(self: Rc<Self>, p: GetBdevs) -> Result<Vec<Value>, RpcError> {
        let Some(name) = p.name else { return Ok(self.registry.all().iter().map(|b| describe::bdev(b)).collect()) };
        let until = self.local.now().after(p.timeout.saturating_mul(1_000_000));
        loop {
            match self.registry.find(&name) {
                Some(b) => return Ok(vec![describe::bdev(&b)]),
                None if p.timeout == 0 || self.local.now() >= until => return Err(RpcError::no_device()),
                None => self.local.sleep_ns(10_000_000).await,
            }
        }
    }

    async fn get_iostat(self: Rc<Self>, p: GetIostat) -> Result<Value, RpcError> {
        if p.per_channel && p.names.as_ref().is_none_or(|n| n.len() != 1) {
            return Err(RpcError::invalid_argument().because("per_channel needs exactly one name"));
        }
        let bdevs = match &p.names {
            Some(names) => names.iter().map(|n| self.find(n)).collect::<Result<Vec<_>, _>>()?,
            None => self.registry.all(),
        };
        let told: Vec<Value> = bdevs.iter().flat_map(|b| stat::told(b, p.per_channel)).collect();
        if let Some(mode) = p.reset_mode.mode() {
            bdevs.iter().for_each(|b| b.reset_stat(mode));
        }
        let list = if p.per_channel { "channels" } else { "bdevs" };
        Ok(json!({ "tick_rate": 1_000_000_000u64, "ticks": self.local.now().0, list: told }))
    }

    async fn reset_iostat(self: Rc<Self>, p: ResetIostat) -> Result<bool, RpcError> {
        let bdevs = match &p.name {
            Some(name) => vec![self.find(name)?],
            None => self.registry.all(),
        };
        if let Some(mode) = p.mode.mode() {
            bdevs.iter().for_each(|b| b.reset_stat(mode));
        }
        Ok(true)
    }

    async fn set_qos_limit(self: Rc<Self>, p: QosLimit) -> Result<bool, RpcError> {
        let bdev = self.find(&p.name)?;
        let mib = |n: Option<u64>| match n.map(|n| n.checked_mul(MIB)) {
            Some(None) => Err(RpcError::invalid_argument().because("a limit in MiB is too large")),
            Some(some) => Ok(some),
            None => Ok(None),
        };
        let wanted = [
            (LimitKind::ReadWriteIos, p.rw_ios_per_sec),
            (LimitKind::ReadWriteBytes, mib(p.rw_mbytes_per_sec)?),
            (LimitKind::ReadBytes, mib(p.r_mbytes_per_sec)?),
            (LimitKind::WriteBytes, mib(p.w_mbytes_per_sec)?),
        ];
        if wanted.iter().all(|(_, n)| n.is_none()) {
            return Err(RpcError::invalid_argument().because("no rate limits specified"));
        }
        let set = move |cx: &mut Cx| {
            for (kind, per_second) in wanted {
                if let Some(per_second) = per_second {
                    bdev.set_limit(cx, Limit { kind, per_second });
                }
            }
        };
        self.local.with(set).await;
        Ok(true)
    }

    async fn set_timeout(self: Rc<Self>, p: SetTimeout) -> Result<bool, RpcError> {
        let bdev = self.find(&p.name)?;
        let ns = p.timeout_us.checked_mul(NS_PER_US).ok_or_else(|| RpcError::invalid_argument().because("timeout_us is too large"))?;
        self.local.with(move |cx| bdev.set_timeout(cx, ns)).await;
        Ok(true)
    }

    async fn enable_histogram(self: Rc<Self>, p: EnableHistogram) -> Result<bool, RpcError> {
        if p.opc.is_some() || p.granularity.is_some_and(|g| u32::from(g) != crate::HISTOGRAM_SHIFT) {
            return Err(RpcError::not_supported().because("histograms here hold every type of I/O, with a granularity of 7"));
        }
        let bdev = self.find(&p.name)?;
        self.local.with(move |cx| bdev.set_histogram(cx, p.enable)).await;
        Ok(true)
    }

    async fn get_histogram(self: Rc<Self>, p: Named) -> Result<Value, RpcError> {
        let counters = self.find(&p.name)?.histogram().ok_or_else(RpcError::no_device)?;
        Ok(json!({
            "histogram": stat::base64(counters.iter().flat_map(|n| n.to_le_bytes())),
            "granularity": crate::HISTOGRAM_SHIFT,
            "bucket_shift": crate::HISTOGRAM_SHIFT,
            "min_range": 0,
            "max_range": 64 - crate::HISTOGRAM_SHIFT,
            "tsc_rate": 1_000_000_000u64,
        }))
    }

    async fn examine(self: Rc<Self>, p: Named) -> Result<bool, RpcError> {
        self.find(&p.name)?;
        self.registry.examine_again(&self.local, &p.name, &self.examiners).await;
        Ok(true)
    }

    /// Tells clients of changes and shows new devices to the examiners, for as long as the process runs.
    async fn follow(self: Rc<Self>) {
        loop {
            match self.registry.next_change().await {
                Change::Registered(name) => {
                    self.notifications.push("bdev_register", &*name);
                    let examiners: &[_] = if self.options.borrow().bdev_auto_examine { &self.examiners } else { &[] };
                    self.registry.examine(&self.local, &name, examiners).await;
                }
                Change::Unregistered(name) => drop(self.notifications.push("bdev_unregister", name)),
                Change::Resized(name) => drop(self.notifications.push("bdev_resize", name)),
            }
        }
    }
}

impl Part for BdevPart {
    fn name(&self) -> &'static str {
        "bdev"
    }

    fn depends_on(&self) -> &'static [&'static str] {
        &["accel", "vmd", "sock", "iobuf", "keyring"]
    }

    fn methods(self: Rc<Self>, m: &mut Methods) {
        use When::{Runtime, Startup};
        let me = &self;
        macro_rules! on {
            ($name:literal, $when:expr, $doc:literal, $method:ident) => {{
                let me = me.clone();
                m.add($name, $when, $doc, move |p| me.clone().$method(p));
            }};
        }
        on!("bdev_get_bdevs", Runtime, "Describes one block device, or all.", get_bdevs);
        on!("bdev_get_iostat", Runtime, "Tells counters and latencies of block devices.", get_iostat);
        on!("bdev_reset_iostat", Runtime, "Forgets counters of block devices.", reset_iostat);
        on!("bdev_set_qos_limit", Runtime, "Limits the rate of a block device.", set_qos_limit);
        on!(
            "doorbell_bdev_set_timeout",
            Runtime,
            "Aborts requests of a block device that take too long: they end with a timeout.",
            set_timeout
        );
        on!("bdev_enable_histogram", Runtime, "Begins or ends recording a block device's latencies.", enable_histogram);
        on!("bdev_get_histogram", Runtime, "Tells a block device's latencies: base64 of little-endian 64-bit counters.", get_histogram);
        on!("bdev_examine", Runtime, "Looks for partitions and volumes on a block device.", examine);
        let me = self.clone();
        m.add("bdev_set_options", Startup, "Sets options of the block device layer.", move |p: Options| {
            *me.options.borrow_mut() = p;
            async { Ok(true) }
        });
        let me = self.clone();
        m.add("bdev_wait_for_examine", Runtime, "Answers when every block device was examined.", move |_: NoParams| {
            let registry = me.registry.clone();
            async move {
                registry.wait_for_examine().await;
                Ok(true)
            }
        });
    }

    fn save(&self) -> Vec<ConfigCall> {
        let mut calls = vec![ConfigCall::new("bdev_set_options", &*self.options.borrow())];
        let all = self.registry.all();
        calls.extend(self.modules.iter().flat_map(|module| module.save()));
        calls.extend(all.iter().filter_map(|b| b.created_by().cloned()));
        calls.extend(all.iter().filter_map(|b| limits_of(b)));
        calls.extend(all.iter().filter_map(|b| timeout_of(b)));
        calls.push(ConfigCall::bare("bdev_wait_for_examine"));
        calls
    }

    fn init(self: Rc<Self>) -> LocalFuture<Result<(), RpcError>> {
        let local = self.local.clone();
        local.spawn(self.follow());
        Box::pin(std::future::ready(Ok(())))
    }

    fn stop(self: Rc<Self>) -> LocalFuture<()> {
        Box::pin(async move {
            for module in &self.modules {
                module.clone().stop().await;
            }
        })
    }
}

/// The call that would set the limits in force; none when there are none.
fn limits_of(bdev: &Bdev) -> Option<ConfigCall> {
    let get = |kind| match bdev.limit(kind) {
        0 => None,
        n => Some(n),
    };
    let limit = QosLimit {
        name: bdev.name().to_owned(),
        rw_ios_per_sec: get(LimitKind::ReadWriteIos),
        rw_mbytes_per_sec: get(LimitKind::ReadWriteBytes).map(|n| n / MIB),
        r_mbytes_per_sec: get(LimitKind::ReadBytes).map(|n| n / MIB),
        w_mbytes_per_sec: get(LimitKind::WriteBytes).map(|n| n / MIB),
    };
    let any = [limit.rw_ios_per_sec, limit.rw_mbytes_per_sec, limit.r_mbytes_per_sec, limit.w_mbytes_per_sec].iter().any(Option::is_some);
    any.then(|| ConfigCall::new("bdev_set_qos_limit", &limit))
}

/// The call that would set the timeout in force; none when there is none.
fn timeout_of(bdev: &Bdev) -> Option<ConfigCall> {
    let timeout_us = bdev.timeout_ns() / NS_PER_US;
    (timeout_us > 0).then(|| ConfigCall::new("doorbell_bdev_set_timeout", &SetTimeout { name: bdev.name().to_owned(), timeout_us }))
}

#[cfg(test)]
mod tests;
