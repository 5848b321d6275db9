use super::*;
use crate::cli::{Cli, Command, NvmeCommand};
use clap::Parser;
use doorbell_wire_nvme::{U16, U64};

fn args(line: &str) -> FormatArgs {
    let words = ["doorbell", "nvme", "format", "0000:01:00.0"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(words).unwrap().command {
        Command::Nvme { command: NvmeCommand::Format(args) } => args,
        other => panic!("{other:?}"),
    }
}

/// 512 bytes, 4096 in two speeds, 4096 with 8 of metadata; the first is in use.
fn namespace() -> Namespace {
    let mut namespace = Namespace::default();
    (namespace.nlbaf, namespace.nsze, namespace.nuse) = (3, U64::new(2048), U64::new(1024));
    for (format, (lbads, ms, rp)) in namespace.lbaf.iter_mut().zip([(9, 0, 0), (12, 0, 2), (12, 0, 1), (12, 8, 0)]) {
        (format.lbads, format.ms, format.rp) = (lbads, U16::new(ms), rp);
    }
    namespace
}

#[test]
fn the_format_is_found_by_number_by_size_or_left_as_it_is() {
    let found = |line: &str| index(&args(line), &namespace()).map_err(|e| e.to_string());
    assert_eq!(found("-n 1"), Ok(0));
    assert_eq!(found("-n 1 -b 4k"), Ok(2), "the faster of two");
    assert_eq!(found("-n 1 -f 3"), Ok(3));
    for none in ["-n 1 -b 8k", "-n 1 -f 4"] {
        assert!(found(none).unwrap_err().contains("traddr:0000:01:00.0' --nsid 1`"), "{none}");
    }
}

#[test]
#[allow(clippy::field_reassign_with_default)] // Wire structures have private reserved fields.
fn protection_stays_while_the_format_does() {
    let mut of = namespace();
    // The fourth format, extended, protected by the first bytes of its metadata.
    (of.flbas, of.dps) = (3 | 1 << 4, 1 | 1 << 3);
    let mut raw = doorbell_wire_nvme::identify::Controller::default();
    raw.oacs = U16::new(2);
    let none = String::new;
    let (version, raw) = (doorbell_wire_nvme::register::Version::from_bits(0x2_0000), Box::new(raw));
    let controller = Identity { serial: none(), model: none(), firmware: none(), subsystem: none(), version, raw };
    let planned = |line: &str| plan(&args(line), &controller, &of).unwrap().command;
    let kept = planned("-n 1 -e data");
    assert_eq!((kept.format, kept.extended_metadata, kept.protection, kept.protection_first), (3, true, 1, true));
    let without = planned("-n 1 --protection 0 --extended false");
    assert_eq!((without.extended_metadata, without.protection, without.protection_first), (false, 0, false));
    assert_eq!(planned("-n 1 -f 0"), FormatNvm::default());
    assert!(plan(&args("-n 1 -f 0 --extended"), &controller, &of).is_err());
}
