//! A controller's own memory, for submission rings: it finds commands there without reading memory of ours (NVMe Base 2.1, 8.2.1).
//!
//! It is a part of one of the function's BARs. Newer controllers are told at which addresses they know it: addresses are taken that no
//! memory is ever mapped at. Older ones know it by those of its BAR, always.
//!
//! What it is not: memory for data, lists or completions. Nothing is ever read from it but what a test of it wrote.

use crate::{Bar, Domain, Function, PciError};
use doorbell_wire_nvme::register::{Cap, CmbControl, CmbLocation, CmbSize, CmbStatus, Property};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const PAGE: u64 = 4096;
/// Pages that are handed out at most.
const PAGES: u64 = 1 << 18;
/// Configuration space: the first BAR's register.
const BARS: u16 = 0x10;
/// Doorbells of so many queues stand before memory in BAR 0.
const QUEUES: u64 = 256;

/// A controller's own memory.
pub struct ControllerMemory {
    name: String,
    registers: Arc<Bar>,
    bar: Arc<Bar>,
    domain: Arc<Domain>,
    found: Found,
    /// The first address, as the controller knows it.
    address: u64,
    /// Which pages are taken. None are left once it is disabled.
    pages: Mutex<Vec<bool>>,
}

/// What its registers say.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Found {
    location: CmbLocation,
    size: CmbSize,
    /// It is always there, at the addresses of its BAR.
    fixed: bool,
}

impl Found {
    /// Where it lies in its BAR, and its bytes: at most 2^56 each.
    fn place(self) -> Option<(u64, u64)> {
        let unit = self.size.unit()?;
        Some((u64::from(self.location.offset_units()) * unit, u64::from(self.size.units()) * unit))
    }
}

fn register(property: Property) -> u64 {
    property.0.into()
}

fn look(registers: &Bar, fixed: bool) -> Found {
    let location = CmbLocation::from_bits(registers.read32(register(Property::CMBLOC)));
    Found { location, size: CmbSize::from_bits(registers.read32(register(Property::CMBSZ))), fixed }
}

fn control(registers: &Bar, control: CmbControl) {
    registers.write64(register(Property::CMBMSC), control.into_bits());
}

impl ControllerMemory {
    /// A controller's memory, if it has some for submission rings; an error says why what it has cannot be used. The controller is not
    /// enabled. May block.
    pub fn find(function: &dyn Function) -> Result<Option<Arc<ControllerMemory>>, PciError> {
        let registers = function.bar(0)?;
        let cap = Cap::from_bits(registers.read64(register(Property::CAP)));
        if cap.into_bits() == u64::MAX {
            return Err(PciError::Gone { function: function.name().to_owned() });
        }
        let is_told = CmbControl::from_bits(registers.read64(register(Property::CMBMSC))).registers();
        let fixed = look(&registers, true).size.units() > 0 && !is_told;
        if !fixed && !cap.cmbs() {
            return Ok(None);
        }
        if !fixed {
            control(&registers, CmbControl::new().with_registers(true));
        }
        let found = Self::open(function, &registers, look(&registers, fixed), cap.dstrd());
        if !fixed && !matches!(found, Ok(Some(_))) {
            control(&registers, CmbControl::new());
        }
        found
    }

    /// Without it, what another program may have told the controller of it is taken back: its addresses could be those of memory of ours.
    /// May block.
    pub fn put_away(registers: &Bar) {
        if CmbControl::from_bits(registers.read64(register(Property::CMBMSC))).enabled() {
            control(registers, CmbControl::new());
        }
    }

    fn open(function: &dyn Function, registers: &Arc<Bar>, found: Found, dstrd: u8) -> Result<Option<Arc<Self>>, PciError> {
        let wrong = |why: String| PciError::unusable(function.name(), format!("its own memory cannot be used: {why}"));
        if found.size.units() == 0 || !found.size.submission_queues() {
            return Ok(None);
        }
        let index = found.location.bar();
        let (offset, len) =
            found.place().ok_or_else(|| wrong(format!("its unit has code {}, which means nothing", found.size.unit_code())))?;
        let bar = function.bar(index)?;
        if offset.checked_add(len).is_none_or(|end| end > bar.len()) {
            let of = bar.len();
            return Err(wrong(format!("it says that {len} bytes lie at {offset} of its BAR {index}, which has {of}")));
        }
        if index == 0 && offset < 0x1000 + 2 * QUEUES * (4 << dstrd) {
            return Err(wrong(format!("it says that it lies at {offset} of BAR 0, where its registers are")));
        }
        if bar.mapped(offset, len).is_none() {
            return Err(wrong(format!("its BAR {index} cannot be mapped in one piece")));
        }
        let domain = function.domain().clone();
        let address = if found.fixed || domain.is_physical() {
            let address = bus_address(function, index)?.checked_add(offset).filter(|at| at.checked_add(len).is_some());
            let address = address.ok_or_else(|| wrong(format!("its BAR {index} lies nowhere")))?;
            if !domain.reserve_at(address, len) {
                return Err(wrong("memory of this process is mapped at the addresses that it answers to".to_owned()));
            }
            address
        } else {
            domain.reserve(len).ok_or_else(|| PciError::NoAddresses { function: function.name().to_owned(), bytes: len as usize })?
        };
        let pages = vec![false; (len / PAGE).min(PAGES) as usize];
        let memory = ControllerMemory {
            name: function.name().to_owned(),
            registers: registers.clone(),
            bar,
            domain,
            found,
            address,
            pages: pages.into(),
        };
        match memory.enable() {
            Ok(()) => Ok(Some(Arc::new(memory))),
            Err(error) => {
                memory.disable();
                Err(error)
            }
        }
    }

    /// Tells the controller of it again, as has to be done after each reset. May block.
    pub fn enable(&self) -> Result<(), PciError> {
        let wrong = |why: &str| PciError::unusable(&self.name, format!("its own memory cannot be used: {why}"));
        if !self.found.fixed {
            control(&self.registers, CmbControl::new().with_registers(true).with_enabled(true).with_page(self.address / PAGE));
            if CmbStatus::from_bits(self.registers.read32(register(Property::CMBSTS))).invalid() {
                return Err(wrong("it does not take the addresses that it is given"));
            }
        }
        if look(&self.registers, self.found.fixed) != self.found {
            return Err(wrong("it is another than before"));
        }
        // Once it is in use nothing is tried out in it.
        if self.lock().iter().any(|taken| *taken) {
            return Ok(());
        }
        let offset = self.place().0;
        for word in [0x0123_4567_89ab_cdef, 0] {
            self.bar.write64(offset, word);
            if self.bar.read64(offset) != word {
                return Err(wrong("it does not keep what is written to it"));
            }
        }
        Ok(())
    }

    /// Tells the controller that it has none. The controller is silent. May block.
    pub fn disable(&self) {
        if !self.found.fixed {
            control(&self.registers, CmbControl::new());
        }
        self.lock().clear();
        self.domain.release(self.address);
    }

    /// Bytes.
    pub fn bytes(&self) -> u64 {
        self.place().1
    }

    /// Bytes that rings lie in.
    pub fn used(&self) -> u64 {
        self.lock().iter().filter(|taken| **taken).count() as u64 * PAGE
    }

    fn place(&self) -> (u64, u64) {
        // It was found to have one.
        self.found.place().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<bool>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whole pages for a ring, if there are so many side by side.
    pub(super) fn take(self: &Arc<Self>, len: usize) -> Option<Room> {
        let count = len.div_ceil(PAGE as usize);
        let mut pages = self.lock();
        let first = (0..(pages.len() + 1).checked_sub(count)?).find(|first| pages.iter().skip(*first).take(count).all(|taken| !taken))?;
        let within = first as u64 * PAGE;
        let at = self.bar.mapped(self.place().0 + within, len as u64)?;
        pages.iter_mut().skip(first).take(count).for_each(|taken| *taken = true);
        Some(Room { memory: self.clone(), first, count, at, address: self.address + within })
    }
}

/// Where the bus sees a BAR (PCI Local Bus 3.0, 6.2.5.1).
fn bus_address(function: &dyn Function, index: u8) -> Result<u64, PciError> {
    let read = |index: u8| {
        let mut word = [0; 4];
        function.config_read(BARS + 4 * u16::from(index), &mut word).map(|()| u32::from_le_bytes(word))
    };
    let low = read(index)?;
    let is_wide = low & 6 == 4;
    let high = if is_wide && index < 5 { read(index + 1)? } else { 0 };
    match u64::from(high) << 32 | u64::from(low & !0xf) {
        0 => Err(PciError::unusable(function.name(), format!("its BAR {index} has no address on the bus"))),
        address => Ok(address),
    }
}

/// A piece of a controller's memory.
pub(super) struct Room {
    memory: Arc<ControllerMemory>,
    first: usize,
    count: usize,
    /// Where it is mapped.
    pub(super) at: NonNull<u8>,
    /// Where the controller knows it.
    pub(super) address: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.memory.lock().iter_mut().skip(self.first).take(self.count).for_each(|taken| *taken = false);
    }
}

#[cfg(test)]
mod tests;
