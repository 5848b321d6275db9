//! NVMe/TCP PDUs: a sans-IO codec for both roles.
#![forbid(unsafe_code)]
