//! Which programs have a function open.

use super::{Device, Sysfs, names, read};
use std::path::PathBuf;

/// A program that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// What it is called.
    pub name: String,
}

impl Sysfs {
    /// The nodes through which programs reach a function that was taken from its driver.
    pub fn nodes(&self, device: &Device) -> Vec<PathBuf> {
        match device.driver.as_deref() {
            Some("vfio-pci") => device.group.iter().map(super::Group::node).collect(),
            Some("uio_pci_generic" | "igb_uio") => {
                let uios = self.names(self.folder(device.address).join("uio"));
                uios.into_iter().map(|name| PathBuf::from("/dev").join(name)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Who has it open, as far as the caller may see: root sees all.
    pub fn users(&self, device: &Device) -> Vec<Process> {
        let nodes = self.nodes(device);
        if nodes.is_empty() {
            return Vec::new();
        }
        let pids = self.names("/proc").into_iter().filter_map(|name| name.parse::<u32>().ok());
        pids.filter(|pid| self.has_open(*pid, &nodes)).map(|pid| Process { pid, name: self.process_name(pid) }).collect()
    }

    fn has_open(&self, pid: u32, nodes: &[PathBuf]) -> bool {
        let folder = self.path(format!("/proc/{pid}/fd"));
        let targets = names(&folder).into_iter().filter_map(|fd| std::fs::read_link(folder.join(fd)).ok());
        targets.into_iter().any(|target| nodes.contains(&target))
    }

    fn process_name(&self, pid: u32) -> String {
        // A process chooses its name: nothing in it may move a terminal's cursor.
        let name = read(&self.path(format!("/proc/{pid}/comm"))).unwrap_or_default();
        name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
    }
}
