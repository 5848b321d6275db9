//! What came out, for people and for programs.

use super::block::{Histogram, Mismatch, Outcome};
use crate::size::Size;
use doorbell_block::Status;
use serde_json::{Value, json};
use std::fmt;

#[cfg(test)]
mod tests;

/// The outcomes of all generators together.
#[derive(Debug, Default)]
pub(crate) struct Report {
    generators: u32,
    ios: u64,
    io_bytes: u64,
    errors: [u64; Status::ALL.len()],
    /// Requests per nanosecond, summed over generators: each has its own end.
    rate: f64,
    /// Time on the cores. Generators that share a core each saw all of its time, so theirs counts once.
    cpu_ns: u64,
    elapsed_ns: u64,
    latency: Histogram,
    verified: u64,
    mismatches: u64,
    first_mismatch: Option<Mismatch>,
}

impl Report {
    /// Of requests of this size.
    pub(crate) fn new(io_bytes: u32) -> Report {
        Report { io_bytes: io_bytes.into(), ..Report::default() }
    }

    /// Adds the outcomes of one core.
    pub(crate) fn add_core(&mut self, outcomes: Vec<Outcome>) {
        self.cpu_ns += outcomes.iter().map(|o| o.cpu_ns).max().unwrap_or(0);
        for outcome in outcomes {
            self.generators += 1;
            self.ios += outcome.ios;
            for (all, one) in self.errors.iter_mut().zip(outcome.errors) {
                *all += one;
            }
            self.rate += outcome.ios as f64 / outcome.elapsed_ns.max(1) as f64;
            self.elapsed_ns = self.elapsed_ns.max(outcome.elapsed_ns);
            self.latency.merge(outcome.latency);
            self.verified += outcome.verified;
            self.mismatches += outcome.mismatches;
            self.first_mismatch = self.first_mismatch.or(outcome.first_mismatch);
        }
    }

    fn iops(&self) -> f64 {
        self.rate * 1e9
    }

    fn failed(&self) -> u64 {
        self.errors.iter().sum()
    }

    /// Did every request succeed, and every comparison?
    pub(crate) fn is_clean(&self) -> bool {
        self.failed() == 0 && self.mismatches == 0
    }

    /// Nanoseconds of a core for each request.
    pub(crate) fn cpu_ns_per_io(&self) -> f64 {
        self.cpu_ns as f64 / self.ios.max(1) as f64
    }

    /// For programs.
    pub(crate) fn to_json(&self) -> Value {
        let by_status: serde_json::Map<_, _> = self.failures().map(|(status, n)| (status.name().to_owned(), n.into())).collect();
        let tenths = |x: f64| (x * 10.0).round() / 10.0;
        json!({
            "iops": tenths(self.iops()),
            "bytes_per_s": tenths(self.iops() * self.io_bytes as f64),
            "mean_ns": tenths(self.latency.mean()),
            "p50_ns": self.latency.percentile(50.0),
            "p99_ns": self.latency.percentile(99.0),
            "p999_ns": self.latency.percentile(99.9),
            "max_ns": self.latency.max(),
            "errors": self.failed() + self.mismatches,
            "cpu_ns_per_io": (self.cpu_ns_per_io() * 100.0).round() / 100.0,
            "ios": self.ios,
            "elapsed_ns": self.elapsed_ns,
            "errors_by_status": by_status,
            "verified": self.verified,
            "mismatches": self.mismatches,
        })
    }

    /// For programs: with what each of several devices did, but for the time of cores, which they share.
    pub(crate) fn to_json_with(&self, each: &[(String, Report)]) -> Value {
        let mut all = self.to_json();
        if let (Some(map), false) = (all.as_object_mut(), each.is_empty()) {
            let devices: serde_json::Map<_, _> = each.iter().map(|(name, report)| (name.clone(), report.to_json_of_one())).collect();
            map.insert("devices".to_owned(), devices.into());
        }
        all
    }

    fn to_json_of_one(&self) -> Value {
        let mut one = self.to_json();
        if let Some(map) = one.as_object_mut() {
            map.remove("cpu_ns_per_io");
        }
        one
    }

    /// How fast one of several was, for people.
    pub(crate) fn rates(&self) -> String {
        let at = |percent| Time(self.latency.percentile(percent) as f64);
        format!(
            "  {} IOPS, {:.1} MB/s, mean {}, p50 {}, p99 {}, max {}",
            grouped(self.iops()),
            self.iops() * self.io_bytes as f64 / 1e6,
            Time(self.latency.mean()),
            at(50.0),
            at(99.0),
            Time(self.latency.max() as f64)
        )
    }

    fn failures(&self) -> impl Iterator<Item = (Status, u64)> {
        Status::ALL.into_iter().zip(self.errors).filter(|(_, n)| *n > 0)
    }
}

/// Nanoseconds in the unit that reads best.
struct Time(f64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ns if ns < 1e3 => write!(f, "{ns:.0} ns"),
            ns if ns < 1e6 => write!(f, "{:.1} µs", ns / 1e3),
            ns if ns < 1e9 => write!(f, "{:.2} ms", ns / 1e6),
            ns => write!(f, "{:.2} s", ns / 1e9),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (iops, bytes) = (self.iops(), self.iops() * self.io_bytes as f64);
        writeln!(f, "  {:<10}{}", "IOPS", grouped(iops))?;
        writeln!(f, "  {:<10}{:.1} MB/s ({}/s)", "bandwidth", bytes / 1e6, Size(bytes as u64))?;
        let at = |percent| Time(self.latency.percentile(percent) as f64);
        writeln!(
            f,
            "  {:<10}mean {}, p50 {}, p99 {}, p99.9 {}, max {}",
            "latency",
            Time(self.latency.mean()),
            at(50.0),
            at(99.0),
            at(99.9),
            Time(self.latency.max() as f64)
        )?;
        write!(f, "  {:<10}{:.1} ns of a core for each request", "cost", self.cpu_ns_per_io())?;
        if self.verified > 0 {
            write!(f, "\n  {:<10}{} reads compared, {} wrong", "verified", grouped(self.verified as f64), self.mismatches)?;
        }
        if let Some(first) = self.first_mismatch {
            write!(f, "\n  {:<10}block {}, from byte {} on", "wrong", first.lba, first.byte)?;
        }
        for (status, n) in self.failures() {
            write!(f, "\n  {:<10}{n} requests ended with {status}", "failed")?;
        }
        if self.failures().any(|(status, _)| status == Status::Gone) {
            write!(f, "\n  {:<10}after {}: the device has gone", "ended", Time(self.elapsed_ns as f64))?;
        }
        Ok(())
    }
}

/// A number with its thousands apart.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
