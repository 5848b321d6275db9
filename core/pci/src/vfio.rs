//! Functions by VFIO: the kernel hands out registers and interrupts, and an IOMMU keeps the function to the memory that it was given.
//!
//! One container, and with it one table of I/O addresses, serves all functions of the process for which the kernel allows it. The memory
//! of a process is then locked, counted against its limit and mapped once, however many drives there are; each drive sees all of it in
//! any case. A function whose group cannot join, or whose joining would take away addresses that the others count on, has a container of its
//! own.
//!
//! What it is not: it takes no function from the kernel's driver ([`crate::sysfs`] does), and knows nothing of what a BAR means.

mod bars;
mod container;
mod function;
mod interrupts;
mod ioctl;
mod ranges;
#[cfg(test)]
mod tests;

pub(crate) use bars::whole_pages;
pub(crate) use function::open;
