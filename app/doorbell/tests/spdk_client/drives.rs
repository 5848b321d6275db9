//! NVMe controllers attached, listed and let go by SPDK's client; another server is the drive.

use crate::by_hand::Wire;
use crate::client::{Client, port, serve, stop};
use crate::configure::{NQN, configured};
use crate::support::Folder;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::TcpListener;

#[test]
fn controllers_are_attached_listed_and_detached() {
    let folder = Folder::new();
    let ports = [port(), port()];
    let (drive, _) = configured(&folder, ports);
    let here = Folder::new();
    let server = serve(&here, &["--empty"]);
    let mut client = Client::of(&here);
    let at = ports[0].to_string();
    let attach = format!("bdev_nvme_attach_controller -b Nvme0 -t tcp -a 127.0.0.1 -f ipv4 -s {at} -n {NQN}");
    client.ok(&attach);
    assert_eq!(client.ok("bdev_get_bdevs -b Nvme0n1")[0]["name"], "Nvme0n1");

    let bdev = client.ok("bdev_get_bdevs -b Nvme0n7");
    let bdev = &bdev[0];
    assert_eq!((&bdev["product_name"], &bdev["block_size"], &bdev["num_blocks"]), (&json!("NVMe disk"), &json!(512), &json!(16384)));
    let nvme = &bdev["driver_specific"]["nvme"][0];
    assert_eq!(nvme["trid"], json!({"trtype": "TCP", "adrfam": "ipv4", "traddr": "127.0.0.1", "trsvcid": at, "subnqn": NQN}));
    assert_eq!((&nvme["ctrlr_data"]["serial_number"], &nvme["ctrlr_data"]["model_number"]), (&json!("SPDK00000000000001"), &json!("SPDK")));
    assert_eq!((&nvme["ns_data"]["id"], &nvme["ctrlr_data"]["subnqn"]), (&json!(7), &json!(NQN)));
    assert!(nvme["vs"]["nvme_version"].is_string() && bdev["driver_specific"]["mp_policy"] == "active_passive");

    let listed = client.ok("bdev_nvme_get_controllers -n Nvme0");
    assert_eq!((&listed[0]["name"], &listed[0]["ctrlrs"][0]["state"]), (&json!("Nvme0"), &json!("enabled")));
    assert_eq!(client.ok("bdev_nvme_get_controllers").as_array().map(Vec::len), Some(1));
    client.ok("bdev_nvme_reset_controller Nvme0");
    client.ok("bdev_nvme_detach_controller Nvme0");
    assert_eq!(client.ok("bdev_nvme_get_controllers"), json!([]));
    stop(server);
    stop(drive);
}

#[test]
fn max_bdevs_bounds_what_is_made_and_a_number_that_is_not_there_is_refused() {
    let folder = Folder::new();
    let ports = [port(), port()];
    let (drive, _) = configured(&folder, ports);
    let here = Folder::new();
    let server = serve(&here, &["--empty"]);
    let mut wire = Wire::to(&here);
    let at =
        json!({"name": "Nvme0", "trtype": "TCP", "traddr": "127.0.0.1", "trsvcid": ports[0].to_string(), "subnqn": NQN, "max_bdevs": 1});
    assert_eq!(wire.call("bdev_nvme_attach_controller", at), Ok(json!(["Nvme0n1"])));
    let made = wire.call("bdev_get_bdevs", json!({})).unwrap();
    assert_eq!((made[0]["name"].as_str(), made.as_array().map(Vec::len)), (Some("Nvme0n1"), Some(1)), "{made}");
    let cntlid = wire.call("bdev_nvme_get_controllers", json!({})).unwrap()[0]["ctrlrs"][0]["cntlid"].as_u64().unwrap();
    for (asked, code) in [(cntlid + 1000, Some(-19)), (cntlid, None), (0, None)] {
        let answer = wire.call("bdev_nvme_reset_controller", json!({"name": "Nvme0", "cntlid": asked}));
        assert_eq!(answer.err().map(|error| error["code"].as_i64().unwrap()), code, "{asked}");
    }
    stop(server);
    stop(drive);
}

#[test]
fn a_name_is_attached_once_at_a_time() {
    let folder = Folder::new();
    let server = serve(&folder, &["--empty"]);
    // One that takes a connection and says nothing holds the first attempt up until it goes.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = json!({"name": "Nvme0", "trtype": "TCP", "traddr": "127.0.0.1", "trsvcid": silent.local_addr().unwrap().port().to_string(),
        "subnqn": NQN, "fabrics_connect_timeout_us": 60_000_000});
    let first = std::thread::spawn({
        let (mut wire, at) = (Wire::to(&folder), at.clone());
        move || wire.call("bdev_nvme_attach_controller", at)
    });
    let (held, _) = silent.accept().unwrap();
    let mut wire = Wire::to(&folder);
    let second = wire.call("bdev_nvme_attach_controller", at).unwrap_err();
    assert_eq!(second["code"], -16, "{second}");
    assert_eq!(wire.call("bdev_nvme_detach_controller", json!({"name": "Nvme0"})).unwrap_err()["code"], -16);
    drop(held);
    assert_eq!(first.join().unwrap().unwrap_err()["code"], -5);
    assert_eq!(wire.call("bdev_nvme_detach_controller", json!({"name": "Nvme0"})).unwrap_err()["code"], -19);
    let (status, log) = server.stop(Signal::TERM);
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn what_this_process_serves_itself_by_vfio_user_is_refused_at_once() {
    let folder = Folder::new();
    let (server, _) = configured(&folder, [port(), port()]);
    let mut wire = Wire::to(&folder);
    let at = folder.path().join("vm0");
    std::fs::create_dir_all(&at).unwrap();
    wire.call("nvmf_create_transport", json!({"trtype": "VFIOUSER"})).unwrap();
    let listen = json!({"nqn": NQN, "listen_address": {"trtype": "VFIOUSER", "traddr": at}});
    wire.call("nvmf_subsystem_add_listener", listen).unwrap();
    let own = wire.call("bdev_nvme_attach_controller", json!({"name": "Own", "trtype": "VFIOUSER", "traddr": at})).unwrap_err();
    assert!(own["data"].as_str().is_some_and(|why| why.contains("this process serves it itself")), "{own}");
    stop(server);
}

#[test]
fn paths_and_discovery_services_in_the_words_of_spdks_client() {
    let folder = Folder::new();
    let (ports, third) = ([port(), port()], port());
    let (drive, mut there) = configured(&folder, ports);
    there.ok(&format!("nvmf_subsystem_add_listener {NQN} -t tcp -a 127.0.0.1 -f ipv4 -s {third}"));
    let here = Folder::new();
    let server = serve(&here, &["--empty"]);
    let mut client = Client::of(&here);
    let at = |port: u16| format!("-t tcp -a 127.0.0.1 -f ipv4 -s {port} -n {NQN}");
    client.ok(&format!("bdev_nvme_attach_controller -b Nvme0 {}", at(ports[0])));
    assert_eq!(client.refused(&format!("bdev_nvme_attach_controller -b Nvme0 {}", at(third))).code, -17);
    client.ok(&format!("bdev_nvme_attach_controller -b Nvme0 {} -x failover", at(third)));
    assert_eq!(client.refused(&format!("bdev_nvme_attach_controller -b Nvme0 {} -x failover", at(third))).code, -114);
    let listed = client.ok("bdev_nvme_get_controllers -n Nvme0");
    let listed = &listed[0]["ctrlrs"][0];
    assert_eq!(listed["alternate_trids"][0]["trsvcid"], third.to_string(), "{listed}");
    assert!(client.ok("bdev_nvme_get_io_paths -n Nvme0n1")["poll_groups"].is_array());
    client.ok(&format!("bdev_nvme_set_preferred_path -b Nvme0n1 -c {}", listed["cntlid"]));
    client.ok(&format!("bdev_nvme_detach_controller Nvme0 -t tcp -a 127.0.0.1 -s {}", ports[0]));
    assert_eq!(client.ok("bdev_nvme_get_controllers")[0]["ctrlrs"][0]["trid"]["trsvcid"], third.to_string());
    client.ok("bdev_nvme_detach_controller Nvme0");
    client.ok(&format!("bdev_nvme_start_discovery -b Far -t tcp -a 127.0.0.1 -f ipv4 -s {} -w", ports[0]));
    assert_eq!(client.ok("bdev_nvme_get_discovery_info")[0]["trid"]["trsvcid"], ports[0].to_string());
    assert_eq!(client.ok("bdev_nvme_get_controllers")[0]["name"], "Far0");
    client.ok("bdev_nvme_stop_discovery -b Far");
    assert_eq!(client.ok("bdev_nvme_get_controllers"), json!([]));
    stop(server);
    stop(drive);
}

#[test]
fn commands_end_as_was_asked_for() {
    let folder = Folder::new();
    let ports = [port(), port()];
    let (drive, _) = configured(&folder, ports);
    let here = Folder::new();
    let server = serve(&here, &["--empty"]);
    let mut wire = Wire::to(&here);
    let at = json!({"name": "Nvme0", "trtype": "TCP", "traddr": "127.0.0.1", "trsvcid": ports[0].to_string(), "subnqn": NQN});
    wire.call("bdev_nvme_attach_controller", at).unwrap();
    let add = |more: serde_json::Value| {
        let mut all = json!({"name": "Nvme0", "cmd_type": "admin", "opc": 2});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let health = json!({"name": "Nvme0"});
    // Nothing goes out and comes back as a success, and nothing is asked for no times.
    for wrong in [json!({"do_not_submit": true}), json!({"sct": 8}), json!({"sc": 1, "err_count": 0})] {
        assert_eq!(wire.call("bdev_nvme_add_error_injection", add(wrong)).unwrap_err()["code"], -22);
    }
    for is_kept in [true, false] {
        let fault = json!({"do_not_submit": is_kept, "err_count": 2, "timeout_in_us": 1000, "sct": 0, "sc": 6});
        assert_eq!(wire.call("bdev_nvme_add_error_injection", add(fault)), Ok(json!(true)));
        for _ in 0..2 {
            let refused = wire.call("bdev_nvme_get_controller_health_info", health.clone()).unwrap_err();
            assert_eq!(refused["code"], -5, "{refused}");
        }
        assert!(wire.call("bdev_nvme_get_controller_health_info", health.clone()).is_ok());
    }
    // On an I/O queue: a flush of namespace 1, as it is.
    let image = json!({"filename": "/dev/null", "bdev_name": "Nvme0n1"});
    assert_eq!(wire.call("bdev_nvme_apply_firmware", image).unwrap_err()["code"], -95);
    let flush = json!({"name": "Nvme0n1", "cmd_type": "io", "data_direction": "h2c", "cmdbuf": "A".repeat(86) + "=="});
    // The last two bytes of the completion are its status.
    let ends = |wire: &mut Wire| wire.call("bdev_nvme_send_cmd", flush.clone()).unwrap()["cpl"].as_str().unwrap()[18..].to_owned();
    assert_eq!(ends(&mut wire), "AAAA==");
    let fault = json!({"cmd_type": "io", "opc": 0, "do_not_submit": true, "err_count": 3, "sct": 2, "sc": 0x81});
    wire.call("bdev_nvme_add_error_injection", add(fault)).unwrap();
    assert_eq!(ends(&mut wire), "8CBQ==");
    wire.call("bdev_nvme_remove_error_injection", json!({"name": "Nvme0", "cmd_type": "io", "opc": 0})).unwrap();
    assert_eq!(ends(&mut wire), "AAAA==");
    stop(server);
    stop(drive);
}

#[test]
fn a_controller_that_is_disabled_stands_still_until_it_is_enabled() {
    let folder = Folder::new();
    let ports = [port(), port()];
    let (drive, _) = configured(&folder, ports);
    let here = Folder::new();
    let server = serve(&here, &["--empty"]);
    let mut wire = Wire::to(&here);
    let at = json!({"name": "Nvme0", "trtype": "TCP", "traddr": "127.0.0.1", "trsvcid": ports[0].to_string(), "subnqn": NQN});
    wire.call("bdev_nvme_attach_controller", at).unwrap();
    let name = json!({"name": "Nvme0"});
    let state = |wire: &mut Wire| wire.call("bdev_nvme_get_controllers", json!({})).unwrap()[0]["ctrlrs"][0]["state"].clone();
    let flush = json!({"name": "Nvme0n1", "cmd_type": "io", "data_direction": "h2c", "cmdbuf": "A".repeat(86) + "=="});
    let refused = |wire: &mut Wire, method: &str, with: &Value| wire.call(method, with.clone()).unwrap_err()["code"].clone();
    assert_eq!(refused(&mut wire, "bdev_nvme_enable_controller", &name), -114);
    assert_eq!(refused(&mut wire, "bdev_nvme_disable_controller", &json!({"name": "Nvme0", "cntlid": 77})), -19);
    for _ in 0..2 {
        assert_eq!(wire.call("bdev_nvme_disable_controller", name.clone()), Ok(json!(true)));
        assert_eq!(state(&mut wire), "disabled");
        assert_eq!(refused(&mut wire, "bdev_nvme_disable_controller", &name), -114);
        for (method, with) in
            [("bdev_nvme_reset_controller", &name), ("bdev_nvme_get_controller_health_info", &name), ("bdev_nvme_send_cmd", &flush)]
        {
            assert_eq!(refused(&mut wire, method, with), -5, "{method}");
        }
        assert_eq!(wire.call("bdev_nvme_enable_controller", name.clone()), Ok(json!(true)));
        assert_eq!(state(&mut wire), "enabled");
        wire.call("bdev_nvme_send_cmd", flush.clone()).unwrap();
    }
    // One that is sought can be disabled too: it is sought no more. And one that stands still can be let go.
    stop(drive);
    wire.call("bdev_nvme_disable_controller", name.clone()).unwrap();
    assert_eq!(state(&mut wire), "disabled");
    wire.call("bdev_nvme_detach_controller", name).unwrap();
    stop(server);
}
