//! Commands that end as an operator asks for.

use super::Drives;
use super::params::{AddFault, CommandKind, RemoveFault};
use doorbell_control::RpcError;
use doorbell_nvme::{Fault, QueueKind};
use doorbell_wire_nvme::{Status, StatusCodeType};

fn kind(kind: &CommandKind) -> QueueKind {
    match kind {
        CommandKind::Admin => QueueKind::Admin,
        CommandKind::Io => QueueKind::Io,
    }
}

/// `bdev_nvme_add_error_injection`.
pub(super) async fn add(drives: &Drives, params: AddFault) -> Result<bool, RpcError> {
    let drive = drives.get(&params.name)?;
    let (sct, sc) = (params.sct.unwrap_or(0), params.sc.unwrap_or(0));
    if sct > 7 {
        return Err(RpcError::invalid_argument().because(format!("sct is {sct}, and has three bits")));
    }
    let (status, is_sent) = (Status::new(StatusCodeType(sct), sc), params.do_not_submit != Some(true));
    if status.is_ok() && !is_sent {
        let why = "a command that is not sent cannot succeed: sct and sc say how it fails";
        return Err(RpcError::invalid_argument().because(why));
    }
    let count = params.err_count.unwrap_or(1);
    if count == 0 {
        return Err(RpcError::invalid_argument().because("err_count is 0: bdev_nvme_remove_error_injection ends an injection"));
    }
    let delay_ns = params.timeout_in_us.unwrap_or(0).saturating_mul(1000);
    let fault = Fault { opcode: params.opc, is_sent, delay_ns, count, status };
    drive.controller().inject(kind(&params.cmd_type), fault).await;
    Ok(true)
}

/// `bdev_nvme_remove_error_injection`. Also for what was used up, as with SPDK.
pub(super) async fn remove(drives: &Drives, params: RemoveFault) -> Result<bool, RpcError> {
    drives.get(&params.name)?.controller().inject_no_more(kind(&params.cmd_type), params.opc);
    Ok(true)
}
