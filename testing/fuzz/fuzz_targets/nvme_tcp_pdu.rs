//! See [`doorbell_fuzz::nvme_tcp_pdu`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| doorbell_fuzz::nvme_tcp_pdu::run(data));
