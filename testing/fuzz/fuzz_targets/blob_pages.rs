//! See [`doorbell_fuzz::blob_pages`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| doorbell_fuzz::blob_pages::run(data));
