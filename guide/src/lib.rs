//! The guide, whose examples compile.
#![forbid(unsafe_code)]
