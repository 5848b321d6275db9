//! Announced shutdowns flush.

use super::*;
use doorbell_wire_nvme::register::{Cc, Csts, Property, ShutdownNotice, ShutdownStatus};

const CC: Cc = Cc::new().with_en(true).with_iosqes(6).with_iocqes(4);

/// A host of three namespaces, two of them volatile.
fn cached() -> (World, Host, [MemoryDevice; 2]) {
    let mut world = World::new(16);
    let devices = [MemoryDevice::new(9, 64).volatile(), MemoryDevice::new(9, 64).volatile()];
    for (device, name) in devices.iter().zip(["one", "two"]) {
        world.target.add_namespace(NQN, crate::fuzzing::namespace(device.clone(), name)).unwrap();
    }
    world.settle();
    let host = connected(&mut world, HostOffer::default());
    (world, host, devices)
}

fn shutdown_status(world: &mut World, host: &mut Host) -> ShutdownStatus {
    let get = FabricsCommand::PropertyGet(PropertyGet { property: Property::CSTS, len: Some(4) });
    Csts::from_bits(done(host.admin(world, &get.encode())).result as u32).shst()
}

fn flushes(devices: &[MemoryDevice; 2]) -> [u32; 2] {
    devices.each_ref().map(MemoryDevice::flushes)
}

#[test]
fn a_shutdown_is_complete_when_every_cache_is_flushed() {
    let (mut world, mut host, devices) = cached();
    done(host.io(&mut world, &in_capsule(IoCommand::Write(rw(0, 1)), 512).with_nsid(2), &[1; 512]));
    assert_eq!(flushes(&devices), [0, 0]);
    done(host.set_cc(&mut world, CC.with_shn(ShutdownNotice::NORMAL)));
    assert_eq!((flushes(&devices), shutdown_status(&mut world, &mut host)), ([1, 1], ShutdownStatus::COMPLETE));
    world.settle();
    assert!(host.io.as_ref().unwrap().is_closed());
    // It can begin anew, and end anew.
    done(host.set_cc(&mut world, Cc::new()));
    done(host.set_cc(&mut world, CC));
    assert_eq!(shutdown_status(&mut world, &mut host), ShutdownStatus::NORMAL);
    done(host.set_cc(&mut world, CC.with_shn(ShutdownNotice::NORMAL)));
    assert_eq!((flushes(&devices), shutdown_status(&mut world, &mut host)), ([2, 2], ShutdownStatus::COMPLETE));
}

#[test]
fn a_shutdown_whose_flush_fails_is_not_complete() {
    let (mut world, mut host, devices) = cached();
    devices[1].fail_flushes(1);
    let answer = host.set_cc(&mut world, CC.with_shn(ShutdownNotice::NORMAL)).unwrap();
    assert!(!answer.status.is_ok());
    assert_eq!((flushes(&devices), shutdown_status(&mut world, &mut host)), ([1, 0], ShutdownStatus::OCCURRING));
}

#[test]
fn who_shuts_down_abruptly_waits_for_nothing() {
    let (mut world, mut host, devices) = cached();
    done(host.set_cc(&mut world, CC.with_shn(ShutdownNotice::ABRUPT)));
    assert_eq!((flushes(&devices), shutdown_status(&mut world, &mut host)), ([0, 0], ShutdownStatus::COMPLETE));
}

#[test]
fn a_host_that_leaves_during_its_shutdown_leaves_nothing_behind() {
    let (mut world, mut host, devices) = cached();
    let set = PropertySet { property: Property::CC, value: CC.with_shn(ShutdownNotice::NORMAL).into_bits().into(), len: Some(4) };
    let cid = host.cid();
    host.capsule(false, &FabricsCommand::PropertySet(set).encode().with_cid(cid), &[]);
    host.hang_up();
    world.settle();
    let mut next = connected(&mut world, HostOffer::default());
    done(next.set_cc(&mut world, CC.with_shn(ShutdownNotice::NORMAL)));
    assert!(flushes(&devices)[1] >= 1);
}

#[test]
fn a_queue_does_not_outlive_a_reset_that_is_over_before_it_looks() {
    let (mut world, mut host) = pair();
    for cc in [Cc::new(), CC] {
        let set = PropertySet { property: Property::CC, value: cc.into_bits().into(), len: Some(4) };
        let cid = host.cid();
        host.capsule(false, &FabricsCommand::PropertySet(set).encode().with_cid(cid), &[]);
    }
    world.settle();
    assert!(host.io.as_ref().unwrap().is_closed());
}
