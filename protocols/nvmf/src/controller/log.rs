//! Log pages (Base 2.1, 5.1.12).
#![allow(clippy::field_reassign_with_default)] // Wire structures have private reserved fields.

use super::identify::FIRMWARE;
use super::{Controller, Env, Reply, discovery, ok, refuse};
use doorbell_wire_nvme::log::{
    ChangedNamespaces, CommandEffects, Effects, ErrorEntry, FirmwareSlots, LogPageSupport, SmartLog, SupportedLogPages,
};
use doorbell_wire_nvme::{
    AdminOpcode, Ascii, Csi, FeatureId, GetLogPage, IoOpcode, LogId, NSID_ALL, Sqe, Status, TransportType, U16, U32, U64, U128, bytes,
};
use std::collections::VecDeque;

/// Entries of the error log.
pub(super) const ERRORS: usize = 64;

/// Commands that failed, the newest first.
#[derive(Default)]
pub(crate) struct ErrorLog {
    count: u64,
    entries: VecDeque<ErrorEntry>,
}

impl ErrorLog {
    /// Notes that a command failed.
    pub(crate) fn add(&mut self, sqe: &Sqe, qid: u16, status: Status) {
        self.count += 1;
        self.entries.truncate(ERRORS - 1);
        let lba = if qid == 0 { 0 } else { u64::from(sqe.cdw10.get()) | (u64::from(sqe.cdw11.get()) << 32) };
        let mut entry = ErrorEntry::default();
        entry.error_count = U64::new(self.count);
        entry.sqid = U16::new(qid);
        entry.cid = sqe.cid;
        entry.status_phase = U16::new(status.bits() << 1);
        // Which field is wrong is not told (Base 2.1, 5.1.12.1.2: FFFFh).
        entry.parameter = U16::new(u16::MAX);
        entry.lba = U64::new(lba);
        entry.nsid = sqe.nsid;
        entry.trtype = TransportType::TCP;
        entry.opcode = sqe.opcode;
        entry.log_version = 1;
        self.entries.push_front(entry);
    }
}

impl Controller {
    pub(super) fn log_page(&mut self, get: &GetLogPage, nsid: u32, page: &mut Vec<u8>, env: &Env<'_>) -> Reply {
        let discovery = self.is_discovery();
        let longest = u64::from(env.snapshot.options.max_io_bytes);
        if get.len > longest || get.offset_is_index || !get.offset.is_multiple_of(4) {
            return refuse(Status::INVALID_FIELD);
        }
        let log = match (get.lid, discovery) {
            (LogId::DISCOVERY, true) => {
                if !get.retain_event {
                    self.events.discovery_read();
                }
                discovery::log(env, &self.association.host_nqn)
            }
            (LogId::ERROR, _) => {
                if !get.retain_event {
                    self.events.errors_read();
                }
                self.error_log()
            }
            (LogId::SMART, false) if nsid == 0 || nsid == NSID_ALL => self.smart_log(),
            // Not per namespace.
            (LogId::SMART, false) => return refuse(Status::INVALID_FIELD),
            (LogId::SUPPORTED, false) => supported(),
            (LogId::FIRMWARE_SLOT, false) => firmware(),
            (LogId::CHANGED_NAMESPACES, false) => {
                let mut list = Box::<ChangedNamespaces>::default();
                list.fill(self.events.changed(get.retain_event));
                bytes(&*list).to_vec()
            }
            (LogId::COMMAND_EFFECTS, false) => effects(get.csi),
            (LogId::FEATURE_EFFECTS, false) => feature_effects(),
            _ => return refuse(Status::INVALID_LOG_PAGE),
        };
        let (Ok(offset), Ok(len)) = (usize::try_from(get.offset), usize::try_from(get.len)) else {
            return refuse(Status::INVALID_FIELD);
        };
        // Past the end there is nothing to read (Base 2.1, 5.1.12: LPOL); a log that ends within is followed by zeroes.
        let Some(rest) = log.get(offset..) else { return refuse(Status::INVALID_FIELD) };
        page.extend_from_slice(rest.get(..len.min(rest.len())).unwrap_or_default());
        page.resize(len, 0);
        ok(0)
    }

    fn error_log(&self) -> Vec<u8> {
        let errors = self.association.errors();
        let mut log: Vec<u8> = errors.entries.iter().flat_map(|e| bytes(e).iter().copied()).collect();
        log.resize(ERRORS * size_of::<ErrorEntry>(), 0);
        log
    }

    fn smart_log(&self) -> Vec<u8> {
        let errors = self.association.errors().count;
        let read_only = !self.subsystem.namespaces.is_empty() && self.subsystem.namespaces.values().all(|n| n.info.read_only);
        let warning = doorbell_wire_nvme::log::CriticalWarning::new().with_read_only(read_only);
        let mut log = SmartLog::default();
        log.critical_warning = warning.into_bits();
        log.spare = 100;
        let traffic = self.association.traffic();
        // In thousands, rounded up (Base 2.1, 5.1.12.1.3).
        log.data_units_read = U128::new(traffic.read_units.div_ceil(1000).into());
        log.data_units_written = U128::new(traffic.written_units.div_ceil(1000).into());
        log.host_reads = U128::new(traffic.reads.into());
        log.host_writes = U128::new(traffic.writes.into());
        log.error_log_entries = U128::new(errors.into());
        bytes(&log).to_vec()
    }
}

fn supported() -> Vec<u8> {
    let mut log = Box::<SupportedLogPages>::default();
    for lid in [
        LogId::SUPPORTED,
        LogId::ERROR,
        LogId::SMART,
        LogId::FIRMWARE_SLOT,
        LogId::CHANGED_NAMESPACES,
        LogId::COMMAND_EFFECTS,
        LogId::FEATURE_EFFECTS,
    ] {
        log.set(lid, LogPageSupport::new().with_supported(true));
    }
    bytes(&*log).to_vec()
}

fn firmware() -> Vec<u8> {
    let mut log = FirmwareSlots::default();
    log.afi = 1;
    // The other slots do not exist: zeroes, not spaces (Base 2.1, 5.1.12.1.4).
    log.revisions = [Ascii([0; 8]); 7];
    log.revisions[0] = Ascii::new(FIRMWARE);
    bytes(&log).to_vec()
}

/// Of a command set that is not served there are the admin commands alone.
fn effects(csi: Csi) -> Vec<u8> {
    let mut log = Box::<CommandEffects>::default();
    let plain = Effects::new().with_supported(true);
    for opcode in [
        AdminOpcode::GET_LOG_PAGE,
        AdminOpcode::IDENTIFY,
        AdminOpcode::ABORT,
        AdminOpcode::SET_FEATURES,
        AdminOpcode::GET_FEATURES,
        AdminOpcode::ASYNC_EVENT_REQUEST,
        AdminOpcode::KEEP_ALIVE,
        AdminOpcode::FABRICS,
    ] {
        log.set_admin(opcode, plain);
    }
    if csi == Csi::NVM {
        for opcode in [IoOpcode::READ, IoOpcode::COMPARE, IoOpcode::VERIFY, IoOpcode::FLUSH, IoOpcode::FABRICS] {
            log.set_io(opcode, plain);
        }
        for opcode in [IoOpcode::WRITE, IoOpcode::WRITE_ZEROES, IoOpcode::DATASET_MANAGEMENT, IoOpcode::COPY] {
            log.set_io(opcode, plain.with_content(true));
        }
    }
    bytes(&*log).to_vec()
}

/// Feature identifiers supported and effects: a dword each (Base 2.1, 5.1.12.1.18), of which bit 0 says supported and bits 31:20 the scope.
fn feature_effects() -> Vec<u8> {
    const CONTROLLER_SCOPE: u32 = 1 << 21;
    let mut log = vec![U32::new(0); 256];
    for id in [
        FeatureId::ARBITRATION,
        FeatureId::POWER_MANAGEMENT,
        FeatureId::TEMPERATURE_THRESHOLD,
        FeatureId::ERROR_RECOVERY,
        FeatureId::VOLATILE_WRITE_CACHE,
        FeatureId::NUMBER_OF_QUEUES,
        FeatureId::WRITE_ATOMICITY,
        FeatureId::ASYNC_EVENT_CONFIG,
        FeatureId::KEEP_ALIVE_TIMER,
        FeatureId::HOST_BEHAVIOR,
        FeatureId::COMMAND_SET_PROFILE,
        FeatureId::HOST_ID,
    ] {
        if let Some(slot) = log.get_mut(usize::from(id.0)) {
            *slot = U32::new(1 | CONTROLLER_SCOPE);
        }
    }
    log.iter().flat_map(|d| d.to_bytes()).collect()
}
