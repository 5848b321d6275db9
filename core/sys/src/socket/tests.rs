use std::{
    io,
    net::{Shutdown, SocketAddr},
    os::fd::AsFd,
    time::Duration,
};

use doorbell_mem::{Pool, SgList};
use rustix::{io::Errno, net::sockopt};

use super::{Closed, Listener, Recv, SendPart, Sent, Stream, UnixListener};
use crate::epoll::{Interest, Mode, Poller};

const LOOPBACK: &str = "127.0.0.1:0";

/// Waits, bounded, until a descriptor is ready.
fn ready(fd: impl AsFd, interest: Interest) {
    let mut poller = Poller::new().unwrap();
    poller.add(fd.as_fd(), 0, interest, Mode::Level).unwrap();
    assert_eq!(poller.wait(Some(Duration::from_secs(30))).unwrap(), 1, "nothing happened in 30 s");
}

fn connected(address: &str) -> (Stream, Stream) {
    let listener = Listener::bind(address.parse().unwrap(), 8).unwrap();
    assert!(listener.accept().unwrap().is_none());
    let client = Stream::connect(listener.local_addr().unwrap()).unwrap();
    ready(&listener, Interest::READ);
    let (server, peer) = listener.accept().unwrap().unwrap();
    ready(&client, Interest::WRITE);
    assert!(client.connected().unwrap());
    assert_eq!(peer, client.local_addr().unwrap());
    assert_eq!(server.peer_addr().unwrap(), peer);
    assert_eq!(server.local_addr().unwrap(), client.peer_addr().unwrap());
    (client, server)
}

/// A list of segments of the given lengths, filled with a running count.
fn counted(lens: &[u32]) -> SgList {
    let pool = Pool::small(4096, lens.len() as u32);
    let mut sg = SgList::default();
    let mut next = 0u8;
    for &len in lens {
        let seg = pool.get(4096).unwrap().slice(0, len);
        let bytes: Vec<u8> = (0..len).map(|at| next.wrapping_add(at as u8)).collect();
        next = next.wrapping_add(len as u8);
        seg.write_at(0, &bytes);
        sg.push(seg);
    }
    sg
}

fn all_of(sg: &SgList) -> Vec<u8> {
    let mut bytes = vec![0; sg.bytes() as usize];
    sg.read_at(0, &mut bytes);
    bytes
}

#[test]
fn connects_over_both_families_and_tells_addresses() {
    let (client, _server) = connected(LOOPBACK);
    client.set_nodelay(true).unwrap();
    client.quickack().unwrap();
    client.set_keepalive(true).unwrap();
    assert!(sockopt::tcp_nodelay(&client).unwrap());
    client.set_buffers(Some(65536), Some(32768)).unwrap();
    // Linux doubles what is asked for, for its own bookkeeping.
    assert_eq!(sockopt::socket_recv_buffer_size(&client).unwrap(), 131_072);
    assert_eq!(sockopt::socket_send_buffer_size(&client).unwrap(), 65536);
    match Listener::bind("[::1]:0".parse().unwrap(), 1) {
        Ok(_) => drop(connected("[::1]:0")),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable, "only where there is no IPv6"),
    }
}

#[test]
fn both_wildcards_share_a_port() {
    // Another test may hold the same port for IPv4 just then: one success in several ports is the proof.
    let shared = (0..8).any(|_| {
        let Ok(six) = Listener::bind("[::]:0".parse().unwrap(), 1) else { return true };
        let port = six.local_addr().unwrap().port();
        let again = Listener::bind(SocketAddr::new("::".parse().unwrap(), port), 1);
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        Listener::bind(SocketAddr::new("0.0.0.0".parse().unwrap(), port), 1).is_ok()
    });
    assert!(shared);
}

#[test]
fn a_refused_connection_says_so() {
    let address = Listener::bind(LOOPBACK.parse().unwrap(), 1).unwrap().local_addr().unwrap();
    let error = match Stream::connect(address) {
        Ok(stream) => {
            ready(&stream, Interest::WRITE);
            stream.connected().unwrap_err()
        }
        Err(error) => error,
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn bytes_then_nothing_then_the_end() {
    let (near, far) = Stream::pair().unwrap();
    let mut buffer = [0; 8];
    assert_eq!(near.recv(&mut buffer).unwrap(), Recv::WouldBlock);
    assert_eq!(far.send(b"hello").unwrap(), Sent::Bytes(5));
    assert_eq!(near.recv(&mut []).unwrap(), Recv::Bytes(0), "no room is not the end");
    assert_eq!(near.recv(&mut buffer).unwrap(), Recv::Bytes(5));
    assert_eq!(&buffer[..5], b"hello");
    far.shutdown(Shutdown::Write).unwrap();
    assert_eq!(near.recv(&mut buffer).unwrap(), Recv::Closed(Closed::Orderly));
    assert_eq!(near.recv_vectored(None, &counted(&[8]), 0, 8, None).unwrap(), Recv::Closed(Closed::Orderly));
    assert_eq!(near.send(b"still open this way").unwrap(), Sent::Bytes(19));
    drop(far);
    assert_eq!(near.send(b"x").unwrap(), Sent::Closed(Closed::Lost(Errno::PIPE)), "and no SIGPIPE");
}

#[test]
fn a_reset_is_a_value() {
    let (client, server) = connected(LOOPBACK);
    sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    ready(&server, Interest::READ);
    assert_eq!(server.recv(&mut [0; 4]).unwrap(), Recv::Closed(Closed::Lost(Errno::CONNRESET)));
    assert!(matches!(server.send(b"x").unwrap(), Sent::Closed(Closed::Lost(_))));
}

#[test]
fn one_receive_fills_head_segments_and_tail() {
    let (near, far) = Stream::pair().unwrap();
    let sg = counted(&[10, 20, 30]);
    let before = all_of(&sg);
    let message: Vec<u8> = (100..=255).collect();
    far.send(&message[..50]).unwrap();
    let (mut head, mut tail) = ([0; 4], [0; 16]);
    let got = near.recv_vectored(Some(&mut head), &sg, 5, 36, Some(&mut tail)).unwrap();
    assert_eq!(got, Recv::Bytes(50));
    assert_eq!(head, message[..4]);
    assert_eq!(tail[..10], message[40..50]);
    assert_eq!(tail[10..], [0; 6]);
    let after = all_of(&sg);
    assert_eq!(after[..5], before[..5]);
    assert_eq!(after[5..41], message[4..40]);
    assert_eq!(after[41..], before[41..], "the range ends there");
    assert_eq!(near.recv_vectored(None, &sg, 0, 60, None).unwrap(), Recv::WouldBlock);
    assert_eq!(near.recv_vectored(None, &sg, 0, 0, None).unwrap(), Recv::Bytes(0));
}

#[test]
fn one_send_takes_headers_and_segments() {
    let (near, far) = Stream::pair().unwrap();
    let sg = counted(&[7, 9, 100]);
    let payload = all_of(&sg);
    let parts =
        [SendPart::Bytes(b"head"), SendPart::Segs(&sg, 3, 20), SendPart::Bytes(b""), SendPart::Bytes(b"next"), SendPart::Segs(&sg, 0, 116)];
    assert_eq!(near.send_vectored(&parts).unwrap(), Sent::Bytes(4 + 20 + 4 + 116));
    let mut got = [0; 200];
    assert_eq!(far.recv(&mut got).unwrap(), Recv::Bytes(144));
    let expected = [b"head", &payload[3..23], b"next", &payload].concat();
    assert_eq!(got[..144], expected);
    assert_eq!(near.send_vectored(&[]).unwrap(), Sent::Bytes(0));
}

/// More pieces than one call takes, and a socket that fills up in the middle: every byte once, in order.
#[test]
fn long_lists_and_a_full_socket() {
    let (near, far) = connected(LOOPBACK);
    let sg = counted(&vec![97; 1500]);
    let expected: Vec<u8> = all_of(&sg).repeat(20);
    let mut sent = 0;
    let mut got = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    while got.len() < expected.len() {
        let mut parts = Vec::new();
        let mut at = sent;
        while at < expected.len() {
            let offset = at % sg.bytes() as usize;
            let len = sg.bytes() as usize - offset;
            parts.push(SendPart::Segs(&sg, offset as u32, len as u32));
            at += len;
        }
        match near.send_vectored(&parts).unwrap() {
            Sent::Bytes(bytes) => sent += bytes,
            Sent::WouldBlock => {}
            Sent::Closed(why) => panic!("{why}"),
        }
        while let Recv::Bytes(bytes) = far.recv(&mut buffer).unwrap() {
            got.extend_from_slice(&buffer[..bytes]);
            if bytes < buffer.len() {
                break;
            }
        }
    }
    assert!(got == expected);
    assert_eq!(sent, expected.len());
    // And until it refuses: the refusal is a value too.
    loop {
        match near.send_vectored(&[SendPart::Segs(&sg, 0, sg.bytes())]).unwrap() {
            Sent::Bytes(_) => {}
            Sent::WouldBlock => break,
            Sent::Closed(why) => panic!("{why}"),
        }
    }
}

#[test]
fn unix_sockets() {
    let dir = std::env::temp_dir().join(format!("doorbell-sys-socket-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("s");
    let listener = UnixListener::bind(&path, 4).unwrap();
    assert!(UnixListener::bind(&path, 4).is_err(), "it exists");
    assert!(listener.accept().unwrap().is_none());
    let client = Stream::connect_unix(&path).unwrap();
    let server = listener.accept().unwrap().unwrap();
    client.send(b"hi").unwrap();
    let mut got = [0; 4];
    assert_eq!(server.recv(&mut got).unwrap(), Recv::Bytes(2));
    assert!(client.peer_addr().is_err());
    drop(listener);
    assert_eq!(Stream::connect_unix(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn an_inherited_descriptor_becomes_non_blocking() {
    let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    let near = Stream::from_fd(near.into()).unwrap();
    assert_eq!(near.recv(&mut [0]).unwrap(), Recv::WouldBlock);
}

#[test]
fn calls_allocate_nothing() {
    let (near, far) = Stream::pair().unwrap();
    let sg = counted(&[512; 8]);
    let mut head = [0; 24];
    let before = crate::alloc_count::allocations();
    near.send_vectored(&[SendPart::Bytes(&[1; 24]), SendPart::Segs(&sg, 0, 4096)]).unwrap();
    far.recv_vectored(Some(&mut head), &sg, 0, 4096, None).unwrap();
    far.recv(&mut head).unwrap();
    assert_eq!(crate::alloc_count::allocations(), before);
}
