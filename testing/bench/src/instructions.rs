//! Instructions per request, by valgrind's callgrind, which runs this program again.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What a run of this program costs, told by functions of it: callgrind's patterns of their names.
pub(crate) struct Between<'a> {
    /// Counting begins when this is entered.
    pub(crate) begins: &'a str,
    /// And ends when this is.
    pub(crate) ends: &'a str,
    /// What does not count, nor what it calls.
    pub(crate) left_out: &'a str,
}

/// Instructions of one request of a run with these words, to which the count of requests is added: two runs with different counts, and the
/// difference, so that start and end are left out.
pub(crate) fn per_request(words: &[&str]) -> Result<f64, String> {
    per_request_of(words, [20_000, 60_000])
}

/// The same for what takes longer than a request: of a run with the first count and one with the second.
pub(crate) fn per_request_of(words: &[&str], [few, many]: [u64; 2]) -> Result<f64, String> {
    let total = |ios| {
        let said = callgrind(&["--callgrind-out-file=/dev/null".to_owned()], words, ios)?;
        let refs = said.lines().find_map(|l| l.split_once("refs:")).map(|(_, n)| n.trim().replace(',', ""));
        refs.and_then(|n| n.parse::<u64>().ok()).ok_or_else(|| format!("callgrind said no count: {}", said.lines().last().unwrap_or("")))
    };
    let (a, b) = (total(few)?, total(many)?);
    Ok(b.saturating_sub(a) as f64 / (many - few) as f64)
}

/// Instructions of one request of a run with these words, between two functions that it calls once each: for programs that do much else
/// at their start and end, and not always the same.
pub(crate) fn per_request_between(words: &[&str], between: &Between<'_>) -> Result<f64, String> {
    let ios = 40_000;
    let folder = Folder::new()?;
    let options = [
        format!("--callgrind-out-file={}", folder.0.join("out").display()),
        format!("--zero-before={}", between.begins),
        format!("--dump-before={}", between.ends),
        format!("--toggle-collect={}", between.left_out),
        // Said after the toggle, which begins with nothing being collected.
        "--collect-atstart=yes".to_owned(),
    ];
    callgrind(&options, words, ios)?;
    // The first part is what was counted up to the dump; what follows is the end of the program.
    let part = folder.0.join("out.1");
    let text = std::fs::read_to_string(&part).map_err(|e| format!("callgrind left no {}: {e}", part.display()))?;
    let sum = text.lines().find_map(|l| l.strip_prefix("totals:").or_else(|| l.strip_prefix("summary:")));
    let total: Option<u64> = sum.and_then(|n| n.trim().parse().ok());
    total.map(|n| n as f64 / ios as f64).ok_or_else(|| "callgrind left no total".to_owned())
}

/// Runs this program under callgrind; what valgrind said.
fn callgrind(options: &[String], words: &[&str], ios: u64) -> Result<String, String> {
    let me = std::env::current_exe().map_err(|e| format!("cannot find myself: {e}"))?;
    let mut valgrind = Command::new("valgrind");
    // A reactor that polls would otherwise keep its helper threads from running for minutes.
    valgrind.args(["--fair-sched=yes", "--tool=callgrind"]).args(options).arg(me).args(words).args(["--exactly", &ios.to_string()]);
    let output = valgrind.stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("valgrind does not start ({e}); install it to count instructions"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stderr).into_owned()),
        false => Err(format!("the run under callgrind ended with {}", output.status)),
    }
}

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder, String> {
        let folder = std::env::temp_dir().join(format!("doorbell-bench-{}-callgrind", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(Folder(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
