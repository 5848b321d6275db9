use super::*;
use doorbell_wire_nvme::{AddressFamily, Ascii, NqnField, TransportType, U16, U64, bytes};
use proptest::prelude::*;

/// A controller's log, in memory.
struct Served {
    generation: u64,
    entries: Vec<DiscoveryEntry>,
}

fn entry(n: usize) -> DiscoveryEntry {
    let mut entry = DiscoveryEntry { trtype: TransportType::TCP, adrfam: AddressFamily::IPV4, ..DiscoveryEntry::default() };
    (entry.subtype, entry.cntlid) = (SubsystemType::NVM, U16::new(0xffff));
    (entry.traddr, entry.trsvcid) = (Ascii::new("10.0.0.1"), Ascii::new("4420"));
    entry.subnqn = NqnField::new(&format!("nqn.2026-11.io.example:{n}"));
    entry
}

impl Served {
    fn of(generation: u64, entries: usize) -> Served {
        Served { generation, entries: (0..entries).map(entry).collect() }
    }

    fn read(&self, range: Range<u64>) -> Vec<u8> {
        let head = DiscoveryHeader {
            genctr: U64::new(self.generation),
            numrec: U64::new(self.entries.len() as u64),
            ..DiscoveryHeader::default()
        };
        let mut all = bytes(&head).to_vec();
        self.entries.iter().for_each(|entry| all.extend(bytes(entry)));
        all.resize(all.len().max(range.end as usize), 0);
        all[range.start as usize..range.end as usize].to_vec()
    }
}

fn names(log: &Log) -> Vec<String> {
    let name = |found: &Found| match &found.id {
        Some(TransportId::Tcp(tcp)) => tcp.subsystem.clone(),
        other => panic!("{other:?}"),
    };
    log.found.iter().map(name).collect()
}

proptest! {
    #[test]
    fn a_log_that_changes_is_read_over_again(piece in 0u32..9000, changes in prop::collection::vec((0usize..9, 0usize..12), 1..8)) {
        let mut served = Served::of(0, changes[0].1);
        let (mut reading, mut steps, mut changes) = (Reading::new(piece), 0, changes.into_iter());
        let mut change = changes.next();
        let log = loop {
            if let Some((after, entries)) = change && after <= steps {
                served = Served::of(served.generation + 1, entries);
                change = changes.next();
            }
            let range = reading.next();
            prop_assert!(range.end - range.start <= u64::from(piece.max(1024)) && range.start % 1024 == 0);
            let command = reading.command();
            prop_assert_eq!((command.len, command.offset), (range.end - range.start, range.start));
            if let Some(log) = reading.take(&served.read(range)).unwrap() {
                break log;
            }
            steps += 1;
        };
        prop_assert_eq!(log.generation, served.generation);
        prop_assert_eq!(names(&log), names(&Log { generation: 0, found: served.entries.iter().map(Found::of).collect() }));
    }
}

#[test]
fn a_log_that_never_rests_or_lies_is_given_up() {
    let mut reading = Reading::new(4096);
    let end = (0..1000).find_map(|n| reading.take(&Served::of(n, 1).read(reading.next())).err());
    assert_eq!(end, Some(LogError::Restless));
    let head =
        |numrec: u64, recfmt: u16| DiscoveryHeader { numrec: U64::new(numrec), recfmt: U16::new(recfmt), ..DiscoveryHeader::default() };
    assert_eq!(Reading::new(0).take(bytes(&head(u64::MAX, 0))), Err(LogError::TooLong(u64::MAX)));
    assert_eq!(Reading::new(0).take(bytes(&head(1, 7))), Err(LogError::Format(7)));
    assert_eq!(Reading::new(0).take(&[0; 100]), Err(LogError::Short));
}

#[test]
fn an_empty_log_is_whole_at_once_and_strange_entries_are_kept_as_they_came() {
    let served = Served::of(5, 0);
    let mut reading = Reading::new(4096);
    assert_eq!(reading.take(&served.read(reading.next())), Ok(Some(Log { generation: 5, found: vec![] })));
    let mut strange = entry(1);
    (strange.trtype, strange.subtype) = (TransportType::RDMA, SubsystemType::REFERRAL);
    let found = Found::of(&strange);
    assert_eq!((found.id.clone(), found.is_discovery()), (None, true));
    assert_eq!(*found.entry, strange);
}
