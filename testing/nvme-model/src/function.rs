//! The function that the driver opens: registers by call, doorbells in shared memory, I/O addresses of the driver's choice.

use crate::model::Model;
use doorbell_mem::Region;
use doorbell_pci::{Area, Bar, Domain, Function, Interrupts, IovaRange, Mapper, PciError, Trapped};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) const NAME: &str = "model";
/// Where doorbells begin.
const DOORBELLS: u64 = 0x1000;

pub(crate) fn lock(model: &Mutex<Model>) -> MutexGuard<'_, Model> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A model as a PCI function.
pub struct SimFunction {
    model: Arc<Mutex<Model>>,
    bar: Arc<Bar>,
    domain: Arc<Domain>,
}

fn gone() -> PciError {
    PciError::Gone { function: NAME.to_owned() }
}

struct Registers(Arc<Mutex<Model>>);

impl Trapped for Registers {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), PciError> {
        let mut model = lock(&self.0);
        if !model.access() {
            return Err(gone());
        }
        let value = model.read_register(offset).to_le_bytes();
        into.iter_mut().zip(value).for_each(|(to, from)| *to = from);
        Ok(())
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), PciError> {
        let mut model = lock(&self.0);
        if !model.access() {
            return Err(gone());
        }
        let mut value = [0; 8];
        value.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        model.write_register(offset, u64::from_le_bytes(value));
        Ok(())
    }
}

struct Maps(Arc<Mutex<Model>>);

impl Mapper for Maps {
    fn map(&self, region: &Region, iova: u64) -> Result<(), PciError> {
        lock(&self.0).memory.map(NAME, region, iova)
    }

    fn unmap(&self, iova: u64, _len: u64) -> bool {
        lock(&self.0).memory.unmap(iova);
        true
    }
}

impl SimFunction {
    /// The function of a model.
    pub fn new(model: &Arc<Mutex<Model>>) -> Option<Arc<SimFunction>> {
        let doorbells = Area::of_region(DOORBELLS, lock(model).doorbells())?;
        let bar = Bar::new(0x4000, vec![doorbells], Some(Box::new(Registers(model.clone()))));
        let usable = [IovaRange { first: 0, last: (1 << 39) - 1 }];
        let domain = Arc::new(Domain::mapped(NAME, &usable, Box::new(Maps(model.clone()))));
        Some(Arc::new(SimFunction { model: model.clone(), bar: Arc::new(bar), domain }))
    }
}

impl Function for SimFunction {
    fn name(&self) -> &str {
        NAME
    }

    fn config_read(&self, _offset: u16, into: &mut [u8]) -> Result<(), PciError> {
        into.fill(0);
        if lock(&self.model).is_gone() { Err(gone()) } else { Ok(()) }
    }

    fn config_write(&self, _offset: u16, _from: &[u8]) -> Result<(), PciError> {
        if lock(&self.model).is_gone() { Err(gone()) } else { Ok(()) }
    }

    fn set_bus_master(&self, on: bool) -> Result<(), PciError> {
        let mut model = lock(&self.model);
        model.bus_master = on;
        if model.is_gone() { Err(gone()) } else { Ok(()) }
    }

    fn bar(&self, index: u8) -> Result<Arc<Bar>, PciError> {
        if index == 0 { Ok(self.bar.clone()) } else { Err(PciError::unusable(NAME, "it has one BAR")) }
    }

    fn interrupts(&self) -> Interrupts {
        match lock(&self.model).vectors() {
            0 => Interrupts::None,
            n => Interrupts::Vectors(n.into()),
        }
    }

    fn set_interrupt(&self, vector: u32, notify: Option<BorrowedFd<'_>>) -> Result<(), PciError> {
        let notify = notify.map(|fd| fd.try_clone_to_owned()).transpose().map_err(|e| PciError::system(NAME, "share an eventfd", e))?;
        let mut model = lock(&self.model);
        if model.is_gone() {
            return Err(gone());
        }
        if model.set_vector(vector, notify) { Ok(()) } else { Err(PciError::unusable(NAME, "it has no such interrupt")) }
    }

    fn reset(&self) -> Result<(), PciError> {
        let mut model = lock(&self.model);
        if model.is_gone() {
            return Err(gone());
        }
        if model.reset_function() { Ok(()) } else { Err(PciError::unusable(NAME, "it cannot be reset")) }
    }

    fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }

    fn leaving(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn is_leaving(&self) -> bool {
        lock(&self.model).is_leaving()
    }
}
