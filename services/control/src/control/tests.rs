use super::{Control, ControlError, Options, State};
use crate::{ConfigCall, Fault, Keep, LocalFuture, Methods, NoParams, Part, RpcError, When, params};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

params! {
    struct Named { name: String }
}

type Log = Rc<RefCell<Vec<String>>>;

/// Polls once; everything in these tests is ready or waits for another call.
fn once<T>(future: &mut Pin<Box<dyn Future<Output = T> + '_>>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future: Pin<Box<dyn Future<Output = T> + '_>> = Box::pin(future);
    once(&mut future).expect("ready at once")
}

struct Bdev {
    log: Log,
    fails: bool,
}

impl Part for Bdev {
    fn name(&self) -> &'static str {
        "bdev"
    }

    fn depends_on(&self) -> &'static [&'static str] {
        &["sock", "vmd"]
    }

    fn methods(self: Rc<Self>, methods: &mut Methods) {
        let log = Rc::clone(&self.log);
        let delete = move |p: Named| {
            log.borrow_mut().push(p.name.clone());
            async move { if p.name == "gone" { Err(RpcError::no_device()) } else { Ok(true) } }
        };
        methods.add("bdev_null_delete", When::Runtime, "Deletes.", delete).former_name("delete_null_bdev");
        methods.keep(Keep::one("bdev_raid_set_options"));
    }

    fn save(&self) -> Vec<ConfigCall> {
        vec![ConfigCall::bare("bdev_wait_for_examine")]
    }

    fn init(self: Rc<Self>) -> LocalFuture<Result<(), RpcError>> {
        self.log.borrow_mut().push("init bdev".to_owned());
        let result = if self.fails { Err(RpcError::no_memory()) } else { Ok(()) };
        Box::pin(std::future::ready(result))
    }

    fn stop(self: Rc<Self>) -> LocalFuture<()> {
        self.log.borrow_mut().push("stop bdev".to_owned());
        Box::pin(std::future::ready(()))
    }
}

struct Sock(Log, &'static [&'static str]);

impl Part for Sock {
    fn name(&self) -> &'static str {
        "sock"
    }

    fn depends_on(&self) -> &'static [&'static str] {
        self.1
    }

    fn methods(self: Rc<Self>, methods: &mut Methods) {
        const IMPL: &[&str] = &["posix", "ssl", "uring"];
        methods.keep(Keep { method: "sock_impl_set_options", by: Some("impl_name"), only: &[("impl_name", IMPL)] });
    }

    fn init(self: Rc<Self>) -> LocalFuture<Result<(), RpcError>> {
        self.0.borrow_mut().push("init sock".to_owned());
        Box::pin(std::future::ready(Ok(())))
    }

    fn stop(self: Rc<Self>) -> LocalFuture<()> {
        self.0.borrow_mut().push("stop sock".to_owned());
        Box::pin(std::future::ready(()))
    }
}

fn control(options: Options) -> (Control, Log) {
    let log = Log::default();
    let control = Control::new(options);
    control.add_part(Rc::new(Bdev { log: Rc::clone(&log), fails: false })).unwrap();
    control.add_part(Rc::new(Sock(Rc::clone(&log), &[]))).unwrap();
    (control, log)
}

fn call(control: &Control, name: &str, params: Value) -> Result<Value, RpcError> {
    now(control.call(name, Some(params)))
}

#[test]
fn states_decide_and_parts_start_in_order() {
    let (control, log) = control(Options::default());
    assert_eq!(call(&control, "bdev_null_delete", json!({"name": "a"})), Err(RpcError::only_after_init()));
    let mut wait: Pin<Box<dyn Future<Output = _>>> = Box::pin(control.started());
    assert!(once(&mut wait).is_none());
    now(control.start()).unwrap();
    assert_eq!(once(&mut wait), Some(Ok(())));
    assert_eq!(*log.borrow(), ["init sock", "init bdev"]);
    assert_eq!(now(control.start()), Err(RpcError::only_before_init()));
    assert_eq!(call(&control, "sock_impl_set_options", json!({"impl_name": "ssl"})), Err(RpcError::only_before_init()));
    assert_eq!(call(&control, "bdev_null_delete", json!({"name": "a"})), Ok(json!(true)));
    assert_eq!(call(&control, "bdev_null_delete", json!({"name": "gone"})), Err(RpcError::no_device()));
    log.borrow_mut().clear();
    now(control.stop());
    now(control.stop());
    assert_eq!(*log.borrow(), ["stop bdev", "stop sock"]);
    assert_eq!(call(&control, "bdev_null_delete", json!({"name": "a"})).unwrap_err().code, -16);
}

#[test]
fn a_part_that_does_not_start_is_named() {
    let control = Control::new(Options::default());
    control.add_part(Rc::new(Bdev { log: Log::default(), fails: true })).unwrap();
    let error = now(control.start()).unwrap_err();
    assert_eq!((error.code, error.data.as_deref()), (-12, Some("part bdev did not start: Cannot allocate memory")));
    assert_eq!(control.state(), State::Failed);
    assert!(now(control.started()).is_err());
}

#[test]
fn refusals_are_spdks() {
    let (control, _) = control(Options::default());
    now(control.start()).unwrap();
    assert_eq!(call(&control, "no_such_method", json!({})).unwrap_err().code, -32601);
    // SPDK's device modules answer -32603, its newer handlers -32602.
    let error = call(&control, "bdev_null_delete", json!({"name": 1})).unwrap_err();
    assert_eq!((error.code, &*error.message), (-32603, "spdk_json_decode_object failed"));
    assert_eq!(error.data.as_deref(), Some("parameter `name`: must be string, not 1"));
    control
        .add_methods(|m| {
            m.add("log_get_level", When::Any, "", |_: NoParams| async { Ok(0) });
        })
        .unwrap();
    let error = call(&control, "log_get_level", json!({"x": 1})).unwrap_err();
    assert_eq!((error.code, &*error.message), (-32602, "Invalid parameters"));
    // The same when nothing was there to decode.
    let refused = |name: &str| control.refuse(name, &Fault::twice("a.b"));
    assert_eq!(refused("log_get_level").data.as_deref(), Some("parameter `a.b`: given twice"));
    assert_eq!((refused("bdev_null_delete").code, refused("no_such_method").code), (-32603, -32601));
}

#[test]
fn only_allowed_methods_exist() {
    let allowed = Some(vec!["sock_impl_set_options".to_owned()]);
    let (control, _) = control(Options { allowed, ..Options::default() });
    assert_eq!(control.methods().len(), 1);
    now(control.start()).unwrap();
    for name in ["bdev_null_delete", "delete_null_bdev"] {
        assert_eq!(call(&control, name, json!({"name": "a"})), Err(RpcError::method_not_found()));
    }
}

#[test]
fn kept_settings_are_checked_merged_and_saved_before_the_rest() {
    let (control, _) = control(Options::default());
    for (params, code) in [
        (json!({"impl_name": "posix", "recv_buf_size": "x"}), -32602),
        (json!({"impl_name": "posix", "recv_buf": 1}), -32602),
        (json!({"recv_buf_size": 1}), -32602),
        (json!({"impl_name": "vpp"}), -22),
    ] {
        assert_eq!(call(&control, "sock_impl_set_options", params).unwrap_err().code, code);
    }
    for params in [
        json!({"impl_name": "posix", "recv_buf_size": 1, "send_buf_size": null}),
        json!({"impl_name": "ssl", "tls_version": 13}),
        json!({"impl_name": "posix", "send_buf_size": 2}),
    ] {
        assert_eq!(call(&control, "sock_impl_set_options", params), Ok(json!(true)));
    }
    call(&control, "bdev_raid_set_options", json!({"process_window_size_kb": 1024})).unwrap();
    let config = |part| serde_json::to_value(control.config(part)).unwrap();
    assert_eq!(
        config("sock"),
        json!([
            {"method": "sock_impl_set_options", "params": {"impl_name": "posix", "recv_buf_size": 1, "send_buf_size": 2}},
            {"method": "sock_impl_set_options", "params": {"impl_name": "ssl", "tls_version": 13}},
        ])
    );
    assert_eq!(
        config("bdev"),
        json!([
            {"method": "bdev_raid_set_options", "params": {"process_window_size_kb": 1024}},
            {"method": "bdev_wait_for_examine"},
        ])
    );
    assert!(control.config("nvmf").is_none());
}

#[test]
fn notices_come_once() {
    let told = Log::default();
    let into = Rc::clone(&told);
    let notice: Box<dyn Fn(&str)> = Box::new(move |text| into.borrow_mut().push(text.to_owned()));
    let (control, _) = control(Options { notice: Some(notice), ..Options::default() });
    control.keep("bdev", Keep::one("bdev_iscsi_set_options")).unwrap();
    // One that the part brings itself stays the part's.
    control.keep("bdev", Keep::one("bdev_null_delete")).unwrap();
    assert!(!control.method("bdev_null_delete").unwrap().is_kept());
    for seconds in 1..4 {
        call(&control, "bdev_iscsi_set_options", json!({"timeout_sec": seconds})).unwrap();
    }
    now(control.start()).unwrap();
    call(&control, "delete_null_bdev", json!({"name": "a"})).unwrap();
    call(&control, "delete_null_bdev", json!({"name": "b"})).unwrap();
    assert_eq!(
        *told.borrow(),
        [
            "bdev_iscsi_set_options: kept for the saved configuration; it changes nothing here",
            "RPC method delete_null_bdev is deprecated: its name is bdev_null_delete now",
        ]
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let (control, log) = control(Options::default());
    let twice = control.add_part(Rc::new(Sock(Rc::clone(&log), &[])));
    assert_eq!(twice, Err(ControlError::DuplicatePart("sock")));
    let twice = control.add_methods(|m| {
        m.add("delete_null_bdev", When::Any, "", |_: NoParams| async { Ok(0) });
    });
    assert_eq!(twice, Err(ControlError::DuplicateMethod("delete_null_bdev")));
    let circular = Control::new(Options::default());
    circular.add_part(Rc::new(Sock(Rc::clone(&log), &["bdev"]))).unwrap();
    let cycle = circular.add_part(Rc::new(Bdev { log, fails: false }));
    assert_eq!(cycle, Err(ControlError::Cycle("sock")));
    assert_eq!(control.dependencies(&*control.parts()[1]), ["sock"]);
}
