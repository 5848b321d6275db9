//! Zoned namespaces through the NVMe driver over VFIO and over uio, in a guest: QEMU's, written in order, appended to from two reactors, and through
//! resets.

#[path = "guest_nvme_zones/append.rs"]
mod append;
#[allow(dead_code, reason = "not every test goes every way")]
mod in_guest;
#[allow(dead_code, reason = "shared with the unit tests")]
#[path = "../src/model.rs"]
mod model;

use doorbell_block::{BlockDevice, Flags, Io, Op, Status, Zone, ZoneState, Zones};
use doorbell_mem::Seg;
use doorbell_nvme::{Controller, Env, Options};
use doorbell_reactor::AsyncQueue;
use in_guest::{By, INSIDE, attach, on_reactors, take};
use std::cell::{Cell, RefCell};
use std::env;
use std::rc::Rc;
use std::sync::Arc;

const CONTROLLER: &str = "0000:00:04.0";
const SIZE: u64 = 256;
const CAPACITY: u64 = 192;
const COUNT: u64 = 16;
const BLOCK: u32 = 4096;

fn in_a_guest(name: &str, by: By) {
    let devices = [
        "nvme,id=zoned,serial=zoned,mdts=7,max_ioqpairs=8,ioeventfd=off,zoned.zasl=4,addr=04.0",
        "nvme-ns,bus=zoned,drive=zones,nsid=1,logical_block_size=4096,physical_block_size=4096,zoned=on,zoned.zone_size=1M,\
         zoned.zone_capacity=768K,zoned.max_open=4,zoned.max_active=6",
    ];
    in_guest::boot(name, by, &["zones"], &devices);
}

/// The zoned namespace of a controller, with a queue.
pub(crate) struct Disk {
    env: Env,
    device: Arc<dyn BlockDevice>,
    queue: AsyncQueue,
}

impl Disk {
    async fn open(env: &Env, controller: &Controller) -> Disk {
        let device: Arc<dyn BlockDevice> = controller.namespaces()[0].clone();
        let queue = AsyncQueue::open(&env.local, device.clone(), 64).await.unwrap();
        Disk { env: env.clone(), device, queue }
    }

    async fn buffer(&self, blocks: u32) -> Seg {
        self.env.local.with(move |cx| cx.buffer(blocks * BLOCK).unwrap()).await
    }

    /// The zones from `lba`, as many as `room` holds.
    async fn report(&self, lba: u64, room: u32) -> Vec<Zone> {
        let buffer = self.buffer(1).await.slice(0, room * Zone::BYTES as u32);
        let take = |io: &mut Io| {
            assert_eq!(io.status, Status::Ok);
            let mut zones = vec![];
            for i in 0..io.result as u32 {
                let mut bytes = [0; Zone::BYTES];
                io.sg.read_at(i * Zone::BYTES as u32, &mut bytes);
                zones.push(Zone::decode(&bytes).unwrap());
            }
            zones
        };
        let prepare = move |io: &mut Io| {
            (io.op, io.lba) = (Op::ZoneReport, lba);
            io.sg.push(buffer);
        };
        self.queue.request(prepare, take).await
    }

    async fn zone(&self, number: u64) -> Zone {
        self.report(number * SIZE, 1).await[0]
    }

    async fn manage(&self, op: Op, number: u64) -> Status {
        self.queue.control(op, number * SIZE, 0).await
    }

    async fn manage_all(&self, op: Op) -> Status {
        self.queue.request(move |io| (io.op, io.flags) = (op, Flags::ALL_ZONES), |io| io.status).await
    }

    /// Writes blocks that say where they are.
    async fn write(&self, lba: u64, blocks: u32) -> Status {
        let buffer = self.buffer(blocks).await;
        for i in 0..blocks {
            buffer.fill(i * BLOCK, BLOCK, byte_of(lba + u64::from(i)));
        }
        model::transfer(&self.queue, Op::Write, Flags::NONE, lba, blocks, vec![buffer]).await
    }

    /// Are the blocks of a zone up to its write pointer those that were written?
    async fn verify(&self, first: u64, end: u64) {
        for lba in (first..end).step_by(16) {
            let blocks = (end - lba).min(16) as u32;
            let buffer = self.buffer(blocks).await;
            assert_eq!(model::transfer(&self.queue, Op::Read, Flags::NONE, lba, blocks, vec![buffer.clone()]).await, Status::Ok);
            for i in 0..blocks {
                let mut bytes = vec![0; BLOCK as usize];
                buffer.slice(i * BLOCK, BLOCK).read_at(0, &mut bytes);
                let lba = lba + u64::from(i);
                assert!(bytes.iter().all(|b| *b == byte_of(lba)), "block {lba} holds other bytes than were written");
            }
        }
    }
}

fn byte_of(lba: u64) -> u8 {
    (lba % 251) as u8 + 1
}

/// Many writes at once, in order: QEMU takes them as they lie in the queue.
async fn fill(disk: &Rc<Disk>, zone: u64) {
    let ends = Rc::new(RefCell::new(vec![]));
    for n in 0..CAPACITY / 8 {
        let (disk, ends) = (disk.clone(), ends.clone());
        disk.env.local.clone().spawn(async move {
            let status = disk.write(zone * SIZE + n * 8, 8).await;
            ends.borrow_mut().push(status);
        });
    }
    while ends.borrow().len() < (CAPACITY / 8) as usize {
        disk.env.local.sleep_ns(1_000_000).await;
    }
    assert!(ends.borrow().iter().all(|status| status.is_ok()), "{:?}", ends.borrow());
}

async fn state(disk: &Disk, zone: u64) -> ZoneState {
    disk.zone(zone).await.state
}

/// Reports, states and what is refused.
async fn look_around(disk: &Rc<Disk>) {
    let info = disk.device.info();
    assert_eq!(info.zones, Some(Zones { blocks: SIZE, max_open: 4, max_active: 6, max_append_blocks: 16 }));
    assert!(info.ops.has(Op::ZoneReport) && info.ops.has(Op::ZoneAppend) && !info.ops.has(Op::CompareAndWrite));
    let zones = disk.report(0, 64).await;
    let all: Vec<_> = zones.iter().map(|z| (z.state, z.start, z.capacity, z.write_pointer)).collect();
    let expected: Vec<_> = (0..COUNT).map(|n| (ZoneState::Empty, n * SIZE, CAPACITY, n * SIZE)).collect();
    assert_eq!(all, expected);
    let some = disk.report(3 * SIZE + 5, 2).await;
    assert_eq!(some.iter().map(|z| z.start).collect::<Vec<_>>(), [3 * SIZE, 4 * SIZE]);

    fill(disk, 0).await;
    disk.verify(0, CAPACITY).await;
    assert_eq!(state(disk, 0).await, ZoneState::Full);
    assert_eq!(disk.write(0, 1).await, Status::ZoneFull);
    assert_eq!(disk.write(SIZE + 5, 1).await, Status::ZoneInvalidWrite);
    assert_eq!(disk.write(SIZE, 8).await, Status::Ok);
    assert_eq!((state(disk, 1).await, disk.zone(1).await.write_pointer), (ZoneState::ImplicitlyOpen, SIZE + 8));
    assert_eq!(disk.manage(Op::ZoneFinish, 1).await, Status::Ok);
    assert_eq!(state(disk, 1).await, ZoneState::Full);
    assert_eq!(disk.manage(Op::ZoneOffline, 2).await, Status::ZoneState);
    assert_eq!(disk.queue.control(Op::ZoneReset, SIZE + 1, 0).await, Status::Invalid);
    assert_eq!(disk.manage(Op::ZoneReset, 1).await, Status::Ok);
    assert_eq!((state(disk, 1).await, disk.zone(1).await.write_pointer), (ZoneState::Empty, SIZE));
    assert_eq!(disk.manage_all(Op::ZoneReset).await, Status::Ok);
    assert!(disk.report(0, 16).await.iter().all(|z| z.state == ZoneState::Empty));
}

/// How many zones may be open, and how many active.
async fn reach_limits(disk: &Disk) {
    for zone in 0..4 {
        assert_eq!(disk.manage(Op::ZoneOpen, zone).await, Status::Ok);
        assert_eq!(state(disk, zone).await, ZoneState::ExplicitlyOpen);
    }
    assert_eq!(disk.manage(Op::ZoneOpen, 4).await, Status::ZoneLimit);
    assert_eq!(disk.write(4 * SIZE, 1).await, Status::ZoneLimit);
    for zone in 0..2 {
        assert_eq!(disk.write(zone * SIZE, 1).await, Status::Ok);
        assert_eq!(disk.manage(Op::ZoneClose, zone).await, Status::Ok);
        assert_eq!(state(disk, zone).await, ZoneState::Closed);
        assert_eq!(disk.manage(Op::ZoneOpen, zone + 4).await, Status::Ok);
    }
    // Four are open and two closed.
    assert_eq!(disk.manage(Op::ZoneClose, 5).await, Status::Ok);
    assert_eq!(disk.write(5 * SIZE, 1).await, Status::Ok, "a closed one is active already");
    assert_eq!(disk.write(6 * SIZE, 1).await, Status::ZoneLimit);
    assert_eq!(disk.manage_all(Op::ZoneReset).await, Status::Ok);
}

/// Writes zones one after the other, looking where they stand whenever nobody knows whether a write was done. Gives how often that was.
async fn write_in_order(disk: Rc<Disk>, zones: std::ops::Range<u64>) -> u32 {
    let mut unknown = 0;
    for round in 0..6 {
        for number in zones.clone() {
            let first = number * SIZE;
            assert_eq!(disk.manage(Op::ZoneReset, number).await, Status::Ok);
            let mut at = first;
            while at < first + CAPACITY {
                match disk.write(at, 8).await {
                    Status::Ok => at += 8,
                    Status::Aborted => {
                        unknown += 1;
                        let zone = disk.zone(number).await;
                        let now = if zone.state == ZoneState::Full { first + CAPACITY } else { zone.write_pointer };
                        assert!(now == at || now == at + 8, "round {round}: {zone:?} after a write at {at}");
                        at = now;
                    }
                    other => panic!("{other} of a write at {at}"),
                }
            }
            disk.verify(first, first + CAPACITY).await;
        }
    }
    unknown
}

/// Resets again and again until told to stop; gives how often.
fn keep_resetting(env: &Env, controller: &Controller) -> (Rc<Cell<bool>>, Rc<Cell<u32>>) {
    let (stop, count) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    let (stopping, counted, local, controller) = (stop.clone(), count.clone(), env.local.clone(), controller.clone());
    env.local.spawn(async move {
        while !stopping.get() {
            controller.reset().await.unwrap();
            counted.set(counted.get() + 1);
            local.sleep_ns(100_000_000).await;
        }
        stopping.set(false);
    });
    (stop, count)
}

async fn until(env: &Env, what: impl Fn() -> bool) {
    while !what() {
        env.local.sleep_ns(10_000_000).await;
    }
}

#[test]
fn a_zoned_namespace_over_vfio() {
    over("a_zoned_namespace_over_vfio", By::Narrow);
}

#[test]
fn a_zoned_namespace_over_uio() {
    over("a_zoned_namespace_over_uio", By::Uio);
}

fn over(name: &str, by: By) {
    if env::var_os(INSIDE).is_none() {
        return in_a_guest(name, by);
    }
    let address = take(CONTROLLER);
    on_reactors(move |env| async move {
        let controller = attach(&env, address, Options::default()).await;
        let disk = Rc::new(Disk::open(&env, &controller).await);
        look_around(&disk).await;
        reach_limits(&disk).await;
        append::from_two_reactors(&disk).await;

        let (stop, resets) = keep_resetting(&env, &controller);
        let done = Rc::new(Cell::new(0));
        let unknown = Rc::new(Cell::new(0));
        for zones in [0..2, 2..4] {
            let (disk, done, unknown) = (disk.clone(), done.clone(), unknown.clone());
            env.local.spawn(async move {
                unknown.set(unknown.get() + write_in_order(disk, zones).await);
                done.set(done.get() + 1);
            });
        }
        until(&env, || done.get() == 2).await;
        let repeated = append::through_resets(&disk).await;
        stop.set(true);
        until(&env, || !stop.get()).await;
        println!("{} resets; nobody knew of {} writes and {repeated} appends", resets.get(), unknown.get());
        assert!(resets.get() > 0);
        drop(disk);
        controller.detach().await;
    });
}
