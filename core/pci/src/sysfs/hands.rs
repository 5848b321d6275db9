//! What changes a machine: writes to the kernel's files, and its module tools.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// Who carries changes out.
pub trait Hands: Send + Sync {
    /// Writes all of `text` to a file that is there, in one call.
    fn write(&self, path: &Path, text: &str) -> io::Result<()>;
    /// Loads a module (or whatever stands behind an alias), with all it needs.
    fn modprobe(&self, module: &str) -> io::Result<()>;
}

/// The real ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel;

impl Hands for Kernel {
    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        use io::Write;
        std::fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
    }

    fn modprobe(&self, module: &str) -> io::Result<()> {
        // Where the tool lies is no secret to root's PATH, but to that of sudo and of some services.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let mut command = Command::new("modprobe");
        command.args(["-q", "--", module]).env("PATH", path).stdin(Stdio::null());
        let output = command.output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let said = if said.is_empty() { format!("modprobe {module} found no such module") } else { said };
        Err(io::Error::other(said))
    }
}
