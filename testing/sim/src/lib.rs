//! Seeded simulation: clock, order, network, disk, power cut.
#![forbid(unsafe_code)]
