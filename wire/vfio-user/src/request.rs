//! What a peer asks, by its command: the one place where a server looks at bytes.

use crate::*;

/// A request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Request<'a> {
    /// Agree on version and limits.
    Version(Version<'a>),
    /// Make memory known.
    DmaMap(DmaMap),
    /// Take memory away.
    DmaUnmap(DmaUnmap, Option<DirtyBitmap>),
    /// What is the device?
    DeviceInfo(DeviceInfo),
    /// What is a region?
    RegionInfo(RegionInfo),
    /// Which descriptors stand for accesses to a region?
    RegionIoFds(RegionIoFds),
    /// What is a kind of interrupt?
    IrqInfo(IrqInfo),
    /// Set interrupts.
    SetIrqs(SetIrqs<'a>),
    /// Read a region.
    RegionRead(RegionAccess),
    /// Write a region.
    RegionWrite(RegionAccess, &'a [u8]),
    /// Read memory of the client.
    DmaRead(DmaAccess),
    /// Write memory of the client.
    DmaWrite(DmaAccess, &'a [u8]),
    /// Reset the device.
    Reset,
    /// Write several places.
    WriteMulti(WriteMulti<'a>),
    /// Get, set or probe a feature.
    Feature(DeviceFeature, &'a [u8]),
    /// Read migration data.
    MigrationRead(MigrationData),
    /// Write migration data.
    MigrationWrite(MigrationData, &'a [u8]),
}

impl<'a> Request<'a> {
    /// Reads a body. It may be longer than its structure, as some clients' are; it is refused when it is shorter.
    pub fn decode(command: Command, body: &'a [u8]) -> Result<Request<'a>, Malformed> {
        Ok(match command {
            Command::VERSION => Request::Version(Version::decode(body)?),
            Command::DMA_MAP => Request::DmaMap(DmaMap::decode(body)?),
            Command::DMA_UNMAP => {
                let (unmap, bitmap) = DmaUnmap::decode(body)?;
                Request::DmaUnmap(unmap, bitmap)
            }
            Command::DEVICE_GET_INFO => Request::DeviceInfo(DeviceInfo::decode(body)?),
            Command::DEVICE_GET_REGION_INFO => Request::RegionInfo(RegionInfo::decode(body)?),
            Command::DEVICE_GET_REGION_IO_FDS => Request::RegionIoFds(RegionIoFds::decode(body)?),
            Command::DEVICE_GET_IRQ_INFO => Request::IrqInfo(IrqInfo::decode(body)?),
            Command::DEVICE_SET_IRQS => Request::SetIrqs(SetIrqs::decode(body)?),
            Command::REGION_READ => Request::RegionRead(RegionAccess::decode(body)?),
            Command::REGION_WRITE => {
                let (access, data) = RegionAccess::decode_data(body)?;
                Request::RegionWrite(access, data)
            }
            Command::DMA_READ => Request::DmaRead(DmaAccess::decode(body)?),
            Command::DMA_WRITE => {
                let (access, data) = DmaAccess::decode_data(body)?;
                Request::DmaWrite(access, data)
            }
            Command::DEVICE_RESET => Request::Reset,
            Command::REGION_WRITE_MULTI => Request::WriteMulti(WriteMulti::decode(body)?),
            Command::DEVICE_FEATURE => {
                let (feature, data) = DeviceFeature::decode(body)?;
                Request::Feature(feature, data)
            }
            Command::MIG_DATA_READ => Request::MigrationRead(MigrationData::decode(body)?),
            Command::MIG_DATA_WRITE => {
                let (head, data) = MigrationData::decode_data(body)?;
                Request::MigrationWrite(head, data)
            }
            _ => return Err(Malformed::Command),
        })
    }
}
