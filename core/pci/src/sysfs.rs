//! PCI functions as the kernel shows them: what there is, what uses it, and taking it from its driver and giving it back.
//!
//! Everything is read below a root folder, and every change goes through [`Hands`], so that tests run over a made-up machine.
//!
//! What it is not: it opens no function; it decides nothing about a disk's data but whether there seems to be some.

mod bind;
mod device;
mod disks;
mod hands;
mod host;
mod signature;
#[cfg(test)]
mod tests;
mod users;

pub use bind::{Bound, Driver, Given};
pub use device::{Device, Group, Resource};
pub use disks::{Disk, InUse};
pub use hands::{Hands, Kernel};
pub use host::{Host, HugePages};
pub use users::Process;

use crate::PciError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A machine's PCI functions.
#[derive(Clone)]
pub struct Sysfs {
    root: PathBuf,
    hands: Arc<dyn Hands>,
}

impl Default for Sysfs {
    fn default() -> Self {
        Sysfs::new()
    }
}

impl Sysfs {
    /// This machine's.
    pub fn new() -> Sysfs {
        Sysfs::at("/", Arc::new(Kernel))
    }

    /// Those of a machine whose `/sys`, `/proc`, `/dev` and `/run` stand below `root`.
    pub fn at(root: impl Into<PathBuf>, hands: Arc<dyn Hands>) -> Sysfs {
        Sysfs { root: root.into(), hands }
    }

    /// An absolute path, below the root.
    pub(crate) fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let path = absolute.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn read(&self, absolute: impl AsRef<Path>) -> Option<String> {
        read(&self.path(absolute))
    }

    /// Names in a folder, sorted; none when there is no such folder.
    fn names(&self, absolute: impl AsRef<Path>) -> Vec<String> {
        names(&self.path(absolute))
    }

    fn write(&self, absolute: &Path, text: &str, what: &'static str, function: &str) -> Result<(), PciError> {
        self.hands.write(&self.path(absolute), text).map_err(|e| PciError::system(function, what, e))
    }
}

/// A file's text without the space around it.
fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The last part of what a link leads to.
fn link_name(path: &Path) -> Option<String> {
    let target = std::fs::read_link(path).ok()?;
    target.file_name().and_then(|name| name.to_str()).map(str::to_owned)
}
