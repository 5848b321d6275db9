//! A store, opened for reading: what blobs it has, what is wrong with it, and a device for each blob.
//!
//! Nothing is ever written. A store that was not closed is brought in order in memory alone, as recovery would on the disk: masks are those that
//! the metadata comes to, and snapshots whose making or deletion was interrupted are kept or left out.
//!
//! Invariants: a blob that cannot be used is listed with the reason, and never left out silently; two blobs that list one cluster are reported.

use crate::bits::Bits;
use crate::blob::{Attribute, Blob, Found, Parent};
use crate::disk::Disk;
use crate::map::PER;
use crate::scan::Scan;
use crate::view::{self, Outside, View};
use crate::volume::{Volume, shape_of};
use crate::{Error, Finding};
use doorbell_block::{BlockDevice, Status};
use doorbell_reactor::Local;
use doorbell_wire_blob::{BlobId, BsType, Cluster, Flags, Geometry, Mask, MaskKind, MdPage, PAGE_LEN, PageBytes, SuperBlock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How to open a store.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// The type that it has to be of; [`BsType::ANY`] for any.
    pub expected: BsType,
    /// Look at all metadata, as after a crash, also when the store says that it was closed.
    pub recover: bool,
}

/// How a store came to be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Were its masks used? Otherwise all of its metadata was read.
    pub clean: bool,
    /// Pages of metadata that were read.
    pub pages_read: u64,
}

/// What a blob is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its id.
    pub id: BlobId,
    /// Its clusters.
    pub clusters: u64,
    /// Those that are its own.
    pub allocated: u64,
    /// Its flags.
    pub flags: Flags,
    /// What it shows where it has no cluster of its own.
    pub parent: Parent,
    /// Its attributes, in the order in which they were set first.
    pub xattrs: Vec<Attribute>,
    /// Its clones, ascending.
    pub clones: Vec<BlobId>,
}

/// A store, opened for reading.
pub struct Store {
    device: Arc<dyn BlockDevice>,
    pub(crate) super_block: SuperBlock,
    pub(crate) geometry: Geometry,
    pub(crate) blobs: BTreeMap<BlobId, Blob>,
    /// Blobs that cannot be used, and why.
    pub(crate) unusable: BTreeMap<BlobId, String>,
    pub(crate) used: Bits,
    pub(crate) used_pages: Bits,
    /// Is all known that blobs have?
    pub(crate) whole: bool,
    /// Snapshots of which an operation was interrupted, and what was decided about them.
    pub(crate) resolved: Vec<Resolved>,
    /// Roots that are known from a copy.
    pub(crate) restored: Vec<(MdPage, Box<PageBytes>)>,
    /// Where copies of roots lie.
    pub(crate) copies: BTreeSet<MdPage>,
    pub(crate) findings: Vec<Finding>,
    /// What is wrong with the masks of a store that was closed, where they were not used.
    pub(crate) doubts: Vec<Finding>,
    opening: Opening,
}

/// A snapshot of which an operation was interrupted.
pub(crate) struct Resolved {
    pub(crate) id: BlobId,
    /// Does it stay?
    pub(crate) kept: bool,
    /// Pages that it has, where it goes: others may have some of them too.
    pub(crate) pages: Vec<MdPage>,
    /// Its clone, and which entries of the clone's table listed clusters of the snapshot's, which it has not got any more.
    pub(crate) shared: Option<(BlobId, BTreeSet<u64>)>,
}

/// A store while it is put together.
struct Parts {
    blobs: BTreeMap<BlobId, Blob>,
    unusable: BTreeMap<BlobId, String>,
    found: BTreeMap<BlobId, (Vec<MdPage>, Vec<doorbell_wire_blob::Cluster>)>,
    /// Is all known that blobs have?
    whole: bool,
    resolved: Vec<Resolved>,
}

impl Store {
    /// Opens the store on a device.
    pub async fn open(local: &Local, device: Arc<dyn BlockDevice>, options: &OpenOptions) -> Result<Store, Error> {
        let disk = Disk::open(local, device.clone()).await?;
        Store::read(&disk, device, options).await
    }

    /// The same on a device that is opened already.
    pub(crate) async fn read(disk: &Disk, device: Arc<dyn BlockDevice>, options: &OpenOptions) -> Result<Store, Error> {
        let (super_block, geometry) = read_super(disk, options.expected).await?;
        if geometry.io_unit_bytes != disk.info().block_size() {
            return Err(Error::BlockSize { store: geometry.io_unit_bytes, device: disk.info().block_size() });
        }
        let (masks, mut doubts) = match super_block.needs_recovery() {
            true => (None, Vec::new()),
            false => read_masks(disk, &geometry).await?,
        };
        if let Some(masks) = &masks
            && !options.recover
        {
            let scan = Scan::read(disk, &geometry, Some(&masks.pages)).await?;
            let store = Store::put_together(device.clone(), super_block, geometry, &scan, Some(masks));
            // Masks have no checksum: those that do not fit what they are masks of are not believed. A blob that cannot be used may be one of
            // whose pages they lack some.
            if store.unusable.is_empty() && store.findings.iter().all(|finding| !finding.is_of_masks()) {
                return Ok(store);
            }
            tracing::warn!("the masks of a volume store do not fit its metadata: all of it is read, as after a crash");
        }
        let scan = Scan::read(disk, &geometry, None).await?;
        let mut store = Store::put_together(device, super_block, geometry, &scan, masks.as_ref());
        let is_doubt = |finding: &mut Finding| finding.is_of_masks() || matches!(finding, Finding::Leaked { .. });
        doubts.extend(store.findings.extract_if(.., is_doubt));
        store.doubts = doubts;
        store.opening.clean = false;
        Ok(store)
    }

    fn put_together(
        device: Arc<dyn BlockDevice>,
        super_block: SuperBlock,
        geometry: Geometry,
        scan: &Scan,
        masks: Option<&Masks>,
    ) -> Store {
        let mut findings: Vec<Finding> = scan.broken.iter().map(|fault| Finding::Page(*fault)).collect();
        findings.extend(scan.unreadable.iter().map(|page| Finding::Unreadable(*page)));
        let mut parts = Parts::of(&geometry, scan);
        parts.check_parents();
        parts.resolve_markers(&mut findings);
        for (id, why) in &parts.unusable {
            findings.push(Finding::Blob { id: *id, why: why.clone() });
        }
        let used = parts.used(&geometry, &mut findings);
        if let Some(masks) = masks {
            masks.compare(&used, &parts, &mut findings);
        }
        let opening = Opening { clean: masks.is_some(), pages_read: scan.pages_read };
        let mut used_pages = Bits::new(geometry.md_len);
        used_pages.set_all(parts.found.values().flat_map(|(pages, _)| pages).map(|page| page.0));
        let Parts { blobs, unusable, whole, resolved, .. } = parts;
        let restored = scan.restored.iter().filter_map(|root| Some((*root, scan.chains.get(root)?.clone()))).collect();
        let copies = scan.copies.values().flatten().map(|(at, _)| *at).collect();
        let doubts = Vec::new();
        Store {
            device,
            super_block,
            geometry,
            blobs,
            unusable,
            used,
            used_pages,
            whole,
            resolved,
            restored,
            copies,
            findings,
            doubts,
            opening,
        }
    }

    /// Sizes and places.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// What the super block says.
    pub fn super_block(&self) -> &SuperBlock {
        &self.super_block
    }

    /// How it was opened.
    pub fn opening(&self) -> Opening {
        self.opening
    }

    /// Clusters that no blob has. What blobs that cannot be used have counts as free where it is not known.
    pub fn free_clusters(&self) -> u32 {
        self.used.clear_bits()
    }

    /// What is wrong with it; nothing, as a rule.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What is wrong with the masks of a store that was closed, held against all of its metadata: why they were not used, or, where it was opened to
    /// look at all metadata anyway, why they would not have been. Recovery makes the masks anew.
    pub fn doubts(&self) -> &[Finding] {
        &self.doubts
    }

    /// The blobs that can be used, ascending by id.
    pub fn blobs(&self) -> impl Iterator<Item = BlobId> + '_ {
        self.blobs.keys().copied()
    }

    /// The blobs that cannot be used, and why.
    pub fn unusable(&self) -> impl Iterator<Item = (BlobId, &str)> + '_ {
        self.unusable.iter().map(|(id, why)| (*id, why.as_str()))
    }

    /// What a blob is.
    pub fn blob(&self, id: BlobId) -> Result<BlobInfo, Error> {
        let blob = self.find(id)?;
        let clones = self.blobs.iter().filter(|(_, other)| other.parent == Parent::Snapshot(id)).map(|(id, _)| *id).collect();
        Ok(BlobInfo {
            id,
            clusters: blob.map.clusters(),
            allocated: blob.map.allocated().count() as u64,
            flags: blob.flags,
            parent: blob.parent.clone(),
            xattrs: blob.xattrs.clone(),
            clones,
        })
    }

    /// The clusters that are a blob's own, ascending: which of the blob's, and where on the device.
    pub fn clusters(&self, id: BlobId) -> Result<impl Iterator<Item = (u64, Cluster)> + '_, Error> {
        Ok(self.find(id)?.map.allocated())
    }

    /// A blob as a device that is read. One whose parent lies outside of the store is given that as `external`.
    pub fn volume(&self, id: BlobId, external: Option<Arc<dyn BlockDevice>>) -> Result<Volume, Error> {
        let blob = self.find(id)?;
        let (mut chain, mut last, mut outside) = (vec![blob.map.clone()], blob, None);
        // Parents were checked: the chain ends.
        loop {
            match &last.parent {
                Parent::None => break,
                Parent::Snapshot(parent) => {
                    last = self.find(*parent)?;
                    chain.push(last.map.clone());
                }
                Parent::External(name) => {
                    let missing = || Error::no_external(id, name);
                    outside = Some(Outside::new(external.ok_or_else(missing)?, self.device.info().block_shift)?);
                    break;
                }
            }
        }
        let below = self.device.info();
        let cluster_blocks = u64::from(self.geometry.cluster_bytes >> below.block_shift);
        let shape = shape_of(&below, cluster_blocks, blob.map.clusters(), outside.as_ref(), false);
        let shared = view::Shared::new(View::new(chain, outside, cluster_blocks, blob.flags.is_thin()), shape, true);
        Ok(Volume::new(self.device.clone(), shared, None))
    }

    fn find(&self, id: BlobId) -> Result<&Blob, Error> {
        match self.unusable.get(&id) {
            Some(why) => Err(Error::Unusable { id, why: why.clone() }),
            None => self.blobs.get(&id).ok_or(Error::NoBlob(id)),
        }
    }
}

impl Parts {
    fn of(geometry: &Geometry, scan: &Scan) -> Parts {
        let mut parts =
            Parts { blobs: BTreeMap::new(), unusable: BTreeMap::new(), found: BTreeMap::new(), whole: true, resolved: Vec::new() };
        for id in &scan.roots {
            let found = Found::of(geometry, scan, *id);
            parts.whole &= found.whole;
            parts.found.insert(*id, (found.pages, found.clusters));
            match found.blob {
                Ok(blob) => {
                    parts.blobs.insert(*id, blob);
                }
                Err(why) => {
                    parts.unusable.insert(*id, why);
                }
            }
        }
        parts
    }

    /// A blob whose chain of parents is broken, or goes round, cannot be used.
    fn check_parents(&mut self) {
        let ids: Vec<BlobId> = self.blobs.keys().copied().collect();
        let mut lost = Vec::new();
        for id in ids {
            let mut at = id;
            for _ in 0..=self.blobs.len() {
                let Some(blob) = self.blobs.get(&at) else {
                    lost.push((id, format!("it is a clone of {at}, which is not there or cannot be used")));
                    break;
                };
                let Parent::Snapshot(parent) = blob.parent else { break };
                at = parent;
                if at == id {
                    lost.push((id, "it is a clone of itself, by way of others".to_owned()));
                    break;
                }
            }
        }
        for (id, why) in lost {
            self.blobs.remove(&id);
            self.unusable.insert(id, why);
        }
        // What leads into a ring without being of it ends at a blob that has just been taken out.
        loop {
            let gone = |blob: &Blob| matches!(blob.parent, Parent::Snapshot(parent) if !self.blobs.contains_key(&parent));
            let Some((id, parent)) = self.blobs.iter().find(|(_, blob)| gone(blob)).map(|(id, blob)| (*id, blob.parent.clone())) else {
                return;
            };
            self.blobs.remove(&id);
            let Parent::Snapshot(parent) = parent else { return };
            self.unusable.insert(id, format!("it is a clone of {parent}, which is not there or cannot be used"));
        }
    }

    /// Snapshots whose making or deletion was interrupted: kept when their partner is their clone, left out when it is not, and left alone when it
    /// cannot be opened.
    fn resolve_markers(&mut self, findings: &mut Vec<Finding>) {
        let marked: Vec<BlobId> = self.blobs.iter().filter(|(_, b)| marker(b).is_some()).map(|(id, _)| *id).collect();
        for id in marked {
            let Some(blob) = self.blobs.get(&id) else { continue };
            let (deleted, partner) = (blob.head.being_deleted_into.is_some(), marker(blob).and_then(|of| of.id()));
            let Some(other) = partner.and_then(|partner| self.blobs.get(&partner)) else {
                findings.push(Finding::Interrupted { id, kept: true });
                // One that is there and cannot be used may be what the mark says.
                if partner.is_none_or(|partner| !self.unusable.contains_key(&partner)) {
                    self.resolved.push(Resolved { id, kept: true, pages: Vec::new(), shared: None });
                }
                continue;
            };
            let kept = other.parent == Parent::Snapshot(id);
            findings.push(Finding::Interrupted { id, kept });
            let (mut shared, mut pages) = (None, Vec::new());
            if !kept {
                self.blobs.remove(&id);
                pages = self.found.remove(&id).map_or_else(Vec::new, |(pages, _)| pages);
            } else if deleted {
                // The clone may list the snapshot's clusters by now. They are the snapshot's.
                let taken: Vec<u64> =
                    other.map.allocated().filter(|(at, cluster)| blob.map.get(*at) == *cluster).map(|(at, _)| at).collect();
                let entries = taken.iter().map(|at| at / PER).collect::<BTreeSet<_>>();
                for at in taken {
                    let cluster = blob.map.get(at);
                    other.map.set(at, doorbell_wire_blob::Cluster::NONE);
                    if let Some((_, clusters)) = partner.and_then(|partner| self.found.get_mut(&partner)) {
                        clusters.retain(|other| *other != cluster);
                    }
                }
                shared = partner.map(|partner| (partner, entries)).filter(|(_, entries)| !entries.is_empty());
            }
            self.resolved.push(Resolved { id, kept, pages, shared });
        }
    }

    /// The clusters that somebody has; one that several have is reported.
    fn used(&self, geometry: &Geometry, findings: &mut Vec<Finding>) -> Bits {
        let mut used = Bits::new(geometry.total_clusters);
        (0..geometry.md_clusters).for_each(|cluster| {
            used.set(cluster);
        });
        let mut twice = Vec::new();
        for (id, (_, clusters)) in &self.found {
            for cluster in clusters {
                if !used.set(cluster.0) && geometry.holds_data(*cluster) {
                    twice.push((*cluster, *id));
                }
            }
        }
        if twice.is_empty() {
            return used;
        }
        // Who had them first is asked only where there is damage: there are as many clusters as a store has.
        let mut owners: BTreeMap<u32, Option<BlobId>> = twice.iter().map(|(cluster, _)| (cluster.0, None)).collect();
        for (id, (_, clusters)) in &self.found {
            for cluster in clusters {
                if let Some(owner) = owners.get_mut(&cluster.0) {
                    owner.get_or_insert(*id);
                }
            }
        }
        for (cluster, second) in twice {
            if let Some(first) = owners.get(&cluster.0).copied().flatten() {
                findings.push(Finding::TwoOwners { cluster, first, second });
            }
        }
        used
    }
}

fn marker(blob: &Blob) -> Option<doorbell_wire_blob::BlobRef> {
    blob.head.being_deleted_into.or(blob.head.being_made_of)
}

/// The masks of a store that was closed.
struct Masks {
    pages: Bits,
    clusters: Bits,
    ids: Bits,
}

impl Masks {
    /// Holds them against what the metadata comes to.
    fn compare(&self, used: &Bits, parts: &Parts, findings: &mut Vec<Finding>) {
        let missing = used.iter().filter(|cluster| !self.clusters.has(*cluster)).count();
        if missing > 0 {
            findings.push(Finding::MaskLacks { kind: MaskKind::Clusters, count: missing });
        }
        let pages = parts.found.values().flat_map(|(pages, _)| pages).filter(|page| !self.pages.has(page.0)).count();
        if pages > 0 {
            findings.push(Finding::MaskLacks { kind: MaskKind::Pages, count: pages });
        }
        let roots = parts.found.keys().filter(|id| !self.ids.has(id.root().0)).count();
        if roots > 0 {
            findings.push(Finding::MaskLacks { kind: MaskKind::BlobIds, count: roots });
        }
        // A root that is not there, of a blob that should be.
        for root in self.ids.iter().filter(|root| !parts.found.contains_key(&BlobId::of_root(MdPage(*root)))) {
            findings.push(Finding::NoRoot { page: MdPage(root) });
        }
        if parts.whole {
            let leaked = self.clusters.iter().filter(|cluster| !used.has(*cluster)).count();
            if leaked > 0 {
                findings.push(Finding::Leaked { count: leaked });
            }
        }
    }
}

/// Whether a device holds a store of this type, whatever state that is in. Nothing is changed.
pub async fn holds(local: &Local, device: Arc<dyn BlockDevice>, expected: BsType) -> Result<bool, Error> {
    if device.info().bytes() < PAGE_LEN as u64 || !device.info().ops.has(doorbell_block::Op::Read) {
        return Ok(false);
    }
    let disk = Disk::open(local, device).await?;
    let bytes = disk.read(0, PAGE_LEN.next_multiple_of(disk.info().block_size() as usize)).await?;
    let page = bytes.first_chunk::<PAGE_LEN>().ok_or(Error::Lent)?;
    Ok(SuperBlock::decode_torn(page).is_ok_and(|found| found.bs_type.is(expected)))
}

async fn read_super(disk: &Disk, expected: BsType) -> Result<(SuperBlock, Geometry), Error> {
    let block = disk.info().block_size() as usize;
    let bytes = disk.read(0, PAGE_LEN.next_multiple_of(block)).await?;
    let page = bytes.first_chunk::<PAGE_LEN>().ok_or(Error::Lent)?;
    let found = SuperBlock::decode_torn(page).map_err(Error::Super)?;
    if !found.bs_type.is(expected) {
        return Err(Error::Type { expected, found: found.bs_type });
    }
    let geometry = Geometry::of(&found, disk.info().bytes()).map_err(Error::Geometry)?;
    Ok((found, geometry))
}

/// The masks; none where they are not to be believed, and why.
async fn read_masks(disk: &Disk, geometry: &Geometry) -> Result<(Option<Masks>, Vec<Finding>), Error> {
    let (mut read, mut doubts) = (Vec::new(), Vec::new());
    for kind in [MaskKind::Pages, MaskKind::Clusters, MaskKind::BlobIds] {
        let Some(place) = geometry.mask(kind) else { continue };
        let range = geometry.mask_bytes(place);
        let bytes = match disk.read(range.start, (range.end - range.start) as usize).await {
            Ok(bytes) => bytes,
            Err(Error::Read { status: Status::ReadError, .. }) => {
                doubts.push(Finding::MaskUnreadable(kind));
                continue;
            }
            Err(error) => return Err(error),
        };
        match Mask::decode(kind, geometry.mask_bits(kind), &bytes) {
            Ok(mask) if kind != MaskKind::Clusters || mask.begins_with_ones(geometry.md_clusters) => {
                read.push(Bits::of_words(mask.len(), mask.words()));
            }
            Ok(mask) => {
                let count = (0..geometry.md_clusters).filter(|cluster| !mask.has(*cluster)).count();
                doubts.push(Finding::MaskLacks { kind, count });
            }
            Err(fault) => doubts.push(Finding::Mask(fault)),
        }
    }
    for doubt in &doubts {
        tracing::warn!(%doubt, "a mask of a volume store is damaged: all of its metadata is read, as after a crash");
    }
    let mut read = read.into_iter();
    let masks = match (read.next(), read.next(), read.next()) {
        (Some(pages), Some(clusters), Some(ids)) => Some(Masks { pages, clusters, ids }),
        _ => None,
    };
    Ok((masks, doubts))
}
