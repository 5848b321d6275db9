//! The driver and the responder understand each other, and a warm path allocates nothing.

use super::drive::{Device, Work, run};
use super::{CASES, DEPTHS};

#[test]
fn a_warm_path_allocates_next_to_nothing_and_loses_nothing() {
    for (name, pattern) in CASES {
        for depth in DEPTHS {
            for most in [1, 8, u32::MAX] {
                let few = run(Work { pattern, depth, ios: 2_000 }, Device::Inside(most)).unwrap();
                let many = run(Work { pattern, depth, ios: 20_000 }, Device::Inside(most)).unwrap();
                assert!(many.allocations <= few.allocations + 16, "{name} at depth {depth}: {} and {}", few.allocations, many.allocations);
            }
        }
    }
}
