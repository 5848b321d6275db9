//! Requests that wait: for a cluster, or for writes to go on.

use doorbell_block::{Abort, Io};
use std::collections::BTreeMap;

/// What waits at a queue.
#[derive(Default)]
pub(super) struct Parked {
    /// For the owner's answer about a cluster.
    clusters: BTreeMap<u32, Vec<Box<Io>>>,
    /// For the owner's answer about clusters that are given back, by the number of the walk.
    releases: BTreeMap<u32, Box<Io>>,
    /// For writes to go on.
    held: Vec<Box<Io>>,
}

impl Parked {
    /// Waits for an answer about a cluster; true when it is the first that does, so that the owner has to be asked.
    pub(super) fn wait(&mut self, at: u32, io: Box<Io>) -> bool {
        let line = self.clusters.entry(at).or_default();
        line.push(io);
        line.len() == 1
    }

    /// Waits until writes go on.
    pub(super) fn hold(&mut self, io: Box<Io>) {
        self.held.push(io);
    }

    /// Those that waited for the answer that came.
    pub(super) fn answered(&mut self, at: u32) -> Vec<Box<Io>> {
        self.clusters.remove(&at).unwrap_or_default()
    }

    /// Waits until clusters are given back.
    pub(super) fn give_back(&mut self, walk: u32, io: Box<Io>) {
        self.releases.insert(walk, io);
    }

    /// The one that waited for that; none when it was asked back.
    pub(super) fn given_back(&mut self, walk: u32) -> Option<Box<Io>> {
        self.releases.remove(&walk)
    }

    /// Those that waited for writes to go on.
    pub(super) fn released(&mut self) -> Vec<Box<Io>> {
        std::mem::take(&mut self.held)
    }

    /// All of them.
    pub(super) fn all(&mut self) -> Vec<Box<Io>> {
        let mut all = self.released();
        all.extend(std::mem::take(&mut self.clusters).into_values().flatten());
        all.extend(std::mem::take(&mut self.releases).into_values());
        all
    }

    /// Those that are asked back. The owner's answer then finds nobody, or fewer. Clusters that are being given back are waited for: the number of
    /// that walk must not be another's when the answer comes.
    pub(super) fn asked_back(&mut self, which: Abort) -> Vec<Box<Io>> {
        let asked = |io: &mut Box<Io>| match which {
            Abort::All => true,
            Abort::One(id) => io.id() == id,
        };
        let mut found: Vec<Box<Io>> = self.held.extract_if(.., asked).collect();
        for line in self.clusters.values_mut() {
            found.extend(line.extract_if(.., asked));
        }
        self.clusters.retain(|_, line| !line.is_empty());
        found
    }
}
