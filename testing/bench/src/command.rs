//! Running the binary that is measured, and its peers.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What a program printed.
pub(crate) struct Said {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The binary to measure: `DOORBELL_BIN`, or the one built beside this program.
pub(crate) fn doorbell() -> Result<Command, String> {
    let beside = || std::env::current_exe().ok().and_then(|me| Some(me.parent()?.join("doorbell")));
    let binary = std::env::var_os("DOORBELL_BIN").map(PathBuf::from).or_else(beside).filter(|binary| binary.is_file());
    let binary = binary.ok_or("there is no binary to measure: build it (cargo build --release), or name it in DOORBELL_BIN")?;
    let mut command = Command::new(binary);
    command.env_remove("XDG_RUNTIME_DIR").env_remove("NOTIFY_SOCKET");
    Ok(command)
}

/// Runs it to its end; an error when it does not start or does not succeed.
pub(crate) fn output(command: &mut Command) -> Result<Said, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name} does not start: {error}"))?;
    let said = Said { stdout: text(&output.stdout), stderr: text(&output.stderr) };
    match output.status.success() {
        true => Ok(said),
        false => Err(format!("{name} ended with {}: {}", output.status, said.stderr.lines().last().unwrap_or_default())),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
