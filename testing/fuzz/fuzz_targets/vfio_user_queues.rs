//! See [`doorbell_fuzz::vfio_user_queues`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| doorbell_fuzz::vfio_user_queues::run(data));
