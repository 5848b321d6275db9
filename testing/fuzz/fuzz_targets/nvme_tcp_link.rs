//! See [`doorbell_fuzz::nvme_tcp_link`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| doorbell_fuzz::nvme_tcp_link::run(data));
