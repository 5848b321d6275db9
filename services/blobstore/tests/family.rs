//! Snapshots, clones and parents outside: what each shows, and what becomes of it when another goes.

mod support;

use doorbell_blobstore::{BlobOptions, Blobstore, Error, InitOptions, OpenOptions, Parent, Store};
use doorbell_block::{BlockDevice, Status};
use doorbell_reactor::Local;
use doorbell_sim::{DiskSpec, Image, SimDisk};
use doorbell_wire_blob::BlobId;
use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use support::{Opened, delete, once_closed, run, unload};

const CLUSTER: u64 = 128;

fn with_store<F: Future<Output = ()> + 'static>(main: impl FnOnce(Local, Blobstore) -> F + 'static) {
    let device: Arc<dyn BlockDevice> = Arc::new(SimDisk::from_image(DiskSpec::new(9, 9, 8192), Image::stale(9, 8192, 9)));
    run(move |local| async move {
        let options = InitOptions { cluster_bytes: 64 << 10, ..InitOptions::default() };
        let store = Blobstore::init(&local, device.clone(), &options).await.unwrap();
        main(local.clone(), store.clone()).await;
        unload(&local, store).await;
        for recover in [false, true] {
            let store = Store::open(&local, device.clone(), &OpenOptions { recover, ..OpenOptions::default() }).await.unwrap();
            assert_eq!(store.findings(), []);
        }
    });
}

fn thin(clusters: u64) -> BlobOptions {
    BlobOptions { clusters, thin: true, ..BlobOptions::default() }
}

/// Writes one byte to the first blocks of clusters.
async fn write(local: &Local, store: &Blobstore, id: BlobId, clusters: &[u64], byte: u8) {
    let volume = Opened::new(local, store.volume(id).await.unwrap()).await;
    for at in clusters {
        assert_eq!(volume.write(at * CLUSTER, 8, byte).await, Status::Ok);
    }
}

/// The byte of the first blocks of each cluster.
async fn bytes(local: &Local, store: &Blobstore, id: BlobId) -> Vec<u8> {
    let clusters = store.blob(id).await.unwrap().clusters;
    let volume = Opened::new(local, store.volume(id).await.unwrap()).await;
    let mut all = Vec::new();
    for at in 0..clusters {
        all.push(volume.byte(at * CLUSTER, 8).await);
        assert_eq!(volume.byte(at * CLUSTER + 8, 100).await, 0);
    }
    all
}

#[test]
fn a_snapshot_stays_and_its_clones_go_their_ways() {
    with_store(|local, store| async move {
        let origin = store.create(&thin(6)).await.unwrap();
        write(&local, &store, origin, &[0, 1, 2], 1).await;
        let first = store.snapshot(origin, vec![]).await.unwrap();
        write(&local, &store, origin, &[1, 3], 2).await;
        let second = store.snapshot(origin, vec![]).await.unwrap();
        let clone = store.clone_of(first, vec![]).await.unwrap();
        write(&local, &store, origin, &[2], 3).await;
        write(&local, &store, clone, &[0, 5], 4).await;
        assert_eq!(bytes(&local, &store, first).await, [1, 1, 1, 0, 0, 0]);
        assert_eq!(bytes(&local, &store, second).await, [1, 2, 1, 2, 0, 0]);
        assert_eq!(bytes(&local, &store, origin).await, [1, 2, 3, 2, 0, 0]);
        assert_eq!(bytes(&local, &store, clone).await, [4, 1, 1, 0, 0, 4]);
        // The middle one of the chain goes: the origin takes what it has.
        delete(&local, &store, second).await.unwrap();
        assert_eq!(bytes(&local, &store, origin).await, [1, 2, 3, 2, 0, 0]);
        assert_eq!(store.blob(origin).await.unwrap().parent, Parent::Snapshot(first));
        // One clone is inflated, the other is all that is left of the snapshot.
        store.inflate(clone).await.unwrap();
        assert_eq!(store.blob(clone).await.unwrap().allocated, 6);
        delete(&local, &store, first).await.unwrap();
        assert_eq!(bytes(&local, &store, origin).await, [1, 2, 3, 2, 0, 0]);
        assert_eq!(bytes(&local, &store, clone).await, [4, 1, 1, 0, 0, 4]);
        let usage = store.usage().await;
        assert_eq!(usage.clusters - usage.free_clusters, 4 + 6);
    });
}

/// The original loses data, or the volume, when a clone had another size than the snapshot that was deleted.
#[test]
fn a_clone_of_another_size_outlives_its_snapshot() {
    for (clusters, wanted) in [(6, vec![1, 2, 1, 0, 0, 0]), (2, vec![1, 2])] {
        with_store(move |local, store| async move {
            let origin = store.create(&BlobOptions { clusters: 3, ..BlobOptions::default() }).await.unwrap();
            write(&local, &store, origin, &[0, 1, 2], 1).await;
            let snapshot = store.snapshot(origin, vec![]).await.unwrap();
            write(&local, &store, origin, &[1], 2).await;
            store.resize(origin, clusters).await.unwrap();
            delete(&local, &store, snapshot).await.unwrap();
            assert_eq!(bytes(&local, &store, origin).await, wanted);
            let usage = store.usage().await;
            assert_eq!(usage.clusters - usage.free_clusters, clusters.min(3) as u32);
        });
    }
}

#[test]
fn decoupling_takes_what_the_parent_has_and_no_more() {
    with_store(|local, store| async move {
        let origin = store.create(&thin(5)).await.unwrap();
        write(&local, &store, origin, &[0, 1], 1).await;
        let first = store.snapshot(origin, vec![]).await.unwrap();
        write(&local, &store, origin, &[2], 2).await;
        let second = store.snapshot(origin, vec![]).await.unwrap();
        write(&local, &store, origin, &[3], 3).await;
        store.decouple(origin).await.unwrap();
        let info = store.blob(origin).await.unwrap();
        assert_eq!((info.parent, info.allocated, store.blob(second).await.unwrap().clones), (Parent::Snapshot(first), 2, vec![]));
        assert_eq!(bytes(&local, &store, origin).await, [1, 1, 2, 3, 0]);
        store.set_parent(origin, second).await.unwrap();
        assert_eq!(bytes(&local, &store, origin).await, [1, 1, 2, 3, 0]);
    });
}

/// One writer writes numbers one after the other while snapshots are made: each shows all up to some number, and none beyond, over two volumes.
#[test]
fn snapshots_of_several_volumes_are_of_one_moment() {
    with_store(|local, store| async move {
        let (a, b) = (store.create(&thin(4)).await.unwrap(), store.create(&thin(4)).await.unwrap());
        let (stop, stopped) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        {
            let (local, store, stop, stopped) = (local.clone(), store.clone(), stop.clone(), stopped.clone());
            local.clone().spawn(async move {
                let volumes =
                    [Opened::new(&local, store.volume(a).await.unwrap()).await, Opened::new(&local, store.volume(b).await.unwrap()).await];
                for n in 0.. {
                    if stop.get() {
                        break;
                    }
                    // Now to the one, now to the other.
                    let lba = n / 2 % 40 * 12;
                    assert_eq!(volumes[(n % 2) as usize].write(lba, 1, (n / 2 % 250) as u8 + 1).await, Status::Ok);
                }
                stopped.set(true);
            });
        }
        for _ in 0..6 {
            local.sleep_ns(4_000_000).await;
            let made = store.snapshots(vec![(a, vec![]), (b, vec![])]).await.unwrap();
            let mut newest = Vec::new();
            for id in &made {
                let volume = Opened::new(&local, store.volume(*id).await.unwrap()).await;
                let mut rounds = Vec::new();
                for slot in 0..40 {
                    rounds.push(volume.byte(slot * 12, 1).await);
                }
                // As it was written: a run of numbers, then what a round before left.
                let breaks = (1..40).filter(|at| rounds[*at] != rounds[at - 1] + 1 && rounds[*at] != 0).count();
                assert!(breaks <= 1 || rounds.contains(&250), "{rounds:?}");
                let at = (0..40).find(|at| *at == 39 || rounds[at + 1] != rounds[*at] + 1).unwrap();
                newest.push((at, rounds[at]));
            }
            // The first volume is written first: it is as far as the second, or one further.
            let far = |(at, round): (usize, u8)| (i32::from(round), at as i32);
            let (first, second) = (far(newest[0]), far(newest[1]));
            assert!(first.0 - second.0 == 0 || first.0 - second.0 == 1 || second.0 == 250, "{newest:?}");
        }
        stop.set(true);
        while !stopped.get() {
            local.sleep_ns(100_000).await;
        }
    });
}

#[test]
fn a_parent_outside_shows_through_and_is_copied_from() {
    with_store(|local, store| async move {
        // Of two clusters and a half, in blocks as large as the store's.
        let mut golden = vec![0; 320 * 512];
        for (at, block) in golden.chunks_mut(512).enumerate() {
            block.fill((at / 64) as u8 + 1);
        }
        let outside: Arc<dyn BlockDevice> = Arc::new(SimDisk::from_image(DiskSpec::new(4, 9, 320), Image::of(9, &golden)));
        let id = store.create(&BlobOptions { clusters: 4, external: Some(b"golden".to_vec()), ..BlobOptions::default() }).await.unwrap();
        assert!(matches!(store.volume(id).await, Err(Error::NoExternal { .. })));
        assert!(matches!(store.inflate(id).await, Err(Error::NoExternal { .. })));
        store.attach_external(b"golden", outside.clone()).await.unwrap();
        let volume = Opened::new(&local, store.volume(id).await.unwrap()).await;
        let check = async |volume: &Opened, wanted: [u8; 8]| {
            for (at, byte) in (0..8).zip(wanted) {
                assert_eq!(volume.byte(at * 64, 64).await, byte, "blocks from {}", at * 64);
            }
        };
        check(&volume, [1, 2, 3, 4, 5, 0, 0, 0]).await;
        // A read that goes past its end.
        let over = volume.read(300, 40).await;
        assert_eq!((over[20 * 512 - 1], over[20 * 512]), (5, 0));
        assert_eq!(volume.write(64, 64, 9).await, Status::Ok);
        assert_eq!(volume.write(320, 64, 8).await, Status::Ok);
        check(&volume, [1, 9, 3, 4, 5, 8, 0, 0]).await;
        assert_eq!(store.blob(id).await.unwrap().allocated, 2);
        let snapshot = store.snapshot(id, vec![]).await.unwrap();
        assert_eq!(volume.write(128, 64, 7).await, Status::Ok);
        check(&volume, [1, 9, 7, 4, 5, 8, 0, 0]).await;
        drop(volume);
        delete(&local, &store, snapshot).await.unwrap();
        assert_eq!(store.blob(id).await.unwrap().parent, Parent::External(b"golden".to_vec()));
        store.inflate(id).await.unwrap();
        let volume = Opened::new(&local, store.volume(id).await.unwrap()).await;
        check(&volume, [1, 9, 7, 4, 5, 8, 0, 0]).await;
        assert_eq!(store.blob(id).await.unwrap().parent, Parent::None);
    });
}

#[test]
fn a_parent_outside_is_set_goes_and_comes_again() {
    with_store(|local, store| async move {
        let golden = |shift: u8| {
            let mut spec = DiskSpec::new(4, shift, (256 << 9) >> shift);
            spec.info.limits.transfer_blocks = 8;
            let image = Image::of(shift, &[7; 256 << 9]);
            let device: Arc<dyn BlockDevice> = Arc::new(SimDisk::from_image(spec, image));
            device
        };
        let id = store.create(&thin(2)).await.unwrap();
        let clone_of = store.snapshot(id, vec![]).await.unwrap();
        assert!(matches!(store.set_external_parent(id, b"golden").await, Err(Error::NoExternal { .. })));
        assert!(matches!(store.attach_external(b"golden", golden(12)).await, Err(Error::ExternalBlocks { .. })));
        store.attach_external(b"golden", golden(9)).await.unwrap();
        let volume = Opened::new(&local, store.volume(id).await.unwrap()).await;
        assert_eq!(store.set_external_parent(id, b"golden").await, Err(Error::InUse(id)));
        drop(volume);
        assert_eq!(store.volume(id).await.unwrap().info().limits.transfer_blocks, 0);
        once_closed(&local, async || store.set_external_parent(id, b"golden").await).await.unwrap();
        // Requests keep to the limits of both.
        assert_eq!(store.volume(id).await.unwrap().info().limits.transfer_blocks, 8);
        let volume = Opened::new(&local, store.volume(id).await.unwrap()).await;
        assert_eq!((volume.byte(0, 8).await, volume.write(0, 8, 3).await), (7, Status::Ok));
        assert_eq!(store.detach_external(b"golden").await, Err(Error::InUse(id)));
        drop(volume);
        once_closed(&local, async || store.detach_external(b"golden").await).await.unwrap();
        assert!(matches!(store.volume(id).await, Err(Error::NoExternal { .. })));
        store.attach_external(b"golden", golden(9)).await.unwrap();
        assert_eq!(store.volume(id).await.unwrap().info().limits.transfer_blocks, 8);
        let volume = Opened::new(&local, store.volume(id).await.unwrap()).await;
        assert_eq!((volume.byte(0, 8).await, volume.byte(128, 8).await), (3, 7));
        assert_eq!(store.blob(clone_of).await.unwrap().clones, []);
    });
}

#[test]
fn what_is_a_blobs_own_is_copied_and_nothing_else() {
    with_store(|local, store| async move {
        let id = store.create(&thin(4)).await.unwrap();
        write(&local, &store, id, &[0], 1).await;
        store.snapshot(id, vec![]).await.unwrap();
        write(&local, &store, id, &[1, 3], 2).await;
        let second = store.snapshot(id, vec![]).await.unwrap();
        let target = SimDisk::from_image(DiskSpec::new(5, 9, 512), Image::of(9, &[9; 512 << 9]));
        let copy = async |stop_at: u64| {
            let mut told = Vec::new();
            let go_on = |copied: u64, all| {
                told.push((copied, all));
                copied < stop_at
            };
            let volume = Arc::new(store.volume(second).await.unwrap());
            let whole = store.shallow_copy(second, volume, Arc::new(target.clone()), go_on).await.unwrap();
            (whole, told)
        };
        let byte = |cluster: u64| target.snapshot().blocks(cluster * 128, 1)[0];
        assert_eq!(copy(1).await, (false, vec![(0, 2), (1, 2)]));
        assert_eq!([byte(0), byte(1), byte(2), byte(3)], [9, 2, 9, 9]);
        assert_eq!(copy(9).await, (true, vec![(0, 2), (1, 2), (2, 2)]));
        assert_eq!([byte(0), byte(1), byte(2), byte(3)], [9, 2, 9, 2]);
        assert_eq!(target.unflushed(), 0);
    });
}

/// Whoever asked for a snapshot has gone: it is made all the same, and the volume does not stay held.
#[test]
fn a_change_that_nobody_waits_for_is_finished() {
    with_store(|local, store| async move {
        let id = store.create(&thin(4)).await.unwrap();
        write(&local, &store, id, &[0, 1], 1).await;
        for steps in 1..12 {
            let mut asked = Box::pin(store.snapshot(id, vec![]));
            for _ in 0..steps {
                let now = std::future::poll_fn(|c| Poll::Ready(asked.as_mut().poll(c))).await;
                assert!(now.is_pending());
                local.sleep_ns(20_000).await;
            }
            drop(asked);
            write(&local, &store, id, &[1, 2], steps).await;
            assert_eq!(store.blobs().await.len(), 1 + usize::from(steps));
        }
        assert_eq!(bytes(&local, &store, id).await, [1, 11, 11, 0]);
    });
}
