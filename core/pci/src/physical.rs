//! Physical addresses of this process's memory, for devices with no IOMMU before them.
//!
//! Only of huge pages: they stay where they are, and are long enough for a queue. Whoever uses these addresses trusts the device and its
//! driver with all of the machine's memory.

use crate::PciError;
use crate::domain::LookUp;
use doorbell_mem::Region;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The smallest huge page.
const HUGE: usize = 2 << 20;

/// Finds the pages of a region for the function `name`.
pub(crate) fn look_up(name: &str) -> LookUp {
    let name = name.to_owned();
    Box::new(move |region| frames(region).map_err(|why| PciError::unusable(&name, why)))
}

fn frames(region: &Region) -> Result<Vec<u64>, String> {
    if region.page_size() < HUGE {
        return Err("without an IOMMU it reaches huge pages only, and part of this process's memory is ordinary: start with --huge 2M \
                    (`doorbell pci status` says how many huge pages are free)"
            .to_owned());
    }
    let map = File::open("/proc/self/pagemap").map_err(|e| format!("cannot open /proc/self/pagemap, which says where memory is: {e}"))?;
    let starts = (0..region.len()).step_by(region.page_size());
    starts.map(|offset| frame(&map, region.base().addr() as u64 + offset as u64)).collect()
}

/// Documentation/admin-guide/mm/pagemap.rst: a word for each ordinary page.
fn frame(map: &File, address: u64) -> Result<u64, String> {
    let page = rustix::param::page_size() as u64;
    let mut word = [0; 8];
    let read: io::Result<()> = map.read_exact_at(&mut word, address / page * 8);
    read.map_err(|e| format!("cannot read /proc/self/pagemap: {e}"))?;
    number(u64::from_ne_bytes(word)).map(|number| number * page)
}

fn number(word: u64) -> Result<u64, String> {
    const PRESENT: u64 = 1 << 63;
    const NUMBER: u64 = (1 << 55) - 1;
    match (word & PRESENT != 0, word & NUMBER) {
        (false, _) => Err("a page of its memory is not there".to_owned()),
        (true, 0) => Err("the kernel does not say where memory is: without an IOMMU this must run as root (CAP_SYS_ADMIN)".to_owned()),
        (true, number) => Ok(number),
    }
}

#[cfg(test)]
mod tests;
