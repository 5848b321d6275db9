//! What the application was told: the volumes that there are, what each may hold, and what is being changed.

use doorbell_blobstore::Volume;
use doorbell_sim::{DurabilityModel, Entropy};
use doorbell_wire_blob::BlobId;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A volume, by what was acknowledged.
pub(crate) struct Vol {
    pub(crate) id: BlobId,
    pub(crate) clusters: u64,
    pub(crate) parent: Option<String>,
    pub(crate) thin: bool,
    pub(crate) read_only: bool,
    pub(crate) model: DurabilityModel,
    pub(crate) volume: Option<Volume>,
    /// No new requests are to be begun.
    pub(crate) paused: bool,
    /// Nobody may have it open.
    pub(crate) closing: bool,
    pub(crate) under_way: u32,
}

/// A change that has been asked for and not yet been acknowledged: on the disk it has happened, or not.
#[derive(Clone, Debug)]
pub(crate) enum Pending {
    Create {
        name: String,
        clusters: u64,
    },
    Snapshot {
        of: String,
        name: String,
    },
    Clone {
        of: String,
        name: String,
    },
    Delete {
        name: String,
    },
    Resize {
        name: String,
        clusters: u64,
    },
    /// Its parent changes, and nothing that can be read.
    Parent,
    Attribute {
        name: String,
        value: Vec<u8>,
    },
}

/// All of it.
pub(crate) struct World {
    pub(crate) vols: BTreeMap<String, Vol>,
    pub(crate) pending: Option<Pending>,
    /// Each volume's attribute `v`, as far as it was set.
    pub(crate) values: BTreeMap<String, Vec<u8>>,
    pub(crate) entropy: Entropy,
    /// May what is unmapped read as anything?
    pub(crate) unmap_is_wild: bool,
    pub(crate) next: u64,
    pub(crate) stop: bool,
    pub(crate) workers: u32,
    /// The first thing that went wrong while it ran.
    pub(crate) fault: Option<String>,
    /// Requests that came back, writes that found no space, and metadata changes.
    pub(crate) done: u64,
    pub(crate) full: u64,
    pub(crate) changes: u64,
}

pub(crate) type Shared = Rc<RefCell<World>>;

/// Blocks of 512 bytes in a cluster of 16 KiB.
pub(crate) const CLUSTER_BLOCKS: u64 = 32;
pub(crate) const CLUSTER_BYTES: u32 = 16 << 10;

impl World {
    pub(crate) fn new(seed: u64, unmap_is_wild: bool) -> World {
        World {
            vols: BTreeMap::new(),
            pending: None,
            values: BTreeMap::new(),
            entropy: Entropy::new(seed ^ 0x77_6f72_6c64),
            unmap_is_wild,
            next: 1,
            stop: false,
            workers: 0,
            fault: None,
            done: 0,
            full: 0,
            changes: 0,
        }
    }

    /// A number that was not given before.
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A model whose writes are told from those of all others.
    pub(crate) fn model(&mut self, clusters: u64) -> DurabilityModel {
        let first = self.number() << 24;
        DurabilityModel::new(first, 9, clusters * CLUSTER_BLOCKS).numbered_from(first)
    }

    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        self.fault.get_or_insert(what.into());
    }

    pub(crate) fn pick(&mut self, which: impl Fn(&Vol) -> bool) -> Option<String> {
        let names: Vec<String> = self.vols.iter().filter(|(_, vol)| which(vol)).map(|(name, _)| name.clone()).collect();
        if names.is_empty() { None } else { Some(self.entropy.pick(&names).clone()) }
    }
}
