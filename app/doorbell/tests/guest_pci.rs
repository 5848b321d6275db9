//! NVMe drives taken from the kernel and given back, in QEMU guests. What is shown:
//!
//! - `with_an_iommu_of_39_bits` and `.._of_48_bits`: a mounted drive, and one with data, stay where they are; one that is free is taken by
//!   vfio-pci; its registers are read, its memory mapped, commands given to it and its interrupt waited for, as root and, after
//!   `bind --user`, as an ordinary user, whose limits are told in words; it goes back, and the kernel reads what it had written. A program
//!   that is killed leaves a drive behind, which `reset` gives back. `doorbell nvme perf` verifies a mixed load from two reactors, as root
//!   and as that user; the kernel reads what we wrote; a namespace is formatted to other blocks. A drive that is unplugged asks for itself
//!   back, and registers that went away read as all ones; under load every request ends. One that is put in while a target serves with
//!   hotplug is attached, stays away once it was detached, and leaves when it is pulled out.
//! - `by_uio_without_an_iommu`: vfio-pci is refused in words; uio_pci_generic takes the drive; nobody gets it without saying that physical
//!   addresses are meant, nor with ordinary memory; commands and the interrupt line work in huge pages, the same load is verified, and the
//!   kernel reads what we wrote. A drive that is unplugged is told, also under load, and one that is put in is attached as above.
//!
//! What is not shown: real drives, several IOMMU units, functions that share a group.

mod pci_support;

use doorbell_vm::Guest;

#[test]
fn with_an_iommu_of_39_bits() {
    pci_support::run(Guest::new().iommu(true), "vfio");
}

#[test]
fn with_an_iommu_of_48_bits() {
    let unit = ["-device", "intel-iommu,intremap=on,caching-mode=on,aw-bits=48"];
    pci_support::run(Guest::new().kernel(["intel_iommu=on"]).qemu(unit), "vfio");
}

#[test]
fn by_uio_without_an_iommu() {
    pci_support::run(Guest::new().huge_pages(96), "uio");
}

/// Programs for the guest: the script runs this very binary, whose files it sees. `ADDRESS` says which function is meant.
mod in_guest {
    use crate::pci_support::drive;

    #[test]
    #[ignore = "runs in the guest"]
    fn drives() {
        drive::drives();
    }

    #[test]
    #[ignore = "runs in the guest"]
    fn holds() {
        drive::holds();
    }

    #[test]
    #[ignore = "runs in the guest"]
    fn is_refused() {
        drive::is_refused();
    }
}
