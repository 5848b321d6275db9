//! Why there is no connection, in words that an operator can act on.

use super::spec::TcpSpec;
use crate::link::Lost;
use doorbell_sys::socket::Closed;
use doorbell_wire_nvme::Status;
use doorbell_wire_nvme::fabrics::ConnectInvalid;
use std::io;
use std::net::SocketAddr;

/// Why a connection could not be made, or is no more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No address was given, or a number is out of its range.
    #[error("{0}")]
    Invalid(String),
    /// The machine is there and nothing listens.
    #[error("nothing listens at {0}: is the target started, and is this its port (4420 is usual, 8009 for discovery)?")]
    Refused(SocketAddr),
    /// No way leads there.
    #[error("{address} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        why: String,
    },
    /// It took too long.
    #[error("{address} did not answer in time: {step}")]
    TimedOut {
        /// Where.
        address: SocketAddr,
        /// How far it came.
        step: &'static str,
    },
    /// Something else listens there.
    #[error("what listens at {address} is not an NVMe/TCP target: {why}")]
    NotNvme {
        /// Where.
        address: SocketAddr,
        /// What it did.
        why: String,
    },
    /// It does not do the digests that were asked for.
    #[error("the target at {address} does no {which} digests: connect without them, or allow them there")]
    NoDigest {
        /// Where.
        address: SocketAddr,
        /// `header` or `data`.
        which: &'static str,
    },
    /// The subsystem's name is wrong.
    #[error(
        "the target at {address} has no subsystem {subsystem}: check the NQN, and that the subsystem listens at this address; what does, says \
         `doorbell nvme discover 'trtype:TCP traddr:{} trsvcid:{}'`",
        .address.ip(), .address.port()
    )]
    NoSubsystem {
        /// Where.
        address: SocketAddr,
        /// The name that it does not know.
        subsystem: String,
    },
    /// The host is not on the subsystem's list.
    #[error("host {host} may not connect to {subsystem} at {address}: allow this host NQN at the target, or connect with another")]
    HostNotAllowed {
        /// Where.
        address: SocketAddr,
        /// The subsystem.
        subsystem: String,
        /// The host.
        host: String,
    },
    /// All of its controllers or queues are in use.
    #[error("{subsystem} at {address} has no controller free: try again later, or disconnect another host")]
    Busy {
        /// Where.
        address: SocketAddr,
        /// The subsystem.
        subsystem: String,
    },
    /// It wants to know who this is.
    #[error("{subsystem} at {address} wants in-band authentication, which is not supported: turn it off for this host")]
    Authentication {
        /// Where.
        address: SocketAddr,
        /// The subsystem.
        subsystem: String,
    },
    /// Connect failed for another reason.
    #[error("{subsystem} at {address} refused queue {qid}: {status}{about}")]
    Rejected {
        /// Where.
        address: SocketAddr,
        /// The subsystem.
        subsystem: String,
        /// Which queue.
        qid: u16,
        /// What the controller says.
        status: Status,
        /// What of the request is wrong, if that is known.
        about: &'static str,
    },
    /// The connection broke, or the peer ended it.
    #[error("the connection to {address} is lost: {why}")]
    Lost {
        /// Where.
        address: SocketAddr,
        /// How.
        why: String,
    },
    /// The peer broke a rule of the protocol.
    #[error("the controller at {address} broke a rule of NVMe/TCP: {why}")]
    Protocol {
        /// Where.
        address: SocketAddr,
        /// Which.
        why: String,
    },
    /// This process has no descriptor or memory for it.
    #[error("this machine cannot connect to {address}: {why}")]
    Local {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        why: String,
    },
}

impl Failure {
    /// Can the same attempt succeed a while later, with nobody changing anything here?
    pub fn may_pass(&self) -> bool {
        match self {
            Failure::Invalid(_) | Failure::NotNvme { .. } | Failure::NoDigest { .. } | Failure::Authentication { .. } => false,
            Failure::Rejected { status, .. } => !status.is_dnr(),
            // A target that starts lets its hosts and subsystems in one by one.
            _ => true,
        }
    }

    /// As a queue pair takes it.
    pub(crate) fn lost(&self) -> Lost {
        match self {
            Failure::Protocol { .. } => Lost::Protocol(self.to_string()),
            _ => Lost::Connection(self.to_string()),
        }
    }

    /// The system would not connect.
    pub(super) fn of_dial(address: SocketAddr, error: &io::Error) -> Failure {
        use io::ErrorKind as Kind;
        let why = error.to_string();
        match error.kind() {
            Kind::ConnectionRefused | Kind::ConnectionReset => Failure::Refused(address),
            Kind::TimedOut => Failure::TimedOut { address, step: "it takes no connection" },
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown | Kind::ConnectionAborted => {
                Failure::Unreachable { address, why }
            }
            _ => Failure::Local { address, why },
        }
    }

    /// The peer closed before the queue was usable.
    pub(super) fn of_early_end(address: SocketAddr, greeted: bool, closed: Closed) -> Failure {
        if greeted {
            return Failure::Lost { address, why: format!("{closed}, before it answered the Connect") };
        }
        Failure::NotNvme { address, why: format!("the connection was {closed}, before an answer to the ICReq") }
    }

    /// The answer to Connect.
    pub(super) fn of_connect(address: SocketAddr, spec: &TcpSpec, status: Status, result: u32) -> Failure {
        let (subsystem, host) = (spec.subsystem.clone(), spec.host.nqn.clone());
        let about = match status {
            s if s.is(Status::CONNECT_INVALID_PARAMETERS) => match ConnectInvalid::from_bits(result) {
                ConnectInvalid::SUBNQN => return Failure::NoSubsystem { address, subsystem },
                ConnectInvalid::HOSTNQN => ": it does not like the host NQN",
                ConnectInvalid::HOSTID => ": it does not like the host identifier",
                ConnectInvalid::CNTLID => ": it has no such controller (any more)",
                ConnectInvalid::QID => ": it has no queue of this number, or it is connected already",
                ConnectInvalid::SQSIZE => ": it takes no queue of this depth",
                ConnectInvalid::KATO => ": it does not like the keep-alive timeout",
                _ => "",
            },
            s if s.is(Status::CONNECT_INVALID_HOST) => return Failure::HostNotAllowed { address, subsystem, host },
            s if s.is(Status::CONTROLLER_BUSY) => return Failure::Busy { address, subsystem },
            s if s.is(Status::AUTHENTICATION_REQUIRED) => return Failure::Authentication { address, subsystem },
            s if s.is(Status::CONNECT_RESTART_DISCOVERY) => ": what it offers has changed, discover again",
            _ => "",
        };
        Failure::Rejected { address, subsystem, qid: spec.qid, status, about }
    }
}
