use proptest::prelude::*;

use super::{AnyClock, MonotonicClock, Reading, TscClock, Unfit, best, kernel_trusts};

#[test]
fn never_goes_back_and_moves() {
    let clock = best();
    let start = clock.now();
    let mut last = start;
    while last < start + 1_000_000 {
        let now = clock.now();
        assert!(now >= last);
        last = now;
    }
}

/// The best clock stays within its stated error of the kernel's.
#[test]
fn agrees_with_the_kernel() {
    let clock = best();
    let start = MonotonicClock.now();
    while MonotonicClock.now() < start + 5_000_000 {
        std::thread::yield_now();
    }
    let (before, ours, after) = (MonotonicClock.now(), clock.now(), MonotonicClock.now());
    // Since calibration at most this test binary's life has passed; 10 s are generous, and 200 ppm of them are 2 ms.
    assert!(ours + 2_000_000 >= before && ours <= after + 2_000_000, "{before} {ours} {after}");
}

#[test]
fn one_scale_for_all_threads() {
    let here = best();
    let there = std::thread::spawn(best).join().unwrap();
    match (here, there) {
        (AnyClock::Tsc(a), AnyClock::Tsc(b)) => assert_eq!((a.base_cycles, a.ns_per_cycle), (b.base_cycles, b.ns_per_cycle)),
        (AnyClock::Monotonic(_), AnyClock::Monotonic(_)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_counter_the_kernel_dropped_is_not_used() {
    let name = super::arch::CLOCK_SOURCE;
    assert!(kernel_trusts(Some(&format!("hpet {name} acpi_pm \n"))));
    assert!(!kernel_trusts(Some("hpet acpi_pm \n")));
    assert!(kernel_trusts(None));
}

#[test]
fn an_uncertain_measurement_is_refused() {
    let start = Reading { cycles: 1_000, ns: 500, width: 40 };
    let end = |width| Reading { cycles: 13_001_000, ns: 4_000_500, width };
    let clock = TscClock::between(&start, &end(60)).unwrap();
    assert_eq!(clock.frequency_hz() / 1_000, 3_250_000);
    assert_eq!(TscClock::between(&start, &end(26_000)).err(), Some(Unfit::Imprecise(1001)));
    assert_eq!(TscClock::between(&start, &start).err(), Some(Unfit::Imprecise(u64::MAX)));
}

proptest! {
    /// The conversion against exact arithmetic, over any plausible rate and ten years.
    #[test]
    fn converts_exactly(hz in 1_000_000u64..10_000_000_000, seconds in 0u64..315_360_000, part in 0u64..1_000_000) {
        let cycles = u64::try_from(u128::from(hz) * u128::from(seconds)).unwrap_or(u64::MAX / 2).saturating_add(part);
        let end = Reading { cycles: hz, ns: 1_000_000_000, width: 0 };
        let clock = TscClock::between(&Reading { cycles: 0, ns: 0, width: 0 }, &end).unwrap();
        let exact = u128::from(cycles) * 1_000_000_000 / u128::from(hz);
        let ours = u128::from(clock.at(cycles));
        // The rate is rounded down to 2^-32 ns a cycle.
        prop_assert!(ours <= exact && exact - ours <= (u128::from(cycles) >> 32) + 1);
        prop_assert!(clock.at(cycles + 1) >= clock.at(cycles));
    }
}
