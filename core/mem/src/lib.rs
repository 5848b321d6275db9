//! Memory that devices and the kernel read and write: regions, pools of buffers, segments, and tables of what is in flight.
//!
//! What it is not: it knows no device, no request and no thread but its own. What holds always:
//! * a [`Seg`] is a share of a block, never a slice: bytes are lent only to the sole share, and never of foreign memory;
//! * a block owns its mapping, so memory is unmapped only after its last share is gone;
//! * what lies in an [`InFlight`] table leaves it only against a witness minted by the ring that it was given to.
#![allow(unsafe_code)] // unsafe island: raw buffers, mappings and the witnesses that guard them live here and nowhere above

mod error;
mod foreign;
pub mod guard;
mod inflight;
mod pool;
mod region;
mod seg;
mod sglist;

pub use error::MemError;
pub use foreign::Foreign;
pub use inflight::{Carrier, Cid, Completion, Entered, InFlight, Leaving, QueueKey, Quiesced, leaked};
pub use pool::{ClassSpec, DEFAULT_CLASSES, Pool, PoolSpec, PoolStats};
pub use region::{Backing, HugeSize, Reach, Region, RegionObserver, Regions};
pub use seg::Seg;
pub use sglist::{IoVec, SgList};
