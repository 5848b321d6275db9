//! What a driver sees of a PCI function.

use crate::{Bar, Domain, PciError};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// How a function can say that something is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupts {
    /// Not at all: whoever wants to know looks.
    None,
    /// One line for everything.
    Line,
    /// Vectors of MSI-X, so many.
    Vectors(u32),
}

/// A PCI function that a driver here drives: by VFIO, by uio, over a vfio-user socket, or a simulated one.
///
/// For the control plane. Calls may block (an ioctl, a message to another process): reactors make them on a helper thread, but for reads
/// and writes of what [`Bar::is_mapped`]. Dropping it gives the function up: interrupts off, memory unmapped, descriptors closed.
pub trait Function: Send + Sync {
    /// Its name in logs and errors: `0000:01:00.0`, or the path of a socket.
    fn name(&self) -> &str;

    /// Reads configuration space: 1, 2 or 4 bytes at a multiple of that.
    fn config_read(&self, offset: u16, into: &mut [u8]) -> Result<(), PciError>;

    /// Writes configuration space: 1, 2 or 4 bytes at a multiple of that.
    fn config_write(&self, offset: u16, from: &[u8]) -> Result<(), PciError>;

    /// A BAR, mapped as far as it can be. The same one at each call.
    fn bar(&self, index: u8) -> Result<Arc<Bar>, PciError>;

    /// How it interrupts.
    fn interrupts(&self) -> Interrupts;

    /// Has `vector` (0 for the line) write to an eventfd, or to none.
    fn set_interrupt(&self, vector: u32, notify: Option<BorrowedFd<'_>>) -> Result<(), PciError>;

    /// Lets the line fire again. It fires once and then keeps quiet until this is called, by whoever has looked at what there was; vectors
    /// need it not.
    fn rearm(&self) -> Result<(), PciError> {
        Ok(())
    }

    /// Lets it do DMA, or forbids it (the bus master bit of its command register).
    fn set_bus_master(&self, on: bool) -> Result<(), PciError> {
        const COMMAND: u16 = 4;
        const BUS_MASTER: u16 = 1 << 2;
        let mut command = [0; 2];
        self.config_read(COMMAND, &mut command)?;
        let old = u16::from_le_bytes(command);
        let new = if on { old | BUS_MASTER } else { old & !BUS_MASTER };
        self.config_write(COMMAND, &new.to_le_bytes())
    }

    /// Resets it, if it can be.
    fn reset(&self) -> Result<(), PciError>;

    /// Where it sees this process's memory.
    fn domain(&self) -> &Arc<Domain>;

    /// A descriptor that becomes readable when the function is asked back or has gone.
    fn leaving(&self) -> Option<BorrowedFd<'_>>;

    /// Has it gone, or been asked back?
    fn is_leaving(&self) -> bool;
}
