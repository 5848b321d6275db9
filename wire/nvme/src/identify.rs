//! Data structures of Identify (Base 2.1, 5.1.13; NVM 1.1, 4.1.5). Get one with [`crate::view`]: it is valid for every
//! bit pattern, so that what it says still has to be believed or not by its reader.

mod controller;
mod descriptor;
mod list;
mod namespace;
mod nvm;
mod zoned;

pub use controller::{
    Cmic, Controller, ControllerType, Ctratt, FabricsAttributes, Fna, Frmw, Fuses, Lpa, Oacs, Oaes, Oncs, PowerState, SglSupport, Vwc,
    entry_sizes,
};
pub use descriptor::{NamespaceId, NamespaceIds, NamespaceIdsWriter};
pub use list::{CommandSets, ControllerList, NamespaceList};
pub use namespace::{DlFeat, Flbas, IndependentNamespace, LbaFormat, Namespace, Nmic, NsAttr, NsFeat, NsStat};
pub use nvm::{NvmController, NvmNamespace};
pub use zoned::{Ozcs, Zoc, ZonedController, ZonedFormat, ZonedNamespace};

#[cfg(test)]
mod tests;
