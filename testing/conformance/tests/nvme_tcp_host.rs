//! The driver's NVMe/TCP queue against our own target, over loopback: data in every way that it can travel, and the errors that an operator
//! sees.

mod initiator;

use doorbell_mem::SgList;
use doorbell_nvme::session::{Session, SessionError};
use doorbell_nvme::{Failure, TcpOffer, TcpSpec};
use doorbell_nvmf::{MemoryDevice, NewNamespace, NewSubsystem, Target, TransportOptions};
use doorbell_reactor::{Config, run};
use doorbell_wire_nvme::AdminCommand;
use doorbell_wire_nvme::fabrics::CNTLID_DYNAMIC;
use initiator::{HOST, Load, connect, spec};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

const NQN: &str = "nqn.2026-11.io.doorbell:initiator";
const BLOCKS: u64 = 16 << 11;

/// A target on a thread of its own, with one namespace of 16 MiB.
struct Served {
    at: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    fn start(options: TransportOptions, allow_any_host: bool) -> Served {
        let (bound, at) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let ((), closed) = run(&Config { reactors: 1, ..Config::default() }, |local| async move {
                let target = Target::new();
                target.create_transport(options).unwrap();
                target.start(&local).await.unwrap();
                target.create_subsystem(NewSubsystem { allow_any_host, ..NewSubsystem::new(NQN) }).unwrap();
                let device = Arc::new(MemoryDevice::new(9, BLOCKS));
                let (name, uuid) = ("memory0".to_string(), *b"doorbell-example");
                let namespace = NewNamespace { nsid: None, device, name, uuid, nguid: None, eui64: None, read_only: false };
                target.add_namespace(NQN, namespace).unwrap();
                bound.send(target.add_listener(&local, NQN, "127.0.0.1", "0").await.unwrap()).unwrap();
                while !stopped.load(Ordering::Relaxed) {
                    local.sleep_ns(2_000_000).await;
                }
                target.stop(&local, 1_000_000_000).await;
            })
            .unwrap();
            assert!(closed.iter().all(|c| c.boxes_out == 0), "the target lost boxes");
        });
        Served { at: at.recv().unwrap(), stop, thread: Some(thread) }
    }

    fn spec(&self) -> TcpSpec {
        spec(self.at, NQN, 0, CNTLID_DYNAMIC)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the target's thread panicked");
        }
    }
}

#[test]
fn data_travels_with_and_without_digests_in_and_beyond_the_capsule() {
    let served = Served::start(TransportOptions::default(), true);
    let mut load = None;
    for mode in 0..4 {
        let offer = TcpOffer { header_digest: mode & 1 != 0, data_digest: mode & 2 != 0, hpda: 0 };
        let mut host = connect(served.at, NQN, |spec| spec.offer = offer);
        load.get_or_insert_with(|| Load::new(&host, 32)).run(&mut host.io, 400);
        assert!(host.admin.in_flight() == 0 && host.io.in_flight() == 0);
    }
}

#[test]
fn a_queue_with_flow_control_and_odd_alignment_goes_round() {
    // No capsule carries data: every write is asked for.
    let options = TransportOptions { in_capsule_bytes: 0, c2h_success: false, ..TransportOptions::default() };
    let served = Served::start(options, true);
    let mut host = connect(served.at, NQN, |spec| {
        spec.flow_control = true;
        spec.offer = TcpOffer { header_digest: true, data_digest: true, hpda: 9 };
        spec.depth = if spec.qid == 0 { 31 } else { 7 };
    });
    Load::new(&host, 7).run(&mut host.io, 400);
}

#[test]
fn a_wrong_name_or_host_is_said_in_words() {
    let served = Served::start(TransportOptions::default(), false);
    let spec = served.spec();
    let refused = Session::connect(spec.clone()).err().unwrap();
    assert!(matches!(&refused, Failure::HostNotAllowed { host, .. } if host == HOST), "{refused}");
    let wrong = TcpSpec { subsystem: "nqn.2026-11.io.doorbell:nobody".to_string(), ..spec.clone() };
    let refused = Session::connect(wrong).err().unwrap();
    assert!(matches!(&refused, Failure::NoSubsystem { subsystem, .. } if subsystem.ends_with("nobody")), "{refused}");
    assert!(refused.may_pass(), "it may be created yet");
    let io = TcpSpec { qid: 1, cntlid: 77, ..spec };
    let refused = Session::connect(io).err().unwrap();
    assert!(matches!(refused, Failure::Rejected { qid: 1, .. } | Failure::HostNotAllowed { .. }), "{refused}");
}

#[test]
fn digests_that_a_target_does_not_do_are_not_left_out_silently() {
    let served = Served::start(TransportOptions { data_digest: false, ..TransportOptions::default() }, true);
    let mut spec = served.spec();
    spec.offer = TcpOffer { header_digest: true, data_digest: true, hpda: 0 };
    let refused = Session::connect(spec).err().unwrap();
    assert!(matches!(refused, Failure::NoDigest { which: "data", .. }), "{refused}");
}

#[test]
fn a_target_that_goes_ends_what_is_in_flight() {
    let served = Served::start(TransportOptions::default(), true);
    let mut admin = connect(served.at, NQN, |_| {}).admin;
    admin.start(&AdminCommand::AsyncEventRequest.encode(), SgList::default(), 5).unwrap();
    admin.poll(|e| panic!("{}", e.cqe.status())).unwrap();
    drop(served);
    let lost = loop {
        if let Err(failure) = admin.wait(|_| {}) {
            break failure;
        }
    };
    assert!(matches!(lost, Failure::Lost { .. }), "{lost}");
    assert!(matches!(admin.command(&AdminCommand::KeepAlive.encode(), &mut []), Err(SessionError::NotSent | SessionError::Failed(_))));
}
