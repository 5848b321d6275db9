//! One pass over the metadata region: every page is read once, in large reads of which several are under way, and looked at once.
//!
//! What is kept of a page is what a map may need of it: a page of a chain as it is, of an extent page only the clusters that are allocated. A store
//! without damage has no more of those than clusters, and one that has several times as many is refused rather than held in memory.

use crate::Error;
use crate::bits::Bits;
use crate::disk::Disk;
use doorbell_wire_blob::{BlobId, Cluster, Geometry, MdPage, PAGE_LEN, Page, PageBytes, PageFault, classify};
use std::collections::{BTreeSet, HashMap};

/// Clusters in extent pages, for each of the store, beyond which no more are kept.
const EXCESS: u64 = 4;

/// An extent page, as far as its owner needs it.
pub(crate) struct Extents {
    /// The first cluster of the blob that it covers.
    pub(crate) start: u32,
    /// How many it lists.
    pub(crate) listed: u32,
    /// Those that are allocated: which of them, and where.
    pub(crate) allocated: Box<[(u16, Cluster)]>,
}

/// What the pass found.
#[derive(Default)]
pub(crate) struct Scan {
    pub(crate) roots: BTreeSet<BlobId>,
    pub(crate) chains: HashMap<MdPage, Box<PageBytes>>,
    pub(crate) extents: HashMap<MdPage, Extents>,
    /// Copies of roots, which are kept while a root is written over, by whose they are: where it lies and what it holds.
    pub(crate) copies: HashMap<MdPage, Vec<(MdPage, Box<PageBytes>)>>,
    /// Roots that were torn and are known from their copy.
    pub(crate) restored: Vec<MdPage>,
    /// Pages that are neither free nor whole.
    pub(crate) broken: Vec<PageFault>,
    /// Pages that the device could not read.
    pub(crate) unreadable: Vec<MdPage>,
    /// Pages that were read.
    pub(crate) pages_read: u64,
}

impl Scan {
    /// Reads the pages of `used`, or all.
    pub(crate) async fn read(disk: &Disk, geometry: &Geometry, used: Option<&Bits>) -> Result<Scan, Error> {
        let mut scan = Scan::default();
        let page_bytes = geometry.md_page_bytes;
        if page_bytes > disk.piece() {
            return Err(Error::NoBuffers { bytes: page_bytes });
        }
        if !disk.splits_at_multiples_of(page_bytes) {
            return Err(Error::Boundary { page_bytes });
        }
        let per = disk.piece() / page_bytes;
        let region = geometry.page_offset(MdPage(0)).unwrap_or_default();
        let wanted = (0..geometry.md_len).step_by(per as usize).filter_map(|first| {
            let end = first.saturating_add(per).min(geometry.md_len);
            let is_used = |page: &u32| used.is_none_or(|used| used.has(*page));
            let first = (first..end).find(is_used)?;
            let last = (first..end).rfind(is_used)?;
            Some((region + u64::from(first) * u64::from(page_bytes), (last - first + 1) * page_bytes))
        });
        let page_of = |offset: u64| (offset - region) / u64::from(page_bytes);
        let is_used = |page: u64| used.is_none_or(|used| used.has(page as u32));
        let (mut entries, mut bad) = (0, Vec::new());
        disk.read_each(wanted, |offset, bytes| {
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(Error::Read { len, .. }) => {
                    bad.push(page_of(offset)..page_of(offset + u64::from(len)));
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            for (page, bytes) in (page_of(offset)..).zip(bytes.chunks_exact(page_bytes as usize)) {
                if is_used(page) {
                    entries += scan.take(MdPage(page as u32), bytes);
                }
            }
            scan.bound(entries, geometry)
        })
        .await?;
        // What could not be read in one piece is read page by page, so that no more is lost than has to be.
        let pages = bad.into_iter().flatten().filter(|page| is_used(*page));
        let wanted = pages.map(|page| (region + page * u64::from(page_bytes), page_bytes));
        disk.read_each(wanted, |offset, bytes| {
            let at = MdPage(page_of(offset) as u32);
            match bytes {
                Ok(bytes) => entries += scan.take(at, bytes),
                Err(_) => scan.unreadable.push(at),
            }
            scan.bound(entries, geometry)
        })
        .await?;
        scan.unreadable.sort();
        scan.restore();
        Ok(scan)
    }

    /// A root that was torn while it was written is what its copy says. There is one copy, or the page is not a root that was being written.
    fn restore(&mut self) {
        let (chains, roots, restored) = (&mut self.chains, &mut self.roots, &mut self.restored);
        for (root, copies) in &self.copies {
            if let [(_, bytes)] = copies.as_slice()
                && let Some(torn) = self.broken.iter().position(|fault| fault.page == *root)
            {
                self.broken.swap_remove(torn);
                roots.insert(BlobId::of_root(*root));
                chains.insert(*root, bytes.clone());
                restored.push(*root);
            }
        }
    }

    /// No more clusters are kept than a store can have left.
    fn bound(&self, entries: u64, geometry: &Geometry) -> Result<(), Error> {
        match entries > EXCESS * u64::from(geometry.total_clusters) {
            true => Err(Error::TooManyExtents { entries, clusters: geometry.total_clusters }),
            false => Ok(()),
        }
    }

    /// Looks at a page; how many clusters it lists.
    fn take(&mut self, at: MdPage, bytes: &[u8]) -> u64 {
        let Some(bytes) = bytes.first_chunk::<PAGE_LEN>() else { return 0 };
        self.pages_read += 1;
        match classify(at, bytes) {
            Page::Free | Page::Stray(_) => 0,
            Page::Copy(id, _) => {
                self.copies.entry(id.root()).or_default().push((at, Box::new(*bytes)));
                0
            }
            Page::Root(id, _) => {
                self.roots.insert(id);
                self.chains.insert(at, Box::new(*bytes));
                0
            }
            Page::Follower(..) => {
                self.chains.insert(at, Box::new(*bytes));
                0
            }
            Page::Extents(page) => {
                let allocated = (0u16..).zip(page.stored()).filter(|(_, cluster)| cluster.is_some()).collect::<Box<_>>();
                let entries = allocated.len() as u64;
                self.extents.insert(at, Extents { start: page.start(), listed: page.stored_len() as u32, allocated });
                entries
            }
            Page::Broken(fault) => {
                self.broken.push(fault);
                0
            }
        }
    }
}
