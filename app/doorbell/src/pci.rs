//! `doorbell pci`: finding devices, taking them from the kernel, giving them back, and saying how things are.
//!
//! What there is and what changes it is `doorbell_pci::sysfs`; here are the words, the users and what survives a restart.

mod bind;
mod list;
mod persist;
mod status;
#[cfg(test)]
mod tests;

use crate::cli::PciCommand;
use doorbell_pci::PciError;
use doorbell_pci::sysfs::{Device, Process, Sysfs};
use std::io::{self, Write};
use std::path::PathBuf;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// With a function.
    #[error(transparent)]
    Pci(#[from] PciError),
    /// With a file.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something else, in words.
    #[error("{0}")]
    Words(String),
}

/// Does it, for this machine. False when part of it did not work, which was said.
pub(crate) fn pci(command: &PciCommand) -> Result<bool, Failed> {
    let machine = Machine { sysfs: Sysfs::new(), root: "/".into() };
    let mut out = io::stdout().lock();
    match command {
        PciCommand::List(args) => machine.list(args, &mut out).map(|()| true),
        PciCommand::Bind(args) => machine.bind(args, &mut out),
        PciCommand::Unbind(args) => machine.unbind(args, &mut out),
        PciCommand::Reset(args) => machine.reset(args, &mut out),
        PciCommand::Status(args) => machine.status(args, &mut out).map(|()| true),
    }
}

/// A machine: its functions, and where its files stand.
struct Machine {
    sysfs: Sysfs,
    root: PathBuf,
}

/// A line for people. Nobody reading any more is no reason to stop half-way.
fn say(out: &mut dyn Write, line: impl AsRef<str>) {
    let _ = writeln!(out, "{}", line.as_ref());
}

fn said(users: &[Process]) -> String {
    users.iter().map(|user| format!("{} ({})", user.name, user.pid)).collect::<Vec<_>>().join(", ")
}

fn ids(device: &Device) -> String {
    format!("{:04x}:{:04x}", device.vendor, device.device)
}

fn group(device: &Device) -> String {
    match &device.group {
        Some(group) if group.is_noiommu => format!("{} (no IOMMU)", group.number),
        Some(group) => group.number.to_string(),
        None => "-".to_owned(),
    }
}
