//! Where to listen, and whether that is only this machine.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

#[cfg(test)]
mod tests;

/// NVMe over Fabrics' own port.
pub(crate) const DEFAULT_PORT: u16 = 4420;

/// Why an address cannot be listened at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// Not an address.
    #[error("--listen {0}: write ADDRESS:PORT, [IPV6]:PORT or NAME:PORT")]
    Syntax(String),
    /// A name without an address.
    #[error("--listen {text}: {source}")]
    Unknown {
        /// What was given.
        text: String,
        /// What the resolver says.
        source: std::io::Error,
    },
    /// Others could come, and nobody said who may.
    #[error(
        "{0} can be reached from other machines, and no host is allowed yet: name those that may connect (--allow-host NQN), or let every host in (--allow-any-host). Without --listen, only this machine can connect"
    )]
    NobodyAllowed(SocketAddr),
    /// Nobody could come.
    #[error(
        "no host may connect yet: name those that may (--allow-host NQN; a Linux host's stands in its /etc/nvme/hostnqn{}), or let every host in (--allow-any-host)",
        .0.as_ref().map(|nqn| format!(", this machine's is {nqn}")).unwrap_or_default()
    )]
    NobodyNamed(Option<String>),
}

/// Reads an address or looks a name up. A name may have several addresses.
pub(crate) fn resolve(text: &str) -> Result<Vec<SocketAddr>, ListenError> {
    let syntax = || ListenError::Syntax(text.to_owned());
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(syntax)?;
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(syntax)?) };
            (host, port)
        }
        None if text.parse::<IpAddr>().is_ok() => (text, None), // an IPv6 address without brackets, too
        None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port: u16 = port.map_or(Ok(DEFAULT_PORT), str::parse).map_err(|_| syntax())?;
    if host.is_empty() || host.contains(['/', ' ', ',']) {
        return Err(syntax());
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let unknown = |source| ListenError::Unknown { text: text.to_owned(), source };
    let mut found: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(unknown)?.collect();
    found.sort();
    found.dedup();
    if found.is_empty() {
        return Err(unknown(std::io::Error::other("the name has no address")));
    }
    Ok(found)
}

/// Who is let in without being named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unnamed {
    /// Whoever is on this machine: the embedded default.
    ThisMachine,
    /// Nobody.
    Nobody,
}

/// Refuses to serve what nobody may reach, or what others can reach while nobody was allowed.
pub(crate) fn check(addresses: &[SocketAddr], hosts_named: bool, unnamed: Unnamed) -> Result<(), ListenError> {
    if hosts_named {
        return Ok(());
    }
    if unnamed == Unnamed::Nobody {
        let own = std::fs::read_to_string("/etc/nvme/hostnqn").ok();
        let own = own.map(|nqn| nqn.trim().to_owned()).filter(|nqn| nqn.starts_with("nqn.") && nqn.len() <= 223);
        return Err(ListenError::NobodyNamed(own));
    }
    match addresses.iter().find(|address| !is_loopback(address.ip())) {
        Some(open) => Err(ListenError::NobodyAllowed(*open)),
        None => Ok(()),
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
