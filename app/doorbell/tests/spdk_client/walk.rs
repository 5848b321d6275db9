//! Every method that is implemented, with parameters that it must refuse and with ones that it must take.
//!
//! What the methods and their parameters are is asked from the server, so that a new method is walked without a line here,
//! and one that needs more than nothing to succeed fails this test until it has its line in [`valid`] or [`early`].

use crate::by_hand::Wire;
use crate::client::{port, serve, stop};
use crate::support::Folder;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// SPDK's interface: which methods answer parameters that do not decode with -32603.
const INTERFACE: &str = include_str!("../../../../services/control/data/spdk-methods.json");

fn methods(wire: &mut Wire) -> Vec<Value> {
    let schema = wire.call("doorbell_get_schema", json!({})).unwrap();
    let Value::Array(methods) = schema["methods"].clone() else { panic!("{schema}") };
    let listed = wire.call("rpc_get_methods", json!({})).unwrap();
    let described: BTreeSet<_> = methods.iter().map(|one| one["name"].clone().to_string()).collect();
    let listed: BTreeSet<_> = listed.as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(described, listed);
    assert!(methods.len() > 50, "{methods:?}");
    methods
}

/// A value that decodes.
fn right(field: &Value) -> Value {
    match field["type"].as_str().unwrap() {
        "string" => json!("nothing-of-that-name"),
        "boolean" => json!(false),
        "uuid" => json!("0b9c9cb4-4f3c-46c7-a1f6-ecd4a29b6b8e"),
        "enum" => field["values"][0].clone(),
        "array" => json!([right(&field["items"])]),
        "bitmask" => json!([field["values"][0]]),
        "object" => required(&field["fields"]),
        _ => json!(1),
    }
}

/// Values that do not.
fn wrong(field: &Value) -> Vec<Value> {
    let numbers = |least: i128, most: i128| {
        let texts = [(least - 1).to_string(), (most + 1).to_string(), "1.5".to_owned()];
        texts.map(|text| serde_json::from_str(&text).unwrap()).into_iter().chain([json!("x"), json!({}), json!([]), json!(true)]).collect()
    };
    match field["type"].as_str().unwrap() {
        "string" => vec![json!({}), json!([]), json!(7), json!(true)],
        "boolean" => vec![json!({}), json!("yes"), json!(2)],
        "uuid" => vec![json!({}), json!(7), json!("0b9c9cb4"), json!("0b9c9cb4-4f3c-46c7-a1f6-ecd4a29b6b8g")],
        "enum" => vec![json!({}), json!("none of them")],
        "uint8" => numbers(0, u8::MAX.into()),
        "uint16" => numbers(0, u16::MAX.into()),
        "uint32" => numbers(0, u32::MAX.into()),
        "uint64" => numbers(0, u64::MAX.into()),
        "int32" => numbers(i32::MIN.into(), i32::MAX.into()),
        "array" | "bitmask" => vec![json!({}), json!("x"), json!([{"a": 1}])],
        "object" => vec![json!([]), json!("x"), json!({"no_such_member": 1})],
        other => panic!("{other} is a new type: teach it to this test"),
    }
}

/// Only what must be given.
fn required(fields: &Value) -> Value {
    let fields = fields.as_array().unwrap().iter().filter(|one| one["required"] == true);
    Value::Object(fields.map(|one| (one["name"].as_str().unwrap().to_owned(), right(one))).collect())
}

fn with(params: &Value, name: &str, value: Value) -> Value {
    let mut params: Map<_, _> = params.as_object().unwrap().clone();
    params.insert(name.to_owned(), value);
    params.into()
}

/// Calls it with everything that its parameters must not be; each time it says which one is at fault.
fn refuses(wire: &mut Wire, method: &Value, code: i64) {
    let name = method["name"].as_str().unwrap();
    let message = if code == -32603 { "spdk_json_decode_object failed" } else { "Invalid parameters" };
    let mut refused = |params: Value, fault: &str| {
        let error = wire.call(name, params.clone()).expect_err(name);
        assert_eq!((&error["code"], &error["message"]), (&json!(code), &json!(message)), "{name} {params}");
        assert!(fault.is_empty() || error["data"].as_str().is_some_and(|it| it.contains(fault)), "{name} {params}: no {fault} in {error}");
    };
    let least = required(&method["params"]);
    refused(with(&least, "no_such_parameter", json!(1)), "no_such_parameter");
    refused(json!([1, 2]), "");
    for field in method["params"].as_array().unwrap() {
        let parameter = field["name"].as_str().unwrap();
        for value in wrong(field) {
            refused(with(&least, parameter, value), parameter);
        }
        if field["required"] == true {
            let mut without = least.clone();
            without.as_object_mut().unwrap().remove(parameter);
            refused(without, parameter);
            refused(with(&least, parameter, Value::Null), parameter);
        }
    }
}

fn walk(folder: &Folder, state: &str) {
    let interface: Value = serde_json::from_str(INTERFACE).unwrap();
    let mut wire = Wire::to(folder);
    let (mut here, mut elsewhere) = (0, 0);
    for method in methods(&mut wire) {
        let name = method["name"].as_str().unwrap();
        if method["callable_in"].as_array().unwrap().contains(&json!(state)) {
            let internal = interface["methods"][name]["decode"] == "internal";
            refuses(&mut wire, &method, if internal { -32603 } else { -32602 });
            here += 1;
        } else {
            let error = wire.call(name, required(&method["params"])).unwrap_err();
            assert!(error["code"] == -1 && error["message"].as_str().unwrap().starts_with("Method may only be called"), "{name}: {error}");
            elsewhere += 1;
        }
    }
    assert!(here > 0 && elsewhere > 0);
    Wire::to(folder).call("spdk_get_version", json!({})).unwrap();
}

#[test]
fn wrong_parameters_are_refused_by_every_method_and_nothing_comes_of_them() {
    let folder = Folder::new();
    let server = serve(&folder, &["--wait-for-rpc"]);
    walk(&folder, "startup");
    let mut wire = Wire::to(&folder);
    wire.call("framework_start_init", json!({})).unwrap();
    walk(&folder, "runtime");
    assert_eq!(wire.call("bdev_get_bdevs", json!({})), Ok(json!([])));
    assert_eq!(wire.call("nvmf_get_transports", json!({})), Ok(json!([])));
    stop(server);
}

const NQN: &str = "nqn.2016-06.io.spdk:cnode1";
const HOST: &str = "nqn.2014-08.org.nvmexpress:uuid:8c2d3f0e-6a57-4f6b-9d25-0123456789ab";

/// What can be called before the start, with what it takes.
fn early() -> Vec<(&'static str, Value)> {
    vec![
        ("bdev_set_options", json!({"bdev_io_pool_size": 4096, "bdev_io_cache_size": 128})),
        ("framework_set_scheduler", json!({"name": "static"})),
        ("nvmf_set_max_subsystems", json!({"max_subsystems": 64})),
        ("sock_set_default_impl", json!({"impl_name": "posix"})),
        ("sock_impl_set_options", json!({"impl_name": "posix", "enable_quickack": true})),
    ]
}

/// Identify Controller, as `bdev_nvme_send_cmd` takes commands.
const IDENTIFY: &str = "BgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";

/// What needs something there, in an order in which it is.
fn valid(folder: &Folder, port: u16) -> Vec<(&'static str, Value)> {
    let path = |file: &str| folder.path().join(file).display().to_string();
    let listen = json!({"trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": port.to_string()});
    let own = json!({"name": "Self", "trtype": "TCP", "traddr": "127.0.0.1", "trsvcid": port.to_string(), "subnqn": NQN});
    vec![
        ("bdev_malloc_create", json!({"name": "M", "num_blocks": 2048, "block_size": 512})),
        ("bdev_null_create", json!({"name": "N", "num_blocks": 2048, "block_size": 4096})),
        ("bdev_null_resize", json!({"name": "N", "new_size": 16})),
        ("bdev_aio_create", json!({"name": "A", "filename": path("a.img"), "block_size": 512})),
        ("bdev_aio_rescan", json!({"name": "A"})),
        ("bdev_uring_create", json!({"name": "U", "filename": path("u.img")})),
        ("bdev_uring_rescan", json!({"name": "U"})),
        ("bdev_passthru_create", json!({"name": "P", "base_bdev_name": "N"})),
        ("bdev_nvme_set_hotplug", json!({"enable": false})),
        ("fsdev_set_opts", json!({"fsdev_io_pool_size": 1024, "fsdev_io_cache_size": 64})),
        ("bdev_examine", json!({"name": "M"})),
        ("bdev_get_bdevs", json!({"name": "P", "timeout": 1})),
        ("bdev_get_iostat", json!({"names": ["M"], "per_channel": true, "reset_mode": "maxmin"})),
        ("bdev_reset_iostat", json!({"name": "M", "mode": "error"})),
        ("bdev_set_qos_limit", json!({"name": "M", "rw_ios_per_sec": 1001})),
        ("doorbell_bdev_set_timeout", json!({"name": "M", "timeout_us": 1_000_000})),
        ("bdev_enable_histogram", json!({"name": "M", "enable": true})),
        ("bdev_get_histogram", json!({"name": "M"})),
        ("nvmf_create_transport", json!({"trtype": "TCP", "max_queue_depth": 32})),
        ("nvmf_create_subsystem", json!({"nqn": NQN, "serial_number": "S"})),
        (
            "nvmf_subsystem_add_ns",
            json!({"nqn": NQN, "namespace": {"bdev_name": "M", "nsid": 3, "uuid": "5c2d3f0e-6a57-4f6b-9d25-0123456789ab"}}),
        ),
        ("nvmf_subsystem_add_listener", json!({"nqn": NQN, "listen_address": listen})),
        ("nvmf_subsystem_add_host", json!({"nqn": NQN, "host": HOST})),
        ("nvmf_subsystem_get_controllers", json!({"nqn": NQN})),
        ("nvmf_subsystem_get_qpairs", json!({"nqn": NQN})),
        ("nvmf_subsystem_get_listeners", json!({"nqn": NQN})),
        ("nvmf_subsystem_allow_any_host", json!({"nqn": NQN, "allow_any_host": true})),
        ("framework_get_config", json!({"name": "nvmf"})),
        ("bdev_nvme_attach_controller", own),
        // The target's first controller.
        ("bdev_nvme_set_preferred_path", json!({"name": "Selfn3", "cntlid": 1})),
        ("bdev_nvme_get_controller_health_info", json!({"name": "Self"})),
        ("bdev_nvme_send_cmd", json!({"name": "Self", "cmd_type": "admin", "data_direction": "c2h", "cmdbuf": IDENTIFY, "data_len": 4096})),
        ("bdev_nvme_add_error_injection", json!({"name": "Self", "cmd_type": "io", "opc": 0xff, "sct": 1, "sc": 1})),
        ("bdev_nvme_remove_error_injection", json!({"name": "Self", "cmd_type": "io", "opc": 0xff})),
        ("bdev_nvme_reset_controller", json!({"name": "Self"})),
        ("bdev_nvme_disable_controller", json!({"name": "Self"})),
        ("bdev_nvme_enable_controller", json!({"name": "Self"})),
        ("bdev_nvme_start_discovery", json!({"name": "Found", "trtype": "TCP", "traddr": "127.0.0.1", "trsvcid": port.to_string()})),
        ("bdev_nvme_stop_discovery", json!({"name": "Found"})),
        ("bdev_nvme_get_io_paths", json!({"name": "Selfn3"})),
        ("bdev_nvme_set_multipath_policy", json!({"name": "Selfn3", "policy": "active_passive"})),
        ("bdev_nvme_detach_controller", json!({"name": "Self"})),
        ("nvmf_subsystem_remove_host", json!({"nqn": NQN, "host": HOST})),
        ("nvmf_subsystem_remove_listener", json!({"nqn": NQN, "listen_address": listen})),
        ("nvmf_subsystem_remove_ns", json!({"nqn": NQN, "nsid": 3})),
        ("nvmf_delete_subsystem", json!({"nqn": NQN})),
        ("bdev_passthru_delete", json!({"name": "P"})),
        ("bdev_uring_delete", json!({"name": "U"})),
        ("bdev_aio_delete", json!({"name": "A"})),
        ("bdev_null_delete", json!({"name": "N"})),
        ("bdev_malloc_delete", json!({"name": "M"})),
        ("log_set_flag", json!({"flag": "nvmf"})),
        ("log_clear_flag", json!({"flag": "nvmf"})),
        ("log_set_level", json!({"level": "NOTICE"})),
        ("log_set_print_level", json!({"level": "NOTICE"})),
        ("log_enable_timestamps", json!({"enabled": true})),
    ]
}

/// The same of volumes.
fn volumes() -> Vec<(&'static str, Value)> {
    vec![
        ("bdev_malloc_create", json!({"name": "Base", "num_blocks": 65536, "block_size": 512})),
        ("bdev_malloc_create", json!({"name": "Gold", "num_blocks": 2048, "block_size": 512})),
        ("bdev_lvol_create_lvstore", json!({"bdev_name": "Base", "lvs_name": "lvs", "cluster_sz": 1_048_576, "md_page_size": 4096})),
        ("bdev_lvol_create", json!({"lvs_name": "lvs", "lvol_name": "v", "size_in_mib": 1, "thin_provision": true})),
        ("bdev_lvol_rename", json!({"old_name": "lvs/v", "new_name": "w"})),
        ("bdev_lvol_rename_lvstore", json!({"old_name": "lvs", "new_name": "store"})),
        ("bdev_lvol_grow_lvstore", json!({"lvs_name": "store"})),
        ("bdev_lvol_snapshot", json!({"lvol_name": "store/w", "snapshot_name": "s"})),
        ("doorbell_bdev_lvol_snapshot_group", json!({"snapshots": [{"lvol_name": "store/w", "snapshot_name": "t"}]})),
        ("bdev_lvol_clone", json!({"snapshot_name": "store/s", "clone_name": "c"})),
        ("bdev_lvol_set_parent", json!({"lvol_name": "store/c", "parent_name": "store/t"})),
        ("bdev_lvol_decouple_parent", json!({"name": "store/c"})),
        ("bdev_lvol_set_parent_bdev", json!({"lvol_name": "store/c", "parent_name": "Gold"})),
        ("bdev_lvol_clone_bdev", json!({"bdev": "Gold", "lvs_name": "store", "clone_name": "g"})),
        ("bdev_lvol_inflate", json!({"name": "store/c"})),
        ("bdev_lvol_resize", json!({"name": "store/c", "size_in_mib": 2})),
        ("bdev_lvol_set_read_only", json!({"name": "store/c"})),
        ("bdev_malloc_create", json!({"name": "To", "num_blocks": 4096, "block_size": 512})),
        ("bdev_lvol_start_shallow_copy", json!({"src_lvol_name": "store/c", "dst_bdev_name": "To"})),
        ("bdev_lvol_check_shallow_copy", json!({"operation_id": 1})),
        ("bdev_lvol_delete", json!({"name": "store/g"})),
        ("bdev_lvol_delete_lvstore", json!({"lvs_name": "store"})),
    ]
}

/// Calls what is given, then whatever takes nothing; the names of what was called.
fn take(wire: &mut Wire, state: &str, given: Vec<(&'static str, Value)>) -> BTreeSet<String> {
    let mut called = BTreeSet::new();
    for (name, params) in given {
        wire.call(name, params.clone()).unwrap_or_else(|error| panic!("{name} {params}: {error}"));
        called.insert(name.to_owned());
    }
    for method in methods(wire) {
        let name = method["name"].as_str().unwrap();
        let needs = method["params"].as_array().unwrap().iter().any(|one| one["required"] == true);
        let now = method["callable_in"].as_array().unwrap().contains(&json!(state));
        // These two wait for what this test does next.
        if now && !needs && !called.contains(name) && !["framework_start_init", "framework_wait_init"].contains(&name) {
            wire.call(name, json!({})).unwrap_or_else(|error| panic!("{name}: {error}"));
            called.insert(name.to_owned());
        }
    }
    called
}

#[test]
fn right_parameters_are_taken_by_every_method() {
    let folder = Folder::new();
    for file in ["a.img", "u.img"] {
        std::fs::File::create(folder.path().join(file)).unwrap().set_len(1 << 20).unwrap();
    }
    let server = serve(&folder, &["--wait-for-rpc"]);
    let mut wire = Wire::to(&folder);
    let mut called = take(&mut wire, "startup", early());
    for name in ["framework_start_init", "framework_wait_init"] {
        assert_eq!(wire.call(name, json!({})), Ok(json!(true)));
        called.insert(name.to_owned());
    }
    called.extend(take(&mut wire, "runtime", [valid(&folder, port()), volumes()].concat()));
    let all = methods(&mut wire);
    let missed: Vec<_> = all.iter().map(|one| one["name"].as_str().unwrap()).filter(|name| !called.contains(*name)).collect();
    // No controller here takes firmware.
    assert_eq!(missed, ["bdev_nvme_apply_firmware", "spdk_kill_instance"], "give these a line in `valid`");
    assert_eq!(wire.call("spdk_kill_instance", json!({"sig_name": "SIGTERM"})), Ok(json!(true)));
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}
