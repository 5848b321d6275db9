//! What Doorbell needs from the operating system, each part behind a safe interface.
//!
//! Rings between threads, the protocol by which a sleeping reactor is woken, epoll, clocks and CPUs. Nothing here decides anything: no
//! policy, no threads of its own, no locks on the path of a request.
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
mod iovec;
pub mod ring;
pub mod socket;
mod sync;
#[cfg(all(test, not(loom)))]
mod temp;
pub mod uring;
pub mod wakeup;
