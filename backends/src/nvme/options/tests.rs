use super::*;
use doorbell_control::{Given, Params};
use serde_json::json;

fn read<T: Params>(params: Value) -> T {
    Given::object(params).and_then(T::from_given).unwrap()
}

#[test]
fn the_time_for_admin_commands_follows_that_of_others_when_it_is_zero() {
    let attach: Attach = read(json!({"name": "N", "trtype": "TCP", "traddr": "127.0.0.1"}));
    let times = |options: Value| {
        let policy = read::<SetOptions>(options).driver(&attach).unwrap().policy;
        (policy.timeout_ns / 1_000_000, policy.admin_timeout_ns / 1_000_000)
    };
    assert_eq!(times(json!({})), (30_000, 60_000));
    assert_eq!(times(json!({"timeout_us": 5_000_000, "timeout_admin_us": 0})), (5_000, 5_000));
    assert_eq!(times(json!({"timeout_us": 5_000_000})), (5_000, 5_000));
    assert_eq!(times(json!({"timeout_us": 5_000_000, "timeout_admin_us": 7_000_000})), (5_000, 7_000));
    assert_eq!(times(json!({"timeout_us": 0, "timeout_admin_us": 0})), (0, 60_000));
    // A controller is looked at once a second, and its own identification takes some time.
    assert_eq!(times(json!({"timeout_us": 1000})), (1, 1_000));
}
