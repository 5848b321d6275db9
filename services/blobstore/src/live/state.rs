//! What the owner knows of its store.

use super::Usage;
use crate::bits::Bits;
use crate::blob::{Attribute, Blob, Parent};
use crate::disk::Disk;
use crate::hub::{Answer, Hub};
use crate::map::Map;
use crate::view::{Outside, Shared, View};
use crate::volume::{Volume, shape_of};
use crate::{BlobInfo, Error, Finding};
use doorbell_block::BlockDevice;
use doorbell_reactor::Local;
use doorbell_wire_blob::{BlobId, Flags, Geometry, MdPage, SuperBlock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A snapshot that an operation is under way on: what its root says of that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// It is being made of this blob.
    MadeOf(BlobId),
    /// It is being deleted into this clone.
    DeletedInto(BlobId),
}

/// What the disk says of a blob, and where.
#[derive(Clone)]
pub(super) struct Meta {
    pub(super) flags: Flags,
    pub(super) xattrs: Vec<Attribute>,
    pub(super) parent: Parent,
    pub(super) marker: Option<Marker>,
    pub(super) map: Arc<Map>,
    /// Extent pages, one or none for each 512 clusters.
    pub(super) table: Vec<MdPage>,
    /// Entries whose page has not as many clusters as it should.
    pub(super) ragged: BTreeSet<u64>,
    /// Pages of the chain behind the root.
    pub(super) followers: Vec<MdPage>,
    /// Clusters are listed in the chain itself, as in stores of old.
    pub(super) rle: bool,
}

/// A blob.
pub(super) struct Live {
    pub(super) meta: Meta,
    pub(super) shared: Arc<Shared>,
}

impl Meta {
    pub(super) fn of(blob: Blob) -> Meta {
        let rle = blob.is_rle();
        let made = blob.head.being_made_of.and_then(|of| of.id()).map(Marker::MadeOf);
        let deleted = blob.head.being_deleted_into.and_then(|into| into.id()).map(Marker::DeletedInto);
        let Blob { flags, xattrs, parent, map, followers, table, ragged, .. } = blob;
        Meta { flags, xattrs, parent, marker: deleted.or(made), map, table, ragged, followers, rle }
    }

    /// One without clusters of its own, as it is before the disk says anything of it.
    pub(super) fn new(flags: Flags, xattrs: Vec<Attribute>, parent: Parent, clusters: u64, rle: bool) -> Meta {
        let map = Arc::new(Map::new(clusters));
        let table = if rle { Vec::new() } else { vec![MdPage::ABSENT; map.entries() as usize] };
        Meta { flags, xattrs, parent, marker: None, map, table, ragged: BTreeSet::new(), followers: Vec::new(), rle }
    }

    pub(super) fn clusters(&self) -> u64 {
        self.map.clusters()
    }

    fn info(&self, id: BlobId, clones: Vec<BlobId>) -> BlobInfo {
        BlobInfo {
            id,
            clusters: self.clusters(),
            allocated: self.map.allocated().count() as u64,
            flags: self.flags,
            parent: self.parent.clone(),
            xattrs: self.xattrs.clone(),
            clones,
        }
    }

    /// Without a cluster of its own, of the same size.
    pub(super) fn emptied(&self) -> Meta {
        Meta {
            followers: self.followers.clone(),
            ..Meta::new(self.flags, self.xattrs.clone(), self.parent.clone(), self.clusters(), self.rle)
        }
    }
}

/// The owner's state.
pub(super) struct State {
    pub(super) local: Local,
    pub(super) device: Arc<dyn BlockDevice>,
    pub(super) disk: Disk,
    pub(super) hub: Arc<Hub>,
    /// The super block as it is on the disk, with what is in it that nobody here knows.
    pub(super) super_bytes: Vec<u8>,
    pub(super) super_block: SuperBlock,
    pub(super) geometry: Geometry,
    /// Pages and clusters that are used.
    pub(super) pages: Bits,
    pub(super) clusters: Bits,
    /// Clusters that are known to be zeroes.
    pub(super) blank: Bits,
    pub(super) blobs: BTreeMap<BlobId, Live>,
    pub(super) unusable: BTreeMap<BlobId, String>,
    pub(super) findings: Vec<Finding>,
    /// Devices outside that blobs are clones of, by name, as far as they are there.
    pub(super) outsides: BTreeMap<Vec<u8>, (Outside, Disk)>,
    /// Why nothing is changed any more.
    pub(super) stopped: Option<String>,
    /// May the device tear a page?
    pub(super) tears: bool,
    /// Is it known to be full? Then that was said.
    pub(super) said_full: bool,
}

impl State {
    pub(super) fn usage(&self) -> Usage {
        Usage {
            clusters: self.geometry.data_clusters(),
            free_clusters: self.clusters.clear_bits(),
            pages: self.geometry.md_len,
            free_pages: self.pages.clear_bits(),
        }
    }

    pub(super) fn meta(&self, id: BlobId) -> Result<&Meta, Error> {
        match self.unusable.get(&id) {
            Some(why) => Err(Error::Unusable { id, why: why.clone() }),
            None => self.blobs.get(&id).map(|live| &live.meta).ok_or(Error::NoBlob(id)),
        }
    }

    /// May metadata be changed?
    pub(super) fn changeable(&self) -> Result<(), Error> {
        match &self.stopped {
            Some(why) => Err(Error::Stopped { why: why.clone() }),
            None => Ok(()),
        }
    }

    /// Nothing is changed from now on.
    pub(super) fn stop(&mut self, why: String) {
        if self.stopped.is_none() {
            tracing::error!(%why, "the metadata of a volume store is not changed any more");
            self.stopped = Some(why);
        }
    }

    pub(super) fn children(&self, id: BlobId) -> Vec<BlobId> {
        self.blobs.iter().filter(|(_, live)| live.meta.parent == Parent::Snapshot(id)).map(|(id, _)| *id).collect()
    }

    /// A blob, its clones, theirs, and so on.
    pub(super) fn descendants(&self, id: BlobId) -> Vec<BlobId> {
        let mut clones = self.clones();
        let (mut all, mut at) = (vec![id], 0);
        while let Some(next) = all.get(at) {
            all.extend(clones.remove(next).unwrap_or_default());
            at += 1;
        }
        all
    }

    pub(super) fn info(&self, id: BlobId) -> Result<BlobInfo, Error> {
        Ok(self.meta(id)?.info(id, self.children(id)))
    }

    pub(super) fn infos(&self) -> Vec<BlobInfo> {
        let mut clones = self.clones();
        self.blobs.iter().map(|(id, live)| live.meta.info(*id, clones.remove(id).unwrap_or_default())).collect()
    }

    /// Who has which clones, each list ascending.
    fn clones(&self) -> BTreeMap<BlobId, Vec<BlobId>> {
        let mut clones: BTreeMap<BlobId, Vec<BlobId>> = BTreeMap::new();
        for (clone, live) in &self.blobs {
            if let Parent::Snapshot(parent) = live.meta.parent {
                clones.entry(parent).or_default().push(*clone);
            }
        }
        clones
    }

    pub(super) fn cluster_blocks(&self) -> u64 {
        u64::from(self.geometry.cluster_bytes >> self.disk.info().block_shift)
    }

    /// What queues are to see of a blob.
    pub(super) fn view(&self, meta: &Meta) -> View {
        let (mut chain, mut outside, mut last) = (vec![meta.map.clone()], None, meta);
        loop {
            match &last.parent {
                Parent::None => break,
                Parent::Snapshot(parent) => {
                    let Some(live) = self.blobs.get(parent) else { break };
                    last = &live.meta;
                    chain.push(last.map.clone());
                }
                Parent::External(name) => {
                    outside = self.outsides.get(name).map(|(outside, _)| outside.clone());
                    break;
                }
            }
        }
        View::new(chain, outside, self.cluster_blocks(), meta.flags.is_thin())
    }

    /// What queues share of a blob that is new to them.
    pub(super) fn shared(&self, meta: &Meta) -> Arc<Shared> {
        let view = self.view(meta);
        let shape = shape_of(self.disk.info(), self.cluster_blocks(), meta.clusters(), view.outside.as_ref(), !meta.flags.is_read_only());
        Shared::new(view, shape, meta.flags.is_read_only())
    }

    /// Queues of a blob, and of all that show something of it, see it as it is now.
    pub(super) fn publish(&self, id: BlobId) {
        let whose = self.descendants(id);
        for live in whose.iter().filter_map(|id| self.blobs.get(id)) {
            live.shared.publish(self.view(&live.meta), live.meta.flags.is_read_only());
        }
        self.tell(whose);
    }

    /// The queues of these blobs look again.
    pub(super) fn tell(&self, whose: Vec<BlobId>) {
        let hub = self.hub.clone();
        self.local.call(move |cx| hub.tell(cx, |blob| whose.contains(&blob), Answer::Changed));
    }

    pub(super) fn volume(&self, id: BlobId) -> Result<Volume, Error> {
        let mut last = self.meta(id)?;
        while let Parent::Snapshot(parent) = last.parent {
            last = self.meta(parent)?;
        }
        if let Parent::External(name) = &last.parent
            && !self.outsides.contains_key(name)
        {
            return Err(Error::no_external(id, name));
        }
        let live = self.blobs.get(&id).ok_or(Error::NoBlob(id))?;
        Ok(Volume::new(self.device.clone(), live.shared.clone(), Some((self.hub.clone(), id))))
    }

    pub(super) async fn attach_external(&mut self, name: &[u8], device: Arc<dyn BlockDevice>) -> Result<(), Error> {
        if self.outsides.contains_key(name) {
            return Ok(());
        }
        let outside = Outside::new(device.clone(), self.disk.info().block_shift)?;
        let disk = Disk::open(&self.local, device).await?;
        self.outsides.insert(name.to_vec(), (outside, disk));
        // While it was not there nobody could open them.
        self.clones_of_outside(name).into_iter().for_each(|id| self.reshape(id));
        Ok(())
    }

    pub(super) fn detach_external(&mut self, name: &[u8]) -> Result<(), Error> {
        let whose = self.clones_of_outside(name);
        if let Some(open) = whose.iter().flat_map(|id| self.descendants(*id)).find(|id| self.hub.is_open(*id)) {
            return Err(Error::InUse(open));
        }
        self.outsides.remove(name);
        whose.into_iter().for_each(|id| self.reshape(id));
        Ok(())
    }

    fn clones_of_outside(&self, name: &[u8]) -> Vec<BlobId> {
        let named = |live: &Live| matches!(&live.meta.parent, Parent::External(found) if found == name);
        self.blobs.iter().filter(|(_, live)| named(live)).map(|(id, _)| *id).collect()
    }

    /// A blob, and all that show something of it, get new limits. Nobody has them open.
    pub(super) fn reshape(&mut self, id: BlobId) {
        for id in self.descendants(id) {
            let Some(shared) = self.blobs.get(&id).map(|live| self.shared(&live.meta)) else { continue };
            if let Some(live) = self.blobs.get_mut(&id) {
                live.shared = shared;
            }
        }
    }

    /// Nobody may have a volume open.
    pub(super) fn unused(&self) -> Result<(), Error> {
        match self.hub.is_any_open() {
            true => Err(Error::StoreBusy),
            false => Ok(()),
        }
    }
}
