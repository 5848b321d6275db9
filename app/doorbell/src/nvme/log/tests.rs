use super::*;
use doorbell_wire_nvme::{Ascii, U16, U64, U128};

#[test]
fn health_is_told_in_units_that_people_use() {
    let log = SmartLog {
        critical_warning: 0b1010,
        temperature_k: U16::new(310),
        used: 3,
        data_units_read: U128::new(1 << 20),
        ..SmartLog::default()
    };
    let (table, json) = smart(&log);
    let text = section_body(&table);
    for words in ["temperature beyond a threshold, read only", "37 °C", "500 GiB", "3 %"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!((&json["temperature_celsius"], &json["data_units_read"]), (&json!(37), &json!(1 << 20)));
    assert_eq!(smart(&SmartLog::default()).1["temperature_celsius"], Value::Null, "a controller without a sensor is not at -273 °C");
}

#[test]
fn unused_entries_and_empty_slots_are_not_shown() {
    let used = ErrorEntry { error_count: U64::new(5), status_phase: U16::new(0x80 << 1), sqid: U16::new(0xffff), ..ErrorEntry::default() };
    let (table, json) = errors([used, ErrorEntry::default()].iter());
    assert_eq!(table.row_count(), 1);
    assert_eq!(json[0]["status"], "LBA Out of Range (00h/80h)");
    let mut slots = FirmwareSlots { afi: 0x21, ..FirmwareSlots::default() };
    slots.revisions[0] = Ascii::new("1.0");
    slots.revisions[1] = Ascii::new("1.1");
    let (table, json) = firmware(&slots);
    let text = section_body(&table);
    assert!(table.row_count() == 2 && text.contains("active after the next reset"), "{text}");
    assert_eq!((&json["active"], &json["next"]), (&json!(1), &json!(2)));
}

#[test]
fn only_commands_that_there_are_have_effects() {
    let mut log = CommandEffects::default();
    log.set_admin(AdminOpcode::FORMAT_NVM, Effects::new().with_supported(true).with_content(true).with_exclusive(1));
    log.set_io(IoOpcode::WRITE, Effects::new().with_content(true));
    let (table, json) = effects(&log);
    assert_eq!(table.row_count(), 1);
    assert_eq!((&json[0]["name"], &json[0]["changes"][0]), (&json!("Format NVM"), &json!("data")));
}
