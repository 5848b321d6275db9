//! `doorbell nvme firmware`: an image sent to a controller, and run as it was asked.

use super::{Failed, say, with, words};
use crate::cli::{Activate, FirmwareArgs};
use crate::size::Size;
use doorbell_nvme::{Committed, Controller, Identity};
use doorbell_wire_nvme::CommitAction;
use doorbell_wire_nvme::identify::Frmw;
use std::io::{IsTerminal, Write};

#[cfg(test)]
mod tests;

pub(super) fn firmware(args: FirmwareArgs) -> Result<(), Failed> {
    let image = std::fs::read(&args.image).map_err(|e| words(format!("cannot read {}: {e}", args.image.display())))?;
    let (slot, activate, reach) = (args.slot, args.activate, args.reach.clone());
    let done = with(&reach, async move |controller: &Controller| {
        let identity = controller.identity().ok_or_else(|| words("the controller was not identified"))?;
        check(&identity, slot, activate)?;
        let shown = std::io::stderr().is_terminal();
        let progress = |bytes: usize| {
            if shown {
                let mut stderr = std::io::stderr().lock();
                let _ = write!(stderr, "\r  {} of {} sent   ", Size(bytes as u64), Size(image.len() as u64));
                let _ = stderr.flush();
            }
        };
        let action = match activate {
            Activate::No => CommitAction::Replace,
            Activate::Later | Activate::Reset => CommitAction::ReplaceAndActivate,
            Activate::Now => CommitAction::ReplaceAndActivateNow,
        };
        let committed = controller.update_firmware(&image, slot, action, progress).await;
        if shown {
            eprint!("\r\u{1b}[K");
        }
        let committed = committed?;
        if activate == Activate::Reset && matches!(committed, Committed::AsAsked | Committed::ControllerReset) {
            controller.reset().await?;
            let now = controller.identity().ok_or_else(|| words("the controller was not identified after its reset"))?;
            return Ok(format!("{} {}: was {}, runs {} now", now.model, now.serial, identity.firmware, now.firmware));
        }
        Ok(format!("{} {}: {}", identity.model, identity.serial, outcome(committed, activate)))
    })?;
    say(done);
    Ok(())
}

/// What becomes of an image that was taken and is not run by a reset of ours.
fn outcome(committed: Committed, activate: Activate) -> &'static str {
    match (committed, activate) {
        (Committed::ControllerReset, _) => "the image is in its slot and runs after a reset of the controller (doorbell nvme reset)",
        (Committed::SubsystemReset, _) => {
            "the image is in its slot and runs after a reset of the whole subsystem: doorbell nvme reset --subsystem"
        }
        (Committed::ConventionalReset, _) => "the image is in its slot and runs after a power cycle",
        (Committed::AsAsked, Activate::No) => "the image is in its slot",
        (Committed::AsAsked, Activate::Now) => "the image runs",
        (Committed::AsAsked, _) => "the image is in its slot and runs from the next reset on",
    }
}

fn check(of: &Identity, slot: u8, activate: Activate) -> Result<(), Failed> {
    if !of.oacs().firmware() {
        return Err(words(format!("{} {} takes no firmware: it has no Firmware Commit command", of.model, of.serial)));
    }
    refusal(Frmw::from_bits(of.raw.frmw), slot, activate).map_or(Ok(()), |why| Err(words(why)))
}

fn refusal(has: Frmw, slot: u8, activate: Activate) -> Option<String> {
    match slot {
        n if n > has.slots() => Some(format!("there is no slot {n}: it has {}", has.slots())),
        1 if has.first_read_only() => Some("slot 1 is read-only".to_owned()),
        _ if activate == Activate::Now && !has.without_reset() => {
            Some("it cannot run an image without a reset: leave --activate out".to_owned())
        }
        _ => None,
    }
}
