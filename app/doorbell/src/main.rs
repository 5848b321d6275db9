//! Doorbell: NVMe over TCP from files and memory, in user space.
#![forbid(unsafe_code)]
fn main() {}
