//! A store that is loaded: what its volumes show, who gets which cluster, and what happens when there is none.

mod support;

use doorbell_blobstore::{BlobOptions, Blobstore, Error, InitOptions, LoadOptions, OpenOptions, Parent, Store};
use doorbell_block::{BlockDevice, Op, Status};
use doorbell_reactor::Local;
use doorbell_sim::{DiskSpec, Image, Machine, SimDisk};
use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use support::{Opened, ask, delete, run, unload};

/// Blocks of 512 bytes of a cluster of 64 KiB, and of the disk.
const CLUSTER: u64 = 128;
const BLOCKS: u64 = 8192;

fn options() -> InitOptions {
    InitOptions { cluster_bytes: 64 << 10, ..InitOptions::default() }
}

/// A disk of 4 MiB that was used before.
fn used() -> SimDisk {
    SimDisk::from_image(DiskSpec::new(5, 9, BLOCKS), Image::stale(9, BLOCKS, 5))
}

/// A new store on a used disk.
fn on_used<F: Future<Output = ()> + 'static>(main: impl FnOnce(Local, Blobstore, Arc<dyn BlockDevice>) -> F + 'static) -> SimDisk {
    let disk = used();
    let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
    run(move |local| async move {
        let store = Blobstore::init(&local, device.clone(), &options()).await.unwrap();
        main(local, store, device).await;
    });
    disk
}

fn thin(clusters: u64) -> BlobOptions {
    BlobOptions { clusters, thin: true, ..BlobOptions::default() }
}

async fn open(local: &Local, store: &Blobstore, id: doorbell_wire_blob::BlobId) -> Opened {
    Opened::new(local, store.volume(id).await.unwrap()).await
}

#[test]
fn what_was_not_written_reads_as_zeroes() {
    on_used(|local, store, _| async move {
        let thin = store.create(&thin(8)).await.unwrap();
        let thick = store.create(&BlobOptions { clusters: 8, ..BlobOptions::default() }).await.unwrap();
        for id in [thin, thick] {
            let volume = open(&local, &store, id).await;
            assert_eq!(volume.write(CLUSTER + 7, 3, 0x11).await, Status::Ok);
            for (lba, blocks, byte) in [(0, 128, 0), (128, 7, 0), (135, 3, 0x11), (138, 118, 0), (256, 128, 0)] {
                assert_eq!(volume.byte(lba, blocks).await, byte, "{id}, block {lba}");
            }
            drop(volume);
            store.resize(id, 12).await.unwrap();
            let volume = open(&local, &store, id).await;
            assert_eq!(volume.write(11 * CLUSTER, 128, 0x22).await, Status::Ok);
            drop(volume);
            store.resize(id, 9).await.unwrap();
            store.resize(id, 12).await.unwrap();
            let volume = open(&local, &store, id).await;
            assert_eq!(volume.byte(11 * CLUSTER, 128).await, 0, "{id}: what was cut off came back");
            assert_eq!((ask(&volume.queue, Op::SeekData, 0).await.0, volume.byte(135, 3).await), (Status::Ok, 0x11));
        }
        // What a deleted volume held is not the next one's.
        delete(&local, &store, thick).await.unwrap();
        let next = store.create(&BlobOptions { clusters: 20, ..BlobOptions::default() }).await.unwrap();
        let volume = open(&local, &store, next).await;
        for lba in (0..20 * CLUSTER).step_by(64) {
            assert_eq!(volume.byte(lba, 64).await, 0);
        }
        drop(volume);
        unload(&local, store).await;
    });
}

#[test]
fn seeks_find_what_is_there() {
    on_used(|local, store, _| async move {
        let id = store.create(&thin(2000)).await.unwrap();
        let volume = open(&local, &store, id).await;
        let seek = async |op, lba| ask(&volume.queue, op, lba).await.1;
        assert_eq!((seek(Op::SeekData, 0).await, seek(Op::SeekHole, 5).await), (u64::MAX, 5));
        for at in [3, 1500] {
            assert_eq!(volume.write(at * CLUSTER + 1, 1, 1).await, Status::Ok);
        }
        assert_eq!((seek(Op::SeekData, 0).await, seek(Op::SeekHole, 3 * CLUSTER).await), (3 * CLUSTER, 4 * CLUSTER));
        assert_eq!((seek(Op::SeekData, 4 * CLUSTER).await, seek(Op::SeekData, 1501 * CLUSTER).await), (1500 * CLUSTER, u64::MAX));
        drop(volume);
        unload(&local, store).await;
    });
}

/// Writers on several reactors meet at clusters that nobody has yet: each gets one cluster, and nothing of what they wrote is lost.
#[test]
fn writers_that_meet_share_a_cluster() {
    for seed in 0..20 {
        let device: Arc<dyn BlockDevice> = Arc::new(SimDisk::from_image(DiskSpec::new(seed, 9, BLOCKS), Image::stale(9, BLOCKS, seed)));
        let mut machine = Machine::new(seed, 3);
        let locals: Vec<Local> = (0..3).map(|n| machine.local(n)).collect();
        machine
            .run(3_600_000_000_000, move |local| async move {
                let store = Blobstore::init(&local, device.clone(), &options()).await.unwrap();
                let id = store.create(&thin(4)).await.unwrap();
                let left = Rc::new(Cell::new(locals.len() * 4));
                for (n, at) in locals.iter().enumerate() {
                    let volume = Rc::new(Opened::new(at, store.volume(id).await.unwrap()).await);
                    for part in 0..4u64 {
                        let (volume, left) = (volume.clone(), left.clone());
                        at.spawn(async move {
                            for cluster in 0..4 {
                                let lba = cluster * CLUSTER + (n as u64 * 4 + part) * 10;
                                assert_eq!(volume.write(lba, 10, (n * 4) as u8 + part as u8 + 1).await, Status::Ok);
                            }
                            left.set(left.get() - 1);
                        });
                    }
                }
                while left.get() > 0 {
                    local.sleep_ns(10_000).await;
                }
                assert_eq!(store.blob(id).await.unwrap().allocated, 4);
                let volume = open(&local, &store, id).await;
                for cluster in 0..4 {
                    for part in 0..12 {
                        assert_eq!(volume.byte(cluster * CLUSTER + part * 10, 10).await, part as u8 + 1);
                    }
                    assert_eq!(volume.byte(cluster * CLUSTER + 120, 8).await, 0);
                }
                drop(volume);
                unload(&local, store).await;
            })
            .unwrap();
        assert!(machine.close(3_600_000_000_000).iter().all(|closed| closed.boxes_out == 0 && closed.buffers_out == 0));
    }
}

#[test]
fn a_full_store_fails_writes_and_recovers() {
    on_used(|local, store, device| async move {
        let (id, other) = (store.create(&thin(200)).await.unwrap(), store.create(&thin(10)).await.unwrap());
        let volume = open(&local, &store, id).await;
        let mut written = 0;
        let full = loop {
            match volume.write(written * CLUSTER, 2, written as u8).await {
                Status::Ok => written += 1,
                status => break status,
            }
        };
        assert_eq!((full, store.usage().await.free_clusters), (Status::NoSpace, 0));
        assert_eq!(u64::from(store.usage().await.clusters), written);
        for at in 0..written {
            assert_eq!(volume.byte(at * CLUSTER, 2).await, at as u8);
        }
        // What it has can be written; a volume that needs clusters cannot be made, nor grown, and nothing of the attempt stays.
        assert_eq!(volume.write(5 * CLUSTER + 9, 1, 0x99).await, Status::Ok);
        let thick = BlobOptions { clusters: 1, ..BlobOptions::default() };
        assert_eq!(store.create(&thick).await, Err(Error::NoSpace { needed: 1, free: 0 }));
        let pages = store.usage().await.free_pages;
        assert!(store.inflate(other).await.is_err());
        assert_eq!(store.usage().await.free_pages, pages);
        // Space is made, and the same write succeeds.
        assert_eq!(volume.queue.control(Op::Unmap, 3 * CLUSTER, 2 * CLUSTER as u32 + 5).await, Status::Ok);
        assert_eq!(store.usage().await.free_clusters, 2);
        assert_eq!((volume.byte(3 * CLUSTER, 128).await, volume.byte(4 * CLUSTER, 128).await), (0, 0));
        assert_eq!(volume.write(written * CLUSTER, 2, 0x77).await, Status::Ok);
        assert_eq!((volume.byte(written * CLUSTER, 2).await, volume.byte(written * CLUSTER + 2, 126).await), (0x77, 0));
        drop(volume);
        delete(&local, &store, id).await.unwrap();
        let usage = store.usage().await;
        assert_eq!(usage.clusters, usage.free_clusters);
        unload(&local, store).await;
        let store = Store::open(&local, device, &OpenOptions { recover: true, ..OpenOptions::default() }).await.unwrap();
        assert_eq!((store.findings(), store.blobs().count()), ([].as_slice(), 1));
    });
}

#[test]
fn pages_are_kept_for_what_makes_space() {
    let device: Arc<dyn BlockDevice> = Arc::new(SimDisk::new(DiskSpec::new(5, 9, BLOCKS)));
    run(move |local| async move {
        let store = Blobstore::init(&local, device, &InitOptions { md_pages: Some(32), ..options() }).await.unwrap();
        let mut made = Vec::new();
        let refused = loop {
            match store.create(&thin(3)).await {
                Ok(id) => made.push(id),
                Err(error) => break error,
            }
        };
        assert_eq!((refused, made.len()), (Error::NoPages { free: 2, kept: 2 }, 30));
        // A write that needs an extent page says that there is no space; what does not goes on.
        let volume = open(&local, &store, made[0]).await;
        assert_eq!(volume.write(0, 1, 1).await, Status::NoSpace);
        assert_eq!(volume.byte(0, 128).await, 0);
        delete(&local, &store, made[7]).await.unwrap();
        delete(&local, &store, made[8]).await.unwrap();
        assert_eq!(volume.write(0, 1, 1).await, Status::Ok);
        drop(volume);
        unload(&local, store).await;
    });
}

#[test]
fn a_store_takes_what_its_device_grew_by() {
    let disk = used();
    let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
    run(move |local| async move {
        let store = Blobstore::init(&local, device.clone(), &options()).await.unwrap();
        let before = store.usage().await.free_clusters;
        assert_eq!(store.grow().await, Ok(false));
        disk.resize(BLOCKS * 2);
        assert_eq!(store.grow().await, Ok(true));
        assert_eq!(store.usage().await.free_clusters, before + 64);
        let id = store.create(&BlobOptions { clusters: u64::from(before) + 60, ..BlobOptions::default() }).await.unwrap();
        let again = Blobstore::load(&local, device.clone(), &LoadOptions::default()).await.unwrap();
        assert_eq!((again.usage().await.free_clusters, again.blob(id).await.unwrap().allocated), (4, u64::from(before) + 60));
        drop(store);
        unload(&local, again).await;
        assert_eq!(Store::open(&local, device, &OpenOptions::default()).await.unwrap().findings(), []);
    });
}

/// A disk that takes no metadata any more: nothing is promised that did not happen, and what is there is read.
#[test]
fn metadata_that_cannot_be_written_stops_changes() {
    let disk = used();
    let device: Arc<dyn BlockDevice> = Arc::new(disk.clone());
    run(move |local| async move {
        let store = Blobstore::init(&local, device.clone(), &options()).await.unwrap();
        let id = store.create(&thin(8)).await.unwrap();
        let volume = open(&local, &store, id).await;
        assert_eq!(volume.write(0, 4, 0x33).await, Status::Ok);
        let geometry = store.geometry().await;
        let first = geometry.page_offset(id.root()).unwrap() / 512;
        disk.make_unwritable(first..first + 8);
        assert!(matches!(store.set_xattr(id, b"x", b"y").await, Err(Error::Write { .. })));
        let why = store.stopped().await.unwrap();
        assert!(why.contains("root of blob 0x100000000"), "{why}");
        assert!(matches!(store.create(&thin(1)).await, Err(Error::Stopped { .. })));
        assert_eq!(volume.write(CLUSTER, 1, 1).await, Status::WriteError);
        assert_eq!((volume.byte(0, 4).await, volume.write(2, 1, 0x44).await), (0x33, Status::Ok));
        drop(volume);
        disk.heal();
        drop(store);
        let store = Blobstore::load(&local, device, &LoadOptions::default()).await.unwrap();
        assert_eq!(store.stopped().await, None);
        assert_eq!(store.blob(id).await.unwrap().allocated, 1);
        unload(&local, store).await;
    });
}

/// What outlives its store is told so.
#[test]
fn a_volume_without_its_store_reads_and_does_not_wait() {
    on_used(|local, store, _| async move {
        let id = store.create(&thin(8)).await.unwrap();
        let volume = open(&local, &store, id).await;
        assert_eq!(volume.write(0, 4, 0x33).await, Status::Ok);
        assert_eq!(store.clone().unload().await, Err(Error::StoreBusy));
        drop(store);
        local.sleep_ns(1_000_000).await;
        assert_eq!((volume.byte(0, 4).await, volume.write(CLUSTER, 1, 1).await), (0x33, Status::Gone));
        assert_eq!(volume.write(1, 1, 0x34).await, Status::Ok);
    });
}

#[test]
fn what_cannot_be_done_is_refused() {
    on_used(|local, store, _| async move {
        let id = store.create(&thin(8)).await.unwrap();
        let thick = store.create(&BlobOptions { clusters: 2, ..BlobOptions::default() }).await.unwrap();
        assert_eq!(store.clone_of(id, vec![]).await, Err(Error::NotReadOnly(id)));
        let snapshot = store.snapshot(id, vec![]).await.unwrap();
        assert_eq!(store.blob(id).await.unwrap().parent, Parent::Snapshot(snapshot));
        assert_eq!(store.snapshot(snapshot, vec![]).await, Err(Error::ReadOnly(snapshot)));
        assert_eq!(store.resize(snapshot, 9).await, Err(Error::ReadOnly(snapshot)));
        assert_eq!(store.set_parent(thick, snapshot).await, Err(Error::NotThin(thick)));
        assert_eq!(store.decouple(thick).await, Err(Error::NoParent(thick)));
        assert_eq!(store.set_parent(id, snapshot).await, Err(Error::ParentAlready { id, parent: snapshot }));
        let clone = store.clone_of(snapshot, vec![]).await.unwrap();
        assert_eq!(store.delete(snapshot).await, Err(Error::Clones { id: snapshot, clones: 2 }));
        assert!(matches!(store.create(&thin(1 << 40)).await, Err(Error::TooLarge { .. })));
        for name in [&b""[..], b"a\0b", &[b'x'; 5000]] {
            assert!(matches!(store.set_xattr(clone, name, b"v").await, Err(Error::Attribute { .. })));
        }
        let volume = open(&local, &store, snapshot).await;
        assert_eq!(volume.write(0, 1, 1).await, Status::ReadOnly);
        assert_eq!(store.delete(snapshot).await, Err(Error::InUse(snapshot)));
        drop(volume);
        unload(&local, store).await;
    });
}
