//! NVMe and NVMe over Fabrics: what the bytes mean.
#![forbid(unsafe_code)]
