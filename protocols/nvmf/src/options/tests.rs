//! Defaults, and what is out of range.

use super::*;

#[test]
fn defaults_are_good_and_bad_ones_say_why() {
    let good = TransportOptions::default();
    assert_eq!(good.check(), Ok(()));
    assert_eq!(good.mdts(), 5);
    let bad = TransportOptions { max_io_bytes: 100_000, ..good };
    let error = bad.check().unwrap_err().to_string();
    assert_eq!(error, "max_io_size is 100000: it must be a power of two from 4096 to 8388608");
}
