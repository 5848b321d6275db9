//! The server from its command line: what it makes, prints, answers and leaves behind.

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use support::Folder;

#[test]
fn the_embedded_default_serves_answers_stops_and_comes_back_the_same() {
    let folder = Folder::new();
    let server = folder.serve(&["--listen", "127.0.0.1:0"]).ready();
    let image = folder.path().join("doorbell.img").metadata().unwrap();
    assert_eq!(image.len(), 1 << 30);
    assert!(image.blocks() * 512 < 1 << 20, "the image is not sparse");
    let (nqn, port) = (server.after(" -n ").to_owned(), server.after(" -s ").to_owned());
    for line in ["modprobe nvme-tcp", "nvme discover -t tcp -a 127.0.0.1", "nvme connect -t tcp -a 127.0.0.1", "nvme disconnect"] {
        assert!(server.banner().contains(line), "{}", server.banner());
    }
    std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    let version = folder.rpc(&["spdk_get_version"]).unwrap();
    assert!(version["version"].as_str().unwrap().starts_with("Doorbell"));
    let subsystems = folder.rpc(&["nvmf_get_subsystems"]).unwrap();
    let ours = |all: &Value| all.as_array().unwrap().iter().find(|s| s["nqn"] == nqn.as_str()).cloned().unwrap();
    let before = ours(&subsystems);
    assert_eq!(before["allow_any_host"], true);
    assert_eq!(before["namespaces"][0]["bdev_name"], "doorbell.img");

    let (status, log) = server.stop(Signal::TERM);
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!folder.socket().exists());
    assert!(!log.contains("ERROR"), "{log}");

    let server = folder.serve(&["--listen", "127.0.0.1:0"]).ready();
    assert_eq!(server.after(" -n "), nqn);
    let again = ours(&folder.rpc(&["nvmf_get_subsystems"]).unwrap());
    assert_eq!((&again["serial_number"], &again["namespaces"][0]["uuid"]), (&before["serial_number"], &before["namespaces"][0]["uuid"]));
    assert_eq!(server.stop(Signal::INT).0.code(), Some(0));
}

#[test]
fn only_the_embedded_default_is_open_to_whoever_is_not_named() {
    let folder = Folder::new();
    for words in
        [&["--malloc", "1M"][..], &["--file", "a.img,size=1M"], &["--listen", "0.0.0.0:0"], &["--malloc", "1M", "--listen", "0.0.0.0:0"]]
    {
        let all: Vec<&str> = ["serve", "-r", "rpc.sock"].iter().chain(words).copied().collect();
        let refused = folder.run(&all);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{words:?}");
        assert!(said.contains("--allow-host") && said.contains("--allow-any-host"), "{words:?}: {said}");
    }
    assert!(folder.names().is_empty(), "made before it was refused: {:?}", folder.names());
    let host = "nqn.2014-08.org.nvmexpress:uuid:8c2d3f0e-6a57-4f6b-9d25-0123456789ab";
    let server = folder.serve(&["--malloc", "1M", "--listen", "0.0.0.0:0", "--allow-host", host]).ready();
    let all = folder.rpc(&["nvmf_get_subsystems"]).unwrap();
    assert_eq!((&all[1]["allow_any_host"], &all[1]["hosts"][0]["nqn"]), (&json!(false), &json!(host)));
    drop(server);
}

#[test]
fn what_makes_no_sense_is_a_usage_error_and_what_cannot_be_is_an_error() {
    let folder = Folder::new();
    for words in [&["serve", "--no-such-flag"][..], &["serve", "--malloc", "lots"], &["nothing"], &["serve", "--config", "absent.toml"]] {
        assert_eq!(folder.run(words).status.code(), Some(2), "{words:?}");
    }
    for (words, says) in [
        (&["serve", "--file", "absent.img", "--allow-any-host"][..], "size=1G"),
        (&["serve", "--empty", "--listen", "127.0.0.1"], "--listen needs"),
        (&["serve", "--empty", "-L", "nonsense"], "nvmf"),
        (&["serve", "-m", "0x0"], "no CPU"),
        (&["rpc", "-s", "absent.sock", "spdk_get_version"], "doorbell serve"),
    ] {
        let output = folder.run(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.lines().last().unwrap().starts_with("doorbell: ") && said.contains(says), "{words:?}: {said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
}

#[test]
fn a_socket_and_a_file_have_one_server() {
    let folder = Folder::new();
    let server = folder.serve(&["--file", "a.img,size=1M", "--listen", "127.0.0.1:0", "--allow-any-host"]).ready();
    let second = folder.run(&["serve", "--empty", "-r", folder.socket().to_str().unwrap()]);
    assert!(String::from_utf8(second.stderr).unwrap().contains("in use by another server"));
    let third = folder.run(&["serve", "-r", "other.sock", "--file", "a.img", "--listen", "127.0.0.1:0", "--allow-any-host"]);
    let said = String::from_utf8(third.stderr).unwrap();
    assert!(third.status.code() == Some(1) && said.contains("a.img"), "{said}");
    let taken = format!("127.0.0.1:{}", server.after(" -s "));
    let fourth = folder.run(&["serve", "-r", "other.sock", "--malloc", "1M", "--listen", &taken, "--allow-any-host"]);
    let said = String::from_utf8(fourth.stderr).unwrap();
    assert!(fourth.status.code() == Some(1) && said.contains("already in use") && said.contains("--listen"), "{said}");
    // Who is sure says so.
    let other = folder.path().join("other.sock");
    let forced = ["-r", other.to_str().unwrap(), "--file", "a.img,force", "--listen", "127.0.0.1:0", "--allow-any-host"];
    drop(folder.serve(&forced).ready());
    assert_eq!(server.stop(Signal::TERM).0.code(), Some(0));
}

#[test]
fn flags_come_from_a_file_too() {
    let folder = Folder::new();
    let text = "listen = ['127.0.0.1:0']\nallow-any-host = true\nmalloc = ['1M', '2M']\n[[file]]\npath = 'disk.img'\nsize = '3M'\nblock-size = 4096\n";
    std::fs::write(folder.path().join("doorbell.toml"), text).unwrap();
    let server = folder.serve(&["--config", "doorbell.toml", "--malloc", "4M"]).ready();
    let devices = folder.rpc(&["bdev_get_bdevs"]).unwrap();
    let sizes: Vec<u64> =
        devices.as_array().unwrap().iter().map(|d| (d["num_blocks"].as_u64().unwrap() * d["block_size"].as_u64().unwrap()) >> 20).collect();
    assert_eq!(sizes, [3, 1, 2, 4]);
    assert_eq!(devices[0]["block_size"], 4096);
    drop(server);
}

#[test]
fn an_empty_server_is_configured_by_rpc_and_saved_and_loaded() {
    let folder = Folder::new();
    let server = folder.serve(&["--empty"]).logs("RPC");
    // Connecting waits until the server answers.
    folder.rpc(&["bdev_malloc_create", "name=M0", "num_blocks=2048", "block_size=512"]).unwrap();
    folder.rpc(&["nvmf_create_transport", "trtype=TCP"]).unwrap();
    let nqn = "nqn=nqn.2016-06.io.spdk:cnode1";
    folder.rpc(&["nvmf_create_subsystem", nqn, "serial_number=SN1", "allow_any_host=true"]).unwrap();
    folder.rpc(&["nvmf_subsystem_add_ns", nqn, "namespace.bdev_name=M0"]).unwrap();
    let refused = folder.rpc(&["bdev_malloc_create", "name=M0", "num_blocks=2048", "block_size=512"]).unwrap_err();
    assert!(refused.contains("File exists"), "{refused}");
    let saved = folder.rpc(&["save_config"]).unwrap();
    let names: Vec<_> = saved["subsystems"].as_array().unwrap().iter().map(|one| one["subsystem"].as_str().unwrap()).collect();
    assert!(names.contains(&"bdev") && names.contains(&"nvmf"), "{names:?}");
    folder.rpc_done(&["save_config", "saved.json", "-i", "4"]).unwrap();
    folder.rpc_done(&["save_subsystem_config", "-n", "bdev", "bdev.json"]).unwrap();
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.path().join(name)).unwrap()).unwrap() };
    assert_eq!(read("saved.json"), saved);
    assert_eq!(read("bdev.json"), saved["subsystems"].as_array().unwrap().iter().find(|one| one["subsystem"] == "bdev").unwrap().clone());
    assert_eq!(server.stop(Signal::TERM).0.code(), Some(0));

    // By flag, into a server that runs, and into one that waits to be started.
    let server = folder.serve(&["--json", "saved.json"]).logs("RPC");
    assert_eq!(folder.rpc(&["save_config"]).unwrap(), saved);
    drop(server.stop(Signal::TERM));
    let server = folder.serve(&["--empty"]).logs("RPC");
    folder.rpc_done(&["load_subsystem_config", "-j", "bdev.json"]).unwrap();
    assert_eq!(folder.rpc(&["bdev_get_bdevs"]).unwrap()[0]["name"], "M0");
    let again = folder.rpc_done(&["load_config", "-j", "saved.json"]).unwrap_err();
    assert!(again.contains("bdev[") && again.contains("File exists"), "{again}");
    drop(server.stop(Signal::TERM));
    let server = folder.serve(&["--wait-for-rpc"]).logs("RPC");
    folder.rpc_done(&["load_config", "saved.json"]).unwrap();
    assert_eq!(folder.rpc(&["save_config"]).unwrap(), saved);
    drop(server);
}

#[test]
fn what_is_mistyped_is_put_right() {
    let folder = Folder::new();
    let server = folder.serve(&["--empty"]).logs("RPC");
    let refused = |words: &[&str]| folder.rpc(words).unwrap_err();
    let absent = refused(&["bdev_get_bdev"]);
    assert!(absent.contains("Method not found (-32601)") && absent.contains("Is it bdev_get_bdevs?"), "{absent}");
    let composed = refused(&["save_conifg"]);
    assert!(composed.contains("Is it save_config?"), "{composed}");
    let bad = refused(&["bdev_malloc_create", "nam=M0"]);
    assert!(bad.contains("bdev_malloc_create takes") && bad.contains("num_blocks (uint64)"), "{bad}");
    assert!(refused(&["bdev_get_bdevs", "-j", "x"]).contains("takes no -j"));
    std::fs::write(folder.path().join("wrong.json"), r#"{"subsystems":[{"subsystem":"bdev","config":[{"method":"bdev_nul_create"}]}]}"#)
        .unwrap();
    assert!(refused(&["load_config", "wrong.json"]).contains("bdev[0] bdev_nul_create: there is no such method"));
    let all = folder.run(&["rpc", "-s", folder.socket().to_str().unwrap()]);
    let text = String::from_utf8(all.stdout).unwrap();
    for line in ["bdev_malloc_create", "save_config", "load_subsystem_config"] {
        let found = text.lines().find(|text| text.split(' ').next() == Some(line));
        assert!(found.is_some_and(|text| text.len() > line.len() + 10), "{line}: {text}");
    }
    drop(server);
}

#[test]
fn a_server_that_waits_starts_when_told() {
    let folder = Folder::new();
    let server =
        folder.serve(&["--wait-for-rpc", "--malloc", "1M", "--listen", "127.0.0.1:0", "--allow-any-host"]).logs("framework_start_init");
    assert!(folder.rpc(&["bdev_get_bdevs"]).unwrap_err().contains("after framework is initialized"));
    let status = folder.run(&["status", "-s", folder.socket().to_str().unwrap()]);
    assert!(String::from_utf8(status.stdout).unwrap().contains("framework_start_init"));
    folder.rpc(&["framework_start_init"]).unwrap();
    let server = server.ready();
    assert_eq!(folder.rpc(&["bdev_get_bdevs"]).unwrap()[0]["name"], "Malloc0");
    let status = folder.run(&["status", "-s", folder.socket().to_str().unwrap()]);
    let shown = String::from_utf8(status.stdout).unwrap();
    assert!(shown.contains("Malloc0") && shown.contains("1 MiB") && shown.contains("Reactors"), "{shown}");
    drop(server);
}

#[test]
fn a_client_can_end_the_process() {
    let folder = Folder::new();
    let server = folder.serve(&["--empty"]).logs("RPC");
    let _ = folder.rpc(&["spdk_kill_instance", "sig_name=SIGTERM"]);
    let (status, log) = server.logs("stopping").wait();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn only_allowed_methods_are_there_and_flags_without_effect_are_told() {
    let folder = Folder::new();
    let server = folder
        .serve(&["--empty", "--rpcs-allowed", "rpc_get_methods,spdk_get_version", "-s", "512", "-u"])
        .logs("-u/--no-pci")
        .logs("RPC socket");
    assert_eq!(folder.rpc(&["rpc_get_methods"]).unwrap(), json!(["rpc_get_methods", "spdk_get_version"]));
    assert!(folder.rpc(&["bdev_get_bdevs"]).unwrap_err().contains("Method not found"));
    drop(server);
}

#[test]
fn signals_that_come_together_are_one() {
    let folder = Folder::new();
    let server = folder.serve(&["--empty", "-f", "pid"]).logs("RPC");
    // Both are there when it goes on, as timeout(1) sends one to its child and one to the group.
    server.signal(Signal::STOP);
    server.signal(Signal::TERM);
    server.signal(Signal::INT);
    server.signal(Signal::CONT);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(folder.names().is_empty(), "left behind: {:?}", folder.names());
}

#[test]
fn a_later_signal_ends_at_once_and_leaves_no_names() {
    let folder = Folder::new();
    let fifo = folder.path().join("config.json");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Nobody writes its configuration: the reactor waits for the file, and hears no signal.
    let server = folder.serve(&["--json", "config.json", "-f", "pid"]).logs("RPC");
    let status = server.insist(Signal::TERM);
    assert_eq!(status.code(), Some(128 + 15));
    std::fs::remove_file(fifo).unwrap();
    assert!(folder.names().is_empty(), "left behind: {:?}", folder.names());
}

/// Whoever started it may read nothing of its log, ever: that is no reason to stop serving.
#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    use std::io::Write;
    let folder = Folder::new();
    let (kept, mut full) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&full, true).unwrap();
    while full.write(&[b'x'; 1024]).is_ok() {}
    while full.write(b"x").is_ok() {}
    rustix::io::ioctl_fionbio(&full, false).unwrap();
    let socket = folder.socket();
    let words = ["serve", "-r", socket.to_str().unwrap(), "--malloc", "1M", "--listen", "127.0.0.1:0", "--allow-any-host", "-L", "all"];
    let server = folder.command(&words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(full).spawn().unwrap();
    let server = support::Server::without_log(server).ready();
    for _ in 0..3 {
        assert_eq!(folder.rpc(&["bdev_get_bdevs"]).unwrap()[0]["name"], "Malloc0");
    }
    assert_eq!(server.stop(Signal::TERM).0.code(), Some(0));
    drop(kept);
}

/// What somebody holds is not touched, what is refused leaves nothing, and what a crash left half made is no obstacle.
#[test]
fn a_start_that_is_refused_leaves_everything_as_it_was() {
    let folder = Folder::new();
    let left = || {
        let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with("rpc.sock"));
        names.sort();
        names
    };
    for (words, says) in [
        (&["--file", "x.img,size=1000"][..], "whole blocks"),
        (&["--file", "n.img,size=1G,ro"], "neither made nor grown"),
        (&["--file", "absent.img"], "size=1G"),
        (&["--file", "absent/x.img,size=1M"], "absent/x.img"),
    ] {
        let refused = folder.run(&[&["serve", "-r", "rpc.sock", "--allow-any-host", "--listen", "127.0.0.1:0"], words].concat());
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && said.contains(says), "{words:?}: {said}");
        assert!(left().is_empty(), "{words:?} left {:?}", left());
    }
    let server = folder.serve(&["--file", "a.img,size=1M", "--allow-any-host", "--listen", "127.0.0.1:0"]).ready();
    assert_eq!(folder.path().join("a.img").metadata().unwrap().mode() & 0o777, 0o600);
    let refused = folder.run(&["serve", "-r", "other.sock", "--file", "a.img,size=2M", "--allow-any-host", "--listen", "127.0.0.1:0"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("--file a.img,force") && said.contains("in use"), "{said}");
    assert_eq!(folder.path().join("a.img").metadata().unwrap().len(), 1 << 20, "it is not grown before it is held");
    let forced = folder.command(&["serve", "-r", "other.sock", "--file", "a.img,force", "--allow-any-host", "--listen", "127.0.0.1:0"]);
    let forced = support::Server::piped(forced).ready();
    let saved = folder.run(&["rpc", "-s", "other.sock", "framework_get_config", "name=bdev"]);
    let saved: Value = serde_json::from_slice(&saved.stdout).unwrap();
    let create = saved.as_array().unwrap().iter().find(|call| call["method"] == "bdev_aio_create").unwrap();
    assert_eq!((&create["params"]["force"], create["params"].get("size")), (&json!(true), None));
    drop(forced);
    drop(server);
}

#[test]
fn a_default_file_that_was_made_and_not_sized_is_no_obstacle() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("doorbell.img"), b"").unwrap();
    let server = folder.serve(&["--listen", "127.0.0.1:0"]).ready();
    assert_eq!(folder.path().join("doorbell.img").metadata().unwrap().len(), 1 << 30);
    drop(server);
}

/// Such a request would wait for ever.
#[test]
fn requests_are_no_longer_than_the_pools_have_buffers_for() {
    let folder = Folder::new();
    let server = folder.serve(&["--empty", "-m", "0x1", "--memory", "8M"]).logs("RPC");
    let refused = folder.rpc(&["nvmf_create_transport", "trtype=TCP", "max_io_size=8388608"]).unwrap_err();
    assert!(refused.contains("max_io_size is 8388608") && refused.contains("--memory"), "{refused}");
    folder.rpc(&["nvmf_create_transport", "trtype=TCP"]).unwrap();
    assert_eq!(server.stop(Signal::TERM).0.code(), Some(0));
}
