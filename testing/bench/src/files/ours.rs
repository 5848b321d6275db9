//! Our side: the binary, as a person would run it.

use super::{Load, Run};
use crate::command::{doorbell, output};
use crate::procfs::children_cpu_s;
use serde_json::Value;
use std::process::Command;

fn arguments(load: &Load<'_>, seconds: f64) -> Vec<String> {
    let device = format!("{},engine={}", load.file.display(), load.engine.ours);
    let (io_size, depth, time) = (load.io_bytes.to_string(), load.depth.to_string(), seconds.to_string());
    let words = ["perf", "block", "--json", "--destroy-data", "--device", &device, "--pattern", load.pattern];
    let more = ["--io-size", &io_size, "--queue-depth", &depth, "--time", &time, "--poll", load.poll];
    words.into_iter().chain(more).map(String::from).collect()
}

/// One run.
pub(super) fn run(load: &Load<'_>) -> Result<Run, String> {
    of(doorbell()?.args(arguments(load, load.seconds)))
}

/// Seconds of a core that starting and ending takes.
pub(super) fn starting(load: &Load<'_>) -> Result<f64, String> {
    of(doorbell()?.args(arguments(load, SHORT_S))).map(|run| run.cpu_s)
}

const SHORT_S: f64 = 0.001;

fn of(command: &mut Command) -> Result<Run, String> {
    let before = children_cpu_s()?;
    let said = output(command)?;
    let cpu_s = children_cpu_s()? - before;
    let last = said.stdout.lines().last().unwrap_or_default();
    let report: Value = serde_json::from_str(last).map_err(|error| format!("perf block printed `{last}`: {error}"))?;
    let figure = |name: &str| report.get(name).and_then(Value::as_f64).ok_or_else(|| format!("perf block told no {name}"));
    if figure("errors")? > 0.0 {
        return Err(format!("requests failed: {last}"));
    }
    Ok(Run { ios: figure("ios")?, iops: figure("iops")?, cpu_s })
}

/// System calls of a request, all threads together, counted by strace; those of starting and ending are left out.
pub(super) fn calls_per_request(load: &Load<'_>) -> Result<f64, String> {
    let (few, few_ios) = calls(load, SHORT_S)?;
    let (many, many_ios) = calls(load, load.seconds)?;
    Ok(many.saturating_sub(few) as f64 / (many_ios - few_ios).max(1.0))
}

fn calls(load: &Load<'_>, seconds: f64) -> Result<(u64, f64), String> {
    let doorbell = doorbell()?;
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-U", "calls,name", "-o", "/dev/stderr"]).arg(doorbell.get_program()).args(arguments(load, seconds));
    let said = output(&mut strace).map_err(|_| "strace?".to_owned())?;
    let last = said.stdout.lines().last().unwrap_or_default();
    let report: Value = serde_json::from_str(last).map_err(|error| error.to_string())?;
    let ios = report.get("ios").and_then(Value::as_f64).unwrap_or(0.0);
    let total = said.stderr.lines().rev().find_map(|line| line.trim().strip_suffix("total")?.trim().parse().ok());
    total.map(|calls| (calls, ios)).ok_or_else(|| "strace told no total".to_owned())
}
