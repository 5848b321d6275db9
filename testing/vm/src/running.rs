//! A guest that runs, and what it leaves.

use std::fmt;
use std::fs;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use crate::GuestError;
use crate::image::Image;
use crate::qemu::RunFolder;

/// How often a running guest is looked at: short beside its boot.
const LOOK: Duration = Duration::from_millis(10);
/// How much of a guest's console an error shows, in lines.
const CONSOLE_LINES: usize = 30;

/// What a script printed, and its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Its exit status.
    pub status: i32,
}

impl Output {
    /// Whether the status is zero.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == 0
    }
}

/// For the message of a failed assertion.
impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}\n--- stdout\n{}--- stderr\n{}", self.status, self.stdout, self.stderr)
    }
}

/// A guest that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    folder: RunFolder,
    /// Held so that no other guest starts.
    _image: Image,
    start: Instant,
    timeout: Duration,
}

impl Running {
    pub(crate) fn new(child: Child, folder: RunFolder, image: Image, timeout: Duration) -> Self {
        Running { child, folder, _image: image, start: Instant::now(), timeout }
    }

    /// What the script has printed so far on its standard output.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// Waits until the script has printed a line that is `line`, for `limit` at most.
    pub fn wait_for(&mut self, line: &str, limit: Duration) -> Result<(), GuestError> {
        let end = Instant::now() + limit;
        loop {
            let has_ended = self.has_ended()?;
            if self.stdout().lines().any(|printed| printed == line) {
                return Ok(());
            }
            if has_ended {
                return Err(GuestError::Died { seen: self.seen() });
            }
            if Instant::now() > end {
                return Err(self.timed_out(limit));
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits for the script's end.
    pub fn wait(mut self) -> Result<Output, GuestError> {
        while !self.has_ended()? {
            if self.start.elapsed() > self.timeout {
                return Err(self.timed_out(self.timeout));
            }
            thread::sleep(LOOK);
        }
        let Ok(status) = self.read("status").trim().parse() else {
            return Err(GuestError::Died { seen: self.seen() });
        };
        Ok(Output { stdout: self.read("stdout"), stderr: self.read("stderr"), status })
    }

    fn has_ended(&mut self) -> Result<bool, GuestError> {
        let status = self.child.try_wait().map_err(GuestError::io("cannot wait for QEMU"))?;
        Ok(status.is_some())
    }

    fn timed_out(&self, limit: Duration) -> GuestError {
        GuestError::TimedOut { after_s: limit.as_secs(), seen: self.seen() }
    }

    /// All that there is to read about a guest that went wrong.
    fn seen(&self) -> String {
        let console = self.read("console");
        let lines: Vec<&str> = console.lines().collect();
        let tail = lines[lines.len().saturating_sub(CONSOLE_LINES)..].join("\n");
        let booted = if self.read("booted").is_empty() { "the script had not begun" } else { "the script had begun" };
        format!(
            "{booted}\n--- stdout\n{}--- stderr\n{}--- QEMU\n{}--- console\n{tail}",
            self.read("stdout"),
            self.read("stderr"),
            self.read("qemu")
        )
    }

    /// A file of the run folder; one that is not there yet is empty.
    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
