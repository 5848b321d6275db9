//! Reading a discovery log (Base 2.1, 5.1.12.3.1 and 3.1.3.3): in pieces, over again when it changes meanwhile.
//!
//! What it is not: it sends nothing. Its owner reads the range that [`Reading::next`] asks for and gives what came to [`Reading::take`].
//!
//! Invariants: no entry is told of a log that changed while it was read; nothing is allocated by a number that the controller names.

use crate::address::TransportId;
use doorbell_wire_nvme::log::{DiscoveryEntry, DiscoveryHeader, Treq};
use doorbell_wire_nvme::{GetLogPage, LogId, SubsystemType, view};
use std::ops::Range;

/// Bytes of the head, and of each entry.
const UNIT: u64 = 1024;
/// Entries that a log may have: what a hostile controller can make anybody read.
pub const ENTRIES_MAX: u64 = 65_536;
/// How often it is begun again because it changed.
const TRIES: u32 = 10;

/// Why a log cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// It changes faster than it can be read.
    #[error("the discovery log changed each of {TRIES} times while it was read: try again later")]
    Restless,
    /// More entries than anybody has.
    #[error("the discovery log claims to have {0} entries; at most {ENTRIES_MAX} are read")]
    TooLong(u64),
    /// A format that is not known here.
    #[error("the discovery log has record format {0}, and only 0 is known")]
    Format(u16),
    /// Fewer bytes came than were asked for.
    #[error("the discovery log came cut short")]
    Short,
}

/// What one entry tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is; `None` for what cannot be reached from here (another transport, or nonsense).
    pub id: Option<TransportId>,
    /// What is there: a subsystem, this or another discovery subsystem.
    pub kind: SubsystemType,
    /// What a connection must have.
    pub requirements: Treq,
    /// Controller identifier, FFFFh for a new one each time.
    pub cntlid: u16,
    /// The entry as it came.
    pub entry: Box<DiscoveryEntry>,
}

impl Found {
    fn of(entry: &DiscoveryEntry) -> Found {
        Found {
            id: TransportId::of_entry(entry),
            kind: entry.subtype,
            requirements: Treq::from_bits(entry.treq),
            cntlid: entry.cntlid.get(),
            entry: Box::new(entry.clone()),
        }
    }

    /// Is it a discovery subsystem, this one or another?
    pub fn is_discovery(&self) -> bool {
        matches!(self.kind, SubsystemType::REFERRAL | SubsystemType::CURRENT_DISCOVERY)
    }
}

/// A log, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its generation.
    pub generation: u64,
    /// Its entries.
    pub found: Vec<Found>,
}

/// How far reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Head,
    /// So many of so many entries are there.
    Entries {
        have: u64,
        of: u64,
    },
    /// The head once more: is it still the same log?
    Check,
}

/// A log that is being read.
#[derive(Debug)]
pub struct Reading {
    piece: u64,
    step: Step,
    generation: u64,
    found: Vec<Found>,
    tries: u32,
}

impl Reading {
    /// Begins, with pieces of at most `piece` bytes (1 KiB at least).
    pub fn new(piece: u32) -> Reading {
        let piece = (u64::from(piece) / UNIT).max(1) * UNIT;
        Reading { piece, step: Step::Head, generation: 0, found: Vec::new(), tries: 0 }
    }

    /// Bytes of the log to read next.
    pub fn next(&self) -> Range<u64> {
        match self.step {
            Step::Head | Step::Check => 0..UNIT,
            Step::Entries { have, of } => {
                let from = UNIT + have * UNIT;
                from..(from + self.piece).min(UNIT + of * UNIT)
            }
        }
    }

    /// The command that reads them, whose data has the range's length.
    pub fn command(&self) -> GetLogPage {
        let range = self.next();
        GetLogPage { lid: LogId::DISCOVERY, len: range.end - range.start, offset: range.start, ..GetLogPage::default() }
    }

    /// Takes what was asked for; gives the log once it is whole.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<Log>, LogError> {
        let range = self.next();
        let bytes = usize::try_from(range.end - range.start).ok().and_then(|len| bytes.get(..len)).ok_or(LogError::Short)?;
        match self.step {
            Step::Head => {
                let head: &DiscoveryHeader = view(bytes).ok_or(LogError::Short)?;
                self.begin(head)
            }
            Step::Entries { have, of } => {
                self.found.extend(bytes.chunks_exact(UNIT as usize).filter_map(view).map(Found::of));
                let have = have + (range.end - range.start) / UNIT;
                self.step = if have < of { Step::Entries { have, of } } else { Step::Check };
                Ok(None)
            }
            Step::Check => {
                let head: &DiscoveryHeader = view(bytes).ok_or(LogError::Short)?;
                if head.genctr.get() == self.generation && head.numrec.get() == self.found.len() as u64 {
                    return Ok(Some(self.end()));
                }
                self.tries += 1;
                if self.tries >= TRIES {
                    return Err(LogError::Restless);
                }
                self.begin(head)
            }
        }
    }

    fn begin(&mut self, head: &DiscoveryHeader) -> Result<Option<Log>, LogError> {
        let of = head.numrec.get();
        match (head.recfmt.get(), of) {
            (0, 0..=ENTRIES_MAX) => {}
            (0, _) => return Err(LogError::TooLong(of)),
            (format, _) => return Err(LogError::Format(format)),
        }
        self.found.clear();
        self.generation = head.genctr.get();
        if of == 0 {
            return Ok(Some(self.end()));
        }
        self.step = Step::Entries { have: 0, of };
        Ok(None)
    }

    fn end(&mut self) -> Log {
        Log { generation: self.generation, found: std::mem::take(&mut self.found) }
    }
}

#[cfg(test)]
mod tests;
