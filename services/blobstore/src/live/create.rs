//! Blobs come, change their size and their attributes, and go.

use super::pages::{Lists, Needs, changed};
use super::state::{Meta, State};
use crate::Error;
use crate::blob::{Attribute, Parent};
use crate::map::PER;
use doorbell_wire_blob::{BlobId, ClearMethod, Cluster, Flags, MdPage, Xattr, clusters_in_entry};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a new blob is to be.
#[derive(Clone, Debug, Default)]
pub struct BlobOptions {
    /// Its clusters.
    pub clusters: u64,
    /// Does it get clusters only where it is written?
    pub thin: bool,
    /// How clusters that it gives up are cleared.
    pub clear_method: ClearMethod,
    /// Its attributes.
    pub xattrs: Vec<Attribute>,
    /// A device outside that it shows where it has no cluster: what the store is to call it. It has to be attached to be read. Such a blob is thin.
    pub external: Option<Vec<u8>>,
}

/// The most clusters of a blob: what is opened.
const CLUSTERS_MAX: u64 = crate::blob::CLUSTERS_MAX;

/// Attributes have to fit the format, and each has a name of its own.
pub(super) fn check_xattrs(xattrs: &[Attribute]) -> Result<(), Error> {
    for (at, (name, value)) in xattrs.iter().enumerate() {
        let fits = name.len() + value.len() <= Xattr::LEN_MAX && !name.is_empty() && !name.contains(&0);
        if !fits || xattrs[..at].iter().any(|(other, _)| other == name) {
            return Err(Error::Attribute { name: String::from_utf8_lossy(name).into_owned() });
        }
    }
    Ok(())
}

impl State {
    /// The id of a new blob.
    pub(super) fn new_id(&mut self) -> Result<BlobId, Error> {
        self.take_page(0, Needs::Space).map(BlobId::of_root)
    }

    /// Writes a blob that is new. When that fails there is none.
    pub(super) async fn commit_new(&mut self, id: BlobId, meta: Meta, lists: &Lists) -> Result<(), Error> {
        let made = self.commit(id, meta, lists, &[], Needs::Space).await;
        if made.is_err() && self.stopped.is_none() {
            self.pages.clear(id.root().0);
        }
        made
    }

    pub(super) async fn create(&mut self, options: &BlobOptions) -> Result<BlobId, Error> {
        self.changeable()?;
        check_xattrs(&options.xattrs)?;
        if options.clusters > CLUSTERS_MAX {
            return Err(Error::TooLarge { clusters: options.clusters, most: CLUSTERS_MAX });
        }
        let thin = options.thin || options.external.is_some();
        let flags = Flags { invalid: if thin { Flags::THIN } else { 0 }, ..Flags::default() }.with_clear_method(options.clear_method);
        let parent = options.external.clone().map_or(Parent::None, Parent::External);
        let meta = Meta::new(flags, options.xattrs.clone(), parent, options.clusters, false);
        let clusters = if thin { Vec::new() } else { self.zeroed(options.clusters).await? };
        let lists = changed(&meta, (0..).zip(clusters.iter().copied()));
        let map = meta.map.clone();
        let id = match self.new_id() {
            Ok(id) => self.commit_new(id, meta, &lists).await.map(|()| id),
            Err(error) => Err(error),
        };
        if id.is_err() {
            if self.stopped.is_none() {
                self.drop_new(&clusters);
            }
            return id;
        }
        for (at, cluster) in (0..).zip(clusters) {
            self.blank.clear(cluster.0);
            map.set(at, cluster);
        }
        id
    }

    pub(super) async fn resize(&mut self, id: BlobId, clusters: u64) -> Result<(), Error> {
        self.changeable()?;
        let meta = self.changeable_blob(id)?.clone();
        let old = meta.clusters();
        if clusters > CLUSTERS_MAX {
            return Err(Error::TooLarge { clusters, most: CLUSTERS_MAX });
        }
        if clusters == old {
            return Ok(());
        }
        let map = Arc::new(meta.map.resized(clusters));
        let new = if clusters > old && !meta.flags.is_thin() { self.zeroed(clusters - old).await? } else { Vec::new() };
        let mut next = Meta { map: map.clone(), ..meta.clone() };
        next.ragged.retain(|entry| *entry < map.entries());
        next.table.truncate(map.entries() as usize);
        let mut lists = changed(&next, (old..).zip(new.iter().copied()));
        // The entry in which the smaller of both ends has to list as many clusters as it has now.
        let edge = old.min(clusters) / PER;
        let is_there = next.table.get(edge as usize).is_some_and(|page| page.is_present());
        if is_there && clusters_in_entry(edge, old) != clusters_in_entry(edge, clusters) {
            lists.entry(edge).or_insert_with(|| map.list(edge));
        }
        let needs = if clusters > old { Needs::Space } else { Needs::Last };
        if let Err(error) = self.commit(id, next, &lists, &[], needs).await {
            if self.stopped.is_none() {
                self.drop_new(&new);
            }
            return Err(error);
        }
        for (at, cluster) in (old..).zip(new) {
            self.blank.clear(cluster.0);
            map.set(at, cluster);
        }
        let blocks = clusters * self.cluster_blocks();
        if let Some(live) = self.blobs.get(&id) {
            live.shared.shape.resize(blocks);
        }
        self.publish(id);
        let cut: Vec<Cluster> = meta.map.allocated().filter(|(at, _)| *at >= clusters).map(|(_, cluster)| cluster).collect();
        if !cut.is_empty() {
            self.barrier().await;
            self.give_back(cut, meta.flags.clear_method()).await;
        }
        Ok(())
    }

    /// A blob that may be changed.
    pub(super) fn changeable_blob(&self, id: BlobId) -> Result<&Meta, Error> {
        let meta = self.meta(id)?;
        match meta.flags.access() {
            doorbell_wire_blob::Access::Full => Ok(meta),
            _ => Err(Error::ReadOnly(id)),
        }
    }

    pub(super) async fn set_xattr(&mut self, id: BlobId, name: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        let mut meta = self.meta(id)?.clone();
        match (meta.xattrs.iter().position(|(found, _)| found == name), value) {
            (Some(at), Some(value)) => meta.xattrs[at].1 = value.to_vec(),
            (Some(at), None) => drop(meta.xattrs.remove(at)),
            (None, Some(value)) => meta.xattrs.push((name.to_vec(), value.to_vec())),
            (None, None) => return Ok(()),
        }
        check_xattrs(&meta.xattrs)?;
        self.commit(id, meta, &Lists::new(), &[], Needs::Space).await
    }

    pub(super) async fn set_read_only(&mut self, id: BlobId) -> Result<(), Error> {
        let mut meta = self.meta(id)?.clone();
        if meta.flags.is_read_only() {
            return Ok(());
        }
        meta.flags.data_ro |= Flags::READ_ONLY;
        self.commit(id, meta, &Lists::new(), &[], Needs::Space).await?;
        self.publish(id);
        // What is under way was begun before; after this nothing changes it.
        self.barrier().await;
        Ok(())
    }

    pub(super) async fn set_super_blob(&mut self, id: Option<BlobId>) -> Result<(), Error> {
        self.changeable()?;
        if let Some(id) = id {
            self.meta(id)?;
        }
        self.super_block.super_blob = id.map_or(doorbell_wire_blob::BlobRef::NONE, Into::into);
        self.write_super().await
    }

    /// A blob goes; `left` are those of its clusters that it has not left to another, and `keeps` the pages that it has.
    pub(super) async fn remove(&mut self, id: BlobId, left: Vec<Cluster>, keeps: &[MdPage]) -> Result<(), Error> {
        let meta = self.meta(id)?.clone();
        self.erase_root(id).await?;
        self.blobs.remove(&id);
        let mut gone: BTreeSet<MdPage> = meta.followers.iter().chain(meta.table.iter().filter(|page| page.is_present())).copied().collect();
        gone.retain(|page| !keeps.contains(page));
        self.pages.clear(id.root().0);
        self.retire(gone).await;
        self.give_back(left, meta.flags.clear_method()).await;
        Ok(())
    }
}
