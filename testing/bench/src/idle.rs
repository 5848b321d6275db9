//! What a server costs that has nothing to do, and what it costs a request to wake it.
//!
//! A request is a Property Get of a connected host that sleeps until the answer comes: one small message each way, which the target answers
//! without a device. The same request through a target that polls is what it is compared with, one after the other, several times.

use crate::bench::{self, Bench};
use crate::figures::median;
use crate::procfs;
use crate::target::{NQN, Target};
use clap::Args;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// This benchmark.
pub(crate) const BENCH: Bench =
    Bench::of::<Options>("idle", "A server with nothing to do: its time on a core, its wakes, and a request that wakes it");

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Seconds that the idle server is watched
    #[arg(long, default_value_t = 10.0)]
    time: f64,
    /// Requests of a round
    #[arg(long, default_value_t = 100)]
    requests: u32,
    /// Rounds through each of the two
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Milliseconds between two requests, in which the target falls asleep
    #[arg(long, default_value_t = 5)]
    pause_ms: u64,
}

/// Both have one reactor: two that poll would leave no core to the host on a small machine.
const FLAGS: [&str; 5] = ["--malloc", "64M", "--allow-any-host", "-m", "0x1"];

impl bench::Options for Options {
    fn run(&self) -> Result<(), String> {
        for hosts in [0, 1] {
            self.watch(hosts)?;
        }
        let mut sleeping = Vec::new();
        let mut polling = Vec::new();
        for _ in 0..self.rounds {
            sleeping.extend(self.requests("adaptive")?);
            polling.extend(self.requests("always")?);
        }
        println!("a request, {} each way, {} ms apart; one reactor", sleeping.len(), self.pause_ms);
        let [asleep, awake] = [told("through a sleeping target", sleeping), told("through a polling target", polling)];
        println!("{:28} {:>9.1} µs more (budget 100)", "to wake it", asleep - awake);
        Ok(())
    }
}

/// Prints a line of round trips, in microseconds, and gives their median.
fn told(what: &str, mut trips: Vec<f64>) -> f64 {
    trips.sort_by(f64::total_cmp);
    let at = |percent: usize| trips.get(trips.len() * percent / 100).copied().unwrap_or(0.0);
    println!("{what:28} {:>9.1} µs (10 %: {:.1}, 90 %: {:.1}, 99 %: {:.1})", at(50), at(10), at(90), at(99));
    median(trips)
}

impl Options {
    /// Watches a server that has the usual reactors and `hosts` connected hosts.
    fn watch(&self, hosts: usize) -> Result<(), String> {
        let mut target = Target::start(&FLAGS[..2])?;
        let mut connected = vec![];
        for _ in 0..hosts {
            let mut host = target.reach()?;
            host.connect(NQN)?;
            connected.push(host);
        }
        drop(target.reach()?);
        // What it does once, after a host has come or gone, is over by then.
        sleep(Duration::from_secs(1));
        let (cpu, woken, began) = (procfs::cpu_s(target.pid())?, procfs::sleeps(target.pid())?, Instant::now());
        sleep(Duration::from_secs_f64(self.time));
        let seconds = began.elapsed().as_secs_f64();
        let cpu = procfs::cpu_s(target.pid())? - cpu;
        let woken = procfs::sleeps(target.pid())?.saturating_sub(woken);
        println!(
            "idle for {seconds:.0} s with {hosts} hosts: {:.2} % of a core (budget 1), woken {:.1} times a second",
            cpu / seconds * 100.0,
            woken as f64 / seconds
        );
        Ok(())
    }

    /// Round trips in microseconds through a target that polls so.
    fn requests(&self, poll: &str) -> Result<Vec<f64>, String> {
        let mut target = Target::start(&[&FLAGS[..], &["--poll", poll]].concat())?;
        let mut host = target.reach()?;
        host.connect(NQN)?;
        let mut trips = Vec::new();
        // The first ones find everything cold.
        for n in 0..self.requests + 5 {
            sleep(Duration::from_millis(self.pause_ms));
            let began = Instant::now();
            host.status()?;
            if n >= 5 {
                trips.push(began.elapsed().as_nanos() as f64 / 1e3);
            }
        }
        Ok(trips)
    }
}
