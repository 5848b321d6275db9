//! Serves a memory device over NVMe/TCP: `cargo run --example serve -- 4420 [MIB [REACTORS]]`.

use doorbell_nvmf::{MemoryDevice, NewNamespace, NewSubsystem, Target, TransportOptions};
use doorbell_reactor::{Config, Local, run};
use std::sync::Arc;

const NQN: &str = "nqn.2026-11.io.doorbell:example";

async fn serve(local: Local, port: String, mib: u64) {
    let target = Target::new();
    target.create_transport(TransportOptions::default()).expect("options");
    target.start(&local).await.expect("groups");
    target.create_subsystem(NewSubsystem { allow_any_host: true, ..NewSubsystem::new(NQN) }).expect("subsystem");
    let namespace = NewNamespace {
        nsid: None,
        device: Arc::new(MemoryDevice::new(9, mib << 11)),
        name: "memory0".to_string(),
        uuid: *b"doorbell-example",
        nguid: None,
        eui64: None,
        read_only: false,
    };
    target.add_namespace(NQN, namespace).expect("namespace");
    let bound = target.add_listener(&local, NQN, "127.0.0.1", &port).await.expect("listener");
    println!("nvme connect -t tcp -a {} -s {} -n {NQN}", bound.ip(), bound.port());
    local.sleep_ns(u64::MAX / 2).await;
}

fn main() {
    let mut args = std::env::args().skip(1);
    let port = args.next().unwrap_or_else(|| "4420".to_string());
    let mib = args.next().and_then(|a| a.parse().ok()).unwrap_or(64);
    let reactors = args.next().and_then(|a| a.parse().ok()).unwrap_or(1);
    let config = Config { reactors, ..Config::default() };
    run(&config, |local| serve(local, port, mib)).expect("reactors");
}
