//! A controller that keeps to the rules, in every order that they allow.

use super::*;

const DIGESTS: TcpOffer = TcpOffer { header_digest: true, data_digest: true, hpda: 0 };

#[test]
fn data_comes_in_pieces_and_goes_in_pieces() {
    for offer in [TcpOffer::default(), DIGESTS, TcpOffer { hpda: 15, ..DIGESTS }] {
        let pool = pool();
        let (mut link, mut peer) =
            friends(TcpSpec { offer, ..spec(1) }, ControllerOffer { max_h2c_data: 4096, ..ControllerOffer::default() });
        assert!(link.submit(flight(&pool, 4096), &read(8)).is_ok());
        assert!(link.submit(flight(&pool, 10240), &write(20)).is_ok());
        assert!(link.submit(flight(&pool, 4096), &write(8)).is_ok());
        link.kick();
        let (r, (w, none), (inside, data)) = (peer.command().0, peer.command(), peer.command());
        assert_eq!((r.sgl(), w.sgl()), (Sgl::Transport { len: 4096 }, Sgl::Transport { len: 10240 }));
        assert_eq!((none.len(), inside.sgl(), data), (0, Sgl::Offset { offset: 0, len: 4096 }, vec![0xee; 4096]));

        peer.data(part(r.cid(), 0, 1000, false, false), 1);
        peer.ask(w.cid(), 9, 0, 8192);
        peer.data(part(r.cid(), 1000, 3096, true, false), 2);
        peer.ask(w.cid(), 10, 8192, 2048);
        assert!(reap(&mut link).is_empty());
        let sent: Vec<_> = std::iter::from_fn(|| peer.hear()).collect();
        let expected = [(9, 0, 4096, false), (9, 4096, 4096, true), (10, 8192, 2048, true)].map(|(ttag, offset, len, last)| {
            Heard::Data(pdu::H2cData { cccid: w.cid(), ttag, offset, len, last }, vec![0xee; len as usize])
        });
        assert_eq!(sent, expected);
        for sqe in [w, inside, r] {
            peer.answer(Cqe::new(sqe.cid(), Status::SUCCESS).with_dw0(5));
        }
        let done = reap(&mut link);
        assert_eq!(done.iter().map(|d| (d.cqe.status(), d.cqe.dw0.get())).collect::<Vec<_>>(), [(Status::SUCCESS, 5); 3]);
        assert_eq!(bytes_of(&done[2].flight.io.sg), [vec![1; 1000], vec![2; 3096]].concat());
    }
}

#[test]
fn damaged_data_fails_its_command_and_no_other() {
    let pool = pool();
    let (mut link, mut peer) = friends(TcpSpec { offer: DIGESTS, ..spec(1) }, ControllerOffer::default());
    for _ in 0..2 {
        assert!(link.submit(flight(&pool, 4096), &read(8)).is_ok());
    }
    link.kick();
    let [bad, good] = [(); 2].map(|()| peer.command().0.cid());
    peer.say_pdu(|codec, out| codec.write_c2h_data(out, &part(bad, 0, 4096, true, true)));
    peer.say(&[[3; 4096].as_slice(), &[1, 2, 3, 4]].concat());
    peer.data(part(good, 0, 4096, true, true), 4);
    let done = reap(&mut link);
    let ended: Vec<_> = done.iter().map(|d| (d.cqe.cid(), d.cqe.status())).collect();
    assert_eq!(ended, [(bad, Status::TRANSIENT_TRANSPORT_ERROR), (good, Status::SUCCESS)]);
    assert!(!done[0].cqe.status().is_dnr(), "it may be tried again");
}

#[test]
fn whatever_way_the_network_cuts_it() {
    let pool = pool();
    for offer in [TcpOffer::default(), DIGESTS] {
        let (mut link, mut peer) = friends(TcpSpec { offer, ..spec(1) }, ControllerOffer::default());
        assert!(link.submit(flight(&pool, 1024), &read(2)).is_ok());
        link.kick();
        let cid = peer.command().0.cid();
        let mut all = vec![0; HEADER_ROOM];
        let n = peer.codec.write_c2h_data(&mut all, &part(cid, 0, 1024, true, false)).unwrap();
        all.truncate(n);
        all.extend([6; 1024]);
        if offer.data_digest {
            all.extend(pdu::Crc32c::of(&[6; 1024]).to_le_bytes());
        }
        let mut head = [0; HEADER_ROOM];
        let n = peer.codec.write_capsule_resp(&mut head, &Cqe::new(cid, Status::SUCCESS)).unwrap();
        all.extend(&head[..n]);
        let mut done = Vec::new();
        for byte in &all {
            assert!(done.is_empty(), "before the last byte");
            peer.say(std::slice::from_ref(byte));
            link.reap(NOW, 100, &mut done).unwrap();
        }
        assert_eq!(done[0].cqe.status(), Status::SUCCESS);
        assert_eq!(bytes_of(&done[0].flight.io.sg), vec![6; 1024]);
    }
}

/// Long data goes straight to its place: hardly more calls than there are pieces, whatever is copied.
#[test]
fn long_reads_are_received_in_place() {
    let pool = pool();
    let (mut link, mut peer) = friends(spec(1), ControllerOffer::default());
    for _ in 0..3 {
        assert!(link.submit(flight(&pool, 65536), &read(128)).is_ok());
        link.kick();
        let cid = peer.command().0.cid();
        let (_, before) = link.calls();
        peer.data(part(cid, 0, 65536, true, true), 8);
        let done = reap(&mut link);
        assert_eq!(bytes_of(&done[0].flight.io.sg), vec![8; 65536]);
        assert!(link.calls().1 - before <= 2, "the header with the beginning, then the rest");
    }
}

#[test]
fn an_answer_waits_for_data_that_is_still_to_be_sent() {
    let pool = pool();
    let (mut link, mut peer) =
        friends(TcpSpec { in_capsule: 0, ..spec(1) }, ControllerOffer { max_h2c_data: 1 << 20, ..ControllerOffer::default() });
    for _ in 0..4 {
        assert!(link.submit(flight(&pool, 250 << 10), &write(500)).is_ok());
    }
    link.kick();
    let cids = [(); 4].map(|()| peer.command().0.cid());
    for cid in cids {
        peer.ask(cid, cid.0, 0, 250 << 10);
    }
    assert!(reap(&mut link).is_empty());
    assert!(link.tx.is_full(), "the socket does not hold a megabyte");
    peer.answer(Cqe::new(cids[3], Status::INTERNAL_ERROR));
    assert!(reap(&mut link).is_empty(), "its memory is still to be read");
    // As the peer reads, the rest goes out, and a sleeper is woken to send it.
    let (mut bytes, mut done) = (0, Vec::new());
    while done.is_empty() {
        match peer.hear() {
            Some(Heard::Data(_, data)) => bytes += data.len(),
            Some(other) => panic!("{other:?}"),
            None => {
                assert!(sleeps_until_ready(&mut link));
                link.reap(NOW, 100, &mut done).unwrap();
            }
        }
    }
    while let Some(Heard::Data(_, data)) = peer.hear() {
        bytes += data.len();
    }
    assert_eq!((bytes, done[0].cqe.status()), (4 * (250 << 10), Status::INTERNAL_ERROR));
}

#[test]
fn one_call_sends_all_that_was_submitted() {
    let pool = Pool::small(4096, 64);
    let (mut link, mut peer) = friends(TcpSpec { depth: 32, offer: DIGESTS, ..spec(1) }, ControllerOffer::default());
    let (before, _) = link.calls();
    for _ in 0..16 {
        assert!(link.submit(flight(&pool, 4096), &write(8)).is_ok());
        assert!(link.submit(flight(&pool, 4096), &read(8)).is_ok());
    }
    link.kick();
    link.kick();
    assert_eq!(link.calls().0 - before, 1);
    let heard = std::iter::from_fn(|| peer.hear()).count();
    assert_eq!(heard, 32);
}

#[test]
fn flow_control_goes_by_what_the_controller_has_read() {
    let pool = pool();
    let (mut link, mut peer) = friends(TcpSpec { flow_control: true, depth: 4, ..spec(1) }, ControllerOffer::default());
    let mut head = 1;
    for round in 0..20u16 {
        let mut cids = Vec::new();
        while link.has_room() {
            assert!(link.submit(flight(&pool, 0), &Sqe::new(0)).is_ok());
            link.kick();
            cids.push(peer.command().0.cid());
        }
        assert_eq!(cids.len(), 4, "round {round}");
        // It has read three of them, and answers all; the fourth place is not free before it says so.
        let mut done = Vec::new();
        for (n, cid) in cids.into_iter().enumerate() {
            head = if n < 3 { (head + 1) % 5 } else { head };
            peer.answer(Cqe::new(cid, Status::SUCCESS).with_sqhd(head));
        }
        link.reap(NOW, 100, &mut done).unwrap();
        assert_eq!((done.len(), link.in_flight()), (4, 0));
        let mut cids = Vec::new();
        while link.has_room() {
            assert!(link.submit(flight(&pool, 0), &Sqe::new(0)).is_ok());
            link.kick();
            cids.push(peer.command().0.cid());
        }
        assert_eq!(cids.len(), 3);
        head = (head + 4) % 5;
        // Answers overtake one another: the older head comes last and takes nothing back.
        peer.answer(Cqe::new(cids[0], Status::SUCCESS).with_sqhd(head));
        peer.answer(Cqe::new(cids[1], Status::SUCCESS).with_sqhd((head + 4) % 5));
        peer.answer(Cqe::new(cids[2], Status::SUCCESS).with_sqhd(999));
        link.reap(NOW, 100, &mut Vec::new()).unwrap();
    }
}

#[test]
fn a_budget_stops_and_goes_on() {
    let pool = pool();
    let (mut link, mut peer) = friends(spec(1), ControllerOffer::default());
    for _ in 0..4 {
        assert!(link.submit(flight(&pool, 0), &Sqe::new(0)).is_ok());
    }
    link.kick();
    let cids = [(); 4].map(|()| peer.command().0.cid());
    cids.into_iter().for_each(|cid| peer.answer(Cqe::new(cid, Status::SUCCESS)));
    let mut done = Vec::new();
    for n in 1..=4 {
        assert_eq!(link.reap(NOW, 1, &mut done), Ok(1));
        assert_eq!(done.len(), n);
        assert_eq!(link.arm(), if n < 4 { Armed::Ready } else { Armed::Armed }, "nothing at the socket tells of the rest");
        link.disarm();
    }
}

#[test]
fn what_tcp_cannot_carry_is_refused() {
    let pool = pool();
    let (mut link, _peer) = friends(spec(1), ControllerOffer::default());
    assert!(matches!(link.submit(flight(&pool, 512), &Sqe::new(0xc3)), Err((_, Refusal::Uncarried))), "data both ways");
    let mut with_meta = flight(&pool, 512);
    with_meta.io.meta.push(pool.get(8).unwrap());
    assert!(matches!(link.submit(with_meta, &read(1)), Err((_, Refusal::Uncarried))), "metadata apart");
    assert_eq!(link.in_flight(), 0);
}

#[test]
fn a_fused_pair_goes_side_by_side_or_not_at_all() {
    use doorbell_wire_nvme::Fuse;
    let pool = pool();
    let (mut link, mut peer) = friends(spec(1), ControllerOffer::default());
    let (first, second) = (read(1).with_fuse(Fuse::FIRST), write(1).with_fuse(Fuse::SECOND));
    assert!(link.submit_pair((flight(&pool, 512), &first), (flight(&pool, 512), &second)).is_ok());
    assert!(link.submit(flight(&pool, 0), &Sqe::new(0)).is_ok());
    let refused = link.submit_pair((flight(&pool, 512), &first), (flight(&pool, 512), &second));
    assert!(matches!(refused, Err((_, _, Refusal::Full))), "there is room for one");
    link.kick();
    let fuses = [(); 3].map(|()| peer.command().0.fuse());
    assert_eq!(fuses, [Fuse::FIRST, Fuse::SECOND, Fuse::NORMAL]);
    assert_eq!(link.in_flight(), 3);
}
