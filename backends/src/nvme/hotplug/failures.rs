//! Which drives could not be attached, and when each is tried again: ever more seldom, and never not at all. A node may get its owner a
//! moment after its driver, a drive may be busy with somebody else for hours.

use doorbell_block::Ticks;
use doorbell_pci::PciAddress;
use std::collections::BTreeMap;

/// Until the first time that it is tried again; it doubles with each.
const FIRST_NS: u64 = 1_000_000_000;
/// At most.
const LONGEST_NS: u64 = 60_000_000_000;

/// What to say of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Say {
    /// It is the first.
    First,
    /// It goes on, and is not tried often any more.
    Seldom,
    /// It was said before.
    Nothing,
}

struct Failed {
    after_ns: u64,
    again: Ticks,
}

/// All of them.
#[derive(Default)]
pub(super) struct Failures(BTreeMap<PciAddress, Failed>);

impl Failures {
    /// Is it to be tried?
    pub(super) fn admits(&self, address: PciAddress, now: Ticks) -> bool {
        self.0.get(&address).is_none_or(|failed| failed.again <= now)
    }

    /// It has failed.
    pub(super) fn note(&mut self, address: PciAddress, now: Ticks) -> Say {
        let before = self.0.get(&address).map(|failed| failed.after_ns);
        let after_ns = before.map_or(FIRST_NS, |ns| (ns * 2).min(LONGEST_NS));
        self.0.insert(address, Failed { after_ns, again: now.after(after_ns) });
        match before {
            None => Say::First,
            Some(before) if before < LONGEST_NS && after_ns == LONGEST_NS => Say::Seldom,
            Some(_) => Say::Nothing,
        }
    }

    /// It was attached, or has left its driver: what was does not count.
    pub(super) fn forget(&mut self, which: impl Fn(&PciAddress) -> bool) {
        self.0.retain(|address, _| !which(address));
    }
}

#[cfg(test)]
mod tests;
