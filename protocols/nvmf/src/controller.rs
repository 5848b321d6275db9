//! The controller behind an admin queue, sans I/O: commands in, answers out. It owns no socket, clock or buffer.
//!
//! Its I/O queues lie elsewhere; they see it through its [`Association`]. What it says of itself is made anew from the subsystem at each
//! question, so that it is never stale.

mod connect;
mod discovery;
mod event;
mod feature;
mod identify;
mod log;
mod namespace;
mod property;

pub(crate) use connect::{Accepted, connect};
pub(crate) use log::ErrorLog;

use crate::subsystem::Kind;
use crate::target::Registry;
use crate::{Association, Snapshot, Subsystem};
use doorbell_wire_nvme::register::{Cc, Csts, ShutdownStatus};
use doorbell_wire_nvme::{AdminCommand, Cid, FabricsCommand, Sqe, Status};
use event::Events;
use feature::Features;
use std::net::SocketAddr;
use std::sync::Arc;

/// Aborts at once, and asynchronous event requests at once (each told zero-based).
pub(crate) const ABORTS: usize = 4;
pub(crate) const EVENT_REQUESTS: usize = 4;
/// Granularity of keep-alive timeouts in milliseconds.
pub(crate) const KEEP_ALIVE_UNIT_MS: u32 = 10_000;

/// What a controller may look at while it answers.
pub(crate) struct Env<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) registry: &'a Registry,
    /// The address by which the host came.
    pub(crate) local: SocketAddr,
}

/// What becomes of an admin command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It is answered; data for the host is in the page given.
    Done { status: Status, result: u64 },
    /// It stays: an asynchronous event request.
    Held,
    /// The namespaces are to be flushed first; then the shutdown is complete.
    Shutdown,
    /// Another command is to be found and aborted first.
    Abort { sqid: u16, cid: Cid },
}

pub(crate) const fn ok(result: u64) -> Reply {
    Reply::Done { status: Status::SUCCESS, result }
}

pub(crate) const fn fail(status: Status) -> Reply {
    Reply::Done { status, result: 0 }
}

/// A refusal that no retry helps.
pub(crate) const fn refuse(status: Status) -> Reply {
    fail(status.dnr())
}

/// By what a controller is reached, as far as what it says of itself differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// NVMe/TCP.
    Tcp,
    /// Queues in the host's memory.
    Memory {
        /// May the host keep its doorbells in its own memory?
        shadow_doorbells: bool,
    },
}

/// A controller.
pub(crate) struct Controller {
    pub(crate) association: Arc<Association>,
    pub(crate) subsystem: Arc<Subsystem>,
    cc: Cc,
    csts: Csts,
    events: Events,
    features: Features,
    genctr: u64,
    transport: Transport,
}

/// What a change of CC asks of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    Nothing,
    /// The I/O queues are to be closed.
    Disabled,
}

impl Controller {
    pub(crate) fn new(
        association: Arc<Association>,
        subsystem: Arc<Subsystem>,
        snapshot: &Snapshot,
        keep_alive_ms: u32,
        transport: Transport,
    ) -> Controller {
        association.grant(snapshot.options.max_io_queues);
        let mut features = Features::default();
        features.set_keep_alive(keep_alive_ms, snapshot.options.min_keep_alive_ms, &association);
        Controller {
            association,
            subsystem,
            cc: Cc::new(),
            csts: Csts::new(),
            events: Events::default(),
            features,
            genctr: snapshot.genctr,
            transport,
        }
    }

    fn is_discovery(&self) -> bool {
        self.subsystem.kind == Kind::Discovery
    }

    /// How long the host may be silent, in nanoseconds; `None`: for ever.
    pub(crate) fn keep_alive_ns(&self) -> Option<u64> {
        match self.features.keep_alive_ms() {
            0 => None,
            ms => Some(u64::from(ms) * 1_000_000),
        }
    }

    /// Answers a command. `data` came with it; what goes to the host is put in `page`.
    pub(crate) fn command(&mut self, sqe: &Sqe, slot: u16, data: &[u8], page: &mut Vec<u8>, env: &Env<'_>) -> Reply {
        let command = AdminCommand::parse(sqe);
        if let AdminCommand::Fabrics(fabrics) = command {
            return self.fabrics(fabrics, env);
        }
        if !self.csts.rdy() {
            return refuse(Status::COMMAND_SEQUENCE_ERROR);
        }
        if self.is_discovery() && !allowed_in_discovery(&command) {
            return refuse(Status::INVALID_OPCODE);
        }
        match command {
            AdminCommand::Identify(what) => self.identify(&what, sqe.nsid(), page, env),
            AdminCommand::GetLogPage(what) => self.log_page(&what, sqe.nsid(), page, env),
            AdminCommand::GetFeatures(what) => self.get_feature(&what, page),
            AdminCommand::SetFeatures(what) => self.set_feature(&what, data, env),
            AdminCommand::AsyncEventRequest => self.events.request(slot),
            AdminCommand::Abort(what) => Reply::Abort { sqid: what.sqid, cid: what.cid },
            AdminCommand::KeepAlive => ok(0),
            AdminCommand::Fabrics(_) | AdminCommand::Other(_) => refuse(Status::INVALID_OPCODE),
        }
    }

    fn fabrics(&mut self, command: FabricsCommand, env: &Env<'_>) -> Reply {
        match command {
            FabricsCommand::PropertyGet(get) => self.property_get(&get, env),
            FabricsCommand::PropertySet(set) => self.property_set(&set),
            // A second Connect on a queue.
            FabricsCommand::Connect(_) => refuse(Status::COMMAND_SEQUENCE_ERROR),
            // Only I/O queues are deleted by Disconnect (Base 2.1, 6.4).
            FabricsCommand::Disconnect { .. } => refuse(Status::INVALID_QUEUE_TYPE),
            FabricsCommand::AuthSend(_) | FabricsCommand::AuthReceive(_) | FabricsCommand::Other(_) => refuse(Status::INVALID_OPCODE),
        }
    }

    /// Has the last command turned the controller off (reset or shutdown)? Says so once.
    pub(crate) fn turned(&mut self) -> Turned {
        if self.features.take_disabled() { Turned::Disabled } else { Turned::Nothing }
    }

    /// What the host's shutdown had to wait for is done.
    pub(crate) fn shut_down(&mut self) {
        if self.csts.shst() == ShutdownStatus::OCCURRING {
            self.csts = self.csts.with_shst(ShutdownStatus::COMPLETE);
        }
    }

    /// A new snapshot. Notes what the host wants to know of.
    pub(crate) fn update(&mut self, subsystem: Arc<Subsystem>, snapshot: &Snapshot) {
        if self.is_discovery() {
            if self.genctr != snapshot.genctr {
                self.genctr = snapshot.genctr;
                self.events.discovery_changed();
            }
        } else {
            self.events.namespaces_changed(&self.subsystem, &subsystem);
        }
        self.subsystem = subsystem;
    }

    /// An event that can be told now: to which request, and dword 0 of its answer.
    pub(crate) fn next_event(&mut self) -> Option<(u16, u32)> {
        if !self.csts.rdy() {
            return None;
        }
        self.events.next(self.features.events_wanted())
    }

    /// The host has written a doorbell that its queue does not have.
    pub(crate) fn doorbell_invalid(&mut self) {
        self.events.doorbell_invalid();
    }

    /// Is the controller on?
    pub(crate) fn is_enabled(&self) -> bool {
        self.cc.en()
    }

    /// Asynchronous event requests end with a controller-level reset, where their queue does.
    pub(crate) fn forget_event_requests(&mut self) {
        self.events.forget_requests();
    }

    /// An asynchronous event request that was aborted: true if it was one.
    pub(crate) fn abort_event_request(&mut self, slot: u16) -> bool {
        self.events.withdraw(slot)
    }
}

fn allowed_in_discovery(command: &AdminCommand) -> bool {
    !matches!(command, AdminCommand::Abort(_) | AdminCommand::Other(_))
}

#[cfg(test)]
mod tests;
