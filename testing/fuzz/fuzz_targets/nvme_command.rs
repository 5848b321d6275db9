//! See [`doorbell_fuzz::nvme_command`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| doorbell_fuzz::nvme_command::run(data));
