//! Features and migration: what a server must be able to refuse, and a client to ask.

use crate::Malformed;
use crate::field::{fits, fixed};

fixed! {
    /// A feature of the device (vfio-user, Device feature): request and reply. Data of the feature follows.
    pub DeviceFeature = 8 {
        /// Bytes of this structure and of the data.
        argsz: u32,
        /// Bits 15:0 which feature; bit 16 get, 17 set, 18 probe.
        flags: u32,
    }
}

impl DeviceFeature {
    /// Get it.
    pub const GET: u32 = 1 << 16;
    /// Set it.
    pub const SET: u32 = 1 << 17;
    /// Only ask whether that can be done.
    pub const PROBE: u32 = 1 << 18;

    /// Reads a body; the data comes second.
    pub fn decode(body: &[u8]) -> Result<(DeviceFeature, &[u8]), Malformed> {
        let (feature, rest) = Self::split(body)?;
        fits(feature.argsz, Self::LEN)?;
        Ok((feature, rest))
    }

    /// Which feature.
    pub const fn index(&self) -> u32 {
        self.flags & 0xffff
    }
}

fixed! {
    /// Reads or writes the state of a device that migrates (vfio-user, Migration data read and write). Data follows in the reply of a read
    /// and in the request of a write.
    pub MigrationData = 8 {
        /// Bytes of this structure and of the data.
        argsz: u32,
        /// Bytes of data.
        size: u32,
    }
}

impl MigrationData {
    /// Reads a body without data.
    pub fn decode(body: &[u8]) -> Result<MigrationData, Malformed> {
        let (data, _) = Self::split(body)?;
        fits(data.argsz, Self::LEN)?;
        Ok(data)
    }

    /// Reads a body with data.
    pub fn decode_data(body: &[u8]) -> Result<(MigrationData, &[u8]), Malformed> {
        let (data, rest) = (Self::decode(body)?, body.get(Self::LEN..).ok_or(Malformed::Short)?);
        let size = usize::try_from(data.size).map_err(|_| Malformed::Short)?;
        Ok((data, rest.get(..size).ok_or(Malformed::Short)?))
    }
}
