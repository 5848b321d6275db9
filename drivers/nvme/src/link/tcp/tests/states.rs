//! From nothing to a queue, and every way that this can fail.

use super::*;
use doorbell_sys::socket::Listener;
use doorbell_wire_nvme::fabrics::{ConnectInvalid, ConnectResult};

/// What became of a link whose peer answers Connect with this.
fn connected(spec: TcpSpec, status: Status, dw0: u32) -> Progress {
    let (mut link, mut peer) = strangers(spec, ControllerOffer::default());
    assert_eq!(link.progress(), Progress::Connecting);
    assert!(!link.has_room());
    peer.hear();
    peer.say_pdu(|codec, out| codec.write_ic_resp(out));
    reap(&mut link);
    let (sqe, _) = peer.command();
    peer.answer(Cqe::new(sqe.cid(), status).with_dw0(dw0));
    let _ = link.reap(NOW, 1, &mut Vec::new());
    link.progress()
}

fn failed(progress: Progress) -> Failure {
    match progress {
        Progress::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn refusals_say_what_to_do() {
    let refuse = |status: Status, dw0: u32| failed(connected(spec(0), status.dnr(), dw0)).to_string();
    let invalid = |what: ConnectInvalid| refuse(Status::CONNECT_INVALID_PARAMETERS, what.into_bits());
    assert!(invalid(ConnectInvalid::SUBNQN).contains("no subsystem nqn.2026-11.io.doorbell:scripted: check the NQN"));
    assert!(invalid(ConnectInvalid::SQSIZE).contains("depth"));
    assert!(invalid(ConnectInvalid::new().with_offset(9)).contains("Connect Invalid Parameters"));
    assert!(refuse(Status::CONNECT_INVALID_HOST, 0).contains("host nqn.2026-11.io.doorbell:host may not connect"));
    assert!(refuse(Status::CONTROLLER_BUSY, 0).contains("try again later"));
    assert!(refuse(Status::AUTHENTICATION_REQUIRED, 0).contains("authentication"));
    assert!(refuse(Status::INTERNAL_ERROR, 0).contains("Internal Error"));
    let result = ConnectResult::new().with_cntlid(1).with_authentication(true).into_bits();
    assert!(matches!(failed(connected(spec(0), Status::SUCCESS, result)), Failure::Authentication { .. }));
    assert!(matches!(failed(connected(spec(1), Status::SUCCESS, 2)), Failure::Protocol { .. }), "a queue of another controller");
}

#[test]
fn a_peer_that_says_nothing_or_nonsense() {
    let late = NOW.after(2_000);
    let (mut link, _peer) = strangers(spec(0), ControllerOffer::default());
    assert_eq!(link.deadline(), Some(NOW.after(1_000)));
    assert!(reap(&mut link).is_empty());
    assert!(link.reap(late, 1, &mut Vec::new()).is_err());
    assert!(matches!(failed(link.progress()), Failure::TimedOut { step, .. } if step.contains("ICReq")));

    let (mut link, mut peer) = strangers(spec(0), ControllerOffer::default());
    peer.hear();
    peer.say_pdu(|codec, out| codec.write_ic_resp(out));
    reap(&mut link);
    drop(peer);
    assert!(link.reap(NOW, 1, &mut Vec::new()).is_err());
    assert!(matches!(failed(link.progress()), Failure::Lost { why, .. } if why.contains("Connect")));

    let (mut link, mut peer) = strangers(spec(0), ControllerOffer::default());
    peer.hear();
    peer.say_pdu(|codec, out| codec.write_ic_resp(out));
    reap(&mut link);
    assert!(link.reap(late, 1, &mut Vec::new()).is_err());
    assert!(matches!(failed(link.progress()), Failure::TimedOut { step, .. } if step.contains("Connect")));

    let (mut link, mut peer) = strangers(spec(0), ControllerOffer::default());
    peer.say(b"SSH-2.0-OpenSSH_9.2\r\n");
    assert!(link.reap(NOW, 1, &mut Vec::new()).is_err());
    assert!(matches!(failed(link.progress()), Failure::NotNvme { .. }));

    let (mut link, peer) = strangers(spec(0), ControllerOffer::default());
    drop(peer);
    assert!(link.reap(NOW, 1, &mut Vec::new()).is_err());
    let failure = failed(link.progress());
    assert!(matches!(failure, Failure::NotNvme { .. }) && !failure.may_pass());
}

#[test]
fn an_end_that_the_controller_announces() {
    let (mut link, mut peer) = friends(spec(1), ControllerOffer::default());
    let pool = pool();
    assert!(link.submit(flight(&pool, 512), &read(1)).is_ok());
    link.kick();
    let mut term = [0; 24];
    (term[0], term[2], term[4], term[8]) = (3, 24, 24, 2);
    peer.say(&term);
    let lost = reap_some(&mut link).map(|_| ()).unwrap_err();
    assert!(matches!(&lost, Lost::Connection(why) if why.contains("PDU Sequence Error")), "{lost}");
    assert_eq!(link.reclaim().unwrap().len(), 1);
}

#[test]
fn addresses_are_tried_in_turn() {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), 4).unwrap();
    let there = listener.local_addr().unwrap();
    // A port that nobody listens at: one that was free a moment ago.
    let nobody = Listener::bind("127.0.0.1:0".parse().unwrap(), 4).unwrap().local_addr().unwrap();
    let spec = TcpSpec { addresses: vec![nobody, there], connect_timeout_ns: 60_000_000_000, ..spec(0) };
    let mut link = TcpLink::begin(NOW, spec.clone()).unwrap();
    while link.step == Step::Dialing {
        assert!(sleeps_until_ready(&mut link));
        reap(&mut link);
    }
    assert_eq!((link.peer(), link.progress()), (there, Progress::Connecting));
    assert!(listener.accept().unwrap().is_some());

    let mut link = TcpLink::begin(NOW, TcpSpec { addresses: vec![nobody], ..spec.clone() }).unwrap();
    while link.progress() == Progress::Connecting {
        assert!(sleeps_until_ready(&mut link));
        let _ = link.reap(NOW, 1, &mut Vec::new());
    }
    assert_eq!(failed(link.progress()), Failure::Refused(nobody));
    assert!(matches!(TcpLink::begin(NOW, TcpSpec { addresses: vec![], ..spec.clone() }), Err(Failure::Invalid(_))));
    assert!(matches!(TcpLink::begin(NOW, TcpSpec { depth: 0, ..spec }), Err(Failure::Invalid(_))));
}

#[test]
fn a_source_address_is_kept_to() {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), 4).unwrap();
    let addresses = vec![listener.local_addr().unwrap()];
    let source: SocketAddr = "127.0.0.9:0".parse().unwrap();
    let mut link =
        TcpLink::begin(NOW, TcpSpec { addresses, source: Some(source), priority: 3, connect_timeout_ns: 60_000_000_000, ..spec(0) })
            .unwrap();
    while link.step == Step::Dialing {
        assert!(sleeps_until_ready(&mut link));
        reap(&mut link);
    }
    let (_, peer) = listener.accept().unwrap().unwrap();
    assert_eq!(peer.ip(), source.ip());
}
