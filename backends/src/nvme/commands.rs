//! What is done to one controller: reset, health, passthrough.

use super::Drives;
use super::params::{CommandKind, Direction, Named, Reset, Send};
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use doorbell_control::RpcError;
use doorbell_nvme::{Answer, CommandError, Payload, State};
use doorbell_wire_nvme::log::SmartLog;
use doorbell_wire_nvme::{AdminCommand, GetLogPage, LogId, NSID_ALL, Sqe, bytes, view};
use serde_json::{Value, json};

/// Base64 for URLs. SPDK's clients pad, others do not: both are read, and the answer is padded.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));
/// Bytes of data of one command at most.
const DATA_MAX: usize = 1 << 20;

/// `bdev_nvme_reset_controller`.
pub(super) async fn reset(drives: &Drives, params: Reset) -> Result<bool, RpcError> {
    let drive = controller_of(drives, &params)?;
    drive.controller().reset().await.map_err(|error| RpcError::io().because(error))?;
    Ok(true)
}

const ALREADY: i32 = 114;

fn controller_of(drives: &Drives, params: &Reset) -> Result<std::rc::Rc<super::drive::Drive>, RpcError> {
    let drive = drives.get(&params.name)?;
    if params.cntlid.is_some_and(|id| id != 0 && id != drive.cntlid()) {
        return Err(RpcError::no_device().because(format!("{} has no controller of that number", params.name)));
    }
    Ok(drive)
}

/// `bdev_nvme_disable_controller`.
pub(super) async fn disable(drives: &Drives, params: Reset) -> Result<bool, RpcError> {
    let drive = controller_of(drives, &params)?;
    let _reserved = drives.reserve(&params.name)?;
    if drive.controller().state() == State::Disabled {
        return Err(RpcError::errno(ALREADY).because(format!("{} is disabled already", params.name)));
    }
    drive.controller().disable().await.map_err(|error| RpcError::io().because(error))?;
    Ok(true)
}

/// `bdev_nvme_enable_controller`.
pub(super) async fn enable(drives: &Drives, params: Reset) -> Result<bool, RpcError> {
    let drive = controller_of(drives, &params)?;
    let _reserved = drives.reserve(&params.name)?;
    if drive.controller().state() != State::Disabled {
        return Err(RpcError::errno(ALREADY).because(format!("{} is not disabled", params.name)));
    }
    drive.controller().enable().await.map_err(|error| RpcError::io().because(error))?;
    Ok(true)
}

fn failed(error: CommandError) -> RpcError {
    if error == CommandError::Reserved {
        return RpcError::not_permitted().because(error);
    }
    RpcError::io().because(error)
}

/// `bdev_nvme_get_controller_health_info`.
pub(super) async fn health(drives: &Drives, params: Named) -> Result<Value, RpcError> {
    let drive = drives.get(&params.name)?;
    let what = GetLogPage { lid: LogId::SMART, len: 512, ..GetLogPage::default() };
    let sqe = AdminCommand::GetLogPage(what).encode().with_nsid(NSID_ALL);
    let answer = drive.controller().admin(sqe, Payload::In(512)).await.map_err(failed)?;
    if !answer.cqe.status().is_ok() {
        return Err(failed(CommandError::Status(answer.cqe.status())));
    }
    let log = view::<SmartLog>(&answer.data).ok_or_else(|| RpcError::io().because("the health log is short"))?;
    let Some(id) = drive.controller().identity() else { return Err(RpcError::no_device()) };
    let celsius = i32::from(log.temperature_k.get()) - 273;
    let big = |n: u128| Value::from(u64::try_from(n).unwrap_or(u64::MAX));
    Ok(json!({
        "model_number": id.model,
        "serial_number": id.serial,
        "firmware_revision": id.firmware,
        "traddr": drive.trid().get("traddr"),
        "critical_warning": log.critical_warning,
        "temperature_celsius": celsius,
        "available_spare_percentage": log.spare,
        "available_spare_threshold_percentage": log.spare_threshold,
        "percentage_used": log.used,
        "data_units_read": big(log.data_units_read.get()),
        "data_units_written": big(log.data_units_written.get()),
        "host_read_commands": big(log.host_reads.get()),
        "host_write_commands": big(log.host_writes.get()),
        "controller_busy_time": big(log.busy_minutes.get()),
        "power_cycles": big(log.power_cycles.get()),
        "power_on_hours": big(log.power_on_hours.get()),
        "unsafe_shutdowns": big(log.unsafe_shutdowns.get()),
        "media_errors": big(log.media_errors.get()),
        "num_err_log_entries": big(log.error_log_entries.get()),
        "warning_temperature_time_minutes": log.warning_minutes.get(),
        "critical_composite_temperature_time_minutes": log.critical_minutes.get(),
    }))
}

fn decode(name: &str, text: &str) -> Result<Vec<u8>, RpcError> {
    BASE64.decode(text).map_err(|error| RpcError::invalid_argument().because(format!("{name} is no base64 for URLs: {error}")))
}

/// `bdev_nvme_send_cmd`.
pub(super) async fn send(drives: &Drives, params: Send) -> Result<Value, RpcError> {
    let (drive, nsid) = match drives.find(&params.name) {
        Some(drive) => (drive, None),
        None => {
            let drive = drives.of_bdev(&params.name).ok_or_else(|| {
                RpcError::no_device().because(format!("{} is neither an NVMe controller nor one of their block devices", params.name))
            })?;
            let nsid = drive.nsid_of(&params.name);
            (drive, nsid)
        }
    };
    if params.metadata.is_some() || params.metadata_len.is_some_and(|n| n > 0) {
        return Err(RpcError::not_supported().because("metadata apart from the data is not sent this way"));
    }
    let raw = decode("cmdbuf", &params.cmdbuf)?;
    if raw.len() != 64 {
        return Err(RpcError::invalid_argument().because(format!("cmdbuf holds {} bytes, a command has 64", raw.len())));
    }
    let mut sqe = view::<Sqe>(&raw).copied().unwrap_or_default();
    if let Some(nsid) = nsid.filter(|_| sqe.nsid() == 0) {
        sqe = sqe.with_nsid(nsid);
    }
    let payload = payload(&params)?;
    let sent = async {
        match params.cmd_type {
            CommandKind::Admin => drive.controller().admin(sqe, payload).await,
            CommandKind::Io => drive.controller().io(sqe, payload).await,
        }
    };
    let limit_ns = u64::from(params.timeout_ms.unwrap_or(0)) * 1_000_000;
    let answer = match limit_ns {
        0 => sent.await.map_err(failed)?,
        ns => doorbell_nvme::within(&drives.0.host.local, ns, sent)
            .await
            .ok_or_else(|| RpcError::errno(110).because("the command took longer than timeout_ms"))?
            .map_err(failed)?,
    };
    let Answer { cqe, data } = answer;
    let mut result = json!({ "cpl": BASE64.encode(bytes(&cqe)) });
    if params.data_direction == Direction::In
        && !data.is_empty()
        && let Some(map) = result.as_object_mut()
    {
        map.insert("data".to_owned(), BASE64.encode(&data).into());
    }
    Ok(result)
}

fn payload(params: &Send) -> Result<Payload, RpcError> {
    let too_long = || RpcError::invalid_argument().because(format!("one command carries at most {DATA_MAX} bytes"));
    match params.data_direction {
        Direction::Out => {
            let data = params.data.as_deref().map_or(Ok(Vec::new()), |text| decode("data", text))?;
            match data.len() {
                0 => Ok(Payload::None),
                n if n > DATA_MAX => Err(too_long()),
                _ => Ok(Payload::Out(data)),
            }
        }
        Direction::In => match params.data_len.unwrap_or(0) {
            0 => Ok(Payload::None),
            n if n as usize > DATA_MAX => Err(too_long()),
            n => Ok(Payload::In(n)),
        },
    }
}
