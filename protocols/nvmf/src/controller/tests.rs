//! What the controller says, through its own admin queue.

use crate::fuzzing::{Answer, HOST_NQN, Host, LOCAL, NQN, PEER, World, namespace};
use crate::{Listener, MemoryDevice, NewNamespace, NewSubsystem, TransportOptions};
use doorbell_wire_nvme::fabrics::{CNTLID_DYNAMIC, ConnectInvalid};
use doorbell_wire_nvme::feature::NumberOfQueues;
use doorbell_wire_nvme::identify::{NamespaceId, NamespaceIds, NamespaceList, Oncs};
use doorbell_wire_nvme::log::{DiscoveryEntry, DiscoveryHeader, ErrorEntry};
use doorbell_wire_nvme::register::{Cap, Cc, Csts, Property, ShutdownNotice, ShutdownStatus};
use doorbell_wire_nvme::*;
use doorbell_wire_nvme_tcp::HostOffer;

fn connected() -> (World, Host) {
    let mut world = World::new(16);
    let mut host = world.host(HostOffer::default());
    assert!(host.connect_all(&mut world));
    (world, host)
}

fn shaken(world: &mut World) -> Host {
    let mut host = world.host(HostOffer::default());
    host.handshake(world);
    host
}

fn ok(answer: Option<Answer>) -> Answer {
    let answer = answer.expect("no answer came");
    assert_eq!(answer.status, Status::SUCCESS, "{}", answer.status);
    answer
}

fn status(answer: Option<Answer>) -> Status {
    answer.expect("no answer came").status.code()
}

fn identify(world: &mut World, host: &mut Host, cns: Cns, nsid: u32) -> Option<Answer> {
    let sqe = AdminCommand::Identify(Identify { cns, ..Identify::default() }).encode().with_nsid(nsid);
    host.admin(world, &sqe.with_sgl(Sgl::Transport { len: 4096 }))
}

fn log(world: &mut World, host: &mut Host, lid: LogId, len: u32, offset: u64) -> Option<Answer> {
    let get = GetLogPage { lid, len: len.into(), offset, ..GetLogPage::default() };
    host.admin(world, &AdminCommand::GetLogPage(get).encode().with_sgl(Sgl::Transport { len }))
}

fn property(world: &mut World, host: &mut Host, property: Property, len: u32) -> Option<Answer> {
    host.fabrics(world, FabricsCommand::PropertyGet(PropertyGet { len: Some(len), property }), &[])
}

fn set(world: &mut World, host: &mut Host, fid: FeatureId, cdw11: u32) -> Option<Answer> {
    host.admin(world, &AdminCommand::SetFeatures(SetFeatures { fid, cdw11, ..SetFeatures::default() }).encode())
}

fn get(world: &mut World, host: &mut Host, fid: FeatureId) -> Option<Answer> {
    host.admin(world, &AdminCommand::GetFeatures(GetFeatures { fid, ..GetFeatures::default() }).encode())
}

/// Connects with something wrong, and says what the target found.
fn wrong(change: impl FnOnce(&mut Connect, &mut doorbell_wire_nvme::fabrics::ConnectData)) -> (Status, u64) {
    let mut world = World::new(16);
    let mut host = shaken(&mut world);
    let mut command = Connect { sqsize: 31, ..Connect::default() };
    let mut data = host.connect_data(NQN);
    change(&mut command, &mut data);
    let answer = host.fabrics(&mut world, FabricsCommand::Connect(command), bytes(&data)).expect("no answer came");
    assert!(world.target.controllers(NQN).is_empty(), "a refused host left a controller behind");
    (answer.status.code(), answer.result)
}

#[test]
fn connect_says_which_parameter_is_wrong() {
    let bad = |what: ConnectInvalid| (Status::CONNECT_INVALID_PARAMETERS, u64::from(what.into_bits()));
    assert_eq!(wrong(|_, d| d.subnqn = NqnField::new("nqn.2014-08.org.example:none")), bad(ConnectInvalid::SUBNQN));
    assert_eq!(wrong(|_, d| d.subnqn = NqnField([b'a'; 256])), bad(ConnectInvalid::SUBNQN));
    assert_eq!(wrong(|_, d| d.hostnqn = NqnField::default()), bad(ConnectInvalid::HOSTNQN));
    assert_eq!(wrong(|_, d| d.hostid = [0; 16]), bad(ConnectInvalid::HOSTID));
    assert_eq!(wrong(|_, d| d.cntlid = U16::new(5)), bad(ConnectInvalid::CNTLID));
    assert_eq!(wrong(|c, _| c.sqsize = 0), bad(ConnectInvalid::SQSIZE));
    assert_eq!(wrong(|c, _| c.sqsize = 128), bad(ConnectInvalid::SQSIZE));
    assert_eq!(wrong(|c, _| c.qid = 1000), bad(ConnectInvalid::QID));
    // An I/O queue without a controller.
    assert_eq!(wrong(|c, _| c.qid = 1), bad(ConnectInvalid::CNTLID));
    assert_eq!(wrong(|c, _| c.recfmt = 1).0, Status::INCOMPATIBLE_FORMAT);
}

#[test]
fn an_io_queue_belongs_to_its_host_and_is_connected_once() {
    let (mut world, mut host) = connected();
    let invalid = |answer: Answer| (answer.status.code(), answer.result);
    let (_end, answer) = host.connect_io(&mut world, 1).unwrap();
    assert_eq!(invalid(answer), (Status::CONNECT_INVALID_PARAMETERS, ConnectInvalid::QID.into_bits().into()));
    let (_end, answer) = host.connect_io(&mut world, 2).unwrap();
    assert!(answer.status.is_ok());
    host.cntlid = 99;
    let (_end, answer) = host.connect_io(&mut world, 3).unwrap();
    assert_eq!(invalid(answer), (Status::CONNECT_INVALID_PARAMETERS, ConnectInvalid::CNTLID.into_bits().into()));
    assert_eq!(world.target.queues(NQN).len(), 3);
    assert_eq!(world.target.controllers(NQN)[0].host_nqn, HOST_NQN);
}

#[test]
fn commands_wait_for_connect_and_for_the_controller_to_be_enabled() {
    let mut world = World::new(16);
    let mut host = shaken(&mut world);
    assert_eq!(status(property(&mut world, &mut host, Property::CAP, 8)), Status::COMMAND_SEQUENCE_ERROR);
    ok(host.connect_admin(&mut world, NQN, 0));
    assert_eq!(status(identify(&mut world, &mut host, Cns::CONTROLLER, 0)), Status::COMMAND_SEQUENCE_ERROR);
    let (_end, answer) = host.connect_io(&mut world, 1).unwrap();
    assert_eq!(answer.status.code(), Status::COMMAND_SEQUENCE_ERROR);
    ok(host.enable(&mut world));
    ok(identify(&mut world, &mut host, Cns::CONTROLLER, 0));
}

#[test]
fn properties_follow_the_life_of_the_controller() {
    let (mut world, mut host) = connected();
    let cap = Cap::from_bits(ok(property(&mut world, &mut host, Property::CAP, 8)).result);
    assert_eq!((cap.mqes(), cap.cqr(), cap.css() & 1), (127, true, 1));
    assert_eq!(status(property(&mut world, &mut host, Property::CAP, 4)), Status::INVALID_FIELD);
    assert_eq!(status(property(&mut world, &mut host, Property(0x1234), 4)), Status::INVALID_FIELD);
    let csts = |world: &mut World, host: &mut Host| Csts::from_bits(ok(property(world, host, Property::CSTS, 4)).result as u32);
    assert!(csts(&mut world, &mut host).rdy());
    let cc = Cc::new().with_en(true).with_iosqes(6).with_iocqes(4);
    ok(host.set_cc(&mut world, cc.with_shn(ShutdownNotice::NORMAL)));
    assert_eq!(csts(&mut world, &mut host).shst(), ShutdownStatus::COMPLETE);
    world.settle();
    assert!(host.io.as_ref().unwrap().is_closed(), "I/O goes on after the shutdown");
    // A reset, and it is usable again.
    ok(host.set_cc(&mut world, Cc::new()));
    assert!(!csts(&mut world, &mut host).rdy());
    ok(host.set_cc(&mut world, cc));
    let (_end, answer) = host.connect_io(&mut world, 1).unwrap();
    assert!(answer.status.is_ok());
    assert_eq!(status(host.set_cc(&mut world, Cc::new())), Status::SUCCESS);
    assert_eq!(status(host.set_cc(&mut world, cc.with_mps(3))), Status::INVALID_FIELD);
}

#[test]
fn identify_says_what_is_true() {
    let (mut world, mut host) = connected();
    let volatile = NewNamespace { read_only: true, ..namespace(MemoryDevice::new(12, 10).volatile(), "memory1") };
    world.target.add_namespace(NQN, NewNamespace { nsid: Some(7), eui64: Some([8; 8]), ..volatile }).unwrap();
    let page = ok(identify(&mut world, &mut host, Cns::CONTROLLER, 0)).data;
    let c: &identify::Controller = view(&page).unwrap();
    assert_eq!((c.vwc & 1, c.mdts, c.cntlid.get(), c.ioccsz.get()), (1, 5, host.cntlid, 260));
    let oncs = Oncs::from_bits(c.oncs.get());
    assert!(oncs.compare() && oncs.dataset_management() && oncs.write_zeroes() && oncs.verify() && oncs.copy());
    assert_eq!((c.awun.get(), c.awupf.get(), c.fuses.get() & 1), (63, 0, 1));
    assert_eq!(c.subnqn.as_str(), Ok(NQN));

    let page = ok(identify(&mut world, &mut host, Cns::NAMESPACE, 7)).data;
    let n: &identify::Namespace = view(&page).unwrap();
    assert_eq!((n.nsze.get(), n.block_len(), n.nsattr & 1, n.dlfeat & 7, n.eui64), (10, Some(4096), 1, 1, [8; 8]));
    let page = ok(identify(&mut world, &mut host, Cns::NAMESPACE, 8)).data;
    assert!(page.iter().all(|b| *b == 0), "an inactive namespace is all zeroes");
    assert_eq!(status(identify(&mut world, &mut host, Cns::NAMESPACE, 33)), Status::INVALID_NAMESPACE);
    assert_eq!(status(identify(&mut world, &mut host, Cns::NAMESPACE, NSID_ALL)), Status::INVALID_NAMESPACE);

    let page = ok(identify(&mut world, &mut host, Cns::ACTIVE_NAMESPACES, 0)).data;
    assert_eq!(view::<NamespaceList>(&page).unwrap().iter().collect::<Vec<_>>(), [1, 7]);
    let page = ok(identify(&mut world, &mut host, Cns::ACTIVE_NAMESPACES, 1)).data;
    assert_eq!(view::<NamespaceList>(&page).unwrap().iter().collect::<Vec<_>>(), [7]);
    let page = ok(identify(&mut world, &mut host, Cns::NAMESPACE_DESCRIPTORS, 7)).data;
    let ids: Vec<_> = NamespaceIds::new(&page).collect();
    assert_eq!(ids[0], NamespaceId::Eui64([8; 8]));
    assert_eq!(ids[2], NamespaceId::Uuid(*b"uuid of a device"));
    for cns in [Cns::CSI_NAMESPACE, Cns::CSI_CONTROLLER, Cns::INDEPENDENT_NAMESPACE, Cns::COMMAND_SETS, Cns::SUBSYSTEM_CONTROLLERS] {
        ok(identify(&mut world, &mut host, cns, 7));
    }
    assert_eq!(status(identify(&mut world, &mut host, Cns(0xee), 1)), Status::INVALID_FIELD);
}

#[test]
fn failed_commands_are_in_the_error_log_and_unknown_logs_are_refused() {
    let (mut world, mut host) = connected();
    assert_eq!(status(identify(&mut world, &mut host, Cns(0xee), 1)), Status::INVALID_FIELD);
    let page = ok(log(&mut world, &mut host, LogId::ERROR, 128, 0)).data;
    let e: &ErrorEntry = view(&page).unwrap();
    assert_eq!((e.error_count.get(), e.sqid.get(), e.opcode, e.status().code()), (1, 0, 6, Status::INVALID_FIELD));
    for lid in [LogId::SUPPORTED, LogId::SMART, LogId::FIRMWARE_SLOT, LogId::COMMAND_EFFECTS, LogId::FEATURE_EFFECTS] {
        ok(log(&mut world, &mut host, lid, 512, 0));
    }
    assert_eq!(status(log(&mut world, &mut host, LogId(0xc7), 512, 0)), Status::INVALID_LOG_PAGE);
    assert_eq!(status(log(&mut world, &mut host, LogId::SMART, 512, 513)), Status::INVALID_FIELD);
    assert_eq!(status(log(&mut world, &mut host, LogId::SMART, 512, 1 << 40)), Status::INVALID_FIELD);
    assert_eq!(status(log(&mut world, &mut host, LogId::SMART, 1 << 20, 0)), Status::DATA_SGL_LENGTH_INVALID);
}

#[test]
fn features_are_set_and_read() {
    let mut world = World::new(16);
    let mut host = shaken(&mut world);
    ok(host.connect_admin(&mut world, NQN, 15_000));
    ok(host.enable(&mut world));
    assert_eq!(ok(get(&mut world, &mut host, FeatureId::KEEP_ALIVE_TIMER)).result, 20_000);
    let asked = NumberOfQueues::new().with_submission(3).with_completion(5);
    let granted = ok(set(&mut world, &mut host, FeatureId::NUMBER_OF_QUEUES, asked.into_bits())).result;
    assert_eq!(granted, u64::from(NumberOfQueues::new().with_submission(3).with_completion(3).into_bits()));
    let (_end, answer) = host.connect_io(&mut world, 5).unwrap();
    assert_eq!(answer.result, u64::from(ConnectInvalid::QID.into_bits()), "more queues than granted");
    let (_end, answer) = host.connect_io(&mut world, 4).unwrap();
    assert!(answer.status.is_ok());
    assert_eq!(status(set(&mut world, &mut host, FeatureId::NUMBER_OF_QUEUES, 0)), Status::COMMAND_SEQUENCE_ERROR);
    assert_eq!(status(set(&mut world, &mut host, FeatureId(0xee), 0)), Status::INVALID_FIELD);
    assert_eq!(status(set(&mut world, &mut host, FeatureId::VOLATILE_WRITE_CACHE, 0)), Status::INVALID_FIELD, "there is no cache");
    let id = AdminCommand::GetFeatures(GetFeatures { fid: FeatureId::HOST_ID, cdw11: 1, ..GetFeatures::default() });
    assert_eq!(ok(host.admin(&mut world, &id.encode().with_sgl(Sgl::Transport { len: 16 }))).data, [7; 16]);
}

#[test]
fn four_event_requests_wait_and_a_fifth_is_refused() {
    let (mut world, mut host) = connected();
    for n in 0..4 {
        host.capsule(false, &AdminCommand::AsyncEventRequest.encode().with_cid(Cid(500 + n)), &[]);
    }
    assert_eq!(status(host.admin(&mut world, &AdminCommand::AsyncEventRequest.encode())), Status::AER_LIMIT_EXCEEDED);
}

#[test]
fn discovery_shows_a_host_what_it_may_reach_by_the_address_it_came() {
    let mut world = World::with(16, &TransportOptions::default(), MemoryDevice::new(9, 64));
    let hidden = "nqn.2026-11.io.doorbell:hidden";
    world.target.create_subsystem(NewSubsystem::new(hidden)).unwrap();
    let wildcard = |port| Listener { traddr: "0.0.0.0".into(), trsvcid: format!("{port}"), bound: ([0, 0, 0, 0], port).into() };
    world.target.note_listener(hidden, wildcard(4421)).unwrap();
    world.target.note_listener(NQN, wildcard(4422)).unwrap();
    let mut host = shaken(&mut world);
    ok(host.connect_admin(&mut world, DISCOVERY_NQN, 0));
    ok(host.enable(&mut world));
    let page = ok(log(&mut world, &mut host, LogId::DISCOVERY, 4096, 0)).data;
    let header: &DiscoveryHeader = view(&page).unwrap();
    assert_eq!(header.numrec.get(), 2, "the subsystem that admits nobody is not shown");
    let entry = |n: usize| view::<DiscoveryEntry>(&page[1024 * n..]).unwrap();
    assert_eq!(entry(1).subnqn.as_str(), Ok(NQN));
    assert_eq!((entry(2).traddr.as_str(), entry(2).trsvcid.as_str()), (Some(LOCAL.ip().to_string().as_str()), Some("4422")));
    assert_eq!(entry(2).cntlid.get(), CNTLID_DYNAMIC);
    let before = header.genctr.get();
    world.target.add_host(hidden, HOST_NQN).unwrap();
    let page = ok(log(&mut world, &mut host, LogId::DISCOVERY, 4096, 0)).data;
    let header: &DiscoveryHeader = view(&page).unwrap();
    assert_eq!(header.numrec.get(), 3);
    assert!(header.genctr.get() > before);
    assert_eq!(status(log(&mut world, &mut host, LogId::SMART, 512, 0)), Status::INVALID_LOG_PAGE);
    assert_ne!(PEER, LOCAL);
}

#[test]
fn a_discovery_controller_that_stays_is_told_of_changes() {
    use doorbell_wire_nvme::event::AsyncEvent;
    use doorbell_wire_nvme::feature::AsyncEventConfig;
    let mut world = World::new(16);
    let mut host = shaken(&mut world);
    ok(host.connect_admin(&mut world, DISCOVERY_NQN, 120_000));
    ok(host.enable(&mut world));
    let page = ok(identify(&mut world, &mut host, Cns::CONTROLLER, 0)).data;
    assert_eq!(view::<identify::Controller>(&page).unwrap().cntrltype, identify::ControllerType::DISCOVERY);
    ok(set(&mut world, &mut host, FeatureId::ASYNC_EVENT_CONFIG, AsyncEventConfig::new().with_discovery(true).into_bits()));
    let change = |world: &mut World, host: &mut Host, n: u16| {
        host.capsule(false, &AdminCommand::AsyncEventRequest.encode().with_cid(Cid(n)), &[]);
        world.target.create_subsystem(NewSubsystem::new(&format!("nqn.2026-11.io.doorbell:n{n}"))).unwrap();
        world.settle();
        host.admin.read();
        host.admin.answers.pop_front().map(|a| a.result)
    };
    assert_eq!(change(&mut world, &mut host, 600), Some(AsyncEvent::DISCOVERY_CHANGED.into_bits().into()));
    assert_eq!(change(&mut world, &mut host, 601), None, "told again before the log was read");
    ok(log(&mut world, &mut host, LogId::DISCOVERY, 1024, 0));
    world.settle();
    host.admin.read();
    assert_eq!(host.admin.answers.pop_front().map(|a| a.cid), Some(Cid(601)), "what happened meanwhile is told after the log was read");
}
