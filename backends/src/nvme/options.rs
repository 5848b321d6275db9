//! `bdev_nvme_set_options`: what controllers attached later start from.

use super::Drives;
use super::params::{Attach, MultipathOptions};
use doorbell_control::{Flags, RpcError, choices, params};
use doorbell_nvme::{OnTimeout, Options, Policy};
use serde_json::Value;

choices! {
    /// What happens to a command that takes too long.
    pub(super) enum TimeoutAction {
        /// It is logged.
        None = "none",
        /// Its controller is reset.
        Reset = "reset",
        /// It is aborted; when that does not help, its controller is reset.
        Abort = "abort",
    }
}

choices! {
    /// A hash of authentication.
    pub(super) enum Digest {
        /// SHA-256.
        Sha256 = "sha256",
        /// SHA-384.
        Sha384 = "sha384",
        /// SHA-512.
        Sha512 = "sha512",
    }

    /// A group of authentication.
    pub(super) enum Group {
        /// None.
        Null = "null",
        /// 2,048 bits.
        Ffdhe2048 = "ffdhe2048",
        /// 3,072 bits.
        Ffdhe3072 = "ffdhe3072",
        /// 4,096 bits.
        Ffdhe4096 = "ffdhe4096",
        /// 6,144 bits.
        Ffdhe6144 = "ffdhe6144",
        /// 8,192 bits.
        Ffdhe8192 = "ffdhe8192",
    }
}

params! {
    /// How controllers are driven. What is not given stays as it is.
    pub(super) struct SetOptions {
        /// What happens to a command that takes too long.
        action_on_timeout: Option<TimeoutAction>,
        /// Microseconds that a command may take; 0: for ever.
        timeout_us: Option<u64>,
        /// The same for commands of the admin queue, one second at least; 0: timeout_us, or one minute where that is 0 too.
        timeout_admin_us: Option<u64>,
        /// Milliseconds that a controller on a network may hear nothing.
        keep_alive_timeout_ms: Option<u32>,
        /// Commands that a controller takes from a queue at once, as a power of two. Kept: queues are served by turns here.
        arbitration_burst: Option<u32>,
        /// Kept, as arbitration_burst.
        low_priority_weight: Option<u32>,
        /// Kept, as arbitration_burst.
        medium_priority_weight: Option<u32>,
        /// Kept, as arbitration_burst.
        high_priority_weight: Option<u32>,
        /// Kept: reactors here sleep until there is something.
        nvme_adminq_poll_period_us: Option<u64>,
        /// Kept: reactors here sleep until there is something.
        nvme_ioq_poll_period_us: Option<u64>,
        /// Kept: requests are bounded by the reactors' boxes.
        io_queue_requests: Option<u32>,
        /// Kept: doorbells are always rung once for all that was submitted.
        delay_cmd_submit: Option<bool>,
        /// How often a command that may succeed is sent again.
        transport_retry_count: Option<u32>,
        /// Kept: a command is sent again in one place only, by transport_retry_count.
        bdev_retry_count: Option<i32>,
        /// Kept, for RDMA.
        transport_ack_timeout: Option<u8>,
        /// Seconds for which a lost controller is sought; -1: for ever, 0: not at all.
        ctrlr_loss_timeout_sec: Option<i32>,
        /// Seconds between two attempts.
        reconnect_delay_sec: Option<u32>,
        /// Seconds after which requests fail while it is sought; 0: never.
        fast_io_fail_timeout_sec: Option<u32>,
        /// Kept, for several paths.
        disable_auto_failback: Option<bool>,
        /// Kept: a namespace without a UUID, NGUID and EUI64 gets a random one.
        generate_uuids: Option<bool>,
        /// Kept, for RDMA.
        transport_tos: Option<u8>,
        /// Kept.
        nvme_error_stat: Option<bool>,
        /// Kept, for RDMA.
        rdma_srq_size: Option<u32>,
        /// Kept, for several paths.
        io_path_stat: Option<bool>,
        /// Kept.
        allow_accel_sequence: Option<bool>,
        /// Kept, for RDMA.
        rdma_max_cq_size: Option<u32>,
        /// Kept, for RDMA.
        rdma_cm_event_timeout_ms: Option<u16>,
        /// Kept, for authentication.
        dhchap_digests: Option<Flags<Digest>>,
        /// Kept, for authentication.
        dhchap_dhgroups: Option<Flags<Group>>,
        /// Kept, for RDMA.
        rdma_umr_per_io: Option<bool>,
        /// Kept.
        tcp_connect_timeout_ms: Option<u32>,
        /// Kept: flushes always go to a controller that has a volatile write cache.
        enable_flush: Option<bool>,
        /// Kept, for several paths.
        multipath_opts: Option<MultipathOptions>,
    }
}

impl Default for SetOptions {
    fn default() -> Self {
        use doorbell_control::Params;
        // Every field is optional, so nothing is a whole value.
        match doorbell_control::Given::object(Value::Object(serde_json::Map::new())).and_then(Self::from_given) {
            Ok(empty) => empty,
            Err(_) => unreachable!("every field may be left out"),
        }
    }
}

const SECOND: u64 = 1_000_000_000;

fn loss_ms(seconds: i32) -> Result<Option<u32>, RpcError> {
    match seconds {
        -1 => Ok(None),
        s => u32::try_from(s).ok().and_then(|s| s.checked_mul(1000)).map(Some).ok_or_else(|| wrong("ctrlr_loss_timeout_sec", s.into())),
    }
}

fn wrong(name: &str, value: i64) -> RpcError {
    RpcError::invalid_argument().because(format!("{name} cannot be {value}"))
}

impl SetOptions {
    /// The driver's options for a controller that `attach` asks for.
    pub(super) fn driver(&self, attach: &Attach) -> Result<Options, RpcError> {
        let base = Options::default();
        let timeout_ns = self.timeout_us.map_or(base.policy.timeout_ns, |us| us.saturating_mul(1000));
        let admin = [self.timeout_admin_us, self.timeout_us].into_iter().flatten().find(|us| *us > 0);
        // The driver's own commands are among them, and a controller is looked at once a second.
        let admin_ns = admin.map_or(base.policy.admin_timeout_ns, |us| us.saturating_mul(1000).max(SECOND));
        let on_timeout = match self.action_on_timeout {
            Some(TimeoutAction::None) => OnTimeout::Nothing,
            Some(TimeoutAction::Reset) => OnTimeout::Reset,
            Some(TimeoutAction::Abort) | None => OnTimeout::Abort,
        };
        let retries = self.transport_retry_count.map_or(base.policy.retries, |n| u8::try_from(n).unwrap_or(u8::MAX));
        let seconds = |s: u32| s.checked_mul(1000).ok_or_else(|| wrong("a time in seconds", s.into()));
        let loss = attach.ctrlr_loss_timeout_sec.or(self.ctrlr_loss_timeout_sec);
        let delay = attach.reconnect_delay_sec.or(self.reconnect_delay_sec).filter(|s| *s > 0);
        let fast = attach.fast_io_fail_timeout_sec.or(self.fast_io_fail_timeout_sec);
        let io_queues = attach.num_io_queues.map_or(base.io_queues, |n| u16::try_from(n).unwrap_or(u16::MAX).max(1));
        Ok(Options {
            io_queues,
            keep_alive_ms: self.keep_alive_timeout_ms.unwrap_or(base.keep_alive_ms),
            policy: Policy { retries, timeout_ns, admin_timeout_ns: admin_ns, on_timeout },
            loss_timeout_ms: loss.map_or(Ok(base.loss_timeout_ms), loss_ms)?,
            reconnect_delay_ms: delay.map_or(Ok(base.reconnect_delay_ms), seconds)?,
            fast_fail_ms: fast.map_or(Ok(0), seconds)?,
            use_cmb_sqs: attach.use_cmb_sqs == Some(true),
            ..base
        })
    }
}

#[cfg(test)]
mod tests;

/// Sets options.
pub(super) async fn set(drives: &Drives, given: SetOptions) -> Result<bool, RpcError> {
    use doorbell_control::Params;
    let mut all = drives.0.options.borrow().to_object();
    all.extend(given.to_object());
    let merged = doorbell_control::Given::object(Value::Object(all)).and_then(SetOptions::from_given);
    *drives.0.options.borrow_mut() = merged.map_err(RpcError::invalid_params)?;
    Ok(true)
}
