//! The driver of this project against the target, over a vfio-user socket: two programs that share nothing but the protocol's bytes.

use doorbell_nvme::{Controller, Env, Options, Payload};
use doorbell_nvmf::{MemoryDevice, NewNamespace, NewSubsystem, Target, VfioUserOptions};
use doorbell_pci::{FunctionAddress, OpenOptions};
use doorbell_reactor::{Config, Local, oneshot, run};
use doorbell_sys::helper::Helpers;
use doorbell_sys::socket::Stream;
use doorbell_wire_nvme::{IoCommand, ReadWrite};
use std::path::PathBuf;
use std::sync::Arc;

const NQN: &str = "nqn.2026-11.io.doorbell:driver";

fn folder() -> PathBuf {
    let path = std::env::temp_dir().join(format!("doorbell-driver-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

async fn serve(local: &Local, folder: &str) -> Target {
    let target = Target::new();
    target.create_vfio_user(VfioUserOptions::default()).unwrap();
    target.start(local).await.unwrap();
    target.create_subsystem(NewSubsystem { allow_any_host: true, ..NewSubsystem::new(NQN) }).unwrap();
    let device = Arc::new(MemoryDevice::new(9, 4096));
    let (name, uuid) = ("memory0".to_string(), *b"doorbell--driver");
    target.add_namespace(NQN, NewNamespace { nsid: None, device, name, uuid, nguid: None, eui64: None, read_only: false }).unwrap();
    // Endpoints are given to reactors in turn. The driver's own, the first, waits for answers: the second serves it.
    let first = format!("{folder}/first");
    std::fs::create_dir_all(&first).unwrap();
    target.add_endpoint(local, NQN, &first).await.unwrap();
    target.add_endpoint(local, NQN, folder).await.unwrap();
    target
}

async fn attach(env: &Env, folder: &str) -> Controller {
    let address = FunctionAddress::VfioUser(folder.into());
    let (tx, rx) = oneshot();
    std::thread::spawn(move || tx.send(doorbell_pci::open(&address, &OpenOptions::default())));
    let function = rx.await.unwrap().unwrap();
    Controller::attach(env, "under test", function, Options::default()).await.unwrap()
}

/// Writes and reads back, by lengths that need one PRP, two, a list.
async fn verify(controller: &Controller, seed: u8) {
    for (n, blocks) in [1u32, 8, 16, 33, 256].into_iter().enumerate() {
        let rw = ReadWrite { slba: 100 * n as u64, blocks, ..ReadWrite::default() };
        let data: Vec<u8> = (0..blocks * 512).map(|at| (at * 7 + at / 512) as u8 ^ seed).collect();
        let write = IoCommand::Write(rw).encode().with_nsid(1);
        let done = controller.io(write, Payload::Out(data.clone())).await.unwrap();
        assert!(done.cqe.status().is_ok());
        let read = controller.io(IoCommand::Read(rw).encode().with_nsid(1), Payload::In(blocks * 512)).await.unwrap();
        assert!(read.data == data, "{blocks} blocks");
    }
}

/// Waits for a condition, ten seconds at most.
async fn until(local: &Local, done: impl Fn() -> bool) {
    let deadline = local.now().after(10_000_000_000);
    while !done() {
        assert!(local.now() < deadline, "it does not come true");
        local.sleep_ns(1_000_000).await;
    }
}

#[test]
fn our_driver_reaches_our_target() {
    let path = folder();
    let at = path.to_str().unwrap().to_string();
    let config = Config { reactors: 2, ..Config::default() };
    let regions = config.regions.clone();
    run(&config, |local| async move {
        let target = serve(&local, &at).await;
        let env = Env { local: local.clone(), regions, helpers: Helpers::new(2).unwrap() };
        // Clients that only say their version and die: each is noticed, and the next one served.
        for _ in 0..3 {
            let peer = Stream::connect_unix(&std::path::Path::new(&at).join("cntrl")).unwrap();
            peer.send(&[1, 0, 1, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]).unwrap();
            until(&local, || target.controllers(NQN).len() == 1).await;
            drop(peer);
            until(&local, || target.controllers(NQN).is_empty()).await;
        }
        let controller = attach(&env, &at).await;
        verify(&controller, 1).await;
        assert_eq!(target.queues(NQN).len(), 2);
        controller.reset().await.unwrap();
        verify(&controller, 2).await;
        controller.detach().await;
        until(&local, || target.controllers(NQN).is_empty()).await;
        // Whoever comes next finds it as new.
        let controller = attach(&env, &at).await;
        verify(&controller, 3).await;
        controller.detach().await;
        // It is taken away, and nothing stays of it.
        target.remove_endpoint(NQN, &at).unwrap();
        assert!(!std::path::Path::new(&at).join("cntrl").exists());
        target.stop(&local, 1_000_000_000).await;
    })
    .unwrap();
    std::fs::remove_dir_all(&path).unwrap();
}
