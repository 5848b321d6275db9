//! Commands of I/O queues.

use crate::memory::Pointer;
use crate::model::Model;
use doorbell_wire_nvme::range::DsmRange;
use doorbell_wire_nvme::{IoCommand, Psdt, Sqe, Status, view};

/// The two PRP entries of a command.
pub(crate) fn prps(sqe: &Sqe) -> (u64, u64) {
    let raw = doorbell_wire_nvme::bytes(&sqe.dptr);
    let word = |at: usize| raw.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    (word(0), word(8))
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
        let Some(pointer) = self.pointer(sqe) else { return Status::INVALID_FIELD.dnr() };
        let Some(disk) = self.disks.iter_mut().find(|d| d.spec.nsid == sqe.nsid.get() && d.present) else {
            return Status::INVALID_NAMESPACE;
        };
        let memory = &mut self.memory;
        let shift = disk.spec.shift;
        match IoCommand::parse(sqe) {
            IoCommand::Read(rw) => {
                let Some(blocks) = disk.blocks(rw.slba, rw.blocks) else { return Status::LBA_OUT_OF_RANGE };
                memory.scatter(pointer, blocks).map_or(Status::DATA_TRANSFER_ERROR, |()| Status::SUCCESS)
            }
            IoCommand::Write(rw) => {
                let Some(blocks) = disk.blocks(rw.slba, rw.blocks) else { return Status::LBA_OUT_OF_RANGE };
                let Some(data) = memory.gather(pointer, (rw.blocks as usize) << shift) else { return Status::DATA_TRANSFER_ERROR };
                blocks.copy_from_slice(&data);
                Status::SUCCESS
            }
            IoCommand::Compare(rw) => {
                let Some(blocks) = disk.blocks(rw.slba, rw.blocks) else { return Status::LBA_OUT_OF_RANGE };
                let Some(data) = memory.gather(pointer, (rw.blocks as usize) << shift) else { return Status::DATA_TRANSFER_ERROR };
                if *blocks == *data { Status::SUCCESS } else { Status::COMPARE_FAILURE }
            }
            IoCommand::WriteZeroes(wz) => {
                let Some(blocks) = disk.blocks(wz.slba, wz.blocks) else { return Status::LBA_OUT_OF_RANGE };
                blocks.fill(0);
                Status::SUCCESS
            }
            IoCommand::DatasetManagement(dsm) => {
                let Some(data) = memory.gather(pointer, usize::from(dsm.ranges) * 16) else { return Status::DATA_TRANSFER_ERROR };
                for raw in data.chunks(16) {
                    let Some(range) = view::<DsmRange>(raw) else { continue };
                    let Some(blocks) = disk.blocks(range.slba.get(), range.blocks.get()) else { return Status::LBA_OUT_OF_RANGE };
                    blocks.fill(0);
                }
                Status::SUCCESS
            }
            IoCommand::Flush => Status::SUCCESS,
            _ => Status::INVALID_OPCODE.dnr(),
        }
    }
}
