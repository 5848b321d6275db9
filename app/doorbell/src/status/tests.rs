use super::*;

#[test]
fn everything_has_its_place() {
    let seen = json!({
        "version": {"version": "Doorbell v0.1.0"},
        "reactors": {"pid": 77, "reactors": [{"lcore": 0, "tid": 78, "busy": 250, "idle": 750, "in_interrupt": true}]},
        "devices": [{"name": "disk.img", "product_name": "AIO disk", "block_size": 512, "num_blocks": 2097152, "uuid": "u"}],
        "iostat": {"bdevs": [{"name": "disk.img", "num_read_ops": 3, "num_write_ops": 4, "bytes_read": 1536, "bytes_written": 2048}]},
        "subsystems": [{"nqn": "nqn.a", "listen_addresses": [{"traddr": "::1", "trsvcid": "4420"}], "allow_any_host": true,
            "hosts": [{"nqn": "nqn.h\u{1b}[2J"}], "namespaces": [{"nsid": 1, "bdev_name": "disk.img"}],
            "controllers": [{"cntlid": 5, "hostnqn": "nqn.h"}], "qpairs": [{"cntlid": 5}, {"cntlid": 5}, {"cntlid": 6}]}],
    });
    let shown = show(&seen);
    let line = |with: &str| shown.lines().find(|line| line.contains(with)).unwrap_or_else(|| panic!("no {with} in {shown}"));
    assert!(line("Doorbell v0.1.0").contains("process 77"));
    assert!(line("25.0 %").contains("sleeps"));
    assert!(line("AIO disk").contains("1 GiB") && line("AIO disk").contains("1.5 KiB"));
    assert!(line("[::1]:4420").contains("1=disk.img"));
    let connection = shown.lines().last().unwrap();
    assert!(connection.ends_with('2') && connection.contains("nqn.a"), "{shown}");
    assert!(!shown.contains('\u{1b}'));
}

#[test]
fn a_server_that_waits_says_so() {
    let shown = show(&json!({"version": {"version": "Doorbell v0.1.0"}, "reactors": null}));
    assert!(shown.contains("framework_start_init"));
}
