//! Doorbells: a page that the host maps, and, where it cannot, pages of its own (shadow doorbells; Base 2.1, 5.2.5 and appendix B.5).

use super::bar;
use super::memory::{Ring, Span};
use doorbell_mem::{Foreign, MemError, Regions, Seg};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};

/// Which doorbell: of a submission queue's tail or a completion queue's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Tail(u16),
    Head(u16),
}

impl Which {
    /// Its place, with no stride (Base 2.1, 3.1.4.1: DSTRD 0).
    #[inline]
    fn offset(self) -> u32 {
        match self {
            Which::Tail(q) => u32::from(q) * 8,
            Which::Head(q) => u32::from(q) * 8 + 4,
        }
    }
}

/// Tells a host that its real doorbell need never be rung.
const NEVER: u32 = u32::MAX;

/// Why there is no page of doorbells.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoDoorbells {
    /// No memory.
    #[error("cannot make the page of doorbells: {0}")]
    Memory(#[from] io::Error),
    /// No room to map it.
    #[error(transparent)]
    Map(#[from] MemError),
}

/// All doorbells of a function.
pub(super) struct Doorbells {
    file: OwnedFd,
    page: Seg,
    _mapping: Foreign,
    shadow: Option<Shadow>,
}

struct Shadow {
    doorbells: Ring,
    events: Ring,
}

impl Doorbells {
    pub(super) fn new(regions: &Regions) -> Result<Doorbells, NoDoorbells> {
        let len = bar::DOORBELLS + bar::DOORBELLS_LEN;
        let file = doorbell_sys::passed::sealed_memory("doorbell-bar0", len)?;
        let mapping = Foreign::map(regions, file.try_clone()?, 0, usize::try_from(len).unwrap_or(0))?;
        let page = u32::try_from(bar::DOORBELLS_LEN).ok().and_then(|len| mapping.seg(bar::DOORBELLS, len));
        let page = page.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(Doorbells { file, page, _mapping: mapping, shadow: None })
    }

    /// The file that the host maps, at the offsets of BAR 0.
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Rung by message.
    pub(super) fn ring(&self, offset: u32, value: u32) {
        self.page.store32(offset, value);
        // A host that rings has read an event index, and may have written its own doorbell only here.
        if let Some((seg, at)) = self.shadow.as_ref().filter(|_| offset >= 8).and_then(|s| s.doorbells.at(offset)) {
            seg.store32(at, value);
        }
    }

    /// A doorbell's value. The admin queue's are never in the host's memory.
    #[inline]
    pub(super) fn get(&self, which: Which) -> u32 {
        let offset = which.offset();
        if let Some(shadow) = &self.shadow
            && offset >= 8
            && let Some((seg, at)) = shadow.doorbells.at(offset)
        {
            return seg.load32(at);
        }
        self.page.load32(offset)
    }

    /// A queue begins, or ends: its doorbell is zero.
    pub(super) fn zero(&self, which: Which) {
        let offset = which.offset();
        self.page.store32(offset, 0);
        if let Some(s) = self.shadow.as_ref().filter(|_| offset >= 8) {
            if let Some((seg, at)) = s.doorbells.at(offset) {
                seg.store32(at, 0);
            }
            if let Some((seg, at)) = s.events.at(offset) {
                seg.store32(at, NEVER);
            }
        }
    }

    /// From now on the host's doorbells lie in its memory. What they are now is copied there: some hosts do not.
    pub(super) fn set_shadow(&mut self, doorbells: Ring, events: Ring) {
        let words = u32::try_from(bar::DOORBELLS_LEN / 4).unwrap_or(0);
        for at in (2..words).map(|n| n * 4) {
            if let Some((seg, at)) = doorbells.at(at) {
                seg.store32(at, self.page.load32(at));
            }
            if let Some((seg, at)) = events.at(at) {
                seg.store32(at, NEVER);
            }
        }
        self.shadow = Some(Shadow { doorbells, events });
    }

    /// They no longer do.
    pub(super) fn clear_shadow(&mut self) {
        self.shadow = None;
    }

    /// They no longer do if their memory goes.
    pub(super) fn memory_goes(&mut self, span: Span) {
        self.shadow.take_if(|s| s.doorbells.meets(span) || s.events.meets(span));
    }

    pub(super) fn has_shadow(&self) -> bool {
        self.shadow.is_some()
    }

    /// Asks to be rung when the tail leaves `seen`. Look again after this.
    pub(super) fn ask(&self, qid: u16, seen: u32) {
        self.event(qid, seen);
        fence(Ordering::SeqCst);
    }

    /// Asks not to be rung.
    pub(super) fn ask_not(&self, qid: u16) {
        self.event(qid, NEVER);
    }

    fn event(&self, qid: u16, value: u32) {
        let offset = Which::Tail(qid).offset();
        if let Some((seg, at)) = self.shadow.as_ref().filter(|_| qid != 0).and_then(|s| s.events.at(offset)) {
            seg.store32(at, value);
        }
    }
}
