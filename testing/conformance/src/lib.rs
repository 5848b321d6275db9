//! One suite for every block device.
#![forbid(unsafe_code)]
