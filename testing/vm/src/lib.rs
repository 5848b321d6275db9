//! Runs commands in a QEMU guest.
#![forbid(unsafe_code)]
