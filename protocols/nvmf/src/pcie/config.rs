//! PCI configuration space: what a host finds, and what it may change (PCI Express Base 5.0, 7.5; NVMe over PCIe Transport 1.1, 2).

use super::bar;
use super::irq::VECTORS;

/// Command register: the function may write and read memory; bit 10 keeps INTx quiet.
const COMMAND: usize = 0x04;
/// Device control of the PCIe capability: bit 15 asks for a function-level reset.
const DEVCTL: usize = PCIE + 8;
const PM: usize = 0x40;
const PCIE: usize = 0x48;
const MSIX: usize = 0x84;

/// What a write asks for beyond what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing.
    Nothing,
    /// A function-level reset.
    Reset,
}

/// The 4 KiB.
pub(super) struct Config {
    bytes: Box<[u8]>,
    /// Bits that a host may change.
    mask: Box<[u8]>,
}

impl Config {
    pub(super) fn new() -> Config {
        let len = usize::try_from(bar::CONFIG).unwrap_or(4096);
        let mut c = Config { bytes: vec![0; len].into(), mask: vec![0; len].into() };
        c.fill();
        c
    }

    fn set(&mut self, at: usize, value: &[u8]) {
        self.bytes.iter_mut().skip(at).zip(value).for_each(|(to, from)| *to = *from);
    }

    fn allow(&mut self, at: usize, bits: &[u8]) {
        self.mask.iter_mut().skip(at).zip(bits).for_each(|(to, from)| *to = *from);
    }

    fn fill(&mut self) {
        self.set(0x00, &0x4e58u16.to_le_bytes());
        self.set(0x02, &1u16.to_le_bytes());
        // Status: there are capabilities.
        self.set(0x06, &[0x10, 0]);
        // NVM Express I/O controller.
        self.set(0x09, &[0x02, 0x08, 0x01]);
        self.set(0x2c, &0x4e58u16.to_le_bytes());
        self.set(0x34, &[0x40]);
        // INTA.
        self.set(0x3d, &[1]);
        // Memory, bus master, INTx disable.
        self.allow(COMMAND, &[0x06, 0x04]);
        self.allow(0x0c, &[0xff, 0xff]);
        self.allow(0x3c, &[0xff]);
        for (n, size) in [(0, bar::BAR0), (4, bar::BAR4), (5, bar::BAR5)] {
            // Reading back ones but for the bits of the size tells it.
            let bits = !u32::try_from(size - 1).unwrap_or(0);
            self.allow(0x10 + 4 * n, &bits.to_le_bytes());
        }
        // Power management: version 3, no soft reset.
        self.set(PM, &[0x01, 0x48, 0x03, 0x00, 0x08, 0x00, 0x00, 0x00]);
        self.allow(PM + 4, &[0x03]);
        // PCI Express: version 2, endpoint; role-based errors and function-level reset; completion time-out can be disabled.
        self.set(PCIE, &[0x10, 0x84, 0x02, 0x00]);
        self.set(PCIE + 4, &(1u32 << 15 | 1 << 28).to_le_bytes());
        self.set(PCIE + 0x24, &(1u32 << 4).to_le_bytes());
        self.allow(DEVCTL, &[0xef, 0x70]);
        self.allow(PCIE + 0x28, &[0x10]);
        // MSI-X: the table in BAR 4, the pending bits in BAR 5.
        let size = u16::try_from(VECTORS - 1).unwrap_or(0).to_le_bytes();
        self.set(MSIX, &[0x11, 0x00]);
        self.set(MSIX + 2, &size);
        self.set(MSIX + 4, &4u32.to_le_bytes());
        self.set(MSIX + 8, &5u32.to_le_bytes());
        self.allow(MSIX + 3, &[0xc0]);
    }

    /// As after power-on.
    pub(super) fn reset(&mut self) {
        self.bytes.fill(0);
        self.fill();
    }

    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> bool {
        let from = usize::try_from(offset).ok().and_then(|at| self.bytes.get(at..at.checked_add(into.len())?));
        from.map(|from| into.copy_from_slice(from)).is_some()
    }

    /// Writes what may be written; `None` outside.
    pub(super) fn write(&mut self, offset: u64, from: &[u8]) -> Option<Asked> {
        let at = usize::try_from(offset).ok().filter(|at| at.checked_add(from.len()).is_some_and(|end| end <= self.bytes.len()))?;
        let both = self.bytes.iter_mut().zip(&self.mask).skip(at).zip(from);
        both.for_each(|((to, mask), new)| *to = (*to & !mask) | (new & mask));
        let byte = |n: usize| n.checked_sub(at).and_then(|n| from.get(n)).copied().unwrap_or(0);
        Some(if byte(DEVCTL + 1) & 0x80 != 0 { Asked::Reset } else { Asked::Nothing })
    }

    /// Is the wire interrupt kept quiet?
    pub(super) fn is_intx_off(&self) -> bool {
        self.bytes.get(COMMAND + 1).is_some_and(|b| b & 0x04 != 0)
    }
}
