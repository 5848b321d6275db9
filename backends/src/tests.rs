//! The methods of all back ends, called as a client calls them.

use crate::file::tests::TempDir;
use crate::{Brings, Host, bring_all};
use doorbell_bdev::{Access, Change, Examiner, Registry};
use doorbell_block::{Op, Status};
use doorbell_control::{Control, Options, Uuid, conforms};
use doorbell_mem::Regions;
use doorbell_reactor::{AsyncQueue, Config, Local, Polling, run};
use doorbell_sys::helper::Helpers;
use serde_json::{Value, json};
use std::cell::Cell;
use std::fs::File;
use std::rc::Rc;

/// A control plane with the back ends and nothing else.
struct Plane {
    control: Control,
    registry: Registry,
    local: Local,
}

/// Not random, so that tests can tell.
fn counted() -> [u8; 16] {
    thread_local! { static LAST: Cell<u8> = const { Cell::new(0) }; }
    LAST.set(LAST.get() + 1);
    [LAST.get(); 16]
}

impl Plane {
    async fn new(local: Local) -> Plane {
        let registry = Registry::new();
        let helpers = Helpers::new(2).unwrap();
        let host = Host { registry: registry.clone(), regions: Regions::new(), helpers, local: local.clone(), entropy: counted };
        let control = Control::new(Options::default());
        let mut examiners: Vec<Rc<dyn Examiner>> = vec![];
        control
            .add_methods(|methods| bring_all(&host, &mut Brings { methods, examiners: &mut examiners, modules: &mut Vec::new() }))
            .unwrap();
        control.start().await.unwrap();
        let (follower, here) = (registry.clone(), local.clone());
        local.spawn(async move {
            loop {
                if let Change::Registered(name) = follower.next_change().await {
                    follower.examine(&here, &name, &examiners).await;
                }
            }
        });
        Plane { control, registry, local }
    }

    async fn call(&self, method: &str, params: Value) -> Result<Value, (i64, String)> {
        self.control.call(method, Some(params)).await.map_err(|error| (error.code, error.message.into_owned()))
    }

    /// The call that would make a device again.
    fn saved(&self, name: &str) -> Value {
        json!(self.registry.find(name).unwrap().created_by().unwrap())
    }
}

fn on_a_plane<F: Future<Output = ()> + 'static>(test: impl FnOnce(Plane) -> F + 'static) {
    crate::model::on_reactors(1, |local| async move { test(Plane::new(local).await).await });
}

fn error<T>(code: i64, text: &str) -> Result<T, (i64, String)> {
    Err((code, text.to_owned()))
}

#[test]
fn methods_are_those_of_spdk() {
    on_a_plane(|plane| async move {
        let methods = plane.control.methods();
        assert_eq!(methods.len(), 53);
        let differences = conforms(methods.iter().map(|method| &**method));
        assert!(differences.is_empty(), "{differences:#?}");
    });
}

#[test]
fn malloc_answers_and_saves_as_spdk_does() {
    on_a_plane(|plane| async move {
        let params = json!({"name": "Malloc0", "num_blocks": 65536, "block_size": 512, "md_interleave": false, "dif_is_head_of_md": false,
            "uuid": "fcdbb57c-578a-48f3-ba2a-3dbcdbfa89d9"});
        assert_eq!(plane.call("bdev_malloc_create", params.clone()).await, Ok(json!("Malloc0")));
        assert_eq!(plane.call("bdev_malloc_create", params).await, error(-17, "File exists"));
        let saved = json!({"method": "bdev_malloc_create", "params": {"name": "Malloc0", "num_blocks": 65536, "block_size": 512,
            "physical_block_size": 512, "uuid": "fcdbb57c-578a-48f3-ba2a-3dbcdbfa89d9", "optimal_io_boundary": 0, "md_size": 0,
            "dif_type": 0, "dif_is_head_of_md": false, "dif_pi_format": 0, "numa_id": -1}});
        assert_eq!(plane.saved("Malloc0"), saved);
        let bdev = plane.registry.find("fcdbb57c-578a-48f3-ba2a-3dbcdbfa89d9").unwrap();
        assert_eq!((bdev.product(), bdev.driver_specific()), ("Malloc disk", json!({})));
        drop(bdev);
        // The next free name; a UUID of its own.
        let unnamed = json!({"num_blocks": 8, "block_size": 4096});
        assert_eq!(plane.call("bdev_malloc_create", unnamed.clone()).await, Ok(json!("Malloc1")));
        assert_eq!(plane.call("bdev_malloc_create", unnamed).await, Ok(json!("Malloc2")));
        let uuids = ["Malloc1", "Malloc2"].map(|name| plane.registry.find(name).unwrap().uuid());
        assert!(uuids[0] != uuids[1] && !uuids[0].is_nil());
        assert_eq!(plane.call("bdev_malloc_delete", json!({"name": "Malloc1"})).await, Ok(json!(true)));
        assert_eq!(plane.call("bdev_malloc_delete", json!({"name": "Malloc1"})).await, error(-19, "No such device"));
    });
}

#[test]
fn null_answers_saves_and_grows() {
    on_a_plane(|plane| async move {
        let params = json!({"name": "Null0", "num_blocks": 65536, "block_size": 4096, "uuid": "47b7956f-3afd-4273-bc52-dc4310d0d377"});
        assert_eq!(plane.call("bdev_null_create", params).await, Ok(json!("Null0")));
        let saved = json!({"method": "bdev_null_create", "params": {"name": "Null0", "num_blocks": 65536, "block_size": 4096,
            "physical_block_size": 4096, "md_size": 0, "dif_type": 0, "dif_is_head_of_md": false, "dif_pi_format": 0,
            "uuid": "47b7956f-3afd-4273-bc52-dc4310d0d377", "preferred_write_granularity": 0, "preferred_write_alignment": 0,
            "optimal_write_size": 0, "preferred_unmap_granularity": 0, "preferred_unmap_alignment": 0}});
        assert_eq!(plane.saved("Null0"), saved);
        for (new_size, want) in [(255, error(-22, "Invalid argument")), (512, Ok(json!(true))), (u64::MAX, error(-22, "Invalid argument"))]
        {
            assert_eq!(plane.call("bdev_null_resize", json!({"name": "Null0", "new_size": new_size})).await, want, "{new_size}");
        }
        assert_eq!(plane.registry.find("Null0").unwrap().info().blocks, 131_072);
        assert_eq!(plane.call("bdev_null_resize", json!({"name": "Null1", "new_size": 1})).await, error(-19, "No such device"));
        // One module does not delete another's.
        assert_eq!(plane.call("bdev_malloc_delete", json!({"name": "Null0"})).await, error(-19, "No such device"));
        assert_eq!(plane.call("bdev_null_delete", json!({"name": "Null0"})).await, Ok(json!(true)));
    });
}

#[test]
fn what_no_device_can_be_is_refused() {
    on_a_plane(|plane| async move {
        for method in ["bdev_malloc_create", "bdev_null_create"] {
            let good = json!({"name": "A", "num_blocks": 16, "block_size": 512});
            for (name, value, want) in [
                ("num_blocks", json!(0), error(-22, "Invalid argument")),
                ("num_blocks", json!(u64::MAX), error(-22, "Invalid argument")),
                ("block_size", json!(0), error(-22, "Invalid argument")),
                ("block_size", json!(520), error(-22, "Invalid argument")),
                ("physical_block_size", json!(100), error(-22, "Invalid argument")),
                ("md_size", json!(8), error(-95, "Operation not supported")),
                ("dif_type", json!(1), error(-95, "Operation not supported")),
                ("num_blocks", json!("x"), error(-32603, "spdk_json_decode_object failed")),
                ("colour", json!("blue"), error(-32603, "spdk_json_decode_object failed")),
            ] {
                let mut params = good.clone();
                params[name] = value;
                assert_eq!(plane.call(method, params).await, want, "{method} {name}");
            }
        }
        // More than an address space.
        let vast = json!({"name": "A", "num_blocks": 1u64 << 52, "block_size": 512});
        assert_eq!(plane.call("bdev_malloc_create", vast).await, error(-12, "Cannot allocate memory"));
        assert_eq!(plane.call("bdev_malloc_create", json!({})).await, error(-32603, "spdk_json_decode_object failed"));
        assert!(plane.registry.all().is_empty());
    });
}

#[test]
fn files_are_made_into_devices_held_rescanned_and_let_go() {
    let dir = TempDir::new();
    let path = dir.path("disk");
    File::create(&path).unwrap().set_len(1 << 20).unwrap();
    on_a_plane(|plane| async move {
        let filename = path.to_str().unwrap().to_owned();
        for (kind, product) in [("aio", "AIO disk"), ("uring", "URING bdev")] {
            let (create, delete, rescan) = (format!("bdev_{kind}_create"), format!("bdev_{kind}_delete"), format!("bdev_{kind}_rescan"));
            let absent = json!({"name": "A", "filename": "/nonexistent", "block_size": 512});
            assert_eq!(plane.call(&create, absent).await, error(-2, "No such file or directory"));
            let params = json!({"name": "A", "filename": filename, "block_size": 4096});
            assert_eq!(plane.call(&create, params.clone()).await, Ok(json!("A")));
            assert_eq!(plane.call(&create, params.clone()).await, error(-17, "File exists"));
            let other = json!({"name": "B", "filename": filename, "block_size": 4096});
            assert_eq!(plane.call(&create, other).await, error(-16, "Device or resource busy"));
            let bdev = plane.registry.find("A").unwrap();
            assert_eq!((bdev.product(), bdev.info().blocks), (product, 256));
            assert_eq!(bdev.driver_specific()[kind]["filename"], json!(filename));
            let mut saved = params.clone();
            saved["uuid"] = json!(bdev.uuid().to_string());
            if kind == "aio" {
                (saved["readonly"], saved["fallocate"], saved["nowait"]) = (json!(false), json!(false), json!(false));
            }
            assert_eq!(plane.saved("A"), json!({"method": create, "params": saved}));
            drop(bdev);
            File::options().write(true).open(&path).unwrap().set_len(2 << 20).unwrap();
            assert_eq!(plane.call(&rescan, json!({"name": "A"})).await, Ok(json!(true)));
            assert_eq!(plane.registry.find("A").unwrap().info().blocks, 512);
            assert_eq!(plane.call(&rescan, json!({"name": "B"})).await, error(-19, "No such device"));
            assert_eq!(plane.call(&delete, json!({"name": "A"})).await, Ok(json!(true)));
            File::options().write(true).open(&path).unwrap().set_len(1 << 20).unwrap();
        }
    });
}

/// On a reactor that never sleeps, so that nothing is tidied up on the way to sleep: a file is free again once its delete call has answered.
#[test]
fn a_file_that_was_in_use_is_let_go_with_its_device() {
    let dir = TempDir::new();
    let path = dir.path("disk");
    File::create(&path).unwrap().set_len(1 << 20).unwrap();
    let config = Config { reactors: 2, polling: Polling::Always, ..Config::default() };
    let test = |local: Local| async move {
        let plane = Plane::new(local.clone()).await;
        for kind in ["aio", "uring", "aio", "uring"] {
            let params = json!({"name": "A", "filename": path.to_str().unwrap(), "block_size": 4096});
            assert_eq!(plane.call(&format!("bdev_{kind}_create"), params).await, Ok(json!("A")));
            let handle = plane.registry.open("A", Access::Write, Box::new(|_| ())).unwrap();
            let queue = AsyncQueue::open(&local, handle, 1).await.unwrap();
            assert_eq!(queue.control(Op::Flush, 0, 0).await, Status::Ok);
            drop(queue);
            assert_eq!(plane.call(&format!("bdev_{kind}_delete"), json!({"name": "A"})).await, Ok(json!(true)));
        }
    };
    let (_, closed) = run(&config, test).unwrap();
    assert!(closed.iter().all(|c| (c.boxes_out, c.buffers_out) == (0, 0)));
}

/// A saved configuration names a passthru before its base: it waits, comes with it, goes with it, comes again.
#[test]
fn a_passthru_waits_for_its_base_and_follows_it() {
    on_a_plane(|plane| async move {
        let stack = json!({"name": "Pt0", "base_bdev_name": "Null0"});
        assert_eq!(plane.call("bdev_passthru_create", stack.clone()).await, Ok(json!("Pt0")));
        assert_eq!(plane.call("bdev_passthru_create", stack.clone()).await, error(-17, "File exists"));
        assert!(plane.registry.find("Pt0").is_none());
        let base = json!({"name": "Null0", "num_blocks": 65536, "block_size": 4096, "uuid": "47b7956f-3afd-4273-bc52-dc4310d0d377"});
        for _ in 0..2 {
            assert_eq!(plane.call("bdev_null_create", base.clone()).await, Ok(json!("Null0")));
            plane.registry.wait_for_examine().await;
            let made = plane.registry.find("Pt0").unwrap();
            assert_eq!(made.uuid().to_string(), "dead3b6e-9af8-5dcb-b952-8a92926b3800");
            assert_eq!(made.driver_specific(), json!({"passthru": {"name": "Pt0", "base_bdev_name": "Null0"}}));
            assert!(plane.registry.open("Null0", Access::Write, Box::new(|_| ())).is_err(), "the base is claimed");
            drop(made);
            let again = json!({"name": "Pt1", "base_bdev_name": "Null0"});
            assert_eq!(plane.call("bdev_passthru_create", again).await, error(-1, "Operation not permitted"));
            assert_eq!(plane.call("bdev_null_resize", json!({"name": "Null0", "new_size": 1024})).await, Ok(json!(true)));
            assert_eq!(plane.registry.find("Pt0").unwrap().info().blocks, 262_144);
            assert_eq!(plane.call("bdev_null_delete", json!({"name": "Null0"})).await, Ok(json!(true)));
            assert!(plane.registry.find("Pt0").is_none());
        }
        // Without its base the wish can be taken back, once.
        assert_eq!(plane.call("bdev_passthru_delete", json!({"name": "Pt0"})).await, Ok(json!(true)));
        assert_eq!(plane.call("bdev_passthru_delete", json!({"name": "Pt0"})).await, error(-19, "No such device"));
    });
}

#[test]
fn a_passthru_is_deleted_alone_and_carries_data_while_it_is_there() {
    on_a_plane(|plane| async move {
        let base = json!({"name": "Malloc0", "num_blocks": 1024, "block_size": 512});
        assert_eq!(plane.call("bdev_malloc_create", base).await, Ok(json!("Malloc0")));
        let uuid = Uuid([9; 16]).to_string();
        let params = json!({"name": "Pt", "base_bdev_name": "Malloc0", "uuid": uuid});
        assert_eq!(plane.call("bdev_passthru_create", params.clone()).await, Ok(json!("Pt")));
        assert_eq!(plane.saved("Pt"), json!({"method": "bdev_passthru_create", "params": params}));
        {
            let handle = plane.registry.open(&uuid, Access::Write, Box::new(|_| ())).unwrap();
            crate::model::exercise(&plane.local, handle.clone(), 4, 50, 1).await;
            let queue = AsyncQueue::open(&plane.local, handle, 1).await.unwrap();
            let status = queue.control(Op::Flush, 0, 0).await;
            assert_eq!(status, Status::Ok);
        }
        assert_eq!(plane.call("bdev_passthru_delete", json!({"name": "Pt"})).await, Ok(json!(true)));
        assert!(plane.registry.find("Pt").is_none());
        assert!(plane.registry.open("Malloc0", Access::Write, Box::new(|_| ())).is_ok(), "no longer claimed");
    });
}
