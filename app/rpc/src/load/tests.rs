use super::{LoadError, LoadOptions, Report, load_config};
use doorbell_control::{Control, Keep, Methods, NoParams, Options, Part, RpcError, State, When};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

const SPDK: &str = include_str!("../../tests/data/spdk-save-config.json");

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// Stands for the parts whose crates are elsewhere: everything that SPDK saved is kept.
struct Stand(&'static str, &'static [&'static str]);

impl Part for Stand {
    fn name(&self) -> &'static str {
        self.0
    }
    fn methods(self: Rc<Self>, methods: &mut Methods) {
        for method in self.1 {
            let by = if method.ends_with("_create") { Some("name") } else { None };
            methods.keep(Keep { method, by, only: &[] });
        }
    }
}

fn control() -> Control {
    let control = Control::new(Options::default());
    const BDEV: &[&str] = &["bdev_passthru_create", "bdev_malloc_create", "bdev_null_create", "bdev_wait_for_examine"];
    const NVMF: &[&str] = &["nvmf_create_transport", "nvmf_create_subsystem", "nvmf_subsystem_add_ns", "nvmf_subsystem_add_listener"];
    control.add_part(Rc::new(Stand("bdev", BDEV))).unwrap();
    control.add_part(Rc::new(Stand("nvmf", NVMF))).unwrap();
    crate::add_tuning(&control).unwrap();
    control
}

fn load(control: &Control, config: &Value) -> Result<Report, LoadError> {
    now(load_config(control, config, LoadOptions::default()))
}

#[test]
fn what_spdk_saved_loads_and_is_saved_again() {
    let control = control();
    let config: Value = serde_json::from_str(SPDK).unwrap();
    let report = load(&control, &config).unwrap();
    let calls = |config: &Value| {
        let subsystems = config["subsystems"].as_array().unwrap().iter();
        subsystems.filter_map(|one| one["config"].as_array()).map(Vec::len).sum::<usize>()
    };
    assert_eq!(report, Report { applied: calls(&config), ..Report::default() });
    assert_eq!(control.state(), State::Runtime);
    for subsystem in config["subsystems"].as_array().unwrap() {
        let Some(saved) = subsystem["config"].as_array().filter(|calls| !calls.is_empty()) else { continue };
        let name = subsystem["subsystem"].as_str().unwrap();
        let again = serde_json::to_value(control.config(name)).unwrap();
        let again = again.as_array().unwrap();
        assert_eq!(saved.len(), again.len(), "{name}");
        for call in saved {
            assert!(again.contains(call), "{name} lost {call}");
        }
    }
}

struct Recorder(Rc<RefCell<Vec<String>>>);

impl Part for Recorder {
    fn name(&self) -> &'static str {
        "bdev"
    }
    fn methods(self: Rc<Self>, methods: &mut Methods) {
        for (name, when, fails) in [
            ("doorbell_early", When::Startup, false),
            ("doorbell_any", When::Any, false),
            ("doorbell_late", When::Runtime, false),
            ("doorbell_fails", When::Runtime, true),
        ] {
            let log = Rc::clone(&self.0);
            methods.add(name, when, "", move |_: NoParams| {
                log.borrow_mut().push(name.to_owned());
                std::future::ready(if fails { Err(RpcError::exists()) } else { Ok(true) })
            });
        }
    }
}

fn recorder() -> (Control, Rc<RefCell<Vec<String>>>) {
    let control = Control::new(Options::default());
    let log = Rc::new(RefCell::new(Vec::new()));
    control.add_part(Rc::new(Recorder(Rc::clone(&log)))).unwrap();
    (control, log)
}

fn config(methods: &[&str]) -> Value {
    let calls: Vec<_> = methods.iter().map(|method| json!({"method": method})).collect();
    json!({"subsystems": [{"subsystem": "scsi", "config": null}, {"subsystem": "bdev", "config": calls}]})
}

#[test]
fn startup_then_runtime_each_once_and_in_order() {
    let (control, log) = recorder();
    load(&control, &config(&["doorbell_late", "doorbell_any", "doorbell_early", "doorbell_late"])).unwrap();
    assert_eq!(*log.borrow(), ["doorbell_any", "doorbell_early", "doorbell_late", "doorbell_late"]);
    // Into a running process: what startup allows is over.
    log.borrow_mut().clear();
    let report = load(&control, &config(&["doorbell_any", "doorbell_late", "doorbell_early"])).unwrap();
    assert_eq!(*log.borrow(), ["doorbell_late"]);
    assert_eq!(report.skipped, ["bdev[0] doorbell_any", "bdev[2] doorbell_early"]);
    // With batches.
    log.borrow_mut().clear();
    let batch = json!([{"method": "doorbell_late"}, {"method": "doorbell_late", "params": null}]);
    load(&control, &json!({"subsystems": [{"subsystem": "bdev", "config": [batch]}]})).unwrap();
    assert_eq!(log.borrow().len(), 2);
}

#[test]
fn errors_say_where() {
    let (control, log) = recorder();
    let unknown = load(&control, &config(&["doorbell_early", "bdev_crypto_create"])).unwrap_err();
    assert_eq!(unknown.to_string(), "configuration: bdev[1] bdev_crypto_create: there is no such method here");
    // Nothing was called, and nothing started.
    assert!(log.borrow().is_empty());
    assert_eq!(control.state(), State::Startup);
    let failed = load(&control, &config(&["doorbell_late", "doorbell_fails", "doorbell_late"])).unwrap_err();
    assert_eq!(failed.to_string(), "configuration: bdev[1] doorbell_fails: File exists (-17)");
    assert_eq!(*log.borrow(), ["doorbell_late", "doorbell_fails"]);

    let (control, log) = recorder();
    let all = config(&["bdev_crypto_create", "doorbell_fails", "doorbell_late"]);
    let report = now(load_config(&control, &all, LoadOptions { ignore_errors: true })).unwrap();
    assert_eq!(report.failed, ["bdev[0] bdev_crypto_create: unknown", "bdev[1] doorbell_fails: File exists (-17)"]);
    assert_eq!((report.applied, log.borrow().len()), (1, 2));
}

#[test]
fn what_is_no_configuration() {
    for (config, problem) in [
        (json!([]), "it has no \"subsystems\""),
        (json!({"subsystems": 1}), "\"subsystems\" is not an array"),
        (json!({"subsystems": [{"config": []}]}), "subsystems[0] has no name (\"subsystem\")"),
        (json!({"subsystems": [{"subsystem": "bdev", "config": 1}]}), "bdev: \"config\" is neither an array nor null"),
        (json!({"subsystems": [{"subsystem": "bdev", "config": [{}]}]}), "bdev[0] has no \"method\""),
        (
            json!({"subsystems": [{"subsystem": "bdev", "config": [{"method": "a", "params": []}]}]}),
            "bdev[0] a: \"params\" is not an object",
        ),
        (json!({"subsystems": [{"subsystem": "bdev", "config": [[[]]]}]}), "bdev[0] is an array inside an array"),
    ] {
        let (control, _) = recorder();
        let error = load(&control, &config).unwrap_err();
        assert_eq!(error.to_string(), format!("configuration: {problem}"));
        // The most lenient loading does not take it either.
        assert!(now(load_config(&control, &config, LoadOptions { ignore_errors: true })).is_err());
    }
}
