//! What the guest's programs do with a drive: bring its controller up with an admin queue, give it a command, wait for its interrupt.

use doorbell_mem::{Backing, Foreign, HugeSize, Regions, SgList};
use doorbell_pci::queue::{MemoryQueue, Pointing, QueueSpec};
use doorbell_pci::{Bar, Function, FunctionAddress, Interrupts, OpenOptions, PciError, Uevent, Uevents, open};
use doorbell_wire_nvme::register::{Aqa, Cap, Cc, Csts};
use doorbell_wire_nvme::{Sqe, SqeWords};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Registers (NVMe Base 2.1, 3.1.4).
const CAP: u64 = 0;
const VS: u64 = 8;
const CC: u64 = 0x14;
const CSTS: u64 = 0x1c;
const AQA: u64 = 0x24;
const ASQ: u64 = 0x28;
const ACQ: u64 = 0x30;
const ENTRIES: u16 = 16;
const PATIENCE: Duration = Duration::from_secs(60);

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

fn function() -> Result<Arc<dyn Function>, PciError> {
    let address: FunctionAddress = std::env::var("ADDRESS").unwrap().parse().unwrap();
    open(&address, &OpenOptions { allow_physical: is_set("PHYSICAL"), ..OpenOptions::default() })
}

fn backing() -> Backing {
    if is_set("HUGE") { Backing::Huge(HugeSize::TwoMiB) } else { Backing::Ordinary }
}

/// Until the descriptor is readable.
fn wait(fd: BorrowedFd<'_>, what: &str) {
    let limit = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    let n = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)).unwrap();
    assert!(n > 0, "not in time: {what}");
}

fn until(bar: &Bar, what: &str, is: impl Fn(Csts) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is(Csts::from_bits(bar.read32(CSTS))) {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::yield_now();
    }
}

/// Its memory, attached to the function.
fn attach(function: &Arc<dyn Function>) -> Result<Regions, Box<dyn std::error::Error>> {
    let regions = Regions::new();
    regions.attach(function.domain().clone())?;
    Ok(regions)
}

/// Takes an NVMe drive, gives it Identify with a buffer of 2 MiB mapped, waits for its interrupt, and lets it go.
pub(crate) fn drives() {
    let function = function().unwrap_or_else(|error| panic!("{error}"));
    let bar = function.bar(0).unwrap();
    let cap = Cap::from_bits(bar.read64(CAP));
    let version = bar.read32(VS);
    println!("{}: version {version:#x}, queues of {}, {:?}", function.name(), cap.mqes(), function.interrupts());
    assert!(version >= 0x1_0300 && version != u32::MAX && cap.mqes() > 15);
    assert!(bar.is_mapped(0, 0x1000) && bar.doorbell(0x1000).is_some());
    let regions = attach(&function).unwrap_or_else(|error| panic!("{error}"));
    let buffer = Foreign::of(regions.map(2 << 20, backing(), None).unwrap());
    let spec = QueueSpec { entries: ENTRIES, pointing: Pointing::Prp, max_bytes: 1 << 20, node: None, backing: backing() };
    let mut queue: MemoryQueue<SgList> = MemoryQueue::new(&regions, function.domain(), &bar, &spec).unwrap();

    function.set_bus_master(true).unwrap();
    bar.write32(CC, 0);
    until(&bar, "not ready", |csts| !csts.rdy());
    // Before the controller is enabled: QEMU's, once it has a completion queue, looks no more at whether there are vectors.
    let event = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let other = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    function.set_interrupt(0, Some(event.as_fd())).unwrap();
    if let Interrupts::Vectors(count) = function.interrupts() {
        // Another vector beside it, at the far end, does not disturb it.
        function.set_interrupt(count - 1, Some(other.as_fd())).unwrap();
        assert!(function.set_interrupt(count, Some(other.as_fd())).is_err());
    }
    let (sq, cq) = queue.addresses();
    println!("its rings are at {:#x}, {:#x}", sq.address(), cq.address());
    bar.write32(AQA, Aqa::new().with_asqs(ENTRIES - 1).with_acqs(ENTRIES - 1).into_bits());
    bar.write64(ASQ, sq.address());
    bar.write64(ACQ, cq.address());
    bar.write32(CC, Cc::new().with_en(true).with_iosqes(6).with_iocqes(4).into_bits());
    until(&bar, "ready", |csts| csts.rdy() || csts.cfs());
    queue.connect(0, cap.dstrd(), None).unwrap();

    for turn in 0..3u64 {
        identify(&mut queue, &buffer, turn * 0x3000);
        wait(event.as_fd(), "its interrupt");
        drain(event.as_fd());
        let mut back = Vec::new();
        let end = Instant::now() + PATIENCE;
        while back.is_empty() {
            assert!(Instant::now() < end, "not in time: a completion");
            queue.reap(8, |leaving, cqe| {
                leaving.take();
                back.push(cqe.status());
            });
        }
        assert!(back.len() == 1 && back[0].is_ok(), "{back:?}");
        let mut serial = [0; 5];
        buffer.seg(turn * 0x3000, 4096).unwrap().read_at(4, &mut serial);
        assert_eq!(&serial, b"fixed");
        function.rearm().unwrap();
    }
    function.set_interrupt(0, None).unwrap();
    bar.write32(CC, 0);
    until(&bar, "not ready", |csts| !csts.rdy());
    assert!(bar.note_silence() && queue.reclaim().is_some_and(|left| left.is_empty()));
    assert!(!function.is_leaving());
    function.reset().unwrap();
    assert_eq!(Cap::from_bits(bar.read64(CAP)).mqes(), cap.mqes(), "it answers after a reset");
    println!("-- driven");
}

fn identify(queue: &mut MemoryQueue<SgList>, buffer: &Foreign, at: u64) {
    let mut list = SgList::default();
    list.push(buffer.seg(at, 4096).unwrap());
    // Identify (06h), of the controller (01h).
    let mut sqe = Sqe::new(6);
    sqe.cdw10 = 1.into();
    queue.submit(list, &SqeWords::from(&sqe)).map_err(|(_, why)| why).unwrap();
    queue.ring();
}

/// Empties an eventfd that has been written to.
fn drain(event: BorrowedFd<'_>) {
    let mut fds = [PollFd::new(&event, PollFlags::IN)];
    if poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0 {
        rustix::io::read(event, &mut [0; 8]).unwrap();
    }
}

/// Has a drive open until it is asked for it; then looks at registers that went away, and lets go.
pub(crate) fn holds() {
    let mut events = Uevents::open().unwrap();
    let function = function().unwrap_or_else(|error| panic!("{error}"));
    let bar = function.bar(0).unwrap();
    assert!(bar.read32(VS) != u32::MAX && !function.is_leaving());
    println!("-- holds");
    wait(function.leaving().unwrap(), "the drive is asked for");
    assert!(function.is_leaving());
    if is_set("PHYSICAL") {
        // Uio does not wait for us, and leaves the mapping to what the bus answers: QEMU's gives what was there, and then zeroes.
        removed(&mut events);
        bar.read32(VS);
        assert!(function.config_read(0, &mut [0; 2]).is_err());
        return println!("-- let go");
    }
    // Memory accesses off: the kernel takes the mapping away, and a touch would be the end of the process.
    function.config_write(4, &0u16.to_le_bytes()).unwrap();
    is_all_ones(&bar);
    drop((bar, function));
    removed(&mut events);
    println!("-- let go");
}

fn is_all_ones(bar: &Bar) {
    assert_eq!((bar.read32(VS), bar.read64(CAP)), (u32::MAX, u64::MAX));
    bar.write32(CC, 1);
}

/// Until the kernel says that the drive has gone.
fn removed(events: &mut Uevents) {
    let address = std::env::var("ADDRESS").unwrap().parse().unwrap();
    let end = Instant::now() + PATIENCE;
    loop {
        wait(events.as_fd(), "its removal is told");
        while let Some(event) = events.take().unwrap() {
            println!("{event:?}");
            if event == Uevent::Removed(address) {
                return;
            }
        }
        assert!(Instant::now() < end, "not in time: its removal is told");
    }
}

/// Opening it, or giving it memory, fails in words that hold `REFUSAL`.
pub(crate) fn is_refused() {
    let wanted = std::env::var("REFUSAL").unwrap();
    let tried = || -> Result<_, Box<dyn std::error::Error>> {
        let function = function()?;
        let regions = attach(&function)?;
        Ok(regions.map(2 << 20, Backing::Ordinary, None)?)
    };
    let said = match tried() {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.to_string(),
    };
    println!("{said}");
    assert!(said.contains(&wanted), "{said}");
}
