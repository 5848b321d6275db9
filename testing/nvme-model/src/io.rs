//! Commands of I/O queues, and fused pairs of them.

use crate::disk::Disk;
use crate::memory::{Memory, Pointer};
use crate::model::{Fate, Model, Under};
use doorbell_wire_nvme::range::DsmRange;
use doorbell_wire_nvme::{Cid, IoCommand, Psdt, ReadWrite, Sqe, Status, view};

/// The two PRP entries of a command.
pub(crate) fn prps(sqe: &Sqe) -> (u64, u64) {
    let raw = doorbell_wire_nvme::bytes(&sqe.dptr);
    let word = |at: usize| raw.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    (word(0), word(8))
}

type Done = Result<(), Status>;

/// The blocks that a command brings.
fn brought(memory: &mut Memory, pointer: Pointer, rw: &ReadWrite, shift: u8) -> Result<Vec<u8>, Status> {
    memory.gather(pointer, (rw.blocks as usize) << shift).ok_or(Status::DATA_TRANSFER_ERROR)
}

fn compare(memory: &mut Memory, disk: &Disk, pointer: Pointer, rw: &ReadWrite) -> Done {
    let data = brought(memory, pointer, rw, disk.spec.shift)?;
    if *disk.read(rw.slba, rw.blocks)? == *data { Ok(()) } else { Err(Status::COMPARE_FAILURE) }
}

fn write(memory: &mut Memory, disk: &mut Disk, pointer: Pointer, rw: &ReadWrite) -> Done {
    let data = brought(memory, pointer, rw, disk.spec.shift)?;
    disk.write(rw.slba, rw.blocks)?.copy_from_slice(&data);
    Ok(())
}

fn deallocate(memory: &mut Memory, disk: &mut Disk, pointer: Pointer, ranges: u16) -> Done {
    let data = memory.gather(pointer, usize::from(ranges) * 16).ok_or(Status::DATA_TRANSFER_ERROR)?;
    for range in data.chunks(16).filter_map(view::<DsmRange>) {
        disk.write(range.slba.get(), range.blocks.get())?.fill(0);
    }
    Ok(())
}

impl Model {
    /// Where its data lies. A list that the model never offered to read is a breach of the rules, and so is one of an admin command
    /// (Base 2.1, 4.1.1: PSDT).
    pub(crate) fn pointer(&mut self, sqe: &Sqe) -> Option<Pointer> {
        if sqe.flags.psdt() == Psdt::PRP {
            let (first, second) = prps(sqe);
            return Some(Pointer::Prps(first, second));
        }
        if self.plan.sgls == 0 || sqe.flags.psdt() != Psdt::SGL_BUFFER {
            self.counters.driver_errors += 1;
            return None;
        }
        self.counters.lists += 1;
        Some(Pointer::List { only: sqe.sgl(), dwords: self.plan.sgls == 2 })
    }

    /// Does an I/O command.
    pub(crate) fn transfer(&mut self, sqe: &Sqe) -> Status {
        self.try_transfer(sqe).err().unwrap_or(Status::SUCCESS)
    }

    fn try_transfer(&mut self, sqe: &Sqe) -> Done {
        let pointer = self.pointer(sqe).ok_or(Status::INVALID_FIELD.dnr())?;
        if self.is_sanitizing() {
            return Err(Status::SANITIZE_IN_PROGRESS);
        }
        if self.is_formatting(sqe.nsid()) {
            return Err(Status::FORMAT_IN_PROGRESS);
        }
        let has = self.plan.offers;
        let disk = self.disks.iter_mut().find(|d| d.spec.nsid == sqe.nsid.get() && d.present).ok_or(Status::INVALID_NAMESPACE)?;
        let memory = &mut self.memory;
        match IoCommand::parse(sqe) {
            IoCommand::Read(rw) => memory.scatter(pointer, disk.read(rw.slba, rw.blocks)?).ok_or(Status::DATA_TRANSFER_ERROR),
            IoCommand::Write(rw) => write(memory, disk, pointer, &rw),
            IoCommand::Compare(rw) => compare(memory, disk, pointer, &rw),
            IoCommand::Verify(rw) if has.verify => disk.read(rw.slba, rw.blocks).map(drop),
            IoCommand::WriteUncorrectable(wu) if has.uncorrectable => disk.spoil(wu.slba, wu.blocks),
            IoCommand::WriteZeroes(wz) => {
                disk.write(wz.slba, wz.blocks)?.fill(0);
                Ok(())
            }
            IoCommand::DatasetManagement(dsm) => deallocate(memory, disk, pointer, dsm.ranges),
            IoCommand::Flush => Ok(()),
            _ => Err(Status::INVALID_OPCODE.dnr()),
        }
    }

    /// Does a fused pair, whole or not at all, and says how each has ended (NVM 1.1, 2.1.1).
    fn compare_and_write(&mut self, first: &Sqe, second: &Sqe) -> [Status; 2] {
        let (IoCommand::Compare(compared), IoCommand::Write(written)) = (IoCommand::parse(first), IoCommand::parse(second)) else {
            self.counters.driver_errors += 1;
            return [Status::INVALID_FIELD.dnr(); 2];
        };
        // That both are of the same blocks, and no more of them than the controller said it could do, is the host's to see to.
        let is_right = self.plan.offers.fused
            && (compared.slba, compared.blocks, first.nsid()) == (written.slba, written.blocks, second.nsid())
            && compared.blocks <= u32::from(self.plan.acwu) + 1;
        if !is_right {
            self.counters.driver_errors += u64::from(!self.plan.lies());
            return [Status::ATOMIC_WRITE_EXCEEDED.dnr(), Status::ABORTED_FAILED_FUSED];
        }
        match self.transfer(first) {
            Status::SUCCESS => [Status::SUCCESS, self.transfer(second)],
            failed => [failed, Status::ABORTED_FAILED_FUSED],
        }
    }

    /// A fused pair is due.
    pub(crate) fn finish_pair(&mut self, under: &Under, second: &Sqe) {
        self.counters.fused += 1;
        let mut ends = match under.fate {
            Fate::Swallowed => return,
            Fate::Failed(status) if self.entropy.coin() => [status, Status::ABORTED_FAILED_FUSED],
            // The compare was good, and the write was not to be.
            Fate::Failed(status) => [Status::SUCCESS, status],
            _ => self.compare_and_write(&under.sqe, second),
        }
        .map(Some);
        if !self.is_enabled() {
            return;
        }
        if under.fate == Fate::Lost {
            // One answer or both.
            let lost = self.entropy.below(3);
            ends.iter_mut().zip([0, 1]).filter(|(_, n)| lost == 2 || lost == *n).for_each(|(end, _)| *end = None);
        }
        let wrong = (under.fate == Fate::WrongId).then(|| self.stray_id(under.sqid));
        let lie = if under.fate == Fate::Lie { self.other(under) } else { None };
        let twice = under.fate == Fate::Twice;
        let mut answers: Vec<(Cid, Status)> = Vec::new();
        for (sqe, end) in [&under.sqe, second].into_iter().zip(ends) {
            answers.extend(end.map(|status| (sqe.cid(), status)));
        }
        if let (Some(cid), Some((named, _))) = (wrong.or(lie), answers.first_mut()) {
            *named = cid;
        }
        if self.entropy.coin() {
            answers.reverse();
        }
        for (cid, status) in answers {
            self.answer(under.sqid, cid, status, 0);
            if twice && self.has_room(self.completion_of(under.sqid), 2) {
                self.answer(under.sqid, cid, status, 0);
            }
        }
    }
}
