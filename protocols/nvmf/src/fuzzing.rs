//! A whole target without sockets, threads or a clock: what fuzzers and tests drive.
//!
//! [`fuzz_connection`] takes any bytes. It must neither panic nor hang, lose no box, and leave another host's connection unharmed.

mod host;
mod vfio_user;
mod world;

pub use vfio_user::{fuzz_memory_queues, fuzz_vfio_user_messages};

pub(crate) use host::Host;
#[cfg(test)]
pub(crate) use host::{Answer, End, HOST_NQN};
pub(crate) use world::World;
#[cfg(test)]
pub(crate) use world::{LOCAL, NQN, PEER, namespace};

use doorbell_wire_nvme::{Cid, IoCommand, ReadWrite, Sgl, Sqe, Status};
use doorbell_wire_nvme_tcp::{H2cData, HostOffer};

/// What is left of the fuzzer's bytes.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(n).unwrap_or((self.0, &[]));
        self.0 = rest;
        taken
    }

    fn word(&mut self) -> u32 {
        self.take(4).first_chunk().map_or(0, |b| u32::from_le_bytes(*b))
    }
}

/// Drives a target with what `data` says: handshakes, commands, data and garbage on one connection, while another goes on.
///
/// # Panics
/// If the target has a bug: a box lost, a neighbour disturbed.
#[allow(clippy::panic)] // A fuzzer is told by a panic.
pub fn fuzz_connection(data: &[u8]) {
    let mut world = World::new(16);
    let mut neighbour = world.host(HostOffer::default());
    let mut ok = neighbour.connect_all(&mut world);
    let mut bytes = Bytes(data);
    let mode = bytes.byte().unwrap_or(0);
    let offer = HostOffer { header_digest: mode & 1 != 0, data_digest: mode & 2 != 0, ..HostOffer::default() };
    let mut victim = world.host(offer);
    if mode & 4 != 0 {
        victim.handshake(&mut world);
    }
    if mode & 8 != 0 {
        victim.connect_all(&mut world);
    }
    let mut on_io = mode & 16 != 0;
    while let Some(op) = bytes.byte() {
        match op & 7 {
            0 => victim.raw(on_io, bytes.take(usize::from(op >> 3) + 1)),
            1 | 2 => {
                let sqe = doorbell_wire_nvme::view::<Sqe>(bytes.take(64)).copied().unwrap_or_default();
                victim.capsule(on_io, &sqe, &vec![op; usize::from(op >> 3) * 64]);
            }
            3 => {
                let word = bytes.word();
                let [tag, cid, at, _] = word.to_le_bytes();
                let part = H2cData {
                    cccid: Cid(cid.into()),
                    ttag: tag.into(),
                    offset: u32::from(at) * 512,
                    len: u32::from(op >> 3) * 512 + 512,
                    last: word >> 31 != 0,
                };
                victim.h2c(on_io, &part);
            }
            4 => world.advance(u64::from(op >> 3) * 1_000_000_000),
            5 => on_io = !on_io,
            6 => victim.read(on_io),
            _ => world.settle(),
        }
    }
    world.settle();
    if world.now() < 5_000_000_000 {
        // Nothing that the victim did is seen by the neighbour.
        let read = IoCommand::Read(ReadWrite::default()).encode().with_nsid(1).with_sgl(Sgl::Transport { len: 512 });
        ok &= neighbour.io(&mut world, &read, &[]).is_some_and(|a| a.status == Status::SUCCESS && a.data.len() == 512);
        assert!(ok, "another host's connection was disturbed");
    }
    neighbour.hang_up();
    victim.hang_up();
    world.settle();
    assert_eq!(world.boxes_out(), 0, "boxes were lost");
    assert_eq!(world.connections(), 0, "connections stay");
}

#[cfg(test)]
mod tests;
