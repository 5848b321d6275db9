//! Admin commands (Base 2.1, 5).

use super::{bit, byte, high, join, low, split};
use crate::{AdminOpcode, Cid, Cns, Csi, FabricsCommand, FeatureId, FeatureSelect, LogId, Sqe, U32};

/// A command of the admin queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminCommand {
    /// Identify (Base 2.1, 5.1.13).
    Identify(Identify),
    /// Get Log Page (Base 2.1, 5.1.12).
    GetLogPage(GetLogPage),
    /// Get Features (Base 2.1, 5.1.11).
    GetFeatures(GetFeatures),
    /// Set Features (Base 2.1, 5.1.25).
    SetFeatures(SetFeatures),
    /// Asynchronous Event Request (Base 2.1, 5.1.2).
    AsyncEventRequest,
    /// Abort (Base 2.1, 5.1.1).
    Abort(Abort),
    /// Keep Alive (Base 2.1, 5.1.14).
    KeepAlive,
    /// A fabrics command.
    Fabrics(FabricsCommand),
    /// Any other.
    Other(AdminOpcode),
}

/// Identify (Base 2.1, 5.1.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Identify {
    /// CNS: which structure.
    pub cns: Cns,
    /// CNTID: controller identifier, for some structures.
    pub cntid: u16,
    /// CNSSID: CNS specific identifier.
    pub cnssid: u16,
    /// CSI: command set identifier.
    pub csi: Csi,
    /// UIDX: UUID index, 0 for none.
    pub uuid_index: u8,
}

/// Get Log Page (Base 2.1, 5.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetLogPage {
    /// LID: which log.
    pub lid: LogId,
    /// LSP: log specific parameter, 7 bits.
    pub lsp: u8,
    /// RAE: reading does not clear the asynchronous event.
    pub retain_event: bool,
    /// Bytes asked for, from NUMD (a multiple of 4, 4 at least, up to 16 GiB).
    pub len: u64,
    /// LSI: log specific identifier.
    pub lsi: u16,
    /// LPO: offset in bytes, or in entries when `offset_is_index`.
    pub offset: u64,
    /// OT: the offset counts entries.
    pub offset_is_index: bool,
    /// CSI: command set identifier.
    pub csi: Csi,
    /// UIDX: UUID index, 0 for none.
    pub uuid_index: u8,
}

impl Default for GetLogPage {
    fn default() -> Self {
        Self {
            lid: LogId::SUPPORTED,
            lsp: 0,
            retain_event: false,
            len: 4,
            lsi: 0,
            offset: 0,
            offset_is_index: false,
            csi: Csi::NVM,
            uuid_index: 0,
        }
    }
}

/// Get Features (Base 2.1, 5.1.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct GetFeatures {
    /// FID: which feature.
    pub fid: FeatureId,
    /// SEL: which of its values.
    pub select: FeatureSelect,
    /// Dword 11, which some features read (temperature threshold, interrupt vector).
    pub cdw11: u32,
    /// UIDX: UUID index, 0 for none.
    pub uuid_index: u8,
}

/// Set Features (Base 2.1, 5.1.25).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SetFeatures {
    /// FID: which feature.
    pub fid: FeatureId,
    /// SV: keep the value across power cycles and resets.
    pub save: bool,
    /// Dword 11: the value (see [`crate::feature`]).
    pub cdw11: u32,
    /// Dword 12.
    pub cdw12: u32,
    /// Dword 13.
    pub cdw13: u32,
    /// Dword 15.
    pub cdw15: u32,
    /// UIDX: UUID index, 0 for none.
    pub uuid_index: u8,
}

/// Abort (Base 2.1, 5.1.1). Bit 0 of its completion's dword 0 is clear when the command was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Abort {
    /// SQID: the queue of the command to abort.
    pub sqid: u16,
    /// CID: the command to abort.
    pub cid: Cid,
}

impl AdminCommand {
    /// What the entry asks for.
    pub fn parse(sqe: &Sqe) -> Self {
        match sqe.admin_opcode() {
            AdminOpcode::IDENTIFY => Self::Identify(Identify::parse(sqe)),
            AdminOpcode::GET_LOG_PAGE => Self::GetLogPage(GetLogPage::parse(sqe)),
            AdminOpcode::GET_FEATURES => Self::GetFeatures(GetFeatures::parse(sqe)),
            AdminOpcode::SET_FEATURES => Self::SetFeatures(SetFeatures::parse(sqe)),
            AdminOpcode::ASYNC_EVENT_REQUEST => Self::AsyncEventRequest,
            AdminOpcode::ABORT => Self::Abort(Abort::parse(sqe)),
            AdminOpcode::KEEP_ALIVE => Self::KeepAlive,
            AdminOpcode::FABRICS => Self::Fabrics(FabricsCommand::parse(sqe)),
            other => Self::Other(other),
        }
    }

    /// The entry that asks for this.
    pub fn encode(self) -> Sqe {
        match self {
            Self::Identify(c) => c.encode(),
            Self::GetLogPage(c) => c.encode(),
            Self::GetFeatures(c) => c.encode(),
            Self::SetFeatures(c) => c.encode(),
            Self::AsyncEventRequest => Sqe::new(AdminOpcode::ASYNC_EVENT_REQUEST.0),
            Self::Abort(c) => c.encode(),
            Self::KeepAlive => Sqe::new(AdminOpcode::KEEP_ALIVE.0),
            Self::Fabrics(c) => c.encode(),
            Self::Other(opcode) => Sqe::new(opcode.0),
        }
    }
}

impl Identify {
    fn parse(sqe: &Sqe) -> Self {
        let (d10, d11) = (sqe.cdw10.get(), sqe.cdw11.get());
        Self {
            cns: Cns(byte(d10, 0)),
            cntid: high(d10),
            cnssid: low(d11),
            csi: Csi(byte(d11, 24)),
            uuid_index: byte(sqe.cdw14.get(), 0) & 0x7f,
        }
    }

    fn encode(self) -> Sqe {
        Sqe {
            cdw10: U32::new(u32::from(self.cns.0) | (u32::from(self.cntid) << 16)),
            cdw11: U32::new(u32::from(self.cnssid) | (u32::from(self.csi.0) << 24)),
            cdw14: U32::new(u32::from(self.uuid_index & 0x7f)),
            ..Sqe::new(AdminOpcode::IDENTIFY.0)
        }
    }
}

impl GetLogPage {
    fn parse(sqe: &Sqe) -> Self {
        let (d10, d11, d14) = (sqe.cdw10.get(), sqe.cdw11.get(), sqe.cdw14.get());
        let dwords = u32::from(high(d10)) | (u32::from(low(d11)) << 16);
        Self {
            lid: LogId(byte(d10, 0)),
            lsp: byte(d10, 8) & 0x7f,
            retain_event: bit(d10, 15),
            len: (u64::from(dwords) + 1) * 4,
            lsi: high(d11),
            offset: join(sqe.cdw12.get(), sqe.cdw13.get()),
            offset_is_index: bit(d14, 23),
            csi: Csi(byte(d14, 24)),
            uuid_index: byte(d14, 0) & 0x7f,
        }
    }

    /// A length that is no multiple of 4 is rounded up; beyond 16 GiB it is cut.
    fn encode(self) -> Sqe {
        let (numd, _) = split(self.len.div_ceil(4).clamp(1, 1 << 32) - 1);
        let (lpol, lpou) = split(self.offset);
        let d10 =
            u32::from(self.lid.0) | (u32::from(self.lsp & 0x7f) << 8) | (u32::from(self.retain_event) << 15) | (u32::from(low(numd)) << 16);
        Sqe {
            cdw10: U32::new(d10),
            cdw11: U32::new(u32::from(high(numd)) | (u32::from(self.lsi) << 16)),
            cdw12: U32::new(lpol),
            cdw13: U32::new(lpou),
            cdw14: U32::new(u32::from(self.uuid_index & 0x7f) | (u32::from(self.offset_is_index) << 23) | (u32::from(self.csi.0) << 24)),
            ..Sqe::new(AdminOpcode::GET_LOG_PAGE.0)
        }
    }
}

impl GetFeatures {
    fn parse(sqe: &Sqe) -> Self {
        let d10 = sqe.cdw10.get();
        Self {
            fid: FeatureId(byte(d10, 0)),
            select: FeatureSelect(byte(d10, 8) & 7),
            cdw11: sqe.cdw11.get(),
            uuid_index: byte(sqe.cdw14.get(), 0) & 0x7f,
        }
    }

    fn encode(self) -> Sqe {
        Sqe {
            cdw10: U32::new(u32::from(self.fid.0) | (u32::from(self.select.0 & 7) << 8)),
            cdw11: U32::new(self.cdw11),
            cdw14: U32::new(u32::from(self.uuid_index & 0x7f)),
            ..Sqe::new(AdminOpcode::GET_FEATURES.0)
        }
    }
}

impl SetFeatures {
    fn parse(sqe: &Sqe) -> Self {
        let d10 = sqe.cdw10.get();
        Self {
            fid: FeatureId(byte(d10, 0)),
            save: bit(d10, 31),
            cdw11: sqe.cdw11.get(),
            cdw12: sqe.cdw12.get(),
            cdw13: sqe.cdw13.get(),
            cdw15: sqe.cdw15.get(),
            uuid_index: byte(sqe.cdw14.get(), 0) & 0x7f,
        }
    }

    fn encode(self) -> Sqe {
        Sqe {
            cdw10: U32::new(u32::from(self.fid.0) | (u32::from(self.save) << 31)),
            cdw11: U32::new(self.cdw11),
            cdw12: U32::new(self.cdw12),
            cdw13: U32::new(self.cdw13),
            cdw14: U32::new(u32::from(self.uuid_index & 0x7f)),
            cdw15: U32::new(self.cdw15),
            ..Sqe::new(AdminOpcode::SET_FEATURES.0)
        }
    }
}

impl Abort {
    fn parse(sqe: &Sqe) -> Self {
        let d10 = sqe.cdw10.get();
        Self { sqid: low(d10), cid: Cid(high(d10)) }
    }

    fn encode(self) -> Sqe {
        Sqe { cdw10: U32::new(u32::from(self.sqid) | (u32::from(self.cid.0) << 16)), ..Sqe::new(AdminOpcode::ABORT.0) }
    }
}
