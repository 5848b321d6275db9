//! BARs by VFIO: which parts can be mapped, and the rest by reads and writes of the function's descriptor.

use super::ioctl;
use crate::{Bar, PciError, Trapped, mapping};
use doorbell_wire_vfio_user::{self as wire, Capability, RegionInfo, RegionInfoFlags as Flags};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A region of the function's descriptor, with the parts of it that can be mapped: offsets within it, and lengths.
pub(super) struct Layout {
    pub(super) info: RegionInfo,
    pub(super) areas: Vec<(u64, u64)>,
}

/// Asks for a region.
pub(super) fn layout(name: &str, device: &File, index: u32) -> Result<Layout, PciError> {
    let answer = ioctl::region(device.as_fd(), index).map_err(|e| PciError::system(name, "ask for a region", e))?;
    parse(name, &answer)
}

/// Takes the answer apart: vfio-user took its structure over from here.
pub(super) fn parse(name: &str, answer: &[u8]) -> Result<Layout, PciError> {
    let odd = |why: wire::Malformed| PciError::unusable(name, format!("a region is described in a way that makes no sense: {why}"));
    let (info, capabilities) = RegionInfo::decode_reply(answer).map_err(odd)?;
    if !info.flags.has(Flags::MMAP) {
        return Ok(Layout { info, areas: Vec::new() });
    }
    // Without a list all of it can be mapped.
    let mut areas = vec![(0, info.size)];
    for capability in capabilities {
        if let Capability::SparseMmap(sparse) = capability.map_err(odd)? {
            areas = sparse.iter().map(|area| (area.offset, area.size)).collect();
        }
    }
    Ok(Layout { areas: whole_pages(&areas, info.size), info })
}

/// Areas cut to whole pages inside of the region.
pub(crate) fn whole_pages(areas: &[(u64, u64)], size: u64) -> Vec<(u64, u64)> {
    let page = rustix::param::page_size() as u64;
    let cut = |(offset, len): &(u64, u64)| {
        let end = offset.checked_add(*len)?.min(size) / page * page;
        let start = offset.checked_next_multiple_of(page)?;
        end.checked_sub(start).filter(|len| *len > 0).map(|len| (start, len))
    };
    areas.iter().filter_map(cut).collect()
}

/// A BAR, mapped as far as the kernel lets it be.
pub(super) fn bar(name: &str, device: &Arc<File>, index: u8) -> Result<Bar, PciError> {
    let Layout { info, areas } = layout(name, device, index.into())?;
    if info.size == 0 {
        return Err(PciError::unusable(name, format!("it has no BAR {index}")));
    }
    // A part that cannot be mapped after all is reached like the rest.
    let mapped =
        areas.iter().filter_map(|(offset, len)| mapping::area(device.as_fd(), info.offset.checked_add(*offset)?, *offset, *len).ok());
    let rest = Rest { name: name.to_owned(), device: device.clone(), base: info.offset, len: info.size };
    Ok(Bar::new(info.size, mapped.collect(), Some(Box::new(rest))))
}

/// What is not mapped.
struct Rest {
    name: String,
    device: Arc<File>,
    base: u64,
    len: u64,
}

impl Rest {
    fn place(&self, offset: u64, len: usize) -> Result<u64, PciError> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.len);
        end.and_then(|_| self.base.checked_add(offset)).ok_or_else(|| PciError::unusable(&self.name, "an access outside of its BAR"))
    }
}

impl Trapped for Rest {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), PciError> {
        let at = self.place(offset, into.len())?;
        self.device.read_exact_at(into, at).map_err(|e| PciError::system(&self.name, "read a register", e))
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), PciError> {
        let at = self.place(offset, from.len())?;
        self.device.write_all_at(from, at).map_err(|e| PciError::system(&self.name, "write a register", e))
    }
}
