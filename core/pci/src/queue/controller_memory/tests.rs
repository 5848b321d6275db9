use super::super::{MemoryQueue, Pointing, QueueSpec};
use super::*;
use crate::{Area, Interrupts, IovaRange, Mapper, Trapped};
use doorbell_mem::{Backing, Foreign, Region, Regions, SgList};
use doorbell_wire_nvme::{IoCommand, Sqe, SqeWords, view};
use std::os::fd::BorrowedFd;

struct Anywhere;

impl Mapper for Anywhere {
    fn map(&self, _: &Region, _: u64) -> Result<(), PciError> {
        Ok(())
    }
    fn unmap(&self, _: u64, _: u64) -> bool {
        true
    }
}

/// What the registers say and were told.
#[derive(Default)]
struct Said {
    location: u32,
    size: u32,
    control: u64,
    /// It was there before anybody asked.
    fixed: bool,
    refuses: bool,
}

struct Registers(Arc<Mutex<Said>>);

impl Trapped for Registers {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), PciError> {
        let said = self.0.lock().unwrap();
        let shown = said.fixed || said.control & 1 == 1;
        let value = match Property(offset as u32) {
            Property::CAP => Cap::new().with_cmbs(!said.fixed).into_bits(),
            Property::CMBLOC if shown => said.location.into(),
            Property::CMBSZ if shown => said.size.into(),
            Property::CMBMSC => said.control,
            Property::CMBSTS => said.refuses.into(),
            _ => 0,
        };
        into.copy_from_slice(&value.to_le_bytes()[..into.len()]);
        Ok(())
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), PciError> {
        if (Property(offset as u32), from.len()) == (Property::CMBMSC, 8) {
            self.0.lock().unwrap().control = u64::from_le_bytes(from.try_into().unwrap());
        }
        Ok(())
    }
}

/// A function with registers in BAR 0 and 64 KiB of memory in BAR 2, which lies at 5_0000_0000h on the bus.
struct Fake {
    said: Arc<Mutex<Said>>,
    bars: [Arc<Bar>; 2],
    domain: Arc<Domain>,
    memory: Arc<Region>,
    regions: Regions,
}

const MEMORY: usize = 64 << 10;
const AT: u64 = 0x5_0000_0000;

fn fake(said: Said) -> Fake {
    let regions = Regions::new();
    let domain = Arc::new(Domain::mapped("test", &[IovaRange { first: 0, last: u64::MAX >> 8 }], Box::new(Anywhere)));
    regions.attach(domain.clone()).unwrap();
    let [bells, memory] = [4096, MEMORY].map(|len| regions.map(len, Backing::Ordinary, None).unwrap());
    let said = Arc::new(Mutex::new(said));
    let registers = Bar::new(8192, vec![Area::of_region(4096, bells).unwrap()], Some(Box::new(Registers(said.clone()))));
    let own = Bar::new(MEMORY as u64, vec![Area::of_region(0, memory.clone()).unwrap()], None);
    Fake { said, bars: [registers, own].map(Arc::new), domain, memory, regions }
}

impl Function for Fake {
    fn name(&self) -> &str {
        "fake"
    }
    fn config_read(&self, offset: u16, into: &mut [u8]) -> Result<(), PciError> {
        let word: u32 = match offset {
            0x18 => AT as u32 | 0xc,
            0x1c => (AT >> 32) as u32,
            _ => 0,
        };
        into.copy_from_slice(&word.to_le_bytes());
        Ok(())
    }
    fn config_write(&self, _: u16, _: &[u8]) -> Result<(), PciError> {
        Ok(())
    }
    fn bar(&self, index: u8) -> Result<Arc<Bar>, PciError> {
        match index {
            0 | 2 => Ok(self.bars[usize::from(index / 2)].clone()),
            _ => Err(PciError::unusable("fake", format!("it has no BAR {index}"))),
        }
    }
    fn interrupts(&self) -> Interrupts {
        Interrupts::None
    }
    fn set_interrupt(&self, _: u32, _: Option<BorrowedFd<'_>>) -> Result<(), PciError> {
        Ok(())
    }
    fn reset(&self) -> Result<(), PciError> {
        Ok(())
    }
    fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }
    fn leaving(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    fn is_leaving(&self) -> bool {
        false
    }
}

/// In BAR 2, `offset` and `units` in pages.
fn told(bar: u8, offset: u32, units: u32) -> Said {
    let location = CmbLocation::new().with_bar(bar).with_offset_units(offset).into_bits();
    Said { location, size: CmbSize::new().with_submission_queues(true).with_units(units).into_bits(), ..Said::default() }
}

fn queue(fake: &Fake, entries: u16) -> MemoryQueue<SgList> {
    let spec = QueueSpec { entries, pointing: Pointing::Prp, max_bytes: 1 << 17, node: None, backing: Backing::Ordinary };
    MemoryQueue::new(&fake.regions, &fake.domain, &fake.bars[0], &spec).unwrap()
}

#[test]
fn commands_lie_in_the_controller_at_the_addresses_that_it_was_told() {
    let fake = fake(told(2, 1, 8));
    let memory = ControllerMemory::find(&fake).unwrap().unwrap();
    let control = CmbControl::from_bits(fake.said.lock().unwrap().control);
    assert!(control.registers() && control.enabled() && memory.bytes() == 8 * 4096);
    // Nothing else is ever mapped there.
    assert!(!fake.domain.reserve_at(control.page() * 4096 + 8 * 4096 - 1, 1));
    let (mut first, mut second) = (queue(&fake, 256), queue(&fake, 16));
    assert!(first.place_submissions_in(&memory) && second.place_submissions_in(&memory));
    assert_eq!((first.addresses().0.address(), second.addresses().0.address()), (control.page() * 4096, control.page() * 4096 + 4 * 4096));
    assert_eq!(memory.used(), 5 * 4096);
    second.connect(2, 0, None).unwrap();
    assert!(!second.place_submissions_in(&memory), "one that is in use was moved");
    for nsid in 1..4u32 {
        second.submit(SgList::default(), &SqeWords::from(&IoCommand::Flush.encode().with_nsid(nsid))).unwrap();
        second.ring();
        let mut raw = [0; 64];
        Foreign::of(fake.memory.clone()).seg(5 * 4096 + u64::from(nsid - 1) * 64, 64).unwrap().read_at(0, &mut raw);
        assert_eq!(view::<Sqe>(&raw).unwrap().nsid(), nsid);
    }
    // Four pages are no more side by side, until the first queue goes.
    assert!(!queue(&fake, 256).place_submissions_in(&memory));
    drop(first);
    assert_eq!(memory.used(), 4096);
    assert!(queue(&fake, 256).place_submissions_in(&memory));
    // What the second queue has given to the controller and was not done stays where it is.
    drop(second);
    assert_eq!(memory.used(), 4096);
    fake.said.lock().unwrap().control = 0;
    memory.enable().unwrap();
    assert_eq!(fake.said.lock().unwrap().control, control.into_bits());
    memory.disable();
    assert_eq!(fake.said.lock().unwrap().control, 0);
    assert!(!queue(&fake, 16).place_submissions_in(&memory) && fake.domain.reserve_at(control.page() * 4096, 1));
}

#[test]
fn an_older_one_is_known_by_the_addresses_of_its_bar() {
    let fake = fake(Said { fixed: true, ..told(2, 4, 8) });
    let memory = ControllerMemory::find(&fake).unwrap().unwrap();
    let mut queue = queue(&fake, 64);
    assert!(queue.place_submissions_in(&memory));
    assert_eq!(queue.addresses().0.address(), AT + 4 * 4096);
    assert!(!fake.domain.reserve_at(AT + 4 * 4096, 1) && fake.said.lock().unwrap().control == 0);
    let again = ControllerMemory::find(&fake).map(drop).unwrap_err();
    assert!(again.to_string().contains("memory of this process is mapped"), "{again}");
}

#[test]
fn what_makes_no_sense_is_not_used() {
    let refused = |said: Said| {
        let fake = fake(said);
        let error = ControllerMemory::find(&fake).map(drop).unwrap_err().to_string();
        assert_eq!(fake.said.lock().unwrap().control, 0, "{error}");
        error
    };
    let absurd = CmbSize::new().with_submission_queues(true).with_unit_code(6).with_units((1 << 20) - 1).into_bits();
    for (said, words) in [
        (told(2, 9, 8), "32768 bytes lie at 36864 of its BAR 2, which has 65536"),
        (Said { size: absurd, ..told(2, (1 << 20) - 1, 1) }, "of its BAR 2, which has 65536"),
        (Said { size: absurd | 7 << 8, ..told(2, 0, 1) }, "code 7, which means nothing"),
        (told(3, 0, 1), "it has no BAR 3"),
        (told(0, 1, 1), "where its registers are"),
        (Said { refuses: true, ..told(2, 0, 1) }, "does not take the addresses"),
    ] {
        let error = refused(said);
        assert!(error.contains(words), "{error}");
    }
    for said in [Said::default(), Said { size: CmbSize::new().with_units(4).into_bits(), ..Said::default() }] {
        let fake = fake(said);
        assert!(ControllerMemory::find(&fake).unwrap().is_none());
        assert_eq!(fake.said.lock().unwrap().control, 0);
    }
}

#[test]
fn what_another_program_left_is_put_away() {
    let fake = fake(Said { control: 3 | 7 << 12, ..told(2, 0, 1) });
    ControllerMemory::put_away(&fake.bars[0]);
    assert_eq!(fake.said.lock().unwrap().control, 0);
}
