//! Devices with zones: where they are written, what they say of themselves, and how many may be open.

use crate::case::{Env, Failure, Outcome, Verdict, ensure};
use crate::rig::{Payload, Request, Rig};
use doorbell_block::{Flags, Op, Status, Zone, ZoneState, Zones};
use std::rc::Rc;

/// A device with zones, all of them empty.
struct Zoned {
    env: Rc<Env>,
    rig: Rig,
    zones: Zones,
}

impl Zoned {
    async fn new(env: &Rc<Env>) -> Result<Zoned, Failure> {
        let Some(zones) = env.info.zones else { return Err(Failure::new("it has no zones")) };
        let zoned = Zoned { env: env.clone(), rig: env.rig(32).await?, zones };
        zoned.all(Op::ZoneReset).await?;
        Ok(zoned)
    }

    async fn status(&self, request: Request) -> Result<Status, Failure> {
        Ok(self.rig.run(request).await?.status)
    }

    async fn expect(&self, request: Request, status: Status) -> Result<(), Failure> {
        let words = format!("{:?} of {} blocks at {}", request.op, request.blocks, request.lba);
        let ended = self.status(request).await?;
        ensure!(ended == status, "{words} ended as {ended}, not as {status}");
        Ok(())
    }

    async fn all(&self, op: Op) -> Result<(), Failure> {
        self.expect(Request::plain(op, 0, 0).flagged(Flags::ALL_ZONES), Status::Ok).await
    }

    fn start(&self, zone: u64) -> u64 {
        zone * self.zones.blocks
    }

    fn count(&self) -> u64 {
        self.env.info.blocks / self.zones.blocks
    }

    fn payload(&self, op: Op, lba: u64, blocks: u32, byte: u8) -> Request {
        Request::send(op, lba, blocks, vec![byte; (blocks as usize) << self.env.shift()])
    }

    async fn report(&self, lba: u64, room: u32) -> Result<Vec<Zone>, Failure> {
        let request = Request { payload: Payload::Room(room * Zone::BYTES as u32), ..Request::plain(Op::ZoneReport, lba, 0) };
        let done = self.rig.run(request).await?;
        ensure!(done.status == Status::Ok, "a report from {lba} ended as {}", done.status);
        ensure!((1..=u64::from(room)).contains(&done.result), "a report with room for {room} zones says that it has {}", done.result);
        let each = done.data.chunks_exact(Zone::BYTES).take(done.result as usize);
        let zones: Option<Vec<Zone>> = each.map(|bytes| Zone::decode(bytes.try_into().ok()?)).collect();
        zones.ok_or_else(|| Failure::new("a report holds what is no zone"))
    }

    async fn zone(&self, number: u64) -> Result<Zone, Failure> {
        let zones = self.report(self.start(number), 1).await?;
        Ok(zones[0])
    }

    /// The zone is in this state, and written up to here.
    async fn stands(&self, number: u64, state: ZoneState, written: u64) -> Result<(), Failure> {
        let zone = self.zone(number).await?;
        let fits = state == ZoneState::Full || zone.write_pointer == zone.start + written;
        ensure!(zone.state == state && fits, "{zone:?} should be {state:?}, written up to block {written} of it");
        Ok(())
    }

    /// Are these blocks all of this byte?
    async fn holds(&self, lba: u64, blocks: u32, byte: u8) -> Result<(), Failure> {
        let read = self.rig.run(Request::read(lba, blocks, self.env.shift())).await?;
        ensure!(read.status == Status::Ok, "a read at {lba} ended as {}", read.status);
        ensure!(read.data.iter().all(|b| *b == byte), "{blocks} blocks at {lba} hold other bytes than were written");
        Ok(())
    }

    async fn passed(self) -> Outcome {
        self.all(Op::ZoneReset).await?;
        self.rig.leave().await?;
        Ok(Verdict::Passed)
    }
}

/// From anywhere, as far as the device goes, zone by zone.
pub(super) async fn zone_report(env: Rc<Env>) -> Outcome {
    let z = Zoned::new(&env).await?;
    let mut next = 0;
    while next < z.count() {
        for zone in z.report(z.start(next), 7).await? {
            ensure!(zone.start == z.start(next), "zone {next} is said to begin at {}", zone.start);
            ensure!(zone.capacity <= z.zones.blocks, "{zone:?} has room for more than its size");
            ensure!((zone.state, zone.write_pointer) == (ZoneState::Empty, zone.start), "{zone:?} was reset and is not empty");
            next += 1;
        }
    }
    ensure!(next == z.count(), "{next} zones are reported of {}", z.count());
    let last = z.count() - 1;
    let zones = z.report(env.info.blocks - 1, 3).await?;
    ensure!(zones.len() == 1 && zones[0].start == z.start(last), "a report from the last block is {zones:?}");
    let beyond = Request { payload: Payload::Room(64), ..Request::plain(Op::ZoneReport, env.info.blocks, 0) };
    z.expect(beyond, Status::OutOfRange).await?;
    let no_room = Request { payload: Payload::Room(8), ..Request::plain(Op::ZoneReport, 0, 0) };
    z.expect(no_room, Status::Invalid).await?;
    z.passed().await
}

/// Writes begin where the zone is written next, and move that.
pub(super) async fn zone_write_pointer(env: Rc<Env>) -> Outcome {
    let z = Zoned::new(&env).await?;
    let (first, last) = (z.start(1), z.zone(1).await?.capacity);
    z.expect(z.payload(Op::Write, first, 2, 0x11), Status::Ok).await?;
    z.stands(1, ZoneState::ImplicitlyOpen, 2).await?;
    for lba in [first, first + 1, first + 3] {
        z.expect(z.payload(Op::Write, lba, 1, 0x22), Status::ZoneInvalidWrite).await?;
    }
    z.stands(1, ZoneState::ImplicitlyOpen, 2).await?;
    z.expect(z.payload(Op::Write, first + 2, 1, 0x33), Status::Ok).await?;
    z.holds(first, 2, 0x11).await?;
    z.holds(first + 2, 1, 0x33).await?;
    // Up to one block before its end, and then further than that.
    let mut at = 3;
    while at < last - 1 {
        let blocks = (last - 1 - at).min(4);
        z.expect(z.payload(Op::Write, first + at, blocks as u32, 0x44), Status::Ok).await?;
        at += blocks;
    }
    z.expect(z.payload(Op::Write, first + at, 2, 0x55), Status::ZoneInvalidWrite).await?;
    z.stands(1, ZoneState::ImplicitlyOpen, last - 1).await?;
    z.expect(z.payload(Op::Write, first + at, 1, 0x66), Status::Ok).await?;
    z.stands(1, ZoneState::Full, last).await?;
    z.expect(z.payload(Op::Write, first + last - 1, 1, 0x77), Status::ZoneFull).await?;
    z.holds(first + last - 1, 1, 0x66).await?;
    z.passed().await
}

/// Appends at once each have a place of their own, and say which.
pub(super) async fn zone_append(env: Rc<Env>) -> Outcome {
    let z = Zoned::new(&env).await?;
    let most = z.zones.max_append_blocks;
    if most == 0 {
        return crate::case::skipped("it takes no appends");
    }
    let (start, room) = (z.start(2), z.zone(2).await?.capacity);
    let count = room.min(8) as u8;
    let requests = (0..count).map(|n| z.payload(Op::ZoneAppend, start, 1, n + 1).tagged(n.into())).collect();
    let mut places = Vec::new();
    for done in z.rig.run_all(requests).await? {
        ensure!(done.status == Status::Ok, "append {} ended as {}", done.tag, done.status);
        z.holds(done.result, 1, done.tag as u8 + 1).await?;
        places.push(done.result);
    }
    places.sort_unstable();
    let expected: Vec<u64> = (0..u64::from(count)).map(|n| start + n).collect();
    ensure!(places == expected, "appends went to {places:?}");
    z.expect(z.payload(Op::ZoneAppend, start + 1, 1, 0), Status::Invalid).await?;
    z.expect(z.payload(Op::ZoneAppend, start, most + 1, 0), Status::Invalid).await?;
    z.passed().await
}

/// Finished, emptied, opened and closed.
pub(super) async fn zone_states(env: Rc<Env>) -> Outcome {
    let z = Zoned::new(&env).await?;
    let manage = |op, zone| Request::plain(op, z.start(zone), 0);
    z.expect(manage(Op::ZoneOpen, 0), Status::Ok).await?;
    z.stands(0, ZoneState::ExplicitlyOpen, 0).await?;
    z.expect(z.payload(Op::Write, 0, 1, 1), Status::Ok).await?;
    z.stands(0, ZoneState::ExplicitlyOpen, 1).await?;
    z.expect(manage(Op::ZoneClose, 0), Status::Ok).await?;
    z.stands(0, ZoneState::Closed, 1).await?;
    z.expect(manage(Op::ZoneFinish, 0), Status::Ok).await?;
    z.stands(0, ZoneState::Full, 0).await?;
    z.expect(manage(Op::ZoneOpen, 0), Status::ZoneState).await?;
    z.expect(z.payload(Op::Write, 1, 1, 1), Status::ZoneFull).await?;
    z.expect(manage(Op::ZoneReset, 0), Status::Ok).await?;
    z.stands(0, ZoneState::Empty, 0).await?;
    z.expect(Request::plain(Op::ZoneReset, 1, 0), Status::Invalid).await?;
    z.expect(Request::plain(Op::ZoneReset, env.info.blocks, 0), Status::OutOfRange).await?;
    for zone in 0..3 {
        z.expect(z.payload(Op::Write, z.start(zone), 1, 1), Status::Ok).await?;
    }
    z.all(Op::ZoneClose).await?;
    z.stands(1, ZoneState::Closed, 1).await?;
    z.all(Op::ZoneFinish).await?;
    z.stands(2, ZoneState::Full, 0).await?;
    z.stands(3, ZoneState::Empty, 0).await?;
    z.all(Op::ZoneReset).await?;
    z.stands(2, ZoneState::Empty, 0).await?;
    z.passed().await
}

/// No more are open, or active, than it says there may be.
pub(super) async fn zone_limits(env: Rc<Env>) -> Outcome {
    let z = Zoned::new(&env).await?;
    let (open, active) = (u64::from(z.zones.max_open), u64::from(z.zones.max_active));
    if open == 0 || active <= open || active + 1 > z.count() {
        return crate::case::skipped("it has no limit of open zones below one of active zones");
    }
    for zone in 0..open {
        z.expect(Request::plain(Op::ZoneOpen, z.start(zone), 0), Status::Ok).await?;
    }
    z.expect(Request::plain(Op::ZoneOpen, z.start(open), 0), Status::ZoneLimit).await?;
    z.expect(z.payload(Op::Write, z.start(open), 1, 1), Status::ZoneLimit).await?;
    z.stands(open, ZoneState::Empty, 0).await?;
    for zone in 0..active - open {
        z.expect(z.payload(Op::Write, z.start(zone), 1, 1), Status::Ok).await?;
        z.expect(Request::plain(Op::ZoneClose, z.start(zone), 0), Status::Ok).await?;
        z.expect(Request::plain(Op::ZoneOpen, z.start(open + zone), 0), Status::Ok).await?;
    }
    z.expect(Request::plain(Op::ZoneClose, z.start(open), 0), Status::Ok).await?;
    z.expect(z.payload(Op::Write, z.start(active), 1, 1), Status::ZoneLimit).await?;
    z.passed().await
}
