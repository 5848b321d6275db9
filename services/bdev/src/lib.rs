//! The block device layer.
#![forbid(unsafe_code)]
