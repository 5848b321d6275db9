//! Where a function is: on a bus of this machine, or behind a socket.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A function's place on this machine's PCI buses: `0000:01:00.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    /// The domain, called segment too. Host bridges such as Intel's VMD make some above 16 bits.
    pub domain: u32,
    /// The bus.
    pub bus: u8,
    /// The device on it, below 32.
    pub device: u8,
    /// The function of the device, below 8.
    pub function: u8,
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

/// Not the address of a PCI function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address of a PCI function: they look like 0000:01:00.0, or 01:00.0")]
pub struct BadAddress(String);

impl FromStr for PciAddress {
    type Err = BadAddress;

    /// With or without its domain; SPDK's spelling `0000.01.00.0` is taken too.
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        let parts: Vec<&str> = text.split([':', '.']).collect();
        let (domain, rest) = match parts.as_slice() {
            [bus, device, function] => ("0", [*bus, *device, *function]),
            [domain, bus, device, function] => (*domain, [*bus, *device, *function]),
            _ => return Err(bad()),
        };
        let hex = |part: &str, most: u32| {
            let digits = !part.is_empty() && part.len() <= 8 && part.bytes().all(|b| b.is_ascii_hexdigit());
            digits.then(|| u32::from_str_radix(part, 16).ok()).flatten().filter(|n| *n <= most).ok_or_else(bad)
        };
        let [bus, device, function] = rest;
        Ok(PciAddress {
            domain: hex(domain, u32::MAX)?,
            bus: hex(bus, 0xff)? as u8,
            device: hex(device, 0x1f)? as u8,
            function: hex(function, 7)? as u8,
        })
    }
}

/// Where a function is to be found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FunctionAddress {
    /// On this machine's buses.
    Pci(PciAddress),
    /// Served by another process: the folder that holds its socket `cntrl`, or the socket itself.
    VfioUser(PathBuf),
}

impl fmt::Display for FunctionAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FunctionAddress::Pci(address) => address.fmt(f),
            FunctionAddress::VfioUser(path) => path.display().fmt(f),
        }
    }
}

impl FromStr for FunctionAddress {
    type Err = BadAddress;

    /// A path begins with `/` or `.`; everything else is an address.
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        if text.starts_with(['/', '.']) { Ok(FunctionAddress::VfioUser(text.into())) } else { text.parse().map(FunctionAddress::Pci) }
    }
}

#[cfg(test)]
mod tests;
