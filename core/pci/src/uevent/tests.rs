use super::*;

fn notice(fields: &[&str]) -> Vec<u8> {
    fields.iter().flat_map(|field| [field.as_bytes(), &[0]].concat()).collect()
}

#[test]
fn notices_about_functions_are_told_from_others() {
    let of = |action: &str| {
        let first = format!("{action}@/devices/pci0000:00/0000:00:03.0");
        let action = format!("ACTION={action}");
        parse(&notice(&[
            &first,
            &action,
            "DEVPATH=/devices/pci0000:00/0000:00:03.0",
            "SUBSYSTEM=pci",
            "PCI_SLOT_NAME=0000:00:03.0",
            "SEQNUM=9",
        ]))
    };
    let address: PciAddress = "0000:00:03.0".parse().unwrap();
    assert_eq!(of("add"), Some(Uevent::Added(address)));
    assert_eq!(of("remove"), Some(Uevent::Removed(address)));
    assert_eq!((of("bind"), of("unbind")), (Some(Uevent::Bound(address)), Some(Uevent::Unbound(address))));
    assert_eq!(of("change"), None);
    assert_eq!(parse(&notice(&["add@/devices/x", "ACTION=add", "SUBSYSTEM=block", "PCI_SLOT_NAME=0000:00:03.0"])), None);
    // What udev tells its own listeners, half a notice, and nothing.
    for odd in [&b"libudev\0ACTION=add\0SUBSYSTEM=pci\0PCI_SLOT_NAME=0000:00:03.0\0"[..], b"add@", b"", b"\0\0", &[0xff; 9]] {
        assert_eq!(parse(odd), None);
    }
}

#[test]
fn nothing_is_waited_for() {
    // Sandboxes may have no such sockets.
    let Ok(mut events) = Uevents::open() else { return };
    while events.take().unwrap().is_some() {}
}
