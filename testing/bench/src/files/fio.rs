//! fio's side.

use super::{Load, Run};
use crate::command::output;
use crate::procfs::children_cpu_s;
use serde_json::Value;
use std::process::Command;

fn command(load: &Load<'_>) -> Command {
    let mut fio = Command::new("fio");
    let depth = load.depth;
    fio.args(["--name=bench", "--output-format=json", "--norandommap", "--randrepeat=0", "--time_based"]);
    fio.arg(format!("--filename={}", load.file.display())).arg(format!("--size={}", load.size_bytes));
    fio.arg(format!("--direct={}", u32::from(load.is_direct))).arg(format!("--ioengine={}", load.engine.fio));
    fio.arg(format!("--rw={}", load.pattern)).arg(format!("--bs={}", load.io_bytes)).arg(format!("--iodepth={depth}"));
    // As many in one system call as there are.
    fio.arg(format!("--iodepth_batch_submit={depth}")).arg("--iodepth_batch_complete_min=1");
    fio.arg(format!("--iodepth_batch_complete_max={depth}"));
    if load.engine.fio == "io_uring" {
        fio.args(["--registerfiles", "--fixedbufs"]);
    }
    fio
}

/// One run.
pub(super) fn run(load: &Load<'_>) -> Result<Run, String> {
    of(command(load).arg(format!("--runtime={}ms", (load.seconds * 1e3).ceil())))
}

/// Seconds of a core that starting and ending takes.
pub(super) fn starting(load: &Load<'_>) -> Result<f64, String> {
    of(command(load).arg("--runtime=1ms")).map(|run| run.cpu_s)
}

fn of(command: &mut Command) -> Result<Run, String> {
    let before = children_cpu_s()?;
    let said = output(command)?;
    let cpu_s = children_cpu_s()? - before;
    // Warnings may come first.
    let json = said.stdout.find('{').and_then(|at| said.stdout.get(at..)).unwrap_or_default();
    let report: Value = serde_json::from_str(json).map_err(|error| format!("fio's report: {error}"))?;
    let job = &report["jobs"][0];
    let sum = |name: &str| ["read", "write"].iter().filter_map(|way| job[way][name].as_f64()).sum::<f64>();
    Ok(Run { ios: sum("total_ios"), iops: sum("iops"), cpu_s })
}
