//! The path of a command allocates nothing once it is warm, and the bench's host and the target understand each other in every case.

use super::super::CASES;
use super::allocations;

#[test]
fn a_warm_path_allocates_nothing() {
    for case in &CASES {
        for depth in case.depths {
            let ios = if case.io_bytes > 4096 { 500 } else { 5_000 };
            let each = allocations(case, *depth, ios, None).unwrap();
            assert_eq!(each, 0.0, "{} at depth {depth}", case.name);
        }
    }
}
