//! Subsystems, namespaces, hosts and listeners as values: what a snapshot holds. Immutable once published; a change makes new ones.

use crate::TargetError;
use doorbell_block::{BlockDevice, DeviceInfo};
use doorbell_wire_nvme::{DISCOVERY_NQN, Nqn};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// What a subsystem is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Tells hosts where the others are.
    Discovery,
    /// Has namespaces.
    Nvm,
}

/// What a subsystem is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSubsystem {
    /// Its name.
    pub nqn: String,
    /// Serial number, 20 characters at most.
    pub serial: String,
    /// Model number, 40 characters at most.
    pub model: String,
    /// Namespaces at most; ids go up to it.
    pub max_namespaces: u32,
    /// May any host connect?
    pub allow_any_host: bool,
    /// Controller ids, from and to.
    pub cntlids: (u16, u16),
}

impl NewSubsystem {
    /// One with SPDK's defaults.
    pub fn new(nqn: &str) -> NewSubsystem {
        NewSubsystem {
            nqn: nqn.to_string(),
            serial: "00000000000000000000".to_string(),
            model: "Doorbell NVMe Target".to_string(),
            max_namespaces: 32,
            allow_any_host: false,
            cntlids: (1, 0xffef),
        }
    }
}

/// What a namespace is made with.
pub struct NewNamespace {
    /// Its id; the lowest free one when `None`.
    pub nsid: Option<u32>,
    /// What holds its blocks.
    pub device: Arc<dyn BlockDevice>,
    /// The device's name.
    pub name: String,
    /// Its UUID.
    pub uuid: [u8; 16],
    /// Its globally unique id; the UUID serves when `None`.
    pub nguid: Option<[u8; 16]>,
    /// Its extended unique id.
    pub eui64: Option<[u8; 8]>,
    /// Refuse writes, whatever the device allows?
    pub read_only: bool,
}

/// A namespace.
pub struct Namespace {
    /// Tells it from every other, one with the same name and id included.
    pub(crate) id: u64,
    /// Its id in its subsystem.
    pub nsid: u32,
    /// What holds its blocks.
    pub device: Arc<dyn BlockDevice>,
    /// What the device said when this was published.
    pub info: Arc<DeviceInfo>,
    /// The device's name.
    pub name: String,
    /// Its UUID.
    pub uuid: [u8; 16],
    /// Its globally unique id, if given.
    pub nguid: Option<[u8; 16]>,
    /// Its extended unique id, if given.
    pub eui64: Option<[u8; 8]>,
    /// Does it refuse writes?
    pub read_only: bool,
}

impl Namespace {
    /// Does it refuse writes, of itself or because of its device?
    pub fn is_read_only(&self) -> bool {
        self.read_only || self.info.read_only
    }

    /// What hosts know it by when no other id was given: the UUID.
    pub fn nguid_or_uuid(&self) -> [u8; 16] {
        self.nguid.unwrap_or(self.uuid)
    }
}

/// Where a subsystem is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address as the operator gave it: a number or a name.
    pub traddr: String,
    /// The port as the operator gave it.
    pub trsvcid: String,
    /// Where it really listens.
    pub bound: SocketAddr,
}

/// A subsystem.
#[derive(Clone)]
pub struct Subsystem {
    /// Tells it from every other, one with the same name included.
    pub(crate) id: u64,
    /// What it is for.
    pub kind: Kind,
    /// Its name.
    pub nqn: String,
    /// Serial number.
    pub serial: String,
    /// Model number.
    pub model: String,
    /// Namespaces at most.
    pub max_namespaces: u32,
    /// May any host connect?
    pub allow_any_host: bool,
    /// Hosts that may.
    pub hosts: BTreeSet<String>,
    /// Controller ids, from and to.
    pub cntlids: (u16, u16),
    /// Its namespaces by id.
    pub namespaces: BTreeMap<u32, Arc<Namespace>>,
    /// Where it is reached.
    pub listeners: Vec<Listener>,
    /// Folders where it is reached by vfio-user.
    pub endpoints: Vec<Arc<str>>,
}

impl Subsystem {
    pub(crate) fn discovery(id: u64) -> Subsystem {
        Subsystem { id, kind: Kind::Discovery, allow_any_host: true, ..Subsystem::nvm(id, NewSubsystem::new(DISCOVERY_NQN)) }
    }

    pub(crate) fn nvm(id: u64, new: NewSubsystem) -> Subsystem {
        Subsystem {
            id,
            kind: Kind::Nvm,
            nqn: new.nqn,
            serial: new.serial,
            model: new.model,
            max_namespaces: new.max_namespaces,
            allow_any_host: new.allow_any_host,
            hosts: BTreeSet::new(),
            cntlids: new.cntlids,
            namespaces: BTreeMap::new(),
            listeners: Vec::new(),
            endpoints: Vec::new(),
        }
    }

    /// May this host connect?
    pub fn admits(&self, host: &str) -> bool {
        self.allow_any_host || self.hosts.contains(host)
    }

    /// Does it answer on this local address? A discovery subsystem answers wherever something listens.
    pub(crate) fn reached_at(&self, local: SocketAddr) -> bool {
        self.kind == Kind::Discovery || self.listeners.iter().any(|l| covers(l.bound, local))
    }
}

/// Is `local` an address of the listener at `bound`?
pub(crate) fn covers(bound: SocketAddr, local: SocketAddr) -> bool {
    bound.port() == local.port()
        && bound.is_ipv4() == local.is_ipv4()
        && (bound.ip().is_unspecified() || bound.ip().to_canonical() == local.ip().to_canonical())
}

/// Why a subsystem cannot be made like this.
pub(crate) fn check(new: &NewSubsystem) -> Result<(), TargetError> {
    Nqn::new(&new.nqn).map_err(|e| TargetError::Invalid(e.to_string()))?;
    let text = |what: &'static str, s: &str, max: usize| {
        if s.is_empty() || s.len() > max || !s.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Err(TargetError::Text { what, max });
        }
        Ok(())
    };
    text("serial", &new.serial, 20)?;
    text("model", &new.model, 40)?;
    if !(1..=MAX_NAMESPACES).contains(&new.max_namespaces) {
        return Err(TargetError::Invalid(format!("max_namespaces must be 1 to {MAX_NAMESPACES}")));
    }
    let (from, to) = new.cntlids;
    if from == 0 || to > doorbell_wire_nvme::fabrics::CNTLID_MAX || from > to {
        return Err(TargetError::ControllerIds { from, to });
    }
    Ok(())
}

/// Namespaces of one subsystem at most: groups keep a table by id.
pub(crate) const MAX_NAMESPACES: u32 = 8192;
