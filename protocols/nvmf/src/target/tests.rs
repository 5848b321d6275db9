//! What an operator may and may not do.

use super::*;
use crate::{MemoryDevice, NewSubsystem};
use doorbell_reactor::{Config, run};
use std::cell::RefCell;
use std::rc::Rc;

const NQN: &str = "nqn.2026-11.io.doorbell:one";

fn target() -> Target {
    let target = Target::new();
    target.create_transport(TransportOptions::default()).unwrap();
    target.create_subsystem(NewSubsystem { max_namespaces: 3, ..NewSubsystem::new(NQN) }).unwrap();
    target
}

#[test]
fn refusals() {
    let t = target();
    assert!(matches!(t.create_transport(TransportOptions::default()), Err(TargetError::TransportExists)));
    assert!(matches!(t.create_subsystem(NewSubsystem::new(NQN)), Err(TargetError::SubsystemExists(_))));
    assert!(matches!(t.create_subsystem(NewSubsystem::new("disk0")), Err(TargetError::Invalid(_))));
    let long = NewSubsystem { serial: "x".repeat(21), ..NewSubsystem::new("nqn.2026-11.io.doorbell:two") };
    assert!(matches!(t.create_subsystem(long), Err(TargetError::Text { .. })));
    assert!(matches!(t.delete_subsystem("nqn.2026-11.io.doorbell:two"), Err(TargetError::NoSubsystem(_))));
    assert!(matches!(t.delete_subsystem(doorbell_wire_nvme::DISCOVERY_NQN), Err(TargetError::Discovery(_))));
    assert!(matches!(t.remove_host(NQN, "nobody"), Err(TargetError::NoHost(_))));
    t.add_host(NQN, "nqn.2026-11.io.doorbell:host").unwrap();
    assert!(matches!(t.add_host(NQN, "nqn.2026-11.io.doorbell:host"), Err(TargetError::HostExists(_))));
    assert!(matches!(t.remove_listener(NQN, "127.0.0.1", "1"), Err(TargetError::NoListener(_))));
}

#[test]
fn namespace_ids() {
    let t = target();
    let new = |nsid| crate::NewNamespace { nsid, ..crate::fuzzing::namespace(MemoryDevice::new(9, 8), "m") };
    assert_eq!(t.add_namespace(NQN, new(Some(2))).unwrap(), 2);
    assert!(matches!(t.add_namespace(NQN, new(Some(2))), Err(TargetError::NsidInUse(2))));
    assert!(matches!(t.add_namespace(NQN, new(Some(4))), Err(TargetError::NsidRange { asked: 4, max: 3 })));
    assert_eq!(t.add_namespace(NQN, new(None)).unwrap(), 1);
    assert_eq!(t.add_namespace(NQN, new(None)).unwrap(), 3);
    assert!(matches!(t.add_namespace(NQN, new(None)), Err(TargetError::NsidRange { asked: 0, max: 3 })));
    let version = t.snapshot().version;
    assert_eq!(t.device_changed("m"), 3);
    assert_eq!(t.device_removed("m"), 3);
    assert_eq!(t.device_removed("m"), 0);
    assert_eq!(t.snapshot().version, version + 2);
    assert!(matches!(t.remove_namespace(NQN, 1), Err(TargetError::NoNamespace(1))));
}

struct Zoned;

impl doorbell_block::BlockDevice for Zoned {
    fn info(&self) -> Arc<doorbell_block::DeviceInfo> {
        let zones = doorbell_block::Zones { blocks: 64, max_open: 0, max_active: 0, max_append_blocks: 8 };
        Arc::new(doorbell_block::DeviceInfo { zones: Some(zones), ..doorbell_block::DeviceInfo::plain(9, 128) })
    }

    fn open(
        &self,
        _: &mut doorbell_block::Cx,
        _: doorbell_block::Token,
        _: u32,
    ) -> Result<Box<dyn doorbell_block::BlockQueue>, doorbell_block::OpenError> {
        Err(doorbell_block::OpenError::Gone)
    }
}

#[test]
fn a_zoned_device_is_refused_in_words() {
    let t = target();
    let new = crate::NewNamespace { device: Arc::new(Zoned), ..crate::fuzzing::namespace(MemoryDevice::new(9, 8), "zones0") };
    let error = t.add_namespace(NQN, new).unwrap_err().to_string();
    assert!(error.contains("zones0 is a zoned device"), "{error}");
}

#[test]
fn subsystems_share_a_socket_and_the_last_closes_it() {
    let config = Config { reactors: 2, ..Config::default() };
    let (_, closed) = run(&config, |local| async move {
        let t = target();
        t.start(&local).await.unwrap();
        let other = "nqn.2026-11.io.doorbell:other";
        t.create_subsystem(NewSubsystem::new(other)).unwrap();
        let at = t.add_listener(&local, NQN, "127.0.0.1", "0").await.unwrap();
        let port = at.port().to_string();
        assert_eq!(t.add_listener(&local, other, "127.0.0.1", &port).await.unwrap(), at);
        assert!(matches!(t.add_listener(&local, other, "127.0.0.1", &port).await, Err(TargetError::ListenerExists(_))));
        assert_eq!(t.add_listener(&local, other, "localhost", &port).await.unwrap().port(), at.port());
        assert!(t.add_listener(&local, other, "127.0.0.1", "no port").await.is_err());
        // IPv6 where the machine has it.
        if std::net::TcpListener::bind("[::1]:0").is_ok() {
            let six = t.add_listener(&local, other, "::1", "0").await.unwrap();
            assert!(six.is_ipv6());
            t.remove_listener(other, "::1", "0").unwrap();
        }
        let _one = std::net::TcpStream::connect(at).unwrap();
        while t.connections() == 0 {
            local.sleep_ns(1_000_000).await;
        }
        t.remove_listener(NQN, "127.0.0.1", "0").unwrap();
        t.delete_subsystem(other).unwrap();
        while std::net::TcpStream::connect(at).is_ok() {
            local.sleep_ns(1_000_000).await;
        }
        t.stop(&local, 1_000_000).await;
        assert_eq!(t.connections(), 0);
        assert!(t.stats().is_empty(), "a group stays");
    })
    .unwrap();
    assert!(closed.iter().all(|c| c.boxes_out == 0));
}

#[test]
fn those_who_listen_at_one_address_at_the_same_time_share_its_socket() {
    let (_, closed) = run(&Config { reactors: 1, ..Config::default() }, |local| async move {
        let t = target();
        t.start(&local).await.unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let names: Vec<String> = (0..4).map(|n| format!("nqn.2026-11.io.doorbell:n{n}")).collect();
        let outcomes = Rc::new(RefCell::new(Vec::new()));
        for nqn in names.iter().chain(names.last()) {
            let _ = t.create_subsystem(NewSubsystem::new(nqn));
            let (t, local2, nqn, port, outcomes) = (t.clone(), local.clone(), nqn.clone(), port.clone(), outcomes.clone());
            local.spawn(async move {
                let done = t.add_listener(&local2, &nqn, "127.0.0.1", &port).await;
                outcomes.borrow_mut().push(done);
            });
        }
        while outcomes.borrow().len() < 5 {
            local.sleep_ns(100_000).await;
        }
        let (good, bad): (Vec<_>, Vec<_>) = outcomes.take().into_iter().partition(Result::is_ok);
        assert_eq!(good.len(), 4, "{bad:?}");
        assert!(matches!(bad[..], [Err(TargetError::ListenerExists(_))]), "the same twice: {bad:?}");
        assert_eq!(t.state().listening.len(), 1);
        t.stop(&local, 1_000_000).await;
    })
    .unwrap();
    assert!(closed.iter().all(|c| c.boxes_out == 0));
}

#[test]
fn a_subsystem_that_goes_while_it_begins_to_listen_leaves_no_socket() {
    run(&Config { reactors: 1, ..Config::default() }, |local| async move {
        let t = target();
        t.start(&local).await.unwrap();
        let (t2, local2) = (t.clone(), local.clone());
        let outcome = Rc::new(RefCell::new(None));
        let there = outcome.clone();
        local.spawn(async move {
            let done = t2.add_listener(&local2, NQN, "127.0.0.1", "0").await;
            *there.borrow_mut() = Some(done);
        });
        let mut deleted = false;
        while outcome.borrow().is_none() {
            // Deleted as soon as it has begun.
            if !deleted && t.state().binding.is_some() {
                t.delete_subsystem(NQN).unwrap();
                deleted = true;
            }
            local.with(|_| ()).await;
        }
        assert!(deleted, "it listened before it could be deleted");
        assert!(matches!(outcome.take(), Some(Err(TargetError::NoSubsystem(_)))));
        assert!(t.state().listening.is_empty(), "a socket listens for nobody");
        t.stop(&local, 1_000_000).await;
    })
    .unwrap();
}

#[test]
fn a_group_whose_reactor_has_a_full_inbox_is_woken_all_the_same() {
    run(&Config { reactors: 2, ..Config::default() }, |local| async move {
        let t = target();
        t.start(&local).await.unwrap();
        let other = local.port(ReactorId(1)).unwrap();
        // The reactor stands still while its inbox is filled to the brim.
        let (go, stop) = std::sync::mpsc::channel::<()>();
        let hold = move |_: &mut doorbell_block::Cx| stop.recv().unwrap_or_default();
        other.send(Message::Visit(Box::new(hold))).unwrap();
        while other.send(Message::Visit(Box::new(|_| {}))).is_ok() {}
        let at = t.add_listener(&local, NQN, "127.0.0.1", "0").await.unwrap();
        // Two connections: one for each reactor.
        let hosts = [(); 2].map(|()| std::net::TcpStream::connect(at).unwrap());
        while t.connections() < 2 {
            local.sleep_ns(1_000_000).await;
        }
        go.send(()).unwrap();
        let waiting = || lock(&t.0.seats).iter().map(|s| s.waiting()).sum::<usize>();
        let deadline = local.now().after(20_000_000_000);
        while waiting() > 0 {
            assert!(local.now() < deadline, "a connection was given to a group that was not told");
            local.sleep_ns(1_000_000).await;
        }
        drop(hosts);
        t.stop(&local, 1_000_000).await;
    })
    .unwrap();
}

#[test]
fn there_are_no_more_subsystems_than_allowed() {
    let t = target();
    assert!(t.set_max_subsystems(1).is_err(), "there are two");
    t.set_max_subsystems(3).unwrap();
    t.create_subsystem(NewSubsystem::new("nqn.2026-11.io.doorbell:two")).unwrap();
    let more = t.create_subsystem(NewSubsystem::new("nqn.2026-11.io.doorbell:three"));
    assert!(matches!(more, Err(TargetError::TooManySubsystems(3))));
    t.delete_subsystem(NQN).unwrap();
    t.create_subsystem(NewSubsystem::new("nqn.2026-11.io.doorbell:three")).unwrap();
}
