//! A discovery controller's log, read through it.

use super::Controller;
use crate::admin::Payload;
use crate::discovery::{Log, Reading};
use crate::error::NvmeError;
use doorbell_wire_nvme::AdminCommand;

/// Bytes of one piece of the log: what every controller can send at once.
const PIECE: u32 = 4096;

impl Controller {
    /// Reads a discovery controller's log. The controller tells the next change of it once it was read.
    pub async fn discovery_log(&self) -> Result<Log, NvmeError> {
        let mut reading = Reading::new(PIECE);
        loop {
            let range = reading.next();
            let bytes = u32::try_from(range.end - range.start).unwrap_or(PIECE);
            let sqe = AdminCommand::GetLogPage(reading.command()).encode();
            let answer = self.0.command("Get Log Page (discovery)", sqe, Payload::In(bytes)).await?;
            let read = reading.take(&answer.data);
            if let Some(log) = read.map_err(|error| NvmeError::unusable(&self.0.name, error.to_string()))? {
                return Ok(log);
            }
        }
    }
}
