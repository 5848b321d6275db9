//! The Connect command: who may become a queue of what (Base 2.1, 6.3).

use super::{Controller, KEEP_ALIVE_UNIT_MS, Transport};
use crate::subsystem::Kind;
use crate::target::{Join, JoinError, Target, Traffic, Where};
use crate::{Association, Snapshot, Subsystem};
use doorbell_wire_nvme::fabrics::{CNTLID_DYNAMIC, CNTLID_STATIC_ANY, ConnectData, ConnectInvalid, ConnectResult};
use doorbell_wire_nvme::{Connect, Status, view};
use std::net::SocketAddr;
use std::sync::Arc;

/// What a connection has become.
pub(crate) enum Accepted {
    /// The admin queue of a new controller.
    Admin(Box<Controller>),
    /// An I/O queue.
    Io(Arc<Association>, Arc<Subsystem>, u64),
}

/// Refused: the status and dword 0 of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: Status,
    pub(crate) dw0: u32,
}

fn invalid(what: ConnectInvalid) -> Refused {
    Refused { status: Status::CONNECT_INVALID_PARAMETERS.dnr(), dw0: what.into_bits() }
}

fn plain(status: Status) -> Refused {
    Refused { status, dw0: 0 }
}

/// Answers a Connect that came from `peer` to `local` with `data`. What is refused leaves nothing behind.
pub(crate) fn connect(
    target: &Target,
    snapshot: &Snapshot,
    command: &Connect,
    data: &[u8],
    at: Where,
    ends: (SocketAddr, SocketAddr),
    traffic: &Arc<Traffic>,
) -> Result<(Accepted, u32), Refused> {
    let (peer, local) = ends;
    if command.recfmt != 0 {
        return Err(plain(Status::INCOMPATIBLE_FORMAT.dnr()));
    }
    let data: &ConnectData = view(data).ok_or(plain(Status::DATA_SGL_LENGTH_INVALID.dnr()))?;
    let subnqn = data.subnqn.as_str().map_err(|_| invalid(ConnectInvalid::SUBNQN))?;
    let host_nqn = data.hostnqn.as_str().map_err(|_| invalid(ConnectInvalid::HOSTNQN))?;
    let subsystem = snapshot.find(subnqn).filter(|s| s.reached_at(local)).ok_or(invalid(ConnectInvalid::SUBNQN))?;
    if !subsystem.admits(host_nqn) {
        return Err(plain(Status::CONNECT_INVALID_HOST.dnr()));
    }
    let most = if command.qid == 0 { snapshot.options.max_admin_depth } else { snapshot.options.max_queue_depth };
    // Zero-based: a queue has two entries at least.
    if command.sqsize == 0 || command.sqsize >= most {
        return Err(invalid(ConnectInvalid::SQSIZE));
    }
    let (cntlid, depth) = (data.cntlid.get(), command.sqsize + 1);
    let join =
        Join { host_nqn, host_id: data.hostid, cntlid, qid: command.qid, depth, at, peer, local, endpoint: None, traffic: traffic.clone() };
    if command.qid == 0 {
        return admin(target, snapshot, subsystem, command, join);
    }
    if subsystem.kind == Kind::Discovery {
        return Err(invalid(ConnectInvalid::QID));
    }
    if command.qid > snapshot.options.max_io_queues {
        return Err(invalid(ConnectInvalid::QID));
    }
    let joined = target.registry().join(subsystem.id, &join);
    let (association, epoch) = joined.map_err(|e| match e {
        JoinError::Controller => invalid(ConnectInvalid::CNTLID),
        JoinError::Host => invalid(ConnectInvalid::HOSTNQN),
        JoinError::NotEnabled => plain(Status::COMMAND_SEQUENCE_ERROR.dnr()),
        JoinError::Queue => invalid(ConnectInvalid::QID),
    })?;
    let result = ConnectResult::new().with_cntlid(cntlid).into_bits();
    Ok((Accepted::Io(association, subsystem.clone(), epoch), result))
}

fn admin(
    target: &Target,
    snapshot: &Snapshot,
    subsystem: &Arc<Subsystem>,
    command: &Connect,
    mut join: Join<'_>,
) -> Result<(Accepted, u32), Refused> {
    // The controllers here are dynamic: a host asks for whichever there is (Base 2.1, 6.3).
    if join.cntlid != CNTLID_DYNAMIC && join.cntlid != CNTLID_STATIC_ANY {
        return Err(invalid(ConnectInvalid::CNTLID));
    }
    if join.host_id == [0; 16] && subsystem.kind == Kind::Nvm {
        return Err(invalid(ConnectInvalid::HOSTID));
    }
    if command.kato_ms > u32::MAX - KEEP_ALIVE_UNIT_MS {
        return Err(invalid(ConnectInvalid::KATO));
    }
    join.cntlid = CNTLID_DYNAMIC;
    let association = target.registry().begin(subsystem, &join).map_err(|_| plain(Status::CONTROLLER_BUSY))?;
    let result = ConnectResult::new().with_cntlid(association.cntlid).into_bits();
    let controller = Controller::new(association, subsystem.clone(), snapshot, command.kato_ms, Transport::Tcp);
    Ok((Accepted::Admin(Box::new(controller)), result))
}
