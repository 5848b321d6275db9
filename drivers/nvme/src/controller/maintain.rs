//! What an operator has a controller do to itself: a namespace formatted, its firmware replaced.

use super::Controller;
use crate::admin::Payload;
use crate::error::{CommandError, NvmeError};
use doorbell_wire_nvme::{CommitAction, FirmwareCommit, FirmwareDownload, FormatNvm, Status};

/// When a firmware that was committed runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// As it was asked for.
    AsAsked,
    /// After a reset of the controller.
    ControllerReset,
    /// After a reset of the NVM subsystem.
    SubsystemReset,
    /// After a conventional reset: a power cycle, or a reset of its bus.
    ConventionalReset,
}

impl Controller {
    /// Formats a namespace, or all with the identifier of all, and looks at them anew. It takes as long as the controller needs. Before, they
    /// leave: whoever has them open must not write blocks of the old size to them.
    pub async fn format(&self, nsid: u32, how: FormatNvm) -> Result<(), NvmeError> {
        self.must("Format NVM", how.encode().with_nsid(nsid), Payload::None).await
    }

    /// Sends a firmware image to the controller, piece by piece, then commits it. `progress` hears how many bytes are there.
    pub async fn update_firmware(
        &self,
        image: &[u8],
        slot: u8,
        action: CommitAction,
        progress: impl Fn(usize),
    ) -> Result<Committed, NvmeError> {
        if action != CommitAction::Activate {
            self.download(image, progress).await?;
        }
        let commit = FirmwareCommit { slot, action }.encode();
        let answer = self.admin(commit, Payload::None).await.map_err(|e| NvmeError::command(&self.0.name, "Firmware Commit", e))?;
        match answer.cqe.status().code() {
            Status::SUCCESS => Ok(Committed::AsAsked),
            Status::FIRMWARE_NEEDS_CONTROLLER_RESET => Ok(Committed::ControllerReset),
            Status::FIRMWARE_NEEDS_SUBSYSTEM_RESET => Ok(Committed::SubsystemReset),
            Status::FIRMWARE_NEEDS_CONVENTIONAL_RESET => Ok(Committed::ConventionalReset),
            status => Err(NvmeError::command(&self.0.name, "Firmware Commit", CommandError::Status(status))),
        }
    }

    async fn download(&self, image: &[u8], progress: impl Fn(usize)) -> Result<(), NvmeError> {
        let bytes = u32::try_from(image.len()).ok().filter(|bytes| *bytes > 0 && bytes.is_multiple_of(4));
        let Some(bytes) = bytes else {
            let why = format!("a firmware image of {} bytes: it must have some, a multiple of 4, below 4 GiB", image.len());
            return Err(NvmeError::unusable(&self.0.name, why));
        };
        let facts = self.0.facts.borrow().clone();
        let Some(facts) = facts else { return Err(NvmeError::unusable(&self.0.name, "it is not identified")) };
        let piece = piece_bytes(facts.identity.raw.fwug, facts.max_bytes);
        for (at, part) in (0..bytes).step_by(piece as usize).zip(image.chunks(piece as usize)) {
            let sqe = FirmwareDownload { bytes: part.len() as u32, offset: at }.encode();
            self.must("Firmware Image Download", sqe, Payload::Out(part.to_vec())).await?;
            progress(at as usize + part.len());
        }
        Ok(())
    }

    async fn must(&self, what: &'static str, sqe: doorbell_wire_nvme::Sqe, payload: Payload) -> Result<(), NvmeError> {
        let answer = self.admin(sqe, payload).await.map_err(|e| NvmeError::command(&self.0.name, what, e))?;
        match answer.cqe.status() {
            status if status.is_ok() => Ok(()),
            status => Err(NvmeError::command(&self.0.name, what, CommandError::Status(status))),
        }
    }
}

/// Bytes of one piece, by FWUG: in units of 4 KiB, 0 when nothing is told, FFh when there is no such limit (Base 2.1, 5.1.13.2.1). As much
/// as one command carries where that is a multiple of it, but no more than a controller has time for.
fn piece_bytes(fwug: u8, max_bytes: u32) -> u32 {
    const UNIT: u32 = 4096;
    const PLENTY: u32 = 128 << 10;
    let granularity = match fwug {
        0 | 0xff => UNIT,
        n => u32::from(n) * UNIT,
    };
    let most = max_bytes.min(PLENTY) / granularity * granularity;
    most.max(granularity)
}

#[cfg(test)]
mod tests;
