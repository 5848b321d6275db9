//! `doorbell serve --volume-store`: its volumes are served, those that are there and those that come, and each stays what it is.

mod support;

use rustix::process::Signal;
use serde_json::Value;
use support::{Folder, Server};

const ALWAYS: [&str; 3] = ["--allow-any-host", "--listen", "127.0.0.1:0"];

fn serve(folder: &Folder, words: &[&str]) -> Server {
    folder.serve(&[words, &ALWAYS].concat()).ready()
}

/// Does something with volumes by the server.
fn volume(folder: &Folder, words: &[&str]) {
    let socket = folder.socket();
    let all: Vec<&str> = [&["volume"], words, &["-s", socket.to_str().unwrap()]].concat();
    let output = folder.run(&all);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The namespaces that are served: what each is called, and its number.
fn served(folder: &Folder) -> Vec<(String, u64)> {
    folder.rpc(&["bdev_wait_for_examine"]).unwrap();
    let bdevs = folder.rpc(&["bdev_get_bdevs"]).unwrap();
    let title = |name: &Value| {
        let bdev = bdevs.as_array().unwrap().iter().find(|bdev| bdev["name"] == *name).unwrap();
        let alias = bdev["aliases"].as_array().into_iter().flatten().find_map(|alias| alias.as_str().filter(|alias| alias.contains('/')));
        alias.unwrap_or(name.as_str().unwrap()).to_owned()
    };
    let subsystems = folder.rpc(&["nvmf_get_subsystems"]).unwrap();
    let ours = subsystems.as_array().unwrap().iter().find(|one| one["subtype"] == "NVMe").unwrap();
    ours["namespaces"].as_array().unwrap().iter().map(|ns| (title(&ns["bdev_name"]), ns["nsid"].as_u64().unwrap())).collect()
}

fn named(all: &[(&str, u64)]) -> Vec<(String, u64)> {
    all.iter().map(|(name, nsid)| ((*name).to_owned(), *nsid)).collect()
}

#[test]
fn volumes_are_served_as_they_come_and_are_the_same_in_every_run() {
    let folder = Folder::new();
    let server = serve(&folder, &["--volume-store", "vols.img,size=1G"]);
    assert!(server.banner().contains("the volumes of vols in vols.img"), "{}", server.banner());
    assert!(server.banner().contains("doorbell volume create vols.img NAME"), "{}", server.banner());
    assert_eq!(served(&folder), []);
    for name in ["a", "b", "c"] {
        volume(&folder, &["create", "vols.img", name, "100M"]);
    }
    assert_eq!(served(&folder), named(&[("vols/a", 1), ("vols/b", 2), ("vols/c", 3)]));
    // A snapshot is not served, and a clone of it is.
    volume(&folder, &["snapshot", "vols", "a", "a-1"]);
    volume(&folder, &["clone", "vols", "a-1", "d"]);
    volume(&folder, &["delete", "vols", "b"]);
    let before = served(&folder);
    let titles: Vec<&str> = before.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((titles, before.get(1)), (vec!["vols/a", "vols/c", "vols/d"], Some(&("vols/c".to_owned(), 3))));
    // However it ends, a host that comes back finds each volume where it was.
    server.signal(Signal::KILL);
    drop(server);
    let server = serve(&folder, &["--volume-store", "vols.img"]);
    assert!(server.banner().contains("    vols/a  100 MiB\n"), "{}", server.banner());
    assert_eq!(served(&folder), before);
    volume(&folder, &["create", "vols", "e", "100M"]);
    let before = served(&folder);
    assert_eq!(before.len(), 4);
    let (status, log) = server.stop(Signal::TERM);
    assert!(status.success() && !log.contains("ERROR"), "{log}");
    // Grown, and beside a disk.
    let server = serve(&folder, &["--volume-store", "vols.img,size=2G"]);
    assert_eq!(served(&folder), before);
    let stores = folder.rpc(&["bdev_lvol_get_lvstores"]).unwrap();
    assert!(stores[0]["total_data_clusters"].as_u64().unwrap() > 500, "{stores}");
    drop(server);
}

#[test]
fn stores_and_disks_are_served_beside_each_other() {
    let folder = Folder::new();
    let flags = ["--file", "disk.img,size=64M", "--volume-store", "one.img,size=64M,name=first", "--volume-store", "two.img,size=64M"];
    for _ in 0..2 {
        let server = serve(&folder, &flags);
        if served(&folder).len() == 1 {
            for (store, name) in [("first", "a"), ("two", "b"), ("first", "c")] {
                volume(&folder, &["create", store, name, "8M"]);
            }
        }
        let all = [("disk.img", 1), ("first/a", 1025), ("two/b", 1026), ("first/c", 1027)];
        assert_eq!(served(&folder), named(&all));
        drop(server);
    }
}

#[test]
fn what_is_no_store_is_not_made_one() {
    let folder = Folder::new();
    let refused = |words: &[&str]| {
        let all: Vec<&str> = [&["serve", "--no-rpc-server"], words, &ALWAYS].concat();
        let output = folder.run(&all);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    std::fs::write(folder.path().join("text"), vec![b'x'; 1 << 20]).unwrap();
    let text = refused(&["--volume-store", "text"]);
    assert!(text.contains("it is not empty") && text.contains("doorbell volume check text"), "{text}");
    assert!(std::fs::read(folder.path().join("text")).unwrap().iter().all(|byte| *byte == b'x'));
    assert!(refused(&["--volume-store", "absent"]).contains("Add ,size=1G to make it"));
    drop(serve(&folder, &["--volume-store", "vols.img,size=64M"]));
    assert!(refused(&["--volume-store", "vols.img,name=other"]).contains("is called vols, not other"));
    assert!(refused(&["--volume-store", "vols.img,ro"]).contains("leave out ro"));
}
