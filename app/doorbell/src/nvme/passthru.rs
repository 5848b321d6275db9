//! `doorbell nvme passthru`: a command put together by hand.

use super::{Failed, say, with, words};
use crate::cli::PassthruArgs;
use doorbell_nvme::{Answer, Controller, Payload};
use doorbell_wire_nvme::{Sqe, U32};
use serde_json::json;
use std::fmt::Write as _;

#[cfg(test)]
mod tests;

pub(super) fn passthru(args: PassthruArgs) -> Result<bool, Failed> {
    let (sqe, payload) = (command(&args), payload(&args)?);
    let is_admin = args.admin;
    let answer = with(&args.reach, async move |controller: &Controller| {
        let sent = if is_admin { controller.admin(sqe, payload).await } else { controller.io(sqe, payload).await };
        sent.map_err(|source| Failed::Command { what: "the command", source })
    })?;
    let status = answer.cqe.status();
    if let (Some(path), true) = (&args.output, status.is_ok()) {
        std::fs::write(path, &answer.data).map_err(|e| words(format!("cannot write {}: {e}", path.display())))?;
    }
    if args.json {
        let hex = answer.data.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let all = json!({
            "sct": status.sct().0, "sc": status.sc(), "dnr": status.is_dnr(), "status": status.to_string(),
            "dw0": answer.cqe.dw0.get(), "dw1": answer.cqe.dw1.get(), "data": hex,
        });
        say(format!("{all:#}"));
    } else {
        say(show(&answer, args.output.is_none()));
    }
    Ok(status.is_ok())
}

fn command(args: &PassthruArgs) -> Sqe {
    Sqe {
        cdw2: U32::new(args.cdw2),
        cdw3: U32::new(args.cdw3),
        cdw10: U32::new(args.cdw10),
        cdw11: U32::new(args.cdw11),
        cdw12: U32::new(args.cdw12),
        cdw13: U32::new(args.cdw13),
        cdw14: U32::new(args.cdw14),
        cdw15: U32::new(args.cdw15),
        ..Sqe::new(args.opcode).with_nsid(args.nsid)
    }
}

/// What goes along: which way is in the opcode's lowest bits (Base 2.1, 4.1.1), so a flag against them is a slip of the pen.
fn payload(args: &PassthruArgs) -> Result<Payload, Failed> {
    let (out, back) = (args.opcode & 1 != 0, args.opcode & 2 != 0);
    match (&args.write, args.data_len) {
        (Some(_), _) if !out => Err(words(format!("opcode {:#04x} takes no data from here: leave --write out", args.opcode))),
        (Some(path), _) => {
            let bytes = std::fs::read(path).map_err(|e| words(format!("cannot read {}: {e}", path.display())))?;
            Ok(Payload::Out(bytes))
        }
        (None, Some(1..)) if !back => Err(words(format!("opcode {:#04x} gives no data back: leave --data-len out", args.opcode))),
        (None, Some(bytes @ 1..)) => Ok(Payload::In(bytes)),
        _ => Ok(Payload::None),
    }
}

fn show(answer: &Answer, with_data: bool) -> String {
    let cqe = &answer.cqe;
    let mut text = format!("{}, dword 0 {:#010x}, dword 1 {:#010x}", cqe.status(), cqe.dw0.get(), cqe.dw1.get());
    let mut last: Option<&[u8]> = None;
    let mut is_skipping = false;
    for (n, line) in answer.data.chunks(16).enumerate().filter(|_| with_data) {
        // Runs of one line, zeroes mostly, are shown once.
        if last == Some(line) {
            text.push_str(if is_skipping { "" } else { "\n*" });
            is_skipping = true;
            continue;
        }
        (last, is_skipping) = (Some(line), false);
        let hex: String = line.iter().map(|byte| format!(" {byte:02x}")).collect();
        let ascii: String = line.iter().map(|b| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '.' }).collect();
        let _ = write!(text, "\n{:08x} {hex:<48}  {ascii}", n * 16);
    }
    text
}
