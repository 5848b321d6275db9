//! Rate limits: any number of requests or bytes a second, shared by all reactors.
//!
//! Each limit is one word: the time at which all that was admitted so far would be paid off at the limited rate. A request is admitted while
//! that time is no further ahead than a short window. Only limited devices touch it.

use doorbell_block::{Io, Op};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// Reads and writes, requests a second.
    ReadWriteIos,
    /// Reads and writes, bytes a second.
    ReadWriteBytes,
    /// Reads, bytes a second.
    ReadBytes,
    /// Writes, bytes a second.
    WriteBytes,
}

/// A limit; zero a second is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Of what.
    pub kind: LimitKind,
    /// How much a second.
    pub per_second: u64,
}

/// How far ahead of its rate a device may run.
const WINDOW_NS: u64 = 1_000_000;

/// Bits of a nanosecond that are kept.
const FINE: u32 = 6;

#[derive(Default)]
struct Bucket {
    per_second: AtomicU64,
    /// Nanoseconds that one unit costs, times 2^32.
    cost: AtomicU64,
    /// In 64ths of a nanosecond, so that rounding shifts no rate by more than a few millionths.
    paid_until: AtomicU64,
}

impl Bucket {
    fn set(&self, per_second: u64) {
        self.cost.store(
            (1_000_000_000u128 << 32).checked_div(u128::from(per_second)).map_or(0, |c| c.min(u128::from(u64::MAX)) as u64),
            Relaxed,
        );
        self.per_second.store(per_second, Relaxed);
    }

    fn is_set(&self) -> bool {
        self.per_second.load(Relaxed) != 0
    }

    /// When it could be admitted; `None`: now.
    fn wait(&self, now: u64) -> Option<u64> {
        let until = self.paid_until.load(Relaxed) >> FINE;
        (self.is_set() && until > now.saturating_add(WINDOW_NS)).then(|| until - WINDOW_NS)
    }

    fn pay(&self, now: u64, units: u64) {
        if !self.is_set() {
            return;
        }
        let cost = ((u128::from(units) * u128::from(self.cost.load(Relaxed))) >> (32 - FINE)) as u64;
        let step = |until: u64| Some(until.max(now << FINE).saturating_add(cost));
        let _ = self.paid_until.fetch_update(Relaxed, Relaxed, step);
    }
}

/// The limits of a device.
#[derive(Default)]
pub(crate) struct RateLimits {
    ios: Bucket,
    bytes: Bucket,
    read_bytes: Bucket,
    write_bytes: Bucket,
}

impl RateLimits {
    fn bucket(&self, kind: LimitKind) -> &Bucket {
        match kind {
            LimitKind::ReadWriteIos => &self.ios,
            LimitKind::ReadWriteBytes => &self.bytes,
            LimitKind::ReadBytes => &self.read_bytes,
            LimitKind::WriteBytes => &self.write_bytes,
        }
    }

    pub(crate) fn set(&self, limit: Limit) {
        self.bucket(limit.kind).set(limit.per_second);
    }

    /// What is set; zero for none.
    pub(crate) fn get(&self, kind: LimitKind) -> u64 {
        self.bucket(kind).per_second.load(Relaxed)
    }

    pub(crate) fn any(&self) -> bool {
        [&self.ios, &self.bytes, &self.read_bytes, &self.write_bytes].iter().any(|b| b.is_set())
    }

    /// Admits a request, or says when to try again.
    pub(crate) fn admit(&self, io: &Io, bytes: u64, now: u64) -> Result<(), u64> {
        let direction = match io.op {
            Op::Read | Op::Compare => &self.read_bytes,
            Op::Write | Op::CompareAndWrite | Op::WriteZeroes | Op::Copy | Op::ZoneAppend => &self.write_bytes,
            _ => return Ok(()),
        };
        let wait = [&self.ios, &self.bytes, direction].iter().filter_map(|b| b.wait(now)).max();
        if let Some(at) = wait {
            return Err(at);
        }
        self.ios.pay(now, 1);
        self.bytes.pay(now, bytes);
        direction.pay(now, bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
