//! A controller that lies: it is told which rule it broke, gets nothing more, and writes nowhere that it may not.

use super::*;
use doorbell_wire_nvme_tcp::{FatalStatus, Fault};

/// A read of 4 KiB, a write of 64 KiB (asked for) and one of 512 bytes (in the capsule) are in flight; `lie` is told their identifiers.
/// Returns what the link ended with, after checking what holds for every lie.
fn lied(offer: TcpOffer, lie: impl FnOnce(&mut Peer, [Cid; 3])) -> Fault {
    let pool = pool();
    let spec = TcpSpec { offer, ..spec(1) };
    let (mut link, mut peer) = friends(spec, ControllerOffer::default());
    for (sqe, bytes) in [(read(8), 4096), (write(128), 64 << 10), (write(1), 512)] {
        assert!(link.submit(flight(&pool, bytes), &sqe).is_ok());
    }
    link.kick();
    let cids = [(); 3].map(|()| peer.command().0.cid());
    lie(&mut peer, cids);
    let (mut done, end) = (Vec::new(), Instant::now() + Duration::from_secs(20));
    let lost = loop {
        assert!(Instant::now() < end, "the lie was not noticed");
        match link.reap(NOW, 100, &mut done) {
            Ok(_) if done.len() < 3 => {}
            Ok(_) => panic!("the lie was believed"),
            Err(lost) => break lost,
        }
    };
    assert!(matches!(&lost, Lost::Protocol(why) if !why.is_empty()), "{lost}");
    assert!(matches!(link.progress(), Progress::Failed(Failure::Protocol { .. })));
    assert!(!link.has_room());
    assert!(matches!(link.submit(flight(&pool, 0), &write(0)), Err((_, Refusal::Full))));
    assert_eq!(link.reap(NOW, 100, &mut done), Err(lost), "it stays lost");
    let back = link.reclaim().unwrap();
    assert_eq!(back.len() + done.len(), 3, "each comes back once");
    for f in &back {
        let expected = f.io.sg.bytes();
        assert!(matches!(expected, 4096 | 65536 | 512));
        if expected != 4096 {
            assert_eq!(bytes_of(&f.io.sg), vec![0xee; expected as usize], "what is written out stays as it was");
        }
    }
    drop((back, done, link));
    assert_eq!(pool.out(), 0);
    // The protocol's own error, behind whatever else was on its way.
    loop {
        match peer.hear() {
            Some(Heard::Term(fault)) => break fault,
            Some(_) => {}
            None => panic!("no Terminate Connection Request came"),
        }
    }
}

fn plain(lie: impl FnOnce(&mut Peer, [Cid; 3])) -> Fault {
    lied(TcpOffer::default(), lie)
}

#[test]
fn completions_of_nothing() {
    let unknown = Fault::field(20);
    assert_eq!(plain(|peer, _| peer.answer(Cqe::new(Cid(0xffff), Status::SUCCESS))), unknown);
    assert_eq!(plain(|peer, [r, ..]| peer.answer(Cqe::new(Cid(r.0 ^ 0x4000), Status::SUCCESS))), unknown, "another generation");
    assert_eq!(plain(|peer, _| peer.answer(Cqe::new(Cid(3), Status::SUCCESS))), unknown, "a free slot");
    let twice = |peer: &mut Peer, [_, _, w]: [Cid; 3]| {
        peer.answer(Cqe::new(w, Status::SUCCESS));
        peer.answer(Cqe::new(w, Status::SUCCESS));
    };
    assert_eq!(plain(twice), unknown, "a duplicate");
}

#[test]
fn data_that_nobody_asked_for() {
    assert_eq!(plain(|peer, [_, w, _]| peer.data(part(w, 0, 512, true, false), 1)), Fault::OUT_OF_RANGE, "for a write");
    assert_eq!(plain(|peer, _| peer.data(part(Cid(3), 0, 512, true, false), 1)), Fault::CCCID, "for nothing");
    assert_eq!(plain(|peer, [r, ..]| peer.data(part(r, 0, 4608, true, false), 1)), Fault::OUT_OF_RANGE, "too much");
    assert_eq!(plain(|peer, [r, ..]| peer.data(part(r, 512, 512, false, false), 1)), Fault::OUT_OF_RANGE, "not where it goes on");
    assert_eq!(plain(|peer, [r, ..]| peer.data(part(r, u32::MAX - 100, 512, false, false), 1)), Fault::OUT_OF_RANGE, "over the end");
    let after = |peer: &mut Peer, [r, ..]: [Cid; 3]| {
        peer.data(part(r, 0, 512, true, false), 1);
        peer.data(part(r, 512, 512, true, false), 1);
    };
    assert_eq!(plain(after), Fault::SEQUENCE, "after the last");
    let completed = |peer: &mut Peer, [r, ..]: [Cid; 3]| {
        peer.data(part(r, 0, 4096, true, true), 1);
        peer.data(part(r, 0, 512, true, true), 2);
    };
    assert_eq!(plain(completed), Fault::CCCID, "after completion");
}

#[test]
fn requests_for_data_that_is_not_there() {
    assert_eq!(plain(|peer, [_, w, _]| peer.ask(w, 1, 0, 65537)), Fault::OUT_OF_RANGE, "beyond the data");
    assert_eq!(plain(|peer, [_, w, _]| peer.ask(w, 1, 65536, 4)), Fault::OUT_OF_RANGE, "behind the data");
    assert_eq!(plain(|peer, [r, ..]| peer.ask(r, 1, 0, 512)), Fault::OUT_OF_RANGE, "of a read");
    assert_eq!(plain(|peer, [_, _, w]| peer.ask(w, 1, 0, 512)), Fault::OUT_OF_RANGE, "of what the capsule had");
    assert_eq!(plain(|peer, _| peer.ask(Cid(3), 1, 0, 512)), Fault::CCCID, "of nothing");
    let again = |peer: &mut Peer, [_, w, _]: [Cid; 3]| {
        peer.ask(w, 1, 0, 4096);
        peer.ask(w, 1, 0, 4096);
    };
    assert_eq!(plain(again), Fault::OUT_OF_RANGE, "twice");
    let ended = |peer: &mut Peer, [_, w, _]: [Cid; 3]| {
        peer.answer(Cqe::new(w, Status::INTERNAL_ERROR));
        peer.ask(w, 1, 0, 4096);
    };
    assert_eq!(plain(ended), Fault::CCCID, "after completion");
}

#[test]
fn pdus_that_are_none() {
    let ic_resp = |peer: &mut Peer, _: [Cid; 3]| peer.say_pdu(|codec, out| codec.write_ic_resp(out));
    assert_eq!(plain(ic_resp), Fault::SEQUENCE, "a second ICResp");
    assert_eq!(plain(|peer, _| peer.say(&[4, 0, 72, 0, 72, 0, 0, 0])), Fault::TYPE, "a command");
    assert_eq!(plain(|peer, _| peer.say(&[5, 0, 24, 0, 25, 0, 0, 0])), Fault::PLEN, "a length that is none");
    assert_eq!(plain(|peer, _| peer.say(&[5, 0, 25, 0, 24, 0, 0, 0])), Fault::HLEN);
    let endless = [&[7, 0, 24, 24, 255, 255, 255, 255], [0; 16].as_slice()].concat();
    assert_eq!(plain(|peer, _| peer.say(&endless)), Fault::LEN, "a payload without end");
    assert_eq!(plain(|peer, _| peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")), Fault::TYPE);
}

#[test]
fn a_header_whose_digest_is_wrong() {
    let offer = TcpOffer { header_digest: true, ..TcpOffer::default() };
    let fault = lied(offer, |peer, [_, _, w]| {
        let mut out = [0; HEADER_ROOM];
        let n = peer.codec.write_capsule_resp(&mut out, &Cqe::new(w, Status::SUCCESS)).unwrap();
        out[22] ^= 2;
        peer.say(&out[..n]);
    });
    assert_eq!(fault.status, FatalStatus::HEADER_DIGEST);
}

#[test]
fn success_without_a_response_needs_flow_control_to_be_off() {
    let pool = pool();
    let (mut link, mut peer) = friends(TcpSpec { flow_control: true, ..spec(1) }, ControllerOffer::default());
    assert!(link.submit(flight(&pool, 4096), &read(8)).is_ok());
    link.kick();
    let cid = peer.command().0.cid();
    peer.data(part(cid, 0, 4096, true, true), 1);
    assert!(matches!(reap_some(&mut link), Err(Lost::Protocol(_))));
    assert_eq!(peer.hear(), Some(Heard::Term(Fault::FLAGS)));
}

/// What is not sent yet cannot have been answered, whoever guesses its identifier.
#[test]
fn nothing_is_heard_of_a_command_before_it_is_sent() {
    let pool = pool();
    for data in [false, true] {
        let (mut link, mut peer) = friends(spec(1), ControllerOffer::default());
        assert!(link.submit(flight(&pool, 4096), &read(8)).is_ok());
        let mut cid = Cid(0);
        link.each(&mut |c, _| cid = c);
        match data {
            true => peer.data(part(cid, 0, 4096, true, true), 1),
            false => peer.answer(Cqe::new(cid, Status::SUCCESS)),
        }
        assert!(matches!(reap_some(&mut link), Err(Lost::Protocol(_))));
        let back = link.reclaim().unwrap();
        assert_eq!(bytes_of(&back[0].io.sg), vec![0xee; 4096]);
    }
}

/// The controller says that all went well and has not moved the data.
#[test]
fn a_success_without_the_data_is_none() {
    let pool = pool();
    let (mut link, mut peer) = friends(spec(1), ControllerOffer::default());
    for (sqe, bytes) in [(read(8), 4096), (write(128), 64 << 10), (read(8), 4096)] {
        assert!(link.submit(flight(&pool, bytes), &sqe).is_ok());
    }
    link.kick();
    let [none, asked, part_of_it] = [(); 3].map(|()| peer.command().0.cid());
    peer.answer(Cqe::new(none, Status::SUCCESS));
    peer.answer(Cqe::new(asked, Status::SUCCESS));
    peer.data(part(part_of_it, 0, 512, true, true), 1);
    let done = reap(&mut link);
    assert_eq!(done.iter().map(|d| d.cqe.status()).collect::<Vec<_>>(), [Status::DATA_TRANSFER_ERROR; 3]);
    assert_eq!(link.in_flight(), 0);
}

/// An admin queue is milder, and gives nobody else's bytes away.
#[test]
fn a_short_answer_on_the_admin_queue_is_filled_with_zeroes() {
    let pool = pool();
    let (mut link, mut peer) = friends(spec(0), ControllerOffer::default());
    let identify = Sqe::new(AdminOpcode::IDENTIFY.0);
    assert!(link.submit(flight(&pool, 4096), &identify).is_ok());
    link.kick();
    let cid = peer.command().0.cid();
    peer.data(part(cid, 0, 1024, true, false), 5);
    peer.answer(Cqe::new(cid, Status::SUCCESS));
    let done = reap(&mut link);
    assert_eq!(done[0].cqe.status(), Status::SUCCESS);
    assert_eq!(bytes_of(&done[0].flight.io.sg), [vec![5; 1024], vec![0; 3072]].concat());
}
