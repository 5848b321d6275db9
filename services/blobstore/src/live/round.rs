//! A round of the owner's: what queues have asked for is done, all of it with one flush for the data and one for the metadata of each blob.

use super::clusters::status_of;
use super::pages::{Needs, changed};
use super::state::State;
use crate::Error;
use crate::hub::{Answer, Ask};
use doorbell_block::Status;
use doorbell_wire_blob::{BlobId, Cluster};
use std::collections::BTreeMap;

/// Clusters of one round. What is more than that waits for the next, so that nobody waits for too long.
const MOST: usize = 64;

type Answers = Vec<(u32, Answer)>;

impl State {
    /// Does what is asked for, and says what came of it.
    pub(super) async fn round(&mut self, asks: Vec<(u32, Ask)>) -> Answers {
        let mut answers = Vec::new();
        let mut wanted: BTreeMap<(BlobId, u64), Vec<u32>> = BTreeMap::new();
        let mut released: BTreeMap<BlobId, Vec<(u32, Release)>> = BTreeMap::new();
        for (queue, ask) in asks {
            // A queue that has gone is answered nothing.
            let Some(blob) = self.hub.blob_of(queue) else { continue };
            match ask {
                Ask::Populate { at } => wanted.entry((blob, at.into())).or_default().push(queue),
                Ask::Release { walk, at, count } => released.entry(blob).or_default().push((queue, Release { walk, at, count })),
            }
        }
        let wanted: Vec<_> = wanted.into_iter().collect();
        for part in wanted.chunks(MOST) {
            let which: Vec<(BlobId, u64)> = part.iter().map(|(which, _)| *which).collect();
            for ((_, queues), ((_, at), status)) in part.iter().zip(which.iter().zip(self.populate(&which).await)) {
                answers.extend(queues.iter().map(|queue| (*queue, Answer::Done(*at as u32, status))));
            }
        }
        for (blob, releases) in released {
            let status = self.release(blob, releases.iter().map(|(_, release)| *release)).await;
            let status = status.err().map_or(Status::Ok, |error| status_of(&error));
            answers.extend(releases.iter().map(|(queue, release)| (*queue, Answer::Released(release.walk, status))));
        }
        answers
    }

    /// Sees to it that blobs have clusters of their own at these places.
    pub(super) async fn populate(&mut self, wanted: &[(BlobId, u64)]) -> Vec<Status> {
        let mut statuses: Vec<Status> = wanted.iter().map(|(id, at)| self.lacks(*id, *at)).collect();
        let slots: Vec<usize> = (0..wanted.len()).filter(|slot| statuses[*slot] == Status::NoSpace).collect();
        let missing: Vec<(BlobId, u64)> = slots.iter().map(|slot| wanted[*slot]).collect();
        let mut of_blob: BTreeMap<BlobId, Vec<(usize, u64, Cluster)>> = BTreeMap::new();
        for ((slot, (id, at)), filled) in slots.iter().zip(&missing).zip(self.fill_new(&missing).await) {
            match filled {
                Ok(cluster) => of_blob.entry(*id).or_default().push((*slot, *at, cluster)),
                Err(error) => statuses[*slot] = self.refusal(*id, *at, &error),
            }
        }
        for (id, new) in of_blob {
            let named = match self.meta(id) {
                Ok(meta) => {
                    let lists = changed(meta, new.iter().map(|(_, at, cluster)| (*at, *cluster)));
                    self.write_lists(id, &lists, Needs::Space).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = &named
                && self.stopped.is_none()
            {
                self.drop_new(&new.iter().map(|(.., cluster)| *cluster).collect::<Vec<_>>());
                tracing::warn!(%error, %id, "clusters could not be added to a blob");
            }
            for (slot, at, cluster) in new {
                statuses[slot] = match &named {
                    Ok(()) => {
                        self.blank.clear(cluster.0);
                        if let Some(live) = self.blobs.get(&id) {
                            live.meta.map.set(at, cluster);
                        }
                        Status::Ok
                    }
                    Err(error) => status_of(error),
                };
            }
        }
        statuses
    }

    /// Why a blob gets no cluster there: `NoSpace` for one that lacks it, which is what it is told when there is none.
    fn lacks(&self, id: BlobId, at: u64) -> Status {
        match self.meta(id) {
            Err(error) => status_of(&error),
            Ok(meta) if at >= meta.clusters() => Status::OutOfRange,
            Ok(meta) if meta.map.get(at).is_some() => Status::Ok,
            Ok(meta) if meta.flags.is_read_only() => Status::ReadOnly,
            Ok(_) if self.stopped.is_some() => Status::WriteError,
            Ok(_) => Status::NoSpace,
        }
    }

    fn refusal(&self, id: BlobId, at: u64, error: &Error) -> Status {
        if !matches!(error, Error::NoSpace { .. }) {
            tracing::warn!(%error, %id, at, "a cluster could not be filled");
        }
        status_of(error)
    }

    /// Gives back clusters of a thin blob that shows no parent's.
    async fn release(&mut self, id: BlobId, releases: impl Iterator<Item = Release>) -> Result<(), Error> {
        let meta = self.meta(id)?;
        if !self.view(meta).releases || meta.flags.is_read_only() {
            return Ok(()); // it was one when it was asked: what is unmapped may read as anything
        }
        let mut old: BTreeMap<u64, Cluster> = BTreeMap::new();
        for release in releases {
            let end = (u64::from(release.at) + u64::from(release.count)).min(meta.clusters());
            old.extend((release.at.into()..end).map(|at| (at, meta.map.get(at))).filter(|(_, cluster)| cluster.is_some()));
        }
        if old.is_empty() {
            return Ok(());
        }
        let (lists, method) = (changed(meta, old.keys().map(|at| (*at, Cluster::NONE))), meta.flags.clear_method());
        self.write_lists(id, &lists, Needs::Last).await?;
        if let Some(live) = self.blobs.get(&id) {
            old.keys().for_each(|at| live.meta.map.set(*at, Cluster::NONE));
        }
        self.barrier().await;
        self.give_back(old.into_values().collect(), method).await;
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Release {
    walk: u32,
    at: u32,
    count: u32,
}
