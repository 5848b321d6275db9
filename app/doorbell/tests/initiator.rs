//! Doorbell as a host: its own target over TCP and over vfio-user, killed and started again on either side.

mod proxy;
mod support;

use proxy::Proxy;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use support::{Folder, Server, free_port};

const DEADLINE: Duration = Duration::from_secs(60);

/// A configuration with one controller.
fn config(folder: &Folder, params: Value) {
    let config = json!({"subsystems": [{"subsystem": "bdev", "config": [{"method": "bdev_nvme_attach_controller", "params": params}]}]});
    std::fs::write(folder.path().join("drive.json"), config.to_string()).unwrap();
}

/// Begins a verified load on its first namespace.
fn load(folder: &Folder, seconds: &str) -> Child {
    let words = "perf block --json --config drive.json --device Nvme0n1 --pattern randrw --verify --destroy-data --queue-depth 32 --time";
    let words: Vec<&str> = words.split(' ').chain([seconds]).collect();
    folder.command(&words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// How it ended: whether all was well, and its figures.
fn figures(child: Child) -> (bool, Value) {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().last().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.success(), serde_json::from_str(last).unwrap())
}

/// I/O commands that a target has answered so far.
fn answered(folder: &Folder) -> u64 {
    let stats = folder.rpc(&["nvmf_get_stats"]).unwrap();
    stats["poll_groups"].as_array().unwrap().iter().filter_map(|group| group["completed_nvme_io"].as_u64()).sum()
}

/// Waits until a target has answered a thousand more.
fn until_loaded(folder: &Folder, before: u64) {
    let until = Instant::now() + DEADLINE;
    loop {
        if answered(folder) >= before + 1000 {
            return;
        }
        assert!(Instant::now() < until, "no load comes");
        std::thread::yield_now();
    }
}

fn target(folder: &Folder, listen: &str) -> Server {
    folder.serve(&["--file", "disk.img,size=64M", "--allow-any-host", "--listen", listen, "--nqn", NQN]).ready()
}

const NQN: &str = "nqn.2026-11.io.doorbell:initiator";

#[test]
fn a_target_that_is_killed_under_load_is_found_again_and_nothing_is_lost() {
    let (there, here) = (Folder::new(), Folder::new());
    let port = free_port().to_string();
    let server = target(&there, &format!("127.0.0.1:{port}"));
    let tcp = json!({"name": "Nvme0", "trtype": "TCP", "traddr": "127.0.0.1", "trsvcid": port, "subnqn": NQN,
        "hdgst": true, "ddgst": true, "reconnect_delay_sec": 1});
    config(&here, tcp);
    let load = load(&here, "4");
    until_loaded(&there, 0);
    server.signal(Signal::KILL);
    drop(server);
    let server = target(&there, &format!("127.0.0.1:{port}"));
    until_loaded(&there, 0);
    let (clean, out) = figures(load);
    assert!(clean && out["errors"] == 0 && out["verified"].as_u64().unwrap() > 0, "{out}");
    drop(server);
}

/// A target that serves memory over vfio-user beside TCP.
fn endpoint(folder: &Folder) -> Server {
    let server = folder.serve(&["--malloc", "64M", "--allow-any-host", "--listen", "127.0.0.1:0", "--nqn", NQN]).ready();
    folder.rpc(&["nvmf_create_transport", "trtype=VFIOUSER"]).unwrap();
    let at = folder.path().join("vm0");
    std::fs::create_dir_all(&at).unwrap();
    let (nqn, traddr) = (format!("nqn={NQN}"), format!("listen_address.traddr={}", at.display()));
    folder.rpc(&["nvmf_subsystem_add_listener", &nqn, "listen_address.trtype=VFIOUSER", &traddr]).unwrap();
    server
}

fn by_vfio_user(here: &Folder, there: &Folder) {
    config(here, json!({"name": "Nvme0", "trtype": "VFIOUSER", "traddr": there.path().join("vm0")}));
}

#[test]
fn over_vfio_user_either_side_may_die_and_the_other_goes_on() {
    let (there, here) = (Folder::new(), Folder::new());
    let server = endpoint(&there);
    by_vfio_user(&here, &there);
    let (clean, out) = figures(load(&here, "0.5"));
    assert!(clean && out["errors"] == 0 && out["verified"].as_u64().unwrap() > 0, "{out}");
    // The host dies in the middle of it: the next one is served as if nothing had been.
    let before = answered(&there);
    let mut dying = load(&here, "30");
    until_loaded(&there, before);
    dying.kill().unwrap();
    dying.wait().unwrap();
    let (clean, out) = figures(load(&here, "0.5"));
    assert!(clean && out["errors"] == 0, "{out}");
    // The target dies: the device has gone, every request ends, and so does the load. Once it is back it can be attached again.
    let before = answered(&there);
    let orphan = load(&here, "4");
    until_loaded(&there, before);
    server.signal(Signal::KILL);
    drop(server);
    let (clean, out) = figures(orphan);
    assert!(!clean && out["errors"].as_u64().unwrap() > 0, "{out}");
    let server = endpoint(&there);
    let (clean, out) = figures(load(&here, "0.5"));
    assert!(clean && out["errors"] == 0, "{out}");
    drop(server);
}

#[test]
fn a_drive_elsewhere_is_served_on() {
    let (there, here) = (Folder::new(), Folder::new());
    let far = target(&there, "127.0.0.1:0");
    let drive = format!("trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:{} subnqn:{NQN}", far.after(" -s "));
    let near =
        here.serve(&["--nvme", &drive, "--allow-any-host", "--listen", "127.0.0.1:0", "--nqn", "nqn.2026-11.io.doorbell:near"]).ready();
    assert!(near.banner().contains("Nvme0n1  64 MiB"), "{}", near.banner());
    let bdevs = here.rpc(&["bdev_get_bdevs"]).unwrap();
    let nvme = &bdevs[0]["driver_specific"]["nvme"][0];
    assert_eq!((&nvme["trid"]["trtype"], &nvme["ns_data"]["id"]), (&json!("TCP"), &json!(1)));
    assert_eq!(nvme["ctrlr_data"]["subnqn"], NQN);
    let saved = here.rpc(&["framework_get_config", "name=bdev"]).unwrap();
    assert!(saved.to_string().contains("bdev_nvme_attach_controller"), "{saved}");
    here.rpc(&["bdev_nvme_reset_controller", "name=Nvme0"]).unwrap();
    let health = here.rpc(&["bdev_nvme_get_controller_health_info", "name=Nvme0"]).unwrap();
    assert!(health["temperature_celsius"].is_i64() || health["temperature_celsius"].is_u64(), "{health}");
    // A host of the near one reads and writes the far one's disk.
    config(
        &here,
        json!({"name": "Nvme0", "trtype": "TCP", "traddr": "127.0.0.1", "trsvcid": near.after(" -s "),
        "subnqn": "nqn.2026-11.io.doorbell:near"}),
    );
    let (clean, out) = figures(load(&here, "0.5"));
    assert!(clean && out["errors"] == 0 && out["verified"].as_u64().unwrap() > 0, "{out}");
    here.rpc(&["bdev_nvme_detach_controller", "name=Nvme0"]).unwrap();
    assert_eq!(here.rpc(&["bdev_get_bdevs"]).unwrap(), json!([]));
    let (status, log) = near.stop(Signal::TERM);
    assert!(status.success(), "{log}");
}

#[test]
fn what_cannot_be_attached_says_why() {
    let (there, here) = (Folder::new(), Folder::new());
    let far = target(&there, "127.0.0.1:0");
    let near = here.serve(&["--malloc", "1M", "--allow-any-host", "--listen", "127.0.0.1:0"]).ready();
    let port = format!("trsvcid=\"{}\"", far.after(" -s "));
    let attach = |more: &[&str]| {
        let words: Vec<&str> = ["bdev_nvme_attach_controller", "name=N"].iter().chain(more).copied().collect();
        here.rpc(&words).unwrap_err()
    };
    let wrong = attach(&["trtype=TCP", "traddr=127.0.0.1", &port, "subnqn=nqn.2026-11.io.doorbell:other"]);
    assert!(wrong.contains("nqn.2026-11.io.doorbell:other"), "{wrong}");
    let nobody = attach(&["trtype=TCP", "traddr=127.0.0.1", "trsvcid=\"1\"", &format!("subnqn={NQN}")]);
    assert!(nobody.contains("127.0.0.1:1"), "{nobody}");
    let unbound = attach(&["trtype=PCIe", "traddr=ffff:1f:1f.7"]);
    assert!(unbound.contains("ffff:1f:1f.7"), "{unbound}");
    let none = attach(&["trtype=VFIOUSER", "traddr=/nowhere"]);
    assert!(none.contains("/nowhere"), "{none}");
    drop((near, far));
}

/// Lets a target be reached at one more port, which it says.
fn listen_more(folder: &Folder, port: u16) {
    let (nqn, at) = (format!("nqn={NQN}"), format!("listen_address.trsvcid=\"{port}\""));
    let words = ["nvmf_subsystem_add_listener", &nqn, "listen_address.trtype=TCP", "listen_address.traddr=127.0.0.1", &at];
    folder.rpc(&words).unwrap();
}

fn stop_listening(folder: &Folder, port: &str) {
    let (nqn, at) = (format!("nqn={NQN}"), format!("listen_address.trsvcid=\"{port}\""));
    let words = ["nvmf_subsystem_remove_listener", &nqn, "listen_address.trtype=TCP", "listen_address.traddr=127.0.0.1", &at];
    folder.rpc(&words).unwrap();
}

/// The same subsystem by another port.
fn path(port: &str) -> Value {
    json!({"name": "Nvme0", "trtype": "TCP", "traddr": "127.0.0.1", "trsvcid": port, "subnqn": NQN, "multipath": "failover",
        "reconnect_delay_sec": 1})
}

#[test]
fn when_a_path_is_lost_under_load_the_next_one_goes_on_and_nothing_is_lost() {
    let (there, here) = (Folder::new(), Folder::new());
    let (first, second) = (free_port().to_string(), free_port());
    let server = target(&there, &format!("127.0.0.1:{first}"));
    listen_more(&there, second);
    let calls: Vec<Value> =
        [&first, &second.to_string()].map(|port| json!({"method": "bdev_nvme_attach_controller", "params": path(port)})).into();
    let config = json!({"subsystems": [{"subsystem": "bdev", "config": calls}]});
    std::fs::write(here.path().join("drive.json"), config.to_string()).unwrap();
    let load = load(&here, "4");
    until_loaded(&there, 0);
    stop_listening(&there, &first);
    until_loaded(&there, answered(&there));
    // And back: the way that was lost first is the next one.
    listen_more(&there, first.parse().unwrap());
    stop_listening(&there, &second.to_string());
    until_loaded(&there, answered(&there));
    let (clean, out) = figures(load);
    assert!(clean && out["errors"] == 0 && out["verified"].as_u64().unwrap() > 0, "{out}");
    drop(server);
}

#[test]
fn requests_wait_while_their_controller_is_disabled_and_nothing_is_lost() {
    let (there, between, here) = (Folder::new(), Folder::new(), Folder::new());
    let far = target(&there, "127.0.0.1:0");
    let drive = format!("trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:{} subnqn:{NQN}", far.after(" -s "));
    let near = between.serve(&["--nvme", &drive, "--allow-any-host", "--listen", "127.0.0.1:0", "--nqn", NQN]).ready();
    config(&here, path(near.after(" -s ")));
    let load = load(&here, "4");
    let name = "name=Nvme0";
    for _ in 0..2 {
        until_loaded(&between, answered(&between));
        between.rpc(&["bdev_nvme_disable_controller", name]).unwrap();
        // All that was sent is done, and nothing comes any more.
        let before = answered(&there);
        between.rpc(&["bdev_nvme_get_controllers"]).unwrap();
        assert_eq!(answered(&there), before);
        between.rpc(&["bdev_nvme_enable_controller", name]).unwrap();
    }
    until_loaded(&between, answered(&between));
    let (clean, out) = figures(load);
    assert!(clean && out["errors"] == 0 && out["verified"].as_u64().unwrap() > 0, "{out}");
}

/// Waits until a controller is reached by this port.
fn until_at(folder: &Folder, port: &str) -> Value {
    let until = Instant::now() + DEADLINE;
    loop {
        let listed = folder.rpc(&["bdev_nvme_get_controllers", "name=Nvme0"]).unwrap()[0]["ctrlrs"][0].clone();
        if listed["trid"]["trsvcid"] == port && listed["state"] == "enabled" {
            return listed;
        }
        assert!(Instant::now() < until, "{listed}");
        std::thread::yield_now();
    }
}

/// A load on a way that falls silent, and then breaks, while another is there or not.
fn goes_on(paths: &[&str], proxy: &Proxy, there: &Folder) {
    let here = Folder::new();
    let options = json!({"method": "bdev_nvme_set_options", "params": {"keep_alive_timeout_ms": 1000}});
    let attach = paths.iter().map(|port| json!({"method": "bdev_nvme_attach_controller", "params": path(port)}));
    let calls: Vec<Value> = [options].into_iter().chain(attach).collect();
    let config = json!({"subsystems": [{"subsystem": "bdev", "config": calls}]});
    std::fs::write(here.path().join("drive.json"), config.to_string()).unwrap();
    let before = answered(there);
    let load = load(&here, "8");
    until_loaded(there, before);
    let known = proxy.connections();
    assert!(known > 0, "it goes through the proxy");
    proxy.fall_silent();
    // What was under way when it fell silent may still be answered, and counted; after a while without an end nothing is.
    let until = Instant::now() + DEADLINE;
    while paths.len() == 1 && proxy.connections() == known {
        assert!(Instant::now() < until, "nobody comes back");
        std::thread::yield_now();
    }
    until_loaded(there, answered(there) + 512);
    proxy.break_off();
    until_loaded(there, answered(there) + 512);
    let (clean, out) = figures(load);
    assert!(clean && out["errors"] == 0 && out["verified"].as_u64().unwrap() > 0, "{out}");
}

#[test]
fn a_way_that_falls_silent_or_breaks_under_load_is_found_again_and_nothing_is_lost() {
    let there = Folder::new();
    let server = target(&there, "127.0.0.1:0");
    let proxy = Proxy::to(server.after(" -s ").parse().unwrap());
    goes_on(&[&proxy.port().to_string()], &proxy, &there);
    drop(server);
}

#[test]
fn when_a_way_falls_silent_under_load_the_next_one_goes_on_and_nothing_is_lost() {
    let there = Folder::new();
    let server = target(&there, "127.0.0.1:0");
    let direct = server.after(" -s ").to_owned();
    let proxy = Proxy::to(direct.parse().unwrap());
    goes_on(&[&proxy.port().to_string(), &direct], &proxy, &there);
    drop(server);
}

#[test]
fn paths_are_added_listed_saved_and_taken_away() {
    let (there, other, here) = (Folder::new(), Folder::new(), Folder::new());
    let (server, stranger) = (target(&there, "127.0.0.1:0"), target(&other, "127.0.0.1:0"));
    let (first, second) = (server.after(" -s ").to_owned(), free_port());
    listen_more(&there, second);
    let second = second.to_string();
    let near = here.serve(&["--malloc", "1M", "--allow-any-host", "--listen", "127.0.0.1:0"]).ready();
    let attach = |port: &str, more: &[&str]| {
        let (port, nqn) = (format!("trsvcid=\"{port}\""), format!("subnqn={NQN}"));
        let words = ["bdev_nvme_attach_controller", "name=Nvme0", "trtype=TCP", "traddr=127.0.0.1", &port, &nqn];
        here.rpc(&words.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let detach = |more: &[&str]| here.rpc(&["bdev_nvme_detach_controller", "name=Nvme0"].iter().chain(more).copied().collect::<Vec<_>>());
    assert_eq!(attach(&first, &["reconnect_delay_sec=1"]).unwrap(), json!(["Nvme0n1"]));
    for (port, mode, why) in [
        (&second, "multipath=disable", "already"),
        (&second, "multipath=multipath", "several paths at once"),
        (&first, "multipath=failover", "has this path already"),
        // It calls itself the same and holds another disk.
        (&stranger.after(" -s ").to_owned(), "multipath=failover", "leads elsewhere"),
    ] {
        let refused = attach(port, &[mode]).unwrap_err();
        assert!(refused.contains(why), "{mode}: {refused}");
    }
    assert_eq!(attach(&second, &["multipath=failover"]).unwrap(), json!(["Nvme0n1"]));
    let listed = until_at(&here, &first);
    assert_eq!(listed["alternate_trids"][0]["trsvcid"], *second, "{listed}");
    let saved = here.rpc(&["framework_get_config", "name=bdev"]).unwrap();
    let calls = saved.as_array().unwrap().iter().filter(|call| call["method"] == "bdev_nvme_attach_controller");
    let saved: Vec<_> = calls.map(|call| (&call["params"]["trsvcid"], &call["params"]["multipath"])).collect();
    assert_eq!(saved, [(&json!(first), &Value::Null), (&json!(second), &json!("failover"))]);
    // The one in use is taken away: the other one is used.
    detach(&[&format!("trsvcid=\"{first}\"")]).unwrap();
    let listed = until_at(&here, &second);
    assert_eq!(listed["alternate_trids"], Value::Null, "{listed}");
    let shown = here.rpc(&["bdev_get_bdevs", "name=Nvme0n1"]).unwrap();
    assert_eq!(shown[0]["driver_specific"]["nvme"][0]["trid"]["trsvcid"], *second, "{shown}");
    assert!(detach(&[&format!("trsvcid=\"{first}\"")]).unwrap_err().contains("no such path"));
    // One that stands by is taken away: nothing else changes.
    attach(&first, &["multipath=failover"]).unwrap();
    detach(&[&format!("trsvcid=\"{first}\"")]).unwrap();
    assert_eq!(until_at(&here, &second)["alternate_trids"], Value::Null);
    detach(&[]).unwrap();
    assert_eq!(here.rpc(&["bdev_nvme_get_controllers"]).unwrap(), json!([]));
    drop((near, server, stranger));
}

/// Waits until the controllers that a server has are these, each with so many paths.
fn until_attached(folder: &Folder, wanted: &[(&str, usize)]) {
    let until = Instant::now() + DEADLINE;
    loop {
        let listed = folder.rpc(&["bdev_nvme_get_controllers"]).unwrap();
        let paths = |one: &Value| 1 + one["ctrlrs"][0]["alternate_trids"].as_array().map_or(0, Vec::len);
        let all = listed.as_array().unwrap().iter().map(|one| (one["name"].as_str().unwrap(), paths(one)));
        if all.collect::<Vec<_>>() == wanted {
            return;
        }
        assert!(Instant::now() < until, "not {wanted:?}: {listed}");
        std::thread::yield_now();
    }
}

/// Begins to follow the discovery service at a port.
fn follow(here: &Folder, name: &str, port: &str, more: &[&str]) -> Result<Value, String> {
    let (name, port) = (format!("name={name}"), format!("trsvcid=\"{port}\""));
    let words = ["bdev_nvme_start_discovery", &name, "trtype=TCP", "traddr=127.0.0.1", &port];
    here.rpc(&words.iter().chain(more).copied().collect::<Vec<_>>())
}

#[test]
fn what_cannot_be_attached_is_told_and_what_is_not_its_own_is_left_alone() {
    let (there, here) = (Folder::new(), Folder::new());
    let port = free_port().to_string();
    let server = target(&there, &format!("127.0.0.1:{port}"));
    let near = here.serve(&["--malloc", "1M", "--allow-any-host", "--listen", "127.0.0.1:0"]).ready();
    let long = "D".repeat(32);
    let refused = follow(&here, &long, &port, &["wait_for_attach=true"]).unwrap_err();
    assert!(refused.contains("1 to 32 characters") && refused.contains(&port), "{refused}");
    assert_eq!(here.rpc(&["bdev_nvme_get_discovery_info"]).unwrap(), json!([]));
    // Somebody takes away what it attached, and gives the name to a controller of their own.
    follow(&here, "D", &port, &["wait_for_attach=true"]).unwrap();
    until_attached(&here, &[("D0", 1)]);
    here.rpc(&["bdev_nvme_detach_controller", "name=D0"]).unwrap();
    let (nqn, service) = (format!("subnqn={NQN}"), format!("trsvcid=\"{port}\""));
    here.rpc(&["bdev_nvme_attach_controller", "name=D0", "trtype=TCP", "traddr=127.0.0.1", &service, &nqn]).unwrap();
    here.rpc(&["bdev_nvme_stop_discovery", "name=D"]).unwrap();
    until_attached(&here, &[("D0", 1)]);
    let (status, log) = near.stop(Signal::TERM);
    assert!(status.success(), "{log}");
    drop(server);
}

#[test]
fn a_discovery_service_that_says_nothing_holds_nobody_up() {
    let here = Folder::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let near = here.serve(&["--malloc", "1M", "--allow-any-host", "--listen", "127.0.0.1:0"]).ready();
    // It is given up by whoever has had enough of it, or not at all.
    here.rpc(&["bdev_nvme_set_options", "tcp_connect_timeout_ms=3600000"]).unwrap();
    let ends = |mut caller: std::net::TcpStream| {
        caller.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut bytes = [0; 256];
        while std::io::Read::read(&mut caller, &mut bytes).expect("the attempt goes on") > 0 {}
    };
    follow(&here, "D", &port, &[]).unwrap();
    let caller = silent.accept().unwrap().0;
    here.rpc(&["bdev_nvme_stop_discovery", "name=D"]).unwrap();
    ends(caller);
    // And the end of the process.
    follow(&here, "D", &port, &[]).unwrap();
    let caller = silent.accept().unwrap().0;
    let (status, log) = near.stop(Signal::TERM);
    assert!(status.success() && !log.contains("a bug"), "{log}");
    ends(caller);
}

#[test]
fn what_a_discovery_service_lists_is_attached_and_what_leaves_it_is_detached() {
    const MORE: &str = "nqn.2026-11.io.doorbell:more";
    let (there, here) = (Folder::new(), Folder::new());
    let (first, second) = (free_port().to_string(), free_port());
    let server = target(&there, &format!("127.0.0.1:{first}"));
    let near = here.serve(&["--malloc", "1M", "--allow-any-host", "--listen", "127.0.0.1:0"]).ready();
    let start = |port: &str, more: &[&str]| {
        let port = format!("trsvcid=\"{port}\"");
        let words = ["bdev_nvme_start_discovery", "name=D", "trtype=TCP", "traddr=127.0.0.1", &port];
        here.rpc(&words.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let nobody = start(&free_port().to_string(), &["attach_timeout_ms=200"]).unwrap_err();
    assert!(nobody.contains("attach_timeout_ms"), "{nobody}");
    assert_eq!(here.rpc(&["bdev_nvme_get_discovery_info"]).unwrap(), json!([]));
    start(&first, &["wait_for_attach=true"]).unwrap();
    until_attached(&here, &[("D0", 1)]);
    assert!(start(&first, &[]).unwrap_err().contains("already"));
    let info = here.rpc(&["bdev_nvme_get_discovery_info"]).unwrap();
    assert_eq!((&info[0]["name"], &info[0]["trid"]["trsvcid"]), (&json!("D"), &json!(first)), "{info}");
    let saved = here.rpc(&["framework_get_config", "name=bdev"]).unwrap().to_string();
    assert!(saved.contains("bdev_nvme_start_discovery") && !saved.contains("bdev_nvme_attach_controller"), "{saved}");
    // One more way to the same subsystem, and one more subsystem; then they go again.
    listen_more(&there, second);
    until_attached(&here, &[("D0", 2)]);
    there.rpc(&["bdev_null_create", "name=Null0", "num_blocks=2048", "block_size=4096"]).unwrap();
    let nqn = format!("nqn={MORE}");
    there.rpc(&["nvmf_create_subsystem", &nqn, "allow_any_host=true"]).unwrap();
    there.rpc(&["nvmf_subsystem_add_ns", &nqn, "namespace.bdev_name=Null0"]).unwrap();
    let at = format!("listen_address.trsvcid=\"{first}\"");
    there.rpc(&["nvmf_subsystem_add_listener", &nqn, "listen_address.trtype=TCP", "listen_address.traddr=127.0.0.1", &at]).unwrap();
    until_attached(&here, &[("D0", 2), ("D1", 1)]);
    assert_eq!(here.rpc(&["bdev_get_bdevs", "name=D1n1"]).unwrap()[0]["num_blocks"], 2048);
    stop_listening(&there, &second.to_string());
    until_attached(&here, &[("D0", 1), ("D1", 1)]);
    there.rpc(&["nvmf_delete_subsystem", &nqn]).unwrap();
    until_attached(&here, &[("D0", 1)]);
    // The service is lost and found again; what it lists then is there.
    server.signal(Signal::KILL);
    drop(server);
    let server = target(&there, &format!("127.0.0.1:{first}"));
    listen_more(&there, second);
    until_attached(&here, &[("D0", 2)]);
    here.rpc(&["bdev_nvme_stop_discovery", "name=D"]).unwrap();
    until_attached(&here, &[]);
    let (status, log) = near.stop(Signal::TERM);
    assert!(status.success(), "{log}");
    drop(server);
}

#[test]
fn a_namespace_that_takes_anothers_place_while_its_target_is_away_is_a_new_device() {
    let (there, here) = (Folder::new(), Folder::new());
    let port = free_port().to_string();
    let listen = format!("127.0.0.1:{port}");
    // A disk of memory is another one, with another UUID, each time.
    let far = || there.serve(&["--malloc", "16M", "--allow-any-host", "--listen", &listen, "--nqn", NQN]).ready();
    let server = far();
    let near = here.serve(&["--malloc", "1M", "--allow-any-host", "--listen", "127.0.0.1:0"]).ready();
    let (port, nqn) = (format!("trsvcid=\"{port}\""), format!("subnqn={NQN}"));
    let words = ["bdev_nvme_attach_controller", "name=Nvme0", "trtype=TCP", "traddr=127.0.0.1", &port, &nqn, "reconnect_delay_sec=1"];
    here.rpc(&words).unwrap();
    let uuid = || here.rpc(&["bdev_get_bdevs", "name=Nvme0n1"]).map(|bdevs| bdevs[0]["uuid"].clone());
    let before = uuid().unwrap();
    server.signal(Signal::KILL);
    drop(server);
    let server = far();
    let until = Instant::now() + DEADLINE;
    while uuid().is_ok_and(|now| now == before) || uuid().is_err() {
        assert!(Instant::now() < until, "no new device: {:?}", uuid());
        std::thread::yield_now();
    }
    drop((server, near));
}
