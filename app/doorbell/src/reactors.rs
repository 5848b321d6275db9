//! Methods about the reactors themselves, in the shape in which SPDK's tools read them.
//!
//! SPDK runs several light threads on a reactor; here a reactor runs its consumers directly, so each shows one thread, its own. Times are in
//! nanoseconds, and `tick_rate` says so.

use doorbell_bdev::Registry;
use doorbell_block::ReactorId;
use doorbell_control::{Methods, NoParams, RpcError, When};
use doorbell_reactor::{Load, Local, Polling};
use serde_json::{Value, json};
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Ticks of a second.
const TICK_RATE: u64 = 1_000_000_000;

/// The reactors of this process.
#[derive(Clone)]
pub(crate) struct Reactors {
    /// A handle on the first.
    pub(crate) local: Local,
    /// How busy each is.
    pub(crate) loads: Arc<[Arc<Load>]>,
    /// The CPU that each is pinned to; none, if none is.
    pub(crate) cpus: Arc<[u32]>,
    /// When do they sleep?
    pub(crate) polling: Polling,
    /// The devices whose queues they have.
    pub(crate) registry: Registry,
}

impl Reactors {
    /// What SPDK calls the logical core: the CPU, or the reactor's own number when it is not pinned.
    fn lcore(&self, n: usize) -> u32 {
        self.cpus.get(n).copied().unwrap_or(n as u32)
    }

    fn cpumask(&self, n: usize) -> String {
        match self.cpus.get(n) {
            Some(cpu) if *cpu < 64 => format!("{:x}", 1u64 << cpu),
            Some(cpu) => format!("[{cpu}]"),
            None => "not pinned".to_owned(),
        }
    }

    fn thread(&self, n: usize) -> Value {
        json!({"name": format!("reactor_{n}"), "id": n + 1, "cpumask": self.cpumask(n)})
    }

    /// One object of each reactor, on top of its thread's name, id and mask.
    fn threads(&self, more: impl Fn(usize, &Load) -> Value) -> Value {
        let threads: Vec<Value> = self
            .loads
            .iter()
            .enumerate()
            .map(|(n, load)| {
                let mut thread = self.thread(n);
                if let (Value::Object(thread), Value::Object(more)) = (&mut thread, more(n, load)) {
                    thread.extend(more);
                }
                thread
            })
            .collect();
        json!({"tick_rate": TICK_RATE, "threads": threads})
    }

    fn reactors(&self) -> Value {
        let one = |(n, load): (usize, &Arc<Load>)| {
            let read = load.read();
            let (user, system) = thread_times(read.tid);
            let mut thread = self.thread(n);
            if let Value::Object(thread) = &mut thread {
                thread.insert("elapsed".to_owned(), (read.busy_ns + read.idle_ns).into());
            }
            json!({
                "lcore": self.lcore(n), "numa_id": numa_node(self.cpus.get(n).copied()), "tid": read.tid,
                "busy": read.busy_ns, "idle": read.idle_ns, "in_interrupt": self.polling != Polling::Always,
                "irq": 0, "sys": system, "usr": user, "lw_threads": [thread],
            })
        };
        let reactors: Vec<Value> = self.loads.iter().enumerate().map(one).collect();
        json!({"tick_rate": TICK_RATE, "pid": std::process::id(), "reactors": reactors})
    }

    fn stats(&self) -> Value {
        self.threads(|_, load| {
            let read = load.read();
            let (busy, idle) = (read.busy_ns, read.idle_ns);
            json!({"busy": busy, "idle": idle, "active_pollers_count": 0, "timed_pollers_count": 0, "paused_pollers_count": 0})
        })
    }

    /// Open queues of devices on each reactor.
    fn channels(&self) -> Value {
        let devices = self.registry.all();
        self.threads(|n, _| {
            let channels: Vec<Value> = devices
                .iter()
                .filter_map(|device| {
                    let count = device.queue_stats().iter().filter(|(at, _)| at.0 as usize == n).count();
                    (count > 0).then(|| json!({"name": format!("bdev_{}", device.name()), "ref": count}))
                })
                .collect();
            json!({"io_channels": channels})
        })
    }

    /// How the pools of buffers stand: small ones are those up to SPDK's small size.
    async fn pools(&self) -> Result<Value, RpcError> {
        let mut all = Vec::new();
        for n in 0..self.local.reactors() {
            let stats = self.local.visit(ReactorId(n), |cx| cx.pool().stats()).await;
            let stats = stats.map_err(|gone| RpcError::internal("Internal error").because(gone))?;
            let pool = |small: bool| {
                let of = || stats.iter().filter(|class| (class.size <= SMALL_BYTES) == small);
                let (count, free) = of().fold((0, 0), |(count, free), class| (count + class.count, free + class.free));
                json!({"cache": free, "main": 0, "retry": of().map(|class| class.misses).sum::<u64>(), "cache_size": count})
            };
            all.push(json!({"module": format!("reactor_{n}"), "small_pool": pool(true), "large_pool": pool(false)}));
        }
        Ok(Value::Array(all))
    }

    /// Brings them.
    pub(crate) fn methods(self, methods: &mut Methods) {
        let it = self.clone();
        methods.add(
            "framework_get_reactors",
            When::Runtime,
            "Lists the reactors and how busy they are, in nanoseconds.",
            move |_: NoParams| std::future::ready(Ok(it.reactors())),
        );
        let it = self.clone();
        methods.add("thread_get_stats", When::Runtime, "Says how busy each reactor's thread is, in nanoseconds.", move |_: NoParams| {
            std::future::ready(Ok(it.stats()))
        });
        let it = self.clone();
        let doc = "Lists pollers. There are none to list: a reactor polls only what can be ready, and wakes everything else.";
        methods.add("thread_get_pollers", When::Runtime, doc, move |_: NoParams| {
            let none = |_: usize, _: &Load| json!({"active_pollers": [], "timed_pollers": [], "paused_pollers": []});
            std::future::ready(Ok(it.threads(none)))
        });
        let it = self.clone();
        methods.add("thread_get_io_channels", When::Runtime, "Lists the open queues of devices, by reactor.", move |_: NoParams| {
            std::future::ready(Ok(it.channels()))
        });
        let it = self;
        let doc = "Says how the pools of buffers stand, by reactor: how many there are (cache_size), are free (cache), and were not to be had (retry).";
        methods.add("iobuf_get_stats", When::Runtime, doc, move |_: NoParams| {
            let it = it.clone();
            async move { it.pools().await }
        });
    }
}

/// The largest of SPDK's small buffers.
pub(crate) const SMALL_BYTES: u32 = 8192;

fn numa_node(cpu: Option<u32>) -> i64 {
    cpu.and_then(|cpu| doorbell_sys::cpu::numa_node(doorbell_sys::cpu::CpuId(cpu))).map_or(-1, i64::from)
}

/// Clock ticks in user and kernel code of a thread of this process.
fn thread_times(tid: u64) -> (u64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap_or_default();
    parse_times(&stat).unwrap_or_default()
}

/// Fields 14 and 15 of proc(5)'s stat; the name before them may hold anything, spaces and brackets too.
fn parse_times(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
