//! What the kernel says of processes: time on cores, switches, memory.

use std::fs;

/// Ticks of a second in `/proc` (USER_HZ, fixed on every architecture that this runs on).
const TICKS: f64 = 100.0;

/// Seconds of cores that a process has used, all its threads together, those that have ended included.
pub(crate) fn cpu_s(pid: u32) -> Result<f64, String> {
    ticks(&read(pid, "stat")?, [14, 15])
}

/// Seconds of cores that this process's children have used, of those that have been waited for.
pub(crate) fn children_cpu_s() -> Result<f64, String> {
    ticks(&read(std::process::id(), "stat")?, [16, 17])
}

/// Times that the threads of a process have gone to sleep by themselves: as often were they woken.
pub(crate) fn sleeps(pid: u32) -> Result<u64, String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| format!("process {pid}: {error}"))?;
    let of = |thread: fs::DirEntry| {
        // A thread may end meanwhile.
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        field(&status, "voluntary_ctxt_switches:")
    };
    Ok(threads.flatten().filter_map(of).sum())
}

/// Resident memory of a process in KiB: now, and the most it ever had.
pub(crate) fn resident_kib(pid: u32) -> Result<[u64; 2], String> {
    let status = read(pid, "status")?;
    let get = |name| field(&status, name).ok_or_else(|| format!("process {pid} has no {name}"));
    Ok([get("VmRSS:")?, get("VmHWM:")?])
}

/// Bytes that this process has had fetched from disks.
pub(crate) fn fetched_bytes() -> Result<u64, String> {
    let text = read(std::process::id(), "io")?;
    field(&text, "read_bytes:").ok_or_else(|| "the kernel does not count what is read".to_owned())
}

fn read(pid: u32, name: &str) -> Result<String, String> {
    fs::read_to_string(format!("/proc/{pid}/{name}")).map_err(|error| format!("process {pid}: {error}"))
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The sum of two numbered fields of `stat` (proc_pid_stat(5)), in seconds.
fn ticks(stat: &str, numbers: [usize; 2]) -> Result<f64, String> {
    // The name, in parentheses, may hold spaces: the third field follows the last one.
    let rest = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let get = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let sum = numbers.into_iter().map(get).sum::<Option<u64>>();
    sum.map(|ticks| ticks as f64 / TICKS).ok_or_else(|| "the kernel's stat is not as it was".to_owned())
}

#[cfg(test)]
mod tests;
