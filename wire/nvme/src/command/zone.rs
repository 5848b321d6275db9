//! I/O commands of the Zoned Namespace command set (ZNS 1.1, 3.4).

use super::io::{nlb, put_lba};
use super::{Protection, bit, bits, byte, high, join};
use crate::{IoOpcode, Sqe, U32};

open_enum! {
    /// ZSA: what a Zone Management Send does (ZNS 1.1, 3.4.3).
    pub struct ZoneSendAction(u8) {
        CLOSE = 0x01 => "Close Zone",
        FINISH = 0x02 => "Finish Zone",
        OPEN = 0x03 => "Open Zone",
        RESET = 0x04 => "Reset Zone",
        OFFLINE = 0x05 => "Offline Zone",
        SET_EXTENSION = 0x10 => "Set Zone Descriptor Extension",
        FLUSH = 0x11 => "Flush Explicit ZRWA Range",
    }
}

open_enum! {
    /// ZRA: what a Zone Management Receive asks for (ZNS 1.1, 3.4.2).
    pub struct ZoneReceiveAction(u8) {
        REPORT = 0x00 => "Report Zones",
        EXTENDED_REPORT = 0x01 => "Extended Report Zones",
    }
}

open_enum! {
    /// Which zones a report lists (ZNS 1.1, 3.4.2.2.1: Reporting Options).
    pub struct ZoneFilter(u8) {
        ALL = 0x00 => "All zones",
        EMPTY = 0x01 => "Empty zones",
        IMPLICITLY_OPEN = 0x02 => "Implicitly opened zones",
        EXPLICITLY_OPEN = 0x03 => "Explicitly opened zones",
        CLOSED = 0x04 => "Closed zones",
        FULL = 0x05 => "Full zones",
        READ_ONLY = 0x06 => "Read only zones",
        OFFLINE = 0x07 => "Offline zones",
    }
}

/// Zone Management Send (ZNS 1.1, 3.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneSend {
    /// SLBA: first block of the zone.
    pub slba: u64,
    /// ZSA: what is done.
    pub action: ZoneSendAction,
    /// Select All: every zone that this can be done to, whatever `slba` says.
    pub all: bool,
    /// ZSASO: option of the action (bit 9: with random write area).
    pub option: bool,
}

/// Zone Management Receive (ZNS 1.1, 3.4.2). Its data begins with a [`crate::zone::ReportHeader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneReceive {
    /// SLBA: a block of the first zone reported.
    pub slba: u64,
    /// Bytes asked for, a multiple of four up to 16 GiB (NUMD counts dwords, zero-based).
    pub len: u64,
    /// ZRA: what is asked for.
    pub action: ZoneReceiveAction,
    /// Which zones.
    pub filter: ZoneFilter,
    /// Partial Report: the header counts what is in the data, not all that there is.
    pub partial: bool,
}

/// Zone Append (ZNS 1.1, 3.4.1). The first block written comes back in dwords 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneAppend {
    /// ZSLBA: first block of the zone.
    pub zslba: u64,
    /// Logical blocks, 1 to 65,536 (NLB is zero-based on the wire).
    pub blocks: u32,
    /// FUA: force unit access.
    pub fua: bool,
    /// LR: limited retry.
    pub limited_retry: bool,
    /// PIREMAP: the controller makes the reference tags fit where the data went.
    pub remap: bool,
    /// DTYPE: directive type, 4 bits.
    pub directive_type: u8,
    /// DSPEC: directive specific.
    pub directive: u16,
    /// Protection information.
    pub protection: Protection,
}

impl Default for ZoneAppend {
    fn default() -> Self {
        Self {
            zslba: 0,
            blocks: 1,
            fua: false,
            limited_retry: false,
            remap: false,
            directive_type: 0,
            directive: 0,
            protection: Protection::default(),
        }
    }
}

fn slba(sqe: &Sqe) -> u64 {
    join(sqe.cdw10.get(), sqe.cdw11.get())
}

impl ZoneSend {
    pub(super) fn parse(sqe: &Sqe) -> Self {
        let d13 = sqe.cdw13.get();
        Self { slba: slba(sqe), action: ZoneSendAction(byte(d13, 0)), all: bit(d13, 8), option: bit(d13, 9) }
    }

    pub(super) fn encode(self) -> Sqe {
        let d13 = u32::from(self.action.0) | (u32::from(self.all) << 8) | (u32::from(self.option) << 9);
        let mut sqe = Sqe { cdw13: U32::new(d13), ..Sqe::new(IoOpcode::ZONE_SEND.0) };
        put_lba(&mut sqe, self.slba);
        sqe
    }
}

impl ZoneReceive {
    pub(super) fn parse(sqe: &Sqe) -> Self {
        let d13 = sqe.cdw13.get();
        Self {
            slba: slba(sqe),
            len: (u64::from(sqe.cdw12.get()) + 1) * 4,
            action: ZoneReceiveAction(byte(d13, 0)),
            filter: ZoneFilter(byte(d13, 8)),
            partial: bit(d13, 16),
        }
    }

    pub(super) fn encode(self) -> Sqe {
        let d13 = u32::from(self.action.0) | (u32::from(self.filter.0) << 8) | (u32::from(self.partial) << 16);
        let dwords = u32::try_from((self.len / 4).max(1) - 1).unwrap_or(u32::MAX);
        let mut sqe = Sqe { cdw12: U32::new(dwords), cdw13: U32::new(d13), ..Sqe::new(IoOpcode::ZONE_RECEIVE.0) };
        put_lba(&mut sqe, self.slba);
        sqe
    }
}

impl ZoneAppend {
    pub(super) fn parse(sqe: &Sqe) -> Self {
        let d12 = sqe.cdw12.get();
        Self {
            zslba: slba(sqe),
            blocks: bits(d12, 0, 16) + 1,
            fua: bit(d12, 30),
            limited_retry: bit(d12, 31),
            remap: bit(d12, 25),
            directive_type: byte(d12, 20) & 0xf,
            directive: high(sqe.cdw13.get()),
            protection: Protection::parse(sqe),
        }
    }

    pub(super) fn encode(self) -> Sqe {
        let d12 = nlb(self.blocks)
            | (u32::from(self.directive_type & 0xf) << 20)
            | (u32::from(self.remap) << 25)
            | (u32::from(self.fua) << 30)
            | (u32::from(self.limited_retry) << 31)
            | self.protection.d12();
        let d13 = u32::from(self.directive) << 16;
        let mut sqe = Sqe { cdw12: U32::new(d12), cdw13: U32::new(d13), ..Sqe::new(IoOpcode::ZONE_APPEND.0) };
        put_lba(&mut sqe, self.zslba);
        self.protection.put(&mut sqe);
        sqe
    }
}
