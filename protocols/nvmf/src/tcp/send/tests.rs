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
