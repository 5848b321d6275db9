//! Hosts that read nothing of what they get, or send nothing of what they are asked for, next to one that does as it should.

use super::*;

/// Blocks of the largest command.
const LONG: u32 = 256;

/// More queues for a host, from `qid` on.
fn queues(world: &mut World, host: &mut Host, qids: std::ops::RangeInclusive<u16>) -> Vec<crate::fuzzing::End> {
    qids.map(|qid| {
        let (end, answer) = host.connect_io(world, qid).unwrap();
        done(Some(answer));
        end
    })
    .collect()
}

fn read(blocks: u32, cid: u16) -> Sqe {
    transport(IoCommand::Read(rw(0, blocks)), bytes_of(blocks)).with_cid(Cid(cid))
}

/// I/O of every size, both ways, gets through.
fn goes_on(world: &mut World, host: &mut Host) {
    for blocks in [8, LONG, 1, LONG, 8] {
        let data = pattern(bytes_of(blocks), blocks);
        put(world, host, 512, &data);
        assert_eq!(get(world, host, 512, blocks), data);
    }
}

#[test]
fn queues_that_read_nothing_leave_buffers_for_others() {
    let mut world = World::new(16);
    let mut neighbour = connected(&mut world, HostOffer::default());
    let mut deaf = connected(&mut world, HostOffer::default());
    let mut ends = queues(&mut world, &mut deaf, 2..=7);
    for end in &ends {
        end.pipe.0.borrow_mut().room = 0;
    }
    for n in 0..31 {
        for (at, end) in ends.iter().enumerate() {
            end.capsule(&read(if at < 4 { LONG } else { 8 }, n), &[]);
        }
        if n % 8 == 0 {
            world.settle();
        }
    }
    world.settle();
    goes_on(&mut world, &mut neighbour);
    // Time alone changes nothing as long as nobody lacks anything.
    world.advance(100_000_000_000);
    assert!(ends.iter().all(|e| !e.is_closed()));
    goes_on(&mut world, &mut neighbour);
    // They read again: every command is answered, in however many turns.
    for end in &mut ends {
        end.pipe.0.borrow_mut().room = usize::MAX;
        world.cx.wake(end.pipe.0.borrow().token.unwrap());
    }
    world.settle();
    for (at, end) in ends.iter_mut().enumerate() {
        end.read();
        assert_eq!(end.answers.len(), 31, "queue {at}");
        assert!(end.answers.iter().all(|a| a.status.is_ok()));
    }
    assert_eq!(world.boxes_out(), 0);
}

#[test]
fn queues_that_send_nothing_of_what_they_are_asked_for_leave_buffers_for_others() {
    let mut world = World::new(16);
    let mut neighbour = connected(&mut world, HostOffer::default());
    let mut mute = connected(&mut world, HostOffer::default());
    let mut ends = queues(&mut world, &mut mute, 2..=7);
    for n in 0..31 {
        for end in &ends {
            end.capsule(&transport(IoCommand::Write(rw(0, LONG)), bytes_of(LONG)).with_cid(Cid(n)), &[]);
        }
    }
    world.settle();
    goes_on(&mut world, &mut neighbour);
    // Reads that come behind wait for a share; the data of the writes comes behind them and is looked at all the same.
    for end in &ends {
        end.capsule(&read(LONG, 100), &[]);
    }
    for _ in 0..31 {
        world.settle();
        for end in &mut ends {
            end.read();
            while let Some(r2t) = end.asked.pop_front() {
                for part in r2t.answers(u32::MAX) {
                    end.h2c(&part, &vec![1; part.len as usize]);
                }
            }
        }
    }
    world.settle();
    for (at, end) in ends.iter_mut().enumerate() {
        end.read();
        assert_eq!(end.answers.len(), 32, "queue {at}");
    }
    assert_eq!(world.boxes_out(), 0);
}

#[test]
fn who_takes_nothing_while_others_lack_buffers_is_closed() {
    let mut world = World::new(4);
    let mut neighbour = connected(&mut world, HostOffer::default());
    let mut deaf = connected(&mut world, HostOffer::default());
    let ends = queues(&mut world, &mut deaf, 2..=6);
    for end in &ends {
        end.pipe.0.borrow_mut().room = 0;
        end.capsule(&read(LONG, 1), &[]);
    }
    // More queues than buffers: each may try for its first, so none is left.
    world.settle();
    world.advance(20_000_000_000);
    let cid = neighbour.cid();
    neighbour.capsule(true, &read(LONG, cid.0), &[]);
    world.settle();
    neighbour.read(true);
    assert!(neighbour.io.as_ref().unwrap().answers.is_empty(), "there were buffers after all");
    world.advance(9_000_000_000);
    assert!(ends.iter().all(|e| !e.is_closed()));
    world.advance(2_000_000_000);
    assert!(ends.iter().any(|e| e.is_closed()), "who holds the buffers stays");
    neighbour.read(true);
    assert_eq!(neighbour.io.as_mut().unwrap().answers.pop_front().map(|a| a.status), Some(Status::SUCCESS));
    goes_on(&mut world, &mut neighbour);
}

#[test]
fn an_admin_queue_that_reads_nothing_does_not_outlive_its_keep_alive() {
    let mut world = World::new(40);
    let mut host = world.host(HostOffer::default());
    host.handshake(&mut world);
    done(host.connect_admin(&mut world, NQN, 10_000));
    done(host.enable(&mut world));
    host.admin.pipe.0.borrow_mut().room = 0;
    let identify = AdminCommand::Identify(Identify { cns: Cns::CONTROLLER, ..Identify::default() });
    for n in 0..64 {
        let sqe = identify.encode().with_sgl(Sgl::Transport { len: 4096 }).with_cid(Cid(n));
        host.capsule(false, &sqe, &[]);
        world.settle();
    }
    assert!(!host.admin.pipe.0.borrow().to_target.is_empty() || !host.admin.is_closed());
    for _ in 0..3 {
        world.advance(9_000_000_000);
    }
    assert!(host.admin.is_closed(), "it is kept although nothing was heard of it");
    assert_eq!(world.boxes_out(), 0);
}
