//! What guests boot from, and the lock that lets one run at a time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::GuestError;

/// The folder of this crate, which holds the scripts.
const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// The folder that holds the guests' kernel: `DOORBELL_VM_CACHE`, or `.cache/vm` of the workspace.
#[must_use]
pub fn cache() -> PathBuf {
    match std::env::var_os("DOORBELL_VM_CACHE") {
        Some(folder) => folder.into(),
        None => Path::new(HERE).ancestors().nth(2).unwrap_or(Path::new(HERE)).join(".cache/vm"),
    }
}

/// The right to run a guest, with all it boots from; others wait until it is dropped.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) cache: PathBuf,
    /// Holds the lock for as long as it is open.
    _lock: File,
}

impl Image {
    /// Waits until no other guest runs, then makes the image if it is not there yet.
    pub(crate) fn take() -> Result<Image, GuestError> {
        require("qemu-system-x86_64", "qemu-system-x86")?;
        let cache = cache();
        fs::create_dir_all(&cache).map_err(GuestError::io(format!("cannot make {}", cache.display())))?;
        let path = cache.join("lock");
        let lock = File::create(&path).map_err(GuestError::io(format!("cannot make {}", path.display())))?;
        lock.lock().map_err(GuestError::io(format!("cannot lock {}", path.display())))?;
        let made = script("make-image.sh").arg(&cache).output().map_err(GuestError::io("cannot run make-image.sh"))?;
        if !made.status.success() {
            return Err(GuestError::Image(String::from_utf8_lossy(&made.stderr).trim().to_owned()));
        }
        Ok(Image { cache, _lock: lock })
    }

    /// Whether hardware virtualisation is of use here.
    pub(crate) fn has_kvm() -> bool {
        let probe = script("probe-kvm.sh").stderr(Stdio::null()).output();
        probe.is_ok_and(|output| output.stdout.starts_with(b"kvm"))
    }
}

fn script(name: &str) -> Command {
    let mut command = Command::new(Path::new(HERE).join("scripts").join(name));
    command.stdin(Stdio::null());
    command
}

fn require(program: &'static str, package: &'static str) -> Result<(), GuestError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if is_there { Ok(()) } else { Err(GuestError::Missing { program, package }) }
}
