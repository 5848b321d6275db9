//! Boots real guests: what the tests of everything above rely on.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use doorbell_vm::{Guest, GuestError};

/// A folder that is gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = doorbell_vm::cache().join(format!("test-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_script_runs_with_the_host_s_programs_and_its_own_kernel() {
    let folder = Folder::new("rw");
    let script = "\
        set -e
        grep -qw nvme_tcp /proc/modules
        nvme version
        fio --version
        echo \"$GREETING\" >&2
        echo written > \"$FOLDER/file\"
        cat \"$BESIDE\"
        dd if=/dev/urandom of=/scratch/data bs=4k count=64 oflag=direct status=none
        stat -c %s /scratch/data
        touch /usr/of-this-guest-only
        exit 7";
    let guest = Guest::new().modules(["nvme-tcp"]).rw(&folder.0).scratch_mib(64);
    let beside = Folder(std::env::temp_dir().join(format!("doorbell-vm-{}", std::process::id())));
    fs::create_dir_all(&beside.0).expect("a folder");
    fs::write(beside.0.join("file"), "seen from inside\n").expect("a file");
    let guest = guest.env("FOLDER", folder.0.to_string_lossy()).env("GREETING", "it's me");
    let guest = guest.env("BESIDE", beside.0.join("file").to_string_lossy());
    let output = guest.run(script).expect("a guest");
    assert_eq!(output.status, 7, "{output}");
    assert!(output.stdout.contains("nvme version") && output.stdout.contains("\nfio-"), "{output}");
    assert!(output.stdout.contains("\nseen from inside\n"), "{output}");
    assert!(output.stdout.ends_with("262144\n"), "{output}");
    assert!(output.stderr.contains("it's me\n"), "{output}");
    assert_eq!(fs::read_to_string(folder.0.join("file")).expect("the guest's file"), "written\n");
    assert!(!std::path::Path::new("/usr/of-this-guest-only").exists());
}

#[test]
fn a_guest_that_hangs_is_ended_and_says_what_it_saw() {
    let mut guest = Guest::new().start("echo ready; cat /proc/kmsg > /dev/null").expect("a guest");
    guest.wait_for("ready", Duration::from_secs(240)).expect("the script begins");
    let error = guest.wait_for("never", Duration::from_millis(200)).expect_err("it never comes");
    assert!(matches!(&error, GuestError::TimedOut { seen, .. } if seen.contains("ready")), "{error}");
}

#[test]
fn a_guest_that_dies_is_told_from_a_script_that_fails() {
    let error = Guest::new().run("echo last words; echo b > /proc/sysrq-trigger").expect_err("no status comes back");
    assert!(matches!(&error, GuestError::Died { seen } if seen.contains("last words")), "{error}");
}
