//! Running other programs: shown before they start, given no input, ended with all they started when their time is over.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often a running program is looked at. Short beside anything a stage runs.
const LOOK: Duration = Duration::from_millis(20);

/// Runs `command` with the terminal's output and no input; `Err` says why it did not succeed.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<(), String> {
    let line = words(command);
    println!("$ {}{line}", environment(command));
    let mut child = command.stdin(Stdio::null()).spawn().map_err(|error| format!("cannot run `{line}`: {error}"))?;
    let end = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("`{line}` ended with {}", told(status))),
            Ok(None) if Instant::now() < end => thread::sleep(LOOK),
            Ok(None) => {
                end_family(child.id());
                // Reaps it; that it was killed is known.
                let _ = child.wait();
                return Err(format!("`{line}` was still running after {} s and was killed", limit.as_secs()));
            }
            Err(error) => return Err(format!("cannot wait for `{line}`: {error}")),
        }
    }
}

/// Runs `command` unseen and gives its standard output, or why there is none.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let line = words(command);
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("cannot run `{line}`: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("`{line}` ended with {}: {}", told(output.status), String::from_utf8_lossy(&output.stderr).trim()))
}

/// Where the program called `name` lies, if it is installed.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    // A user's PATH often lacks the folders where nvme and friends are.
    let path = format!("{}:/usr/local/sbin:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    path.split(':').map(|folder| Path::new(folder).join(name)).find(|file| file.is_file())
}

/// The command as one could type it.
fn words(command: &Command) -> String {
    let program = std::iter::once(command.get_program());
    let words = program.chain(command.get_args()).map(|word| quoted(&word.to_string_lossy()));
    words.collect::<Vec<_>>().join(" ")
}

/// What one would type before the command; what all get alike (see `Context::command`) is left out.
fn environment(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(name, value)| Some((name.to_string_lossy(), value?.to_string_lossy())));
    let told = set.filter(|(name, _)| name != "PATH" && name != "DOORBELL_BIN");
    told.map(|(name, value)| format!("{name}={} ", quoted(&value))).collect()
}

fn quoted(word: &str) -> String {
    let is_plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./=:,+@%".contains(c));
    if is_plain { word.to_owned() } else { format!("'{word}'") }
}

fn told(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("status {code}"))
}

/// Kills a process and all it started, children of children included.
fn end_family(id: u32) {
    let ids = family(id, &parents());
    let ids = ids.iter().map(u32::to_string);
    // What has ended meanwhile is no error.
    let _ = Command::new("kill").arg("-9").args(ids).stderr(Stdio::null()).status();
}

/// `id` and its descendants, given (process, parent) pairs.
fn family(id: u32, parents: &[(u32, u32)]) -> BTreeSet<u32> {
    let mut members = BTreeSet::from([id]);
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(child, parent)| members.contains(parent) && !members.contains(child))
            .map(|&(child, _)| child)
            .collect();
        if more.is_empty() {
            return members;
        }
        members.extend(more);
    }
}

fn parents() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pair = |entry: fs::DirEntry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name, in parentheses, may hold spaces: what follows the last one is "state parent ..".
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((id, parent))
    };
    entries.filter_map(pair).collect()
}

#[cfg(test)]
mod tests;
