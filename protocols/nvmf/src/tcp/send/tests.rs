//! Partial sends at every byte.

use super::*;
use crate::fuzzing::World;
use doorbell_wire_nvme_tcp::HostOffer;

#[test]
fn whatever_the_socket_takes_the_bytes_and_their_order_are_the_same() {
    for room in [1usize, 2, 3, 7, 23, 24, 25, 100, 511, 513] {
        let mut world = World::new(16);
        let pipe = world.host(HostOffer::default()).admin.pipe;
        let mut wire = pipe.clone();
        let mut tx = Sending::default();
        let mut expected = Vec::new();
        for n in 0..40u8 {
            tx.bytes(&[n; 5]);
            expected.extend([n; 5]);
            if n % 3 == 0 {
                let (mut io, buffer) = world.cx.request(512).unwrap();
                buffer.fill(0, 512, n);
                io.sg.push(buffer);
                tx.payload(io, 512, None);
                expected.extend([n; 512]);
            }
        }
        let mut received = Vec::new();
        for _ in 0..expected.len() + 1 {
            pipe.0.borrow_mut().room = room;
            tx.room_again();
            assert!(tx.flush(&mut world.cx, &mut wire, &mut 0).unwrap());
            received.extend(pipe.0.borrow_mut().to_host.drain(..));
        }
        assert!(tx.is_empty());
        assert_eq!(received, expected, "{room} bytes at a time");
        assert_eq!(world.boxes_out(), 0);
    }
}

#[test]
fn headers_that_are_gone_make_room_although_payload_always_follows() {
    let mut world = World::new(16);
    let pipe = world.host(HostOffer::default()).admin.pipe;
    let mut wire = pipe.clone();
    let mut tx = Sending::default();
    for _ in 0..1000 {
        let (mut io, buffer) = world.cx.request(512).unwrap();
        io.sg.push(buffer);
        tx.bytes(&[1; 1000]);
        tx.payload(io, 512, None);
        // One byte short: there is always something left.
        let first = pipe.0.borrow().to_host.is_empty();
        pipe.0.borrow_mut().room = 1512 - usize::from(first);
        tx.room_again();
        assert!(tx.flush(&mut world.cx, &mut wire, &mut 0).unwrap());
        pipe.0.borrow_mut().to_host.drain(1..);
    }
    assert!(tx.heads.len() < 2 * STALE, "{} bytes of headers are kept", tx.heads.len());
}

#[test]
fn a_queue_that_is_never_empty_stays_in_the_room_that_it_was_given() {
    let mut world = World::new(16);
    let pipe = world.host(HostOffer::default()).admin.pipe;
    let mut wire = pipe.clone();
    let mut tx = Sending::default();
    tx.reserve(16);
    let given = (tx.heads.capacity(), tx.cuts.capacity());
    let mut said = 0u32;
    for n in 0..10_000u32 {
        // A command's headers come, and those of one before go but for a byte.
        tx.head(HEADER_ROOM, |out| {
            out.get_mut(..4)?.copy_from_slice(&n.to_le_bytes());
            Some(60)
        });
        pipe.0.borrow_mut().room = if n == 0 { 59 } else { 60 };
        tx.room_again();
        assert!(tx.flush(&mut world.cx, &mut wire, &mut 0).unwrap());
        let mut pipe = pipe.0.borrow_mut();
        if pipe.to_host.len() >= 60 {
            let header: Vec<u8> = pipe.to_host.drain(..60).collect();
            assert_eq!(header[..4], said.to_le_bytes());
            said += 1;
        }
    }
    assert_eq!((tx.heads.capacity(), tx.cuts.capacity()), given);
}
