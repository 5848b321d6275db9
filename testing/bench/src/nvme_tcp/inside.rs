//! Allocations of the target for a command: target and host in this process, a thread each. The allocator counts for each thread, so
//! the host's do not disturb.

use super::Case;
use super::host::{ENTRIES, Host};
use super::load::{self, Job, Stop};
use super::target::NQN;
use doorbell_backends::null::{Null, NullOptions};
use doorbell_bdev::Registry;
use doorbell_nvmf::{NewNamespace, NewSubsystem, Target, TransportOptions};
use doorbell_reactor::{Config, Local, Sender, oneshot, run};
use doorbell_sys::alloc_count;
use doorbell_sys::{clock, cpu};
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};

/// What the host says after a load.
type Said = Result<(), String>;

/// Allocations of the target's reactor for each of `ios` commands, after a warm-up; `cores` are those of target and host.
pub(super) fn allocations(case: &Case, depth: u16, ios: u64, cores: Option<[u32; 2]>) -> Result<f64, String> {
    let config = Config { cpus: cores.map(|c| vec![cpu::CpuId(c[0])]).unwrap_or_default(), ..Config::default() };
    let jobs = [ios / 5, ios].map(|ios| case.job(depth, Stop::AfterIos(ios)));
    let (result, closed) = run(&config, move |local| count(local, jobs, cores.map(|c| c[1]))).map_err(|e| e.to_string())?;
    if closed.iter().any(|c| c.boxes_out != 0 || c.buffers_out != 0) {
        return Err(format!("{} at depth {depth} lost something: {closed:?}", case.name));
    }
    Ok(result? as f64 / ios as f64)
}

async fn count(local: Local, jobs: [Job; 2], core: Option<u32>) -> Result<u64, String> {
    let target = Target::new();
    let address = serve(&local, &target).await?;
    let (warm, warmed) = oneshot();
    let (go, gone) = mpsc::sync_channel(1); // which sends without an allocation
    let (end, ended) = oneshot();
    let host = std::thread::spawn(move || drive(address, core, &jobs, warm, &gone, end));
    warmed.await.map_err(|e| e.to_string())??;
    let before = alloc_count::allocations();
    go.send(()).map_err(|e| e.to_string())?;
    ended.await.map_err(|e| e.to_string())??;
    let spent = alloc_count::allocations() - before;
    host.join().map_err(|_| "the host has panicked")?;
    target.stop(&local, 1_000_000_000).await;
    Ok(spent)
}

/// The host: two loads, and a word after each.
fn drive(address: SocketAddr, core: Option<u32>, jobs: &[Job; 2], warm: Sender<Said>, go: &mpsc::Receiver<()>, end: Sender<Said>) {
    let clock = clock::best();
    let pinned = core.map_or(Ok(()), |core| cpu::pin_current(cpu::CpuId(core)).map_err(|e| e.to_string()));
    let mut host = match pinned.and_then(|()| Host::connect(address, NQN)) {
        Ok(host) => host,
        Err(why) => return warm.send(Err(why)),
    };
    let first = load::run(&mut host, &jobs[0], &clock).map(drop);
    let well = first.is_ok();
    warm.send(first);
    if well && go.recv().is_ok() {
        end.send(load::run(&mut host, &jobs[1], &clock).map(drop));
    }
}

/// Serves a null device, all services on, as `doorbell serve` does.
async fn serve(local: &Local, target: &Target) -> Result<SocketAddr, String> {
    let options = TransportOptions { max_queue_depth: ENTRIES, ..TransportOptions::default() };
    let text = |e: doorbell_nvmf::TargetError| e.to_string();
    target.create_transport(options).map_err(text)?;
    target.start(local).await.map_err(|e| e.to_string())?;
    target.create_subsystem(NewSubsystem { allow_any_host: true, ..NewSubsystem::new(NQN) }).map_err(text)?;
    let null = Arc::new(Null::new(&NullOptions::new(9, 1 << 17)));
    let namespace = NewNamespace {
        nsid: None,
        device: crate::path::registered(&Registry::new(), "bench0", null)?,
        name: "bench0".into(),
        uuid: *b"doorbell bench  ",
        nguid: None,
        eui64: None,
        read_only: false,
    };
    target.add_namespace(NQN, namespace).map_err(text)?;
    target.add_listener(local, NQN, "127.0.0.1", "0").await.map_err(text)
}

#[cfg(test)]
mod tests;
