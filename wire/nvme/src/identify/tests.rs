//! Offsets against the specification, lists and descriptors.

use super::*;
use crate::{Csi, NidType, PAGE_LEN, U16, U32, bytes, view};
use core::mem::offset_of;
use proptest::prelude::*;
use std::vec::Vec;

/// Checks `field == offset` for many fields of one structure.
macro_rules! offsets {
    ($ty:ty: $($field:ident $at:literal),* $(,)?) => {
        $( assert_eq!(offset_of!($ty, $field), $at, stringify!($field)); )*
    };
}

#[test]
fn controller_offsets() {
    offsets!(Controller: vid 0, ssvid 2, sn 4, mn 24, fr 64, rab 72, ieee 73, cmic 76, mdts 77, cntlid 78, ver 80,
        rtd3r_us 84, rtd3e_us 88, oaes 92, ctratt 96, rrls 100, bpcap 102, nssl_us 104, plsi 110, cntrltype 111,
        fguid 112, crdt_100ms 128, crcap 134, nvmsr 253, vwci 254, mec 255, oacs 256, acl 258, aerl 259, frmw 260,
        lpa 261, elpe 262, npss 263, avscc 264, apsta 265, wctemp 266, cctemp 268, mtfa_100ms 270, hmpre 272,
        hmmin 276, tnvmcap 280, unvmcap 296, rpmbs 312, edstt 316, dsto 318, fwug 319, kas_100ms 320, hctma 322,
        mntmt 324, mxtmt 326, sanicap 328, hmminds 332, hmmaxd 336, nsetidmax 338, endgidmax 340, anatt_s 342,
        anacap 343, anagrpmax 344, nanagrpid 348, pels 352, did 356, kpioc 358, mptfawr_100ms 360, megcap 368,
        tmpthha 384, cqt_ms 386, sqes 512, cqes 513, maxcmd 514, nn 516, oncs 520, fuses 522, fna 524, vwc 525,
        awun 526, awupf 528, nvscc 530, nwpc 531, acwu 532, ocfs 534, sgls 536, mnan 540, maxdna 544, maxcna 560,
        oaqd 564, subnqn 768, ioccsz 1792, iorcsz 1796, icdoff 1800, fcatt 1802, msdbd 1803, ofcs 1804, dctype 1806,
        psd 2048, vs 3072);
    offsets!(PowerState: mp 0, flags 3, enlat_us 4, exlat_us 8, rrt 12, rwl 15, idlp 16, ips 18, actp 20, apw_aps 22);
}

#[test]
fn namespace_offsets() {
    offsets!(Namespace: nsze 0, ncap 8, nuse 16, nsfeat 24, nlbaf 25, flbas 26, mc 27, dpc 28, dps 29, nmic 30,
        rescap 31, fpi 32, dlfeat 33, nawun 34, nawupf 36, nacwu 38, nabsn 40, nabo 42, nabspf 44, noiob 46, nvmcap 48,
        npwg 64, npwa 66, npdg 68, npda 70, nows 72, mssrl 74, mcl 76, msrc 80, kpios 81, nulbaf 82, kpiodaag 84,
        anagrpid 92, nsattr 99, nvmsetid 100, endgid 102, nguid 104, eui64 120, lbaf 128, vs 384);
    offsets!(IndependentNamespace: nsfeat 0, nmic 1, rescap 2, fpi 3, anagrpid 4, nsattr 8, nvmsetid 10, endgid 12,
        nstat 14, kpios 15, maxkt 16, rgrpid 20);
    offsets!(NvmNamespace: lbstm 0, pic 8, pifa 9, elbaf 12, npdgl 268, nprg 272, npra 276, nors 280, npdal 284,
        lbapss 288, tlbaag 292);
    offsets!(NvmController: vsl 0, wzsl 1, wusl 2, dmrl 3, dmrsl 4, dmsl 8, kpiocap 16, wzdsl 17, aocs 18, ver 20,
        lbamqf 24);
    offsets!(ZonedNamespace: zoc 0, ozcs 2, mar 4, mor 8, rrl_s 12, frl_s 16, rrl_more_s 20, frl_more_s 32, numzrwa 44, zrwafg 48,
        zrwasz 50, zrwacap 52, lbafe 2816, vs 3840);
}

#[test]
fn bits_of_the_controller() {
    assert_eq!(Oncs::new().with_dataset_management(true).with_write_zeroes(true).with_verify(true).into_bits(), 0x8c);
    assert_eq!(Oncs::new().with_copy(true).into_bits(), 0x100);
    assert_eq!(Ctratt::new().with_host_id_128(true).with_tbkas(true).into_bits(), 0x41);
    assert_eq!(Vwc::new().with_present(true).with_flush_all(3).into_bits(), 7);
    assert_eq!(SglSupport::new().with_support(1).with_keyed(true).with_offset(true).into_bits(), 0x0010_0005);
    assert_eq!(SglSupport::new().with_transport(true).into_bits(), 1 << 21);
    assert_eq!(Lpa::new().with_extended_data(true).with_command_effects(true).into_bits(), 6);
    assert_eq!(Oaes::new().with_namespace(true).into_bits(), 0x100);
    assert_eq!(Oaes::new().with_zones(true).into_bits(), 1 << 27);
    assert_eq!(entry_sizes(6, 6), 0x66);
    assert_eq!(DlFeat::new().with_read(1).with_write_zeroes_deallocate(true).into_bits(), 9);
}

#[test]
fn limits_of_a_controller() {
    let mut id = Controller { mdts: 5, ..Controller::default() };
    assert_eq!(id.max_transfer(0), Some(128 << 10));
    assert_eq!(id.max_transfer(15), Some(1 << 32));
    id.mdts = 255;
    assert_eq!(id.max_transfer(15), None);
    id.mdts = 0;
    assert_eq!(id.max_transfer(0), None);
    assert_eq!(id.in_capsule_len(), 0);
    id.ioccsz = U32::new((64 + 8192) / 16);
    assert_eq!(id.in_capsule_len(), 8192);
    id.icdoff = U16::new(u16::MAX);
    assert_eq!(id.in_capsule_len(), 0);
}

#[test]
fn the_format_in_use() {
    let mut ns = Namespace::default();
    ns.lbaf[1] = LbaFormat { lbads: 12, ..LbaFormat::default() };
    assert_eq!(ns.block_len(), None);
    ns.flbas = 0x01;
    assert_eq!(ns.block_len(), Some(4096));
    ns.lbaf[1].lbads = 200;
    assert_eq!(ns.block_len(), None);
    ns.flbas = 0x61;
    assert_eq!(ns.format_index(), 1);
    ns.nlbaf = 63;
    assert_eq!(ns.format_index(), 0x31);
}

#[test]
fn lists_end_where_they_say() {
    let mut list = NamespaceList::default();
    list.fill([1, 5, 9]);
    assert_eq!(list.iter().collect::<Vec<_>>(), [1, 5, 9]);
    list.fill(1..5000);
    assert_eq!(list.iter().count(), 1024);
    let mut list = ControllerList::default();
    list.fill([1, 2]);
    assert_eq!(&bytes(&list)[..6], [2, 0, 1, 0, 2, 0]);
    list.count = U16::new(u16::MAX);
    assert_eq!(list.iter().count(), 2047);
    assert_eq!(CommandSets::nvm_only().combinations[0].get(), 1);
}

#[test]
fn descriptors_are_written_as_hosts_read_them() {
    let mut page = [0xff; PAGE_LEN];
    let mut writer = NamespaceIdsWriter::new(&mut page);
    assert!(writer.push(NamespaceId::Uuid([7; 16])));
    assert!(writer.push(NamespaceId::Csi(Csi::NVM)));
    assert!(!writer.push(NamespaceId::Other(NidType(9), &[])));
    assert!(!writer.push(NamespaceId::Other(NidType(9), &[0; 256])));
    assert_eq!(&page[..4], [3, 16, 0, 0]);
    assert_eq!(&page[20..26], [4, 1, 0, 0, 0, 0]);
    let mut writer = NamespaceIdsWriter::new(&mut page);
    let fits = (0..20).filter(|_| writer.push(NamespaceId::Other(NidType(200), &[1; 255]))).count();
    assert_eq!(fits, PAGE_LEN / 259);
    assert_eq!(NamespaceIds::new(&page).count(), fits);
}

proptest! {
    #[test]
    fn descriptor_round_trip(eui in any::<[u8; 8]>(), nguid in any::<[u8; 16]>(), other in proptest::collection::vec(any::<u8>(), 1..255)) {
        let ids = [NamespaceId::Eui64(eui), NamespaceId::Nguid(nguid), NamespaceId::Uuid(nguid), NamespaceId::Csi(Csi(eui[0])),
            NamespaceId::Other(NidType(0x80), &other)];
        let mut page = [0; PAGE_LEN];
        let mut writer = NamespaceIdsWriter::new(&mut page);
        for id in ids {
            prop_assert!(writer.push(id));
        }
        prop_assert_eq!(NamespaceIds::new(&page).collect::<Vec<_>>(), ids);
    }

    #[test]
    fn any_descriptors_are_read_without_harm(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
        let total: usize = NamespaceIds::new(&raw).map(|id| match id {
            NamespaceId::Other(_, id) => id.len(),
            _ => 1,
        }).sum();
        prop_assert!(total <= raw.len());
    }

    #[test]
    fn any_page_is_a_structure(raw in proptest::collection::vec(any::<u8>(), 4096)) {
        let id: &Controller = view(&raw).unwrap();
        let _ = (id.max_transfer(raw[0]), id.in_capsule_len(), id.subnqn.as_str(), id.sn.as_str());
        let ns: &Namespace = view(&raw).unwrap();
        prop_assert!(ns.format_index() < 64);
        prop_assert!(ns.block_len().is_none_or(|len| len >= 512));
        prop_assert_eq!(bytes(id), &*raw);
    }
}
