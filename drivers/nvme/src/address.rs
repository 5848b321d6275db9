//! Where a controller is: transport identifiers, written as SPDK writes them.
//!
//! `trtype:TCP adrfam:IPv4 traddr:10.0.0.1 trsvcid:4420 subnqn:nqn.2026-11.io.example:disks`: keys in any case, each followed by `:` or `=`
//! and a value without blanks, separated by blanks. A PCI address alone (`0000:01:00.0`) is a PCIe function.
//!
//! What it is not: it resolves no name unless asked to, and finds nothing out about what is there.

use doorbell_wire_nvme::log::DiscoveryEntry;
use doorbell_wire_nvme::{AddressFamily, DISCOVERY_NQN, NQN_LEN_MAX, TransportType};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// The port of NVMe over TCP, when none is given.
pub const PORT: &str = "4420";
/// The port of discovery over TCP, when none is given.
pub const DISCOVERY_PORT: &str = "8009";

const EXAMPLE: &str = "trtype:TCP traddr:10.0.0.1 trsvcid:4420 subnqn:nqn.2026-11.io.example:disks, or trtype:PCIe traddr:0000:01:00.0";

/// A text that names no controller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} (as in: {EXAMPLE})")]
pub struct BadAddress {
    what: String,
}

fn bad(what: impl Into<String>) -> BadAddress {
    BadAddress { what: what.into() }
}

/// Which kind of numbers an address has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        })
    }
}

/// A subsystem over TCP, and how to go there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TcpAddress {
    /// Which addresses of a name are used; `None` for any.
    pub family: Option<Family>,
    /// A number or a host name.
    pub address: String,
    /// A port.
    pub service: String,
    /// The subsystem's NQN; the discovery subsystem's when none was given.
    pub subsystem: String,
    /// Who connects, where that is not the process's choice.
    pub host: Option<String>,
    /// An address of this machine to connect from.
    pub source_address: Option<String>,
    /// A port of this machine to connect from.
    pub source_service: Option<String>,
    /// Priority of the socket, 0 for none.
    pub priority: u32,
}

/// Where a controller is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TransportId {
    /// A PCI function, `0000:01:00.0`.
    Pcie {
        /// Domain, bus, device and function, in full and in lower case.
        address: String,
    },
    /// A folder in which a vfio-user server has its socket.
    VfioUser {
        /// The folder.
        folder: String,
    },
    /// A subsystem over TCP.
    Tcp(TcpAddress),
}

/// What the keys said.
#[derive(Default)]
struct Keys {
    trtype: Option<String>,
    adrfam: Option<String>,
    traddr: Option<String>,
    trsvcid: Option<String>,
    subnqn: Option<String>,
    hostnqn: Option<String>,
    hostaddr: Option<String>,
    hostsvcid: Option<String>,
    priority: Option<String>,
}

impl Keys {
    fn read(text: &str) -> Result<Keys, BadAddress> {
        let mut keys = Keys::default();
        for word in text.split_ascii_whitespace() {
            let Some((key, value)) = word.find([':', '=']).and_then(|at| Some((word.get(..at)?, word.get(at + 1..)?))) else {
                return Err(bad(format!("\"{word}\" is no key with a value: write key:value")));
            };
            if value.is_empty() {
                return Err(bad(format!("{key} has no value")));
            }
            let place = match key.to_ascii_lowercase().as_str() {
                "trtype" => &mut keys.trtype,
                "adrfam" => &mut keys.adrfam,
                "traddr" => &mut keys.traddr,
                "trsvcid" => &mut keys.trsvcid,
                "subnqn" => &mut keys.subnqn,
                "hostnqn" => &mut keys.hostnqn,
                "hostaddr" => &mut keys.hostaddr,
                "hostsvcid" => &mut keys.hostsvcid,
                "priority" => &mut keys.priority,
                _ => {
                    let known = "trtype, adrfam, traddr, trsvcid, subnqn, hostnqn, hostaddr, hostsvcid and priority";
                    return Err(bad(format!("there is no key \"{key}\": there are {known}")));
                }
            };
            if place.replace(value.to_owned()).is_some() {
                return Err(bad(format!("{key} is given twice")));
            }
        }
        Ok(keys)
    }

    fn is_empty_but_for_traddr(&self) -> Result<(), BadAddress> {
        let others = [
            ("adrfam", &self.adrfam),
            ("trsvcid", &self.trsvcid),
            ("subnqn", &self.subnqn),
            ("hostnqn", &self.hostnqn),
            ("hostaddr", &self.hostaddr),
            ("hostsvcid", &self.hostsvcid),
            ("priority", &self.priority),
        ];
        match others.iter().find(|(_, value)| value.is_some()) {
            Some((key, _)) => Err(bad(format!("{key} means nothing for this trtype: leave it out"))),
            None => Ok(()),
        }
    }
}

/// `[domain:]bus:device.function` in hexadecimal, made whole.
fn pci(text: &str) -> Option<String> {
    let (place, function) = text.split_once('.')?;
    let mut parts = place.split(':').rev();
    let (device, bus, domain) = (parts.next()?, parts.next()?, parts.next().unwrap_or("0000"));
    let number = |text: &str, digits: usize, most: u32| {
        let fits = !text.is_empty() && text.len() <= digits && text.bytes().all(|b| b.is_ascii_hexdigit());
        u32::from_str_radix(text, 16).ok().filter(|n| fits && *n <= most)
    };
    let (domain, bus) = (number(domain, 8, u32::MAX)?, number(bus, 2, 0xff)?);
    let (device, function) = (number(device, 2, 0x1f)?, number(function, 1, 7)?);
    parts.next().is_none().then(|| format!("{domain:04x}:{bus:02x}:{device:02x}.{function}"))
}

fn port(key: &str, text: &str, lowest: u16) -> Result<String, BadAddress> {
    match text.parse::<u16>() {
        Ok(port) if port >= lowest => Ok(port.to_string()),
        _ => Err(bad(format!("{key} is \"{text}\": it must be a port, {lowest} to 65535"))),
    }
}

fn nqn(key: &str, text: String) -> Result<String, BadAddress> {
    if text.len() > NQN_LEN_MAX || text.chars().any(char::is_control) {
        return Err(bad(format!("{key} is no NQN: at most {NQN_LEN_MAX} bytes without control characters")));
    }
    Ok(text)
}

impl TcpAddress {
    /// A subsystem at an address, with defaults for the rest.
    pub fn new(address: &str, service: &str, subsystem: &str) -> TcpAddress {
        TcpAddress {
            family: None,
            address: address.to_owned(),
            service: service.to_owned(),
            subsystem: subsystem.to_owned(),
            host: None,
            source_address: None,
            source_service: None,
            priority: 0,
        }
    }

    fn of(keys: Keys) -> Result<TcpAddress, BadAddress> {
        let address = keys.traddr.ok_or_else(|| bad("traddr is missing: the target's address or host name"))?;
        let family = match keys.adrfam.as_deref() {
            None => None,
            Some(text) if text.eq_ignore_ascii_case("IPv4") => Some(Family::Ipv4),
            Some(text) if text.eq_ignore_ascii_case("IPv6") => Some(Family::Ipv6),
            Some(text) => return Err(bad(format!("adrfam is \"{text}\": over TCP it is IPv4 or IPv6"))),
        };
        match (family, address.parse::<IpAddr>()) {
            (Some(Family::Ipv4), Ok(IpAddr::V6(_))) => return Err(bad("adrfam is IPv4 and traddr is an IPv6 address")),
            (Some(Family::Ipv6), Ok(IpAddr::V4(_))) => return Err(bad("adrfam is IPv6 and traddr is an IPv4 address")),
            _ => {}
        }
        let subsystem = nqn("subnqn", keys.subnqn.unwrap_or_else(|| DISCOVERY_NQN.to_owned()))?;
        let usual = if subsystem == DISCOVERY_NQN { DISCOVERY_PORT } else { PORT };
        let priority = match keys.priority.as_deref() {
            None => 0,
            Some(text) => text.parse().map_err(|_| bad(format!("priority is \"{text}\": it must be a number")))?,
        };
        Ok(TcpAddress {
            family,
            address,
            service: port("trsvcid", keys.trsvcid.as_deref().unwrap_or(usual), 1)?,
            subsystem,
            host: keys.hostnqn.map(|name| nqn("hostnqn", name)).transpose()?,
            source_address: keys.hostaddr,
            source_service: keys.hostsvcid.map(|text| port("hostsvcid", &text, 0)).transpose()?,
            priority,
        })
    }

    /// Is it a discovery subsystem, by its well-known name?
    pub fn is_discovery(&self) -> bool {
        self.subsystem == DISCOVERY_NQN
    }

    /// The socket addresses to try, in turn. A host name is looked up, which may take long: call it where that holds nothing up.
    pub fn resolve(&self) -> Result<Vec<SocketAddr>, ResolveError> {
        lookup("traddr", &self.address, &self.service, self.family)
    }

    /// The address to connect from, if one was given. As [`TcpAddress::resolve`].
    pub fn resolve_source(&self) -> Result<Option<SocketAddr>, ResolveError> {
        if self.source_address.is_none() && self.source_service.is_none() {
            return Ok(None);
        }
        let any = if self.family == Some(Family::Ipv6) || self.address.contains(':') { "::" } else { "0.0.0.0" };
        let address = self.source_address.as_deref().unwrap_or(any);
        let found = lookup("hostaddr", address, self.source_service.as_deref().unwrap_or("0"), self.family)?;
        Ok(found.first().copied())
    }
}

/// A name that leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("{key} \"{name}\" has no {family}address: {source}")]
pub struct ResolveError {
    key: &'static str,
    name: String,
    family: String,
    source: io::Error,
}

fn lookup(key: &'static str, name: &str, service: &str, family: Option<Family>) -> Result<Vec<SocketAddr>, ResolveError> {
    let said = family.map_or(String::new(), |family| format!("{family} "));
    let failed = |source: io::Error| ResolveError { key, name: name.to_owned(), family: said.clone(), source };
    let port = service.parse::<u16>().map_err(|e| failed(io::Error::new(io::ErrorKind::InvalidInput, e)))?;
    let wanted = |address: &SocketAddr| match family {
        None => true,
        Some(Family::Ipv4) => address.is_ipv4(),
        Some(Family::Ipv6) => address.is_ipv6(),
    };
    // A number is no question for a resolver; an IPv6 one may stand in brackets, as in URLs.
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    let mut found: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => (bare, port).to_socket_addrs().map_err(failed)?.collect(),
    };
    found.retain(wanted);
    found.dedup();
    if found.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has none of this kind")));
    }
    Ok(found)
}

impl FromStr for TransportId {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<TransportId, BadAddress> {
        if text.trim().is_empty() {
            return Err(bad("there is no address"));
        }
        if let Some(address) = pci(text.trim()) {
            return Ok(TransportId::Pcie { address });
        }
        let mut keys = Keys::read(text)?;
        let trtype = keys.trtype.take().ok_or_else(|| bad("trtype is missing: it is TCP, PCIe or VFIOUSER"))?;
        match trtype.to_ascii_lowercase().as_str() {
            "tcp" => Ok(TransportId::Tcp(TcpAddress::of(keys)?)),
            "pcie" => {
                keys.is_empty_but_for_traddr()?;
                let text = keys.traddr.ok_or_else(|| bad("traddr is missing: the function's PCI address"))?;
                let address = pci(&text).ok_or_else(|| bad(format!("traddr is \"{text}\": it must be a PCI address")))?;
                Ok(TransportId::Pcie { address })
            }
            "vfiouser" => {
                keys.is_empty_but_for_traddr()?;
                let folder = keys.traddr.ok_or_else(|| bad("traddr is missing: the folder of the vfio-user socket"))?;
                Ok(TransportId::VfioUser { folder })
            }
            _ => Err(bad(format!("trtype is \"{trtype}\": it must be TCP, PCIe or VFIOUSER"))),
        }
    }
}

impl fmt::Display for TransportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_keys(f, &self.keys())
    }
}

impl fmt::Display for TcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_keys(f, &self.keys())
    }
}

fn write_keys(f: &mut fmt::Formatter<'_>, keys: &[(&'static str, String)]) -> fmt::Result {
    for (n, (key, value)) in keys.iter().enumerate() {
        let blank = if n == 0 { "" } else { " " };
        write!(f, "{blank}{key}:{value}")?;
    }
    Ok(())
}

impl TcpAddress {
    /// What it is made of, by SPDK's keys, which are also the parameters of its RPCs.
    pub fn keys(&self) -> Vec<(&'static str, String)> {
        let mut keys = vec![("trtype", "TCP".to_owned())];
        keys.extend(self.family.map(|family| ("adrfam", family.to_string())));
        keys.extend([("traddr", self.address.clone()), ("trsvcid", self.service.clone()), ("subnqn", self.subsystem.clone())]);
        let rest = [("hostnqn", &self.host), ("hostaddr", &self.source_address), ("hostsvcid", &self.source_service)];
        keys.extend(rest.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))));
        keys.extend((self.priority != 0).then(|| ("priority", self.priority.to_string())));
        keys
    }
}

impl TransportId {
    /// What it is made of, by SPDK's keys, which are also the parameters of its RPCs.
    pub fn keys(&self) -> Vec<(&'static str, String)> {
        match self {
            TransportId::Pcie { address } => vec![("trtype", "PCIe".to_owned()), ("traddr", address.clone())],
            TransportId::VfioUser { folder } => vec![("trtype", "VFIOUSER".to_owned()), ("traddr", folder.clone())],
            TransportId::Tcp(tcp) => tcp.keys(),
        }
    }

    /// Where an entry of a discovery log leads. `None` when that is not over TCP, or the entry makes no sense.
    pub fn of_entry(entry: &DiscoveryEntry) -> Option<TransportId> {
        let family = match entry.adrfam {
            AddressFamily::IPV4 => Some(Family::Ipv4),
            AddressFamily::IPV6 => Some(Family::Ipv6),
            _ => return None,
        };
        if entry.trtype != TransportType::TCP {
            return None;
        }
        let has_no_blank = |text: &&str| !text.is_empty() && !text.contains(char::is_whitespace);
        let address = entry.traddr.as_str().filter(has_no_blank)?;
        let service = port("trsvcid", entry.trsvcid.as_str()?, 1).ok()?;
        let subsystem = entry.subnqn.as_str().ok().filter(has_no_blank)?;
        Some(TransportId::Tcp(TcpAddress { family, ..TcpAddress::new(address, &service, subsystem) }))
    }
}

#[cfg(test)]
mod tests;
