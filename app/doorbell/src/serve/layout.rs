//! Reactors and memory as the flags ask for them.

use crate::cli::{Poll, ServeArgs};
use crate::memory;
use doorbell_mem::{Backing, HugeSize, PoolSpec};
use doorbell_reactor::{Config, Polling};
use doorbell_sys::cpu::{self, CpuError, CpuId};

#[cfg(test)]
mod tests;

/// Reactors that are made when nobody says how many.
const REACTORS_MAX: usize = 4;

/// Why they cannot be made so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayoutError {
    /// CPUs that cannot be used.
    #[error(transparent)]
    Cpu(#[from] CpuError),
    /// The main core is not among them.
    #[error("-p {0}: the CPU of the first reactor must be one of those that -m names")]
    MainCore(u32),
}

/// Reads the flags.
pub(crate) fn layout(args: &ServeArgs) -> Result<Config, LayoutError> {
    let mut cpus = match (&args.cpumask, &args.lcores) {
        (Some(text), _) => cpu::parse(text)?,
        (None, Some(text)) => cpu::parse(&format!("[{}]", cpus_of(text)))?,
        (None, None) => Vec::new(),
    };
    if let Some(main) = args.main_core {
        let at = cpus.iter().position(|cpu| *cpu == CpuId(main)).ok_or(LayoutError::MainCore(main))?;
        cpus.swap(0, at);
    }
    let reactors = cpu::allowed()?.len().clamp(1, REACTORS_MAX) as u32;
    let spin_us = if args.interrupt_mode { 0 } else { args.poll_spin_us };
    let polling = match args.poll {
        Poll::Always => Polling::Always,
        Poll::Adaptive => Polling::Adaptive { spin_ns: u64::from(spin_us) * 1000 },
    };
    let backing = match args.huge.as_deref() {
        None => Backing::Ordinary,
        Some("try") => Backing::PreferHuge,
        Some("1G") => Backing::Huge(HugeSize::OneGiB),
        Some(_) => Backing::Huge(HugeSize::TwoMiB),
    };
    let mut pool = PoolSpec { backing, ..PoolSpec::default() };
    if let Some(bytes) = args.memory {
        let count = if cpus.is_empty() { reactors } else { cpus.len() as u32 };
        pool.classes = memory::scaled(&pool.classes, bytes / u64::from(count.max(1)));
    }
    Ok(Config { reactors, cpus, polling, pool, ..Config::default() })
}

/// The CPUs of DPDK's `LCORES@CPUS,..`: those behind each `@`, or the number itself. Sets stand in brackets.
fn cpus_of(text: &str) -> String {
    let mut items = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            c => items.last_mut().unwrap_or(&mut String::new()).push(c),
        }
    }
    let cpus: Vec<_> = items.iter().map(|item| item.split_once('@').map_or(item.as_str(), |(_, cpus)| cpus)).collect();
    cpus.join(",")
}
