//! A guest with three NVMe drives, two of which can be unplugged, and a place where a fourth is put in.

pub(crate) mod drive;

use doorbell_vm::Guest;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIB: &str = include_str!("../guest_support/lib.sh");
const SCRIPT: &str = include_str!("pci.sh");
/// Emulated CPUs on a busy machine take their time; a healthy run needs a tenth of it.
const DEADLINE: Duration = Duration::from_secs(900);

/// Boots `guest`, runs the part `name` of the script, and puts the other drives in and out when the script says so.
pub(crate) fn run(guest: Guest, name: &str) {
    let binary = std::env::var_os("DOORBELL_BIN").map_or_else(|| env!("CARGO_BIN_EXE_doorbell").into(), PathBuf::from);
    let folder = doorbell_vm::cache().join(format!("pci-{name}-{}-{:?}", std::process::id(), std::thread::current().id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut guest = guest
        .env("DOORBELL_BIN", std::path::absolute(binary).unwrap().to_string_lossy())
        .env("HELPER", std::env::current_exe().unwrap().to_string_lossy())
        .env("PART", name)
        .timeout(DEADLINE);
    for (disk, place) in [("fixed", ""), ("hot", ",bus=rp1"), ("busy", ",bus=rp2"), ("late", ",bus=rp3")] {
        let image = folder.join(disk);
        File::create(&image).unwrap().set_len(32 << 20).unwrap();
        if let Some(port) = place.strip_prefix(",bus=rp") {
            guest = guest.qemu(["-device", &format!("pcie-root-port,id=rp{port},chassis={port},slot={port}")]);
        }
        let drive = format!("if=none,id={disk}-image,format=raw,file={}", image.display());
        guest = guest.qemu(["-drive", &drive]);
        if disk != "late" {
            guest = guest.qemu(["-device", &device(disk, place)]);
        }
    }
    let monitor = folder.join("monitor");
    guest = guest.qemu(["-monitor", &format!("unix:{},server=on,wait=off", monitor.display())]);
    let mut running = guest.start(&format!("{LIB}\n{SCRIPT}")).unwrap_or_else(|error| panic!("{error}"));
    let put_in = format!("device_add {}", device("late", ",bus=rp3"));
    let steps = [
        ("-- pull the drive out", "device_del hot"),
        ("-- pull the busy drive out", "device_del busy"),
        ("-- put the late drive in", &put_in),
        ("-- pull the late drive out", "device_del late"),
    ];
    for (word, command) in steps {
        running.wait_for(word, DEADLINE).unwrap_or_else(|error| panic!("{error}"));
        tell(&monitor, command);
    }
    let output = running.wait().unwrap_or_else(|error| panic!("{error}"));
    let _ = std::fs::remove_dir_all(&folder);
    println!("{}", output.stdout);
    assert!(output.success(), "{output}");
    assert!(output.stdout.ends_with("== done\n"), "it ended early: {output}");
}

fn device(disk: &str, place: &str) -> String {
    format!("nvme,id={disk},serial={disk},drive={disk}-image{place}")
}

/// Has QEMU's monitor do something: it answers with its prompt before and after.
fn tell(monitor: &Path, command: &str) {
    let mut line = UnixStream::connect(monitor).unwrap();
    line.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    prompt(&mut line);
    writeln!(line, "{command}").unwrap();
    println!("{}", prompt(&mut line));
}

fn prompt(line: &mut UnixStream) -> String {
    let mut said = Vec::new();
    while !said.ends_with(b"(qemu) ") {
        let mut byte = [0];
        line.read_exact(&mut byte).unwrap();
        said.extend(byte);
    }
    String::from_utf8_lossy(&said).into_owned()
}
