//! The discovery log (Base 2.1, 5.1.12.3.1): what this host may reach, by addresses that it can reach.
#![allow(clippy::field_reassign_with_default)] // Wire structures have private reserved fields.

use super::Env;
use crate::subsystem::Kind;
use crate::{Listener, Subsystem};
use doorbell_wire_nvme::fabrics::CNTLID_DYNAMIC;
use doorbell_wire_nvme::log::{DiscoveryEntry, DiscoveryHeader, Treq};
use doorbell_wire_nvme::{AddressFamily, Ascii, NqnField, SecureType, SubsystemType, TransportType, U16, U64, bytes};
use std::net::{IpAddr, SocketAddr};

/// Secure channel not required (Base 2.1, 5.1.12.3.1: TREQ.TSC).
const NOT_REQUIRED: u8 = 2;

/// The log for a host.
pub(super) fn log(env: &Env<'_>, host: &str) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut count = 0u64;
    for s in env.snapshot.subsystems.iter().filter(|s| s.admits(host)) {
        for (n, l) in s.listeners.iter().enumerate() {
            if let Some(at) = seen(l, env.local) {
                entries.extend_from_slice(bytes(&entry(s, at, n, env)));
                count += 1;
            }
        }
    }
    let mut header = DiscoveryHeader::default();
    header.genctr = U64::new(env.snapshot.genctr);
    header.numrec = U64::new(count);
    [bytes(&header), &entries].concat()
}

/// The address by which a host that came by `local` reaches a listener: a wildcard is the address by which it came.
fn seen(listener: &Listener, local: SocketAddr) -> Option<SocketAddr> {
    let bound = listener.bound;
    if !bound.ip().is_unspecified() {
        return Some(bound);
    }
    (bound.is_ipv4() == local.is_ipv4()).then(|| SocketAddr::new(local.ip(), bound.port()))
}

fn entry(s: &Subsystem, at: SocketAddr, port: usize, env: &Env<'_>) -> DiscoveryEntry {
    let mut e = DiscoveryEntry::default();
    e.trtype = TransportType::TCP;
    e.adrfam = if at.is_ipv4() { AddressFamily::IPV4 } else { AddressFamily::IPV6 };
    e.subtype = if s.kind == Kind::Discovery { SubsystemType::CURRENT_DISCOVERY } else { SubsystemType::NVM };
    e.treq = Treq::new().with_secure_channel(NOT_REQUIRED).with_no_flow_control(true).into_bits();
    e.portid = U16::new(u16::try_from(port).unwrap_or(u16::MAX));
    e.cntlid = U16::new(CNTLID_DYNAMIC);
    e.asqsz = U16::new(env.snapshot.options.max_admin_depth);
    e.trsvcid = Ascii::new(&at.port().to_string());
    e.subnqn = NqnField::new(&s.nqn);
    e.traddr = Ascii::new(&shown(at.ip()).to_string());
    e.set_tcp_security(SecureType::NONE);
    e
}

fn shown(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}
