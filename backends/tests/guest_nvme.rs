//! The file back ends over a real NVMe disk's driver, in a guest: with interrupts, with io_uring polling the device, and when it vanishes.
//!
//! The test boots a guest that runs this same binary again, inside.

#[allow(dead_code, reason = "shared with the unit tests")]
#[path = "../src/model.rs"]
mod model;

use doorbell_backends::aio::Aio;
use doorbell_backends::file::FileOptions;
use doorbell_backends::uring::{Completions, Uring};
use doorbell_block::{BlockDevice, Flags, Op, Status};
use doorbell_reactor::AsyncQueue;
use doorbell_sys::helper::Helpers;
use doorbell_vm::Guest;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const DISK: &str = "DOORBELL_TEST_DISK";

/// Boots a guest with an NVMe disk that runs the test `name` of this binary again.
fn in_a_guest(name: &str) {
    let folder: PathBuf = doorbell_vm::cache().join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let image = folder.join("disk");
    File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let drive = format!("if=none,id=disk,format=raw,file={}", image.display());
    let qemu = ["-drive", &drive, "-device", "nvme,serial=doorbell,drive=disk"].map(String::from);
    let exe = env::current_exe().unwrap();
    let script = format!(
        "modprobe nvme poll_queues=1 && for n in $(seq 100); do [ -b /dev/nvme0n1 ] && break; sleep 0.1; done
        echo 'write back' > /sys/block/nvme0n1/queue/write_cache
        {} --exact {name} --nocapture",
        exe.display()
    );
    let output = Guest::new().qemu(qemu).env(DISK, "/dev/nvme0n1").run(&script);
    let _ = fs::remove_dir_all(&folder);
    let output = output.expect("a guest");
    assert!(output.success() && output.stdout.contains("1 passed"), "{output}");
    eprintln!("{}", output.stdout);
}

#[test]
fn an_nvme_disk_is_served_by_every_way_to_it() {
    let Some(disk) = env::var_os(DISK) else { return in_a_guest("an_nvme_disk_is_served_by_every_way_to_it") };
    let options = FileOptions { unmap: true, ..FileOptions::new(&disk) };
    let polls = fs::read_to_string("/sys/block/nvme0n1/queue/io_poll").unwrap();
    assert_eq!(polls.trim(), "1", "the disk has poll queues");
    for way in 0..3u64 {
        let options = options.clone();
        model::on_reactors(1, move |local| async move {
            let helpers = Helpers::new(2).unwrap();
            let device = open_by(way, &options, &helpers).unwrap();
            // The model begins with zeroes.
            let queue = AsyncQueue::open(&local, device.clone(), 1).await.unwrap();
            let blocks = device.info().blocks as u32;
            let zeroes = local.with(|cx| cx.buffer(1 << 20).unwrap()).await;
            zeroes.fill(0, zeroes.len(), 0);
            for lba in (0..blocks).step_by(2048) {
                let status = model::transfer(&queue, Op::Write, Flags::NONE, lba.into(), 2048, vec![zeroes.clone()]).await;
                assert_eq!(status, Status::Ok);
            }
            drop((queue, zeroes));
            model::exercise(&local, device.clone(), 8, 40, way + 1).await;
            println!("way {way}: {} blocks, {:?}", blocks, device.info().ops);
        });
        // Closed, it is free as soon as the kernel's own workers have let go of it, for those too who are less patient than a back end.
        let exclusive = rustix::fs::OFlags::EXCL.bits().cast_signed();
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Err(error) = OpenOptions::new().read(true).write(true).custom_flags(exclusive).open(&disk) {
            assert!(Instant::now() < deadline, "after way {way}: {error}");
            std::thread::yield_now();
        }
    }
}

fn open_by(way: u64, options: &FileOptions, helpers: &Helpers) -> Result<Arc<dyn BlockDevice>, String> {
    let told = |e: &dyn std::fmt::Debug| format!("{e:?}");
    Ok(match way {
        0 => Arc::new(Aio::open(options, helpers).map_err(|e| told(&e))?),
        1 => Arc::new(Uring::open(options, Completions::Interrupts, helpers).map_err(|e| told(&e))?),
        _ => Arc::new(Uring::open(options, Completions::Polled, helpers).map_err(|e| told(&e))?),
    })
}

/// The controller is taken away under load: every request ends, and what comes after says that the device has gone.
#[test]
fn a_disk_that_vanishes_ends_every_request() {
    let Some(disk) = env::var_os(DISK) else { return in_a_guest("a_disk_that_vanishes_ends_every_request") };
    let options = FileOptions::new(&disk);
    model::on_reactors(1, move |local| async move {
        let helpers = Helpers::new(2).unwrap();
        let aio: Arc<dyn BlockDevice> = Arc::new(Aio::open(&options, &helpers).unwrap());
        let queue = AsyncQueue::open(&local, aio, 4).await.unwrap();
        let buffer = local.with(|cx| cx.buffer(4096).unwrap()).await;
        let mut ends = vec![];
        for n in 0..200u64 {
            if n == 20 {
                let gone = helpers.call(Box::new(|| fs::write("/sys/class/nvme/nvme0/device/remove", "1").unwrap()));
                assert!(gone.is_ok());
            }
            let op = if n % 2 == 0 { Op::Read } else { Op::Write };
            ends.push(model::transfer(&queue, op, Flags::NONE, n * 8, 8, vec![buffer.clone()]).await);
            if ends.last() != Some(&Status::Ok) && n > 100 {
                break;
            }
            local.sleep_ns(5_000_000).await;
        }
        println!("{ends:?}");
        assert!(ends[..20].iter().all(|status| *status == Status::Ok));
        assert_eq!(ends.last(), Some(&Status::Gone));
    });
}
