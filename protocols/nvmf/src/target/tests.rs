//! What an operator may and may not do.

use super::*;
use crate::{MemoryDevice, NewSubsystem};
use doorbell_reactor::{Config, run};

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
