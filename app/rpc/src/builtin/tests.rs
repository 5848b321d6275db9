use super::{Builtins, LogControl, LogLevel, Signal};
use doorbell_control::{ConfigCall, Control, Keep, Methods, NoParams, Options, Part, RpcError, When, conforms};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

struct Log(Cell<LogLevel>, Cell<bool>);

impl LogControl for Log {
    fn flags(&self) -> Vec<(String, bool)> {
        vec![("bdev".to_owned(), self.1.get())]
    }
    fn set_flag(&self, flag: &str, on: bool) -> bool {
        self.1.set(on);
        flag == "bdev" || flag == "all"
    }
    fn level(&self) -> LogLevel {
        self.0.get()
    }
    fn set_level(&self, level: LogLevel) {
        self.0.set(level);
    }
    fn print_level(&self) -> LogLevel {
        LogLevel::Info
    }
    fn set_print_level(&self, level: LogLevel) {
        self.0.set(level);
    }
    fn set_timestamps(&self, _: bool) {}
}

struct Accel;

impl Part for Accel {
    fn name(&self) -> &'static str {
        "accel"
    }
    fn depends_on(&self) -> &'static [&'static str] {
        &["iobuf"]
    }
    fn methods(self: Rc<Self>, methods: &mut Methods) {
        methods.keep(Keep::one("accel_set_options"));
        methods.add("accel_get_stats", When::Runtime, "", |_: NoParams| async { Ok(1) }).former_name("accel_stats");
    }
    fn save(&self) -> Vec<ConfigCall> {
        vec![ConfigCall::bare("ioat_scan_accel_module")]
    }
}

struct Iobuf;

impl Part for Iobuf {
    fn name(&self) -> &'static str {
        "iobuf"
    }
    fn methods(self: Rc<Self>, _: &mut Methods) {}
}

fn control() -> (Control, Rc<RefCell<Vec<Signal>>>) {
    let control = Control::new(Options::default());
    control.add_part(Rc::new(Accel)).unwrap();
    control.add_part(Rc::new(Iobuf)).unwrap();
    let signals = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&signals);
    let kill = Rc::new(move |signal| into.borrow_mut().push(signal));
    let log = Rc::new(Log(Cell::new(LogLevel::Notice), Cell::new(false)));
    Builtins { version: (0, 1, 0), log, kill }.add_to(&control).unwrap();
    (control, signals)
}

fn call(control: &Control, name: &str, params: Value) -> Result<Value, RpcError> {
    match control.call(name, Some(params)).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("{name} waits"),
    }
}

#[test]
fn every_method_is_spdks() {
    let (control, _) = control();
    let methods = control.methods();
    assert_eq!(conforms(methods.iter().map(Rc::as_ref)), []);
}

#[test]
fn the_list_follows_the_state() {
    let (control, _) = control();
    let list = |params| {
        let names = call(&control, "rpc_get_methods", params).unwrap();
        names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let has = |params, name: &str| list(params).iter().any(|one| one == name);
    assert!(has(json!({}), "accel_get_stats") && has(json!({}), "framework_start_init"));
    assert!(!has(json!({}), "accel_stats") && has(json!({"include_aliases": true}), "accel_stats"));
    assert!(has(json!({"current": true}), "accel_set_options"));
    assert!(!has(json!({"current": true}), "accel_get_stats"));
    assert_eq!(call(&control, "framework_start_init", json!({})), Ok(json!(true)));
    assert!(!has(json!({"current": true}), "framework_start_init"));
    assert!(has(json!({"current": true, "include_aliases": true}), "accel_stats"));
    assert_eq!(call(&control, "framework_wait_init", json!({})), Ok(json!(true)));
    let again = call(&control, "framework_start_init", json!({})).unwrap_err();
    assert_eq!(again.code, -1);
    assert!(again.message.starts_with("Method may only be called before framework is initialized."), "{again}");
}

#[test]
fn subsystems_and_their_configuration() {
    let (control, _) = control();
    call(&control, "accel_set_options", json!({"task_count": 2048})).unwrap();
    call(&control, "framework_start_init", json!({})).unwrap();
    assert_eq!(
        call(&control, "framework_get_subsystems", json!({})),
        Ok(json!([{"subsystem": "iobuf", "depends_on": []}, {"subsystem": "accel", "depends_on": ["iobuf"]}]))
    );
    assert_eq!(
        call(&control, "framework_get_config", json!({"name": "accel", "with_batches": true})),
        Ok(json!([{"method": "accel_set_options", "params": {"task_count": 2048}}, {"method": "ioat_scan_accel_module"}]))
    );
    let absent = call(&control, "framework_get_config", json!({"name": "ocf"})).unwrap_err();
    assert_eq!((absent.code, &*absent.message), (-32602, "Subsystem 'ocf' not found"));
}

#[test]
fn version_log_notifications_and_end() {
    let (control, signals) = control();
    call(&control, "framework_start_init", json!({})).unwrap();
    let version = call(&control, "spdk_get_version", json!({})).unwrap();
    assert_eq!(version, json!({"version": "Doorbell v0.1.0", "fields": {"major": 0, "minor": 1, "patch": 0, "suffix": ""}}));

    assert_eq!(call(&control, "log_set_flag", json!({"flag": "all"})), Ok(json!(true)));
    assert_eq!(call(&control, "log_get_flags", json!({})), Ok(json!({"bdev": true})));
    assert_eq!(call(&control, "log_set_flag", json!({"flag": "x"})).unwrap_err().message, "Invalid parameters");
    call(&control, "log_set_level", json!({"level": "DEBUG"})).unwrap();
    assert_eq!(call(&control, "log_get_level", json!({})), Ok(json!("DEBUG")));
    assert_eq!(call(&control, "log_set_level", json!({"level": "LOUD"})).unwrap_err().code, -32602);

    control.notifications().push("bdev_register", "Malloc0");
    assert_eq!(call(&control, "notify_get_types", json!({})), Ok(json!(["bdev_register"])));
    assert_eq!(
        call(&control, "notify_get_notifications", json!({"id": 0, "max": 5})),
        Ok(json!([{"type": "bdev_register", "ctx": "Malloc0", "id": 0}]))
    );

    assert_eq!(call(&control, "spdk_kill_instance", json!({"sig_name": "SIGBUS"})).unwrap_err().message, "Invalid parameters");
    for name in ["SIGTERM", "2"] {
        assert_eq!(call(&control, "spdk_kill_instance", json!({"sig_name": name})), Ok(json!(true)));
    }
    assert_eq!(*signals.borrow(), [Signal::Term, Signal::Int]);

    let schema = call(&control, "doorbell_get_schema", json!({})).unwrap();
    let methods = schema["methods"].as_array().unwrap();
    let kill = methods.iter().find(|method| method["name"] == "spdk_kill_instance").unwrap();
    assert_eq!(kill["params"][0]["type"], "enum");
}
