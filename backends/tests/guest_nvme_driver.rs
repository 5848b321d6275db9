//! The NVMe driver over VFIO, in a guest with an emulated IOMMU, and over uio in one without: QEMU's controllers, taken from the kernel and
//! given back.
//!
//! The test boots a guest that runs this same binary again, inside.

mod in_guest;
#[allow(dead_code, reason = "shared with the unit tests")]
#[path = "../src/model.rs"]
mod model;

#[path = "guest_nvme_driver/metadata.rs"]
mod metadata;

use doorbell_block::{BlockDevice, BlockQueue, Cx, DeviceInfo, Flags, Op, OpSet, OpenError, Status, Token};
use doorbell_nvme::{Controller, Env, Namespace, Options, Payload, State};
use doorbell_pci::sysfs::Sysfs;
use doorbell_reactor::{AsyncQueue, Local};
use doorbell_wire_nvme::{AdminCommand, GetLogPage, LogId, NSID_ALL};
use in_guest::{By, INSIDE, attach, on_reactors, take};
use std::cell::Cell;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// Several namespaces of 512 and 4096 bytes, one with protection information, on a controller that takes 512 KiB at once.
const FIRST: &str = "0000:00:04.0";
/// One namespace, 16 KiB at once, a controller memory buffer where its submission queues lie.
const SECOND: &str = "0000:00:05.0";

/// Boots a guest that runs the test `name` of this binary again.
fn in_a_guest(name: &str, by: By) {
    let devices = [
        "nvme,id=first,serial=first,mdts=7,max_ioqpairs=8,ioeventfd=off,addr=04.0",
        "nvme-ns,bus=first,drive=plain,nsid=1,logical_block_size=512,physical_block_size=512",
        "nvme-ns,bus=first,drive=large,nsid=2,logical_block_size=4096,physical_block_size=4096",
        "nvme-ns,bus=first,drive=protected,nsid=5,logical_block_size=4096,physical_block_size=4096,ms=8,pi=1",
        "nvme,id=second,serial=second,mdts=2,cmb_size_mb=2,ioeventfd=off,drive=small,addr=05.0",
    ];
    in_guest::boot(name, by, &["plain", "large", "protected", "small"], &devices);
}

/// What the model takes to be there at first.
async fn zero(local: &Local, device: Arc<dyn BlockDevice>) {
    let (blocks, shift) = (device.info().blocks, device.info().block_shift);
    let queue = AsyncQueue::open(local, device, 4).await.unwrap();
    // The largest request of the smaller controller.
    let zeroes = local.with(|cx| cx.buffer(16 << 10).unwrap()).await;
    zeroes.fill(0, zeroes.len(), 0);
    let step = zeroes.len() >> shift;
    for lba in (0..blocks).step_by(step as usize) {
        let blocks = step.min((blocks - lba) as u32);
        let status = model::transfer(&queue, Op::Write, Flags::NONE, lba, blocks, vec![zeroes.slice(0, blocks << shift)]).await;
        assert_eq!(status, Status::Ok);
    }
}

/// A namespace that reads, writes and flushes, and nothing else: a reset while QEMU 7.2 copies, compares or discards can crash it.
struct Plain(Arc<Namespace>);

impl BlockDevice for Plain {
    fn info(&self) -> Arc<DeviceInfo> {
        Arc::new(DeviceInfo { ops: OpSet::of(&[Op::Read, Op::Write, Op::Flush, Op::Reset]), ..(*self.0.info()).clone() })
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        self.0.open(cx, who, depth)
    }
}

async fn exercise(env: &Env, namespace: Arc<dyn BlockDevice>, seed: u64) {
    let info = namespace.info();
    println!("{} blocks of {}, {:?} {:?}", info.blocks, info.block_size(), info.ops, info.limits);
    zero(&env.local, namespace.clone()).await;
    // What the block layer would do with the limits is done here by it: the namespace is put behind the layer's own queue.
    let registry = doorbell_bdev::Registry::new();
    let bdev = doorbell_bdev::NewBdev {
        name: "disk".to_owned(),
        aliases: vec![],
        uuid: doorbell_control::Uuid::from_bytes([seed as u8; 16]),
        product: "test",
        module: "test",
        device: namespace,
        driver_specific: Box::new(|| serde_json::Value::Null),
        created_by: None,
    };
    registry.register(bdev).unwrap();
    let handle = registry.open("disk", doorbell_bdev::Access::Write, Box::new(|_| {})).unwrap();
    model::exercise(&env.local, handle, 8, 40, seed).await;
}

fn everything(name: &str, by: By) {
    if env::var_os(INSIDE).is_none() {
        return in_a_guest(name, by);
    }
    let (first, second) = (take(FIRST), take(SECOND));
    on_reactors(move |env| async move {
        let controller = attach(&env, first, Options::default()).await;
        let identity = controller.identity().unwrap();
        assert_eq!((identity.serial.as_str(), identity.raw.mdts), ("first", 7));
        let found: Vec<u32> = controller.namespaces().iter().map(|n| n.nsid()).collect();
        assert_eq!(found, [1, 2, 5]);
        assert_eq!(controller.namespaces()[2].described().format.protection, 1);
        for (n, namespace) in controller.namespaces().into_iter().enumerate() {
            exercise(&env, namespace, n as u64 + 1).await;
        }
        let health = GetLogPage { lid: LogId::SMART, len: 512, ..GetLogPage::default() };
        let answer = controller.admin(AdminCommand::GetLogPage(health).encode().with_nsid(NSID_ALL), Payload::In(512)).await.unwrap();
        assert!(answer.cqe.status().is_ok() && answer.data.len() == 512);
        assert_eq!(exercise_through_resets(&env, &controller).await, None);
        assert_eq!(controller.state(), State::Live);

        let other = attach(&env, second, Options { use_interrupts: false, use_cmb_sqs: true, ..Options::default() }).await;
        assert_eq!(other.namespaces()[0].info().limits.transfer_blocks, 32);
        exercise(&env, other.namespaces()[0].clone(), 11).await;
        let ring = 64 * u64::from(Options::default().io_queue_entries);
        assert_eq!(exercise_through_resets(&env, &other).await, Some(ring), "its submission queue lies elsewhere");
        assert_eq!(other.state(), State::Live);
        let written = mark(&env.local, controller.namespaces()[0].clone()).await;
        other.detach().await;
        controller.detach().await;
        assert!(written);
    });
    // The kernel's own driver reads what was written.
    Sysfs::new().unbind(first, false).unwrap();
    let disk = wait_for_disk();
    let mut bytes = vec![0; 4096];
    use std::io::Read;
    File::open(disk).unwrap().read_exact(&mut bytes).unwrap();
    assert!(bytes.iter().all(|b| *b == 0x5a), "the kernel reads other bytes than were written");
}

/// A verified load during which the controller is reset again and again: nothing fails, nothing is lost.
/// Gives the bytes of the controller's own memory that its queues took after a reset.
async fn exercise_through_resets(env: &Env, controller: &Controller) -> Option<u64> {
    let (done, resets) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    let taken = Rc::new(Cell::new(None));
    let seen = taken.clone();
    let (stop, count, local, resetting) = (done.clone(), resets.clone(), env.local.clone(), controller.clone());
    env.local.spawn(async move {
        while !stop.get() {
            resetting.reset().await.unwrap();
            count.set(count.get() + 1);
            seen.set(seen.get().max(resetting.controller_memory().map(|(_, used)| used)));
            local.sleep_ns(100_000_000).await;
        }
        stop.set(false);
    });
    exercise(env, Arc::new(Plain(controller.namespaces()[0].clone())), 9).await;
    done.set(true);
    while done.get() {
        env.local.sleep_ns(10_000_000).await;
    }
    println!("{} resets", resets.get());
    assert!(resets.get() > 0);
    taken.get()
}

/// The kernel asks for the device back under load: every request ends, and the driver lets go.
#[test]
fn a_device_that_is_asked_back_under_load() {
    if env::var_os(INSIDE).is_none() {
        return in_a_guest("a_device_that_is_asked_back_under_load", By::Narrow);
    }
    let first = take(FIRST);
    let removed = std::thread::spawn(|| {
        std::thread::park();
        fs::write(format!("/sys/bus/pci/devices/{FIRST}/remove"), "1").unwrap();
    });
    let kernel = removed.thread().clone();
    on_reactors(move |env| async move {
        let controller = attach(&env, first, Options::default()).await;
        let queue = AsyncQueue::open(&env.local, controller.namespaces()[1].clone(), 4).await.unwrap();
        let buffer = env.local.with(|cx| cx.buffer(4096).unwrap()).await;
        let until = env.local.now().after(60_000_000_000);
        let mut ends = vec![];
        for n in 0u64.. {
            if n == 100 {
                kernel.unpark();
            }
            let op = if n % 2 == 0 { Op::Write } else { Op::Read };
            ends.push(model::transfer(&queue, op, Flags::NONE, n % 100, 1, vec![buffer.clone()]).await);
            if ends.last() == Some(&Status::Gone) {
                break;
            }
            assert!(env.local.now() < until, "it does not go");
        }
        assert!(ends[..100].iter().all(|status| *status == Status::Ok));
        println!("gone after {} requests", ends.len());
        assert_eq!(controller.state(), State::Gone);
    });
    removed.join().unwrap();
    assert!(!Path::new("/sys/bus/pci/devices").join(FIRST).exists());
}

/// Writes 4 KiB of 5Ah to the first blocks, durably.
async fn mark(local: &Local, device: Arc<dyn BlockDevice>) -> bool {
    let blocks = 4096u32 >> device.info().block_shift;
    let queue = AsyncQueue::open(local, device, 1).await.unwrap();
    let buffer = local.with(|cx| cx.buffer(4096).unwrap()).await;
    buffer.fill(0, 4096, 0x5a);
    let status = model::transfer(&queue, Op::Write, Flags::FUA, 0, blocks, vec![buffer]).await;
    status == Status::Ok && queue.control(Op::Flush, 0, 0).await == Status::Ok
}

/// The kernel's name of the first namespace, once it has it back.
fn wait_for_disk() -> PathBuf {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        for entry in fs::read_dir("/sys/class/nvme").into_iter().flatten().flatten() {
            let serial = fs::read_to_string(entry.path().join("serial")).unwrap_or_default();
            let name = entry.file_name().to_string_lossy().into_owned();
            let disk = PathBuf::from(format!("/dev/{name}n1"));
            if serial.trim() == "first" && disk.exists() {
                return disk;
            }
        }
        assert!(std::time::Instant::now() < until, "the kernel's driver did not come back");
        std::thread::yield_now();
    }
}

#[test]
fn qemus_controllers_over_vfio_with_39_bits() {
    everything("qemus_controllers_over_vfio_with_39_bits", By::Narrow);
}

#[test]
fn qemus_controllers_over_vfio_with_48_bits() {
    everything("qemus_controllers_over_vfio_with_48_bits", By::Wide);
}

#[test]
fn qemus_controllers_over_uio() {
    everything("qemus_controllers_over_uio", By::Uio);
}
