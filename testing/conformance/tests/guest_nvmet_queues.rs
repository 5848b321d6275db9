//! The driver's NVMe/TCP queue against Linux's own target (nvmet-tcp), both in one QEMU guest: verified data with and without digests, with
//! flow control, discovery, and the errors of a wrong name and a host that is not allowed.
//!
//! The test boots a guest that runs this same binary again, inside. What is not shown: speed (CPUs are emulated), and short writes outside
//! of capsules, whose data that target never asks for.

mod initiator;

use doorbell_nvme::session::Session;
use doorbell_nvme::{Failure, TcpOffer, TcpSpec};
use doorbell_vm::Guest;
use doorbell_wire_nvme::fabrics::CNTLID_DYNAMIC;
use doorbell_wire_nvme::register::Property;
use doorbell_wire_nvme::{AddressFamily, SubsystemType};
use initiator::{HOST, Load, connect, discover, spec};
use std::env;
use std::net::SocketAddr;

const INSIDE: &str = "DOORBELL_TEST_NVMET";
const NQN: &str = "nqn.2026-11.io.doorbell:nvmet";
const CLOSED: &str = "nqn.2026-11.io.doorbell:closed";

/// A file of 64 MiB behind two subsystems: one for any host, one for nobody.
const TARGET: &str = r#"set -euo pipefail
truncate -s 64M /scratch/disk.img
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
cd /sys/kernel/config/nvmet
mkdir ports/1
echo tcp >ports/1/addr_trtype
echo ipv4 >ports/1/addr_adrfam
echo 127.0.0.1 >ports/1/addr_traddr
echo 4420 >ports/1/addr_trsvcid
for nqn in "$NQN" "$CLOSED"; do
  mkdir "subsystems/$nqn" "subsystems/$nqn/namespaces/1"
  echo -n /scratch/disk.img >"subsystems/$nqn/namespaces/1/device_path"
  echo 1 >"subsystems/$nqn/namespaces/1/enable"
  ln -s "/sys/kernel/config/nvmet/subsystems/$nqn" "ports/1/subsystems/$nqn"
done
echo 1 >"subsystems/$NQN/attr_allow_any_host"
cd /
"$HELPER" --exact linux_serves_us_as_it_serves_its_own --nocapture || { dmesg | tail -n 30 >&2; exit 1; }
"#;

#[test]
fn linux_serves_us_as_it_serves_its_own() {
    if let Ok(at) = env::var(INSIDE) {
        return inside(at.parse().unwrap());
    }
    let helper = env::current_exe().unwrap();
    let guest = Guest::new()
        .modules(["nvmet", "nvmet-tcp"])
        .scratch_mib(128)
        .env(INSIDE, "127.0.0.1:4420")
        .env("NQN", NQN)
        .env("CLOSED", CLOSED)
        .env("HELPER", helper.to_string_lossy());
    let output = guest.run(TARGET).expect("a guest");
    assert!(output.success() && output.stdout.contains("1 passed"), "{output}");
    eprintln!("{}", output.stdout);
}

fn inside(at: SocketAddr) {
    let mut load = None;
    let mut go = |what: &str, wanted: &dyn Fn(&mut TcpSpec)| {
        let mut host = connect(at, NQN, wanted);
        load.get_or_insert_with(|| Load::new(&host, 16)).run(&mut host.io, 200);
        // The admin queue has lived through it.
        host.admin.property(Property::CSTS).unwrap();
        println!("{what}: 200 commands on blocks of {} bytes", host.block);
    };
    for mode in 0..4 {
        let offer = TcpOffer { header_digest: mode & 1 != 0, data_digest: mode & 2 != 0, hpda: 0 };
        go(&format!("{offer:?}"), &|spec| spec.offer = offer);
    }
    go("flow control", &|spec| (spec.flow_control, spec.depth) = (true, 20));

    let log = discover(at);
    let mut found: Vec<_> = log.found.iter().filter(|f| f.kind == SubsystemType::NVM).collect();
    found.sort_by_key(|f| f.entry.subnqn.0);
    let names: Vec<_> = found.iter().map(|f| f.id.as_ref().unwrap().to_string()).collect();
    // A host is told only of what it may use.
    assert_eq!(names, [format!("trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:4420 subnqn:{NQN}")]);
    assert_eq!(found[0].entry.adrfam, AddressFamily::IPV4);
    println!("discovery: {} entries, generation {}", log.found.len(), log.generation);

    let refused = Session::connect(spec(at, "nqn.2026-11.io.doorbell:nobody", 0, CNTLID_DYNAMIC)).err().unwrap();
    assert!(matches!(&refused, Failure::NoSubsystem { .. }), "{refused}");
    println!("{refused}");
    let refused = Session::connect(spec(at, CLOSED, 0, CNTLID_DYNAMIC)).err().unwrap();
    assert!(matches!(&refused, Failure::HostNotAllowed { host, .. } if host == HOST), "{refused}");
    println!("{refused}");
    let refused = Session::connect(spec("127.0.0.1:4421".parse().unwrap(), NQN, 0, CNTLID_DYNAMIC)).err().unwrap();
    assert!(matches!(&refused, Failure::Refused(_)), "{refused}");
    println!("{refused}");
}
