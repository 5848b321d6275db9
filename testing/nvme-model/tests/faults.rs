//! The driver against a controller that fails in every way, by seed: every request ends, what was said to be written reads back, nothing is
//! lost, and nothing hangs. `DOORBELL_SEEDS=10000` runs as many, `DOORBELL_SEED=n` one.

use doorbell_nvme_model::trial::Trial;
use doorbell_nvme_model::{Offers, Plan, Rates, Stuck};
use doorbell_sim::seeds;

const NOTHING: [&str; 0] = [];

#[test]
fn every_fault_ends_in_a_status_or_a_recovery() {
    // One seed is run to see what it does.
    if std::env::var_os("DOORBELL_SEED").is_some() {
        tracing_subscriber::fmt().with_test_writer().init();
    }
    let mut failures = Vec::new();
    for seed in seeds(100) {
        let trial = Trial::of_seed(seed);
        let plan = trial.plan.clone();
        let wrong = trial.run().wrong;
        if let Some(first) = wrong.first() {
            failures.push(format!("DOORBELL_SEED={seed}: {} complaints, first: {first}\n    {plan:?}", wrong.len()));
        }
    }
    assert!(failures.is_empty(), "{} seeds failed\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_controller_without_faults_has_no_failures() {
    for seed in 0..8 {
        assert_eq!(Trial::of_plan(seed, Plan::honest()).run().wrong, NOTHING, "seed {seed}");
    }
}

#[test]
fn one_that_stops_late_or_never_ends_what_it_was_given_by_a_reset_of_its_function() {
    let plan = Plan { stuck: Stuck::NeverStops, resettable: true, ..Plan::honest() };
    assert_eq!(Trial::of_plan(1, plan).run().wrong, NOTHING);
}

#[test]
fn lists_and_shadow_doorbells_are_used_where_they_are_offered() {
    let (mut lists, mut unrung) = (0, 0);
    for seed in 0..8 {
        let plan = Plan { sgls: seed as u8 % 3, shadows: seed % 2 == 1, ..Plan::honest() };
        let outcome = Trial::of_plan(seed, plan.clone()).run();
        assert_eq!(outcome.wrong, NOTHING, "seed {seed}");
        assert!(plan.sgls > 0 || outcome.counters.lists == 0, "seed {seed}");
        assert!(plan.shadows || outcome.counters.unrung == 0, "seed {seed}");
        (lists, unrung) = (lists + outcome.counters.lists, unrung + outcome.counters.unrung);
    }
    assert!(lists > 0 && unrung > 0, "{lists} {unrung}");
}

#[test]
fn namespaces_may_leave_and_return_under_load() {
    let mut changes = 0;
    for seed in 0..8 {
        let plan = Plan { comes_and_goes: 20_000, ..Plan::honest() };
        let outcome = Trial::of_plan(seed, plan).run();
        assert_eq!(outcome.wrong, NOTHING, "seed {seed}");
        changes += outcome.counters.changes;
    }
    assert!(changes > 0);
}

/// Verify, Write Uncorrectable and fused pairs are among what workers do wherever they are offered; here, nothing else is in the way.
#[test]
fn fused_pairs_are_sent_side_by_side_and_never_above_what_is_atomic() {
    let mut fused = 0;
    for seed in 0..24 {
        let plan = Plan { acwu: [0, 1, 7, 255][seed as usize % 4], sgls: seed as u8 % 3, shadows: seed % 5 == 1, ..Plan::honest() };
        let outcome = Trial::of_plan(seed, plan).run();
        assert_eq!(outcome.wrong, NOTHING, "seed {seed}");
        fused += outcome.counters.fused;
    }
    assert!(fused > 24, "{fused}");
    let plan = Plan { offers: Offers { fused: false, ..Plan::honest().offers }, ..Plan::honest() };
    assert_eq!(Trial::of_plan(1, plan).run().counters.fused, 0);
}

/// Half of a pair lost, failed, answered twice: what is not sent again is said to have failed, and the blocks hold the old or the new.
#[test]
fn fused_pairs_survive_every_fault() {
    for seed in 0..24 {
        let rate = 100_000;
        let rates = match seed % 6 {
            0 => Rates { lost: rate, ..Rates::default() },
            1 => Rates { swallowed: rate, ..Rates::default() },
            2 => Rates { duplicate: rate, ..Rates::default() },
            3 => Rates { wrong_id: rate, ..Rates::default() },
            4 => Rates { passing_error: rate, ..Rates::default() },
            _ => Rates { late: rate, ..Rates::default() },
        };
        assert_eq!(Trial::of_plan(seed, Plan { rates, ..Plan::honest() }).run().wrong, NOTHING, "seed {seed}");
    }
}

#[test]
fn a_reactor_that_sleeps_is_woken_by_every_interrupt() {
    let (mut slept, mut interrupts) = (0, 0);
    for seed in 0..32 {
        let vectors = [1, 2, 3, 16][seed as usize % 4];
        let rates = Rates { spurious: if seed % 3 == 0 { 10_000 } else { 0 }, ..Rates::default() };
        let plan = Plan { vectors, coalescing_ns: [0, 1_000, 200_000][seed as usize % 3], rates, ..Plan::honest() };
        let outcome = Trial { sleeps: true, ..Trial::of_plan(seed, plan) }.run();
        assert_eq!(outcome.wrong, NOTHING, "seed {seed}");
        (slept, interrupts) = (slept + outcome.slept, interrupts + outcome.counters.interrupts);
    }
    assert!(slept > 1_000 && interrupts > 1_000, "{slept} {interrupts}");
}

/// A queue that has been busy turns its interrupt off: what comes between the last look and the next sleep rings nobody.
#[test]
fn an_interrupt_that_was_turned_off_is_turned_on_before_the_last_look() {
    for seed in 0..3 {
        let trial = Trial { sleeps: true, operations: 2_000, ..Trial::of_plan(seed, Plan { vectors: 16, ..Plan::honest() }) };
        assert_eq!(trial.run().wrong, NOTHING, "seed {seed}");
    }
}

/// Without interrupts nobody sleeps while something is under way; with lost ones the supervisor's look finds what is there.
#[test]
fn interrupts_that_are_missing_cost_time_and_nothing_else() {
    for seed in 0..16 {
        let rates = Rates { mute: if seed % 2 == 0 { 1_000_000 } else { 300_000 }, ..Rates::default() };
        let plan = Plan { vectors: 4, rates, ..Plan::honest() };
        assert_eq!(Trial { sleeps: true, ..Trial::of_plan(seed, plan) }.run().wrong, NOTHING, "seed {seed}");
    }
    let plan = Plan { vectors: 0, ..Plan::honest() };
    assert_eq!(Trial { sleeps: true, ..Trial::of_plan(1, plan) }.run().wrong, NOTHING);
}
