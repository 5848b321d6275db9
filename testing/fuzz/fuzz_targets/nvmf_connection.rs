//! See [`doorbell_fuzz::nvmf_connection`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| doorbell_fuzz::nvmf_connection::run(data));
