//! What other programs count of the target: callgrind its instructions, strace its system calls.

use super::host::Host;
use super::load::{self, Stop};
use super::target::{self, Target};
use super::{Case, Options, measure, on_core};
use doorbell_sys::clock;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// User instructions of the target for a command: two runs under callgrind with different counts of commands, start and end left out by
/// the difference.
pub(super) fn instructions(case: &Case, depth: u16, options: &Options) -> Result<f64, String> {
    let (few, many) = if case.io_bytes > 4096 { (500, 1_500) } else { (5_000, 15_000) };
    let (a, b) = (total(case, depth, few, options)?, total(case, depth, many, options)?);
    Ok(b.saturating_sub(a) as f64 / (many - few) as f64)
}

/// A file that goes away.
struct Scratch(PathBuf);

impl Scratch {
    fn new(what: &str) -> Scratch {
        Scratch(std::env::temp_dir().join(format!("doorbell-bench-{}-{what}", std::process::id())))
    }

    fn text(&self) -> Result<String, String> {
        std::fs::read_to_string(&self.0).map_err(|e| format!("{}: {e}", self.0.display()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn total(case: &Case, depth: u16, ios: u64, options: &Options) -> Result<u64, String> {
    let out = Scratch::new("callgrind");
    let mut file = OsString::from("--callgrind-out-file=");
    file.push(&out.0);
    let under = ["valgrind".into(), "--tool=callgrind".into(), file];
    let target = Target::start(options.device, options.target_core, &under)?;
    let address = target.address;
    on_core(options.host_core, || {
        let mut host = Host::connect(address, target::NQN)?;
        load::run(&mut host, &case.job(depth, Stop::AfterIos(ios)), &clock::best())
    })?;
    target.stop()?;
    let text = out.text()?;
    let sum = text.lines().find_map(|l| l.strip_prefix("totals:").or_else(|| l.strip_prefix("summary:")));
    sum.and_then(|n| n.trim().parse().ok()).ok_or_else(|| "callgrind left no total".into())
}

/// Counts the target's system calls with strace during one run, and holds them against what the target counted itself.
pub(super) fn strace(case: &Case, depth: u16, options: &Options) -> Result<(), String> {
    let out = Scratch::new("strace");
    let mut target = Target::start(options.device, options.target_core, &[])?;
    let measured = on_core(options.host_core, || {
        let mut host = Host::connect(target.address, target::NQN)?;
        let clock = clock::best();
        load::run(&mut host, &case.job(depth, Stop::AfterIos(1_000)), &clock)?;
        let mut strace = attach(target.pid(), &out.0)?;
        let stop = Stop::AfterNs((options.seconds * 1e9) as u64);
        let measured = measure(&mut target, &mut host, &case.job(depth, stop), &clock)?;
        interrupt(&mut strace)?;
        Ok(measured)
    })?;
    target.stop()?;
    let each = |n: u64| n as f64 / measured.outcome.ios.max(1) as f64;
    println!(
        "  under strace, {} commands: {:.3} calls each by its own count; by strace:",
        measured.outcome.ios,
        each(measured.spent.calls())
    );
    for line in out.text()?.lines().skip(2) {
        let fields: Vec<_> = line.split_whitespace().collect();
        if let (Some(calls), Some(name)) = (fields.get(3).and_then(|n| n.parse().ok()), fields.last())
            && calls > measured.outcome.ios / 1000
        {
            println!("  {name:>16} {:.3}", each(calls));
        }
    }
    Ok(())
}

/// Starts it and waits until it holds the target.
fn attach(pid: u32, out: &std::path::Path) -> Result<Child, String> {
    let mut strace = Command::new("strace")
        .args(["-c", "-f", "-p", &pid.to_string(), "-o"])
        .arg(out)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("strace does not start ({e}); install it"))?;
    let end = Instant::now() + Duration::from_secs(10);
    let status = format!("/proc/{pid}/status");
    loop {
        let text = std::fs::read_to_string(&status).map_err(|e| e.to_string())?;
        if text.lines().any(|l| l.strip_prefix("TracerPid:").is_some_and(|n| n.trim() != "0")) {
            return Ok(strace);
        }
        if strace.try_wait().map_err(|e| e.to_string())?.is_some() || Instant::now() > end {
            return Err("strace cannot trace the target: it needs ptrace (root, or kernel.yama.ptrace_scope 0)".into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Ends it as a person does, so that it writes its table.
fn interrupt(strace: &mut Child) -> Result<(), String> {
    let done = Command::new("kill").args(["-INT", &strace.id().to_string()]).status().map_err(|e| e.to_string())?;
    if !done.success() {
        return Err("strace has gone".into());
    }
    strace.wait().map_err(|e| e.to_string())?;
    Ok(())
}
