//! The files that an engine works on, by handles that go stale: a request names a number, so that no reference count is touched per I/O.

use std::os::fd::{AsRawFd, RawFd};

use super::{Handle, Kind};

/// A file that an engine knows. Belongs to that engine; stale once removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
enum State {
    Free,
    Used(Handle),
    /// Removed, and named by requests that are still queued.
    Leaving {
        /// Only kept open.
        _open: Handle,
    },
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    state: State,
}

/// Invariant: a descriptor number handed out for a queued request stays open, and its place is not used again, until [`Files::submitted`]
/// says that none is queued.
#[derive(Debug, Default)]
pub(crate) struct Files {
    slots: Vec<Slot>,
    leaving: u32,
}

impl Files {
    pub(crate) fn add(&mut self, handle: &Handle) -> FileId {
        let free = self.slots.iter().position(|slot| matches!(slot.state, State::Free));
        let index = free.unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, state: State::Free });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        slot.state = State::Used(handle.clone());
        // Memory ends before 2^32 open files.
        FileId { index: index as u32, generation: slot.generation }
    }

    pub(crate) fn remove(&mut self, id: FileId) {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation);
        let Some(slot) = slot else { return };
        slot.generation = slot.generation.wrapping_add(1);
        slot.state = match std::mem::replace(&mut slot.state, State::Free) {
            State::Used(handle) => {
                self.leaving += 1;
                State::Leaving { _open: handle }
            }
            other => other,
        };
    }

    /// Whether a file is in use.
    pub(crate) fn is_any_used(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot.state, State::Used(_)))
    }

    #[inline]
    pub(crate) fn is_any_leaving(&self) -> bool {
        self.leaving > 0
    }

    /// The places of files that were removed and are still open.
    pub(crate) fn leaving(&self) -> Vec<u32> {
        let leaves = |(_, slot): &(usize, &Slot)| matches!(slot.state, State::Leaving { .. });
        self.slots.iter().enumerate().filter(leaves).map(|(index, _)| index as u32).collect()
    }

    #[inline]
    pub(crate) fn get(&self, id: FileId) -> Option<&Handle> {
        match self.slots.get(id.index as usize) {
            Some(Slot { generation, state: State::Used(handle) }) if *generation == id.generation => Some(handle),
            _ => None,
        }
    }

    /// The descriptor and what it is; a stale id gives one that the kernel refuses (`EBADF`).
    #[inline]
    pub(crate) fn raw(&self, id: FileId) -> (RawFd, Kind) {
        self.get(id).map_or((-1, Kind::File), |handle| (handle.fd.as_raw_fd(), handle.kind))
    }

    /// Everything queued has been handed to the kernel, which holds the files by itself: those that left close, and their places are free.
    #[inline]
    pub(crate) fn submitted(&mut self) {
        if self.leaving == 0 {
            return;
        }
        self.leaving = 0;
        for slot in &mut self.slots {
            if matches!(slot.state, State::Leaving { .. }) {
                slot.state = State::Free;
            }
        }
    }
}

impl FileId {
    /// Its place in the engine's table.
    pub(crate) fn index(self) -> u32 {
        self.index
    }
}
