//! One run: the driver on a reactor, the responder in a thread of its own or, to count what always comes out the same, in the driver's.

use super::responder::Responder;
use doorbell::perf::block::{Generator, Job, Outcome, Pattern, Stop};
use doorbell_block::DeviceId;
use doorbell_mem::{ClassSpec, PoolSpec, Regions};
use doorbell_nvme::{Controller, Env, Options};
use doorbell_nvme_model::{DiskSpec, Model, Plan, SimFunction};
use doorbell_reactor::{Config, Load, Local, Polling, oneshot, run_with_loads};
use doorbell_sim::Entropy;
use doorbell_sys::alloc_count::allocations;
use doorbell_sys::cpu::{self, CpuId};
use doorbell_sys::helper::Helpers;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Bytes of a request.
pub(super) const IO_BYTES: u32 = 4096;

/// What is asked of the driver.
#[derive(Clone, Copy)]
pub(super) struct Work {
    pub(super) pattern: Pattern,
    pub(super) depth: u32,
    pub(super) ios: u64,
}

/// Where the responder is.
#[derive(Clone, Copy)]
pub(super) enum Device {
    /// In a thread of its own; the cores of the driver and of the responder.
    Beside([u32; 2]),
    /// In the driver's thread: so many answers a turn, at most.
    Inside(u32),
}

/// What came of it.
#[derive(Clone, Copy)]
pub(super) struct Measured {
    pub(super) ns: f64,
    /// Allocations of the driver's thread in the whole run.
    pub(super) allocations: u64,
    /// Of the driver's time, what went into turns that found nothing.
    pub(super) driver_waited: f64,
    /// Of the responder's looks, those that found no command.
    pub(super) responder_waited: f64,
}

/// Runs it.
pub(super) fn run(work: Work, device: Device) -> Result<Measured, String> {
    let plan = Plan { mqes: 1023, ..Plan::honest() };
    let disk = DiskSpec { nsid: 1, shift: 9, blocks: 1 << 15 };
    let model = Model::new(plan, Entropy::new(1), &[disk]).map_err(|e| e.to_string())?;
    match device {
        Device::Inside(most) => drive(work, &model, vec![], Some(most)),
        Device::Beside([own, other]) => {
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let beside = scope.spawn(|| respond(&model, other, &stop));
                let driven = drive(work, &model, vec![CpuId(own)], None);
                stop.store(true, Ordering::Relaxed);
                let waited = beside.join().map_err(|_| "the responder has panicked")??;
                driven.map(|measured| Measured { responder_waited: waited, ..measured })
            })
        }
    }
}

/// The responder's thread. Of its looks between the first and the last command, the share that found none.
fn respond(model: &Arc<Mutex<Model>>, core: u32, stop: &AtomicBool) -> Result<f64, String> {
    cpu::pin_current(CpuId(core)).map_err(|e| e.to_string())?;
    let mut responder = Responder::new(model, u32::MAX);
    let (mut looks, mut empty, mut empty_since) = (0u64, 0u64, 0u64);
    while !stop.load(Ordering::Relaxed) {
        if responder.respond() > 0 {
            (looks, empty, empty_since) = (looks + 1, empty + empty_since, 0);
        } else if looks > 0 {
            empty_since += 1;
        }
    }
    Ok(empty as f64 / (looks + empty).max(1) as f64)
}

fn drive(work: Work, model: &Arc<Mutex<Model>>, cpus: Vec<CpuId>, inside: Option<u32>) -> Result<Measured, String> {
    let classes = vec![ClassSpec { size: IO_BYTES, count: work.depth + 64 }, ClassSpec { size: 64 << 10, count: 8 }];
    let pool = PoolSpec { classes, ..PoolSpec::default() };
    let regions = Regions::new();
    let config = Config { cpus, boxes: work.depth + 64, pool, polling: Polling::Always, regions: regions.clone(), ..Config::default() };
    let helpers = Helpers::new(1).map_err(|e| e.to_string())?;
    let model = model.clone();
    let started = run_with_loads(&config, |local, loads| async move {
        let others = match inside {
            Some(most) => sit_inside(&local, &model, most).await?,
            None => Arc::default(),
        };
        let env = Env { local, regions, helpers };
        let function = SimFunction::new(&model).ok_or("no memory for a function")?;
        let options = Options { io_queue_entries: 1024, ..Options::default() };
        let controller = Controller::attach(&env, "bench", function, options).await.map_err(|e| e.to_string())?;
        let measured = load(&env.local, &controller, work, (&others, loads.first())).await;
        controller.detach().await;
        measured
    });
    let (measured, closed) = started.map_err(|e| e.to_string())?;
    if closed.iter().any(|c| c.boxes_out != 0 || c.buffers_out != 0) {
        return Err(format!("depth {}: something was lost: {closed:?}", work.depth));
    }
    measured
}

/// Puts the responder on the reactor, which keeps a source that is busy.
async fn sit_inside(local: &Local, model: &Arc<Mutex<Model>>, most: u32) -> Result<Arc<AtomicU64>, String> {
    let responder = Responder::new(model, most);
    let allocated = responder.allocated();
    local.with(move |cx| cx.local_source(DeviceId::new(), |_| Ok(responder)).map(|_| allocated)).await
}

/// `others` are allocations of this thread that are not the driver's.
async fn load(
    local: &Local,
    controller: &Controller,
    work: Work,
    (others, load): (&AtomicU64, Option<&Arc<Load>>),
) -> Result<Measured, String> {
    let namespace = controller.namespaces().into_iter().next().ok_or("it has no namespace")?;
    let job = Job { depth: work.depth, stop: Stop::AfterIos(work.ios), ..Job::new(work.pattern, IO_BYTES) };
    let (tx, rx) = oneshot();
    let before = load.map(|load| load.read()).unwrap_or_default();
    load_begins();
    let started = local.with(move |cx| Generator::start(cx, &*namespace, &job, tx)).await;
    started.map_err(|e| e.to_string())?;
    let driver_allocations = || allocations() - others.load(Ordering::Relaxed);
    let allocated = driver_allocations();
    let outcome: Outcome = rx.await.map_err(|e| e.to_string())?;
    load_ended();
    let (allocations, after) = (driver_allocations() - allocated, load.map(|load| load.read()).unwrap_or_default());
    if outcome.errors.iter().any(|n| *n > 0) {
        return Err(format!("requests failed: {:?}", outcome.errors));
    }
    let (idle, busy) = (after.idle_ns - before.idle_ns, after.busy_ns - before.busy_ns);
    Ok(Measured {
        ns: outcome.elapsed_ns as f64 / outcome.ios.max(1) as f64,
        allocations,
        driver_waited: idle as f64 / (idle + busy).max(1) as f64,
        responder_waited: 0.0,
    })
}

/// Where counting begins.
#[inline(never)]
fn load_begins() {
    std::hint::black_box(1);
}

/// Where it ends.
#[inline(never)]
fn load_ended() {
    std::hint::black_box(2);
}
