//! `doorbell volume`, where it changes stores: here, and by the server that has them.

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use std::os::unix::fs::{FileExt, MetadataExt};
use support::Folder;

/// What it prints, and its exit status.
fn said(folder: &Folder, words: &[&str]) -> (String, Option<i32>) {
    let all: Vec<&str> = ["volume"].iter().chain(words).copied().collect();
    let output = folder.run(&all);
    (String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(), output.status.code())
}

fn done(folder: &Folder, words: &[&str]) -> String {
    let (text, status) = said(folder, words);
    assert_eq!(status, Some(0), "{words:?}: {text}");
    text
}

fn answer(folder: &Folder, words: &[&str]) -> Value {
    serde_json::from_str(&done(folder, &[words, &["--json"]].concat())).unwrap()
}

fn refused(folder: &Folder, words: &[&str]) -> String {
    let (text, status) = said(folder, words);
    assert_eq!(status, Some(1), "{words:?}: {text}");
    assert!(text.starts_with("doorbell: "), "{text}");
    text
}

/// An image of so many bytes with data here and there, which is not zeroes.
fn image(folder: &Folder, name: &str, bytes: u64) -> Vec<u8> {
    let file = std::fs::File::create_new(folder.path().join(name)).unwrap();
    file.set_len(bytes).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15u64 ^ bytes;
    for at in [0, 300_000, 1 << 20, (1 << 20) + 4096, 5 << 20, bytes - 700] {
        let piece: Vec<u8> = (0..700)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8 | 1
            })
            .collect();
        file.write_all_at(&piece, at).unwrap();
    }
    std::fs::read(folder.path().join(name)).unwrap()
}

/// Name, size, allocated bytes, parent and clones of all volumes.
fn listed(folder: &Folder, at: &[&str]) -> Vec<Value> {
    let mut all = answer(folder, &[&["list"], at].concat())["volumes"].as_array().unwrap().clone();
    all.sort_by_key(|one| one["name"].as_str().unwrap().to_owned());
    let keys = ["name", "bytes", "allocated_bytes", "thin", "snapshot", "parent", "clones"];
    all.iter().map(|one| keys.iter().map(|key| one[key].clone()).collect()).collect()
}

const MIB: u64 = 1 << 20;

/// All that is done with volumes, but for what is filled with an image. `at` is the store, and `how` who does it.
fn changes(folder: &Folder, store: &str, how: &[&str]) {
    let run = |command: &str, words: &[&str]| answer(folder, &[&[command, store], words, how].concat());
    let at = [&[store], how].concat();
    assert_eq!(run("snapshot", &["disk", "disk-1"])[0]["name"], "disk-1");
    let made = run("create", &["web", "1.5G"]);
    assert_eq!((&made["bytes"], &made["allocated_bytes"], &made["thin"]), (&json!(1536 * MIB), &json!(0), &json!(true)));
    assert_eq!(run("create", &["log", "9M", "--thick"])["allocated_bytes"], 12 * MIB);
    let two = run("clone", &["disk-1", "vm", "vm2"]);
    assert_eq!((&two[0]["name"], &two[1]["name"]), (&json!("vm"), &json!("vm2")));
    assert_eq!(run("resize", &["vm2", "24M"])["bytes"], 24 * MIB);
    assert_eq!(run("resize", &["vm2", "21M", "--shrink"])["bytes"], 24 * MIB, "whole clusters");
    assert_eq!(run("resize", &["vm2", "20M", "--shrink"])["bytes"], 20 * MIB);
    // Two at one moment.
    let two = run("snapshot", &["web", "web-1", "vm", "vm-1"]);
    assert_eq!((&two[0]["name"], &two[1]["name"]), (&json!("web-1"), &json!("vm-1")));
    let vm2 = run("inflate", &["vm2"]);
    assert_eq!((&vm2["allocated_bytes"], &vm2["thin"]), (&json!(20 * MIB), &json!(false)));
    assert_eq!(run("inflate", &["vm", "--decouple"])["thin"], true);
    assert_eq!(run("rename", &["log", "log2"])["name"], "log2");
    let uuid = made["uuid"].as_str().unwrap().to_owned();
    let gone = run("delete", &["web-1", "log2"]);
    assert_eq!((&gone[0]["uuid"], &gone[1]["name"]), (&two[0]["uuid"], &json!("log2")));
    assert_eq!(run("resize", &[&uuid, "2G"])["name"], "web", "by its UUID");
    let (image, data) = (16 * MIB, 12 * MIB);
    assert_eq!(
        listed(folder, &at),
        [
            json!(["disk", image, 0, true, false, "disk-1", []]),
            json!(["disk-1", image, data, true, true, null, ["disk", "vm", "vm-1"]]),
            json!(["vm", image, 0, true, false, "disk-1", []]),
            json!(["vm-1", image, 0, true, true, "disk-1", []]),
            json!(["vm2", 20 * MIB, 20 * MIB, false, false, null, []]),
            json!(["web", 2048 * MIB, 0, true, false, null, []]),
        ]
    );
}

/// A folder with a store in `store.img` and in it `disk`, imported.
fn folder() -> (Folder, Vec<u8>) {
    let folder = Folder::new();
    let image = image(&folder, "disk.img", 16 * MIB);
    let made = answer(&folder, &["init", "store.img,size=1G", "lvs0"]);
    assert_eq!((&made["name"], &made["cluster_bytes"]), (&json!("lvs0"), &json!(4 * MIB)));
    let disk = answer(&folder, &["import", "store.img", "disk", "disk.img"]);
    assert_eq!((&disk["bytes"], &disk["allocated_bytes"]), (&json!(16 * MIB), &json!(12 * MIB)));
    (folder, image)
}

/// What the volumes of the image have is the image, and the store is sound.
fn is_whole(folder: &Folder, image: &[u8]) {
    for volume in ["disk", "disk-1", "vm", "vm2"] {
        done(folder, &["export", "store.img", volume, volume]);
        let mut wanted = image.to_vec();
        wanted.resize(if volume == "vm2" { 20 << 20 } else { 16 << 20 }, 0);
        assert!(std::fs::read(folder.path().join(volume)).unwrap() == wanted, "{volume}");
    }
    let checked = answer(folder, &["check", "store.img"]);
    assert_eq!((&checked["sound"], &checked["store"]["was_closed"]), (&json!(true), &json!(true)));
}

#[test]
fn a_store_is_changed_where_nobody_has_it() {
    let (folder, image) = folder();
    changes(&folder, "store.img", &[]);
    is_whole(&folder, &image);
    // All of it lies in a sparse file.
    let file = folder.path().join("store.img").metadata().unwrap();
    assert!(file.blocks() * 512 < 48 << 20, "{} blocks", file.blocks());
}

#[test]
fn a_server_changes_the_store_that_it_has() {
    for by_name in [false, true] {
        let (folder, image) = folder();
        let server = folder.serve(&["--empty"]).logs("RPC");
        folder.rpc(&["bdev_uring_create", "name=disk0", "filename=store.img", "block_size=512"]).unwrap();
        folder.rpc(&["bdev_wait_for_examine"]).unwrap();
        let socket = folder.socket();
        changes(&folder, if by_name { "lvs0" } else { "store.img" }, &["--socket", socket.to_str().unwrap()]);
        let refusal = refused(&folder, &["import", "store.img", "more", "disk.img", "-s", socket.to_str().unwrap()]);
        assert!(refusal.contains("a server has lvs0"), "{refusal}");
        let refusal = refused(&folder, &["create", "lvs1", "a", "1G", "-s", socket.to_str().unwrap()]);
        assert!(refusal.contains("no store lvs1") && refusal.contains("lvs0"), "{refusal}");
        let (status, log) = server.stop(Signal::TERM);
        assert!(status.success(), "{log}");
        is_whole(&folder, &image);
    }
}

#[test]
fn a_server_makes_a_store_on_its_device() {
    let folder = Folder::new();
    let server = folder.serve(&["--empty"]).logs("RPC");
    folder.rpc(&["bdev_malloc_create", "name=m", "num_blocks=65536", "block_size=512"]).unwrap();
    let socket = folder.socket();
    let socket = socket.to_str().unwrap();
    assert!(refused(&folder, &["init", "m", "lvs9", "-s", socket]).contains("--destroy-data"));
    let made = answer(&folder, &["init", "m", "lvs9", "--cluster-size", "64k", "--destroy-data", "-s", socket]);
    assert_eq!(made["cluster_bytes"], 65536);
    assert_eq!(answer(&folder, &["list", "lvs9", "-s", socket])["store"]["device"], "m");
    drop(server);
}

#[test]
fn what_would_lose_data_is_to_be_said_twice() {
    let (folder, image) = folder();
    for device in ["store.img", "store.img,size=2G"] {
        assert!(refused(&folder, &["init", device, "other"]).contains("--destroy-data"));
    }
    assert!(refused(&folder, &["init", "none.img", "other"]).contains(",size=10G"));
    assert!(!folder.path().join("none.img").exists());
    assert!(refused(&folder, &["resize", "store.img", "disk", "8M"]).contains("its last 8 MiB would be lost"));
    assert!(refused(&folder, &["create", "store.img,size=2G", "a", "1G"]).contains("block-size=.. only"));
    // A wrong name is found before anything is gone.
    assert!(refused(&folder, &["delete", "store.img", "disk", "nobody"]).contains("no volume of lvs0 is called nobody: there are disk"));
    done(&folder, &["export", "store.img", "disk", "out"]);
    assert!(std::fs::read(folder.path().join("out")).unwrap() == image);
    done(&folder, &["init", "store.img", "other", "--destroy-data"]);
    assert_eq!(answer(&folder, &["list", "store.img"])["volumes"], json!([]));
}

#[test]
fn what_is_no_store_or_somebody_elses_is_left_alone() {
    let (folder, _) = folder();
    std::fs::write(folder.path().join("text"), vec![b'x'; 1 << 20]).unwrap();
    assert!(refused(&folder, &["create", "text", "a", "1G"]).contains("text: "));
    assert!(std::fs::read(folder.path().join("text")).unwrap().iter().all(|byte| *byte == b'x'));
    let socket = folder.path().join("nobody.sock");
    assert!(refused(&folder, &["create", "lvs0", "a", "1G", "-s", socket.to_str().unwrap()]).contains("no server at"));
    let server = folder.serve(&["--file", "store.img", "--allow-any-host", "--listen", "127.0.0.1:0"]).ready();
    // It serves the file as a disk, and knows nothing of a store.
    let refusal = refused(&folder, &["create", "store.img", "a", "1G", "-s", folder.socket().to_str().unwrap()]);
    assert!(refusal.contains("as its device store.img, and no store on it"), "{refusal}");
    drop(server);
}

#[test]
fn an_image_becomes_a_volume_or_nothing() {
    let folder = Folder::new();
    // Clusters that no piece of a copy fits into, and an image that ends within a block.
    answer(&folder, &["init", "store.img,size=64M", "lvs0", "--cluster-size", "132k"]);
    let image = image(&folder, "disk.img", 16 * MIB + 1000);
    answer(&folder, &["import", "store.img", "disk", "disk.img"]);
    answer(&folder, &["import", "store.img", "thick", "disk.img", "--thick"]);
    for volume in ["disk", "thick"] {
        done(&folder, &["export", "store.img", volume, volume]);
        let exported = std::fs::read(folder.path().join(volume)).unwrap();
        assert!(exported.starts_with(&image) && exported[image.len()..].iter().all(|byte| *byte == 0), "{volume}");
    }
    assert!(refused(&folder, &["import", "store.img", "small", "disk.img", "--size", "1M"]).contains("more than --size"));
    // It does not fit.
    std::fs::write(folder.path().join("full.img"), vec![1; 60 << 20]).unwrap();
    assert!(refused(&folder, &["import", "store.img", "full", "full.img"]).contains("the store is full"));
    std::fs::write(folder.path().join("disk.qcow2"), b"QFI\xfb and more").unwrap();
    assert!(refused(&folder, &["import", "store.img", "other", "disk.qcow2"]).contains("qcow2 image"));
    let names: Vec<Value> =
        answer(&folder, &["list", "store.img"])["volumes"].as_array().unwrap().iter().map(|v| v["name"].clone()).collect();
    assert_eq!(names, ["disk", "thick"]);
    assert_eq!(answer(&folder, &["check", "store.img"])["sound"], true);
}
