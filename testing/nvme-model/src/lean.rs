//! An I/O queue that is answered at once, with success and without its data: for who measures the driver and not a device.
//!
//! What it is not: part of the fault model. It looks at no command but for its identifier, counts nothing and never fails. It lasts until
//! its controller is disabled; whoever has it drops it then.

use crate::model::Model;
use doorbell_mem::{Foreign, Seg};
use doorbell_wire_nvme::{Cid, Cqe, Status, bytes};

/// One I/O queue, taken out of its model.
pub struct LeanQueue {
    sq: Seg,
    cq: Seg,
    /// The tail doorbell.
    bell: Seg,
    entries: u32,
    head: u32,
    tail: u32,
    /// Bit 16 of an answer's last word.
    phase: bool,
}

impl Model {
    /// Hands an I/O queue over, once it has been created; the model looks at it no more. None while there is no such queue, and when its
    /// rings differ in length.
    pub fn lend_queue(&mut self, qid: u16) -> Option<LeanQueue> {
        let bell = Foreign::of(self.doorbells()).seg(u64::from(qid) * 8, 4)?;
        let submission = self.submissions.get(&qid).filter(|queue| queue.cqid == qid && queue.head == 0 && !queue.lent)?;
        let completion = self.completions.get(&qid).filter(|queue| queue.entries == submission.entries)?;
        let (entries, sq_at, cq_at) = (u32::from(submission.entries), submission.base, completion.base);
        let sq = self.memory.seg(sq_at, entries * 64)?;
        let cq = self.memory.seg(cq_at, entries * 16)?;
        self.submissions.get_mut(&qid)?.lent = true;
        Some(LeanQueue { sq, cq, bell, entries, head: 0, tail: 0, phase: true })
    }
}

impl LeanQueue {
    /// Answers up to `most` commands that wait. Says how many it answered.
    ///
    /// There is always room for an answer: no more commands are in flight than there are entries, less one.
    #[inline(never)]
    pub fn answer(&mut self, most: u32) -> u32 {
        let tail = self.bell.load32(0);
        let mut n = 0;
        while self.head != tail && n < most {
            // The first of eight words: opcode, flags, identifier. The whole entry is one line of the cache.
            let cid = Cid((self.sq.load64(self.head * 64) >> 16) as u16);
            self.head = if self.head + 1 == self.entries { 0 } else { self.head + 1 };
            let cqe = Cqe::new(cid, Status::SUCCESS).with_sqhd(self.head as u16).with_phase(self.phase);
            let (low, high) = bytes(&cqe).split_at(8);
            let word = |half: &[u8]| half.try_into().map_or(0, u64::from_le_bytes);
            self.cq.store64(self.tail * 16, word(low));
            self.cq.store64(self.tail * 16 + 8, word(high));
            self.tail += 1;
            if self.tail == self.entries {
                (self.tail, self.phase) = (0, !self.phase);
            }
            n += 1;
        }
        n
    }
}
