//! A submission queue, its completion queue, and what is in flight between them. One thread owns it.

use super::controller_memory::{ControllerMemory, Room};
use super::pointer::{self, ListRoom, Pages, Pointer, Pointing, Refusal};
use super::shadow::Shadow;
use crate::{Bar, Domain, Doorbell, PciError};
use doorbell_mem::{Backing, Carrier, Cid, Entered, InFlight, Leaving, QueueKey, Region, Regions, SgList};
use doorbell_wire_nvme::{Cid as WireCid, CqeWords, SqeWords};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering, fence};

/// What a queue is to be.
pub struct QueueSpec {
    /// Entries of both rings: 2 to 32,768. One less is in flight at most.
    pub entries: u16,
    /// How data is pointed at.
    pub pointing: Pointing,
    /// Bytes of a request at most: how long a command's list can get.
    pub max_bytes: u32,
    /// Where the rings should lie.
    pub node: Option<u32>,
    /// Rings in huge pages: without an IOMMU a ring must be contiguous.
    pub backing: Backing,
}

/// What makes commands of items.
pub trait Commands<T> {
    /// The command of an item where it takes a few steps to say it, as it should for nearly all.
    fn plain(&self, item: &T) -> Option<SqeWords>;

    /// The command of an item, if there is still one for it.
    fn any(&self, item: &T) -> Option<SqeWords>;
}

impl<T> Commands<T> for SqeWords {
    #[inline]
    fn plain(&self, _: &T) -> Option<SqeWords> {
        Some(*self)
    }

    fn any(&self, _: &T) -> Option<SqeWords> {
        Some(*self)
    }
}

/// The registers of a queue, set once the queue has its number.
struct Bells {
    sq: Doorbell,
    cq: Doorbell,
    shadows: Option<(Shadow, Shadow)>,
}

/// The status word of a completion, phase in bit 0.
///
/// # Safety
/// `head` lies inside of the ring at `cq`.
#[inline(always)]
unsafe fn peek(cq: NonNull<u8>, head: u16) -> u16 {
    // SAFETY: inside of the ring, as the caller says, and aligned; the device writes it, so it is read as an atomic.
    let word = unsafe { cq.add(usize::from(head) * CQE + 14).cast::<AtomicU16>().as_ref() };
    u16::from_le(word.load(Ordering::Acquire))
}

const SQE: usize = 64;
const CQE: usize = 16;

/// Where reaping is. The queue learns it when this ends, whatever ends it: were somebody else's code to unwind, no entry must be read again.
struct At<'a> {
    head: u16,
    phase: bool,
    into: (&'a mut u16, &'a mut bool),
}

impl At<'_> {
    #[inline(always)]
    fn advance(&mut self, entries: u16) {
        self.head += 1;
        if self.head == entries {
            (self.head, self.phase) = (0, !self.phase);
        }
    }
}

impl Drop for At<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        (*self.into.0, *self.into.1) = (self.head, self.phase);
    }
}

/// How commands of a queue point at memory.
struct Reach {
    domain: Arc<Domain>,
    pointing: Pointing,
    /// Lists of commands in flight, one after the other.
    lists: NonNull<u64>,
    /// Words of one command's list.
    list_words: usize,
    /// Where the device sees the first.
    address: u64,
}

impl Reach {
    /// A command with its identifier, pointing at the segments of what it belongs to.
    fn point<T: Carrier>(&mut self, cid: Cid, item: &T, sqe: SqeWords) -> Result<SqeWords, Refusal> {
        let pointer = match pointer::point_plainly(item.sg(), &self.domain) {
            Some(pointer) => pointer,
            None => self.point_at_list(cid, item.sg())?,
        };
        // Whatever the command said: an address comes from what is in flight, or there is none.
        let metadata = match item.meta() {
            None => 0,
            Some(meta) => pointer::metadata(meta, &self.domain)?,
        };
        Ok(sqe.with_cid(WireCid(cid.0)).with_pointer(pointer.psdt, pointer.words).with_metadata(metadata))
    }

    #[inline(never)]
    fn point_at_list(&mut self, cid: Cid, list: &SgList) -> Result<Pointer, Refusal> {
        let at = usize::from(cid.0) * self.list_words;
        // SAFETY: each identifier has its own words, inside of the region; the device reads those of a command in flight, and this
        // identifier was not in flight until now.
        let words = unsafe { std::slice::from_raw_parts_mut(self.lists.as_ptr().add(at), self.list_words) };
        let room = ListRoom { words, address: self.address + at as u64 * 8 };
        pointer::point(list, &self.domain, self.pointing, room)
    }
}

/// A pair of rings.
pub struct MemoryQueue<T: Carrier> {
    flight: InFlight<T>,
    key: QueueKey,
    reach: Reach,
    bar: Arc<Bar>,
    /// Silences of the controller when this was last given to it.
    born: u64,
    sq: NonNull<u8>,
    cq: NonNull<u8>,
    sq_address: u64,
    cq_address: u64,
    entries: u16,
    tail: u16,
    rung: u16,
    head: u16,
    told: u16,
    phase: bool,
    bells: Option<Bells>,
    /// Where the submission ring lies, when that is in the controller.
    room: Option<Room>,
    regions: Regions,
    region: Arc<Region>,
}

impl<T: Carrier> MemoryQueue<T> {
    /// Rings in memory that the function of `bar` and `domain` can reach. Not known to the device yet.
    pub fn new(regions: &Regions, domain: &Arc<Domain>, bar: &Arc<Bar>, spec: &QueueSpec) -> Result<MemoryQueue<T>, PciError> {
        let name = domain.name();
        let entries = spec.entries.clamp(2, 1 << 15);
        let per_page = if matches!(spec.pointing, Pointing::Prp) { 1 } else { 2 };
        // A power of two no longer than a page, so that no list crosses one.
        let words = (spec.max_bytes as usize / pointer::PAGE as usize + 2) * per_page;
        let list_words = words.next_power_of_two().clamp(32, 512);
        let n = usize::from(entries);
        let sq_len = (n * SQE).next_multiple_of(4096);
        let cq_len = (n * CQE).next_multiple_of(4096);
        let lists_len = n * list_words * 8;
        let region = regions.map(sq_len + cq_len + lists_len, spec.backing, spec.node)?;
        let base = NonNull::new(region.base()).ok_or_else(|| PciError::unusable(name, "no memory for a queue"))?;
        let whole = |offset: usize, len: usize| {
            let address = region.base().addr() as u64 + offset as u64;
            let run = domain.find(&region, address, len as u32).filter(|run| run.len as usize == len);
            run.map(|run| run.address).ok_or_else(|| {
                PciError::unusable(
                    name,
                    "its queue does not lie in one piece of memory that it reaches: without an IOMMU it needs huge pages",
                )
            })
        };
        let (sq_address, cq_address) = (whole(0, sq_len)?, whole(sq_len, cq_len)?);
        let lists_address = whole(sq_len + cq_len, lists_len)?;
        let key = QueueKey::new();
        // SAFETY: the three parts lie one after the other in the region, whose length they add up to.
        let (cq, lists) = unsafe { (base.add(sq_len), base.add(sq_len + cq_len).cast()) };
        Ok(MemoryQueue {
            flight: InFlight::new(&key, entries - 1),
            key,
            reach: Reach { domain: domain.clone(), pointing: spec.pointing, lists, list_words, address: lists_address },
            bar: bar.clone(),
            born: bar.silences(),
            sq: base,
            cq,
            sq_address,
            cq_address,
            entries,
            tail: 0,
            rung: 0,
            head: 0,
            told: 0,
            phase: true,
            bells: None,
            room: None,
            regions: regions.clone(),
            region,
        })
    }

    /// Has the submission ring lie in the controller's own memory, from the next time that it is made known. False when there is no room.
    pub fn place_submissions_in(&mut self, memory: &Arc<ControllerMemory>) -> bool {
        if self.bells.is_some() || !self.flight.is_empty() {
            return false;
        }
        let Some(room) = memory.take(usize::from(self.entries) * SQE) else { return false };
        (self.sq, self.sq_address) = (room.at, room.address);
        self.room = Some(room);
        true
    }

    /// The rings as a device sees them.
    #[cfg(test)]
    pub(super) fn memory_for_test(&self) -> doorbell_mem::Foreign {
        doorbell_mem::Foreign::of(self.region.clone())
    }

    /// Where the device finds the submission ring and the completion ring.
    pub fn addresses(&self) -> (Pages, Pages) {
        let page = |first| Pages { first, second: 0 };
        (page(self.sq_address), page(self.cq_address))
    }

    /// Entries of each ring.
    pub fn entries(&self) -> u16 {
        self.entries
    }

    /// The device knows the queue now, under `qid`: its doorbells lie at 1000h + 8 × qid for a stride of 0 (`dstrd`, CAP.DSTRD).
    pub fn connect(&mut self, qid: u16, dstrd: u8, shadows: Option<(Shadow, Shadow)>) -> Result<(), PciError> {
        let stride = 4u64 << dstrd;
        let at = |n: u64| self.bar.doorbell(0x1000 + n * stride);
        let (Some(sq), Some(cq)) = (at(2 * u64::from(qid)), at(2 * u64::from(qid) + 1)) else {
            return Err(PciError::unusable(self.reach.domain.name(), format!("its doorbells of queue {qid} cannot be mapped")));
        };
        self.bells = Some(Bells { sq, cq, shadows });
        // What is given to the device from here on, only a later silence takes back.
        self.born = self.bar.silences();
        Ok(())
    }

    /// Does the device know it?
    pub fn is_connected(&self) -> bool {
        self.bells.is_some()
    }

    /// Uses shadow doorbells from here on, for queues made before they were configured.
    pub fn set_shadows(&mut self, shadows: Option<(Shadow, Shadow)>) {
        if let Some(bells) = &mut self.bells {
            bells.shadows = shadows;
        }
    }

    /// Is there room for one more?
    #[inline]
    pub fn has_room(&self) -> bool {
        self.flight.has_room()
    }

    /// How many are in flight.
    #[inline]
    pub fn len(&self) -> usize {
        self.flight.len()
    }

    /// Is nothing in flight?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.flight.is_empty()
    }

    /// Completions that named nothing in flight.
    pub fn strays(&self) -> u64 {
        self.flight.strays()
    }

    /// Everything in flight.
    pub fn each(&self) -> impl Iterator<Item = (Cid, &T)> {
        self.flight.each()
    }

    /// Takes a command: gives it an identifier, points it at the item's segments and puts it into the ring. [`MemoryQueue::ring`] tells the
    /// device. What is refused comes back, with why.
    #[inline(always)]
    pub fn submit(&mut self, item: T, commands: &impl Commands<T>) -> Result<(), (T, Refusal)> {
        let Entered { cid, item } = match self.flight.enter(item) {
            Ok(entered) => entered,
            Err(item) => return Err((item, Refusal::Full)),
        };
        if item.meta().is_none()
            && let Some(pointer) = pointer::point_plainly(item.sg(), &self.reach.domain)
            && let Some(sqe) = commands.plain(item)
        {
            // An address comes from what is in flight, or there is none.
            self.put(sqe.with_cid(WireCid(cid.0)).with_pointer(pointer.psdt, pointer.words).with_metadata(0));
            return Ok(());
        }
        self.submit_entered(cid, commands)
    }

    /// The longer way for what has been entered.
    #[inline(never)]
    fn submit_entered(&mut self, cid: Cid, commands: &impl Commands<T>) -> Result<(), (T, Refusal)> {
        let Some(item) = self.flight.get(cid) else { return Ok(()) };
        let sqe = commands.any(item).ok_or(Refusal::Nothing);
        match sqe.and_then(|sqe| self.reach.point(cid, item, sqe)) {
            Ok(sqe) => {
                self.put(sqe);
                Ok(())
            }
            Err(why) => self.take_back(cid).map_or(Ok(()), |item| Err((item, why))),
        }
    }

    /// As `submit`, for a command that carries addresses of rings or shadow pages and no segments of its item.
    pub fn submit_pages(&mut self, item: T, sqe: &SqeWords, pages: Pages) -> Result<(), (T, Refusal)> {
        let cid = self.flight.insert(item).map_err(|item| (item, Refusal::Full))?;
        let pointer = pages.pointer();
        self.put(sqe.with_cid(WireCid(cid.0)).with_pointer(pointer.psdt, pointer.words).with_metadata(0));
        Ok(())
    }

    /// Takes two commands that the device is to find side by side (a fused pair), or neither.
    pub fn submit_pair(&mut self, first: (T, &SqeWords), second: (T, &SqeWords)) -> Result<(), (T, T, Refusal)> {
        if self.flight.len() + 2 > usize::from(self.entries) - 1 {
            return Err((first.0, second.0, Refusal::Full));
        }
        let mut cids = Vec::with_capacity(2);
        let mut pointed = Ok(Vec::with_capacity(2));
        for (item, sqe) in [first, second] {
            match self.flight.enter(item) {
                Ok(entered) => {
                    cids.push(entered.cid);
                    let next = self.reach.point(entered.cid, entered.item, *sqe);
                    pointed = pointed.and_then(|mut both: Vec<SqeWords>| next.map(|sqe| both.push(sqe)).map(|()| both));
                }
                Err(_) => unreachable!("there was room for two"),
            }
        }
        match pointed {
            Ok(both) => both.into_iter().for_each(|sqe| self.put(sqe)),
            Err(why) => {
                if let (Some(b), Some(a)) = (cids.pop().and_then(|c| self.take_back(c)), cids.pop().and_then(|c| self.take_back(c))) {
                    return Err((a, b, why));
                }
            }
        }
        Ok(())
    }

    fn take_back(&mut self, cid: Cid) -> Option<T> {
        // SAFETY: its entry was not put into the ring.
        unsafe { self.flight.withdraw(cid) }
    }

    /// In whole words, as a controller whose own memory the ring lies in wants to be written to.
    #[inline(always)]
    fn put(&mut self, sqe: SqeWords) {
        // SAFETY: inside of the ring, which is there as long as this: ours, or the controller's while its room is held.
        let entry = unsafe { self.sq.cast::<u64>().add(usize::from(self.tail) * (SQE / 8)) };
        for (n, word) in sqe.to_ring().into_iter().enumerate() {
            // SAFETY: a word of the entry, aligned as rings are, to a page. The device has read what the entry held before: fewer commands
            // are in flight than there are entries, so the one that was here has completed.
            unsafe { entry.add(n).write_volatile(word) };
        }
        self.tail = if self.tail + 1 == self.entries { 0 } else { self.tail + 1 };
    }

    /// Is there anything that the device was not told of?
    #[inline]
    pub fn is_unrung(&self) -> bool {
        self.tail != self.rung
    }

    /// Tells the device of everything that was submitted since.
    #[inline]
    pub fn ring(&mut self) {
        if self.tail == self.rung {
            return;
        }
        let Some(bells) = &self.bells else { return };
        if self.room.is_some() {
            // However that memory is mapped: what was written there arrives before the doorbell.
            fence(Ordering::SeqCst);
        }
        let must = match &bells.shadows {
            Some((sq, _)) => sq.store(self.rung, self.tail),
            None => true,
        };
        if must {
            bells.sq.ring(self.tail.into());
        }
        self.rung = self.tail;
    }

    /// Has the device written a completion that was not taken yet?
    #[inline]
    pub fn is_ready(&self) -> bool {
        // SAFETY: every head of a queue lies inside of its ring.
        (unsafe { peek(self.cq, self.head) }) & 1 == u16::from(self.phase)
    }

    /// Takes up to `budget` completions and hands what each completes to `done`, which takes it. Those that name nothing in flight are
    /// counted. Says how many there were.
    #[inline(always)]
    pub fn reap(&mut self, budget: u32, mut done: impl FnMut(Leaving<'_, T>, CqeWords)) -> u32 {
        let mut n = 0;
        let (cq, entries) = (self.cq, self.entries);
        let mut at = At { head: self.head, phase: self.phase, into: (&mut self.head, &mut self.phase) };
        // SAFETY: every head of a queue lies inside of its ring.
        while n < budget && (unsafe { peek(cq, at.head) }) & 1 == u16::from(at.phase) {
            // SAFETY: inside of the ring, aligned to 16 bytes; the entry is the driver's until its head passes it, and a device that
            // writes it all the same spoils a copy of plain numbers.
            let raw = unsafe {
                let entry = cq.as_ptr().add(usize::from(at.head) * CQE).cast::<u64>();
                [entry.read_volatile(), entry.add(1).read_volatile()]
            };
            at.advance(entries);
            n += 1;
            let cqe = CqeWords::from_ring(raw);
            // SAFETY: the device says that it is done with this command, on this queue's own ring.
            let completion = unsafe { self.key.completion(cqe.cid().0) };
            if let Some(leaving) = self.flight.leave(&completion) {
                done(leaving, cqe);
            }
        }
        drop(at);
        if self.head != self.told {
            self.tell_head();
        }
        n
    }

    #[inline]
    fn tell_head(&mut self) {
        let Some(bells) = &self.bells else { return };
        let must = match &bells.shadows {
            Some((_, cq)) => cq.store(self.told, self.head),
            None => true,
        };
        if must {
            bells.cq.ring(self.head.into());
        }
        self.told = self.head;
    }

    /// Is any memory of what is in flight, or of the rings, mapped for the device? Behind an IOMMU what is not cannot be touched.
    fn is_reachable(&self) -> bool {
        let reaches = |list: &SgList| list.segs().iter().any(|seg| self.reach.domain.run(seg, 0, seg.len()).is_some());
        let rings = self.reach.domain.find(&self.region, self.region.base().addr() as u64, 1).is_some();
        let flights = self.flight.each().any(|(_, item)| reaches(item.sg()) || item.meta().is_some_and(reaches));
        self.reach.domain.is_physical() || rings || flights
    }

    /// Everything that is in flight, if its controller was seen to be silent since the queue was given to it, or can reach none of it any
    /// more: the rings are as new, and have to be made known again. `None` while it may still be at work.
    pub fn reclaim(&mut self) -> Option<Vec<T>> {
        if self.bar.silences() <= self.born && self.is_reachable() {
            return None;
        }
        let epoch = self.flight.epoch();
        // SAFETY: the controller's own register said that it is not ready (or it is not there any more) after everything here was given
        // to it: it does no more DMA for it (Base 2.1, 3.5.1 and 3.7.2). Or no part of it is mapped for the controller any more.
        let quiet = unsafe { self.key.quiesced(epoch) };
        let back = self.flight.reclaim(&quiet);
        self.born = self.bar.silences();
        self.bells = None;
        (self.tail, self.rung, self.head, self.told, self.phase) = (0, 0, 0, 0, true);
        let len = usize::from(self.entries) * CQE;
        // SAFETY: the completion ring, which nobody writes now.
        unsafe { std::ptr::write_bytes(self.cq.as_ptr(), 0, len) };
        Some(back)
    }
}

impl<T: Carrier> Drop for MemoryQueue<T> {
    /// The rings go with it. What is still in flight is leaked with its buffers; the rings' memory is unmapped for the device first. A
    /// device that writes to physical addresses and may still be at work keeps the memory.
    fn drop(&mut self) {
        // Commands that the controller may still fetch are not overwritten by another queue's.
        if self.bells.is_some() && !self.flight.is_empty() && self.bar.silences() <= self.born {
            std::mem::forget(self.room.take());
        }
        self.regions.retire(&self.region);
        if self.bells.is_some() && self.reach.domain.is_physical() && self.bar.silences() <= self.born {
            std::mem::forget(self.region.clone());
        }
    }
}
