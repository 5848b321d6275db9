//! What parameters may look like.

use super::*;

#[test]
fn identifiers_are_hexadecimal_digits_and_nothing_else() {
    let parse = |text: &str| hex::<2>(Some(&text.to_owned()), "id").ok().flatten();
    assert_eq!(parse("01aF"), Some([1, 0xaf]));
    assert_eq!(parse("01-af"), Some([1, 0xaf]));
    for bad in ["+1af", "01+f", "01a", "01aff", "01ag", "é1a"] {
        assert_eq!(parse(bad), None, "{bad}");
    }
}

/// Calls decode what calls encode.
fn parsed<P: Params>(value: Value) -> P {
    let given = doorbell_control::Given::params(Some(value)).expect("it is no object");
    P::from_given(given).expect("it does not decode")
}

#[test]
fn every_limit_of_the_transport_survives_saving() {
    let asked = json!({
        "trtype": "TCP", "max_queue_depth": 64, "max_io_qpairs_per_ctrlr": 9, "in_capsule_data_size": 8192, "max_io_size": 4194304,
        "max_aq_depth": 64, "c2h_success": false, "min_kato": 20000, "max_connections": 7, "header_digest": false, "data_digest": false,
        "handshake_timeout_ms": 1500, "max_r2t_bytes": 8388608, "send_timeout_ms": 0, "data_timeout_ms": 2500,
    });
    let first = transport_options(&parsed(asked.clone())).unwrap();
    assert_eq!((first.max_connections, first.header_digest, first.data_digest), (7, false, false));
    assert_eq!((first.handshake_timeout_ns, first.max_asked_bytes, first.send_timeout_ns), (1_500_000_000, 8 << 20, 0));
    let saved = describe::transport(&first, Some(&parsed(asked.clone())));
    let again = transport_options(&parsed(Value::Object(saved))).unwrap();
    assert_eq!(again, first);
    // What SPDK has no name for is not told unless it was changed.
    let plain = describe::transport(&TransportOptions::default(), None);
    assert!(!plain.contains_key("max_connections") && !plain.contains_key("send_timeout_ms"));
}

#[test]
fn every_choice_of_vfio_user_survives_saving() {
    let asked = json!({
        "trtype": "VFIOUSER", "max_queue_depth": 64, "max_io_qpairs_per_ctrlr": 9, "max_io_size": 65536, "max_aq_depth": 64,
        "disable_mappable_bar0": true, "disable_adaptive_irq": true, "disable_shadow_doorbells": true, "idle_look_us": 0,
        "handshake_timeout_ms": 1500, "in_capsule_data_size": 0,
    });
    let first = vfio_user_options(&parsed(asked.clone())).unwrap();
    assert!(!first.mappable_doorbells && !first.adaptive_irq && !first.shadow_doorbells && first.idle_look_ns == 0);
    let saved = describe::vfio_user(&first, Some(&parsed(asked)));
    assert_eq!(vfio_user_options(&parsed(Value::Object(saved))).unwrap(), first);
    let plain = vfio_user_options(&parsed(json!({ "trtype": "VFIOUSER" }))).unwrap();
    assert_eq!(plain, VfioUserOptions::default());
    assert!(plain.check().is_ok());
    // What is the other transport's is not swallowed.
    assert!(vfio_user_options(&parsed(json!({ "trtype": "VFIOUSER", "header_digest": true }))).is_err());
    assert!(transport_options(&parsed(json!({ "trtype": "TCP", "idle_look_us": 5 }))).is_err());
}
