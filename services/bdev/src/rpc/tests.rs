use super::*;
use crate::NewBdev;
use doorbell_block::{BlockDevice, BlockQueue, DeviceInfo, OpenError, Token};
use doorbell_control::{Control, Uuid, conforms};
use doorbell_reactor::{Config, run};

struct Disk;

impl BlockDevice for Disk {
    fn info(&self) -> Arc<DeviceInfo> {
        Arc::new(DeviceInfo::plain(9, 2048))
    }
    fn open(&self, _cx: &mut Cx, _who: Token, _depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        Err(OpenError::Gone)
    }
}

/// Runs `test` with a control that holds the part, started, and one device `D0`.
fn with_part<F: Future<Output = ()> + 'static>(test: impl FnOnce(Control, Registry) -> F + 'static) {
    run(&Config::default(), |local| async move {
        let control = Control::new(Default::default());
        let registry = Registry::new();
        let part = BdevPart::new(registry.clone(), local.clone(), control.notifications().clone(), vec![], vec![]);
        control.add_part(part.clone()).unwrap();
        part.init().await.unwrap();
        let spec = NewBdev {
            name: "D0".into(),
            aliases: vec![],
            uuid: Uuid([7; 16]),
            product: "Test disk",
            module: "test",
            device: Arc::new(Disk),
            driver_specific: Box::new(|| json!({})),
            created_by: Some(ConfigCall::bare("bdev_test_create")),
        };
        registry.register(spec).unwrap();
        test(control, registry).await;
    })
    .unwrap();
}

fn methods_of(control: &Control, name: &str) -> Rc<doorbell_control::Method> {
    control.method(name).unwrap()
}

#[test]
fn every_method_is_as_spdks_table_says() {
    with_part(|control, _| async move {
        let methods = control.methods();
        let found = conforms(methods.iter().map(|m| &**m).filter(|m| m.name.starts_with("bdev_")));
        assert!(found.is_empty(), "{found:?}");
        assert!(methods_of(&control, "bdev_get_bdevs").fields.len() == 2);
    });
}

#[test]
fn limits_are_kept_to_the_unit_and_saved() {
    with_part(|_, registry| async move {
        let bdev = registry.find("D0").unwrap();
        assert!(limits_of(&bdev).is_none());
        let mut cx = Cx::for_test(1, 512, 1);
        bdev.set_limit(&mut cx, Limit { kind: LimitKind::ReadWriteIos, per_second: 1234 });
        bdev.set_limit(&mut cx, Limit { kind: LimitKind::WriteBytes, per_second: 3 * MIB });
        let call = limits_of(&bdev).unwrap();
        assert_eq!(json!(call.params), json!({ "name": "D0", "rw_ios_per_sec": 1234, "w_mbytes_per_sec": 3 }));
    });
}

#[test]
fn a_timeout_is_set_told_and_saved() {
    with_part(|control, registry| async move {
        let bdev = registry.find("D0").unwrap();
        assert!(timeout_of(&bdev).is_none() && describe::bdev(&bdev).get("timeout_us").is_none());
        let call = |us: u64| control.call("doorbell_bdev_set_timeout", Some(json!({"name": "D0", "timeout_us": us})));
        assert!(call(2500).await.is_err(), "not before the start");
        control.start().await.unwrap();
        assert_eq!(call(2500).await.unwrap(), true);
        assert_eq!((bdev.timeout_ns(), &describe::bdev(&bdev)["timeout_us"]), (2_500_000, &json!(2500)));
        assert_eq!(json!(timeout_of(&bdev).unwrap().params), json!({"name": "D0", "timeout_us": 2500}));
        assert!(call(u64::MAX).await.is_err());
        assert_eq!(call(0).await.unwrap(), true);
        assert!(timeout_of(&bdev).is_none());
    });
}

#[test]
fn a_description_has_every_field_that_clients_parse() {
    with_part(|_, registry| async move {
        let d = describe::bdev(&registry.find("D0").unwrap());
        let fields = [
            "name",
            "aliases",
            "product_name",
            "block_size",
            "num_blocks",
            "preferred_write_alignment",
            "preferred_write_granularity",
            "optimal_write_size",
            "preferred_unmap_alignment",
            "preferred_unmap_granularity",
            "uuid",
            "numa_id",
            "assigned_rate_limits",
            "claimed",
            "zoned",
            "supported_io_types",
            "driver_specific",
        ];
        for f in fields {
            assert!(d.get(f).is_some(), "{f}");
        }
        assert_eq!(d["num_blocks"], 2048);
        assert_eq!(d["supported_io_types"]["compare"], true, "emulated");
        assert_eq!(d["supported_io_types"]["unmap"], false);
    });
}

#[test]
fn base64_is_the_standard_one() {
    for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
        assert_eq!(stat::base64(bytes.bytes()), text);
    }
}
