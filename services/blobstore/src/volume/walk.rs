//! Requests that go from cluster to cluster, with the same box for every part.

use doorbell_block::{Io, IoId};
use std::ops::Range;

/// How far one is.
#[derive(Clone, Copy)]
struct Walk {
    id: IoId,
    /// As it was asked for.
    lba: u64,
    blocks: u32,
    /// The next block.
    at: u64,
    end: u64,
}

/// Those under way.
#[derive(Default)]
pub(super) struct Walks(Vec<Option<Walk>>);

impl Walks {
    pub(super) fn begin(&mut self, io: &Io) -> usize {
        let walk = Walk { id: io.id(), lba: io.lba, blocks: io.blocks, at: io.lba, end: io.lba + u64::from(io.blocks) };
        let slot = self.0.iter().position(Option::is_none).unwrap_or_else(|| {
            self.0.push(None);
            self.0.len() - 1
        });
        self.0[slot] = Some(walk);
        slot
    }

    /// Which it is; none of them as a rule.
    pub(super) fn of(&self, io: &Io) -> Option<usize> {
        self.0.iter().position(|walk| walk.is_some_and(|walk| walk.id == io.id()))
    }

    /// The blocks that are left of it. One that is not there has ended.
    pub(super) fn rest(&self, slot: usize) -> Range<u64> {
        self.0.get(slot).copied().flatten().map_or(0..0, |walk| walk.at..walk.end)
    }

    pub(super) fn advance(&mut self, slot: usize, blocks: u64) {
        if let Some(walk) = self.0.get_mut(slot).and_then(Option::as_mut) {
            walk.at += blocks;
        }
    }

    /// It ends: the box is what it was.
    pub(super) fn end(&mut self, io: &mut Io, slot: usize) {
        if let Some(walk) = self.0.get_mut(slot).and_then(Option::take) {
            (io.lba, io.blocks) = (walk.lba, walk.blocks);
        }
    }
}
