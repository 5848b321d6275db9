//! What can go wrong with a controller, in words that an operator can act on.

use doorbell_block::Status as Ended;
use doorbell_pci::PciError;
use doorbell_wire_nvme::Status;

/// Why a controller could not be brought up or kept.
#[derive(Debug, thiserror::Error)]
pub enum NvmeError {
    /// The function beneath it.
    #[error(transparent)]
    Pci(#[from] PciError),
    /// The controller did not do what it must in the time it has.
    #[error("{controller}: {what} took longer than {seconds} s")]
    TimedOut {
        /// Which.
        controller: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
    },
    /// The controller cannot be used as it is.
    #[error("{controller}: {why}")]
    Unusable {
        /// Which.
        controller: String,
        /// Why.
        why: String,
    },
    /// A command failed.
    #[error("{controller}: {command}: {source}")]
    Command {
        /// Which.
        controller: String,
        /// What was asked.
        command: &'static str,
        /// How it ended.
        source: CommandError,
    },
}

/// How a command failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The controller says so.
    #[error("{0}")]
    Status(Status),
    /// It names memory or queues that the driver answers for, or changes what the driver relies on.
    #[error("the driver keeps this command to itself")]
    Reserved,
    /// It was not done, or nobody knows: the controller was reset or has gone.
    #[error("not done: {0}")]
    NotDone(Ended),
}

impl NvmeError {
    pub(crate) fn unusable(controller: &str, why: impl Into<String>) -> NvmeError {
        NvmeError::Unusable { controller: controller.to_owned(), why: why.into() }
    }

    pub(crate) fn command(controller: &str, command: &'static str, source: CommandError) -> NvmeError {
        NvmeError::Command { controller: controller.to_owned(), command, source }
    }
}
