//! Real reactors: one OS thread each, the first on the caller's own.

use crate::Load;
use crate::local::Local;
use crate::reactor::{Fifo, Polling, Reactor, ReactorParts};
use doorbell_block::{CxParts, Message, Port, ReactorId};
use doorbell_mem::{MemError, Pool, PoolSpec, Regions};
use doorbell_sys::clock::AnyClock;
use doorbell_sys::cpu::CpuId;
use doorbell_sys::{clock, cpu, epoll::Poller, ring, wakeup};
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;

/// How many reactors, and how each is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many, when `cpus` is empty.
    pub reactors: u32,
    /// One reactor pinned to each of these; none: not pinned.
    pub cpus: Vec<CpuId>,
    /// When they sleep.
    pub polling: Polling,
    /// Boxes of each.
    pub boxes: u32,
    /// Buffers of each.
    pub pool: PoolSpec,
    /// Messages that fit in an inbox.
    pub inbox: usize,
    /// Where their memory is registered.
    pub regions: Regions,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            reactors: 1,
            cpus: Vec::new(),
            polling: Polling::Adaptive { spin_ns: 20_000 },
            boxes: 8192,
            pool: PoolSpec::default(),
            inbox: 1024,
            regions: Regions::new(),
        }
    }
}

/// Why reactors did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No memory.
    #[error(transparent)]
    Memory(#[from] MemError),
    /// The kernel refused a thread, an eventfd or an epoll.
    #[error("cannot start reactor {reactor}: {source}")]
    System {
        /// Which.
        reactor: u32,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

/// How a reactor ended. Both counts are zero unless something was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Which.
    pub reactor: ReactorId,
    /// Boxes that never came back.
    pub boxes_out: u32,
    /// Buffers that never came back.
    pub buffers_out: u32,
}

type Inbox = (ring::Receiver<Message>, wakeup::Sleeper);

fn make(n: u32, config: &Config, clock: AnyClock, ports: Vec<Port>, inbox: Inbox) -> Result<Reactor<AnyClock, Fifo>, StartError> {
    let system = |source: std::io::Error| StartError::System { reactor: n, source };
    let mut spec = config.pool.clone();
    if let Some(cpu) = config.cpus.get(n as usize) {
        cpu::pin_current(*cpu).map_err(|e| system(std::io::Error::other(e)))?;
        spec.node = spec.node.or(cpu::numa_node(*cpu));
    }
    // The first reactor runs on the caller's thread, whose name is the process's: it keeps it.
    let pool = Pool::new(&config.regions, &spec)?;
    let poller = Poller::new().map_err(system)?;
    let (inbox, sleeper) = inbox;
    let cx = CxParts { id: ReactorId(n), boxes: config.boxes, pool, ports, poller: Some(poller) };
    let mut reactor = Reactor::new(ReactorParts { cx, inbox, sleeper: Some(sleeper), clock, order: Fifo, polling: config.polling });
    reactor.set_tid(thread_id());
    Ok(reactor)
}

/// This thread's number, as the kernel knows it; zero where /proc is not mounted.
fn thread_id() -> u64 {
    let link = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    link.file_name().and_then(|n| n.to_str()?.parse().ok()).unwrap_or(0)
}

/// Starts the reactors, runs `main` on the first until it ends, stops the others, and says how each closed.
pub fn run<T: 'static, F: Future<Output = T> + 'static>(
    config: &Config,
    main: impl FnOnce(Local) -> F,
) -> Result<(T, Vec<Closed>), StartError> {
    run_with_loads(config, |local, _| main(local))
}

/// As `run`; `main` also gets how busy each reactor is.
pub fn run_with_loads<T: 'static, F: Future<Output = T> + 'static>(
    config: &Config,
    main: impl FnOnce(Local, Vec<Arc<Load>>) -> F,
) -> Result<(T, Vec<Closed>), StartError> {
    let count = if config.cpus.is_empty() { config.reactors.max(1) } else { config.cpus.len() as u32 };
    let clock = clock::best();
    let mut ports = Vec::new();
    let mut inboxes = Vec::new();
    for n in 0..count {
        let (sender, receiver) = ring::ring(config.inbox);
        let (sleeper, notifier) = wakeup::pair().map_err(|source| StartError::System { reactor: n, source })?;
        ports.push(Port { sender, notifier });
        inboxes.push((receiver, sleeper));
    }
    let mut inboxes = inboxes.into_iter();
    let Some(first_inbox) = inboxes.next() else { unreachable!("there is at least one reactor") };
    let (started, starting) = mpsc::channel();
    let mut threads = Vec::new();
    for (n, inbox) in (1..count).zip(inboxes) {
        let (config, ports, started) = (config.clone(), ports.clone(), started.clone());
        let body = move || match make(n, &config, clock, ports, inbox) {
            Ok(mut reactor) => {
                let _ = started.send((n, Ok(reactor.load())));
                reactor.run();
                Some(reactor.close())
            }
            Err(e) => {
                let _ = started.send((n, Err(e)));
                None
            }
        };
        let thread = std::thread::Builder::new().name(format!("reactor-{n}")).spawn(body);
        threads.push(thread.map_err(|source| StartError::System { reactor: n, source })?);
    }
    drop(started);
    let first = make(0, config, clock, ports.clone(), first_inbox);
    let mut loads: Vec<Arc<Load>> = (0..count).map(|_| Arc::default()).collect();
    let mut failed = None;
    for (n, outcome) in starting.iter().take(count as usize - 1) {
        match outcome {
            Ok(load) => loads[n as usize] = load,
            Err(e) => failed = Some(e),
        }
    }
    let outcome = match (first, failed) {
        (Ok(mut reactor), None) => {
            loads[0] = reactor.load();
            Ok((run_main(&mut reactor, |local| main(local, loads)), reactor))
        }
        (Err(e), _) | (_, Some(e)) => Err(e),
    };
    for port in ports.iter().skip(1) {
        stop(port);
    }
    // The first closes while the others still answer; then they are waited for.
    let mut closed = Vec::new();
    let outcome = outcome.map(|(value, reactor)| {
        closed.push(reactor.close());
        value
    });
    closed.extend(threads.into_iter().filter_map(|t| t.join().ok().flatten()));
    outcome.map(|value| (value, closed))
}

fn run_main<T: 'static, F: Future<Output = T> + 'static>(reactor: &mut Reactor<AnyClock, Fifo>, main: impl FnOnce(Local) -> F) -> T {
    let local = reactor.local();
    let result = Rc::new(RefCell::new(None));
    let (there, stopper) = (result.clone(), local.clone());
    let future = main(local.clone());
    local.spawn(async move {
        let value = future.await;
        *there.borrow_mut() = Some(value);
        stopper.call(|cx| cx.stop());
    });
    reactor.run();
    let value = result.borrow_mut().take();
    match value {
        Some(v) => v,
        None => unreachable!("the first reactor stops only when main has ended"),
    }
}

/// Asks a reactor to stop; its inbox may be full for a moment.
fn stop(port: &Port) {
    let mut message = Message::Visit(Box::new(|cx| cx.stop()));
    while let Err(doorbell_block::SendError(m)) = port.send(message) {
        message = m;
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests;
