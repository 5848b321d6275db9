//! What a controller says of itself, checked once.

use doorbell_wire_nvme::DISCOVERY_NQN;
use doorbell_wire_nvme::identify::{Controller, ControllerType, Fuses, Oacs, Oncs, SglSupport, Vwc};
use doorbell_wire_nvme::register::Version;

/// What a controller says of itself.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its serial number.
    pub serial: String,
    /// Its model.
    pub model: String,
    /// Its firmware's revision.
    pub firmware: String,
    /// Name of its subsystem; empty when it has none.
    pub subsystem: String,
    /// The version that it follows, by its register.
    pub version: Version,
    /// All of it.
    pub raw: Box<Controller>,
}

/// Text of a device: what can be printed of it.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|b| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '?' }).collect::<String>().trim().to_owned()
}

impl Identity {
    pub(crate) fn new(raw: Box<Controller>, version: Version) -> Identity {
        let subsystem = raw.subnqn.as_str().map(str::to_owned).unwrap_or_default();
        Identity {
            serial: text(raw.sn.trimmed()),
            model: text(raw.mn.trimmed()),
            firmware: text(raw.fr.trimmed()),
            subsystem,
            version,
            raw,
        }
    }

    /// Is it a discovery controller: one that has a log of others, and no namespaces?
    pub fn is_discovery(&self) -> bool {
        self.raw.cntrltype == ControllerType::DISCOVERY || self.subsystem == DISCOVERY_NQN
    }

    /// Optional admin commands.
    pub fn oacs(&self) -> Oacs {
        Oacs::from_bits(self.raw.oacs.get())
    }

    /// Optional I/O commands.
    pub fn oncs(&self) -> Oncs {
        Oncs::from_bits(self.raw.oncs.get())
    }

    /// Fused commands.
    pub fn fuses(&self) -> Fuses {
        Fuses::from_bits(self.raw.fuses.get())
    }

    /// Has it a volatile write cache?
    pub fn is_volatile(&self) -> bool {
        Vwc::from_bits(self.raw.vwc).present()
    }

    /// Is it reached over a network? Only such a one has capsules.
    pub(crate) fn is_remote(&self) -> bool {
        self.raw.ioccsz.get() > 0
    }

    pub(crate) fn sgl_support(&self) -> u8 {
        SglSupport::from_bits(self.raw.sgls.get()).support()
    }

    /// How long a shutdown may take, by RTD3E.
    pub(crate) fn shutdown_ns(&self) -> u64 {
        u64::from(self.raw.rtd3e_us.get()) * 1000
    }

    /// Entry sizes that this driver uses: 64 and 16 bytes.
    pub(crate) fn has_entry_sizes(&self) -> bool {
        let within = |sizes: u8, log2: u8| sizes & 15 <= log2 && sizes >> 4 >= log2;
        within(self.raw.sqes, 6) && within(self.raw.cqes, 4)
    }
}

#[cfg(test)]
mod tests;
