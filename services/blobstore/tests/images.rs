//! Every image of SPDK's opens with the contents that its manifest states, by its masks and by all of its metadata.

mod support;

use doorbell_blobstore::{Parent, Store};
use doorbell_reactor::Local;
use support::{image, named, read, sha256, text, with_store};

/// Are names, sizes, trees and contents those of the manifest?
async fn check(local: &Local, store: &Store, entry: &serde_json::Value) {
    let stated = &entry["lvstore"][0];
    assert_eq!(store.geometry().cluster_bytes, stated["cluster_size"].as_u64().unwrap() as u32);
    assert_eq!(u64::from(store.geometry().data_clusters()), stated["total_data_clusters"].as_u64().unwrap());
    assert_eq!(u64::from(store.free_clusters()), stated["free_clusters"].as_u64().unwrap());
    let of_store = store.blob(store.super_block().super_blob.id().unwrap()).unwrap();
    assert_eq!(text(&of_store, "uuid").as_deref(), stated["uuid"].as_str());
    assert_eq!(text(&of_store, "name").as_deref(), stated["name"].as_str());

    let content = entry["content"].as_object().unwrap();
    // All but the one that describes the store.
    assert_eq!(store.blobs().count(), content.len() + 1);
    for (name, stated) in content {
        let id = named(store, name.strip_prefix("lvs0/").unwrap());
        let bytes = read(local, store.volume(id, None).unwrap()).await;
        assert_eq!(
            (bytes.len() as u64, sha256(&bytes).as_str()),
            (stated["bytes"].as_u64().unwrap(), stated["sha256"].as_str().unwrap()),
            "{name}"
        );
    }
    let none = serde_json::Map::new();
    for (name, stated) in entry["lvols"].as_object().unwrap_or(&none) {
        let blob = store.blob(named(store, name.strip_prefix("lvs0/").unwrap())).unwrap();
        let lvol = &stated["lvol"];
        assert_eq!(text(&blob, "uuid").as_deref(), stated["uuid"].as_str());
        assert_eq!(Some(blob.allocated), lvol["num_allocated_clusters"].as_u64(), "{name}");
        assert_eq!(Some(blob.flags.is_thin()), lvol["thin_provision"].as_bool(), "{name}");
        let name_of = |id| text(&store.blob(id).unwrap(), "name").unwrap();
        let parent = match blob.parent {
            Parent::Snapshot(id) => Some(name_of(id)),
            _ => None,
        };
        assert_eq!(parent.as_deref(), lvol["base_snapshot"].as_str(), "{name}");
        let mut clones: Vec<String> = blob.clones.iter().map(|id| name_of(*id)).collect();
        let mut expected: Vec<String> =
            lvol["clones"].as_array().map(|list| list.iter().map(|name| name.as_str().unwrap().to_owned()).collect()).unwrap_or_default();
        clones.sort();
        expected.sort();
        assert_eq!(clones, expected, "{name}");
    }
}

fn whole(name: &str, clean: bool) {
    let (bytes, entry) = image(name);
    let block = entry["block_size"].as_u64().unwrap();
    for recover in [false, true] {
        let entry = entry.clone();
        with_store(&bytes, block, recover, move |local, store| async move {
            let store = store.unwrap();
            assert_eq!(store.findings(), [], "recover: {recover}");
            assert_eq!(store.unusable().count(), 0);
            assert_eq!(store.opening().clean, clean && !recover);
            check(&local, &store, &entry).await;
        });
    }
}

#[test]
fn thick_and_thin_volumes() {
    whole("a_lvs_plain_bs512", true);
    whole("a_lvs_plain_bs4096", true);
}

#[test]
fn trees_of_snapshots_and_clones() {
    whole("b_lvs_snapclone_bs512", true);
}

#[test]
fn a_store_that_was_killed() {
    whole("c_lvs_dirty_bs512", false);
}

#[test]
fn a_bare_store_with_attributes() {
    let (bytes, entry) = image("e_blob_xattrs_bs4096");
    for recover in [false, true] {
        let entry = entry.clone();
        with_store(&bytes, 4096, recover, move |local, store| async move {
            let store = store.unwrap();
            assert_eq!((store.findings(), store.blobs().count()), (&[][..], 2));
            for (n, (id, stated)) in entry["blobs"].as_object().unwrap().iter().enumerate() {
                let id = store.blobs().find(|found| format!("{:#x}", found.to_raw()) == *id).unwrap();
                assert_eq!(text(&store.blob(id).unwrap(), "name"), Some(format!("blob-{n}")));
                let content = read(&local, store.volume(id, None).unwrap()).await;
                assert_eq!(
                    (content.len() as u64, sha256(&content).as_str()),
                    (stated["bytes"].as_u64().unwrap(), stated["sha256"].as_str().unwrap())
                );
            }
        });
    }
}

/// What is made here is what its manifest says, by its masks and by all of its metadata.
#[test]
fn stores_that_are_made_here() {
    let made = support::made::all();
    assert_eq!(made.len(), 4);
    for image in made {
        let block = image.entry["block_size"].as_u64().unwrap();
        let clean = !image.entry["what"].as_str().unwrap().ends_with("not closed");
        for recover in [false, true] {
            let entry = image.entry.clone();
            with_store(&image.bytes, block, recover, move |local, store| async move {
                let store = store.unwrap();
                assert_eq!((store.findings(), store.unusable().count()), ([].as_slice(), 0));
                assert_eq!(store.opening().clean, clean && !recover);
                check(&local, &store, &entry).await;
            });
        }
    }
}
