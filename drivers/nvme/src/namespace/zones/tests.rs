//! Reports that lie, appends that went elsewhere, and what is asked in the first place.

use super::*;
use doorbell_mem::Pool;
use doorbell_wire_nvme::zone::ZoneCondition;
use doorbell_wire_nvme::{U16, U32, U64, bytes};

const ZONES: Zones = Zones { blocks: 128, max_open: 2, max_active: 3, max_append_blocks: 32 };
const BLOCKS: u64 = 1024;

struct World {
    pool: Pool,
}

impl World {
    fn new() -> World {
        World { pool: Pool::small(16 << 10, 4) }
    }

    /// What a request for zones from `lba`, with room for `room`, makes of a report.
    fn report(&self, lba: u64, room: u32, said: u64, zones: &[ZoneDescriptor]) -> Result<Vec<Zone>, Status> {
        let mut io = Io::boxed(1);
        (io.op, io.lba, io.status) = (Op::ZoneReport, lba, Status::Ok);
        io.sg.push(self.pool.get(room * Zone::BYTES as u32).unwrap());
        let mut list = SgList::default();
        let asked = report_bytes(io.sg.bytes(), 1 << 20);
        list.push(self.pool.get(asked).unwrap());
        list.fill(0, asked, 0);
        list.write_at(0, bytes(&ReportHeader { zones: U64::new(said), ..ReportHeader::default() }));
        for (i, zone) in (0u32..).zip(zones) {
            list.write_at(HEADER + DESCRIPTOR * i, bytes(zone));
        }
        translate(&mut io, &list, &ZONES, BLOCKS);
        if !io.status.is_ok() {
            return Err(io.status);
        }
        let decode = |i: u64| {
            let mut raw = [0; Zone::BYTES];
            io.sg.read_at(i as u32 * Zone::BYTES as u32, &mut raw);
            Zone::decode(&raw).unwrap()
        };
        Ok((0..io.result).map(decode).collect())
    }
}

fn raw(state: ZoneCondition, start: u64, wp: u64) -> ZoneDescriptor {
    ZoneDescriptor::new(ZoneType::SEQUENTIAL_WRITE_REQUIRED, state, start, 100, wp)
}

#[test]
fn a_report_becomes_zones() {
    let world = World::new();
    let said = [raw(ZoneCondition::EMPTY, 128, 128), raw(ZoneCondition::FULL, 256, u64::MAX), raw(ZoneCondition::CLOSED, 384, 484)];
    // From the middle of a zone: that zone is the first.
    let zones = world.report(130, 5, 3, &said).unwrap();
    let all: Vec<_> = zones.iter().map(|z| (z.state, z.start, z.capacity, z.write_pointer)).collect();
    assert_eq!(all, [(ZoneState::Empty, 128, 100, 128), (ZoneState::Full, 256, 100, u64::MAX), (ZoneState::Closed, 384, 100, 484)]);
}

#[test]
fn a_report_that_makes_no_sense_is_an_error() {
    let world = World::new();
    let good = raw(ZoneCondition::EMPTY, 0, 0);
    let next = raw(ZoneCondition::EMPTY, 128, 128);
    assert!(world.report(0, 2, 2, &[good, next]).is_ok());
    let unknown_kind = ZoneDescriptor { kind: 1, ..good };
    let too_large = ZoneDescriptor { zcap: U64::new(129), ..good };
    for (lies, said, zones) in [
        ("none, though there are some", 0, vec![good, next]),
        ("more than were asked for", 3, vec![good, next]),
        ("more than a number holds", u64::MAX, vec![good, next]),
        ("another zone than was asked for", 2, vec![next, good]),
        ("the same zone twice", 2, vec![good, good]),
        ("a gap", 2, vec![good, raw(ZoneCondition::EMPTY, 256, 256)]),
        ("counted, not written", 2, vec![good]),
        ("a state that there is not", 1, vec![raw(ZoneCondition(7), 0, 0)]),
        ("a type that there is not", 1, vec![unknown_kind]),
        ("a capacity beyond its size", 1, vec![too_large]),
        ("a write pointer beyond its capacity", 1, vec![raw(ZoneCondition::IMPLICITLY_OPEN, 0, 101)]),
        ("a write pointer before it", 2, vec![good, raw(ZoneCondition::CLOSED, 128, 127)]),
    ] {
        assert_eq!(world.report(0, 2, said, &zones), Err(Status::ReadError), "{lies}");
    }
    // Beyond the end of the namespace.
    let last = [raw(ZoneCondition::EMPTY, 896, 896), raw(ZoneCondition::EMPTY, 1024, 1024)];
    assert_eq!(world.report(896, 2, 2, &last), Err(Status::ReadError));
    assert_eq!(world.report(896, 2, 1, &last).map(|z| z.len()), Ok(1));
}

#[test]
fn a_report_asks_for_what_there_is_room_for() {
    assert_eq!(report_bytes(32, 1 << 20), 128);
    assert_eq!(report_bytes(32 * 3 + 31, 1 << 20), 64 + 3 * 64);
    assert_eq!(report_bytes(1 << 20, 1 << 20), 16 << 10);
    assert_eq!(report_bytes(1 << 20, 4096), 4096);
}

#[test]
fn an_append_went_into_its_zone() {
    let mut io = Io::boxed(0);
    (io.op, io.lba, io.blocks) = (Op::ZoneAppend, 256, 8);
    for (first, status) in
        [(256, Status::Ok), (376, Status::Ok), (377, Status::WriteError), (255, Status::WriteError), (u64::MAX, Status::WriteError)]
    {
        (io.status, io.result) = (Status::Ok, 0);
        appended(&mut io, first, &ZONES);
        assert_eq!((io.status, io.result), (status, if status.is_ok() { first } else { 0 }), "{first}");
    }
}

#[test]
fn what_names_no_zone_is_refused() {
    let mut io = Io::boxed(0);
    let mut asked = |op, lba, blocks, flags| {
        (io.op, io.lba, io.blocks, io.flags) = (op, lba, blocks, flags);
        check(&ZONES, &io)
    };
    assert_eq!(asked(Op::ZoneAppend, 128, 32, Flags::NONE), Status::Ok);
    assert_eq!(asked(Op::ZoneAppend, 128, 33, Flags::NONE), Status::Invalid);
    assert_eq!(asked(Op::ZoneAppend, 128, 0, Flags::NONE), Status::Invalid);
    assert_eq!(asked(Op::ZoneAppend, 129, 1, Flags::NONE), Status::Invalid);
    assert_eq!(asked(Op::ZoneReset, 129, 0, Flags::NONE), Status::Invalid);
    assert_eq!(asked(Op::ZoneReset, 129, 0, Flags::ALL_ZONES), Status::Ok);
    assert_eq!(asked(Op::ZoneReport, 129, 0, Flags::NONE), Status::Ok);
}

#[test]
fn a_zoned_namespace_says_what_its_zones_are() {
    let mut pages = ZonedPages { namespace: Box::default(), append_log2: 0 };
    let mut namespace = Namespace { nsze: U64::new(1024), flbas: 1, ..Namespace::default() };
    let found = |pages: &ZonedPages, namespace: &Namespace| pages.find(namespace, 1 << 17, 12).map(|f| (f.zones, f.boundary));
    assert!(found(&pages, &namespace).unwrap_err().contains("zones of 0 blocks"));
    pages.namespace.lbafe[1].zsze = U64::new(128);
    (pages.namespace.mor, pages.namespace.mar) = (U32::new(1), U32::new(u32::MAX));
    let (zones, boundary) = found(&pages, &namespace).unwrap();
    assert_eq!(zones, Zones { blocks: 128, max_open: 2, max_active: 0, max_append_blocks: 32 });
    assert_eq!(boundary, 128);
    // Reads may cross zones; an append carries less than other commands.
    (pages.namespace.ozcs, pages.append_log2) = (U16::new(1), 2);
    let (zones, boundary) = found(&pages, &namespace).unwrap();
    assert_eq!((zones.max_append_blocks, boundary), (4, 0));
    pages.append_log2 = 255;
    assert_eq!(found(&pages, &namespace).unwrap().0.max_append_blocks, 32);
    namespace.nsze = U64::new(1000);
    assert!(found(&pages, &namespace).is_err());
}
