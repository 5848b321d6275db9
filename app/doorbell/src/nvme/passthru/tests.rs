use super::*;
use crate::cli::{Cli, Command, NvmeCommand};
use clap::Parser;
use doorbell_wire_nvme::{Cid, Cqe, Status};

fn args(line: &str) -> PassthruArgs {
    let words = ["doorbell", "nvme", "passthru", "0000:01:00.0"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(words).map(|cli| cli.command) {
        Ok(Command::Nvme { command: NvmeCommand::Passthru(args) }) => *args,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn every_dword_lands_in_its_place() {
    let line = "--admin -o 0xc2 -n 7 --cdw2 2 --cdw3 3 --cdw10 10 --cdw11 11 --cdw12 12 --cdw13 13 --cdw14 14 --cdw15 0xff";
    let sqe = command(&args(line));
    assert_eq!((sqe.opcode, sqe.nsid()), (0xc2, 7));
    let dwords = [sqe.cdw2, sqe.cdw3, sqe.cdw10, sqe.cdw11, sqe.cdw12, sqe.cdw13, sqe.cdw14, sqe.cdw15];
    assert_eq!(dwords.map(|dword| dword.get()), [2, 3, 10, 11, 12, 13, 14, 255]);
}

#[test]
fn data_goes_the_way_that_the_opcode_says() {
    assert_eq!(payload(&args("--io -o 0x02 -l 512")).unwrap(), Payload::In(512));
    assert_eq!(payload(&args("--io -o 0x00")).unwrap(), Payload::None);
    assert!(payload(&args("--io -o 0x01 -l 512")).unwrap_err().to_string().contains("--data-len"));
    assert!(payload(&args("--io -o 0x02 -w /dev/null")).unwrap_err().to_string().contains("--write"));
    assert_eq!(payload(&args("--io -o 0x01 -w /dev/null")).unwrap(), Payload::Out(Vec::new()));
}

#[test]
fn a_dump_shows_repeated_lines_once() {
    let mut data = vec![0; 64];
    data[48..53].copy_from_slice(b"hello");
    let text = show(&Answer { cqe: Cqe::new(Cid(0), Status::SUCCESS), data }, true);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[2] == "*" && lines[3].starts_with("00000030 ") && lines[3].ends_with("hello..........."), "{text}");
}
