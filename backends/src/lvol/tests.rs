use crate::model::{on_reactors, transfer};
use crate::{Brings, Host, bring_all};
use doorbell_bdev::{Access, BdevPart, Registry};
use doorbell_block::{Flags, Op, Status};
use doorbell_control::{Control, Notifications, Options};
use doorbell_mem::Regions;
use doorbell_reactor::{AsyncQueue, Local, Receiver, oneshot};
use doorbell_sys::helper::Helpers;
use serde_json::{Value, json};
use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

thread_local!(static COUNT: Cell<u8> = const { Cell::new(0) });

/// Different each time; that is all that UUIDs need here.
fn entropy() -> [u8; 16] {
    COUNT.set(COUNT.get() + 1);
    [COUNT.get(); 16]
}

/// A process that has block devices and nothing else.
struct Process {
    local: Local,
    registry: Registry,
    control: Control,
}

impl Process {
    async fn start(local: &Local) -> Process {
        let registry = Registry::new();
        let host = Host {
            registry: registry.clone(),
            regions: Regions::default(),
            helpers: Helpers::new(1).unwrap(),
            local: local.clone(),
            entropy,
        };
        let notifications = Notifications::new();
        let control = Control::new(Options { allowed: None, notice: None, notifications: notifications.clone() });
        let (mut examiners, mut modules) = (Vec::new(), Vec::new());
        let bring = |methods: &mut _| bring_all(&host, &mut Brings { methods, examiners: &mut examiners, modules: &mut modules });
        control.add_methods(bring).unwrap();
        control.add_part(BdevPart::new(registry.clone(), local.clone(), notifications, examiners, modules)).unwrap();
        control.start().await.unwrap();
        Process { local: local.clone(), registry, control }
    }

    async fn try_call(&self, method: &'static str, params: Value) -> Result<Value, (i64, String)> {
        self.control.call(method, Some(params)).await.map_err(|error| (error.code, error.message.into_owned()))
    }

    async fn call(&self, method: &'static str, params: Value) -> Value {
        self.try_call(method, params.clone()).await.unwrap_or_else(|error| panic!("{method} {params}: {error:?}"))
    }

    /// A call that goes on beside others; whether it succeeded.
    fn meanwhile(&self, method: &'static str, params: Value) -> Receiver<bool> {
        let (control, (sender, ended)) = (self.control.clone(), oneshot());
        self.local.spawn(async move { sender.send(control.call(method, Some(params)).await.is_ok()) });
        ended
    }

    /// Others have so many turns.
    async fn turns(&self, turns: u32) {
        for _ in 0..turns {
            self.local.with(|_| ()).await;
        }
    }

    async fn text(&self, method: &'static str, params: Value) -> String {
        self.call(method, params).await.as_str().unwrap().to_owned()
    }

    /// Memory with a store of clusters of 1 MiB on it.
    async fn store(&self, mib: u64) {
        self.call("bdev_malloc_create", json!({"name": "Base", "block_size": 512, "num_blocks": mib * 2048})).await;
        self.call("bdev_lvol_create_lvstore", json!({"bdev_name": "Base", "lvs_name": "lvs", "cluster_sz": 1 << 20})).await;
    }

    async fn thin(&self, name: &str, mib: u64) -> String {
        self.text("bdev_lvol_create", json!({"lvs_name": "lvs", "lvol_name": name, "size_in_mib": mib, "thin_provision": true})).await
    }

    /// A volume as `bdev_lvol_get_lvols` tells of it.
    async fn lvol(&self, name: &str) -> Value {
        let all = self.call("bdev_lvol_get_lvols", json!({})).await;
        all.as_array().unwrap().iter().find(|lvol| lvol["name"] == name).unwrap_or_else(|| panic!("{name}: {all}")).clone()
    }

    async fn device(&self, name: &str) -> Value {
        self.call("bdev_get_bdevs", json!({"name": name})).await[0].clone()
    }

    async fn on<R>(&self, name: &str, access: Access, work: impl AsyncFnOnce(&AsyncQueue) -> R) -> R {
        let handle = self.registry.open(name, access, Box::new(|_| {})).unwrap();
        let bdev = handle.bdev().clone();
        let queue = AsyncQueue::open(&self.local, handle, 4).await.unwrap();
        let others = bdev.open_count() - 1;
        let result = work(&queue).await;
        drop(queue);
        while bdev.open_count() > others {
            self.local.sleep_ns(100_000).await;
        }
        result
    }

    /// Writes a block of 512 bytes of one kind.
    async fn write(&self, name: &str, lba: u64, byte: u8) -> Status {
        let buffer = self.local.with(|cx| cx.buffer(512).unwrap()).await;
        buffer.fill(0, 512, byte);
        self.on(name, Access::Write, async |queue| transfer(queue, Op::Write, Flags::NONE, lba, 1, vec![buffer]).await).await
    }

    /// Reads such a block.
    async fn read(&self, name: &str, lba: u64) -> u8 {
        let buffer = self.local.with(|cx| cx.buffer(512).unwrap()).await;
        let share = buffer.clone();
        let status = self.on(name, Access::Read, async |queue| transfer(queue, Op::Read, Flags::NONE, lba, 1, vec![share]).await).await;
        assert_eq!(status, Status::Ok, "{name} at {lba}");
        let mut bytes = [0; 512];
        buffer.read_at(0, &mut bytes);
        assert!(bytes.iter().all(|byte| *byte == bytes[0]));
        bytes[0]
    }

    async fn end(self) {
        self.control.stop().await;
        assert!(self.registry.all().iter().all(|bdev| bdev.module() != "lvol"));
    }
}

fn with_process<F: Future<Output = Process> + 'static>(test: impl FnOnce(Process) -> F + 'static) {
    on_reactors(1, |local| async move { test(Process::start(&local).await).await.end().await });
}

const INVALID: i64 = -32602;

#[test]
fn volumes_are_made_named_resized_and_deleted() {
    with_process(|p| async move {
        p.store(64).await;
        let uuid = p.thin("v", 5).await;
        let device = p.device("lvs/v").await;
        assert_eq!((&device["name"], &device["uuid"], &device["aliases"]), (&json!(uuid), &json!(uuid), &json!(["lvs/v"])));
        assert_eq!((&device["num_blocks"], &device["product_name"]), (&json!(5 * 2048), &json!("Logical Volume")));
        assert_eq!(device["driver_specific"]["lvol"]["thin_provision"], true);
        assert_eq!(p.write("lvs/v", 2048, 7).await, Status::Ok);
        assert_eq!(p.device(&uuid).await["driver_specific"]["lvol"]["num_allocated_clusters"], 1);
        // As an old client gives sizes, and not to the end of a cluster.
        p.call("bdev_lvol_create", json!({"lvs_name": "lvs", "lvol_name": "old", "size": 3 * (1 << 20) + 1})).await;
        assert_eq!(p.lvol("old").await["num_allocated_clusters"], 4);
        p.call("bdev_lvol_resize", json!({"name": "lvs/old", "size": 1})).await;
        assert_eq!(p.device("lvs/old").await["num_blocks"], 2048);
        p.call("bdev_lvol_rename", json!({"old_name": "lvs/v", "new_name": "w"})).await;
        assert_eq!(p.device(&uuid).await["aliases"], json!(["lvs/w"]));
        // Its former name is free.
        p.thin("v", 1).await;
        p.call("bdev_lvol_delete", json!({"name": "lvs/v"})).await;
        p.call("bdev_lvol_rename_lvstore", json!({"old_name": "lvs", "new_name": "store"})).await;
        assert_eq!(p.device(&uuid).await["aliases"], json!(["store/w"]));
        assert_eq!(p.read("store/w", 2048).await, 7);
        assert_eq!(p.try_call("bdev_get_bdevs", json!({"name": "lvs/v"})).await.unwrap_err().0, -19);
        let told = Arc::new(AtomicU32::new(0));
        let count = told.clone();
        let open = p.registry.open("store/w", Access::Write, Box::new(move |_| count.store(1, Relaxed))).unwrap();
        p.call("bdev_lvol_set_read_only", json!({"name": "store/w"})).await;
        assert_eq!(told.load(Relaxed), 1, "whoever has it open looks at it again");
        drop(open);
        assert_eq!(p.device(&uuid).await["supported_io_types"]["write"], false);
        assert_eq!(p.write("store/w", 0, 1).await, Status::ReadOnly);
        let store = p.call("bdev_lvol_get_lvstores", json!({"lvs_name": "store"})).await[0].clone();
        assert_eq!(store["total_data_clusters"].as_u64().unwrap() - 2, store["free_clusters"].as_u64().unwrap());
        for name in ["store/w", "store/old"] {
            p.call("bdev_lvol_delete", json!({"name": name})).await;
        }
        let store = p.call("bdev_lvol_get_lvstores", json!({})).await[0].clone();
        assert_eq!(store["total_data_clusters"], store["free_clusters"]);
        p.call("bdev_lvol_delete_lvstore", json!({"lvs_name": "store"})).await;
        assert_eq!(p.call("bdev_lvol_get_lvstores", json!({})).await, json!([]));
        // The device is free again, and holds no store that an examination would find.
        p.call("bdev_examine", json!({"name": "Base"})).await;
        assert_eq!(p.call("bdev_lvol_get_lvstores", json!({})).await, json!([]));
        assert_eq!(p.device("Base").await["claimed"], false);
        p
    });
}

#[test]
fn what_cannot_be_is_refused_in_spdks_words() {
    with_process(|p| async move {
        p.store(64).await;
        p.thin("v", 1).await;
        p.call("bdev_malloc_create", json!({"name": "Second", "block_size": 512, "num_blocks": 65536})).await;
        p.call("bdev_lvol_create_lvstore", json!({"bdev_name": "Second", "lvs_name": "second"})).await;
        let text = |text: &str| text.to_owned();
        for (method, params, refusal) in [
            ("bdev_lvol_create_lvstore", json!({"bdev_name": "Base", "lvs_name": "b"}), (-1, text("Operation not permitted"))),
            ("bdev_lvol_create_lvstore", json!({"bdev_name": "nope", "lvs_name": "b"}), (-19, text("No such device"))),
            ("bdev_lvol_create_lvstore", json!({"bdev_name": "nope", "lvs_name": "lvs"}), (INVALID, text("File exists"))),
            ("bdev_lvol_create", json!({"lvs_name": "lvs", "lvol_name": "v", "size_in_mib": 1}), (INVALID, text("File exists"))),
            ("bdev_lvol_create", json!({"lvs_name": "lvs", "lvol_name": "", "size_in_mib": 1}), (INVALID, text("Invalid argument"))),
            ("bdev_lvol_create", json!({"lvs_name": "lvs", "lvol_name": "w", "size_in_mib": 0}), (INVALID, text("Invalid argument"))),
            (
                "bdev_lvol_create",
                json!({"lvs_name": "lvs", "lvol_name": "w", "size_in_mib": 99}),
                (INVALID, text("No space left on device")),
            ),
            ("bdev_lvol_create", json!({"lvs_name": "lvs", "lvol_name": "w"}), (-32603, text("spdk_json_decode_object failed"))),
            ("bdev_lvol_create", json!({"lvol_name": "w", "size_in_mib": 1}), (-22, text("Invalid argument"))),
            ("bdev_lvol_create", json!({"lvs_name": "nope", "lvol_name": "w", "size_in_mib": 1}), (-19, text("No such device"))),
            ("bdev_lvol_clone", json!({"snapshot_name": "lvs/v", "clone_name": "c"}), (INVALID, text("Invalid argument"))),
            ("bdev_lvol_delete", json!({"name": "lvs/nope"}), (-19, text("No such device"))),
            ("bdev_lvol_rename_lvstore", json!({"old_name": "second", "new_name": "lvs"}), (INVALID, text("File exists"))),
            ("bdev_lvol_rename_lvstore", json!({"old_name": "nope", "new_name": "b"}), (-2, text("Lvol store nope not found"))),
            ("bdev_lvol_decouple_parent", json!({"name": "lvs/v"}), (-32603, text("Invalid argument"))),
            ("bdev_lvol_check_shallow_copy", json!({"operation_id": 9}), (-22, text("Invalid argument"))),
            (
                "bdev_lvol_start_shallow_copy",
                json!({"src_lvol_name": "lvs/v", "dst_bdev_name": "B"}),
                (-1, text("Operation not permitted")),
            ),
        ] {
            assert_eq!(p.try_call(method, params.clone()).await, Err(refusal), "{method} {params}");
        }
        assert_eq!(p.call("bdev_lvol_get_lvols", json!({})).await.as_array().unwrap().len(), 1);
        p
    });
}

#[test]
fn snapshots_and_clones_are_made_and_left() {
    with_process(|p| async move {
        p.store(64).await;
        p.thin("a", 4).await;
        p.thin("b", 4).await;
        p.write("lvs/a", 0, 1).await;
        p.write("lvs/b", 0, 2).await;
        let group = json!([{"lvol_name": "lvs/a", "snapshot_name": "a1"}, {"lvol_name": "lvs/b", "snapshot_name": "b1"}]);
        assert_eq!(p.call("doorbell_bdev_lvol_snapshot_group", json!({"snapshots": group})).await.as_array().unwrap().len(), 2);
        p.write("lvs/a", 0, 3).await;
        assert_eq!((p.read("lvs/a", 0).await, p.read("lvs/a1", 0).await, p.read("lvs/b1", 0).await), (3, 1, 2));
        p.call("bdev_lvol_clone", json!({"snapshot_name": "lvs/a1", "clone_name": "c"})).await;
        assert_eq!(p.read("lvs/c", 0).await, 1);
        let told = p.device("lvs/a1").await["driver_specific"]["lvol"].clone();
        assert_eq!((&told["snapshot"], &told["clones"]), (&json!(true), &json!(["a", "c"])));
        assert_eq!(p.device("lvs/c").await["driver_specific"]["lvol"]["base_snapshot"], "a1");
        assert_eq!(p.try_call("bdev_lvol_delete", json!({"name": "lvs/a1"})).await, Err((-32603, "Operation not permitted".into())));
        p.device("lvs/a1").await; // it has its device still
        p.call("bdev_lvol_set_parent", json!({"lvol_name": "lvs/c", "parent_name": "lvs/b1"})).await;
        assert_eq!(p.read("lvs/c", 0).await, 2);
        p.call("bdev_lvol_delete", json!({"name": "lvs/a1"})).await;
        assert_eq!((p.read("lvs/a", 0).await, &p.lvol("a").await["is_clone"]), (3, &json!(false)));
        p.call("bdev_lvol_decouple_parent", json!({"name": "lvs/c"})).await;
        p.call("bdev_lvol_inflate", json!({"name": "lvs/b"})).await;
        let (c, b) = (p.lvol("c").await, p.lvol("b").await);
        assert_eq!((&c["num_allocated_clusters"], &c["is_clone"], &c["is_thin_provisioned"]), (&json!(1), &json!(false), &json!(true)));
        assert_eq!((&b["num_allocated_clusters"], &b["is_clone"], &b["is_thin_provisioned"]), (&json!(4), &json!(false), &json!(false)));
        p
    });
}

#[test]
fn the_clusters_of_a_snapshot_alone_are_copied() {
    with_process(|p| async move {
        p.store(64).await;
        p.thin("a", 4).await;
        p.write("lvs/a", 0, 1).await;
        p.call("bdev_lvol_snapshot", json!({"lvol_name": "lvs/a", "snapshot_name": "s1"})).await;
        p.write("lvs/a", 2 * 2048 + 9, 2).await;
        p.call("bdev_lvol_snapshot", json!({"lvol_name": "lvs/a", "snapshot_name": "s2"})).await;
        p.call("bdev_malloc_create", json!({"name": "To", "block_size": 512, "num_blocks": 4 * 2048})).await;
        let begun = p.call("bdev_lvol_start_shallow_copy", json!({"src_lvol_name": "lvs/s2", "dst_bdev_name": "To"})).await;
        let ended = loop {
            let told = p.call("bdev_lvol_check_shallow_copy", begun.clone()).await;
            if told["state"] != "in progress" {
                break told;
            }
            p.local.sleep_ns(100_000).await;
        };
        assert_eq!(ended, json!({"state": "complete", "copied_clusters": 1, "total_clusters": 1}));
        assert_eq!((p.read("To", 0).await, p.read("To", 2 * 2048 + 9).await), (0, 2));
        assert_eq!(p.try_call("bdev_lvol_check_shallow_copy", begun).await.unwrap_err().0, -22, "its end is told once");
        while p.device("To").await["claimed"] == true {
            p.local.sleep_ns(100_000).await;
        }
        p
    });
}

#[test]
fn a_device_that_volumes_are_clones_of_is_held_as_long_as_one_is() {
    with_process(|p| async move {
        p.store(64).await;
        p.call("bdev_malloc_create", json!({"name": "Gold", "block_size": 512, "num_blocks": 2 * 2048})).await;
        p.write("Gold", 0, 5).await;
        p.thin("v", 2).await;
        let clone = |name: &str| json!({"bdev": "Gold", "lvs_name": "lvs", "clone_name": name});
        let held = async || {
            for _ in 0..100 {
                if p.registry.find("Gold").unwrap().open_count() == 0 {
                    break;
                }
                p.local.sleep_ns(10_000).await;
            }
            (p.device("Gold").await["claimed"] == true, p.registry.find("Gold").unwrap().open_count() > 0)
        };
        assert_eq!(p.try_call("bdev_lvol_clone_bdev", clone("v")).await, Err((INVALID, "File exists".into())));
        assert_eq!(held().await, (false, false));
        p.call("bdev_lvol_clone_bdev", clone("a")).await;
        p.call("bdev_lvol_clone_bdev", clone("b")).await;
        assert_eq!(held().await, (true, true));
        p.call("bdev_lvol_delete", json!({"name": "lvs/a"})).await;
        assert_eq!((held().await, p.read("lvs/b", 0).await), ((true, true), 5));
        p.call("bdev_lvol_inflate", json!({"name": "lvs/b"})).await;
        assert_eq!((held().await, p.read("lvs/b", 0).await), ((false, false), 5));
        p.call("bdev_lvol_clone_bdev", clone("c")).await;
        p.call("bdev_lvol_delete", json!({"name": "lvs/c"})).await;
        assert_eq!(held().await, (false, false));
        // One comes while the last goes, a little earlier or later.
        for steps in 0..24 {
            p.call("bdev_lvol_clone_bdev", clone("last")).await;
            p.thin("next", 2).await;
            let came = p.meanwhile("bdev_lvol_set_parent_bdev", json!({"lvol_name": "lvs/next", "parent_name": "Gold"}));
            p.turns(steps).await;
            p.call("bdev_lvol_delete", json!({"name": "lvs/last"})).await;
            assert!(came.await.unwrap(), "{steps}");
            assert_eq!((held().await, p.read("lvs/next", 0).await), ((true, true), 5), "{steps}");
            let gone = p.meanwhile("bdev_lvol_delete", json!({"name": "lvs/next"}));
            p.turns(steps).await;
            p.call("bdev_lvol_clone_bdev", clone("c")).await;
            assert!(gone.await.unwrap(), "{steps}");
            assert_eq!((held().await, p.read("lvs/c", 0).await), ((true, true), 5), "{steps}");
            p.call("bdev_lvol_delete", json!({"name": "lvs/c"})).await;
        }
        p.call("bdev_lvol_set_parent_bdev", json!({"lvol_name": "lvs/v", "parent_name": "Gold"})).await;
        assert_eq!((held().await, p.read("lvs/v", 0).await), ((true, true), 5));
        // While somebody has it open its parent stays.
        let refused = p.on("lvs/v", Access::Read, async |_| {
            p.try_call("bdev_lvol_set_parent_bdev", json!({"lvol_name": "lvs/v", "parent_name": "Gold"})).await
        });
        assert_eq!(refused.await, Err((INVALID, "Device or resource busy".into())));
        p.call("bdev_malloc_delete", json!({"name": "Gold"})).await;
        assert_eq!(p.lvol("v").await["is_degraded"], true);
        p.call("bdev_lvol_delete", json!({"name": "lvs/v"})).await;
        p
    });
}

#[test]
fn what_is_used_is_deleted_once_it_is_not_and_nobody_watches_for_it_any_more() {
    with_process(|p| async move {
        p.local.with(|_| ()).await; // what the start began is there
        let tasks = p.local.tasks();
        p.store(64).await;
        p.thin("v", 2).await;
        let handle = p.registry.open("lvs/v", Access::Read, Box::new(|_| {})).unwrap();
        let gone = p.meanwhile("bdev_lvol_delete", json!({"name": "lvs/v"}));
        p.local.sleep_ns(100_000).await;
        // It waits for whoever has it open; another who wants the same is told so.
        assert_eq!(p.try_call("bdev_lvol_delete", json!({"name": "lvs/v"})).await, Err((-16, "Device or resource busy".into())));
        drop(handle);
        assert!(gone.await.unwrap());
        assert_eq!(p.call("bdev_lvol_get_lvols", json!({})).await, json!([]));
        // One that is used past its device stays, and has its device again.
        p.thin("w", 2).await;
        let beneath = p.registry.find("lvs/w").unwrap().device().clone();
        let queue = AsyncQueue::open(&p.local, beneath, 1).await.unwrap();
        let refused = p.try_call("bdev_lvol_delete", json!({"name": "lvs/w"})).await;
        assert_eq!((refused, p.read("lvs/w", 0).await), (Err((-32603, "Device or resource busy".into())), 0));
        drop(queue);
        while p.try_call("bdev_lvol_delete", json!({"name": "lvs/w"})).await.is_err() {
            p.local.sleep_ns(10_000).await;
        }
        // A store that is deleted while a volume of it is made leaves no device.
        for steps in 0..24 {
            let made = p.meanwhile("bdev_lvol_create", json!({"lvs_name": "lvs", "lvol_name": "late", "size_in_mib": 1}));
            p.turns(steps).await;
            p.call("bdev_lvol_delete_lvstore", json!({"lvs_name": "lvs"})).await;
            let _ = made.await;
            assert!(p.registry.all().iter().all(|bdev| bdev.module() != "lvol"), "{steps}");
            p.call("bdev_lvol_create_lvstore", json!({"bdev_name": "Base", "lvs_name": "lvs", "cluster_sz": 1 << 20})).await;
        }
        p.call("bdev_lvol_delete_lvstore", json!({"lvs_name": "lvs"})).await;
        p.call("bdev_malloc_delete", json!({"name": "Base"})).await;
        for _ in 0..100 {
            if p.local.tasks() <= tasks {
                break;
            }
            p.local.sleep_ns(10_000).await;
        }
        assert_eq!(p.local.tasks(), tasks);
        p
    });
}

/// A file that is gone with this.
struct File(std::path::PathBuf);

impl File {
    fn new(name: &str) -> File {
        let path = std::env::temp_dir().join(format!("doorbell-lvol-{name}-{}", std::process::id()));
        std::fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_store_is_found_again_and_what_it_lacks_is_waited_for() {
    const OUTSIDE: &str = "7f3e1d2c-0000-4000-8000-000000000001";
    let file = File::new("again");
    let path = file.0.to_string_lossy().into_owned();
    let outside = json!({"name": "Gold", "block_size": 512, "num_blocks": 2 * 2048, "uuid": OUTSIDE});
    let base = json!({"name": "Base", "filename": path, "block_size": 512});
    let (gold, again, disk) = (outside.clone(), outside.clone(), base.clone());
    let (store, thin) = on_reactors(1, |local| async move {
        let p = Process::start(&local).await;
        p.call("bdev_malloc_create", gold).await;
        p.write("Gold", 5, 8).await;
        p.call("bdev_aio_create", disk).await;
        let store = p.text("bdev_lvol_create_lvstore", json!({"bdev_name": "Base", "lvs_name": "lvs", "cluster_sz": 1 << 20})).await;
        let thin = p.thin("v", 4).await;
        p.write("lvs/v", 1, 4).await;
        p.call("bdev_lvol_clone_bdev", json!({"bdev": "Gold", "lvs_name": "lvs", "clone_name": "c"})).await;
        assert_eq!(p.read("lvs/c", 5).await, 8);
        p.write("lvs/c", 6, 9).await;
        assert_eq!(p.device("Gold").await["claim_type"], "read_many_write_none");
        p.call("bdev_lvol_set_read_only", json!({"name": "lvs/c"})).await;
        p.call("bdev_lvol_clone", json!({"snapshot_name": "lvs/c", "clone_name": "cc"})).await;
        p.end().await;
        (store, thin)
    });
    on_reactors(1, |local| async move {
        let p = Process::start(&local).await;
        p.call("bdev_aio_create", base).await;
        p.call("bdev_wait_for_examine", json!({})).await;
        assert_eq!(p.call("bdev_lvol_get_lvstores", json!({"uuid": store})).await[0]["name"], "lvs");
        assert_eq!((p.read(&thin, 1).await, p.read("lvs/v", 2).await), (4, 0));
        assert_eq!((&p.lvol("c").await["is_degraded"], &p.lvol("cc").await["is_degraded"]), (&json!(true), &json!(true)));
        assert_eq!(p.try_call("bdev_get_bdevs", json!({"name": "lvs/c"})).await.unwrap_err().0, -19);
        p.call("bdev_malloc_create", outside).await;
        p.write("Gold", 2055, 7).await;
        p.call("bdev_wait_for_examine", json!({})).await;
        assert_eq!((&p.lvol("c").await["is_degraded"], &p.lvol("cc").await["is_degraded"]), (&json!(false), &json!(false)));
        // The new memory is another one beneath what was written.
        assert_eq!((p.read("lvs/cc", 5).await, p.read("lvs/cc", 6).await, p.read("lvs/cc", 2055).await), (8, 9, 7));
        // When what it is a clone of goes, it waits for it again.
        p.call("bdev_malloc_delete", json!({"name": "Gold"})).await;
        assert_eq!((&p.lvol("c").await["is_degraded"], &p.lvol("v").await["is_degraded"]), (&json!(true), &json!(false)));
        assert!(p.registry.find("lvs/cc").is_none() && p.registry.find("Gold").is_none());
        p.call("bdev_malloc_create", again).await;
        p.call("bdev_wait_for_examine", json!({})).await;
        assert_eq!((p.read("lvs/cc", 6).await, p.read("lvs/cc", 2055).await), (9, 0));
        // When the device goes, so do the volumes, and the store is closed.
        p.call("bdev_aio_delete", json!({"name": "Base"})).await;
        assert_eq!(p.call("bdev_lvol_get_lvstores", json!({})).await, json!([]));
        assert!(p.registry.find(&thin).is_none());
        p.end().await;
    });
}

#[test]
fn of_two_stores_of_one_name_the_second_is_left_alone() {
    let files = [File::new("one"), File::new("two")];
    let disk = |at: usize| json!({"name": format!("Disk{at}"), "filename": files[at].0.to_string_lossy(), "block_size": 512});
    for at in [0, 1] {
        let disk = disk(at);
        on_reactors(1, |local| async move {
            let p = Process::start(&local).await;
            p.call("bdev_aio_create", disk).await;
            p.call("bdev_lvol_create_lvstore", json!({"bdev_name": format!("Disk{at}"), "lvs_name": "lvs"})).await;
            p.end().await;
        });
    }
    let disks = [disk(0), disk(1)];
    on_reactors(1, |local| async move {
        let p = Process::start(&local).await;
        for disk in disks {
            p.call("bdev_aio_create", disk).await;
            p.call("bdev_wait_for_examine", json!({})).await;
        }
        let stores = p.call("bdev_lvol_get_lvstores", json!({})).await;
        assert_eq!((stores.as_array().unwrap().len(), &stores[0]["base_bdev"]), (1, &json!("Disk0")));
        assert_eq!((p.device("Disk0").await["claimed"] == true, p.device("Disk1").await["claimed"] == true), (true, false));
        p.end().await;
    });
}
