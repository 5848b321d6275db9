//! What each fuzz target does with its input, as a function: it panics when a rule is broken. Targets are named in
//! [`TARGETS`], one module each; a new one needs its module, its line there, a file in `fuzz_targets/` and a `[[bin]]`.
#![forbid(unsafe_code)]

pub mod blob_pages;
pub mod nvme_command;
pub mod nvme_faults;
pub mod nvme_identify;
pub mod nvme_tcp_link;
pub mod nvme_tcp_pdu;
pub mod nvmf_connection;
pub mod rpc_session;
pub mod vfio_user_messages;
pub mod vfio_user_queues;

/// Takes an input.
pub type Run = fn(&[u8]);

/// Makes the seeds of a target: name and bytes of each.
pub type Seeds = fn() -> Vec<(&'static str, Vec<u8>)>;

/// Every target: its name, what it does, its seeds.
pub const TARGETS: &[(&str, Run, Seeds)] = &[
    ("blob_pages", blob_pages::run, blob_pages::seeds),
    ("nvme_command", nvme_command::run, nvme_command::seeds),
    ("nvme_faults", nvme_faults::run, nvme_faults::seeds),
    ("nvme_identify", nvme_identify::run, nvme_identify::seeds),
    ("nvme_tcp_link", nvme_tcp_link::run, nvme_tcp_link::seeds),
    ("nvme_tcp_pdu", nvme_tcp_pdu::run, nvme_tcp_pdu::seeds),
    ("nvmf_connection", nvmf_connection::run, nvmf_connection::seeds),
    ("rpc_session", rpc_session::run, rpc_session::seeds),
    ("vfio_user_messages", vfio_user_messages::run, vfio_user_messages::seeds),
    ("vfio_user_queues", vfio_user_queues::run, vfio_user_queues::seeds),
];

/// Formats a value to nowhere: `Display` and `Debug` meet hostile input too, in logs.
pub(crate) fn show(value: &dyn core::fmt::Debug) {
    struct Nowhere;
    impl core::fmt::Write for Nowhere {
        fn write_str(&mut self, _: &str) -> core::fmt::Result {
            Ok(())
        }
    }
    core::fmt::Write::write_fmt(&mut Nowhere, format_args!("{value:?}")).expect("a Debug that fails");
}

#[cfg(test)]
mod tests;
