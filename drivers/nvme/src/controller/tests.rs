use super::*;
use doorbell_wire_nvme::{AdminCommand, FeatureId, Identify, SetFeatures};

#[test]
fn what_hands_memory_to_the_controller_for_good_is_the_drivers_own() {
    for opcode in [0x00, 0x01, 0x04, 0x05, 0x0c, 0x18, 0x7c, 0x7f] {
        assert!(is_reserved(&Sqe::new(opcode)), "{opcode:02x}h");
    }
    let set = |fid| AdminCommand::SetFeatures(SetFeatures { fid, ..SetFeatures::default() }).encode();
    assert!(is_reserved(&set(FeatureId::HOST_MEMORY_BUFFER)) && !is_reserved(&set(FeatureId::TIMESTAMP)));
    assert!(!is_reserved(&AdminCommand::Identify(Identify::default()).encode()));
}
