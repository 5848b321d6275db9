//! Who this machine is among NVMe hosts.

use doorbell_control::Uuid;
use doorbell_nvme::HostName;

/// The name of a host that connects: `nqn`, or else this machine's, as its own NVMe tools have it, or else one made of `process`, sixteen bytes
/// that no other process has. Its number is the one in its name, where that holds one, so that both stay together; otherwise `process`.
pub fn host_name(nqn: Option<String>, process: [u8; 16]) -> HostName {
    let nqn = nqn.unwrap_or_else(|| default_name(process));
    let in_name = nqn.rsplit_once("uuid:").and_then(|(_, uuid)| uuid.parse::<Uuid>().ok());
    HostName { id: in_name.map_or(process, |uuid| uuid.0), nqn }
}

fn default_name(process: [u8; 16]) -> String {
    let kept = std::fs::read_to_string("/etc/nvme/hostnqn").unwrap_or_default();
    match kept.trim() {
        "" => format!("nqn.2014-08.org.nvmexpress:uuid:{}", Uuid::from_random(process)),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
