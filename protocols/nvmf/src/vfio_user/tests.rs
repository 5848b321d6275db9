//! The server, message by message, and the function behind it, command by command.

use super::rig::*;
use crate::{MemoryDevice, VfioUserOptions};
use doorbell_sys::passed::{Bell, sealed_memory};
use doorbell_wire_nvme::register::{Cc, ShutdownNotice, ShutdownStatus};
use doorbell_wire_nvme::*;
use doorbell_wire_vfio_user::*;
use std::os::fd::AsFd;

mod gate;
mod hostile;
mod io;
mod life;
mod orders;
mod queues;

fn rw(slba: u64, blocks: u32) -> ReadWrite {
    ReadWrite { slba, blocks, ..ReadWrite::default() }
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|n| ((n * 31 + seed * 7 + n / 512) & 0xff) as u8).collect()
}

/// A controller with one queue pair.
fn ready(rig: &mut Rig) -> Guest {
    let mut guest = Guest::new(rig);
    guest.create(rig, 1);
    guest
}

fn write(slba: u64, blocks: u32, one: u64, two: u64) -> Sqe {
    prp(IoCommand::Write(rw(slba, blocks)).encode().with_nsid(1), one, two)
}

fn read(slba: u64, blocks: u32, one: u64, two: u64) -> Sqe {
    prp(IoCommand::Read(rw(slba, blocks)).encode().with_nsid(1), one, two)
}
