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
struct Slot {
    generation: u32,
    handle: Option<Handle>,
}

/// Invariant: a descriptor number handed out for a queued request stays open until [`Files::submitted`] says that none is queued.
#[derive(Debug, Default)]
pub(crate) struct Files {
    slots: Vec<Slot>,
    leaving: Vec<Handle>,
}

impl Files {
    pub(crate) fn add(&mut self, handle: &Handle) -> FileId {
        let free = self.slots.iter().position(|slot| slot.handle.is_none());
        let index = free.unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, handle: None });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        slot.handle = Some(handle.clone());
        // Memory ends before 2^32 open files.
        FileId { index: index as u32, generation: slot.generation }
    }

    /// Answers the place it had.
    pub(crate) fn remove(&mut self, id: FileId) -> Option<u32> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        self.leaving.push(slot.handle.take()?);
        slot.generation = slot.generation.wrapping_add(1);
        Some(id.index)
    }

    #[inline]
    pub(crate) fn get(&self, id: FileId) -> Option<&Handle> {
        self.slots.get(id.index as usize).filter(|slot| slot.generation == id.generation)?.handle.as_ref()
    }

    /// The descriptor and what it is; a stale id gives one that the kernel refuses (`EBADF`).
    #[inline]
    pub(crate) fn raw(&self, id: FileId) -> (RawFd, Kind) {
        self.get(id).map_or((-1, Kind::File), |handle| (handle.fd.as_raw_fd(), handle.kind))
    }

    /// Everything queued has been handed to the kernel, which holds the files by itself: those that left may close.
    #[inline]
    pub(crate) fn submitted(&mut self) {
        if !self.leaving.is_empty() {
            self.leaving.clear();
        }
    }
}
