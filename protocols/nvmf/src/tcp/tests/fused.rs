//! Fused pairs of which one half is spoiled on its way.

use super::*;

fn half(world_host: &mut Host, fuse: Fuse) -> Sqe {
    let command = if fuse == Fuse::FIRST { IoCommand::Compare(rw(0, 1)) } else { IoCommand::Write(rw(0, 1)) };
    in_capsule(command, 512).with_fuse(fuse).with_cid(world_host.cid())
}

fn with_digests() -> (World, Host) {
    let mut world = World::new(16);
    let host = connected(&mut world, HostOffer { data_digest: true, ..HostOffer::default() });
    (world, host)
}

/// Sends a command whose digest is wrong if it is to be spoiled.
fn send(host: &mut Host, sqe: &Sqe, data: &[u8], spoil: bool) {
    let io = host.io.as_mut().unwrap();
    io.capsule(sqe, data);
    if spoil {
        *io.pipe.0.borrow_mut().to_target.back_mut().unwrap() ^= 1;
    }
}

fn answers(world: &mut World, host: &mut Host) -> Vec<(Cid, Status)> {
    world.settle();
    let io = host.io.as_mut().unwrap();
    io.read();
    io.answers.drain(..).map(|a| (a.cid, a.status.code())).collect()
}

#[test]
fn a_spoiled_first_half_does_not_harm_the_command_that_takes_its_slot() {
    let (mut world, mut host) = with_digests();
    let first = half(&mut host, Fuse::FIRST);
    send(&mut host, &first, &[0; 512], true);
    assert_eq!(answers(&mut world, &mut host), [(first.cid(), Status::TRANSIENT_TRANSPORT_ERROR)]);
    assert_eq!(get(&mut world, &mut host, 0, 1), [0; 512]);
    // Its second half has nothing to follow.
    let first = half(&mut host, Fuse::FIRST);
    send(&mut host, &first, &[0; 512], true);
    world.settle();
    let second = half(&mut host, Fuse::SECOND);
    send(&mut host, &second, &[1; 512], false);
    let mut all = answers(&mut world, &mut host);
    all.sort_by_key(|(cid, _)| cid.0);
    let expected = [(first.cid(), Status::TRANSIENT_TRANSPORT_ERROR), (second.cid(), Status::ABORTED_MISSING_FUSED)];
    assert_eq!(all, expected);
    assert_eq!(get(&mut world, &mut host, 0, 1), [0; 512], "half a pair was carried out");
}

#[test]
fn a_spoiled_half_takes_the_other_along() {
    for spoiled in [Fuse::FIRST, Fuse::SECOND] {
        let (mut world, mut host) = with_digests();
        let (first, second) = (half(&mut host, Fuse::FIRST), half(&mut host, Fuse::SECOND));
        // The first half's data is asked for, so that the second is there when it comes.
        let first = first.with_sgl(Sgl::Transport { len: 512 });
        send(&mut host, &first, &[], false);
        world.settle();
        send(&mut host, &second, &[1; 512], spoiled == Fuse::SECOND);
        world.settle();
        let io = host.io.as_mut().unwrap();
        io.read();
        let r2t = io.asked.pop_front().expect("the first half was not asked for");
        let before: Vec<_> = io.answers.drain(..).map(|a| (a.cid, a.status.code())).collect();
        for part in r2t.answers(512) {
            io.h2c(&part, &[0; 512]);
        }
        if spoiled == Fuse::FIRST {
            *io.pipe.0.borrow_mut().to_target.back_mut().unwrap() ^= 1;
        }
        let mut all = before;
        all.extend(answers(&mut world, &mut host));
        all.sort_by_key(|(cid, _)| cid.0);
        let (bad, other) = (Status::TRANSIENT_TRANSPORT_ERROR, Status::ABORTED_FAILED_FUSED);
        let (one, two) = if spoiled == Fuse::FIRST { (bad, other) } else { (other, bad) };
        assert_eq!(all, [(first.cid(), one), (second.cid(), two)], "{spoiled:?} was spoiled");
        assert_eq!(get(&mut world, &mut host, 0, 1), [0; 512]);
        host.hang_up();
        world.settle();
        assert_eq!(world.boxes_out(), 0);
    }
}
