//! A namespace as a block device.
//!
//! Its queues share their reactor's queue pair. A layer above splits what is too long or crosses a boundary; here a request becomes a
//! command.

mod carry;
mod describe;
mod format;
mod queue;
mod zones;

pub(crate) use describe::Pages;
pub use describe::{Described, Ids};
pub use format::Format;
pub(crate) use zones::ZonedPages;

use crate::pair::{Pair, Translate, Wants};
use crate::shared::Shared;
use doorbell_block::{BlockDevice, BlockQueue, Cx, DeviceInfo, Flags, Io, Op, OpenError, Shape, Token, Zones};
use doorbell_wire_nvme::{Copy, DatasetManagement, IoCommand, Protection, ReadWrite, Sqe, SqeWords, WriteUncorrectable, WriteZeroes};
use format::Maker;
use queue::Queue;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What makes commands of requests.
pub(crate) struct Facts {
    nsid: u32,
    format: Format,
    /// A write of zeroes may deallocate, and such blocks read as zeroes.
    zeroes_deallocate: bool,
    /// A read and a write but for their blocks, by number of operation.
    templates: [SqeWords; 2],
    /// Does nothing but the blocks differ from one to the next? Not once it has gone.
    is_plain: AtomicBool,
    zones: Option<Zones>,
    /// Bytes of one command at most.
    max_bytes: u32,
    gone: AtomicBool,
}

const _: () = assert!(Op::Read as usize == 0 && Op::Write as usize == 1);

impl Facts {
    fn new(nsid: u32, described: &Described) -> Facts {
        Facts {
            zeroes_deallocate: described.zeroes_deallocate,
            zones: described.info.zones,
            max_bytes: described.max_bytes,
            ..Facts::of(nsid, described.format)
        }
    }

    /// Of a namespace with nothing else to it.
    fn of(nsid: u32, format: Format) -> Facts {
        let nothing = ReadWrite::default();
        let template = |command: IoCommand| SqeWords::from(&command.encode().with_nsid(nsid));
        Facts {
            nsid,
            format,
            zeroes_deallocate: false,
            templates: [template(IoCommand::Read(nothing)), template(IoCommand::Write(nothing))],
            is_plain: AtomicBool::new(format.protection == 0),
            zones: None,
            max_bytes: 0,
            gone: AtomicBool::new(false),
        }
    }

    fn leave(&self) {
        self.is_plain.store(false, Ordering::Release);
        self.gone.store(true, Ordering::Release);
    }
}

/// A namespace of a controller.
pub struct Namespace {
    shared: Arc<Shared>,
    facts: Arc<Facts>,
    shape: Arc<Shape>,
    described: Described,
}

impl Namespace {
    pub(crate) fn new(shared: Arc<Shared>, nsid: u32, described: Described) -> Namespace {
        let facts = Facts::new(nsid, &described);
        Namespace { shared, facts: Arc::new(facts), shape: Shape::new(described.info.clone()), described }
    }

    /// Its number.
    pub fn nsid(&self) -> u32 {
        self.facts.nsid
    }

    /// What it was said to be when it was found.
    pub fn described(&self) -> &Described {
        &self.described
    }

    /// Is it still there?
    pub fn is_gone(&self) -> bool {
        self.facts.gone.load(Ordering::Acquire)
    }

    /// It is not there any more: requests fail from here on.
    pub(crate) fn leave(&self) {
        self.facts.leave();
    }

    /// Is it the namespace that is now described, whatever its size?
    pub(crate) fn is_same(&self, now: &Described) -> bool {
        let was = &self.described;
        // Everything but its size: what is open was told the rest once, its write cache among it.
        let info = DeviceInfo { blocks: was.info.blocks, ..now.info.clone() };
        was.ids == now.ids && was.info == info && was.format == now.format && was.usable == now.usable
    }

    /// Takes up a new size. True if it is one.
    pub(crate) fn refresh(&self, now: &Described) -> bool {
        let changed = self.shape.blocks() != now.info.blocks;
        if changed {
            self.shape.resize(now.info.blocks);
        }
        changed
    }
}

impl BlockDevice for Namespace {
    fn info(&self) -> Arc<DeviceInfo> {
        self.shape.info()
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        if let Err(why) = &self.described.usable {
            return Err(OpenError::Resources(why.clone()));
        }
        if self.is_gone() {
            return Err(OpenError::Gone);
        }
        let pair = Pair::of(cx, &self.shared)?;
        let id = pair.borrow_mut().join(who, depth, self.facts.wants(), self.facts.clone());
        Ok(Box::new(Queue::new(pair, id, who, self.facts.clone(), self.shape.clone(), depth)))
    }
}

impl Facts {
    /// What its queues have to know of requests that went well: a word of theirs is on those with metadata, and an append says where it went.
    fn wants(&self) -> Wants {
        if self.has_metadata() || self.zones.is_some() { Wants::All } else { Wants::Status }
    }

    /// Have its blocks metadata?
    #[inline]
    fn has_metadata(&self) -> bool {
        self.format.metadata_bytes > 0
    }

    fn protection(&self, io: &Io) -> Protection {
        // Where there is metadata, the queue has said on the request whose it is.
        let maker = if self.format.metadata_bytes == 0 { Maker::Controller } else { carry::maker(io.top()) };
        self.format.protection(io, maker)
    }

    fn transfer(&self, io: &Io) -> ReadWrite {
        let fua = io.op == Op::Write && io.flags.has(Flags::FUA);
        ReadWrite { slba: io.lba, blocks: io.blocks, fua, protection: self.protection(io), ..ReadWrite::default() }
    }
}

impl Translate for Facts {
    #[inline(always)]
    fn plain(&self, io: &Io) -> Option<SqeWords> {
        if !self.is_plain.load(Ordering::Relaxed) {
            return None;
        }
        let template = self.templates.get(io.op as usize).filter(|_| !io.flags.has(Flags::FUA))?;
        Some(template.with_range(io.lba, io.blocks))
    }

    fn command(&self, io: &Io) -> Option<SqeWords> {
        (!self.gone.load(Ordering::Relaxed)).then(|| SqeWords::from(&self.any_command(io)))
    }

    fn may_repeat(&self, io: &Io) -> bool {
        self.zones.is_none() || !zones::moves_pointer(io.op)
    }
}

impl Facts {
    #[inline(never)]
    fn any_command(&self, io: &Io) -> Sqe {
        let command = match io.op {
            Op::Read => IoCommand::Read(self.transfer(io)),
            Op::Write => IoCommand::Write(self.transfer(io)),
            Op::Compare => IoCommand::Compare(self.transfer(io)),
            Op::Verify => IoCommand::Verify(self.transfer(io)),
            Op::WriteUncorrectable => IoCommand::WriteUncorrectable(WriteUncorrectable { slba: io.lba, blocks: io.blocks }),
            Op::WriteZeroes => IoCommand::WriteZeroes(WriteZeroes {
                slba: io.lba,
                blocks: io.blocks,
                fua: io.flags.has(Flags::FUA),
                deallocate: io.flags.has(Flags::MAY_UNMAP) && self.zeroes_deallocate,
                // There is nothing to check (NVM 1.1, 3.3.8: PRCHK is zero).
                protection: Protection { check_guard: false, check_reference: false, check_application: false, ..self.protection(io) },
                ..WriteZeroes::default()
            }),
            Op::Unmap => IoCommand::DatasetManagement(DatasetManagement { ranges: 1, deallocate: true, ..DatasetManagement::default() }),
            Op::Copy => IoCommand::Copy(Copy {
                sdlba: io.lba,
                ranges: 1,
                fua: io.flags.has(Flags::FUA),
                protection: self.protection(io),
                format: self.format.range_format(),
                protection_read: self.format.copy_checks(),
                ..Copy::default()
            }),
            // With type 1 the controller makes the tags fit where the data went, and with type 3 it may not (ZNS 1.1, 3.4.1).
            _ => match zones::command(io, self.protection(io), matches!(self.format.protection, 1 | 2)) {
                Some(command) => command,
                // Whatever else has no command of its own was refused by the queue.
                None => IoCommand::Flush,
            },
        };
        command.encode().with_nsid(self.nsid)
    }
}

#[cfg(test)]
mod tests;
