//! Our host against our target, each the release binary on a core of its own: `perf block` over vfio-user and over NVMe/TCP.
//!
//! The target serves memory, so each byte is copied once; what the transport adds is the rest. Both sides poll, and each is told how much
//! of a core a request cost it. Instructions are those of the target in user space, by callgrind, with a null device in place of memory, whose
//! copy is not the target's: the host runs free meanwhile, so that the target, which is fifty times slower then, has work
//! most of the time. Where the host is starved it has not: turns that found nothing are in the count.

use crate::bench::{self, Bench};
use crate::command::{doorbell, output};
use crate::procfs::cpu_s;
use crate::target::{NQN, Target};
use clap::Args;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::Path;

/// Over vfio-user.
pub(crate) const VFIO_USER: Bench =
    Bench::of::<VfioUser>("vfio-user", "Our driver against our target over vfio-user: IOPS, GB/s, CPU, the target's instructions");
/// Over NVMe/TCP.
pub(crate) const TCP_HOST: Bench =
    Bench::of::<TcpHost>("tcp-host", "Our initiator against our target over NVMe/TCP: IOPS, GB/s, CPU, the target's instructions");

/// The flags of both.
#[derive(Args)]
struct Flags {
    /// Only this depth
    #[arg(long)]
    depth: Option<u32>,
    /// Only requests of so many bytes
    #[arg(long)]
    io_bytes: Option<u32>,
    /// What the load does
    #[arg(long, default_value = "randread")]
    pattern: String,
    /// Seconds of a run
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Runs of which the fastest is told
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Core of the target
    #[arg(long, default_value_t = 0)]
    target_core: u32,
    /// Core of the host
    #[arg(long, default_value_t = 1)]
    host_core: u32,
    /// Leave out the counting of instructions, which needs valgrind
    #[arg(long)]
    no_instructions: bool,
}

/// Over vfio-user.
#[derive(Args)]
pub(crate) struct VfioUser {
    #[command(flatten)]
    flags: Flags,
}

/// Over NVMe/TCP.
#[derive(Args)]
pub(crate) struct TcpHost {
    #[command(flatten)]
    flags: Flags,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    VfioUser,
    Tcp,
}

impl bench::Options for VfioUser {
    fn run(&self) -> Result<(), String> {
        table(Way::VfioUser, &self.flags)
    }
}

impl bench::Options for TcpHost {
    fn run(&self) -> Result<(), String> {
        table(Way::Tcp, &self.flags)
    }
}

const DEPTHS: [u32; 3] = [1, 32, 128];
/// The namespaces of the target: memory, and nothing.
const MEMORY: &str = "Nvme0n1";
const NOTHING: &str = "Nvme0n2";
const SIZES: [u32; 2] = [4 << 10, 128 << 10];
/// Seconds of the two loads under callgrind, whose difference is what counts.
const COUNTED_S: [f64; 2] = [1.0, 3.0];

/// One load.
struct Load<'a> {
    way: Way,
    io_bytes: u32,
    depth: u32,
    flags: &'a Flags,
}

/// What came of it.
#[derive(Clone, Copy)]
struct Run {
    ios: f64,
    iops: f64,
    p50_ns: f64,
    p99_ns: f64,
    host_ns: f64,
    target_ns: f64,
}

fn table(way: Way, flags: &Flags) -> Result<(), String> {
    println!(
        "{}, {} of memory, perf block; target on core {}, host on core {}; fastest of {} runs of {} s",
        if way == Way::Tcp { "NVMe/TCP on loopback" } else { "vfio-user" },
        flags.pattern,
        flags.target_core,
        flags.host_core,
        flags.runs,
        flags.seconds
    );
    println!(
        "{:>8} {:>5} {:>9} {:>7} {:>8} {:>8} {:>12} {:>12} {:>8}",
        "bytes", "depth", "IOPS", "GB/s", "p50 µs", "p99 µs", "host ns/io", "target ns/io", "instr"
    );
    for io_bytes in SIZES.into_iter().filter(|n| flags.io_bytes.is_none_or(|only| only == *n)) {
        for depth in DEPTHS.into_iter().filter(|d| flags.depth.is_none_or(|only| only == *d)) {
            line(&Load { way, io_bytes, depth, flags })?;
        }
    }
    println!("instr: the target's, for one request; at depth 1 its waiting is among them, so they are not counted there");
    Ok(())
}

fn line(load: &Load<'_>) -> Result<(), String> {
    let mut target = start(load, &[])?;
    let mut best = once(load, &mut target, MEMORY, load.flags.seconds)?;
    for _ in 1..load.flags.runs {
        let next = once(load, &mut target, MEMORY, load.flags.seconds)?;
        if next.iops > best.iops {
            best = next;
        }
    }
    drop(target);
    let instructions = match load.flags.no_instructions || load.depth == 1 {
        true => String::new(),
        false => instructions(load).map_or_else(|_| "?".into(), |n| format!("{n:.0}")),
    };
    println!(
        "{:>8} {:>5} {:>9.0} {:>7.2} {:>8.1} {:>8.1} {:>12.0} {:>12.0} {:>8}",
        load.io_bytes,
        load.depth,
        best.iops,
        best.iops * f64::from(load.io_bytes) / 1e9,
        best.p50_ns / 1e3,
        best.p99_ns / 1e3,
        best.host_ns,
        best.target_ns,
        instructions
    );
    Ok(())
}

/// Starts the target; with `under` beneath that program.
fn start(load: &Load<'_>, under: &[OsString]) -> Result<Target, String> {
    let core = format!("[{}]", load.flags.target_core);
    let mut target = Target::start_under(under, &["--malloc", "64M", "-m", &core])?;
    target.reach()?;
    target.rpc(&["bdev_null_create", "name=null0", "block_size=512", "num_blocks=131072"])?;
    target.rpc(&["nvmf_subsystem_add_ns", &format!("nqn={NQN}"), "namespace.bdev_name=null0"])?;
    if load.way == Way::VfioUser {
        let folder = target.folder().join("endpoint");
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        target.rpc(&["nvmf_create_transport", "trtype=VFIOUSER"])?;
        let (nqn, traddr) = (format!("nqn={NQN}"), format!("listen_address.traddr={}", folder.display()));
        target.rpc(&["nvmf_subsystem_add_listener", &nqn, "listen_address.trtype=VFIOUSER", &traddr])?;
    }
    let config = json!({"subsystems": [{"subsystem": "bdev", "config":
        [{"method": "bdev_nvme_attach_controller", "params": controller(load.way, &target)}]}]});
    std::fs::write(target.folder().join("host.json"), config.to_string()).map_err(|e| e.to_string())?;
    Ok(target)
}

fn controller(way: Way, target: &Target) -> Value {
    match way {
        Way::VfioUser => json!({"name": "Nvme0", "trtype": "VFIOUSER", "traddr": target.folder().join("endpoint")}),
        Way::Tcp => json!({"name": "Nvme0", "trtype": "TCP", "traddr": target.address.ip().to_string(),
            "trsvcid": target.address.port().to_string(), "subnqn": NQN}),
    }
}

fn once(load: &Load<'_>, target: &mut Target, device: &str, seconds: f64) -> Result<Run, String> {
    let before = cpu_s(target.pid())?;
    let said = output(&mut host(load, target.folder(), device, seconds)?)?;
    let spent = cpu_s(target.pid())? - before;
    let last = said.stdout.lines().last().unwrap_or_default();
    let report: Value = serde_json::from_str(last).map_err(|error| format!("perf block printed `{last}`: {error}"))?;
    let figure = |name: &str| report.get(name).and_then(Value::as_f64).ok_or_else(|| format!("perf block told no {name}"));
    if figure("errors")? > 0.0 {
        return Err(format!("requests failed: {last}"));
    }
    let ios = figure("ios")?;
    Ok(Run {
        ios,
        iops: figure("iops")?,
        p50_ns: figure("p50_ns")?,
        p99_ns: figure("p99_ns")?,
        host_ns: figure("cpu_ns_per_io")?,
        target_ns: spent * 1e9 / ios.max(1.0),
    })
}

/// The host.
fn host(load: &Load<'_>, folder: &Path, device: &str, seconds: f64) -> Result<std::process::Command, String> {
    let mut command = doorbell()?;
    let words = ["perf", "block", "--json", "--destroy-data", "--config", "host.json", "--device", device];
    command.current_dir(folder).args(words).args(["--pattern", &load.flags.pattern, "--io-size", &load.io_bytes.to_string()]);
    command.args(["--queue-depth", &load.depth.to_string(), "--time", &seconds.to_string()]);
    command.args(["--cores", &format!("[{}]", load.flags.host_core)]);
    Ok(command)
}

/// The target's instructions for a request: two targets under callgrind with loads of different length, and the difference.
fn instructions(load: &Load<'_>) -> Result<f64, String> {
    let [few, many] = COUNTED_S.map(|seconds| counted(load, seconds));
    let ((few_ios, few), (many_ios, many)) = (few?, many?);
    Ok((many - few) / (many_ios - few_ios).max(1.0))
}

fn counted(load: &Load<'_>, seconds: f64) -> Result<(f64, f64), String> {
    let out = std::env::temp_dir().join(format!("doorbell-bench-{}-target", std::process::id()));
    let mut file = OsString::from("--callgrind-out-file=");
    file.push(&out);
    let mut target = start(load, &["valgrind".into(), "--tool=callgrind".into(), file])?;
    let run = once(load, &mut target, NOTHING, seconds)?;
    target.stop()?;
    let text = std::fs::read_to_string(&out).map_err(|e| format!("callgrind left no {}: {e}", out.display()))?;
    let _ = std::fs::remove_file(&out);
    let sum = text.lines().find_map(|l| l.strip_prefix("totals:").or_else(|| l.strip_prefix("summary:")));
    let total: Option<f64> = sum.and_then(|n| n.trim().parse().ok());
    Ok((run.ios, total.ok_or("callgrind left no total")?))
}
