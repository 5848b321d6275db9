use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::io::Errno;

use super::{
    Access, Direct, FileOp, Found, Holder, Holders, Kind, OpKind, OpenError, OpenOptions, Target,
    geometry::{Queue, queue_dir},
    holders::{Device, Roots, mounts, parse_numbers, swaps, unescape},
    open::patiently,
};
use crate::temp::TempDir;

const MIB: u64 = 1 << 20;

fn made(dir: &TempDir, name: &str) -> (PathBuf, Target) {
    let path = dir.path().join(name);
    let target = Target::open(&path, &OpenOptions { create_bytes: Some(MIB), ..Default::default() }).unwrap();
    (path, target)
}

fn read_only() -> OpenOptions {
    OpenOptions { access: Access::ReadOnly, ..Default::default() }
}

#[test]
fn a_file_is_made_grown_and_never_cut() {
    use std::os::unix::fs::MetadataExt;
    let dir = TempDir::new();
    let (path, target) = made(&dir, "a");
    assert_eq!((target.kind(), target.current_size().unwrap(), target.geometry().size_bytes), (Kind::File, MIB, MIB));
    let found = fs::metadata(&path).unwrap();
    assert_eq!(found.mode() & 0o777, 0o600, "nobody else's business");
    assert_eq!(found.blocks(), 0, "sparse");
    drop(target);
    for (asked, got) in [(2 * MIB, 2 * MIB), (MIB, 2 * MIB)] {
        let target = Target::open(&path, &OpenOptions { create_bytes: Some(asked), ..Default::default() }).unwrap();
        assert_eq!(target.geometry().size_bytes, got);
    }
    let target = Target::open(&path, &OpenOptions::default()).unwrap();
    target.grow(MIB).unwrap();
    assert_eq!(target.current_size().unwrap(), 2 * MIB);
    target.grow(3 * MIB).unwrap();
    assert_eq!(target.current_size().unwrap(), 3 * MIB);
    assert_eq!(target.geometry().size_bytes, 2 * MIB, "as it was opened");
    // Shrunk by somebody else: seen.
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(512).unwrap();
    assert_eq!(target.current_size().unwrap(), 512);
}

#[test]
fn who_made_it_can_take_it_back_and_who_was_refused_left_nothing() {
    let dir = TempDir::new();
    let path = dir.path().join("a");
    let sized = |bytes| OpenOptions { create_bytes: Some(bytes), ..Default::default() };
    let target = Target::open(&path, &sized(MIB)).unwrap();
    assert_eq!(target.found(), Found::Made);
    target.undo(&path);
    assert!(!path.exists());
    // A size that no file has.
    assert!(Target::open(&path, &sized(u64::MAX)).is_err());
    assert!(!path.exists(), "the empty file would be in the way");
    // As a crash between making and sizing leaves it.
    fs::write(&path, b"").unwrap();
    let target = Target::open(&path, &sized(MIB)).unwrap();
    assert_eq!((target.found(), target.geometry().size_bytes), (Found::Smaller { bytes: 0 }, MIB));
    drop(target);
    let target = Target::open(&path, &sized(2 * MIB)).unwrap();
    assert_eq!(target.found(), Found::Smaller { bytes: MIB });
    target.undo(&path);
    let target = Target::open(&path, &sized(MIB)).unwrap();
    assert_eq!((target.found(), target.geometry().size_bytes), (Found::AsItIs, MIB));
    target.undo(&path);
    assert!(path.exists());
}

#[test]
fn what_somebody_holds_is_not_grown() {
    let dir = TempDir::new();
    let (path, target) = made(&dir, "a");
    let more = OpenOptions { create_bytes: Some(2 * MIB), ..Default::default() };
    assert!(matches!(Target::open(&path, &more), Err(OpenError::Busy { .. })));
    assert_eq!(target.current_size().unwrap(), MIB);
}

/// Force takes what somebody has; what nobody has it keeps others away from.
#[test]
fn who_forces_his_way_in_holds_it_where_he_can() {
    let dir = TempDir::new();
    let (path, target) = made(&dir, "a");
    drop(target);
    let forced = Target::open(&path, &OpenOptions { force: true, ..Default::default() }).unwrap();
    assert!(matches!(Target::open(&path, &OpenOptions::default()), Err(OpenError::Busy { .. })));
    drop(forced);
}

#[test]
fn what_is_no_storage_is_refused() {
    let dir = TempDir::new();
    let open = |path: &Path, options: &OpenOptions| Target::open(path, options).unwrap_err();
    assert!(matches!(open(&dir.path().join("none"), &OpenOptions::default()), OpenError::NotFound(_)));
    assert!(matches!(open(&dir.path().join("none"), &OpenOptions { create_bytes: Some(1), ..read_only() }), OpenError::NotFound(_)));
    assert!(!dir.path().join("none").exists());
    assert!(matches!(open(dir.path(), &OpenOptions::default()), OpenError::NotStorage(_)));
    assert!(matches!(open(Path::new("/dev/null"), &OpenOptions::default()), OpenError::NotStorage(_)));
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert!(matches!(open(&fifo, &OpenOptions::default()), OpenError::NotStorage(_)), "and opening it did not block");
    let (path, target) = made(&dir, "a");
    drop(target);
    let error = open(&path, &OpenOptions { create_bytes: Some(2 * MIB), ..read_only() });
    assert!(matches!(error, OpenError::TooSmall { size_bytes: MIB, .. }), "{error}");
}

#[test]
fn writers_exclude_everybody_and_readers_writers() {
    let dir = TempDir::new();
    let (path, writer) = made(&dir, "a");
    for options in [OpenOptions::default(), read_only()] {
        let error = Target::open(&path, &options).unwrap_err();
        let OpenError::Busy { who, .. } = &error else { panic!("{error}") };
        let [Holder::Process { pid, .. }] = who.0[..] else { panic!("{who:?}") };
        assert_eq!(pid, std::process::id());
        assert!(error.to_string().contains(&format!("process {pid} (")), "{error}");
        Target::open(&path, &OpenOptions { force: true, ..options }).unwrap();
    }
    let handle = writer.handle().clone();
    drop(writer);
    assert!(Target::open(&path, &read_only()).is_err(), "a handle keeps it");
    drop(handle);
    let readers = [Target::open(&path, &read_only()).unwrap(), Target::open(&path, &read_only()).unwrap()];
    assert!(matches!(Target::open(&path, &OpenOptions::default()), Err(OpenError::Busy { .. })));
    drop(readers);
    Target::open(&path, &OpenOptions::default()).unwrap();
}

/// What nobody seems to have is tried again, so many times; what somebody has is his.
#[test]
fn what_the_kernel_has_yet_to_let_go_of_is_tried_again() {
    let busy = |who| OpenError::Busy { path: "disk".into(), who: Holders(who) };
    let (mut attempts, mut pauses) = (0, 0);
    let late = || {
        attempts += 1;
        if attempts < 4 { Err(busy(vec![])) } else { Ok(attempts) }
    };
    assert_eq!(patiently(late, || pauses += 1).unwrap(), 4);
    assert_eq!(pauses, 3);
    let mut attempts = 0;
    let never = || -> Result<(), OpenError> {
        attempts += 1;
        Err(busy(vec![]))
    };
    assert!(matches!(patiently(never, || {}), Err(OpenError::Busy { .. })));
    assert_eq!(attempts, 41);
    let held = || -> Result<(), OpenError> { Err(busy(vec![Holder::Process { pid: 1, name: "init".into() }])) };
    assert!(patiently(held, || panic!("there is nothing to wait for")).is_err());
}

/// A classic POSIX lock of another process: the kernel tells whose.
#[test]
fn a_lock_of_another_process_is_named() {
    let dir = TempDir::new();
    let (path, target) = made(&dir, "a");
    drop(target);
    let script = "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint('locked',flush=True)\nsys.stdin.read()";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(&path).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return eprintln!("no python3 to hold a lock: {error}"),
    };
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
    let error = Target::open(&path, &OpenOptions::default());
    drop(child.stdin.take());
    let pid = child.id();
    child.wait().unwrap();
    let Err(OpenError::Busy { who, .. }) = error else { panic!("{error:?}") };
    assert!(matches!(who.0[..], [Holder::Process { pid: holder, .. }] if holder == pid), "{who:?}");
}

#[test]
fn direct_or_not() {
    let dir = TempDir::new();
    let (path, target) = made(&dir, "a");
    let (direct, geometry) = (target.is_direct(), target.geometry().clone());
    drop(target);
    let require = OpenOptions { direct: Direct::Require, ..Default::default() };
    match Target::open(&path, &require) {
        Ok(target) => {
            assert!(direct && target.is_direct());
            assert!(geometry.offset_align_bytes >= 512 && geometry.memory_align_bytes >= 1, "{geometry:?}");
            assert!(geometry.offset_align_bytes.is_power_of_two() && geometry.logical_block_bytes == geometry.offset_align_bytes);
            // What it says is enough is enough, and half of it is not.
            let align = geometry.offset_align_bytes as usize;
            let buffer = vec![0u8; 8192];
            let start = buffer.as_ptr().align_offset(4096);
            target.write_at(0, &buffer[start..start + align]).unwrap();
            assert!(target.write_at(0, &buffer[start..start + align / 2]).is_err());
        }
        Err(error) => assert!(matches!(error, OpenError::NoDirect(_)) && !direct, "{error}"),
    }
    let buffered = Target::open(&path, &OpenOptions { direct: Direct::Off, ..Default::default() }).unwrap();
    assert!(!buffered.is_direct());
    assert_eq!((buffered.geometry().offset_align_bytes, buffered.geometry().memory_align_bytes), (1, 1));
    assert_eq!(buffered.geometry().logical_block_bytes, 512);
    buffered.write_at(7, b"odd").unwrap();
    assert!(geometry.needs_sync && buffered.geometry().needs_sync, "always, for a file");
}

#[test]
fn operations_and_holes() {
    let dir = TempDir::new();
    let path = dir.path().join("a");
    let options = OpenOptions { direct: Direct::Off, create_bytes: Some(MIB), ..Default::default() };
    let target = Target::open(&path, &options).unwrap();
    assert_eq!(target.next_data(0).unwrap(), None);
    assert_eq!(target.next_hole(0).unwrap(), Some(0));
    target.write_at(65536, &[0xaa; 131_072]).unwrap();
    target.perform(&FileOp::new(OpKind::Fdatasync, 0, 0)).unwrap();
    assert_eq!((target.next_data(0).unwrap(), target.next_hole(65536).unwrap()), (Some(65536), Some(196_608)));
    assert_eq!(target.next_data(2 * MIB).unwrap(), None);
    assert!(target.geometry().discard && target.geometry().write_zeroes && target.geometry().discard_zeroes);
    target.perform(&FileOp::new(OpKind::Discard, 65536, 65536)).unwrap();
    assert_eq!(target.next_data(0).unwrap(), Some(131_072));
    target.perform(&FileOp::new(OpKind::WriteZeroes, 131_072, 4096)).unwrap();
    let mut bytes = [1; 8192];
    assert_eq!(target.read_at(131_072, &mut bytes).unwrap(), 8192);
    assert_eq!((&bytes[..4096], &bytes[4096..]), (&[0; 4096][..], &[0xaa; 4096][..]));
    assert_eq!(target.current_size().unwrap(), MIB, "none of them changes the size");
    target.perform(&FileOp::new(OpKind::Discard, 2 * MIB, 4096)).unwrap();
    assert_eq!(target.current_size().unwrap(), MIB, "beyond the end neither");
    assert_eq!(target.read_at(MIB - 100, &mut bytes).unwrap(), 100, "short only at the end");
    assert_eq!(target.perform(&FileOp::new(OpKind::Read, 0, 512)), Err(Errno::INVAL), "nowhere to put it");
    drop(target);
    let reader = Target::open(&path, &read_only()).unwrap();
    assert!(!reader.geometry().discard);
    assert_eq!(reader.perform(&FileOp::new(OpKind::Discard, 0, 4096)), Err(Errno::BADF));
    assert!(reader.write_at(0, &[0; 4096]).is_err());
}

/// A fake `/sys` with a disk 8:0 `sda`, its partition 8:1, and a mapping of it.
fn fake_sys(dir: &TempDir) -> PathBuf {
    let sys = dir.path().join("sys");
    let disk = sys.join("devices/pci/block/sda");
    for (file, text) in [
        ("dev", "8:0\n"),
        ("queue/logical_block_size", "512\n"),
        ("queue/physical_block_size", "4096\n"),
        ("queue/dma_alignment", "3\n"),
        ("queue/rotational", "1\n"),
        ("queue/write_cache", "write through\n"),
        ("queue/discard_max_bytes", "2147450880\n"),
        ("queue/write_zeroes_max_bytes", "0\n"),
        ("queue/zoned", "host-managed\n"),
        ("sda1/dev", "8:1\n"),
        ("sda1/partition", "1\n"),
        ("sda1/holders/dm-0", ""),
        ("sda1/holders/md7", ""),
    ] {
        let path = disk.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir_all(sys.join("dev/block")).unwrap();
    std::os::unix::fs::symlink(&disk, sys.join("dev/block/8:0")).unwrap();
    std::os::unix::fs::symlink(disk.join("sda1"), sys.join("dev/block/8:1")).unwrap();
    fs::create_dir_all(sys.join("class/block/dm-0/dm")).unwrap();
    fs::write(sys.join("class/block/dm-0/dm/name"), "vg-root\n").unwrap();
    fs::create_dir_all(sys.join("class/block/md7/md")).unwrap();
    sys
}

#[test]
fn sysfs_tells_of_queues_and_holders() {
    let dir = TempDir::new();
    let sys = fake_sys(&dir);
    let disk = Queue::read(&queue_dir(&sys, 8, 0).unwrap());
    let partition = Queue::read(&queue_dir(&sys, 8, 1).unwrap());
    assert_eq!(disk, partition, "a partition has its disk's queue");
    let text = format!("{disk:?}");
    for part in [
        "Some(512)",
        "Some(4096)",
        "dma_align_mask: Some(3)",
        "rotational: Some(true)",
        "write_through: Some(true)",
        "2147450880",
        "zoned: true",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(queue_dir(&sys, 9, 9).is_none());

    let proc = dir.path().join("proc");
    fs::create_dir_all(&proc).unwrap();
    for device in ["8:0", "8:1"] {
        let holders = Roots { proc: &proc, sys: &sys }.of_device(parse_numbers(device).unwrap());
        let expected = "sda1 is part of device-mapper vg-root (dm-0), sda1 is part of RAID md7";
        assert_eq!(holders.to_string(), expected, "{device}");
    }
    assert!(Holders::default().to_string().contains("cannot be seen"));
}

#[test]
fn mounts_and_swaps_are_matched_by_numbers() {
    let family = [("sda".to_owned(), Device { major: 8, minor: 0 }), ("sda1".to_owned(), Device { major: 8, minor: 1 })];
    let numbers = |path: &Path| match path.to_str().unwrap() {
        "/dev/sda" => parse_numbers("8:0"),
        "/dev/mapper/a b" => parse_numbers("8:1"),
        _ => None,
    };
    let text = br"22 27 0:21 / /proc rw,relatime - proc proc rw
30 27 8:1 / /mnt/with\040blank rw shared:1 master:2 - ext4 /dev/elsewhere rw
31 27 0:44 /sub /btrfs rw - btrfs /dev/sda rw
32 27 8:2 / /other rw - ext4 /dev/sdb rw
short line
33 27 x:y / /bad rw - ext4
";
    let found = mounts(text, &family, numbers);
    let expected = [("sda1", "/mnt/with blank"), ("sda", "/btrfs")];
    assert_eq!(found, expected.map(|(device, at)| Holder::Mounted { device: device.into(), at: at.into() }));
    let text = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/mapper/a\\040b  partition\t8388604\t0\t-2\n/swapfile file 1 0 -3\n";
    assert_eq!(swaps(text, &family, numbers), [Holder::Swap { device: "sda1".into() }]);
    assert_eq!(unescape(br"a\134b\1z\"), br"a\b\1z\");
}

/// On a loop device, where this machine lets us make one.
#[test]
fn a_block_device_is_claimed_measured_and_discarded() {
    let dir = TempDir::new();
    let Some(device) = crate::temp::LoopDevice::new(&dir, 8 * MIB) else { return };
    let target = Target::open(device.path(), &OpenOptions::default()).unwrap();
    assert_eq!((target.kind(), target.geometry().size_bytes, target.geometry().logical_block_bytes), (Kind::Block, 8 * MIB, 512));
    assert!(target.is_direct() && target.geometry().discard && target.geometry().needs_sync, "{:?}", target.geometry());
    let error = Target::open(device.path(), &OpenOptions::default()).unwrap_err();
    let OpenError::Busy { who, .. } = &error else { panic!("{error}") };
    assert!(who.0.iter().any(|who| matches!(who, Holder::Process { pid, .. } if *pid == std::process::id())), "{error}");
    Target::open(device.path(), &OpenOptions { force: true, ..Default::default() }).unwrap();
    let error = Target::open(device.path(), &OpenOptions { create_bytes: Some(9 * MIB), force: true, ..Default::default() }).unwrap_err();
    assert!(matches!(error, OpenError::TooSmall { .. }), "{error}");
    let buffer = vec![0x55u8; 3 * 4096];
    let start = buffer.as_ptr().align_offset(4096);
    target.write_at(4096, &buffer[start..start + 8192]).unwrap();
    target.perform(&FileOp::new(OpKind::WriteZeroes, 4096, 4096)).unwrap();
    target.perform(&FileOp::new(OpKind::Fdatasync, 0, 0)).unwrap();
    let mut back = vec![1u8; 3 * 4096];
    let start = back.as_ptr().align_offset(4096);
    assert_eq!(target.read_at(4096, &mut back[start..start + 8192]).unwrap(), 8192);
    assert_eq!((&back[start..start + 4096], &back[start + 4096..start + 8192]), (&[0; 4096][..], &[0x55; 4096][..]));
    target.perform(&FileOp::new(OpKind::Discard, 0, 8 * MIB)).unwrap();
    assert_eq!(target.perform(&FileOp::new(OpKind::Discard, 1, 8)), Err(Errno::INVAL), "misaligned");
    drop(target);
    let at = dir.path().join("mnt");
    fs::create_dir(&at).unwrap();
    let run = |command: &str, args: &[&str]| Command::new(command).args(args).status().is_ok_and(|status| status.success());
    let (name, at) = (device.path().to_str().unwrap(), at.to_str().unwrap());
    if run("mkfs.ext4", &["-q", name]) && run("mount", &[name, at]) {
        let error = Target::open(device.path(), &OpenOptions::default());
        assert!(run("umount", &[at]));
        let Err(OpenError::Busy { who, .. }) = error else { panic!("{error:?}") };
        let device = name.trim_start_matches("/dev/").to_owned();
        assert_eq!(who.0, [Holder::Mounted { device, at: at.into() }]);
    }
}
