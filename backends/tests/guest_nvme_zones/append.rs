//! Appends, several at a time from each of two reactors: each is found where it is said to be, and none is found twice.

use super::{BLOCK, CAPACITY, COUNT, Disk, SIZE, model};
use doorbell_block::{BlockDevice, BlockQueue, Consumer, ConsumerId, Cx, Done, Flags, Op, ReactorId, Status, Token, ZoneState};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// Blocks of one append.
const BLOCKS: u32 = 2;
/// Appends of one reactor at once.
const DEPTH: u32 = 8;

/// How appends ended: number, zone, status, place.
#[derive(Default)]
struct Log {
    ends: Mutex<Vec<(u64, u64, Status, u64)>>,
    running: AtomicU32,
}

/// Appends records with numbers of their own to zones by turns.
struct Appender {
    queue: Option<Box<dyn BlockQueue>>,
    token: Token,
    me: ConsumerId,
    done: Done,
    next: u64,
    end: u64,
    zones: Vec<u64>,
    out: u32,
    log: Arc<Log>,
}

impl Consumer for Appender {
    fn run(&mut self, cx: &mut Cx, _token: Token) {
        let Some(queue) = &mut self.queue else { return };
        while self.out < DEPTH && self.next < self.end {
            let (Some(mut io), Some(buffer)) = (cx.take_io(), cx.buffer(BLOCKS * BLOCK)) else { panic!("too few boxes or buffers") };
            io.sg.push(buffer);
            for i in 0..BLOCKS {
                io.sg.write_at(i * BLOCK, &record(self.next));
            }
            (io.op, io.blocks, io.tag) = (Op::ZoneAppend, BLOCKS, self.next);
            io.lba = self.zones[self.next as usize % self.zones.len()];
            self.next += 1;
            self.out += 1;
            queue.submit(cx, io);
        }
        queue.kick(cx);
        queue.poll(cx, &mut self.done);
        if !self.done.is_empty() {
            cx.wake(self.token);
        }
        for io in self.done.drain(..) {
            self.out -= 1;
            self.log.ends.lock().unwrap().push((io.tag, io.lba, io.status, io.result));
            cx.put_io(io);
        }
        if self.out == 0
            && self.next == self.end
            && let Some(queue) = self.queue.take()
        {
            cx.retire(self.token, 0, queue);
            cx.dismiss(self.me);
            self.log.running.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A block of a record.
fn record(number: u64) -> Vec<u8> {
    [number, !number].map(u64::to_le_bytes).concat().repeat(BLOCK as usize / 16)
}

fn number(block: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(block[..8].try_into().unwrap());
    (block == record(number)).then_some(number)
}

async fn append(disk: &Disk, zones: &[u64], each: u64) -> Vec<(u64, u64, Status, u64)> {
    let log = Arc::new(Log { running: AtomicU32::new(2), ..Log::default() });
    for reactor in 0..2 {
        let (device, log, zones): (Arc<dyn BlockDevice>, _, _) = (disk.device.clone(), log.clone(), zones.to_vec());
        let next = u64::from(reactor) * each;
        let start = move |cx: &mut Cx| {
            cx.adopt(|cx, me| {
                let token = cx.token(me);
                let queue = device.open(cx, token, DEPTH).unwrap();
                cx.wake(token);
                Appender { queue: Some(queue), token, me, done: vec![], next, end: next + each, zones, out: 0, log }
            });
        };
        disk.env.local.visit(ReactorId(reactor), start).await.unwrap();
    }
    super::until(&disk.env, || log.running.load(Ordering::SeqCst) == 0).await;
    let ends = log.ends.lock().unwrap();
    ends.clone()
}

/// Where each record lies in these zones; none lies there twice.
async fn find(disk: &Disk, zones: &[u64]) -> BTreeMap<u64, u64> {
    let mut found = BTreeMap::new();
    for first in zones {
        let zone = disk.report(*first, 1).await[0];
        let end = if zone.state == ZoneState::Full { first + CAPACITY } else { zone.write_pointer };
        for lba in (*first..end).step_by(BLOCKS as usize) {
            let buffer = disk.buffer(BLOCKS).await;
            assert_eq!(model::transfer(&disk.queue, Op::Read, Flags::NONE, lba, BLOCKS, vec![buffer.clone()]).await, Status::Ok);
            let mut bytes = vec![0; (BLOCKS * BLOCK) as usize];
            buffer.read_at(0, &mut bytes);
            let numbers: Vec<_> = bytes.chunks(BLOCK as usize).map(number).collect();
            assert!(numbers[0].is_some() && numbers[0] == numbers[1], "{lba} holds no record: {numbers:?}");
            assert_eq!(found.insert(numbers[0].unwrap(), lba), None, "{numbers:?} was appended twice");
        }
    }
    found
}

/// Without resets each one is done, where it says.
pub(crate) async fn from_two_reactors(disk: &Disk) {
    let zones = [8 * SIZE, 9 * SIZE, 10 * SIZE];
    let ends = append(disk, &zones, 100).await;
    assert_eq!(ends.len(), 200);
    let found = find(disk, &zones).await;
    for (number, zone, status, place) in ends {
        assert_eq!((status, found.get(&number)), (Status::Ok, Some(&place)), "record {number}");
        assert!((zone..zone + CAPACITY).contains(&place));
    }
    assert_eq!(found.len(), 200);
    // More than there is room for.
    let zone = [11 * SIZE];
    let ends = append(disk, &zone, 60).await;
    let full = ends.iter().filter(|(_, _, status, _)| *status == Status::ZoneFull || *status == Status::ZoneInvalidWrite).count();
    assert_eq!((full as u64, find(disk, &zone).await.len() as u64), (120 - CAPACITY / 2, CAPACITY / 2));
    assert_eq!(disk.manage_all(Op::ZoneReset).await, Status::Ok);
}

/// While the controller is reset, one that nobody knows of was done once or not at all. Gives how many those were.
pub(crate) async fn through_resets(disk: &Disk) -> usize {
    assert_eq!(disk.manage_all(Op::ZoneReset).await, Status::Ok);
    let zones: Vec<u64> = (8..COUNT - 4).map(|n| n * SIZE).collect();
    let mut unknown = 0;
    for _ in 0..4 {
        let ends = append(disk, &zones, 150).await;
        let found = find(disk, &zones).await;
        for (number, _, status, place) in ends {
            match status {
                Status::Ok => assert_eq!(found.get(&number), Some(&place), "record {number}"),
                Status::Aborted => unknown += 1,
                other => panic!("{other} of record {number}"),
            }
        }
        assert_eq!(disk.manage_all(Op::ZoneReset).await, Status::Ok);
    }
    unknown
}
