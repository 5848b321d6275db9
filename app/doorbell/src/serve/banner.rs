//! What is printed once everything is served: what, where, and the commands that connect to it.

use crate::size::Size;
use std::fmt::Write;
use std::net::SocketAddr;

#[cfg(test)]
mod tests;

/// What to say.
pub(crate) struct Banner<'a> {
    /// Names of the devices, with their sizes in bytes.
    pub(crate) devices: &'a [(String, u64)],
    /// The subsystem's name.
    pub(crate) nqn: &'a str,
    /// Where it listens.
    pub(crate) listens: &'a [SocketAddr],
    /// The hosts that may connect; none: any.
    pub(crate) hosts: &'a [String],
    /// The RPC socket, if it is not where clients look first.
    pub(crate) socket: Option<&'a str>,
    /// Volume stores, in words.
    pub(crate) stores: &'a [String],
    /// What somebody may want next.
    pub(crate) next: Next<'a>,
}

/// What somebody may want next who sees it serve.
pub(crate) enum Next<'a> {
    /// Nothing that can be guessed.
    Nothing,
    /// A volume in this store.
    Volume {
        /// Its file.
        path: &'a str,
    },
    /// A store instead of a plain file.
    Store,
}

impl Banner<'_> {
    /// The text, for a person.
    pub(crate) fn text(&self) -> String {
        let mut out = format!("Doorbell {} serves\n", env!("CARGO_PKG_VERSION"));
        for (name, bytes) in self.devices {
            let _ = writeln!(out, "    {name}  {}", Size(*bytes));
        }
        for store in self.stores {
            let _ = writeln!(out, "    {store}");
        }
        out.push_str("over NVMe/TCP at\n");
        for at in self.listens {
            let _ = writeln!(out, "    {at}");
        }
        match self.hosts {
            [] => out.push_str("to any host\n"),
            hosts => {
                out.push_str("to the host with the NQN\n");
                for nqn in hosts {
                    let _ = writeln!(out, "    {nqn}");
                }
            }
        }
        let Some(first) = self.listens.first() else { return out };
        let (address, port) = (reached(first), first.port());
        let nqn = self.nqn;
        let _ = writeln!(
            out,
            "\nTo connect, as root{}:\n    modprobe nvme-tcp\n    nvme discover -t tcp -a {address} -s {port}\n    nvme connect -t tcp -a {address} -s {port} -n {nqn}\n\
             and to disconnect:\n    nvme disconnect -n {nqn}\n",
            if first.ip().to_canonical().is_loopback() { " on this machine" } else { "" }
        );
        let socket = self.socket.map(|path| format!(" -s {path}")).unwrap_or_default();
        match self.next {
            Next::Nothing => {}
            Next::Volume { path } => {
                let _ = writeln!(out, "To make a volume, which is served at once:\n    doorbell volume create {path} NAME 10G{socket}\n");
            }
            Next::Store => {
                let _ = writeln!(out, "For thin volumes, snapshots and clones in one file, start with `--volume-store FILE,size=100G`.");
            }
        }
        let _ = writeln!(out, "`doorbell status{socket}` shows what goes on. Ctrl-C stops.");
        out
    }
}

/// The address that a host connects to: for a wildcard, this machine's name.
fn reached(at: &SocketAddr) -> String {
    if !at.ip().is_unspecified() {
        return at.ip().to_string();
    }
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) if !name.trim().is_empty() => name.trim().to_owned(),
        _ => "ADDRESS".to_owned(),
    }
}
