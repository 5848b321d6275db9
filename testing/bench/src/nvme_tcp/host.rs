//! The bench's host: as much of an initiator as it needs. It connects an admin queue and one I/O queue, enables the controller and asks
//! how large the namespace is. No reconnection, no keep-alive (the queues connect without one), no digests.

use super::link::{Link, wait};
use doorbell_wire_nvme::fabrics::{CNTLID_DYNAMIC, ConnectAttributes, ConnectData, ConnectResult};
use doorbell_wire_nvme::identify::{Controller, Namespace};
use doorbell_wire_nvme::register::{Cc, Csts, Property};
use doorbell_wire_nvme::{
    AdminCommand, Cid, Cns, Connect, FabricsCommand, Identify, NqnField, PropertyGet, PropertySet, Sgl, Sqe, U16, Wire, bytes, view,
};
use std::net::SocketAddr;

/// Entries of the I/O queue: one more, at least, than the deepest case has commands outstanding (TCP 1.1 without flow control).
pub(super) const ENTRIES: u16 = 256;

/// A host with its two queues.
pub(super) struct Host {
    /// Kept open: the controller lives as long as its admin queue.
    _admin: Link,
    pub(super) io: Link,
    pub(super) block_shift: u32,
    pub(super) blocks: u64,
    /// Data that fits into a command capsule, in bytes.
    pub(super) in_capsule: u32,
    /// Data of one command, in bytes.
    pub(super) longest: u64,
}

impl Host {
    /// Connects to the subsystem `nqn` at `address` and makes it ready for I/O on namespace 1.
    pub(super) fn connect(address: SocketAddr, nqn: &str) -> Result<Host, String> {
        let mut admin = Link::open(address)?;
        let result = connect_queue(&mut admin, nqn, CNTLID_DYNAMIC, 0, 32)?;
        let cntlid = ConnectResult::from_bits(u32::try_from(result & 0xffff_ffff).unwrap_or(0)).cntlid();
        enable(&mut admin)?;
        let controller: Controller = identify(&mut admin, Cns::CONTROLLER, 0)?;
        let namespace: Namespace = identify(&mut admin, Cns::NAMESPACE, 1)?;
        let block = namespace.block_len().ok_or("namespace 1 has no block size")?;
        let mut io = Link::open(address)?;
        connect_queue(&mut io, nqn, cntlid, 1, ENTRIES)?;
        Ok(Host {
            _admin: admin,
            io,
            block_shift: block.ilog2(),
            blocks: namespace.nsze.get(),
            in_capsule: u32::try_from(controller.in_capsule_len()).unwrap_or(u32::MAX),
            longest: controller.max_transfer(0).unwrap_or(u64::MAX),
        })
    }
}

/// Connects a queue of `entries` entries without flow control, and gives dwords 0 and 1 of the answer.
#[allow(clippy::field_reassign_with_default)] // Wire structures have private reserved fields.
fn connect_queue(link: &mut Link, nqn: &str, cntlid: u16, qid: u16, entries: u16) -> Result<u64, String> {
    let mut data = ConnectData::default();
    data.hostid = *b"doorbell bench  ";
    data.cntlid = U16::new(cntlid);
    data.subnqn = NqnField::new(nqn);
    data.hostnqn = NqnField::new("nqn.2026-11.io.doorbell:bench");
    let cattr = ConnectAttributes::new().with_disable_sqfc(true);
    let command = Connect { qid, sqsize: entries - 1, cattr, ..Connect::default() };
    let data = bytes(&data);
    let len = u32::try_from(data.len()).map_err(|e| e.to_string())?;
    let sqe = FabricsCommand::Connect(command).encode().with_cid(Cid(0)).with_sgl(Sgl::Offset { offset: 0, len });
    link.command(&sqe, data).map(|(cqe, _)| cqe.result())
}

/// Sets CC.EN and waits for CSTS.RDY.
fn enable(admin: &mut Link) -> Result<(), String> {
    let cc = Cc::new().with_en(true).with_iosqes(6).with_iocqes(4);
    let set = PropertySet { len: Some(4), property: Property::CC, value: cc.into_bits().into() };
    admin.command(&FabricsCommand::PropertySet(set).encode(), &[])?;
    let get = FabricsCommand::PropertyGet(PropertyGet { len: Some(4), property: Property::CSTS }).encode();
    let ready = || {
        let (cqe, _) = admin.command(&get, &[])?;
        let csts = Csts::from_bits(u32::try_from(cqe.result() & 0xffff_ffff).unwrap_or(0));
        Ok(csts.rdy().then_some(()))
    };
    wait(ready, "the controller to become ready")
}

/// An identify structure.
fn identify<T: Wire + Clone>(admin: &mut Link, cns: Cns, nsid: u32) -> Result<T, String> {
    let command = AdminCommand::Identify(Identify { cns, ..Identify::default() });
    let sqe: Sqe = command.encode().with_nsid(nsid).with_sgl(Sgl::Transport { len: 4096 });
    let (_, data) = admin.command(&sqe, &[])?;
    view::<T>(&data).cloned().ok_or_else(|| format!("Identify gave {} bytes", data.len()))
}
