//! What an operator may change.

use super::{State, Target};
use crate::subsystem::{Kind, check};
use crate::{BadOption, Listener, Namespace, NewNamespace, NewSubsystem, Subsystem, TransportOptions, VfioUserOptions};
use doorbell_wire_nvme::{Nqn, NqnField};
use std::net::SocketAddr;
use std::sync::Arc;

/// Why a change was refused.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// There is a TCP transport.
    #[error("the TCP transport exists already")]
    TransportExists,
    /// There is none.
    #[error("there is no TCP transport: create it first")]
    NoTransport,
    /// There is a vfio-user transport.
    #[error("the vfio-user transport exists already")]
    VfioUserExists,
    /// There is none.
    #[error("there is no vfio-user transport: create it first")]
    NoVfioUser,
    /// An option out of range.
    #[error(transparent)]
    Option(#[from] BadOption),
    /// There is such a subsystem.
    #[error("the subsystem {0} exists already")]
    SubsystemExists(String),
    /// As many as there may be.
    #[error("there are {0} subsystems, the discovery subsystem among them: nvmf_set_max_subsystems allows no more")]
    TooManySubsystems(usize),
    /// There is none.
    #[error("there is no subsystem {0}")]
    NoSubsystem(String),
    /// That is done to subsystems with namespaces only.
    #[error("{0} is the discovery subsystem")]
    Discovery(String),
    /// Something is malformed.
    #[error("{0}")]
    Invalid(String),
    /// A serial or model number that identify data cannot hold.
    #[error("the {what} number must be 1 to {max} printable ASCII characters")]
    Text {
        /// Which.
        what: &'static str,
        /// Characters that it may have.
        max: usize,
    },
    /// No range of controller ids.
    #[error("controller ids must be a range within 1 to 65519, not {from} to {to}")]
    ControllerIds {
        /// The first.
        from: u16,
        /// The last.
        to: u16,
    },
    /// The id is taken.
    #[error("namespace id {0} is in use")]
    NsidInUse(u32),
    /// No id is free, or the one asked for is beyond the subsystem's limit.
    #[error("namespace id {asked} is not within 1 to {max}, the limit of the subsystem")]
    NsidRange {
        /// What was asked for; 0 for any.
        asked: u32,
        /// The highest.
        max: u32,
    },
    /// No such namespace.
    #[error("there is no namespace {0}")]
    NoNamespace(u32),
    /// The host is allowed already.
    #[error("host {0} is allowed already")]
    HostExists(String),
    /// No such host.
    #[error("host {0} is not in the list")]
    NoHost(String),
    /// The subsystem listens there already.
    #[error("the subsystem listens on {0} already")]
    ListenerExists(String),
    /// It does not listen there.
    #[error("the subsystem does not listen on {0}")]
    NoListener(String),
    /// The kernel refused the address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: String,
        /// Its answer.
        source: std::io::Error,
    },
}

impl Target {
    /// Makes the TCP transport.
    pub fn create_transport(&self, options: TransportOptions) -> Result<(), TargetError> {
        options.check()?;
        let mut state = self.state();
        if state.transport.is_some() {
            return Err(TargetError::TransportExists);
        }
        state.transport = Some(Arc::new(options));
        self.publish(&state);
        Ok(())
    }

    /// Makes the vfio-user transport.
    pub fn create_vfio_user(&self, options: VfioUserOptions) -> Result<(), TargetError> {
        options.check()?;
        let mut state = self.state();
        if state.vfio_user.is_some() {
            return Err(TargetError::VfioUserExists);
        }
        state.vfio_user = Some(Arc::new(options));
        self.publish(&state);
        Ok(())
    }

    /// The vfio-user transport's options, if there is one.
    pub fn vfio_user(&self) -> Option<Arc<VfioUserOptions>> {
        self.state().vfio_user.clone()
    }

    /// Notes that a subsystem is served in a folder, in which nobody else is; says the subsystem's id.
    pub(crate) fn note_endpoint(&self, nqn: &str, folder: &Arc<str>) -> Result<u64, TargetError> {
        let taken = self.state().subsystems.iter().any(|s| s.endpoints.contains(folder));
        if taken {
            return Err(TargetError::ListenerExists(folder.to_string()));
        }
        self.edit(nqn, true, |s, _| {
            if s.kind == Kind::Discovery {
                return Err(TargetError::Discovery(s.nqn.clone()));
            }
            s.endpoints.push(folder.clone());
            Ok(s.id)
        })
    }

    pub(crate) fn forget_endpoint(&self, nqn: &str, folder: &str) -> Result<(), TargetError> {
        self.edit(nqn, true, |s, _| {
            let at = s.endpoints.iter().position(|e| **e == *folder).ok_or_else(|| TargetError::NoListener(folder.to_string()))?;
            s.endpoints.remove(at);
            Ok(())
        })
    }

    /// The TCP transport's options, if there is one.
    pub fn transport(&self) -> Option<Arc<TransportOptions>> {
        self.state().transport.clone()
    }

    /// Limits how many subsystems there may be, the discovery subsystem among them.
    pub fn set_max_subsystems(&self, max: u32) -> Result<(), TargetError> {
        let mut state = self.state();
        let count = state.subsystems.len();
        if u32::try_from(count).is_ok_and(|n| n > max) {
            return Err(TargetError::Invalid(format!("there are {count} subsystems already, the discovery subsystem among them")));
        }
        state.max_subsystems = max;
        self.publish(&state);
        Ok(())
    }

    /// Says how long hosts wait before they send a failed command again, in 100 ms.
    pub fn set_retry_delays(&self, delays_100ms: [u16; 3]) {
        let mut state = self.state();
        state.retry_delays_100ms = delays_100ms;
        self.publish(&state);
    }

    /// Makes a subsystem.
    pub fn create_subsystem(&self, new: NewSubsystem) -> Result<(), TargetError> {
        check(&new)?;
        let mut state = self.state();
        if state.subsystems.iter().any(|s| s.nqn == new.nqn) {
            return Err(TargetError::SubsystemExists(new.nqn));
        }
        let count = state.subsystems.len();
        if u32::try_from(count).is_ok_and(|n| n >= state.max_subsystems) {
            return Err(TargetError::TooManySubsystems(count));
        }
        let id = state.id();
        state.subsystems.push(Arc::new(Subsystem::nvm(id, new)));
        state.touch_discovery();
        self.publish(&state);
        Ok(())
    }

    /// Deletes a subsystem; its hosts are disconnected.
    pub fn delete_subsystem(&self, nqn: &str) -> Result<(), TargetError> {
        let mut state = self.state();
        let at = position(&state, nqn)?;
        if state.subsystems.get(at).is_some_and(|s| s.kind == Kind::Discovery) {
            return Err(TargetError::Discovery(nqn.to_string()));
        }
        let gone = state.subsystems.remove(at);
        gone.endpoints.iter().for_each(|folder| crate::vfio_user::unlink(folder));
        for l in &gone.listeners {
            self.release(&mut state, l.bound);
        }
        state.touch_discovery();
        self.publish(&state);
        Ok(())
    }

    /// Changes a subsystem. `discovery`: does a discovery log show the change?
    fn edit<T>(
        &self,
        nqn: &str,
        discovery: bool,
        change: impl FnOnce(&mut Subsystem, u64) -> Result<T, TargetError>,
    ) -> Result<T, TargetError> {
        let mut state = self.state();
        let at = position(&state, nqn)?;
        let id = state.id();
        let Some(slot) = state.subsystems.get_mut(at) else { return Err(TargetError::NoSubsystem(nqn.to_string())) };
        let mut copy = Subsystem::clone(slot);
        let done = change(&mut copy, id)?;
        *slot = Arc::new(copy);
        if discovery {
            state.touch_discovery();
        }
        self.publish(&state);
        Ok(done)
    }

    /// Adds a namespace and says its id. Connected hosts are told.
    pub fn add_namespace(&self, nqn: &str, new: NewNamespace) -> Result<u32, TargetError> {
        self.edit(nqn, false, |s, id| {
            if s.kind == Kind::Discovery {
                return Err(TargetError::Discovery(s.nqn.clone()));
            }
            let max = s.max_namespaces;
            let nsid = match new.nsid {
                Some(n) if !(1..=max).contains(&n) => return Err(TargetError::NsidRange { asked: n, max }),
                Some(n) if s.namespaces.contains_key(&n) => return Err(TargetError::NsidInUse(n)),
                Some(n) => n,
                None => (1..=max).find(|n| !s.namespaces.contains_key(n)).ok_or(TargetError::NsidRange { asked: 0, max })?,
            };
            let info = new.device.info();
            if !(9..=16).contains(&info.block_shift) {
                return Err(TargetError::Invalid(format!(
                    "{} has blocks of {} bytes: 512 to 65536 can be served",
                    new.name,
                    info.block_size()
                )));
            }
            if info.zones.is_some() {
                return Err(TargetError::Invalid(format!(
                    "{} is a zoned device, which a namespace cannot be yet: the target does not speak the Zoned Namespace Command Set",
                    new.name
                )));
            }
            let (device, name, uuid) = (new.device, new.name, new.uuid);
            let (nguid, eui64, read_only) = (new.nguid, new.eui64, new.read_only);
            s.namespaces.insert(nsid, Arc::new(Namespace { id, nsid, device, info, name, uuid, nguid, eui64, read_only }));
            Ok(nsid)
        })
    }

    /// Removes a namespace. Connected hosts are told; what is in flight ends first.
    pub fn remove_namespace(&self, nqn: &str, nsid: u32) -> Result<(), TargetError> {
        self.edit(nqn, false, |s, _| s.namespaces.remove(&nsid).map(drop).ok_or(TargetError::NoNamespace(nsid)))
    }

    /// The device `name` goes: every namespace on it is removed. Says how many.
    pub fn device_removed(&self, name: &str) -> usize {
        self.on_device(name, |s, nsid, _| {
            s.namespaces.remove(&nsid);
        })
    }

    /// The device `name` has a new size (or says something else of itself): hosts are told. Says how many namespaces are on it.
    pub fn device_changed(&self, name: &str) -> usize {
        self.on_device(name, |s, nsid, old| {
            let new = Namespace {
                id: old.id,
                nsid,
                device: old.device.clone(),
                info: old.device.info(),
                name: old.name.clone(),
                uuid: old.uuid,
                nguid: old.nguid,
                eui64: old.eui64,
                read_only: old.read_only,
            };
            s.namespaces.insert(nsid, Arc::new(new));
        })
    }

    fn on_device(&self, name: &str, change: impl Fn(&mut Subsystem, u32, &Namespace)) -> usize {
        let mut state = self.state();
        let mut count = 0;
        for slot in &mut state.subsystems {
            let on: Vec<_> = slot.namespaces.values().filter(|n| n.name == name).cloned().collect();
            if on.is_empty() {
                continue;
            }
            let mut copy = Subsystem::clone(slot);
            on.iter().for_each(|n| change(&mut copy, n.nsid, n));
            count += on.len();
            *slot = Arc::new(copy);
        }
        if count > 0 {
            self.publish(&state);
        }
        count
    }

    /// Allows a host.
    pub fn add_host(&self, nqn: &str, host: &str) -> Result<(), TargetError> {
        // A host may name itself by less than an NQN; that it fits and is text is all that is asked.
        let field = NqnField::new(host);
        if Nqn::new(host).is_err() && field.as_str() != Ok(host) {
            return Err(TargetError::Invalid(format!("{host:?} is no host NQN")));
        }
        self.edit(nqn, true, |s, _| if s.hosts.insert(host.to_string()) { Ok(()) } else { Err(TargetError::HostExists(host.to_string())) })
    }

    /// No longer allows a host; its connections are closed, unless any host may come.
    pub fn remove_host(&self, nqn: &str, host: &str) -> Result<(), TargetError> {
        self.edit(nqn, true, |s, _| if s.hosts.remove(host) { Ok(()) } else { Err(TargetError::NoHost(host.to_string())) })
    }

    /// Lets any host connect, or only those allowed; the others' connections are closed.
    pub fn allow_any_host(&self, nqn: &str, any: bool) -> Result<(), TargetError> {
        self.edit(nqn, true, |s, _| {
            s.allow_any_host = any;
            Ok(())
        })
    }

    /// Is there such a subsystem?
    pub(crate) fn known(&self, nqn: &str) -> Result<(), TargetError> {
        position(&self.state(), nqn).map(drop)
    }

    pub(crate) fn has_listener(&self, nqn: &str, traddr: &str, trsvcid: &str) -> Result<bool, TargetError> {
        let state = self.state();
        let at = position(&state, nqn)?;
        let same = |l: &Listener| l.traddr == traddr && l.trsvcid == trsvcid;
        Ok(state.subsystems.get(at).is_some_and(|s| s.listeners.iter().any(same)))
    }

    pub(crate) fn note_listener(&self, nqn: &str, listener: Listener) -> Result<(), TargetError> {
        self.edit(nqn, true, |s, _| {
            s.listeners.push(listener);
            Ok(())
        })
    }

    /// Stops listening for a subsystem; its connections that came there are closed.
    pub fn remove_listener(&self, nqn: &str, traddr: &str, trsvcid: &str) -> Result<(), TargetError> {
        let bound = self.edit(nqn, true, |s, _| {
            let at = s.listeners.iter().position(|l| l.traddr == traddr && l.trsvcid == trsvcid);
            at.map(|at| s.listeners.remove(at).bound).ok_or_else(|| TargetError::NoListener(format!("{traddr}:{trsvcid}")))
        })?;
        self.release(&mut self.state(), bound);
        Ok(())
    }

    pub(crate) fn release(&self, state: &mut State, bound: SocketAddr) {
        state.listening.retain_mut(|p| p.bound != bound || p.release());
    }

    pub(crate) fn stop_listening(&self) {
        let mut state = self.state();
        state.listening.clear();
        state.subsystems.iter().flat_map(|s| &s.endpoints).for_each(|folder| crate::vfio_user::unlink(folder));
    }
}

fn position(state: &State, nqn: &str) -> Result<usize, TargetError> {
    state.subsystems.iter().position(|s| s.nqn == nqn).ok_or_else(|| TargetError::NoSubsystem(nqn.to_string()))
}
