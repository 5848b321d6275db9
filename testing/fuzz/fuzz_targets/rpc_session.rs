//! See [`doorbell_fuzz::rpc_session`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| doorbell_fuzz::rpc_session::run(data));
