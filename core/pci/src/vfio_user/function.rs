//! A function that a server serves.

use super::connection::{Answer, Connection};
use crate::vfio::whole_pages;
use crate::{Area, Bar, Domain, Function, Interrupts, IovaRange, Mapper, PciError, Trapped, mapping, ready};
use doorbell_mem::Region;
use doorbell_wire_vfio_user::{
    Capability, Command, DeviceInfo, DeviceInfoFlags, DmaMap, DmaMapFlags, DmaUnmap, DmaUnmapFlags, IrqAction, IrqData, IrqInfo, Malformed,
    RegionAccess, RegionInfo, RegionInfoFlags, SetIrqs, Version, irq, region,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Addresses that servers are given: as wide as their own.
const USABLE: [IovaRange; 1] = [IovaRange { first: 0, last: (1 << 47) - 1 }];
/// What is told of us. All our messages keep within the least that a server may allow.
const ABOUT: &[u8] = br#"{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576}}"#;
/// Room for a region's description: SPDK's client asks with as much.
const ROOM: usize = 4096 - 32;

/// Connects to the socket `cntrl` in a folder, or to a socket itself.
pub(crate) fn open(path: &Path, refuse_own: bool) -> Result<Arc<dyn Function>, PciError> {
    let socket = if path.is_dir() { path.join("cntrl") } else { path.to_owned() };
    let name = path.display().to_string();
    let line = Arc::new(Connection::new(&name, &socket, refuse_own)?);
    Ok(Arc::new(VfioUser::new(name, line)?))
}

/// A region: what is known of it, and the file that parts of it can be mapped from.
struct Place {
    info: RegionInfo,
    areas: Vec<(u64, u64)>,
    fd: Option<OwnedFd>,
}

struct VfioUser {
    name: String,
    line: Arc<Connection>,
    can_reset: bool,
    places: Vec<Place>,
    /// Its best kind of interrupt, and how many of them.
    irq: (u32, u32),
    /// The switch for MSI-X in configuration space was thrown.
    are_vectors_on: AtomicBool,
    bars: [Mutex<Option<Arc<Bar>>>; 6],
    domain: Arc<Domain>,
}

fn odd(line: &Connection) -> impl Fn(Malformed) -> PciError {
    let name = line.name().to_owned();
    move |why| PciError::unusable(&name, format!("its server's answer makes no sense: {why}"))
}

impl VfioUser {
    /// In the order in which SPDK's client asks.
    fn new(name: String, line: Arc<Connection>) -> Result<VfioUser, PciError> {
        let version = Version::ours(ABOUT);
        let body = [&version.encode_fixed()[..], ABOUT, &[0]].concat();
        let answer = line.call("agree on a version", Command::VERSION, &body, &[])?;
        let theirs = Version::decode(&answer.body).map_err(odd(&line))?;
        if theirs.major != 0 {
            return Err(PciError::unusable(&name, format!("its server speaks version {} of vfio-user, not 0", theirs.major)));
        }
        let asked = DeviceInfo { argsz: DeviceInfo::LEN as u32, ..Default::default() };
        let answer = line.call("ask what it is", Command::DEVICE_GET_INFO, &asked.encode(), &[])?;
        let info = DeviceInfo::decode(&answer.body).map_err(odd(&line))?;
        if !info.flags.has(DeviceInfoFlags::PCI) || info.regions <= region::CONFIG {
            return Err(PciError::unusable(&name, "it is no PCI function"));
        }
        let places = (0..=region::CONFIG).map(|index| place(&line, index)).collect::<Result<Vec<Place>, PciError>>()?;
        let mut best = (irq::INTX, 0);
        for index in [irq::MSIX, irq::MSI, irq::INTX].into_iter().filter(|index| *index < info.irqs) {
            let asked = IrqInfo { argsz: IrqInfo::LEN as u32, index, ..Default::default() };
            let answer = line.call("ask for its interrupts", Command::DEVICE_GET_IRQ_INFO, &asked.encode(), &[])?;
            let found = IrqInfo::decode(&answer.body).map_err(odd(&line))?;
            if found.count > 0 {
                best = (index, found.count.min(2048));
                break;
            }
        }
        let domain = Arc::new(Domain::mapped(&name, &USABLE, Box::new(Shared(line.clone()))));
        let can_reset = info.flags.has(DeviceInfoFlags::RESET);
        let function =
            VfioUser { name, line, can_reset, places, irq: best, are_vectors_on: AtomicBool::new(false), bars: Default::default(), domain };
        function.wake()?;
        Ok(function)
    }

    /// Lets it answer to its registers, and keeps the line quiet unless it is all there is.
    fn wake(&self) -> Result<(), PciError> {
        const MEMORY: u16 = 1 << 1;
        const LINE_OFF: u16 = 1 << 10;
        let mut command = [0; 2];
        self.config_read(4, &mut command)?;
        let quiet = if self.irq.0 == irq::INTX && self.irq.1 > 0 { 0 } else { LINE_OFF };
        self.config_write(4, &(u16::from_le_bytes(command) | MEMORY | quiet).to_le_bytes())
    }

    /// Throws the switch for MSI-X: no kernel does it here.
    fn vectors_on(&self) -> Result<(), PciError> {
        const MSIX: u8 = 0x11;
        if self.irq.0 != irq::MSIX || self.are_vectors_on.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut at = [0];
        self.config_read(0x34, &mut at)?;
        // As many as fit behind the header, so that a chain that is a circle ends.
        for _ in 0..48 {
            let [place] = at;
            let place = u16::from(place & !3);
            if place < 0x40 {
                break;
            }
            let (mut id, mut control) = ([0], [0; 2]);
            self.config_read(place, &mut id)?;
            if id == [MSIX] {
                self.config_read(place + 2, &mut control)?;
                // Enabled, and the mask of all vectors lifted.
                let on = (u16::from_le_bytes(control) | 1 << 15) & !(1 << 14);
                self.config_write(place + 2, &on.to_le_bytes())?;
                break;
            }
            self.config_read(place + 1, &mut at)?;
        }
        self.are_vectors_on.store(true, Ordering::Release);
        Ok(())
    }

    fn config(&self, offset: u16, len: usize) -> Result<RegionAccess, PciError> {
        let access = RegionAccess { offset: offset.into(), region: region::CONFIG, count: len as u32 };
        let size = self.places.get(region::CONFIG as usize).map_or(0, |place| place.info.size);
        let fits = matches!(len, 1 | 2 | 4) && usize::from(offset).is_multiple_of(len) && access.is_within(size);
        if fits { Ok(access) } else { Err(PciError::unusable(&self.name, "an access outside of its configuration space")) }
    }

    fn set_irqs(&self, action: IrqAction, data: IrqData<'_>, start: u32, count: u32, fds: &[BorrowedFd<'_>]) -> Result<(), PciError> {
        let set = SetIrqs { action, data, index: self.irq.0, start, count };
        self.line.call("set its interrupts", Command::DEVICE_SET_IRQS, &set.encode_fixed(), fds).map(drop)
    }
}

fn place(line: &Connection, index: u32) -> Result<Place, PciError> {
    let asked = RegionInfo { argsz: ROOM as u32, index, ..Default::default() };
    let answer = line.call("ask for a region", Command::DEVICE_GET_REGION_INFO, &asked.encode(), &[])?;
    let Answer { body, fds } = answer;
    let (info, capabilities) = RegionInfo::decode_reply(&body).map_err(odd(line))?;
    let fd = fds.into_iter().next().filter(|_| info.flags.has(RegionInfoFlags::MMAP));
    let mut areas = if fd.is_some() { vec![(0, info.size)] } else { Vec::new() };
    for capability in capabilities {
        if let Capability::SparseMmap(sparse) = capability.map_err(odd(line))?
            && fd.is_some()
        {
            areas = sparse.iter().map(|area| (area.offset, area.size)).collect();
        }
    }
    Ok(Place { areas: whole_pages(&areas, info.size), info, fd })
}

/// One read by message.
fn read(line: &Connection, what: &'static str, access: RegionAccess, into: &mut [u8]) -> Result<(), PciError> {
    let answer = line.call(what, Command::REGION_READ, &access.encode(), &[])?;
    let (_, data) = RegionAccess::decode_data(&answer.body).map_err(odd(line))?;
    if data.len() != into.len() {
        return Err(PciError::unusable(line.name(), "its server read less than was asked for"));
    }
    into.copy_from_slice(data);
    Ok(())
}

fn write(line: &Connection, what: &'static str, access: RegionAccess, from: &[u8]) -> Result<(), PciError> {
    let body = [&access.encode()[..], from].concat();
    let answer = line.call(what, Command::REGION_WRITE, &body, &[])?;
    let done = RegionAccess::decode(&answer.body).map_err(odd(line))?;
    if done.count == access.count { Ok(()) } else { Err(PciError::unusable(line.name(), "its server wrote less than was asked for")) }
}

/// What of a BAR is not mapped.
struct Rest {
    line: Arc<Connection>,
    region: u32,
    size: u64,
}

impl Rest {
    fn access(&self, offset: u64, len: usize) -> Result<RegionAccess, PciError> {
        let access = RegionAccess { offset, region: self.region, count: len as u32 };
        if access.is_within(self.size) { Ok(access) } else { Err(PciError::unusable(self.line.name(), "an access outside of its BAR")) }
    }
}

impl Trapped for Rest {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), PciError> {
        read(&self.line, "read a register", self.access(offset, into.len())?, into)
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), PciError> {
        write(&self.line, "write a register", self.access(offset, from.len())?, from)
    }
}

/// Shares regions with the server.
struct Shared(Arc<Connection>);

impl Mapper for Shared {
    fn map(&self, region: &Region, iova: u64) -> Result<(), PciError> {
        let Some(file) = region.memfd() else {
            return Err(PciError::unusable(
                self.0.name(),
                "part of this process's memory has no file that could be shared with its server",
            ));
        };
        let map = DmaMap {
            argsz: DmaMap::LEN as u32,
            flags: DmaMapFlags::READ.with(DmaMapFlags::WRITE),
            offset: region.file_offset(),
            address: iova,
            size: region.len() as u64,
        };
        self.0.call("share memory with its server", Command::DMA_MAP, &map.encode(), &[file.as_fd()]).map(drop)
    }

    fn unmap(&self, iova: u64, len: u64) -> bool {
        let unmap = DmaUnmap { argsz: DmaUnmap::LEN as u32, flags: DmaUnmapFlags::default(), address: iova, size: len };
        let answer = self.0.call("take memory back from its server", Command::DMA_UNMAP, &unmap.encode(), &[]);
        // One that has gone has nothing mapped. One that refuses or says nothing may.
        matches!(answer, Ok(_) | Err(PciError::Gone { .. }))
    }
}

impl Function for VfioUser {
    fn name(&self) -> &str {
        &self.name
    }

    fn config_read(&self, offset: u16, into: &mut [u8]) -> Result<(), PciError> {
        read(&self.line, "read its configuration space", self.config(offset, into.len())?, into)
    }

    fn config_write(&self, offset: u16, from: &[u8]) -> Result<(), PciError> {
        write(&self.line, "write its configuration space", self.config(offset, from.len())?, from)
    }

    fn bar(&self, index: u8) -> Result<Arc<Bar>, PciError> {
        let known = self.bars.get(usize::from(index)).zip(self.places.get(usize::from(index))).filter(|(_, place)| place.info.size > 0);
        let Some((slot, place)) = known else { return Err(PciError::unusable(&self.name, format!("it has no BAR {index}"))) };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = &*slot {
            return Ok(bar.clone());
        }
        let map = |(offset, len): &(u64, u64)| -> Option<Area> {
            // A part that cannot be mapped after all is reached by message.
            mapping::area(place.fd.as_ref()?.as_fd(), place.info.offset.checked_add(*offset)?, *offset, *len).ok()
        };
        let rest = Rest { line: self.line.clone(), region: index.into(), size: place.info.size };
        let bar = Arc::new(Bar::new(place.info.size, place.areas.iter().filter_map(map).collect(), Some(Box::new(rest))));
        *slot = Some(bar.clone());
        Ok(bar)
    }

    fn interrupts(&self) -> Interrupts {
        match self.irq {
            (_, 0) => Interrupts::None,
            (irq::INTX, _) => Interrupts::Line,
            (_, count) => Interrupts::Vectors(count),
        }
    }

    fn set_interrupt(&self, vector: u32, notify: Option<BorrowedFd<'_>>) -> Result<(), PciError> {
        if vector >= self.irq.1 {
            return Err(PciError::unusable(&self.name, format!("it has no interrupt {vector} (of {})", self.irq.1)));
        }
        if notify.is_some() {
            self.vectors_on()?;
        }
        self.set_irqs(IrqAction::Trigger, IrqData::Events, vector, 1, notify.as_slice())
    }

    fn rearm(&self) -> Result<(), PciError> {
        if self.irq.0 != irq::INTX { Ok(()) } else { self.set_irqs(IrqAction::Unmask, IrqData::None, 0, 1, &[]) }
    }

    fn reset(&self) -> Result<(), PciError> {
        if !self.can_reset {
            return Err(PciError::unusable(&self.name, "its server knows no reset"));
        }
        self.line.call("reset it", Command::DEVICE_RESET, &[], &[])?;
        // Configuration space is as at the beginning, the switch for MSI-X with it.
        self.are_vectors_on.store(false, Ordering::Release);
        self.wake()
    }

    fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }

    fn leaving(&self) -> Option<BorrowedFd<'_>> {
        Some(self.line.gone())
    }

    fn is_leaving(&self) -> bool {
        ready(self.line.gone())
    }
}

impl Drop for VfioUser {
    /// The domain and mapped BARs may outlive it, and the domain keeps the socket: so it is silenced here.
    fn drop(&mut self) {
        let _ = self.set_bus_master(false);
    }
}
