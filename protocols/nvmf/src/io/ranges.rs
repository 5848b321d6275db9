//! Commands with ranges (Dataset Management, Copy): the list is checked whole before its first range is carried out, and then gone through
//! one by one. The list lies in memory of ours, so that what was checked is what is carried out.

use super::{Facts, Piece, Plan, Shape, check_copy, unmap_piece};
use doorbell_mem::SgList;
use doorbell_wire_nvme::Status;
use doorbell_wire_nvme::range::{CopyRange, DsmRange};

/// Checks every range.
pub(crate) fn check(plan: &Plan, list: &SgList, facts: &Facts) -> Result<(), Status> {
    let mut room = [0u8; 256 * 32];
    match plan.shape {
        Shape::Copies { ranges } => {
            let bytes = room.get_mut(..usize::from(ranges) * 32).unwrap_or_default();
            list.read_at(0, bytes);
            check_copy(plan.lba, CopyRange::slice(bytes), facts)
        }
        Shape::Unmaps { ranges } => {
            let bytes = room.get_mut(..usize::from(ranges) * 16).unwrap_or_default();
            list.read_at(0, bytes);
            DsmRange::slice(bytes).iter().try_for_each(|range| unmap_piece(range, facts).map(drop))
        }
        _ => Ok(()),
    }
}

/// How far a command with ranges is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Ranges done, or the namespace flushed last.
    pub(crate) next: u32,
    /// Blocks copied.
    pub(crate) copied: u64,
}

/// The next range of which there are blocks; `None` when that was all.
pub(crate) fn next(plan: &Plan, list: &SgList, progress: &mut Progress, facts: &Facts) -> Option<Result<Piece, Status>> {
    loop {
        let at = progress.next;
        let piece = match plan.shape {
            Shape::Unmaps { ranges } if at < u32::from(ranges) => {
                let mut raw = [0; 16];
                list.read_at(at * 16, &mut raw);
                DsmRange::slice(&raw).first().map(|range| unmap_piece(range, facts))?
            }
            Shape::Copies { ranges } if at < u32::from(ranges) => {
                let mut raw = [0; 32];
                list.read_at(at * 32, &mut raw);
                let to = plan.lba + progress.copied;
                CopyRange::slice(&raw).first().map(|c| Ok(Some(Piece { lba: to, source: c.slba.get(), blocks: c.blocks() })))?
            }
            _ => return None,
        };
        progress.next += 1;
        match piece {
            Err(status) => return Some(Err(status)),
            Ok(None) => {}
            Ok(Some(piece)) => {
                progress.copied += u64::from(piece.blocks);
                return Some(Ok(piece));
            }
        }
    }
}
