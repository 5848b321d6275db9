//! A submission queue entry as a target gets it, and the data that commands bring along.

use crate::show;
use doorbell_wire_nvme::fabrics::{ConnectData, ConnectInvalid, ConnectResult};
use doorbell_wire_nvme::range::{CopyRange, DsmRange};
use doorbell_wire_nvme::{
    AdminCommand, Cid, Connect, Copy, Cqe, DatasetManagement, FabricsCommand, IoCommand, Nqn, PropertySet, ReadWrite, Sgl, Sqe, ZoneAppend,
    bytes, register, view,
};

/// The first 64 bytes are an entry, the rest its data.
pub fn run(data: &[u8]) {
    let Some(sqe) = view::<Sqe>(data) else { return };
    let rest = &data[64..];

    let io = IoCommand::parse(sqe);
    assert_eq!(IoCommand::parse(&io.encode()), io);
    show(&io);
    let admin = AdminCommand::parse(sqe);
    assert_eq!(AdminCommand::parse(&admin.encode()), admin);
    show(&admin);

    let sgl = sqe.sgl();
    assert_eq!(sgl.encode().parse(), sgl);
    show(&(sqe.fuse(), sqe.flags.psdt(), sgl.data_len()));

    match io {
        IoCommand::Read(c) | IoCommand::Write(c) => assert!((1..=65536).contains(&c.blocks)),
        IoCommand::ZoneAppend(c) => assert!((1..=65536).contains(&c.blocks)),
        IoCommand::ZoneReceive(c) => assert!(c.len >= 4 && c.len.is_multiple_of(4)),
        IoCommand::DatasetManagement(c) => {
            assert!((1..=256).contains(&c.ranges));
            assert!(DsmRange::slice(rest).len() <= rest.len() / 16);
        }
        IoCommand::Copy(_) => assert!(CopyRange::slice(rest).iter().all(|range| range.blocks() >= 1)),
        _ => {}
    }
    if let Some(connect) = view::<ConnectData>(rest) {
        for name in [&connect.subnqn, &connect.hostnqn] {
            if let Ok(Ok(nqn)) = name.as_str().map(Nqn::new) {
                assert_eq!(Ok(nqn.as_str()), name.as_str());
            }
            show(name);
        }
    }
    completion(data);
}

/// The same bytes as what a host gets back.
fn completion(data: &[u8]) {
    let Some(cqe) = view::<Cqe>(data) else { return };
    let again = Cqe::new(cqe.cid(), cqe.status())
        .with_result(cqe.result())
        .with_sqhd(cqe.sqhd.get())
        .with_sqid(cqe.sqid.get())
        .with_phase(cqe.phase());
    assert_eq!(&again, cqe);
    show(&cqe.status());
    let dw0 = cqe.dw0.get();
    show(&(ConnectResult::from(dw0), ConnectInvalid::from(dw0)));
    show(&(register::Cap::from(cqe.result()), register::Cc::from(dw0), register::Csts::from(dw0)));
}

/// One of each kind.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let entry = |sqe: Sqe, data: &[u8]| [bytes(&sqe.with_cid(Cid(1))), data].concat();
    let mut connect = ConnectData { hostid: [7; 16], ..ConnectData::default() };
    connect.cntlid.set(0xffff);
    connect.subnqn = doorbell_wire_nvme::NqnField::new("nqn.2026-11.io.example:disk0");
    connect.hostnqn = doorbell_wire_nvme::NqnField::new("nqn.2014-08.org.nvmexpress:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
    let read = ReadWrite { slba: 2048, blocks: 8, ..ReadWrite::default() };
    let set_cc = PropertySet { len: Some(4), property: register::Property::CC, value: 0x46_0001 };
    let connect_command = Connect { sqsize: 31, kato_ms: 5000, ..Connect::default() };
    vec![
        ("read", entry(IoCommand::Read(read).encode().with_nsid(1).with_sgl(Sgl::Transport { len: 4096 }), &[])),
        ("write", entry(IoCommand::Write(read).encode().with_nsid(1).with_sgl(Sgl::Offset { offset: 0, len: 4096 }), &[])),
        (
            "dsm",
            entry(IoCommand::DatasetManagement(DatasetManagement { ranges: 2, deallocate: true, ..Default::default() }).encode(), &[1; 32]),
        ),
        ("copy", entry(IoCommand::Copy(Copy { ranges: 1, ..Copy::default() }).encode(), &[1; 32])),
        ("append", entry(IoCommand::ZoneAppend(ZoneAppend { blocks: 8, ..ZoneAppend::default() }).encode(), &[])),
        ("property_set", entry(FabricsCommand::PropertySet(set_cc).encode(), &[])),
        ("connect", entry(FabricsCommand::Connect(connect_command).encode(), bytes(&connect))),
        ("identify", entry(AdminCommand::Identify(Default::default()).encode(), &[])),
        ("get_log_page", entry(AdminCommand::GetLogPage(Default::default()).encode(), &[])),
    ]
}
