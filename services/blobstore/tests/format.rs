//! What is written here is SPDK's format to the byte, and what SPDK wrote goes on being changed here.

mod support;

use doorbell_blobstore::{BlobOptions, Blobstore, InitOptions, LoadOptions, OpenOptions, Store};
use doorbell_block::{BlockDevice, Status};
use doorbell_sim::{DiskSpec, SimDisk};
use doorbell_wire_blob::BsType;
use std::sync::Arc;
use support::{Opened, delete, disk, image, named_as, read, run, sha256, text, unload};

/// A store of 16 MiB with a thick and a thin volume, made with the same names and unique ids as one that SPDK made, is the same to the byte.
#[test]
fn a_new_store_is_what_spdk_makes() {
    let disk = SimDisk::new(DiskSpec::new(3, 9, 16 << 11));
    let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
    run(move |local| async move {
        let options = InitOptions { cluster_bytes: 1 << 20, md_pages: Some(16), bs_type: BsType::LVOLSTORE, ..InitOptions::default() };
        let store = Blobstore::init(&local, device, &options).await.unwrap();
        let of_store = store.create(&BlobOptions::default()).await.unwrap();
        store.set_super_blob(Some(of_store)).await.unwrap();
        store.set_xattr(of_store, b"uuid", b"af7586ae-4671-4a82-a13c-0bf2bab1f9f3\0").await.unwrap();
        store.set_xattr(of_store, b"name", b"lvs0\0").await.unwrap();
        let thick = named_as("thick1", "9ac04cdb-3590-4706-b552-41c4018a8666");
        store.create(&BlobOptions { clusters: 3, xattrs: thick, ..BlobOptions::default() }).await.unwrap();
        let thin = named_as("thin1", "975d0227-b187-4801-b2d8-c9043efdac02");
        store.create(&BlobOptions { clusters: 4, thin: true, xattrs: thin, ..BlobOptions::default() }).await.unwrap();
        unload(&local, store).await;
    });
    let bytes = disk.snapshot().to_vec();
    assert_eq!(sha256(&bytes[..32768]), "90bdda57a4751d8f0ca595ffc7ebc271d063bab18a6fa9ae49cb0848ec4c7ad1");
    assert_eq!(sha256(&bytes), "424baaa048703438cfabae927e5d7243a4edccff3929f772ed992287294c996c");
}

/// Every image of SPDK's is loaded, each of its volumes is written where it may be, snapshots are made, and all of it is there after it was
/// closed, and after it was not.
#[test]
fn stores_that_spdk_made_are_changed() {
    for name in ["a_lvs_plain_bs512", "a_lvs_plain_bs4096", "b_lvs_snapclone_bs512", "c_lvs_dirty_bs512", "e_blob_xattrs_bs4096"] {
        let (bytes, entry) = image(name);
        let disk = disk(&bytes, entry["block_size"].as_u64().unwrap());
        let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
        run(move |local| async move {
            let store = Blobstore::load(&local, device.clone(), &LoadOptions::default()).await.unwrap();
            assert_eq!(store.stopped().await, None);
            let mut wanted = Vec::new();
            for id in store.blobs().await {
                let info = store.blob(id).await.unwrap();
                if info.clusters == 0 {
                    continue;
                }
                let before = read(&local, store.volume(id).await.unwrap()).await;
                let opened = Opened::new(&local, store.volume(id).await.unwrap()).await;
                let wrote = opened.write(1, 2, 0xa5).await;
                assert_eq!(wrote, if info.flags.is_read_only() { Status::ReadOnly } else { Status::Ok }, "{name}");
                assert_eq!(opened.queue.control(doorbell_block::Op::Flush, 0, 0).await, Status::Ok);
                let mut after = before.clone();
                let block = before.len() as u64 / (store.volume(id).await.unwrap().info().blocks);
                if wrote.is_ok() {
                    after[block as usize..3 * block as usize].fill(0xa5);
                    let snapshot = store.snapshot(id, named_as(&format!("{}-snap", text(&info, "name").unwrap()), "")).await.unwrap();
                    wanted.push((snapshot, after.clone()));
                }
                wanted.push((id, after));
            }
            let again = Blobstore::load(&local, device.clone(), &LoadOptions::default()).await.unwrap();
            for (id, bytes) in &wanted {
                assert_eq!(read(&local, again.volume(*id).await.unwrap()).await, *bytes, "{name}: {id}, not closed");
            }
            drop(store);
            unload(&local, again).await;
            for recover in [false, true] {
                let store = Store::open(&local, device.clone(), &OpenOptions { recover, ..OpenOptions::default() }).await.unwrap();
                assert_eq!(store.findings(), [], "{name}, recover: {recover}");
                for (id, bytes) in &wanted {
                    assert_eq!(read(&local, store.volume(*id, None).unwrap()).await, *bytes, "{name}: {id}, recover: {recover}");
                }
            }
            // And all of it can be deleted, youngest first.
            let store = Blobstore::load(&local, device.clone(), &LoadOptions::default()).await.unwrap();
            loop {
                let mut left = Vec::new();
                for id in store.blobs().await {
                    let info = store.blob(id).await.unwrap();
                    if info.clusters > 0 && info.clones.is_empty() {
                        left.push(id);
                    }
                }
                if left.is_empty() {
                    break;
                }
                for id in left {
                    delete(&local, &store, id).await.unwrap();
                }
            }
            let (usage, described) = (store.usage().await, store.super_blob().await.map_or(0, |_| 1));
            assert_eq!((usage.free_clusters, usage.free_pages + described), (usage.clusters, usage.pages), "{name}");
            unload(&local, store).await;
            let store = Store::open(&local, device, &OpenOptions::default()).await.unwrap();
            assert_eq!((store.findings(), store.blobs().count()), ([].as_slice(), described as usize), "{name}");
        });
    }
}
