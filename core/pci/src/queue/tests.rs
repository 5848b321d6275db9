use super::pointer::{ListRoom, PAGE, point};
use super::shadow::wants;
use super::*;
use crate::iova::IovaRange;
use crate::{Area, Bar, Domain, Mapper, PciError};
use doorbell_mem::{Backing, Foreign, Pool, Region, Regions, SgList};
use doorbell_wire_nvme::{Cqe, IoCommand, Psdt, Sqe, SqeWords, Status, bytes, view};
use proptest::prelude::*;
use std::sync::Arc;

struct Anywhere;

impl Mapper for Anywhere {
    fn map(&self, _: &Region, _: u64) -> Result<(), PciError> {
        Ok(())
    }
    fn unmap(&self, _: u64, _: u64) -> bool {
        true
    }
}

fn domain() -> Arc<Domain> {
    Arc::new(Domain::mapped("test", &[IovaRange { first: 0, last: u64::MAX >> 8 }], Box::new(Anywhere)))
}

/// Reads PRPs as a controller does: for each byte its address.
fn walk_prps([first, second]: [u64; 2], words: &[u64], list_address: u64, len: u64) -> Vec<(u64, u64)> {
    let mut out = vec![(first, len.min(PAGE - first % PAGE))];
    let mut left = len - out[0].1;
    let mut entries: Box<dyn Iterator<Item = u64>> = if left <= PAGE {
        Box::new(std::iter::once(second))
    } else {
        assert_eq!(second, list_address);
        Box::new(words.iter().copied())
    };
    while left > 0 {
        let at = entries.next().unwrap();
        assert_eq!(at % PAGE, 0);
        out.push((at, left.min(PAGE)));
        left -= left.min(PAGE);
    }
    out
}

proptest! {
    /// Lists of segments at any offset: what PRPs can say they say exactly, and nothing else is accepted.
    #[test]
    fn prps_name_the_bytes_of_the_list_in_order(parts in proptest::collection::vec((0u32..16, 0u32..9, 1u32..20), 1..6)) {
        let (regions, domain) = (Regions::new(), domain());
        regions.attach(domain.clone()).unwrap();
        let memory = Foreign::scratch(&regions, 1 << 20).unwrap();
        let mut list = SgList::default();
        for (page, quarter, quarters) in parts {
            let (at, len) = (page * 4096 + quarter * 512, quarters * 512);
            list.push(memory.seg(at.into(), len).unwrap());
        }
        let mut wanted: Vec<u64> = Vec::new();
        for seg in list.segs() {
            let base = domain.run(seg, 0, seg.len()).unwrap().address;
            wanted.extend((0..u64::from(seg.len() / 512)).map(|n| base + n * 512));
        }
        let mut words = [0u64; 64];
        let room = ListRoom { words: &mut words, address: 0x1234_5000 };
        let legal = list.segs().iter().enumerate().all(|(n, seg)| {
            let at = domain.run(seg, 0, seg.len()).unwrap().address;
            (n == 0 || at % PAGE == 0) && (n + 1 == list.segs().len() || (at + u64::from(seg.len())) % PAGE == 0)
        });
        match point(&list, &domain, Pointing::Prp, room) {
            Ok(pointer) => {
                prop_assert!(legal);
                prop_assert_eq!(pointer.psdt, Psdt::PRP);
                let seen = walk_prps(pointer.words, &words, 0x1234_5000, list.bytes().into());
                let seen: Vec<u64> = seen.iter().flat_map(|(at, len)| (0..len / 512).map(move |n| at + n * 512)).collect();
                prop_assert_eq!(seen, wanted);
            }
            Err(why) => {
                prop_assert_eq!(why, Refusal::Misaligned);
                prop_assert!(!legal);
            }
        }
        // A list of descriptors says all of them.
        let room = ListRoom { words: &mut words, address: 0x1234_5000 };
        let pointed = point(&list, &domain, Pointing::Sgl { dwords: true }, room);
        prop_assert!(pointed.is_ok());
    }
}

#[test]
fn the_event_index_is_modular() {
    assert!(wants(5, 6, 5) && wants(u16::MAX, 0, u16::MAX) && wants(0, 10, 3));
    assert!(!wants(5, 6, 6) && !wants(5, 6, 4) && !wants(0, 10, 10));
}

/// A controller of one queue, that answers what it is told to.
struct Device {
    memory: Foreign,
    doorbells: Foreign,
    registers: Foreign,
    entries: u64,
    tail: u64,
    phase: bool,
}

impl Device {
    fn word(&self, offset: u64) -> u32 {
        let mut word = [0; 4];
        self.doorbells.seg(offset, 4).unwrap().read_at(0, &mut word);
        u32::from_le_bytes(word)
    }

    fn command(&self, at: u64) -> Sqe {
        let mut raw = [0; 64];
        self.memory.seg(at * 64, 64).unwrap().read_at(0, &mut raw);
        *view::<Sqe>(&raw).unwrap()
    }

    fn answer(&mut self, cid: u16) {
        let cqe = Cqe::new(doorbell_wire_nvme::Cid(cid), Status::SUCCESS).with_phase(self.phase);
        self.memory.seg(4096 + self.tail * 16, 16).unwrap().write_at(0, bytes(&cqe));
        self.tail += 1;
        if self.tail == self.entries {
            (self.tail, self.phase) = (0, !self.phase);
        }
    }

    fn set_ready(&self, ready: bool) {
        self.registers.seg(0x1c, 4).unwrap().write_at(0, &u32::from(ready).to_le_bytes());
    }
}

fn world(entries: u16) -> (MemoryQueue<SgList>, Device, Arc<Bar>, Pool) {
    let (regions, domain) = (Regions::new(), domain());
    world_of(entries, &regions, &domain)
}

fn world_of(entries: u16, regions: &Regions, domain: &Arc<Domain>) -> (MemoryQueue<SgList>, Device, Arc<Bar>, Pool) {
    regions.attach(domain.clone()).unwrap();
    let pool = Pool::new(regions, &doorbell_mem::PoolSpec::default()).unwrap();
    let registers = regions.map(4096, Backing::Ordinary, None).unwrap();
    let doorbells = regions.map(4096, Backing::Ordinary, None).unwrap();
    let areas = vec![Area::of_region(0, registers.clone()).unwrap(), Area::of_region(4096, doorbells.clone()).unwrap()];
    let bar = Arc::new(Bar::new(8192, areas, None));
    let spec = QueueSpec { entries, pointing: Pointing::Prp, max_bytes: 1 << 17, node: None, backing: Backing::Ordinary };
    let mut queue = MemoryQueue::new(regions, domain, &bar, &spec).unwrap();
    let memory = queue.memory_for_test();
    let (registers, doorbells) = (Foreign::of(registers), Foreign::of(doorbells));
    let device = Device { memory, doorbells, registers, entries: entries.into(), tail: 0, phase: true };
    device.set_ready(true);
    queue.connect(1, 0, None).unwrap();
    (queue, device, bar, pool)
}

fn list(pool: &Pool) -> SgList {
    let mut list = SgList::default();
    list.push(pool.get(4096).unwrap());
    list
}

#[test]
fn commands_go_round_the_ring_and_lies_release_nothing() {
    let (mut queue, mut device, _, pool) = world(4);
    let sqe = SqeWords::from(&IoCommand::Flush.encode());
    for round in 0..10u64 {
        (0..3).for_each(|_| queue.submit(list(&pool), &sqe).unwrap());
        let cids: Vec<_> = (0..3).map(|n| device.command((round * 3 + n) % 4).cid().0).collect();
        assert_eq!(queue.submit(list(&pool), &sqe).map_err(|(_, why)| why), Err(Refusal::Full));
        queue.ring();
        assert_eq!(u64::from(device.word(8)), (round + 1) * 3 % 4);
        assert!(cids[0] != cids[1] && cids[0] != cids[2] && cids[1] != cids[2]);
        for cid in [cids[2], cids[2], cids[0]] {
            device.answer(cid);
        }
        let mut back = Vec::new();
        assert_eq!(queue.reap(2, |leaving, _| back.push(leaving.take())), 2);
        assert_eq!(back.len(), 1, "a duplicate released something");
        device.answer(999);
        device.answer(cids[1]);
        assert_eq!(queue.reap(10, |leaving, _| back.push(leaving.take())), 3);
        assert_eq!((back.len(), queue.len()), (3, 0));
        assert_eq!(u64::from(device.word(12)), (round + 1) * 5 % 4);
    }
    assert_eq!((queue.strays(), pool.out()), (20, 0));
}

#[test]
fn what_is_in_flight_comes_back_only_after_the_controller_was_silent() {
    let (mut queue, device, bar, pool) = world(8);
    let sqe = SqeWords::from(&IoCommand::Flush.encode());
    queue.submit(list(&pool), &sqe).unwrap();
    queue.ring();
    assert!(queue.reclaim().is_none() && !bar.note_silence());
    device.set_ready(false);
    assert!(bar.note_silence());
    assert_eq!(queue.reclaim().unwrap().len(), 1);
    // A silence from before it was given to the device again says nothing.
    device.set_ready(true);
    queue.connect(1, 0, None).unwrap();
    queue.submit(list(&pool), &sqe).unwrap();
    assert!(queue.reclaim().is_none());
    device.set_ready(false);
    assert!(bar.note_silence());
    assert_eq!(queue.reclaim().unwrap().len(), 1);
    assert_eq!(pool.out(), 0);
}

#[test]
fn what_a_device_that_never_stops_cannot_reach_any_more_comes_back() {
    let (regions, domain) = (Regions::new(), domain());
    let (mut queue, _device, bar, pool) = world_of(8, &regions, &domain);
    queue.submit(list(&pool), &SqeWords::from(&IoCommand::Flush.encode())).unwrap();
    assert!(!bar.note_silence() && queue.reclaim().is_none());
    let observer: Arc<dyn doorbell_mem::RegionObserver> = domain;
    regions.detach(&observer);
    assert_eq!(queue.reclaim().unwrap().len(), 1);
    assert_eq!(pool.out(), 0);
}

#[test]
fn a_fused_pair_lies_side_by_side_or_not_at_all() {
    let (mut queue, device, _, pool) = world(4);
    let [a, b] = [0, 2].map(|nsid| SqeWords::from(&IoCommand::Flush.encode().with_nsid(nsid)));
    queue.submit(list(&pool), &a).unwrap();
    queue.submit_pair((list(&pool), &a), (list(&pool), &b)).unwrap();
    assert_eq!((device.command(1).nsid(), device.command(2).nsid()), (0, 2));
    assert!(matches!(queue.submit_pair((list(&pool), &a), (list(&pool), &b)), Err((_, _, Refusal::Full))));
    std::mem::forget(queue);
}
