//! Opening a function, whichever way it is to be reached.

use crate::sysfs::Sysfs;
use crate::{Function, FunctionAddress, PciAddress, PciError, uio, vfio, vfio_user};
use std::sync::Arc;

/// What the caller accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// A function with nothing between it and memory: by uio, or by VFIO without an IOMMU. It, and an error in its driver, can then read and
    /// write anywhere in the machine's memory.
    pub allow_physical: bool,
    /// A vfio-user socket that this process serves itself is refused: a reactor that serves it and drives it would wait for itself.
    pub refuse_own: bool,
}

/// Why a function without protection is not opened just so.
pub(crate) const UNPROTECTED: &str = "no IOMMU stands between it and memory: it could read and write anywhere in this machine, and so could an \
                                      error in its driver. Take it with vfio-pci and an IOMMU, or say that you accept it (--allow-physical; `allow_physical` of an RPC)";

/// Opens a function. Those of this machine must have been taken from the kernel's driver before (`doorbell pci bind`).
pub fn open(address: &FunctionAddress, options: &OpenOptions) -> Result<Arc<dyn Function>, PciError> {
    match address {
        FunctionAddress::Pci(address) => open_pci(*address, options),
        FunctionAddress::VfioUser(path) => vfio_user::open(path, options.refuse_own),
    }
}

fn open_pci(address: PciAddress, options: &OpenOptions) -> Result<Arc<dyn Function>, PciError> {
    let device = Sysfs::new().device(address)?;
    let name = address.to_string();
    match device.driver.as_deref() {
        Some("vfio-pci") => vfio::open(&device, options.allow_physical),
        Some("uio_pci_generic") if options.allow_physical => uio::open(&device),
        Some("uio_pci_generic") => Err(PciError::unusable(&name, UNPROTECTED)),
        Some(driver) => {
            let why = format!("the kernel's driver {driver} has it: take it from there, as root, with `doorbell pci bind {address}`");
            Err(PciError::unusable(&name, why))
        }
        None => Err(PciError::unusable(&name, format!("no driver hands it out: as root, `doorbell pci bind {address}`"))),
    }
}
