//! What a case is given, and what it answers.

use doorbell_block::{BlockDevice, Cx, DeviceInfo, Op};
use doorbell_reactor::Local;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// Why a case failed, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    /// Says why.
    pub fn new(why: impl Into<String>) -> Failure {
        Failure(why.into())
    }
}

/// How a case that did not fail ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All as it should be.
    Passed,
    /// There is nothing to test on this device, and why.
    Skipped(String),
}

pub(crate) type Outcome = Result<Verdict, Failure>;

pub(crate) fn skipped(why: &str) -> Outcome {
    Ok(Verdict::Skipped(why.to_owned()))
}

/// Fails a case unless something holds.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err($crate::case::Failure::new(format!($($why)+)));
        }
    };
}
pub(crate) use ensure;

/// How long to wait for what ought to come. Only a broken device ever uses it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Nanoseconds of the reactor's clock.
    pub ns: u64,
}

impl Patience {
    /// Waits for `what`; `None` when patience ran out.
    pub async fn wait<T>(&self, local: &Local, what: impl Future<Output = T>) -> Option<T> {
        let mut what = pin!(what);
        // Most things are there at once, and need no timer.
        let first = poll_fn(|c| Poll::Ready(what.as_mut().poll(c))).await;
        if let Poll::Ready(value) = first {
            return Some(value);
        }
        let mut limit = pin!(local.sleep_ns(self.ns));
        poll_fn(|c| match what.as_mut().poll(c) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => limit.as_mut().poll(c).map(|()| None),
        })
        .await
    }
}

/// Counts flushes and FUA writes that reached what makes them true.
pub type Probe = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Takes a device away for good.
pub(crate) type Removal = Rc<dyn Fn()>;

/// Gives a device another size, in blocks, and tells who ought to know.
pub(crate) type Resizing = Rc<dyn Fn(&mut Cx, u64)>;

/// What a case works with.
pub struct Env {
    /// The first reactor.
    pub local: Local,
    /// The device.
    pub device: Arc<dyn BlockDevice>,
    /// What it said of itself when the case began.
    pub info: Arc<DeviceInfo>,
    /// Counts what made writes durable.
    pub probe: Option<Probe>,
    /// Takes it away.
    pub(crate) removal: Option<Removal>,
    /// Gives it another size.
    pub(crate) resizing: Option<Resizing>,
    /// Does a write beyond the end of its medium make that longer?
    pub(crate) grows: bool,
    /// Where the case's chance comes from.
    pub seed: u64,
    /// How long it waits.
    pub patience: Patience,
}

impl Env {
    pub(crate) fn has(&self, op: Op) -> bool {
        self.info.ops.has(op)
    }

    pub(crate) fn shift(&self) -> u8 {
        self.info.block_shift
    }

    /// May it be written at all?
    pub(crate) fn writable(&self) -> bool {
        !self.info.read_only && self.has(Op::Write)
    }

    /// The least that a write may be, and where it may begin: a multiple of this.
    pub(crate) fn unit(&self) -> u32 {
        self.info.limits.write_unit_blocks.max(1)
    }

    pub(crate) async fn rig(&self, depth: u32) -> Result<crate::Rig, Failure> {
        crate::Rig::open(&self.local, self.device.clone(), depth, self.patience).await
    }
}

/// A case under way.
pub(crate) type Running = std::pin::Pin<Box<dyn Future<Output = Outcome>>>;

/// A case of the suite.
pub(crate) struct Case {
    /// What it belongs to.
    pub(crate) module: &'static str,
    pub(crate) name: &'static str,
    /// How many reactors it wants.
    pub(crate) reactors: u32,
    pub(crate) run: fn(Rc<Env>) -> Running,
}

impl Case {
    /// Why it says nothing of such a device, if it does not: most cases write anywhere, and some only zones.
    pub(crate) fn says_nothing_of(&self, info: &DeviceInfo) -> Option<&'static str> {
        match (self.module, info.zones.is_some()) {
            ("zones", false) => Some("it has no zones"),
            ("zones", true) | (_, false) => None,
            (_, true) if matches!(self.name, "info" | "open_and_leave") => None,
            (_, true) => Some("it has zones"),
        }
    }
}
