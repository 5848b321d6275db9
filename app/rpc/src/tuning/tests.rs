use super::{SUBSYSTEMS, add_tuning};
use doorbell_control::{Control, Keep, Methods, NoParams, Options, Part, When, conforms};
use serde_json::Value;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// An nvmf part with a configuration method of its own.
struct Nvmf;

impl Part for Nvmf {
    fn name(&self) -> &'static str {
        "nvmf"
    }
    fn methods(self: Rc<Self>, methods: &mut Methods) {
        methods.add("nvmf_set_crdt", When::Startup, "", |_: NoParams| async { Ok(true) });
    }
}

#[test]
fn it_fills_gaps_only() {
    let control = Control::new(Options::default());
    control.add_part(Rc::new(Nvmf)).unwrap();
    add_tuning(&control).unwrap();
    assert!(!control.method("nvmf_set_crdt").unwrap().is_kept());
    assert!(control.method("nvmf_set_max_subsystems").unwrap().is_kept());
    assert_eq!(control.parts().len(), SUBSYSTEMS.len() + 1);
    // Again, and nothing is there twice.
    add_tuning(&control).unwrap();
    assert_eq!(control.parts().len(), SUBSYSTEMS.len() + 1);
    let methods = control.methods();
    let kept = methods.iter().filter(|method| method.is_kept()).map(Rc::as_ref);
    assert_eq!(conforms(kept), []);
}

/// The table of SPDK's interface takes every request that SPDK's own client was seen to send.
#[test]
fn captured_requests_fit_the_table() {
    let requests: Vec<Value> = serde_json::from_str(include_str!("../../tests/data/client-requests.json")).unwrap();
    assert_eq!(requests.len(), 111);
    for request in requests {
        let method = request["method"].as_str().unwrap();
        let name = doorbell_control::spdk().method(method).unwrap_or_else(|| panic!("no {method}")).name;
        let control = Control::new(Options::default());
        control.keep("", Keep::one(name)).unwrap();
        if control.method(name).unwrap().when == When::Runtime {
            now(control.start()).unwrap();
        }
        now(control.call(name, request.get("params").cloned())).unwrap_or_else(|error| panic!("{request}: {error}"));
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}
