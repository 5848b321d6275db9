//! See [`doorbell_fuzz::nvme_faults`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| doorbell_fuzz::nvme_faults::run(data));
