//! Volumes, by SPDK's own client.

use crate::client::{Client, port, serve, stop};
use crate::configure::NQN;
use crate::support::Folder;
use rustix::process::Signal;
use serde_json::{Value, json};

fn file(folder: &Folder, name: &str, mib: u64) {
    std::fs::File::create(folder.path().join(name)).unwrap().set_len(mib << 20).unwrap();
}

/// Volumes of a store, by name.
fn names(client: &mut Client) -> Vec<String> {
    let lvols = client.ok("bdev_lvol_get_lvols -l lvs0");
    let mut names: Vec<String> = lvols.as_array().unwrap().iter().map(|lvol| lvol["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn was_closed(folder: &Folder) -> bool {
    let listed = folder.run(&["volume", "list", "store.img", "--json"]);
    assert!(listed.status.success(), "{listed:?}");
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    listed["store"]["was_closed"].as_bool().unwrap()
}

/// Everything that the client has for volumes.
fn make(client: &mut Client, port: u16) -> String {
    client.ok("bdev_aio_create store.img Disk 512");
    client.ok("bdev_malloc_create -b Gold -u 7f3e1d2c-0000-4000-8000-000000000001 4 512");
    let store = client.ok("bdev_lvol_create_lvstore -c 1048576 --clear-method none Disk first");
    client.ok("bdev_lvol_rename_lvstore first lvs0");
    let thin = client.ok("bdev_lvol_create -l lvs0 -t thin 16");
    client.ok(&format!("bdev_lvol_create -u {} -c write_zeroes thick 3", store.as_str().unwrap()));
    client.ok("bdev_lvol_snapshot lvs0/thin s1");
    client.ok("bdev_lvol_clone lvs0/s1 c1");
    client.ok("bdev_lvol_clone_bdev Gold lvs0 outside");
    client.ok("bdev_lvol_clone lvs0/s1 c2");
    client.ok("bdev_lvol_decouple_parent lvs0/c2");
    client.ok("bdev_lvol_set_parent lvs0/c2 lvs0/s1");
    client.ok("bdev_lvol_create -l lvs0 -t other 4");
    client.ok("bdev_lvol_set_parent_bdev lvs0/other Gold");
    client.ok("bdev_lvol_inflate lvs0/other");
    client.ok("bdev_lvol_rename lvs0/c2 renamed");
    client.ok("bdev_lvol_resize lvs0/renamed 20");
    client.ok("bdev_lvol_set_read_only lvs0/renamed");
    client.ok("bdev_malloc_create -b To 32 512");
    let copy = client.ok("bdev_lvol_start_shallow_copy lvs0/renamed To");
    client.ok(&format!("bdev_lvol_check_shallow_copy {}", copy["operation_id"]));
    client.ok("bdev_lvol_delete lvs0/thick");
    client.ok("bdev_lvol_grow_lvstore -l lvs0");
    client.ok("nvmf_create_transport -t TCP");
    client.ok(&format!("nvmf_create_subsystem {NQN} -a -s SPDK00000000000001"));
    client.ok(&format!("nvmf_subsystem_add_ns {NQN} lvs0/c1"));
    client.ok(&format!("nvmf_subsystem_add_listener {NQN} -t tcp -a 127.0.0.1 -s {port}"));
    thin.as_str().unwrap().to_owned()
}

#[test]
fn every_command_for_volumes_works_and_volumes_outlive_the_server() {
    let folder = Folder::new();
    file(&folder, "store.img", 64);
    let server = serve(&folder, &["--empty"]);
    let mut client = Client::of(&folder);
    let thin = make(&mut client, port());
    let all = ["c1", "other", "outside", "renamed", "s1", "thin"];
    assert_eq!(names(&mut client), all);
    let listed = client.ok("bdev_get_bdevs -b lvs0/thin")[0].clone();
    assert_eq!((&listed["name"], &listed["aliases"]), (&json!(thin), &json!(["lvs0/thin"])));
    let lvol = &listed["driver_specific"]["lvol"];
    assert_eq!((&lvol["base_bdev"], &lvol["clone"], &lvol["base_snapshot"]), (&json!("Disk"), &json!(true), &json!("s1")));
    let before = client.ok("nvmf_get_subsystems");
    let config = client.ok("save_config");
    assert!(!config.to_string().contains("bdev_lvol"), "volumes are on their disk: {config}");
    let path = folder.path().join("saved.json");
    std::fs::write(&path, config.to_string()).unwrap();
    stop(server);
    assert!(was_closed(&folder));

    // Closed, then not closed: both times the volumes are there before the namespaces are added.
    for ending in [Signal::KILL, Signal::TERM] {
        let server = serve(&folder, &["--json", path.to_str().unwrap()]);
        let mut client = Client::of(&folder);
        assert_eq!(names(&mut client), all);
        let namespaces = |answer: &Value| answer[1]["namespaces"].clone();
        assert_eq!(namespaces(&client.ok("nvmf_get_subsystems")), namespaces(&before));
        // A store that is not changed stays closed.
        client.ok("bdev_lvol_create -l lvs0 -t passing 1");
        client.ok("bdev_lvol_delete lvs0/passing");
        match ending {
            Signal::TERM => stop(server),
            signal => drop(server.insist(signal)),
        }
        assert_eq!(was_closed(&folder), ending == Signal::TERM);
    }
}

#[test]
fn a_file_that_is_served_is_not_looked_into() {
    let folder = Folder::new();
    file(&folder, "store.img", 64);
    let server = serve(&folder, &["--empty"]);
    let mut client = Client::of(&folder);
    client.ok("bdev_aio_create store.img Disk 512");
    client.ok("bdev_lvol_create_lvstore Disk lvs0");
    stop(server);
    let listen = format!("127.0.0.1:{}", port());
    let server = folder.serve(&["--file", "store.img", "--listen", &listen, "--allow-any-host"]).ready();
    let mut client = Client::of(&folder);
    client.ok("bdev_wait_for_examine");
    assert_eq!(client.ok("bdev_lvol_get_lvstores"), json!([]));
    stop(server);
}
