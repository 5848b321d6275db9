//! Offsets against the specification, lists.

use super::*;
use crate::{Ascii, LogId, SecureType, TransportType, U16, U64, bytes};
use core::mem::offset_of;
use std::vec::Vec;

#[test]
fn offsets() {
    assert_eq!(offset_of!(ErrorEntry, sqid), 8);
    assert_eq!(offset_of!(ErrorEntry, status_phase), 12);
    assert_eq!(offset_of!(ErrorEntry, lba), 16);
    assert_eq!(offset_of!(ErrorEntry, nsid), 24);
    assert_eq!(offset_of!(ErrorEntry, opcode), 31);
    assert_eq!(offset_of!(ErrorEntry, command_specific), 32);
    assert_eq!(offset_of!(ErrorEntry, log_version), 63);
    assert_eq!(offset_of!(SmartLog, temperature_k), 1);
    assert_eq!(offset_of!(SmartLog, spare), 3);
    assert_eq!(offset_of!(SmartLog, data_units_read), 32);
    assert_eq!(offset_of!(SmartLog, power_on_hours), 128);
    assert_eq!(offset_of!(SmartLog, error_log_entries), 176);
    assert_eq!(offset_of!(SmartLog, warning_minutes), 192);
    assert_eq!(offset_of!(SmartLog, sensors_k), 200);
    assert_eq!(offset_of!(SmartLog, thermal_seconds), 224);
    assert_eq!(offset_of!(FirmwareSlots, revisions), 8);
    assert_eq!(offset_of!(SanitizeStatus, cdw10), 4);
    assert_eq!(offset_of!(SanitizeStatus, seconds), 8);
    assert_eq!(offset_of!(SanitizeStatus, seconds_without_deallocation), 20);
    assert_eq!(SanitizeState::from_bits(0x10a).passes(), 1);
    assert!(SanitizeState::from_bits(0x10a).erased());
    assert_eq!(offset_of!(CommandEffects, io), 1024);
    assert_eq!(offset_of!(DiscoveryHeader, recfmt), 16);
    assert_eq!(offset_of!(DiscoveryEntry, portid), 4);
    assert_eq!(offset_of!(DiscoveryEntry, asqsz), 8);
    assert_eq!(offset_of!(DiscoveryEntry, trsvcid), 32);
    assert_eq!(offset_of!(DiscoveryEntry, subnqn), 256);
    assert_eq!(offset_of!(DiscoveryEntry, traddr), 512);
    assert_eq!(offset_of!(DiscoveryEntry, tsas), 768);
}

#[test]
fn too_many_changes_become_one() {
    let mut log = ChangedNamespaces::default();
    log.fill([3, 4]);
    assert_eq!(log.iter().unwrap().collect::<Vec<_>>(), [3, 4]);
    log.fill(1..=1024);
    assert_eq!(log.iter().unwrap().count(), 1024);
    log.fill(1..=1025);
    assert!(log.iter().is_none());
    assert_eq!(&bytes(&log)[..8], [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
}

#[test]
fn a_list_of_zones_is_believed_as_far_as_it_can_be() {
    let mut log = ChangedZones::default();
    (log.count, log.zones[0], log.zones[1]) = (U16::new(2), U64::new(128), U64::new(512));
    assert_eq!(log.iter().unwrap().collect::<Vec<_>>(), [128, 512]);
    assert_eq!(&bytes(&log)[..10], [2, 0, 0, 0, 0, 0, 0, 0, 128, 0]);
    log.count = U16::new(512);
    assert!(log.iter().is_none());
    log.count = U16::new(0xffff);
    assert!(log.iter().is_none());
}

#[test]
fn effects_and_support_have_their_bits() {
    let effects = Effects::new().with_supported(true).with_content(true).with_exclusive(1).with_uuid(true);
    assert_eq!(effects.into_bits(), 0x0009_0003);
    let mut log = CommandEffects::default();
    log.set_io(crate::IoOpcode::WRITE, effects);
    assert_eq!(&bytes(&log)[1028..1032], [3, 0, 9, 0]);
    let mut log = SupportedLogPages::default();
    log.set(LogId::DISCOVERY, LogPageSupport::new().with_supported(true).with_index_offset(true));
    assert_eq!(bytes(&log)[0x70 * 4], 3);
}

#[test]
fn only_a_tcp_entry_has_tcp_security() {
    let mut entry = DiscoveryEntry { trtype: TransportType::TCP, trsvcid: Ascii::new("4420"), ..DiscoveryEntry::default() };
    entry.set_tcp_security(SecureType::TLS13);
    assert_eq!(entry.tcp().map(|t| t.sectype), Some(SecureType::TLS13));
    entry.trtype = TransportType::RDMA;
    assert!(entry.tcp().is_none());
}
