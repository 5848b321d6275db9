//! Transfers that take several PDUs: what may come next of one (TCP 1.1, 3.3.2 and 3.6.2.8 to 3.6.2.10).
//!
//! These hold a few numbers for each command and no buffer. Finding the one that a PDU belongs to, by tag or command
//! id, is the owner's: an unknown one is [`Fault::TTAG`] or [`Fault::CCCID`].

use crate::{C2hData, Fault, H2cData, R2t};
use doorbell_wire_nvme::Cid;

/// How far a transfer is after a PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More data follows.
    More,
    /// That was the last of it.
    Done,
}

/// Controller: the data that one R2T asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct H2cTransfer {
    cccid: Cid,
    ttag: u16,
    next: u32,
    end: u32,
}

impl H2cTransfer {
    /// What `r2t` asks for; `None` when its range does not fit in 32 bits.
    pub fn new(r2t: &R2t) -> Option<Self> {
        let end = r2t.offset.checked_add(r2t.len)?;
        Some(Self { cccid: r2t.cccid, ttag: r2t.ttag, next: r2t.offset, end })
    }

    /// Takes the next H2CData: of this tag and command, in order, within what was asked for, and marked as the last
    /// exactly when it is.
    pub fn accept(&mut self, data: &H2cData) -> Result<Progress, Fault> {
        if data.ttag != self.ttag {
            return Err(Fault::TTAG);
        }
        if data.cccid != self.cccid {
            return Err(Fault::CCCID);
        }
        let left = self.left();
        if data.offset != self.next || data.len > left {
            return Err(Fault::OUT_OF_RANGE);
        }
        if data.last != (data.len == left) {
            return Err(Fault::FLAGS);
        }
        self.next += data.len;
        Ok(if data.last { Progress::Done } else { Progress::More })
    }

    /// Bytes that are still to come.
    pub const fn left(&self) -> u32 {
        self.end - self.next
    }
}

/// Host: the data of one reading command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct C2hTransfer {
    next: u32,
    end: u32,
    last: bool,
}

impl C2hTransfer {
    /// Of a command whose data pointer names `len` bytes.
    pub const fn new(len: u32) -> Self {
        Self { next: 0, end: len, last: false }
    }

    /// Takes the next C2HData: in order, within the command's buffer, nothing after the last. A controller may mark the
    /// last one early (it found less): see [`C2hTransfer::received`].
    pub fn accept(&mut self, data: &C2hData) -> Result<Progress, Fault> {
        if self.last {
            return Err(Fault::SEQUENCE);
        }
        if data.offset != self.next || data.len > self.end - self.next {
            return Err(Fault::OUT_OF_RANGE);
        }
        self.next += data.len;
        self.last = data.last;
        Ok(if data.last { Progress::Done } else { Progress::More })
    }

    /// Bytes that came.
    pub const fn received(&self) -> u32 {
        self.next
    }

    /// Whether all of the buffer was filled.
    pub const fn is_full(&self) -> bool {
        self.next == self.end
    }
}

/// Host: what the controller may still ask for of one writing command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct R2tWindow {
    next: u32,
    end: u32,
    outstanding: u32,
    max: u32,
}

impl R2tWindow {
    /// Of a command with `len` bytes to write and `max_r2t` R2Ts at once.
    pub const fn new(len: u32, max_r2t: u32) -> Self {
        Self { next: 0, end: len, outstanding: 0, max: max_r2t }
    }

    /// Takes an R2T: within the command's data, after the ones before it, not one too many.
    pub fn accept(&mut self, r2t: &R2t) -> Result<(), Fault> {
        if self.outstanding >= self.max {
            return Err(Fault::LIMIT);
        }
        let end = r2t.offset.checked_add(r2t.len).filter(|&end| end <= self.end);
        let (Some(end), true) = (end, r2t.offset >= self.next) else {
            return Err(Fault::OUT_OF_RANGE);
        };
        self.next = end;
        self.outstanding += 1;
        Ok(())
    }

    /// The last data of one R2T was sent.
    pub fn answered(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests;
