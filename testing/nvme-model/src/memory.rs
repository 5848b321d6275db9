//! The driver's memory as the device sees it: by I/O address, through mappings of its own.

use doorbell_mem::{Foreign, Reach, Region, Regions, Seg};
use doorbell_pci::PciError;
use doorbell_wire_nvme::{Sgl, SglDescriptor, view};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A command's data pointer.
#[derive(Clone, Copy)]
pub(crate) enum Pointer {
    /// Two PRP entries.
    Prps(u64, u64),
    /// A descriptor; with `dwords` addresses and lengths must be multiples of four.
    List { only: Sgl, dwords: bool },
}

/// What the driver has mapped.
#[derive(Default)]
pub(crate) struct Memory {
    regions: Regions,
    maps: BTreeMap<u64, Arc<Region>>,
    /// Accesses to what is not mapped.
    pub(crate) strays: u64,
}

impl Memory {
    pub(crate) fn map(&mut self, name: &str, region: &Region, iova: u64) -> Result<(), PciError> {
        let file = region.memfd().ok_or_else(|| PciError::unusable(name, "a region has no file"))?;
        let file = file.try_clone().map_err(|e| PciError::system(name, "share a region", e))?;
        let there = Foreign::map_as(&self.regions, file, region.file_offset(), region.len(), Reach::ReadWrite)?;
        self.maps.insert(iova, there.region().clone());
        Ok(())
    }

    pub(crate) fn unmap(&mut self, iova: u64) {
        if let Some(region) = self.maps.remove(&iova) {
            self.regions.retire(&region);
        }
    }

    /// The mapping that holds all of `[at, at + len)`, and where in it that begins.
    fn find(&mut self, at: u64, len: usize) -> Option<(Foreign, u64)> {
        let found = self.maps.range(..=at).next_back().and_then(|(iova, region)| {
            let within = at - iova;
            (within.checked_add(len as u64)? <= region.len() as u64).then(|| (Foreign::of(region.clone()), within))
        });
        self.strays += u64::from(found.is_none());
        found
    }

    /// A share of what is mapped there.
    pub(crate) fn seg(&mut self, at: u64, len: u32) -> Option<Seg> {
        self.find(at, len as usize).and_then(|(foreign, within)| foreign.seg(within, len))
    }

    /// A word; zero when it is not mapped.
    pub(crate) fn peek32(&self, at: u64) -> u32 {
        let word = || {
            let (iova, region) = self.maps.range(..=at).next_back()?;
            let within = (at - iova).checked_add(4).filter(|end| *end <= region.len() as u64)? - 4;
            Foreign::of(region.clone()).seg(within, 4)
        };
        word().map_or(0, |seg| seg.load32(0))
    }

    /// Reads; false when it is not mapped.
    pub(crate) fn read(&mut self, at: u64, into: &mut [u8]) -> bool {
        let len = into.len();
        let seg = self.find(at, len).and_then(|(foreign, within)| foreign.seg(within, len as u32));
        seg.map(|seg| seg.read_at(0, into)).is_some()
    }

    /// Writes; false when it is not mapped.
    pub(crate) fn write(&mut self, at: u64, from: &[u8]) -> bool {
        let seg = self.find(at, from.len()).and_then(|(foreign, within)| foreign.seg(within, from.len() as u32));
        seg.map(|seg| seg.write_at(0, from)).is_some()
    }
}

const PAGE: u64 = 4096;

impl Memory {
    /// Where the `len` bytes of a command lie, by its two PRP entries (Base 2.1, 4.1.1). `None` when a list is not mapped.
    fn prps(&mut self, first: u64, second: u64, len: usize) -> Option<Vec<(u64, usize)>> {
        let mut runs = Vec::new();
        let mut left = len;
        let mut take = |at: u64, runs: &mut Vec<(u64, usize)>| {
            let n = left.min((PAGE - at % PAGE) as usize);
            runs.push((at, n));
            left -= n;
            left
        };
        if len == 0 {
            return Some(runs);
        }
        let left = take(first, &mut runs);
        if left == 0 {
            return Some(runs);
        }
        if left <= PAGE as usize {
            take(second, &mut runs);
            return Some(runs);
        }
        let mut at = second;
        loop {
            let mut entry = [0; 8];
            self.read(at, &mut entry).then_some(())?;
            let entry = u64::from_le_bytes(entry);
            let last_of_page = at % PAGE == PAGE - 8;
            if last_of_page && len.saturating_sub(runs.iter().map(|r| r.1).sum()) > PAGE as usize {
                at = entry;
                continue;
            }
            if take(entry, &mut runs) == 0 {
                return Some(runs);
            }
            at += 8;
        }
    }

    /// Where the `len` bytes of a command lie, by its scatter gather list (Base 2.1, 4.3.2): one descriptor, or one segment of them. `None`
    /// when it is anything else, or does not describe so many bytes.
    fn list(&mut self, only: Sgl, len: usize, dwords: bool) -> Option<Vec<(u64, usize)>> {
        let mut runs = Vec::new();
        match only {
            Sgl::Address { addr, len } => runs.push((addr, len as usize)),
            Sgl::LastSegment { addr, len, in_capsule: false } if len % 16 == 0 && len <= 1 << 16 => {
                let mut raw = vec![0; len as usize];
                self.read(addr, &mut raw).then_some(())?;
                for descriptor in raw.chunks_exact(16).filter_map(view::<SglDescriptor>) {
                    let Sgl::Address { addr, len } = descriptor.parse() else { return None };
                    runs.push((addr, len as usize));
                }
            }
            _ => return None,
        }
        let aligned = runs.iter().all(|(at, n)| at % 4 == 0 && n % 4 == 0) || !dwords;
        (aligned && runs.iter().map(|run| run.1).sum::<usize>() == len).then_some(runs)
    }

    /// Where the `len` bytes of a command lie.
    fn runs(&mut self, pointer: Pointer, len: usize) -> Option<Vec<(u64, usize)>> {
        match pointer {
            Pointer::Prps(first, second) => self.prps(first, second, len),
            Pointer::List { only, dwords } if len > 0 => self.list(only, len, dwords),
            Pointer::List { .. } => Some(Vec::new()),
        }
    }

    /// Copies what a command carries out of the driver's memory.
    pub(crate) fn gather(&mut self, pointer: Pointer, len: usize) -> Option<Vec<u8>> {
        let mut data = vec![0; len];
        let mut done = 0;
        for (at, n) in self.runs(pointer, len)? {
            self.read(at, data.get_mut(done..done + n)?).then_some(())?;
            done += n;
        }
        Some(data)
    }

    /// Copies what a command asked for into the driver's memory.
    pub(crate) fn scatter(&mut self, pointer: Pointer, data: &[u8]) -> Option<()> {
        let mut done = 0;
        for (at, n) in self.runs(pointer, data.len())? {
            self.write(at, data.get(done..done + n)?).then_some(())?;
            done += n;
        }
        Some(())
    }
}
