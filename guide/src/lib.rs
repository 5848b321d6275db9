//! The guide's chapters. Each is a page of its own under `chapters/`; their Rust examples are doc tests of this crate, so they compile.
#![forbid(unsafe_code)]

/// Adding a back end.
#[doc = include_str!("../chapters/add-a-back-end.md")]
pub mod add_a_back_end {}

/// Serving: from the first command to a disk that a host has mounted.
#[doc = include_str!("../chapters/serving.md")]
pub mod serving {}

/// What is not proven.
#[doc = include_str!("../chapters/not-proven.md")]
pub mod not_proven {}

/// Using the block layer as a library.
#[doc = include_str!("../chapters/library.md")]
pub mod library {}

/// Memory, timeouts, force, and the log.
#[doc = include_str!("../chapters/memory.md")]
pub mod memory {}

/// Performance: what was measured, and what stands in the way.
#[doc = include_str!("../chapters/performance.md")]
pub mod performance {}

/// Taking a drive from the kernel.
#[doc = include_str!("../chapters/drives.md")]
pub mod drives {}

/// Drives elsewhere.
#[doc = include_str!("../chapters/remote.md")]
pub mod remote {}

/// Looking into volume stores.
#[doc = include_str!("../chapters/volumes.md")]
pub mod volumes {}

/// Looking at NVMe controllers.
#[doc = include_str!("../chapters/nvme.md")]
pub mod nvme {}
