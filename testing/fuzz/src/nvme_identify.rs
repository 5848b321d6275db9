//! Identify data and log pages as a host reads them from a controller that it does not trust.

use crate::show;
use doorbell_wire_nvme::identify::*;
use doorbell_wire_nvme::log::*;
use doorbell_wire_nvme::zone::{ReportHeader, ZoneCondition, ZoneDescriptor, ZoneType};
use doorbell_wire_nvme::{Ascii, NqnField, PAGE_LEN, TransportType, U32, U64, bytes, view};

/// The first byte says which structure the rest is. Short inputs are filled up with zeroes, as a host's buffer is.
pub fn run(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else { return };
    let mut page = data.to_vec();
    page.resize(data.len().max(PAGE_LEN), 0);
    match kind % 9 {
        0 => controller(&page),
        1 => namespace(&page),
        2 => descriptors(data),
        3 => lists(&page),
        4 => health(&page),
        5 => discovery(data),
        6 => {
            show(&view::<NvmController>(&page));
            show(&view::<NvmNamespace>(&page));
            show(&view::<CommandSets>(&page));
        }
        7 => zones(data, &page),
        _ => {
            show(&view::<CommandEffects>(&page));
            show(&view::<SupportedLogPages>(&page));
            show(&view::<IndependentNamespace>(&page));
        }
    }
}

fn zones(data: &[u8], page: &[u8]) {
    show(&view::<ZonedNamespace>(page));
    show(&view::<ZonedController>(page));
    let changed = view::<ChangedZones>(page).expect("a page");
    assert!(changed.iter().is_none_or(|zones| zones.count() <= 511));
    let zones = ZoneDescriptor::of_report(data);
    assert!(zones.len() <= data.len() / 64);
    for zone in zones {
        show(&(zone.kind(), zone.state()));
    }
}

fn controller(page: &[u8]) {
    let id = view::<Controller>(page).expect("a page");
    show(id);
    assert!(id.max_transfer(page[0] & 15).is_none_or(|len| len >= 8192));
    assert!(id.in_capsule_len() <= u64::from(u32::MAX) * 16);
    if let Some(sn) = id.sn.as_str() {
        assert_eq!(Ascii::<20>::new(sn).as_str(), Some(sn));
    }
    if let Ok(name) = id.subnqn.as_str() {
        assert_eq!(NqnField::new(name).as_str(), Ok(name));
    }
    show(&(Oncs::from(id.oncs.get()), Ctratt::from(id.ctratt.get()), Vwc::from(id.vwc), SglSupport::from(id.sgls.get())));
}

fn namespace(page: &[u8]) {
    let ns = view::<Namespace>(page).expect("a page");
    show(ns);
    assert!(ns.format_index() < 64);
    assert!(ns.block_len().is_none_or(|len| len.is_power_of_two() && len >= 512));
    show(&(NsFeat::from(ns.nsfeat), DlFeat::from(ns.dlfeat), NsAttr::from(ns.nsattr)));
}

fn descriptors(data: &[u8]) {
    let mut page = [0; PAGE_LEN];
    let ids: Vec<_> = NamespaceIds::new(data).collect();
    let mut writer = NamespaceIdsWriter::new(&mut page);
    let kept = ids.iter().take_while(|id| writer.push(**id)).count();
    assert!(kept == ids.len() || data.len() > PAGE_LEN);
    assert!(NamespaceIds::new(&page).eq(ids.into_iter().take(kept)));
}

fn lists(page: &[u8]) {
    let list = view::<NamespaceList>(page).expect("a page");
    assert!(list.iter().all(|id| id != 0));
    let mut again = NamespaceList::default();
    again.fill(list.iter());
    assert!(again.iter().eq(list.iter()));
    let list = view::<ControllerList>(page).expect("a page");
    assert!(list.iter().count() <= 2047);
    let changed = view::<ChangedNamespaces>(page).expect("a page");
    assert!(changed.iter().is_none_or(|ids| ids.count() <= 1024));
}

fn health(page: &[u8]) {
    show(&view::<ErrorEntry>(page).map(|e| (*e, e.status())));
    show(&view::<SmartLog>(page));
    show(&view::<FirmwareSlots>(page));
}

fn discovery(data: &[u8]) {
    let Some(header) = view::<DiscoveryHeader>(data) else { return };
    show(header);
    // As a host must: no further than the bytes go, whatever NUMREC says.
    for entry in data[1024..].chunks_exact(1024).take(usize::try_from(header.numrec.get()).unwrap_or(usize::MAX)) {
        let entry = view::<DiscoveryEntry>(entry).expect("an entry");
        assert_eq!(entry.tcp().is_some(), entry.trtype == TransportType::TCP);
        show(&(entry.traddr.as_str(), entry.trsvcid.as_str(), entry.subnqn.as_str(), Treq::from(entry.treq)));
        show(&entry.tcp());
    }
}

/// The beginnings of some structures: the rest is zeroes anyway.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let of = |kind: u8, data: &[u8]| [&[kind], data].concat();
    let mut id = Controller { mdts: 5, sqes: 0x66, cqes: 0x44, vwc: 7, sn: Ascii::new("SN0"), ..Controller::default() };
    id.subnqn = NqnField::new("nqn.2026-11.io.example:disk0");
    id.ioccsz = U32::new(516);
    let mut ns = Namespace { nsze: U64::new(1 << 21), flbas: 1, ..Namespace::default() };
    ns.lbaf[1].lbads = 12;
    let mut ids = [0; PAGE_LEN];
    let mut writer = NamespaceIdsWriter::new(&mut ids);
    writer.push(NamespaceId::Uuid([3; 16]));
    writer.push(NamespaceId::Csi(doorbell_wire_nvme::Csi::NVM));
    let mut list = NamespaceList::default();
    list.fill([1, 2, 3]);
    let header = DiscoveryHeader { numrec: U64::new(1), ..DiscoveryHeader::default() };
    let entry = DiscoveryEntry {
        trtype: TransportType::TCP,
        traddr: Ascii::new("127.0.0.1"),
        trsvcid: Ascii::new("4420"),
        ..DiscoveryEntry::default()
    };
    let report = ReportHeader { zones: U64::new(1), ..ReportHeader::default() };
    let zone = ZoneDescriptor::new(ZoneType::SEQUENTIAL_WRITE_REQUIRED, ZoneCondition::CLOSED, 128, 100, 130);
    vec![
        ("controller", of(0, &bytes(&id)[..1800])),
        ("namespace", of(1, &bytes(&ns)[..160])),
        ("descriptors", of(2, &ids[..40])),
        ("list", of(3, &bytes(&list)[..16])),
        ("smart", of(4, &[0x11; 64])),
        ("zones", of(7, &[bytes(&report), bytes(&zone)].concat())),
        ("discovery", of(5, &[bytes(&header), bytes(&entry)].concat())),
    ]
}
