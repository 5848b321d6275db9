//! Clusters: taken, filled before anybody sees them, and given back.

use super::state::{Meta, State};
use crate::Error;
use crate::blob::Parent;
use crate::disk::DEPTH;
use crate::tasks::all;
use doorbell_block::Status;
use doorbell_wire_blob::{BlobId, ClearMethod, Cluster};
use std::cell::{Cell, RefCell};

/// Clusters that are filled at a time.
const WIDTH: usize = 4;

/// What a new cluster begins as.
enum Source {
    Zeroes,
    /// Another cluster of this store's.
    Cluster(Cluster),
    /// A device outside: from this byte, so many of them. The rest is zeroes.
    Outside(Vec<u8>, u64, u64),
}

impl State {
    /// The lowest cluster that is free.
    fn take_cluster(&mut self) -> Option<Cluster> {
        let taken = self.clusters.take(self.geometry.md_clusters).map(Cluster);
        if taken.is_none() && !self.said_full {
            self.said_full = true;
            tracing::warn!(
                clusters = self.geometry.data_clusters(),
                "a volume store is full: what needs another cluster fails until space is made"
            );
        }
        taken
    }

    fn free_cluster(&mut self, cluster: Cluster) {
        self.clusters.clear(cluster.0);
        self.said_full = false;
    }

    fn source(&self, meta: &Meta, at: u64) -> Source {
        let view = self.view(meta);
        let found = view.chain.iter().skip(1).map(|map| map.get(at)).find(|cluster| cluster.is_some());
        if let Some(cluster) = found {
            return Source::Cluster(cluster);
        }
        let (bytes, from) = (u64::from(self.geometry.cluster_bytes), at * u64::from(self.geometry.cluster_bytes));
        match self.last_parent(meta) {
            Parent::External(name) => {
                let there =
                    self.outsides.get(&name).map_or(0, |(outside, disk)| outside.blocks << (outside.shift + disk.info().block_shift));
                match there.saturating_sub(from).min(bytes) {
                    0 => Source::Zeroes,
                    len => Source::Outside(name, from, len),
                }
            }
            _ => Source::Zeroes,
        }
    }

    /// Where a blob's chain of parents ends.
    fn last_parent(&self, meta: &Meta) -> Parent {
        let mut last = meta;
        while let Parent::Snapshot(parent) = last.parent
            && let Some(live) = self.blobs.get(&parent)
        {
            last = &live.meta;
        }
        last.parent.clone()
    }

    /// A parent outside that is not there cannot be read.
    pub(super) fn has_parents(&self, id: BlobId, meta: &Meta) -> Result<(), Error> {
        match self.last_parent(meta) {
            Parent::External(name) if !self.outsides.contains_key(&name) => Err(Error::no_external(id, &name)),
            _ => Ok(()),
        }
    }

    async fn fill(&self, cluster: Cluster, source: &Source) -> Result<(), Error> {
        let bytes = u64::from(self.geometry.cluster_bytes);
        let to = self.geometry.cluster_offset(cluster).ok_or(Error::Lent)?;
        match source {
            Source::Zeroes if self.blank.has(cluster.0) => Ok(()),
            Source::Zeroes => self.disk.zero(to, bytes).await,
            Source::Cluster(from) => self.disk.copy(self.geometry.cluster_offset(*from).ok_or(Error::Lent)?, to, bytes).await,
            Source::Outside(name, from, len) => {
                let (_, disk) = self.outsides.get(name).ok_or(Error::Lent)?;
                self.disk.copy_from(disk, *from, to, *len).await?;
                if *len < bytes { self.disk.zero(to + len, bytes - len).await } else { Ok(()) }
            }
        }
    }

    /// A cluster for each of these of blobs', filled with what the blob shows there, durably. Nothing refers to them yet. Of those that failed
    /// nothing is left.
    pub(super) async fn fill_new(&mut self, wanted: &[(BlobId, u64)]) -> Vec<Result<Cluster, Error>> {
        let mut answers = Vec::with_capacity(wanted.len());
        let mut work = Vec::new();
        for (id, at) in wanted {
            let source = match self.meta(*id) {
                Ok(meta) => self.has_parents(*id, meta).map(|()| self.source(meta, *at)),
                Err(error) => Err(error),
            };
            answers.push(match source {
                Err(error) => Err(error),
                Ok(source) => match self.take_cluster() {
                    None => Err(Error::NoSpace { needed: 1, free: 0 }),
                    Some(cluster) => {
                        work.push((answers.len(), cluster, source));
                        Ok(cluster)
                    }
                },
            });
        }
        let answers = RefCell::new(answers);
        let one = async |(slot, cluster, source): &(usize, Cluster, Source)| {
            if let Err(error) = self.fill(*cluster, source).await {
                answers.borrow_mut()[*slot] = Err(error);
            }
            Ok::<(), Error>(())
        };
        let mut done = all(WIDTH, work.iter().map(one)).await;
        if done.is_ok() {
            done = self.disk.flush().await;
        }
        let mut answers = answers.into_inner();
        for (slot, cluster, _) in work {
            if let Err(error) = &done {
                answers[slot] = Err(error.clone());
            }
            if answers[slot].is_err() {
                self.blank.clear(cluster.0);
                self.free_cluster(cluster);
            }
        }
        answers
    }

    /// So many clusters of zeroes, durably; all or none.
    pub(super) async fn zeroed(&mut self, count: u64) -> Result<Vec<Cluster>, Error> {
        let free = self.clusters.clear_bits();
        if count > u64::from(free) {
            return Err(Error::NoSpace { needed: count, free });
        }
        let taken: Vec<Cluster> = (0..count).map_while(|_| self.take_cluster()).collect();
        let bytes = u64::from(self.geometry.cluster_bytes);
        let unknown = runs(taken.iter().copied().filter(|cluster| !self.blank.has(cluster.0)));
        let zero = async |(first, count): (Cluster, u64)| {
            let offset = self.geometry.cluster_offset(first).ok_or(Error::Lent)?;
            self.disk.zero(offset, count * bytes).await
        };
        let mut done = all(DEPTH, unknown.into_iter().map(zero)).await;
        if done.is_ok() {
            done = self.disk.flush().await;
        }
        if let Err(error) = done {
            self.drop_new(&taken);
            return Err(error);
        }
        Ok(taken)
    }

    /// Clusters that were filled for nothing: no metadata has named them.
    pub(super) fn drop_new(&mut self, clusters: &[Cluster]) {
        for cluster in clusters {
            self.blank.clear(cluster.0);
            self.free_cluster(*cluster);
        }
    }

    /// Clusters that nothing refers to any more, durably, and that nobody reads or writes any more, are cleared and free.
    pub(super) async fn give_back(&mut self, mut clusters: Vec<Cluster>, method: ClearMethod) {
        clusters.sort();
        let bytes = u64::from(self.geometry.cluster_bytes);
        let zeroes = Cell::new(true);
        let clear = async |(first, count): (Cluster, u64)| {
            let offset = self.geometry.cluster_offset(first).ok_or(Error::Lent)?;
            let known = match method {
                ClearMethod::None => false,
                ClearMethod::WriteZeroes => self.disk.zero(offset, count * bytes).await.map(|()| true)?,
                ClearMethod::Default | ClearMethod::Unmap => self.disk.discard(offset, count * bytes).await?,
            };
            zeroes.set(zeroes.get() && known);
            Ok::<(), Error>(())
        };
        let cleared = all(DEPTH, runs(clusters.iter().copied()).into_iter().map(clear)).await;
        if let Err(error) = &cleared {
            tracing::warn!(%error, "clusters that were given back could not be cleared: they are zeroed before they are used again");
        }
        let blank = cleared.is_ok() && zeroes.get();
        for cluster in clusters {
            if blank {
                self.blank.set(cluster.0);
            } else {
                self.blank.clear(cluster.0);
            }
            self.free_cluster(cluster);
        }
    }
}

/// Clusters in ascending order as runs of neighbours.
fn runs(clusters: impl Iterator<Item = Cluster>) -> Vec<(Cluster, u64)> {
    let mut runs: Vec<(Cluster, u64)> = Vec::new();
    for cluster in clusters {
        match runs.last_mut() {
            Some((first, count)) if u64::from(first.0) + *count == u64::from(cluster.0) => *count += 1,
            _ => runs.push((cluster, 1)),
        }
    }
    runs
}

/// What whoever waits for a cluster is told.
pub(super) fn status_of(error: &Error) -> Status {
    match error {
        Error::NoSpace { .. } | Error::NoPages { .. } => Status::NoSpace,
        Error::Read { status, .. } => *status,
        Error::Write { status, .. } | Error::Flush { status } => *status,
        Error::NoExternal { .. } => Status::ReadError,
        Error::NoBlob(_) => Status::Gone,
        Error::Stopped { .. } | Error::Unusable { .. } => Status::WriteError,
        _ => Status::Internal,
    }
}
