//! How a request's data and metadata travel: as they lie, or in lists that are made for the way and taken away again.
//!
//! A controller wants metadata in one piece of its own, or behind the data of each block; a request has it apart, in any number of pieces,
//! or has none. Three ways lead from one to the other: the lists of the request, shared in another order, with nothing copied; metadata
//! alone in a buffer; everything in buffers. The lists of the request are set aside meanwhile, and come back with what was read.
//!
//! Invariants: a request of a namespace with metadata has one word of the queue on it while, and only while, the pair has it; what was set
//! aside comes back before the request does.

use super::format::{Format, Maker};
use doorbell_block::{Cx, Io, Op};
use doorbell_mem::{Seg, SgList};

/// The word on a request that brought its own metadata.
const OWN: u64 = 1;

/// Who makes the metadata of a request with this word.
#[inline]
pub(super) fn maker(word: u64) -> Maker {
    if word == OWN { Maker::Sender } else { Maker::Controller }
}

/// The word of a request that did not leave yet.
#[inline]
pub(super) fn word(io: &Io) -> u64 {
    if io.meta.is_empty() { 0 } else { OWN }
}

/// How much of a request is copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Copied {
    /// As little as can be.
    Least,
    /// All: its pieces do not lie as the controller wants them.
    All,
}

/// What of a request was set aside, and how it gets back what was read.
pub(super) struct Aside {
    sg: Option<SgList>,
    meta: Option<SgList>,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// What was made for the way lies in the same order.
    Alike,
    /// Data and metadata in turn, in pieces of the request's own.
    Turns,
    /// Data and metadata in turn, in buffers.
    Together,
}

impl Aside {
    /// A payload that was exchanged for another, of the same order.
    pub(super) fn payload(sg: SgList) -> Aside {
        Aside { sg: Some(sg), meta: None, form: Form::Alike }
    }

    /// Was the data copied?
    pub(super) fn is_copied(&self) -> bool {
        self.sg.is_some() && self.form != Form::Turns
    }

    /// Gives a request back what is its own, with what was read.
    pub(super) fn restore(self, io: &mut Io, format: Format, shift: u8) {
        let (travelled, brought) = (std::mem::take(&mut io.meta), self.meta);
        let mut data = None;
        if let Some(sg) = self.sg {
            data = Some(std::mem::replace(&mut io.sg, sg));
        }
        let read = io.op == Op::Read && io.status.is_ok();
        match brought {
            None => io.meta = travelled,
            Some(own) => {
                io.meta = own;
                if read && !travelled.is_empty() && !io.meta.is_empty() {
                    io.meta.copy_from(0, &travelled, 0, io.meta.bytes());
                }
            }
        }
        let Some(data) = data.filter(|_| read) else { return };
        match self.form {
            Form::Turns => {}
            Form::Alike => io.sg.copy_from(0, &data, 0, io.sg.bytes()),
            Form::Together => in_turn(io.blocks, format, shift, |block, bytes| {
                if block.is_data {
                    io.sg.copy_from(block.own, &data, block.travelling, bytes);
                } else if !io.meta.is_empty() {
                    io.meta.copy_from(block.own, &data, block.travelling, bytes);
                }
            }),
        }
    }
}

/// A piece of a run of blocks with their metadata behind each.
struct Turn {
    is_data: bool,
    /// Where it is in the list that it belongs to.
    own: u32,
    /// Where it is in the run.
    travelling: u32,
}

fn in_turn(blocks: u32, format: Format, shift: u8, mut each: impl FnMut(Turn, u32)) {
    let (data, meta) = (1u32 << shift, u32::from(format.metadata_bytes));
    for n in 0..blocks {
        let at = n * (data + meta);
        each(Turn { is_data: true, own: n * data, travelling: at }, data);
        each(Turn { is_data: false, own: n * meta, travelling: at + data }, meta);
    }
}

/// Gets a read or write of a namespace with metadata on its way: exchanges its lists for what the controller wants, where that is another
/// thing. `None` when there was no buffer, the request as it was, and whoever calls waits; else what was set aside, if anything was.
pub(super) fn prepare(cx: &mut Cx, io: &mut Io, format: Format, shift: u8, copied: Copied) -> Option<Option<Aside>> {
    let metadata_bytes = io.blocks * u32::from(format.metadata_bytes);
    let travels = !io.meta.is_empty() || !format.is_all_made();
    let is_read = io.op == Op::Read;
    match (travels, format.extended) {
        (false, _) if copied == Copied::Least => Some(None),
        (false, _) => payload(cx, io).map(Some),
        (true, false) => {
            let meta =
                if copied == Copied::Least && io.meta.segs().len() == 1 { None } else { Some(metadata(cx, io, metadata_bytes, is_read)?) };
            let sg = if copied == Copied::All { Some(copy_of(cx, &io.sg, is_read)?) } else { None };
            Some((sg.is_some() || meta.is_some()).then(|| Aside {
                sg: sg.map(|list| std::mem::replace(&mut io.sg, list)),
                meta: meta.map(|list| std::mem::replace(&mut io.meta, list)),
                form: Form::Alike,
            }))
        }
        (true, true) => {
            let (list, form) = match copied {
                Copied::Least => (turns(cx, io, format, shift, metadata_bytes)?, Form::Turns),
                Copied::All => (together(cx, io, format, shift, metadata_bytes)?, Form::Together),
            };
            let sg = Some(std::mem::replace(&mut io.sg, list));
            Some(Some(Aside { sg, meta: Some(std::mem::take(&mut io.meta)), form }))
        }
    }
}

/// Bytes that `prepare` needs in one buffer. What has no buffer so large would wait for ever.
pub(super) fn in_one_piece(io: &Io, format: Format, copied: Copied) -> u32 {
    let travels = !io.meta.is_empty() || !format.is_all_made();
    let is_needed = match (travels, format.extended) {
        (false, _) => false,
        (true, false) => copied == Copied::All || io.meta.segs().len() != 1,
        (true, true) => copied == Copied::Least && io.meta.is_empty(),
    };
    if is_needed { io.blocks.saturating_mul(format.metadata_bytes.into()) } else { 0 }
}

/// Bytes of the buffers that `prepare` gathers for data.
pub(super) fn gathered(io: &Io, format: Format, copied: Copied) -> u32 {
    let travels = !io.meta.is_empty() || !format.is_all_made();
    match (travels, format.extended, copied) {
        (_, _, Copied::Least) => 0,
        (true, true, Copied::All) => io.sg.bytes() + io.blocks.saturating_mul(format.metadata_bytes.into()),
        (_, _, Copied::All) => io.sg.bytes(),
    }
}

/// Exchanges the data of a request for a copy of it.
pub(super) fn payload(cx: &mut Cx, io: &mut Io) -> Option<Aside> {
    let list = copy_of(cx, &io.sg, io.op == Op::Read)?;
    Some(Aside::payload(std::mem::replace(&mut io.sg, list)))
}

/// Buffers as long as `list`, with what is in it unless that is to be read first.
fn copy_of(cx: &mut Cx, list: &SgList, is_read: bool) -> Option<SgList> {
    let mut copy = SgList::default();
    if !cx.gather(list.bytes(), &mut copy) {
        return None;
    }
    if !is_read {
        copy.copy_from(0, list, 0, list.bytes());
    }
    Some(copy)
}

/// One buffer with the metadata of a request, or zeroes where it has none.
fn metadata(cx: &mut Cx, io: &Io, bytes: u32, is_read: bool) -> Option<SgList> {
    let buffer = cx.buffer(bytes)?;
    let mut list = SgList::default();
    list.push(buffer);
    match (is_read, io.meta.is_empty()) {
        (true, _) => {}
        (false, true) => list.fill(0, bytes, 0),
        (false, false) => list.copy_from(0, &io.meta, 0, bytes),
    }
    Some(list)
}

/// The pieces of a request, a block's data and its metadata in turn.
fn turns(cx: &mut Cx, io: &Io, format: Format, shift: u8, metadata_bytes: u32) -> Option<SgList> {
    let brought;
    let meta = if io.meta.is_empty() {
        brought = metadata(cx, io, metadata_bytes, io.op == Op::Read)?;
        &brought
    } else {
        &io.meta
    };
    let mut list = SgList::default();
    in_turn(io.blocks, format, shift, |turn, bytes| {
        let from = if turn.is_data { &io.sg } else { meta };
        from.each(turn.own, bytes, |seg: &Seg, at, len, _| list.push(seg.slice(at, len)));
    });
    Some(list)
}

/// Buffers with the blocks of a request, each with its metadata behind it.
fn together(cx: &mut Cx, io: &Io, format: Format, shift: u8, metadata_bytes: u32) -> Option<SgList> {
    let mut list = SgList::default();
    if !cx.gather(io.sg.bytes() + metadata_bytes, &mut list) {
        return None;
    }
    if io.op != Op::Read {
        in_turn(io.blocks, format, shift, |turn, bytes| match (turn.is_data, io.meta.is_empty()) {
            (true, _) => list.copy_from(turn.travelling, &io.sg, turn.own, bytes),
            (false, true) => list.fill(turn.travelling, bytes, 0),
            (false, false) => list.copy_from(turn.travelling, &io.meta, turn.own, bytes),
        });
    }
    Some(list)
}

#[cfg(test)]
mod tests;
