//! `doorbell volume` over stores that SPDK made.

mod support;

use doorbell_wire_blob::{Geometry, MdPage, SuperBlock};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use support::Folder;

const PLAIN: &str = "a_lvs_plain_bs512";
const TREE: &str = "b_lvs_snapclone_bs512";
const KILLED: &str = "c_lvs_dirty_bs512";
const BARE: &str = "e_blob_xattrs_bs4096";

/// What the manifest says of an image.
fn stated(image: &str) -> Value {
    let text = std::fs::read_to_string(interop().join("manifest.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    all["images"].as_array().unwrap().iter().find(|one| one["image"] == image).unwrap().clone()
}

fn interop() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/interop")
}

fn unpacked(image: &str) -> Vec<u8> {
    let packed = std::fs::File::open(interop().join(format!("{image}.img.zst"))).unwrap();
    let mut bytes = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(packed).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// A folder with a store in `store.img`.
fn folder(bytes: &[u8]) -> Folder {
    let folder = Folder::new();
    std::fs::write(folder.path().join("store.img"), bytes).unwrap();
    folder
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// What it prints, and its exit status.
fn said(folder: &Folder, words: &[&str]) -> (String, Option<i32>) {
    let all: Vec<&str> = ["volume"].iter().chain(words).copied().collect();
    let output = folder.run(&all);
    (String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(), output.status.code())
}

/// What it answers in JSON.
fn answer(folder: &Folder, words: &[&str]) -> Value {
    let (text, status) = said(folder, &[words, &["--json"]].concat());
    assert_eq!(status, Some(0), "{words:?}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// That it fails with 1, and what it says.
fn refused(folder: &Folder, words: &[&str]) -> String {
    let (text, status) = said(folder, words);
    assert_eq!(status, Some(1), "{words:?}: {text}");
    assert!(text.starts_with("doorbell: "), "{text}");
    text
}

/// The same of a server that has the store: found on its device, under the names and UUIDs that SPDK gave.
#[test]
fn a_server_finds_what_spdk_made() {
    for image in [PLAIN, TREE] {
        let (folder, entry) = (folder(&unpacked(image)), stated(image));
        let server = folder.serve(&["--empty"]).logs("RPC");
        folder.rpc(&["bdev_aio_create", "name=Aio0", "filename=store.img", "block_size=512"]).unwrap();
        folder.rpc(&["bdev_wait_for_examine"]).unwrap();
        let stores = folder.rpc(&["bdev_lvol_get_lvstores"]).unwrap();
        for (key, value) in entry["lvstore"][0].as_object().unwrap() {
            assert_eq!(&stores[0][key], value, "{image}: {key}");
        }
        let lvols = folder.rpc(&["bdev_lvol_get_lvols"]).unwrap();
        let wanted = entry["lvols"].as_object().unwrap();
        assert_eq!(lvols.as_array().unwrap().len(), wanted.len(), "{image}");
        for (alias, lvol) in wanted {
            let device = folder.rpc(&["bdev_get_bdevs", &format!("name={alias}")]).unwrap();
            for key in ["uuid", "num_blocks", "block_size"] {
                assert_eq!(device[0][key], lvol[key], "{image}: {alias}: {key}");
            }
            assert_eq!(device[0]["driver_specific"]["lvol"], lvol["lvol"], "{image}: {alias}");
        }
        assert_eq!(server.stop(Signal::TERM).0.code(), Some(0));
    }
}

#[test]
fn a_list_has_every_volume_with_its_size_and_kind() {
    for image in [PLAIN, TREE] {
        let (folder, entry) = (folder(&unpacked(image)), stated(image));
        let listed = answer(&folder, &["list", "store.img"]);
        let (store, cluster) = (&entry["lvstore"][0], entry["lvstore"][0]["cluster_size"].as_u64().unwrap());
        assert_eq!((&listed["store"]["name"], &listed["store"]["uuid"]), (&store["name"], &store["uuid"]));
        assert_eq!(listed["store"]["free_bytes"], store["free_clusters"].as_u64().unwrap() * cluster);
        let volumes = listed["volumes"].as_array().unwrap();
        assert_eq!((volumes.len(), &listed["unusable"]), (entry["lvols"].as_object().unwrap().len(), &json!([])));
        for volume in volumes {
            let name = format!("lvs0/{}", volume["name"].as_str().unwrap());
            let (stated, lvol) = (&entry["lvols"][&name], &entry["lvols"][&name]["lvol"]);
            assert_eq!(volume["uuid"], stated["uuid"], "{name}");
            assert_eq!(volume["bytes"], entry["content"][&name]["bytes"], "{name}");
            assert_eq!(volume["allocated_bytes"], lvol["num_allocated_clusters"].as_u64().unwrap() * cluster, "{name}");
            assert_eq!((&volume["thin"], &volume["snapshot"]), (&lvol["thin_provision"], &lvol["snapshot"]), "{name}");
            assert_eq!(&volume["parent"], lvol.get("base_snapshot").unwrap_or(&Value::Null), "{name}");
        }
    }
}

#[test]
fn the_table_says_what_people_ask_first() {
    let folder = folder(&unpacked(TREE));
    let (text, status) = said(&folder, &["list", "store.img"]);
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    assert_eq!(
        (status, lines[0][0]),
        (Some(0), "lvs0 0dfecea0-85be-4637-bfd5-c05d16b73af4: 48.4 MiB free of 59.9 MiB, clusters of 64 KiB, blocks of 512 bytes")
    );
    for row in [
        ["snap1", "8 MiB", "2.5 MiB", "snapshot", "2e03f7ce-8b65-48dd-a30a-ba088008bab6"],
        ["snap2", "8 MiB", "384 KiB", "snapshot, clone of snap1", ""],
        ["clone2", "10 MiB", "0 B", "clone of snap2", ""],
        ["inflated", "8 MiB", "8 MiB", "thick", ""],
    ] {
        let found = lines.iter().find(|line| line.first() == Some(&row[0])).unwrap_or_else(|| panic!("no {} in {text}", row[0]));
        assert_eq!(found[1..4], row[1..4], "{text}");
        assert!(row[4].is_empty() || found[4] == row[4], "{text}");
    }
    let (text, _) = said(&self::folder(&unpacked(KILLED)), &["list", "store.img"]);
    assert!(text.lines().next().unwrap().ends_with("; it was not closed"), "{text}");
}

#[test]
fn whole_stores_are_sound_and_nothing_is_changed() {
    for image in [PLAIN, "a_lvs_plain_bs4096", TREE, KILLED, BARE] {
        let bytes = unpacked(image);
        let folder = folder(&bytes);
        let (text, status) = said(&folder, &["check", "store.img"]);
        assert!(status == Some(0) && text.ends_with(": nothing is wrong\n"), "{image}: {text}");
        assert!(std::fs::read(folder.path().join("store.img")).unwrap() == bytes, "{image}: changed");
        assert_eq!(folder.names(), ["store.img"]);
    }
}

#[test]
fn damage_is_named_and_a_store_that_is_none_is_told_from_it() {
    let whole = unpacked(PLAIN);
    let geometry = Geometry::of(&SuperBlock::decode(whole.first_chunk().unwrap()).unwrap(), whole.len() as u64).unwrap();
    let page = |page: u32| geometry.page_offset(MdPage(page)).unwrap() as usize;
    let mask = |place| geometry.mask_bytes(place).start as usize;
    let (pages, clusters, ids) = (mask(geometry.page_mask), mask(geometry.cluster_mask), mask(geometry.blob_id_mask.unwrap()));
    for (offset, change, says) in [
        (page(1) + 100, 0x01, "metadata page 1"),
        (clusters + 5 + 100, 0x03, "2 clusters are marked as used, and nobody has them"),
        (clusters + 5 + 9, 0xff, "the mask of used clusters lacks 8 that are used"),
        (pages + 5, 0x04, "the mask of used metadata pages lacks 1 that are used"),
        (ids + 5, 0x02, "the mask of used blob ids lacks 1 that are used"),
        (ids + 6, 0x80, "metadata page 15 should be the root of a blob, and is none"),
        (clusters, 0xff, "the mask of used clusters says that it is of kind"),
    ] {
        let mut bytes = whole.clone();
        bytes[offset] ^= change;
        let folder = folder(&bytes);
        let (text, status) = said(&folder, &["check", "store.img"]);
        assert!(status == Some(1) && text.contains(&format!("wrong: {says}")), "{says}: {text}");
        let (text, status) = said(&folder, &["check", "store.img", "--json"]);
        let found: Value = serde_json::from_str(&text).unwrap();
        assert!(status == Some(1) && found["sound"] == false, "{says}: {text}");
        assert!(std::fs::read(folder.path().join("store.img")).unwrap() == bytes, "{says}: changed");
    }
    // The blob of a damaged page is listed, and the others are there.
    let mut bytes = whole.clone();
    bytes[page(2) + 100] ^= 1;
    let damaged = folder(&bytes);
    let listed = answer(&damaged, &["list", "store.img"]);
    assert_eq!((listed["volumes"].as_array().unwrap().len(), listed["unusable"].as_array().unwrap().len()), (2, 1), "{listed}");
    let id = listed["unusable"][0]["blob"].as_str().unwrap();
    assert!(refused(&damaged, &["export", "store.img", id, "out"]).contains("metadata page 2"));
    assert_eq!(damaged.names(), ["store.img"]);

    for (bytes, says) in [(vec![0; 1 << 20], "version"), (whole[..32 << 20].to_vec(), "67108864")] {
        let (text, status) = said(&folder(&bytes), &["check", "store.img"]);
        assert!(status == Some(2) && text.starts_with("doorbell: store.img: ") && text.contains(says), "{text}");
    }
    let (text, status) = said(&damaged, &["check", "absent.img"]);
    assert!(status == Some(2) && text.contains("there is no such file"), "{text}");
}

#[test]
fn a_dump_has_attributes_parents_and_where_clusters_are() {
    let tree = folder(&unpacked(TREE));
    let dumped = answer(&tree, &["dump", "store.img", "lvs0/snap2"]);
    assert_eq!((&dumped["parent"], &dumped["clones"]), (&json!("snap1"), &json!(["base", "clone2"])));
    assert_eq!((&dumped["clusters"], &dumped["allocated"]), (&json!(128), &json!(6)));
    // What was written between the two snapshots: 256 KiB at 1 MiB, and 128 KiB at 4 MiB.
    let runs: Vec<_> = dumped["runs"].as_array().unwrap().iter().map(|run| (run["cluster"].as_u64(), run["count"].as_u64())).collect();
    assert_eq!(runs, [(Some(16), Some(4)), (Some(64), Some(2))]);
    let image = unpacked(TREE);
    for run in dumped["runs"].as_array().unwrap() {
        // It is there that the device has what the volume reads.
        let at = |key: &str| run[key].as_u64().unwrap() as usize * 65536;
        let out = format!("out-{}", at("cluster"));
        said(&tree, &["export", "store.img", "snap2", &out]);
        let content = std::fs::read(tree.path().join(out)).unwrap();
        assert!(content[at("cluster")..][..at("count")] == image[at("device_cluster")..][..at("count")]);
    }
    let bare = folder(&unpacked(BARE));
    let dumped = answer(&bare, &["dump", "store.img", "0x100000000"]);
    let colour = dumped["xattrs"].as_array().unwrap().iter().find(|xattr| xattr["name"] == "colour").unwrap();
    assert_eq!((&colour["text"], &colour["hex"]), (&json!("red"), &json!("72656400")));
    let (text, _) = said(&bare, &["dump", "store.img", "blob-0"]);
    assert!(text.contains("colour") && text.contains("red"), "{text}");
}

#[test]
fn volumes_are_named_in_four_ways_and_who_is_nobody_hears_who_there_is() {
    let folder = folder(&unpacked(TREE));
    let uuid = stated(TREE)["lvols"]["lvs0/base"]["uuid"].as_str().unwrap().to_owned();
    let id = answer(&folder, &["dump", "store.img", "base"])["blob"].as_str().unwrap().to_owned();
    for name in ["base", "lvs0/base", &uuid, &uuid.to_uppercase(), &id] {
        assert_eq!(answer(&folder, &["dump", "store.img", name])["name"], "base", "{name}");
    }
    let text = refused(&folder, &["dump", "store.img", "other/base"]);
    assert!(text.contains("no volume is called other/base: there are base, snap1, "), "{text}");
    assert!(refused(&folder, &["dump", "store.img", "0x100000000"]).contains("describes the store"));
    assert!(refused(&folder, &["dump", "store.img", "0x1000000aa"]).contains("there is no blob 0x1000000aa"));
}

/// The ranges of a diff: offset, bytes, data.
fn ranges(folder: &Folder, older: &str, newer: &str) -> Vec<(u64, u64, bool)> {
    let found = answer(folder, &["diff", "store.img", older, newer]);
    let all = found["ranges"].as_array().unwrap().iter();
    all.map(|one| (one["offset"].as_u64().unwrap(), one["bytes"].as_u64().unwrap(), one["data"].as_bool().unwrap())).collect()
}

#[test]
fn a_diff_is_what_was_written_between() {
    let folder = folder(&unpacked(TREE));
    assert_eq!(ranges(&folder, "snap1", "snap2"), [(1048576, 262144, true), (4194304, 131072, true)]);
    assert_eq!(ranges(&folder, "snap2", "base"), [(2031616, 131072, true)]);
    assert_eq!(ranges(&folder, "snap2", "clone2"), []);
    let (text, _) = said(&folder, &["diff", "store.img", "snap2", "clone2"]);
    assert!(text.contains("nothing differs in 10 MiB, which had 8 MiB"), "{text}");
    let (text, _) = said(&folder, &["diff", "store.img", "snap1", "base"]);
    assert!(text.starts_with("snap1 to base: 512 KiB in 3 ranges of 8 MiB\n"), "{text}");
    let text = refused(&folder, &["diff", "store.img", "snap1", "inflated"]);
    assert!(text.contains("not related") && text.contains("doorbell volume export"), "{text}");
}

/// What a backup tool does: it has the older, copies the ranges, and has the newer. Any two of one tree.
#[test]
fn the_ranges_of_a_diff_make_the_newer_of_the_older() {
    let folder = folder(&unpacked(TREE));
    let names = ["snap1", "snap2", "base", "clone1", "clone2", "clone3"];
    let content = |name: &str| {
        let path = folder.path().join(name);
        if !path.exists() {
            let (text, status) = said(&folder, &["export", "store.img", name, name]);
            assert_eq!((text.as_str(), status), ("", Some(0)));
        }
        std::fs::read(path).unwrap()
    };
    for older in names {
        for newer in names {
            let (mut copy, wanted) = (content(older), content(newer));
            copy.resize(wanted.len(), 0);
            for (offset, bytes, has_data) in ranges(&folder, older, newer) {
                let range = offset as usize..(offset + bytes) as usize;
                match has_data {
                    true => copy[range.clone()].copy_from_slice(&wanted[range]),
                    false => copy[range].fill(0),
                }
            }
            assert!(copy == wanted, "{older} to {newer}");
        }
    }
}

#[test]
fn exports_are_what_the_manifest_says_and_sparse() {
    for image in [PLAIN, "a_lvs_plain_bs4096", TREE, KILLED] {
        let (folder, entry) = (folder(&unpacked(image)), stated(image));
        for (name, content) in entry["content"].as_object().unwrap() {
            let out = name.replace('/', "-");
            let (text, status) = said(&folder, &["export", "store.img", name, &out]);
            assert_eq!((text.as_str(), status), ("", Some(0)), "{image}: {name}");
            let bytes = std::fs::read(folder.path().join(&out)).unwrap();
            assert_eq!(
                (bytes.len() as u64, sha256(&bytes).as_str()),
                (content["bytes"].as_u64().unwrap(), content["sha256"].as_str().unwrap()),
                "{name}"
            );
        }
    }
    let folder = folder(&unpacked(PLAIN));
    said(&folder, &["export", "store.img", "empty_thin", "empty"]);
    let empty = folder.path().join("empty").metadata().unwrap();
    assert!(empty.len() == 32 << 20 && empty.blocks() == 0, "{} blocks", empty.blocks());
    let piped = folder.run(&["volume", "export", "store.img", "thin", "-"]);
    assert_eq!(sha256(&piped.stdout), stated(PLAIN)["content"]["lvs0/thin"]["sha256"].as_str().unwrap());
    assert_eq!(folder.names(), ["empty", "store.img"]);
}

#[test]
fn an_export_takes_nobodys_file_away() {
    let folder = folder(&unpacked(PLAIN));
    let out = folder.path().join("out");
    std::fs::write(&out, "mine").unwrap();
    assert!(refused(&folder, &["export", "store.img", "thin", "out"]).contains("--force"));
    assert_eq!(std::fs::read(&out).unwrap(), b"mine");
    // It fails before it is done: what was there stays, and nothing else does.
    assert!(refused(&folder, &["export", "store.img", "absent", "out", "--force"]).contains("no volume is called absent"));
    assert_eq!((std::fs::read(&out).unwrap(), folder.names()), (b"mine".to_vec(), vec!["out".to_owned(), "store.img".to_owned()]));
    assert_eq!(said(&folder, &["export", "store.img", "thin", "out", "--force"]), (String::new(), Some(0)));
    assert_eq!(sha256(&std::fs::read(&out).unwrap()), stated(PLAIN)["content"]["lvs0/thin"]["sha256"].as_str().unwrap());
    for (file, says) in
        [("store.img", "the store itself"), (".", "no regular file"), ("/dev/null", "no regular file"), ("absent/out", "cannot be made")]
    {
        assert!(refused(&folder, &["export", "store.img", "thin", file, "--force"]).contains(says), "{file}");
    }
    assert_eq!(folder.names(), ["out", "store.img"]);
}

#[test]
fn what_a_server_has_is_left_to_it() {
    let folder = folder(&unpacked(PLAIN));
    let server = folder.serve(&["--file", "store.img", "--listen", "127.0.0.1:0", "--allow-any-host"]).ready();
    let pid = server.pid();
    for words in [&["list", "store.img"][..], &["dump", "store.img", "thin"], &["export", "store.img", "thin", "out"]] {
        let text = refused(&folder, words);
        assert!(text.contains(&format!("process {pid} (doorbell) has it")) && text.contains("store.img,force"), "{text}");
    }
    assert_eq!(said(&folder, &["check", "store.img"]).1, Some(2));
    assert!(!folder.path().join("out").exists());
    assert_eq!(answer(&folder, &["list", "store.img,force"])["volumes"].as_array().unwrap().len(), 3);
    assert_eq!(server.stop(Signal::TERM).0.code(), Some(0));
    // Readers are in nobody's way.
    let server = folder.serve(&["--file", "store.img,ro", "--listen", "127.0.0.1:0", "--allow-any-host"]).ready();
    assert_eq!(said(&folder, &["check", "store.img"]).1, Some(0));
    drop(server);
    assert!(refused(&folder, &["list", "store.img,size=1G"]).contains("block-size=.. and force only"));
}
