use std::path::Path;

use crate::qemu::{arguments, quoted, settings};
use crate::{Guest, GuestError};

fn line(guest: &Guest, kvm: bool) -> String {
    arguments(guest, Path::new("/cache"), Path::new("/a,b"), kvm).join(" ")
}

#[test]
fn a_plain_guest_has_the_host_s_root_and_nothing_else() {
    let line = line(&Guest::new(), false);
    assert!(line.contains("-accel tcg"), "{line}");
    assert!(line.contains("path=/,mount_tag=host,security_model=none,multidevs=remap,readonly=on"), "{line}");
    assert!(line.contains("path=/a,,b,mount_tag=run"), "{line}");
    for absent in ["-netdev", "virtio-blk", "iommu", "hugepages", "memfd"] {
        assert!(!line.contains(absent), "{absent} in {line}");
    }
}

#[test]
fn each_wish_shows_on_the_command_line() {
    let guest = Guest::new().forward(5000, 4420).rw("/data").scratch_mib(64).huge_pages(8).iommu(true).shared_memory(true);
    let line = line(&guest.kernel(["debug"]).qemu(["-device", "nvme"]), true);
    for wish in [
        "-accel kvm",
        "hostfwd=tcp:127.0.0.1:5000-:4420",
        "path=/data,mount_tag=rw0",
        "file=/a,,b/scratch",
        "hugepages=8 debug",
        "intel_iommu=on",
        "q35,kernel-irqchip=split,memory-backend=memory",
        "-device nvme",
    ] {
        assert!(line.contains(wish), "no {wish} in {line}");
    }
}

#[test]
fn settings_survive_a_shell() {
    let guest = Guest::new().modules(["nvme-tcp", "ext4"]).rw("/data").net(true);
    let text = settings(&guest, Path::new("/it's"));
    assert!(text.contains("module_tree='/it'\\''s/modules'\n"), "{text}");
    assert!(
        text.contains("modules='nvme-tcp ext4'\n") && text.contains("writable='rw0=/data'\n") && text.contains("network='1'\n"),
        "{text}"
    );
    assert!(text.contains("scratch=''\n"), "{text}");
    assert_eq!(quoted("a b"), "'a b'");
}

#[test]
fn errors_say_what_to_install() {
    let error = GuestError::Missing { program: "qemu-system-x86_64", package: "qemu-system-x86" };
    assert!(error.to_string().contains("apt-get install --no-install-recommends qemu-system-x86"), "{error}");
}
