//! Whole paths through the engine, and every rule that a peer may break.

use crate::fuzzing::{Answer, HOST_NQN, Host, NQN, World};
use crate::{MemoryDevice, TransportOptions};
use doorbell_wire_nvme::event::AsyncEvent;
use doorbell_wire_nvme::feature::AsyncEventConfig;
use doorbell_wire_nvme::log::ChangedNamespaces;
use doorbell_wire_nvme::range::{CopyRange, DsmRange};
use doorbell_wire_nvme::*;
use doorbell_wire_nvme_tcp::{FatalStatus, Fault, H2cData, HostOffer};

mod deaf;
mod fused;
mod io;
mod namespaces;
mod rules;
mod shutdown;

fn connected(world: &mut World, offer: HostOffer) -> Host {
    let mut host = world.host(offer);
    assert!(host.connect_all(world));
    host
}

fn pair() -> (World, Host) {
    let mut world = World::new(16);
    let host = connected(&mut world, HostOffer::default());
    (world, host)
}

fn rw(slba: u64, blocks: u32) -> ReadWrite {
    ReadWrite { slba, blocks, ..ReadWrite::default() }
}

fn bytes_of(blocks: u32) -> u32 {
    blocks * 512
}

fn in_capsule(command: IoCommand, len: u32) -> Sqe {
    command.encode().with_nsid(1).with_sgl(Sgl::Offset { offset: 0, len })
}

fn transport(command: IoCommand, len: u32) -> Sqe {
    command.encode().with_nsid(1).with_sgl(Sgl::Transport { len })
}

fn pattern(len: u32, seed: u32) -> Vec<u8> {
    (0..len).map(|n| ((n * 31 + seed * 7 + n / 512) & 0xff) as u8).collect()
}

fn done(answer: Option<Answer>) -> Answer {
    let answer = answer.expect("no answer came");
    assert_eq!(answer.status, Status::SUCCESS, "{}", answer.status);
    answer
}

fn status(answer: Option<Answer>) -> Status {
    answer.expect("no answer came").status.code()
}

fn put(world: &mut World, host: &mut Host, lba: u64, data: &[u8]) {
    let len = data.len() as u32;
    done(host.io(world, &transport(IoCommand::Write(rw(lba, len / 512)), len), data));
}

fn get(world: &mut World, host: &mut Host, lba: u64, blocks: u32) -> Vec<u8> {
    done(host.io(world, &transport(IoCommand::Read(rw(lba, blocks)), bytes_of(blocks)), &[])).data
}
