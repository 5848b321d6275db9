//! What an operator asks of a controller: a format, another firmware, a sanitize, other namespaces, something for its security.

use crate::admin::{Ended, OK, failed};
use crate::disk::{Disk, DiskSpec};
use crate::io::prps;
use crate::memory::Pointer;
use crate::model::{Fate, Model};
use doorbell_wire_nvme::event::AsyncEvent;
use doorbell_wire_nvme::identify::{ControllerList, Namespace};
use doorbell_wire_nvme::log::{FirmwareSlots, SanitizeState, SanitizeStatus};
use doorbell_wire_nvme::{AdminOpcode, Ascii, NSID_ALL, Sqe, Status, U16, U32, view};
use std::collections::BTreeMap;

/// Slots for firmware, of which the first cannot be changed.
pub(crate) const SLOTS: u8 = 3;
/// Bytes of all namespaces together at most.
const CAPACITY: usize = 4 << 20;
/// Offsets of the pieces of an image are multiples of this: FWUG is 1.
const PIECE: u32 = 4096;

/// An image that the model takes: its revision first, then anything, and last what its words amount to.
///
/// `bytes` is rounded up to what can be sent.
pub fn firmware(revision: &str, bytes: usize) -> Vec<u8> {
    let mut image: Vec<u8> = (0..bytes.max(16).next_multiple_of(4)).map(|n| (n % 251) as u8).collect();
    let name = Ascii::<8>::new(revision);
    image.iter_mut().zip(doorbell_wire_nvme::bytes(&name)).for_each(|(to, from)| *to = *from);
    let sum = sum(image.get(..image.len() - 4).unwrap_or_default());
    image.iter_mut().rev().zip(sum.to_be_bytes().into_iter().rev()).for_each(|(to, from)| *to = from);
    image
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(1, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()))
}

/// The revision of an image, if it is whole.
fn revision(image: &[u8]) -> Option<Ascii<8>> {
    let (body, last) = image.split_last_chunk::<4>()?;
    (u32::from_be_bytes(*last) == sum(body)).then(|| view::<Ascii<8>>(image.get(..8)?).copied()).flatten()
}

/// A sanitize.
#[derive(Clone, Copy)]
struct Sanitizing {
    began: u64,
    ends: u64,
}

/// What becomes of a controller over resets.
pub(crate) struct Maintenance {
    /// Pieces of an image, by offset.
    pieces: BTreeMap<u32, Vec<u8>>,
    revisions: [Option<Ascii<8>>; SLOTS as usize],
    active: u8,
    /// Active after the next reset.
    next: Option<u8>,
    sanitizing: Option<Sanitizing>,
    sanitized: SanitizeState,
    sanitize_cdw10: u32,
    /// To be told.
    pub(crate) events: Vec<AsyncEvent>,
    /// What a Security Send brought last.
    mailbox: Vec<u8>,
}

impl Default for Maintenance {
    fn default() -> Maintenance {
        Maintenance {
            pieces: BTreeMap::new(),
            revisions: [Some(Ascii::new("1")), None, None],
            active: 1,
            next: None,
            sanitizing: None,
            sanitized: SanitizeState::new(),
            sanitize_cdw10: 0,
            events: Vec::new(),
            mailbox: Vec::new(),
        }
    }
}

impl Maintenance {
    fn slot(&self, slot: u8) -> Option<Ascii<8>> {
        self.revisions.get(usize::from(slot).checked_sub(1)?).copied().flatten()
    }

    /// The firmware that runs.
    pub(crate) fn running(&self) -> Ascii<8> {
        self.slot(self.active).unwrap_or(Ascii::new("none"))
    }

    /// The image that was sent, if nothing of it is missing.
    fn image(&mut self) -> Option<Vec<u8>> {
        let mut image = Vec::new();
        for (at, piece) in std::mem::take(&mut self.pieces) {
            (at as usize == image.len()).then_some(())?;
            image.extend(piece);
        }
        Some(image)
    }

    /// Log page 03h.
    pub(crate) fn slots_page(&self) -> FirmwareSlots {
        let mut page = FirmwareSlots { afi: self.active | self.next.unwrap_or(0) << 4, ..FirmwareSlots::default() };
        let revisions = self.revisions.iter().map(|slot| slot.unwrap_or_default());
        page.revisions.iter_mut().zip(revisions).for_each(|(to, from)| *to = from);
        page
    }

    /// Log page 81h.
    pub(crate) fn sanitize_page(&self, now: u64) -> SanitizeStatus {
        let part = |s: Sanitizing| (now.saturating_sub(s.began) * 65_536 / (s.ends - s.began).max(1)).min(65_534) as u16;
        SanitizeStatus {
            progress: U16::new(self.sanitizing.map_or(u16::MAX, part)),
            state: U16::new(self.sanitized.into_bits()),
            cdw10: U32::new(self.sanitize_cdw10),
            seconds: [U32::new(1); 3],
            seconds_without_deallocation: [U32::new(1); 3],
            ..SanitizeStatus::default()
        }
    }
}

impl Model {
    /// How much longer a command takes because of what it is.
    pub(crate) fn begin_maintenance(&mut self, sqid: u16, sqe: &Sqe) -> u64 {
        match sqe.admin_opcode() {
            AdminOpcode::FORMAT_NVM if sqid == 0 => self.entropy.below(30_000_000),
            AdminOpcode::FIRMWARE_COMMIT if sqid == 0 => self.entropy.below(5_000_000),
            _ => 0,
        }
    }

    /// Does a command of an operator's; `None` when it is none.
    pub(crate) fn maintain(&mut self, sqe: &Sqe) -> Option<Ended> {
        let sanitizing = self.is_sanitizing();
        Some(match sqe.admin_opcode() {
            AdminOpcode::FORMAT_NVM | AdminOpcode::SANITIZE | AdminOpcode::FIRMWARE_COMMIT if sanitizing => {
                failed(Status::SANITIZE_IN_PROGRESS)
            }
            AdminOpcode::FORMAT_NVM => self.format(sqe),
            AdminOpcode::FIRMWARE_DOWNLOAD => self.download(sqe),
            AdminOpcode::FIRMWARE_COMMIT => self.commit(sqe),
            AdminOpcode::SANITIZE => self.begin_sanitize(sqe),
            AdminOpcode::NAMESPACE_MANAGEMENT => self.manage(sqe),
            AdminOpcode::NAMESPACE_ATTACHMENT => self.attach(sqe),
            AdminOpcode::SECURITY_SEND => match self.data_of(sqe, sqe.cdw11.get()) {
                Some(data) => {
                    self.maintenance.mailbox = data;
                    OK
                }
                None => failed(Status::DATA_TRANSFER_ERROR),
            },
            AdminOpcode::SECURITY_RECEIVE => {
                let mut data = self.maintenance.mailbox.clone();
                data.resize(sqe.cdw11.get().min(1 << 16) as usize, 0);
                self.send(sqe, &data)
            }
            _ => return None,
        })
    }

    fn data_of(&mut self, sqe: &Sqe, bytes: u32) -> Option<Vec<u8>> {
        let (first, second) = prps(sqe);
        self.memory.gather(Pointer::Prps(first, second), bytes.min(1 << 20) as usize)
    }

    /// Is a format of this namespace under way?
    pub(crate) fn is_formatting(&self, nsid: u32) -> bool {
        let is = |sqe: &Sqe| sqe.admin_opcode() == AdminOpcode::FORMAT_NVM && (sqe.nsid() == nsid || sqe.nsid() == NSID_ALL);
        self.under.iter().any(|under| under.sqid == 0 && is(&under.sqe))
    }

    /// What is under way for some namespaces ends with a status and nothing done.
    fn refuse_under_way(&mut self, status: Status, of: impl Fn(u32) -> bool) {
        let theirs = self.under.iter_mut().filter(|under| under.sqid > 0 && of(under.sqe.nsid()));
        theirs.filter(|under| under.fate != Fate::Swallowed).for_each(|under| under.fate = Fate::Failed(status));
    }

    fn format(&mut self, sqe: &Sqe) -> Ended {
        let (nsid, index) = (sqe.nsid(), (sqe.cdw10.get() & 15) as usize);
        let asked = |n: u32| n == nsid || nsid == NSID_ALL;
        let wrong = self.disks.iter().filter(|d| asked(d.spec.nsid)).any(|d| d.shifts().get(index).is_none());
        if wrong {
            return failed(Status::INVALID_FORMAT);
        }
        if !self.disks.iter().any(|d| d.present && asked(d.spec.nsid)) {
            return failed(Status::INVALID_NAMESPACE);
        }
        self.refuse_under_way(Status::FORMAT_IN_PROGRESS, asked);
        for disk in self.disks.iter_mut().filter(|d| asked(d.spec.nsid)) {
            if let Some(shift) = disk.shifts().get(index) {
                disk.format(*shift);
            }
        }
        self.counters.formats += 1;
        OK
    }

    fn download(&mut self, sqe: &Sqe) -> Ended {
        let bytes = sqe.cdw10.get().saturating_add(1).saturating_mul(4);
        let at = sqe.cdw11.get().saturating_mul(4);
        if !at.is_multiple_of(PIECE) || bytes > 1 << 20 {
            self.counters.driver_errors += 1;
            return failed(Status::INVALID_FIELD);
        }
        let Some(piece) = self.data_of(sqe, bytes) else { return failed(Status::DATA_TRANSFER_ERROR) };
        let pieces = &mut self.maintenance.pieces;
        if at == 0 {
            pieces.clear();
        }
        if pieces.range(..at.saturating_add(bytes)).next_back().is_some_and(|(from, there)| from + there.len() as u32 > at) {
            return failed(Status::OVERLAPPING_RANGE);
        }
        pieces.insert(at, piece);
        OK
    }

    fn commit(&mut self, sqe: &Sqe) -> Ended {
        const REPLACE: u32 = 0;
        const ACTIVATE: u32 = 2;
        const NOW: u32 = 3;
        let (slot, action) = ((sqe.cdw10.get() & 7) as u8, sqe.cdw10.get() >> 3 & 7);
        let slot = if slot == 0 { 2 } else { slot };
        if slot > SLOTS || (slot == 1 && action != ACTIVATE) {
            return failed(Status::INVALID_FIRMWARE_SLOT);
        }
        if action > NOW {
            return failed(Status::INVALID_FIELD);
        }
        let what =
            if action == ACTIVATE { self.maintenance.slot(slot) } else { self.maintenance.image().and_then(|image| revision(&image)) };
        let Some(what) = what else { return failed(Status::INVALID_FIRMWARE_IMAGE) };
        self.counters.commits += 1;
        let m = &mut self.maintenance;
        if let Some(place) = m.revisions.get_mut(usize::from(slot) - 1) {
            *place = Some(what);
        }
        match action {
            REPLACE => OK,
            NOW if self.plan.hot_firmware => {
                (m.active, m.next) = (slot, None);
                OK
            }
            NOW => {
                m.next = Some(slot);
                failed(Status::FIRMWARE_NEEDS_CONTROLLER_RESET)
            }
            _ => {
                m.next = Some(slot);
                OK
            }
        }
    }

    /// A reset of the controller: what was to run from it on does.
    pub(crate) fn activate(&mut self) {
        let m = &mut self.maintenance;
        m.active = m.next.take().unwrap_or(m.active);
        m.pieces.clear();
    }

    fn begin_sanitize(&mut self, sqe: &Sqe) -> Ended {
        const ERASES: std::ops::RangeInclusive<u32> = 2..=4;
        if !ERASES.contains(&(sqe.cdw10.get() & 7)) {
            return failed(Status::INVALID_FIELD);
        }
        self.refuse_under_way(Status::SANITIZE_IN_PROGRESS, |_| true);
        let began = self.now();
        let ends = began + 10_000_000 + self.entropy.below(50_000_000);
        let m = &mut self.maintenance;
        (m.sanitizing, m.sanitize_cdw10) = (Some(Sanitizing { began, ends }), sqe.cdw10.get());
        m.sanitized = SanitizeState::new().with_status(2);
        OK
    }

    /// Is everything being made unreadable?
    pub(crate) fn is_sanitizing(&self) -> bool {
        self.maintenance.sanitizing.is_some()
    }

    /// When that ends.
    pub(crate) fn sanitize_due(&self) -> Option<u64> {
        self.maintenance.sanitizing.map(|s| s.ends)
    }

    /// Ends a sanitize that is due, whatever the controller has been through.
    pub(crate) fn sanitize(&mut self) {
        if self.sanitize_due().is_some_and(|at| at <= self.now()) {
            self.disks.iter_mut().for_each(Disk::erase);
            let m = &mut self.maintenance;
            (m.sanitizing, m.sanitized) = (None, SanitizeState::new().with_status(1).with_erased(true));
            m.events.push(AsyncEvent::SANITIZE_COMPLETED);
        }
    }

    /// Namespace Management: one is made, or deleted (Base 2.1, 5.1.21). No event tells whoever asked for it of what it did itself.
    fn manage(&mut self, sqe: &Sqe) -> Ended {
        if sqe.cdw10.get() & 15 == 1 {
            let before = self.disks.len();
            let nsid = sqe.nsid();
            self.refuse_under_way(Status::INVALID_NAMESPACE, |n| n == nsid || nsid == NSID_ALL);
            self.disks.retain(|d| d.spec.nsid != nsid && nsid != NSID_ALL);
            return if self.disks.len() < before { OK } else { failed(Status::INVALID_NAMESPACE) };
        }
        let Some(data) = self.data_of(sqe, 4096) else { return failed(Status::DATA_TRANSFER_ERROR) };
        let Some(page) = view::<Namespace>(&data) else { return failed(Status::INVALID_FIELD) };
        let Some(shift) = [9u8, 12].get(usize::from(page.flbas & 15)).copied() else { return failed(Status::INVALID_FORMAT) };
        let blocks = page.nsze.get();
        let used: usize = self.disks.iter().map(Disk::len).sum();
        let fits = blocks > 0 && blocks.checked_shl(shift.into()).is_some_and(|bytes| bytes <= (CAPACITY.saturating_sub(used)) as u64);
        if !fits || blocks > 1 << 20 {
            return failed(Status::NAMESPACE_CAPACITY);
        }
        let Some(nsid) = (1..=16).find(|n| self.disks.iter().all(|d| d.spec.nsid != *n)) else {
            return failed(Status::NAMESPACE_ID_UNAVAILABLE);
        };
        let mut disk = Disk::new(DiskSpec { nsid, shift, blocks: blocks as u32 });
        disk.present = false;
        self.disks.push(disk);
        // Lists of them rise.
        self.disks.sort_by_key(|d| d.spec.nsid);
        Some((Status::SUCCESS, nsid))
    }

    /// Namespace Attachment, of this controller alone (Base 2.1, 5.1.20).
    fn attach(&mut self, sqe: &Sqe) -> Ended {
        let Some(data) = self.data_of(sqe, 4096) else { return failed(Status::DATA_TRANSFER_ERROR) };
        if !view::<ControllerList>(&data).is_some_and(|list| list.iter().eq([crate::identify::CNTLID])) {
            return failed(Status::INVALID_CONTROLLER_LIST);
        }
        let attach = sqe.cdw10.get() & 15 == 0;
        let Some(disk) = self.disks.iter_mut().find(|d| d.spec.nsid == sqe.nsid()) else { return failed(Status::INVALID_NAMESPACE) };
        if std::mem::replace(&mut disk.present, attach) == attach {
            return failed(if attach { Status::NAMESPACE_ATTACHED } else { Status::NAMESPACE_NOT_ATTACHED });
        }
        OK
    }
}
