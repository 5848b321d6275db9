//! Snapshots and clones: made, deleted, and made independent of each other.

use super::Inner;
use super::create::check_xattrs;
use super::pages::{Lists, Needs};
use super::state::{Marker, Meta, State};
use crate::Error;
use crate::blob::{Attribute, Parent};
use doorbell_block::Status;
use doorbell_wire_blob::{BlobId, Cluster, Flags, MdPage, clusters_in_entry};
use std::rc::Rc;

/// Clusters that are filled before others have their turn at the store.
const BATCH: usize = 16;

impl State {
    /// Snapshots of blobs, at one moment.
    pub(super) async fn snapshot(&mut self, wanted: Vec<(BlobId, Vec<Attribute>)>) -> Result<Vec<BlobId>, Error> {
        self.changeable()?;
        for (at, (id, xattrs)) in wanted.iter().enumerate() {
            self.changeable_blob(*id)?;
            check_xattrs(xattrs)?;
            if wanted[..at].iter().any(|(other, _)| other == id) {
                return Err(Error::Twice(*id));
            }
        }
        let of: Vec<BlobId> = wanted.iter().map(|(id, _)| *id).collect();
        let hold = |state: &State, held| of.iter().filter_map(|id| state.blobs.get(id)).for_each(|live| live.shared.hold(held));
        hold(self, true);
        // What was begun before belongs to the snapshots; whatever comes now waits.
        self.barrier().await;
        let mut made = Vec::new();
        let mut failed = None;
        for (id, xattrs) in wanted {
            match self.split_off(id, xattrs).await {
                Ok(snapshot) => made.push(snapshot),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        hold(self, false);
        self.tell(of);
        failed.map_or(Ok(made), Err)
    }

    /// Makes what a blob is now a snapshot, and the blob a clone of that.
    async fn split_off(&mut self, id: BlobId, xattrs: Vec<Attribute>) -> Result<BlobId, Error> {
        let origin = self.meta(id)?.clone();
        let snapshot = self.new_id()?;
        // Its map is the origin's: the very same pages.
        let marker = Some(Marker::MadeOf(id));
        let made = Meta { xattrs, marker, followers: Vec::new(), ..origin.clone() };
        self.commit_new(snapshot, made, &Lists::new()).await?;
        let shared: Vec<MdPage> = self.meta(snapshot)?.table.clone();
        let mut clone = Meta { parent: Parent::Snapshot(snapshot), ..origin.emptied() };
        clone.flags.invalid |= Flags::THIN;
        if let Err(error) = self.commit(id, clone, &Lists::new(), &shared, Needs::Space).await {
            if self.stopped.is_none() {
                // The origin is as it was, and has all that the snapshot has.
                let keeps = self.meta(id)?.table.clone();
                self.remove(snapshot, Vec::new(), &keeps).await?;
            }
            return Err(error);
        }
        self.publish(id);
        let mut whole = self.meta(snapshot)?.clone();
        whole.marker = None;
        whole.flags.data_ro |= Flags::READ_ONLY;
        if let Err(error) = self.commit(snapshot, whole, &Lists::new(), &[], Needs::Last).await {
            // With the mark on it, a snapshot goes when its origin is a clone of something else.
            self.stop(format!("{snapshot} could not be marked as made: {error}"));
            return Err(error);
        }
        let shared = self.shared(self.meta(snapshot)?);
        if let Some(live) = self.blobs.get_mut(&snapshot) {
            live.shared = shared;
        }
        Ok(snapshot)
    }

    pub(super) async fn clone_of(&mut self, parent: BlobId, xattrs: Vec<Attribute>) -> Result<BlobId, Error> {
        self.changeable()?;
        check_xattrs(&xattrs)?;
        let of = self.meta(parent)?;
        if !of.flags.is_read_only() {
            return Err(Error::NotReadOnly(parent));
        }
        let flags = Flags { invalid: Flags::THIN, data_ro: 0, md_ro: of.flags.md_ro };
        let meta = Meta::new(flags, xattrs, Parent::Snapshot(parent), of.clusters(), of.rle);
        let id = self.new_id()?;
        self.commit_new(id, meta, &Lists::new()).await?;
        Ok(id)
    }

    pub(super) async fn delete(&mut self, id: BlobId) -> Result<(), Error> {
        self.changeable()?;
        let meta = self.meta(id)?.clone();
        if self.hub.is_open(id) {
            return Err(Error::InUse(id));
        }
        if self.super_block.super_blob.id() == Some(id) {
            self.set_super_blob(None).await?;
        }
        let mut clusters: Vec<(u64, Cluster)> = meta.map.allocated().collect();
        let keeps = match *self.children(id) {
            [] => Vec::new(),
            [clone] => {
                self.merge(id, clone).await?;
                let taken = self.meta(clone)?;
                clusters.retain(|(at, cluster)| taken.map.get(*at) != *cluster);
                taken.table.clone()
            }
            ref several => return Err(Error::Clones { id, clones: several.len() }),
        };
        self.remove(id, clusters.into_iter().map(|(_, cluster)| cluster).collect(), &keeps).await
    }

    /// A snapshot that is to be deleted leaves its only clone what that has not of its own.
    async fn merge(&mut self, id: BlobId, clone: BlobId) -> Result<(), Error> {
        let mut marked = self.meta(id)?.clone();
        marked.marker = Some(Marker::DeletedInto(clone));
        self.commit(id, marked, &Lists::new(), &[], Needs::Last).await?;
        let (from, into) = (self.meta(id)?.clone(), self.meta(clone)?.clone());
        let mut next = Meta { parent: from.parent.clone(), ..into.clone() };
        let (mut lists, mut new) = (Lists::new(), Vec::new());
        for entry in 0..into.map.entries().min(from.map.entries()) {
            let (theirs, own) = (from.map.list(entry), into.map.list(entry));
            let first = entry * crate::map::PER;
            let taken = (first..).zip(own.iter().zip(&theirs)).filter(|(_, (own, theirs))| !own.is_some() && theirs.is_some());
            let before = new.len();
            new.extend(taken.map(|(at, (_, theirs))| (at, *theirs)));
            if new.len() == before {
                continue;
            }
            let same = clusters_in_entry(entry, from.clusters()) == clusters_in_entry(entry, into.clusters());
            let whole = same && !from.rle && !into.rle && !from.ragged.contains(&entry);
            match (whole && into.map.is_bare(entry), from.table.get(entry as usize), next.table.get_mut(entry as usize)) {
                (true, Some(theirs), Some(own)) => *own = *theirs,
                _ => {
                    let merged = own
                        .iter()
                        .enumerate()
                        .map(|(at, own)| if own.is_some() { *own } else { theirs.get(at).copied().unwrap_or_default() });
                    lists.insert(entry, merged.collect());
                }
            }
        }
        if let Err(error) = self.commit(clone, next, &lists, &[], Needs::Last).await {
            let mut unmarked = self.meta(id)?.clone();
            unmarked.marker = None;
            if let Err(error) = self.commit(id, unmarked, &Lists::new(), &[], Needs::Last).await {
                self.stop(format!("{id} is marked as being deleted, and cannot be marked otherwise: {error}"));
            }
            return Err(error);
        }
        for (at, cluster) in new {
            into.map.set(at, cluster);
        }
        self.publish(clone);
        self.barrier().await;
        Ok(())
    }

    /// A blob gets another parent, or none; what it has of its own stays.
    async fn adopt(&mut self, id: BlobId, change: impl FnOnce(&mut Meta)) -> Result<(), Error> {
        let mut meta = self.changeable_blob(id)?.clone();
        change(&mut meta);
        self.commit(id, meta, &Lists::new(), &[], Needs::Space).await?;
        self.publish(id);
        self.barrier().await;
        Ok(())
    }

    fn thin(&self, id: BlobId) -> Result<&Meta, Error> {
        let meta = self.changeable_blob(id)?;
        if meta.flags.is_thin() { Ok(meta) } else { Err(Error::NotThin(id)) }
    }

    pub(super) async fn set_parent(&mut self, id: BlobId, parent: BlobId) -> Result<(), Error> {
        self.changeable()?;
        let (meta, of) = (self.thin(id)?, self.meta(parent)?);
        if !of.flags.is_read_only() {
            return Err(Error::NotReadOnly(parent));
        }
        if of.clusters() != meta.clusters() {
            return Err(Error::Sizes { id, clusters: meta.clusters(), parent: of.clusters() });
        }
        if meta.parent == Parent::Snapshot(parent) {
            return Err(Error::ParentAlready { id, parent });
        }
        self.adopt(id, |meta| meta.parent = Parent::Snapshot(parent)).await
    }

    pub(super) async fn set_external_parent(&mut self, id: BlobId, name: &[u8]) -> Result<(), Error> {
        self.changeable()?;
        self.thin(id)?;
        if let Some(open) = self.descendants(id).into_iter().find(|id| self.hub.is_open(*id)) {
            return Err(Error::InUse(open));
        }
        let Some((outside, _)) = self.outsides.get(name) else { return Err(Error::no_external(id, name)) };
        let bytes = outside.blocks << self.disk.info().block_shift;
        if !bytes.is_multiple_of(self.geometry.cluster_bytes.into()) {
            return Err(Error::ExternalSize { bytes, cluster_bytes: self.geometry.cluster_bytes });
        }
        self.adopt(id, |meta| meta.parent = Parent::External(name.to_vec())).await?;
        self.reshape(id);
        Ok(())
    }
}

/// How far a blob is filled up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// It has all of its clusters, is thin no more, and has no parent.
    Thick,
    /// It has all clusters that its parent has, and is a clone of that one's parent.
    Decoupled,
}

/// Gives a blob clusters of its own, some at a time so that others have their turn, and then another parent.
pub(super) async fn fill_up(inner: &Rc<Inner>, id: BlobId, until: Until) -> Result<(), Error> {
    loop {
        let mut state = inner.state.lock().await;
        state.changeable()?;
        let meta = state.changeable_blob(id)?;
        state.has_parents(id, meta)?;
        // Of a device outside all is copied that it has: it cannot be skipped.
        let (until, above) = match (until, &meta.parent) {
            (Until::Decoupled, Parent::Snapshot(parent)) => (until, Some(state.meta(*parent)?)),
            (Until::Decoupled, Parent::None) => return Err(Error::NoParent(id)),
            _ => (Until::Thick, None),
        };
        let wanted = |at: &u64| !meta.map.get(*at).is_some() && above.is_none_or(|above| above.map.get(*at).is_some());
        let missing: Vec<(BlobId, u64)> = (0..meta.clusters()).filter(wanted).take(BATCH).map(|at| (id, at)).collect();
        if missing.is_empty() {
            let parent = above.map_or(Parent::None, |above| above.parent.clone());
            return state
                .adopt(id, move |meta| {
                    meta.parent = parent;
                    if until == Until::Thick {
                        meta.flags.invalid &= !Flags::THIN;
                    }
                })
                .await;
        }
        for status in state.populate(&missing).await {
            match status {
                Status::Ok => {}
                Status::NoSpace => return Err(Error::NoSpace { needed: 1, free: state.usage().free_clusters }),
                status => return Err(Error::Fill { id, status }),
            }
        }
    }
}
