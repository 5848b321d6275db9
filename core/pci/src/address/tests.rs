use super::*;

#[test]
fn addresses_are_read_as_people_write_them() {
    let full = PciAddress { domain: 0, bus: 0x81, device: 0x1f, function: 7 };
    for text in ["0000:81:1f.7", "81:1f.7", "0000.81.1f.7", "0:81:1F.7"] {
        assert_eq!(text.parse(), Ok(full), "{text}");
    }
    assert_eq!(full.to_string(), "0000:81:1f.7");
    assert_eq!("10000:01:00.0".parse::<PciAddress>().unwrap().to_string(), "10000:01:00.0");
    for text in ["", "01", "01:00", "01:20.0", "01:00.8", "100:00.0", "+1:00.0", "0000:01:00.0.1", "x:00.0", "0:0:0:0:0", "::."] {
        assert!(text.parse::<PciAddress>().is_err(), "{text}");
    }
    assert_eq!("/run/x".parse(), Ok(FunctionAddress::VfioUser("/run/x".into())));
    assert_eq!("81:1f.7".parse(), Ok(FunctionAddress::Pci(full)));
}
