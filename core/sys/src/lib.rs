//! What Doorbell needs from the operating system, each part behind a safe interface.
//!
//! * between threads: [`ring`], [`wakeup`], [`helper`] (the only threads made here);
//! * waiting and time: [`epoll`], [`clock`], [`cpu`];
//! * bytes: [`socket`], [`passed`] (what another process hands over), [`mod@file`], and three engines of one shape that carry out operations on files: [`aio`], [`uring`], [`helper`];
//! * for tests and benchmarks: [`alloc_count`].
//!
//! Nothing here decides anything, and nothing on the path of a request takes a lock.
//!
//! This is an unsafe island. Its invariants stand at the head of each module; the concurrent ones (`ring`, `wakeup`) are checked
//! exhaustively by loom: `RUSTFLAGS="--cfg loom" cargo test -p doorbell-sys --lib --release`.

// Unsafe island: system calls over raw memory, lock-free slots and CPU instructions have no safe form.
#![allow(unsafe_code)]

pub mod aio;
pub mod alloc_count;
pub mod clock;
pub mod cpu;
pub mod epoll;
pub mod file;
pub mod helper;
mod iovec;
pub mod notice;
pub mod passed;
pub mod ring;
pub mod socket;
mod sync;
#[cfg(all(test, not(loom)))]
mod temp;
pub mod uring;
pub mod wakeup;
