//! Reading the time in a few nanoseconds.
//!
//! Every clock here answers nanoseconds on the scale of `CLOCK_MONOTONIC`, so stamps of different threads, and of different clocks, can
//! be compared. The processor's counter is read directly where it is known to run at one rate on all CPUs; its rate is measured once per
//! process, to within [`TscClock::MAX_ERROR_PPM`]. That is for durations and timers; it is not a wall clock and does not follow NTP.

use std::{sync::OnceLock, time::Duration};

use rustix::time::{ClockId, clock_gettime};

#[cfg(all(test, not(loom)))]
mod tests;

/// The processor's time-stamp counter, converted by one multiplication.
#[derive(Debug, Clone, Copy)]
pub struct TscClock {
    base_cycles: u64,
    base_ns: u64,
    /// Nanoseconds per cycle, times 2^32.
    ns_per_cycle: u64,
}

/// The kernel's monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct MonotonicClock;

/// The cheapest clock that can be trusted on this machine.
#[derive(Debug, Clone, Copy)]
pub enum AnyClock {
    /// The counter.
    Tsc(TscClock),
    /// The kernel's.
    Monotonic(MonotonicClock),
}

/// Why the counter is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No counter that runs at one rate through frequency changes and sleep states.
    #[error("the processor has no invariant time-stamp counter")]
    NotInvariant,
    /// The kernel found the CPUs' counters out of step (or was told to distrust them).
    #[error("the kernel does not offer the time-stamp counter as a clock source")]
    Distrusted,
    /// The machine was too busy to measure the rate.
    #[error("the time-stamp counter's rate could not be measured: {0} parts per million of uncertainty")]
    Imprecise(u64),
}

/// Picks once per process, so that all threads share one scale. The first call takes up to 5 ms.
pub fn best() -> AnyClock {
    static BEST: OnceLock<AnyClock> = OnceLock::new();
    *BEST.get_or_init(|| match TscClock::calibrate() {
        Ok(clock) => AnyClock::Tsc(clock),
        Err(_) => AnyClock::Monotonic(MonotonicClock),
    })
}

impl AnyClock {
    /// Nanoseconds since an arbitrary start, never less than before on one thread.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        match self {
            AnyClock::Tsc(clock) => clock.now(),
            AnyClock::Monotonic(clock) => clock.now(),
        }
    }
}

impl MonotonicClock {
    /// Nanoseconds since an arbitrary start.
    #[inline]
    pub fn now(&self) -> u64 {
        let time = clock_gettime(ClockId::Monotonic);
        time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
    }
}

impl TscClock {
    /// A rate that is less certain than this is not used.
    pub const MAX_ERROR_PPM: u64 = 200;

    /// Measures the counter against the kernel's clock for up to 5 ms.
    pub fn calibrate() -> Result<TscClock, Unfit> {
        if !arch::is_invariant() {
            return Err(Unfit::NotInvariant);
        }
        if !kernel_trusts(std::fs::read_to_string(SOURCES).ok().as_deref()) {
            return Err(Unfit::Distrusted);
        }
        if let Some(frequency_hz) = arch::stated_frequency_hz() {
            let start = Reading::best_of(16);
            return Ok(TscClock { base_cycles: start.cycles, base_ns: start.ns, ns_per_cycle: (1_000_000_000 << 32) / frequency_hz });
        }
        let start = Reading::best_of(16);
        std::thread::sleep(Duration::from_millis(4));
        TscClock::between(&start, &Reading::best_of(16))
    }

    /// The clock that goes through two readings.
    fn between(start: &Reading, end: &Reading) -> Result<TscClock, Unfit> {
        let (cycles, ns) = (end.cycles.wrapping_sub(start.cycles), end.ns.saturating_sub(start.ns));
        if cycles == 0 || ns == 0 {
            return Err(Unfit::Imprecise(u64::MAX));
        }
        // Each pairing is off by at most half the cycles it took, so the two of them by at most their mean.
        let error_ppm = (start.width + end.width) / 2 * 1_000_000 / cycles;
        let ns_per_cycle = u64::try_from((u128::from(ns) << 32) / u128::from(cycles)).unwrap_or(0);
        if error_ppm > Self::MAX_ERROR_PPM || ns_per_cycle == 0 {
            return Err(Unfit::Imprecise(error_ppm));
        }
        Ok(TscClock { base_cycles: start.cycles, base_ns: start.ns, ns_per_cycle })
    }

    /// Nanoseconds since an arbitrary start, never less than before on one thread.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        self.at(cycles())
    }

    /// When the counter stood at `cycles`, on this clock's scale.
    #[inline(always)]
    pub fn at(&self, cycles: u64) -> u64 {
        // Saturating: a CPU whose counter is a hair behind the calibrating one must not wrap into the far future.
        let delta = cycles.saturating_sub(self.base_cycles);
        let scaled = (u128::from(delta) * u128::from(self.ns_per_cycle)) >> 32;
        // 64 bits of nanoseconds are 584 years.
        self.base_ns + scaled as u64
    }

    /// The measured rate.
    pub fn frequency_hz(&self) -> u64 {
        (1_000_000_000 << 32) / self.ns_per_cycle
    }
}

/// The counter as it stands: for differences between near points of one thread. On machines without one, nanoseconds.
#[inline(always)]
pub fn cycles() -> u64 {
    arch::cycles()
}

/// A point on both clocks.
#[derive(Debug, Clone, Copy)]
struct Reading {
    cycles: u64,
    ns: u64,
    /// How many cycles the kernel's clock took to answer: the uncertainty.
    width: u64,
}

impl Reading {
    /// The most certain of several: an interrupt between the two clocks spoils one reading, not all.
    fn best_of(tries: u32) -> Reading {
        let mut best = Reading::take();
        for _ in 1..tries {
            let reading = Reading::take();
            if reading.width < best.width {
                best = reading;
            }
        }
        best
    }

    fn take() -> Reading {
        let before = cycles();
        let ns = MonotonicClock.now();
        let width = cycles().wrapping_sub(before);
        Reading { cycles: before + width / 2, ns, width }
    }
}

const SOURCES: &str = "/sys/devices/system/clocksource/clocksource0/available_clocksource";

/// Whether the kernel still lists the counter among its clock sources. Where it does not tell (a container without sysfs), the
/// processor's word stands.
fn kernel_trusts(sources: Option<&str>) -> bool {
    sources.is_none_or(|sources| sources.split_whitespace().any(|source| source == arch::CLOCK_SOURCE))
}

#[cfg(target_arch = "x86_64")]
mod arch {
    use std::arch::x86_64::{__cpuid, _rdtsc};

    pub(super) const CLOCK_SOURCE: &str = "tsc";

    #[inline(always)]
    pub(super) fn cycles() -> u64 {
        // SAFETY: every x86-64 processor has the instruction; Linux leaves it enabled unless a process forbids it to itself (PR_SET_TSC).
        unsafe { _rdtsc() }
    }

    /// Intel SDM 3, 18.17.1; AMD APM 3, E.4.6: CPUID 8000_0007h, EDX bit 8.
    pub(super) fn is_invariant() -> bool {
        __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & 1 << 8 != 0
    }

    /// What CPUID says of the rate is nominal; measuring is nearer to what the kernel uses.
    pub(super) fn stated_frequency_hz() -> Option<u64> {
        None
    }
}

/// Written for, and not yet compiled on, this architecture.
#[cfg(target_arch = "aarch64")]
mod arch {
    pub(super) const CLOCK_SOURCE: &str = "arch_sys_counter";

    #[inline(always)]
    pub(super) fn cycles() -> u64 {
        let count: u64;
        // SAFETY: Linux lets user space read the virtual counter (its own vDSO does); no memory is touched.
        unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack, preserves_flags)) };
        count
    }

    /// The architecture says so (Arm ARM, D12.1.2: the counter runs at a constant rate).
    pub(super) fn is_invariant() -> bool {
        true
    }

    /// The firmware's statement of the rate, which the kernel uses too.
    pub(super) fn stated_frequency_hz() -> Option<u64> {
        let frequency: u64;
        // SAFETY: as above; the register is readable wherever the counter is.
        unsafe { core::arch::asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack, preserves_flags)) };
        (frequency > 0).then_some(frequency)
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod arch {
    pub(super) const CLOCK_SOURCE: &str = "";

    pub(super) fn cycles() -> u64 {
        super::MonotonicClock.now()
    }

    pub(super) fn is_invariant() -> bool {
        false
    }

    pub(super) fn stated_frequency_hz() -> Option<u64> {
        None
    }
}
