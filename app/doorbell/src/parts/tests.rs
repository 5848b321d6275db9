use super::*;
use doorbell_control::{Method, State, conforms};
use doorbell_reactor::{Config, run_with_loads};
use doorbell_rpc::LogLevel;
use serde_json::{Value, json};
use std::future::Future;
use std::sync::Arc;

struct NoLog;

impl LogControl for NoLog {
    fn flags(&self) -> Vec<(String, bool)> {
        vec![("bdev".to_owned(), false)]
    }
    fn set_flag(&self, flag: &str, _: bool) -> bool {
        flag == "bdev"
    }
    fn level(&self) -> LogLevel {
        LogLevel::Notice
    }
    fn set_level(&self, _: LogLevel) {}
    fn print_level(&self) -> LogLevel {
        LogLevel::Notice
    }
    fn set_print_level(&self, _: LogLevel) {}
    fn set_timestamps(&self, _: bool) {}
}

/// Runs with everything that the process has.
fn with_parts<F: Future<Output = ()> + 'static>(test: impl FnOnce(Local, Parts) -> F + 'static) {
    let config = Config::default();
    let regions = config.regions.clone();
    run_with_loads(&config, |local, loads| async move {
        let reactors = Reactors {
            local: local.clone(),
            loads: loads.into(),
            cpus: Arc::new([]),
            polling: doorbell_reactor::Polling::Always,
            registry: Registry::new(),
        };
        let process = Process {
            local: local.clone(),
            reactors,
            regions,
            pool: PoolSpec::default(),
            helpers: Helpers::new(1).unwrap(),
            log: Rc::new(NoLog),
            kill: Rc::new(|_| ()),
            allowed: None,
        };
        let parts = assemble(process).unwrap();
        let control = parts.control.clone();
        test(local, parts).await;
        control.stop().await;
    })
    .unwrap();
}

#[test]
fn every_method_is_as_spdks_clients_expect() {
    with_parts(|_, parts| async move {
        let methods = parts.control.methods();
        let found = conforms(methods.iter().map(Rc::as_ref));
        assert!(found.is_empty(), "{}", found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        assert!(methods.len() > 60, "{}", methods.len());
        for method in methods {
            assert!(
                !method.doc.is_empty() && method.fields.iter().all(|field| method.is_kept() || !field.doc.is_empty()),
                "{}",
                method.name
            );
        }
    });
}

/// Methods that would wait for ever, or end the process, when they are called as they should be.
const NOT_CALLED: [&str; 3] = ["framework_wait_init", "spdk_kill_instance", "framework_start_init"];

async fn refused(parts: &Parts, method: &Method, params: Value) -> Option<i64> {
    parts.control.call(method.name, Some(params)).await.err().map(|error| error.code)
}

#[test]
fn every_method_refuses_what_it_does_not_take() {
    with_parts(|_, parts| async move {
        for state in [State::Startup, State::Runtime] {
            if state == State::Runtime {
                parts.control.start().await.unwrap();
            }
            assert_eq!(parts.control.state(), state);
            for method in parts.control.methods() {
                if !parts.control.callable_now(&method) {
                    assert_eq!(refused(&parts, &method, json!({})).await, Some(-1), "{} in {state:?}", method.name);
                    continue;
                }
                let unknown = refused(&parts, &method, json!({"no_such_parameter": 1})).await;
                assert!(matches!(unknown, Some(-32602 | -32603)), "{}: {unknown:?}", method.name);
                let list = refused(&parts, &method, json!([1])).await;
                assert!(matches!(list, Some(-32602 | -32603)), "{}: {list:?}", method.name);
                if method.fields.iter().any(|field| field.required) {
                    let absent = refused(&parts, &method, json!({})).await;
                    assert!(matches!(absent, Some(-32602 | -32603)), "{}: {absent:?}", method.name);
                }
                for field in method.fields {
                    // No parameter is both: one of the two is of the wrong type for each.
                    let wrong = if matches!(field.kind, doorbell_control::Kind::Object(_)) { json!(7) } else { json!({"a": [null]}) };
                    let code = refused(&parts, &method, json!({field.name: wrong})).await;
                    assert!(matches!(code, Some(-32602 | -32603)), "{}.{}: {code:?}", method.name, field.name);
                }
            }
        }
    });
}

#[test]
fn methods_without_required_parameters_answer() {
    with_parts(|_, parts| async move {
        parts.control.start().await.unwrap();
        for method in parts.control.methods() {
            let required = method.fields.iter().any(|field| field.required);
            let reads = method.name.contains("_get_");
            if required || !reads || !parts.control.callable_now(&method) || NOT_CALLED.contains(&method.name) {
                continue;
            }
            let answer = parts.control.call(method.name, None).await;
            assert!(answer.is_ok(), "{}: {answer:?}", method.name);
        }
    });
}

#[test]
fn a_device_is_made_listed_saved_and_deleted() {
    with_parts(|_, parts| async move {
        parts.control.start().await.unwrap();
        let call = |method: &'static str, params: Value| parts.control.call(method, Some(params));
        let made = call("bdev_malloc_create", json!({"name": "M", "block_size": 512, "num_blocks": 2048})).await;
        assert_eq!(made.unwrap(), "M");
        let again = call("bdev_malloc_create", json!({"name": "M", "block_size": 512, "num_blocks": 2048})).await;
        assert_eq!(again.unwrap_err().code, -17);
        assert_eq!(call("bdev_get_bdevs", json!({"name": "M"})).await.unwrap()[0]["num_blocks"], 2048);
        let saved = parts.control.config("bdev").unwrap();
        assert!(saved.iter().any(|call| call.method == "bdev_malloc_create"));
        assert_eq!(call("bdev_malloc_delete", json!({"name": "M"})).await.unwrap(), true);
        assert!(call("bdev_get_bdevs", json!({"name": "M"})).await.is_err());
    });
}

#[test]
fn pools_are_as_spdks_clients_ask_before_the_start() {
    with_parts(|local, parts| async move {
        let small = json!({"small_pool_count": 65536});
        parts.control.call("iobuf_set_options", Some(small)).await.unwrap();
        assert!(parts.control.call("iobuf_set_options", Some(json!({"large_pool_count": 1}))).await.is_err());
        let saved = parts.control.config("iobuf").unwrap();
        assert_eq!(json!(saved), json!([{"method": "iobuf_set_options", "params": {"small_pool_count": 65536}}]));
        parts.control.start().await.unwrap();
        let stats = parts.control.call("iobuf_get_stats", None).await.unwrap();
        // 512 MiB of small buffers for all reactors; the large ones are as they were.
        let default: u64 = doorbell_mem::DEFAULT_CLASSES.iter().filter(|c| c.size > 8192).map(|c| u64::from(c.count)).sum();
        let of = |pool: &str| stats.as_array().unwrap().iter().map(|r| r[pool]["cache_size"].as_u64().unwrap()).sum::<u64>();
        assert!(of("small_pool") > 131_072, "{stats}");
        assert_eq!(of("large_pool"), default * u64::from(local.reactors()));
        assert!(parts.control.call("iobuf_set_options", Some(json!({}))).await.is_err(), "too late");
    });
}
