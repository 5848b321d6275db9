//! What the target holds, as clients see it and as the saved configuration makes it again.

use super::object;
use super::params::{CreateSubsystem, CreateTransport};
use crate::subsystem::{Kind, Listener, Namespace, Subsystem};
use crate::target::{ControllerInfo, GroupStats, QueueInfo};
use crate::{Snapshot, TransportOptions, VfioUserOptions};
use doorbell_control::{ConfigCall, Uuid};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;

fn upper_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}

/// The transport: what is in force, and what is kept of what was asked.
pub(super) fn transport(t: &TransportOptions, asked: Option<&CreateTransport>) -> Map<String, Value> {
    let mut o = Map::new();
    let mut put = |key: &str, value: Value| drop(o.insert(key.to_owned(), value));
    put("trtype", "TCP".into());
    put("max_queue_depth", t.max_queue_depth.into());
    put("max_io_qpairs_per_ctrlr", t.max_io_queues.into());
    put("in_capsule_data_size", t.in_capsule_bytes.into());
    put("max_io_size", t.max_io_bytes.into());
    put("max_aq_depth", t.max_admin_depth.into());
    let kept: [(&str, Value); 8] = [
        ("iobuf_small_cache_size", u32::MAX.into()),
        ("iobuf_large_cache_size", u32::MAX.into()),
        ("dif_insert_or_strip", false.into()),
        ("zcopy", false.into()),
        ("sock_priority", 0.into()),
        ("abort_timeout_sec", 1.into()),
        ("ack_timeout", 0.into()),
        ("data_wr_pool_size", 0.into()),
    ];
    let given = asked.map(object).unwrap_or_default();
    for (key, plain) in kept {
        put(key, given.get(key).cloned().unwrap_or(plain));
    }
    put("c2h_success", t.c2h_success.into());
    put("disable_command_passthru", given.get("disable_command_passthru").cloned().unwrap_or(false.into()));
    put("kas", 100.into());
    put("min_kato", t.min_keep_alive_ms.into());
    // SPDK has none of these, so they are told where they differ from what is so anyway.
    let plain = TransportOptions::default();
    let ms = |ns: u64| ns / 1_000_000;
    let ours: [(&str, Value, bool); 7] = [
        ("max_connections", t.max_connections.into(), t.max_connections != plain.max_connections),
        ("header_digest", t.header_digest.into(), t.header_digest != plain.header_digest),
        ("data_digest", t.data_digest.into(), t.data_digest != plain.data_digest),
        ("handshake_timeout_ms", ms(t.handshake_timeout_ns).into(), t.handshake_timeout_ns != plain.handshake_timeout_ns),
        ("max_r2t_bytes", t.max_asked_bytes.into(), t.max_asked_bytes != plain.max_asked_bytes.max(t.max_io_bytes)),
        ("send_timeout_ms", ms(t.send_timeout_ns).into(), t.send_timeout_ns != plain.send_timeout_ns),
        ("data_timeout_ms", ms(t.data_timeout_ns).into(), t.data_timeout_ns != plain.data_timeout_ns),
    ];
    for (key, value, _) in ours.into_iter().filter(|(_, _, differs)| *differs) {
        put(key, value);
    }
    o
}

/// The vfio-user transport.
pub(super) fn vfio_user(v: &VfioUserOptions, asked: Option<&CreateTransport>) -> Map<String, Value> {
    let given = asked.map(object).unwrap_or_default();
    let (t, plain) = (&v.common, VfioUserOptions::default());
    let mut o = Map::new();
    let mut put = |key: &str, value: Value| drop(o.insert(key.to_owned(), value));
    put("trtype", "VFIOUSER".into());
    put("max_queue_depth", t.max_queue_depth.into());
    put("max_io_qpairs_per_ctrlr", t.max_io_queues.into());
    put("in_capsule_data_size", 0.into());
    put("max_io_size", t.max_io_bytes.into());
    put("max_aq_depth", t.max_admin_depth.into());
    put("abort_timeout_sec", given.get("abort_timeout_sec").cloned().unwrap_or(1.into()));
    put("disable_mappable_bar0", (!v.mappable_doorbells).into());
    put("disable_adaptive_irq", (!v.adaptive_irq).into());
    put("disable_shadow_doorbells", (!v.shadow_doorbells).into());
    // SPDK has neither, so they are told where they differ from what is so anyway.
    if t.handshake_timeout_ns != plain.common.handshake_timeout_ns {
        put("handshake_timeout_ms", (t.handshake_timeout_ns / 1_000_000).into());
    }
    if v.idle_look_ns != plain.idle_look_ns {
        put("idle_look_us", (v.idle_look_ns / 1000).into());
    }
    o
}

/// The calls that set again what holds for the whole target.
pub(super) fn limits_of(s: &Snapshot) -> Vec<ConfigCall> {
    let [crdt1, crdt2, crdt3] = s.retry_delays_100ms;
    let all = [
        ("nvmf_set_max_subsystems", json!({ "max_subsystems": s.max_subsystems })),
        ("nvmf_set_crdt", json!({ "crdt1": crdt1, "crdt2": crdt2, "crdt3": crdt3 })),
    ];
    let object = |(method, params)| if let Value::Object(o) = params { Some(ConfigCall::with(method, o)) } else { None };
    all.into_iter().filter_map(object).collect()
}

fn family(bound: SocketAddr) -> &'static str {
    if bound.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn listener(l: &Listener) -> Value {
    json!({ "trtype": "TCP", "adrfam": family(l.bound), "traddr": l.traddr, "trsvcid": l.trsvcid })
}

/// A folder of vfio-user.
fn endpoint(folder: &str) -> Value {
    json!({ "trtype": "VFIOUSER", "traddr": folder, "trsvcid": "0" })
}

/// Wherever a subsystem is reached.
pub(super) fn listeners(s: &Subsystem) -> impl Iterator<Item = Value> + '_ {
    s.listeners.iter().map(listener).chain(s.endpoints.iter().map(|folder| endpoint(folder)))
}

fn namespace(n: &Namespace, twice: bool) -> Map<String, Value> {
    let mut o = Map::new();
    o.insert("nsid".into(), n.nsid.into());
    o.insert("bdev_name".into(), n.name.clone().into());
    if twice {
        o.insert("name".into(), n.name.clone().into());
    }
    o.insert("nguid".into(), upper_hex(&n.nguid_or_uuid()).into());
    if let Some(e) = n.eui64 {
        o.insert("eui64".into(), upper_hex(&e).into());
    }
    o.insert("uuid".into(), Uuid(n.uuid).to_string().into());
    o
}

/// A namespace, as the call that makes it again has it.
fn saved(n: &Namespace) -> Map<String, Value> {
    let mut o = namespace(n, false);
    o.insert("no_auto_visible".into(), false.into());
    o
}

/// A subsystem, for `nvmf_get_subsystems`.
pub(super) fn subsystem(s: &Subsystem, asked: Option<&CreateSubsystem>) -> Value {
    let mut o = Map::new();
    let mut put = |key: &str, value: Value| drop(o.insert(key.to_owned(), value));
    put("nqn", s.nqn.clone().into());
    put("subtype", if s.kind == Kind::Discovery { "Discovery" } else { "NVMe" }.into());
    put("listen_addresses", listeners(s).collect());
    put("allow_any_host", s.allow_any_host.into());
    put("hosts", s.hosts.iter().map(|h| json!({ "nqn": h })).collect());
    if s.kind == Kind::Nvm {
        put("serial_number", s.serial.clone().into());
        put("model_number", s.model.clone().into());
        if let Some(label) = asked.and_then(|a| object(a).get("admin_label").cloned()) {
            put("admin_label", label);
        }
        put("max_namespaces", s.max_namespaces.into());
        put("passthrough", false.into());
        put("min_cntlid", s.cntlids.0.into());
        put("max_cntlid", s.cntlids.1.into());
        for (key, value) in limits(asked) {
            put(key, value);
        }
        put("namespaces", s.namespaces.values().map(|n| Value::Object(namespace(n, true))).collect());
    }
    Value::Object(o)
}

/// What is kept of a subsystem only for saving, with SPDK's defaults.
fn limits(asked: Option<&CreateSubsystem>) -> [(&'static str, Value); 2] {
    let given = asked.map(object).unwrap_or_default();
    let kept = |key: &str, plain: u32| given.get(key).cloned().unwrap_or(plain.into());
    [("dmrsl", kept("dmrsl", 2_097_152)), ("wzsl", kept("wzsl", 12))]
}

/// The calls that make a subsystem again.
pub(super) fn calls(s: &Subsystem, asked: Option<&CreateSubsystem>) -> Vec<ConfigCall> {
    let mut calls = Vec::new();
    let mut call = |method: &'static str, params: Value| {
        if let Value::Object(o) = params {
            calls.push(ConfigCall::with(method, o));
        }
    };
    if s.kind == Kind::Nvm {
        let mut o = Map::new();
        o.insert("nqn".into(), s.nqn.clone().into());
        o.insert("allow_any_host".into(), s.allow_any_host.into());
        o.insert("serial_number".into(), s.serial.clone().into());
        o.insert("model_number".into(), s.model.clone().into());
        if let Some(label) = asked.and_then(|a| object(a).get("admin_label").cloned()) {
            o.insert("admin_label".into(), label);
        }
        o.insert("max_namespaces".into(), s.max_namespaces.into());
        o.insert("min_cntlid".into(), s.cntlids.0.into());
        o.insert("max_cntlid".into(), s.cntlids.1.into());
        o.insert("ana_reporting".into(), false.into());
        o.extend(limits(asked).map(|(key, value)| (key.to_owned(), value)));
        o.insert("passthrough".into(), false.into());
        o.insert("enable_nssr".into(), false.into());
        call("nvmf_create_subsystem", Value::Object(o));
    }
    for host in &s.hosts {
        call("nvmf_subsystem_add_host", json!({ "nqn": s.nqn, "host": host }));
    }
    for n in s.namespaces.values() {
        call("nvmf_subsystem_add_ns", json!({ "nqn": s.nqn, "namespace": saved(n) }));
    }
    for address in listeners(s) {
        call("nvmf_subsystem_add_listener", json!({ "nqn": s.nqn, "listen_address": address, "secure_channel": false }));
    }
    calls
}

pub(super) fn controller(c: &ControllerInfo, kind: Kind) -> Value {
    json!({
        "cntlid": c.cntlid,
        "cntrltype": if kind == Kind::Discovery { "discovery" } else { "io" },
        "hostnqn": c.host_nqn,
        "hostid": Uuid(c.host_id).to_string(),
        "num_io_qpairs": c.io_queues,
        "keep_alive_ms": c.keep_alive_ms,
    })
}

fn address(a: SocketAddr) -> Value {
    json!({ "trtype": "TCP", "adrfam": family(a), "traddr": a.ip().to_canonical().to_string(), "trsvcid": a.port().to_string() })
}

pub(super) fn queue(q: &QueueInfo) -> Value {
    let (local, peer) = match &q.endpoint {
        Some(folder) => (endpoint(folder), endpoint(folder)),
        None => (address(q.local), address(q.peer)),
    };
    json!({
        "cntlid": q.cntlid,
        "qid": q.qid,
        "state": "enabled",
        "thread": group_name(q.reactor),
        "hostnqn": q.host_nqn,
        "depth": q.depth,
        "listen_address": local,
        "peer_address": peer,
    })
}

fn group_name(reactor: u32) -> String {
    format!("nvmf_tgt_poll_group_{reactor:03}")
}

pub(super) fn group(g: &GroupStats, transports: &[Value]) -> Value {
    json!({
        "name": group_name(g.reactor),
        "admin_qpairs": g.admin_queues_ever,
        "io_qpairs": g.io_queues_ever,
        "current_admin_qpairs": g.admin_queues,
        "current_io_qpairs": g.io_queues,
        "current_unassociated_qpairs": 0,
        "pending_bdev_io": 0, // none ever waits at a device's door: what lacks a box or buffer waits in its connection
        "waits_for_buffers": g.waits,
        "completed_nvme_io": g.completed,
        "socket_receives": g.receives,
        "socket_sends": g.sends,
        "epoll_waits": g.looks,
        "bytes_copied": g.copied_bytes,
        "transports": transports,
    })
}
