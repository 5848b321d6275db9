//! Instructions per request, by valgrind's callgrind: this program runs itself twice with different counts of requests, and the difference is
//! what the requests cost, start and end left out.

use std::process::{Command, Stdio};

/// Instructions of one request of `case`, or why they could not be counted.
pub(crate) fn per_request(case: &str, depth: u32) -> Result<f64, String> {
    let (few, many) = (20_000u64, 60_000u64);
    let (a, b) = (total(case, depth, few)?, total(case, depth, many)?);
    Ok(b.saturating_sub(a) as f64 / (many - few) as f64)
}

fn total(case: &str, depth: u32, ios: u64) -> Result<u64, String> {
    let me = std::env::current_exe().map_err(|e| format!("cannot find myself: {e}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(me)
        .args(["path", "--only", case, "--depth", &depth.to_string(), "--exactly", &ios.to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("valgrind does not start ({e}); install it to count instructions"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let refs = text.lines().find_map(|l| l.split_once("refs:")).map(|(_, n)| n.trim().replace(',', ""));
    refs.and_then(|n| n.parse().ok()).ok_or_else(|| format!("callgrind said no count: {}", text.lines().last().unwrap_or("")))
}
