//! Format NVM, Firmware Image Download, Firmware Commit (Base 2.1, 5.1.8 to 5.1.10) and Sanitize (5.1.22).

use crate::{AdminOpcode, Sqe, U32};

/// Format NVM (Base 2.1, 5.1.10). Which namespaces it formats is its NSID's and the controller's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FormatNvm {
    /// LBAFL and LBAFU: index of the format, 6 bits.
    pub format: u8,
    /// MSET: metadata follows each block's data.
    pub extended_metadata: bool,
    /// PI: type of protection information, 0 for none.
    pub protection: u8,
    /// PIL: protection information lies in the first bytes of the metadata.
    pub protection_first: bool,
    /// SES: what becomes of the data.
    pub erase: SecureErase,
}

/// What a format does to user data (Base 2.1, 5.1.10, SES).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum SecureErase {
    /// Nothing is promised.
    #[default]
    None = 0,
    /// It is erased.
    UserData = 1,
    /// The key that it is encrypted with is.
    Cryptographic = 2,
}

impl FormatNvm {
    /// The entry that asks for this.
    pub fn encode(self) -> Sqe {
        let cdw10 = u32::from(self.format & 15)
            | u32::from(self.extended_metadata) << 4
            | u32::from(self.protection & 7) << 5
            | u32::from(self.protection_first) << 8
            | (self.erase as u32) << 9
            | u32::from(self.format >> 4 & 3) << 12;
        Sqe { cdw10: U32::new(cdw10), ..Sqe::new(AdminOpcode::FORMAT_NVM.0) }
    }
}

/// Firmware Image Download: one piece of an image (Base 2.1, 5.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirmwareDownload {
    /// Bytes of the piece, from NUMD: a multiple of 4, 4 at least.
    pub bytes: u32,
    /// Where in the image it begins, in bytes: a multiple of 4.
    pub offset: u32,
}

impl FirmwareDownload {
    /// The entry that asks for this.
    pub fn encode(self) -> Sqe {
        let numd = (self.bytes / 4).saturating_sub(1);
        Sqe { cdw10: U32::new(numd), cdw11: U32::new(self.offset / 4), ..Sqe::new(AdminOpcode::FIRMWARE_DOWNLOAD.0) }
    }
}

/// Firmware Commit (Base 2.1, 5.1.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirmwareCommit {
    /// FS: the slot, 1 to 7; 0 lets the controller choose.
    pub slot: u8,
    /// CA: what is done.
    pub action: CommitAction,
}

/// What a Firmware Commit does (Base 2.1, 5.1.8, CA).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CommitAction {
    /// The image that was downloaded goes into the slot, and no more.
    Replace = 0,
    /// It goes into the slot, and runs from the next reset on.
    ReplaceAndActivate = 1,
    /// What is in the slot runs from the next reset on.
    Activate = 2,
    /// It goes into the slot and runs at once, without a reset.
    ReplaceAndActivateNow = 3,
}

impl FirmwareCommit {
    /// The entry that asks for this.
    pub fn encode(self) -> Sqe {
        Sqe { cdw10: U32::new(u32::from(self.slot & 7) | (self.action as u32) << 3), ..Sqe::new(AdminOpcode::FIRMWARE_COMMIT.0) }
    }
}

/// What a Sanitize does (Base 2.1, 5.1.22, SANACT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SanitizeAction {
    /// One that failed is left behind.
    ExitFailure = 1,
    /// Blocks are erased.
    BlockErase = 2,
    /// Blocks are written over.
    Overwrite = 3,
    /// The key that they are encrypted with is changed.
    CryptoErase = 4,
}

/// Sanitize: everything in the NVM subsystem becomes unreadable, for good (Base 2.1, 5.1.22). It goes on after the command has ended, and
/// over resets; the Sanitize Status log page tells how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sanitize {
    /// SANACT: how.
    pub action: SanitizeAction,
    /// AUSE: one that fails may be left behind by a later command.
    pub unrestricted: bool,
    /// NDAS: blocks are not deallocated afterwards.
    pub no_deallocate: bool,
}

impl Sanitize {
    /// The entry that asks for this.
    pub fn encode(self) -> Sqe {
        let cdw10 = self.action as u32 | u32::from(self.unrestricted) << 3 | u32::from(self.no_deallocate) << 9;
        Sqe { cdw10: U32::new(cdw10), ..Sqe::new(AdminOpcode::SANITIZE.0) }
    }
}
