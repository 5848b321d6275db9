use super::*;
use crate::model::{Random, exercise, on_reactors, plain, refusals, transfer};
use doorbell_block::{ConsumerId, Flags, ReactorId};
use doorbell_reactor::AsyncQueue;

fn device(shift: u8, blocks: u64) -> Arc<Malloc> {
    Arc::new(Malloc::new(&Regions::new(), &MallocOptions::new(shift, blocks)).unwrap())
}

#[test]
fn holds_what_was_written_under_mixed_load() {
    for shift in [9, 12, 13] {
        on_reactors(1, |local| async move {
            exercise(&local, device(shift, 640), 16, 200, u64::from(shift)).await;
            refusals(&local, device(shift, 640)).await;
        });
    }
}

#[test]
fn reactors_share_it() {
    on_reactors(2, |local| async move {
        let it = device(9, 4096);
        let there = it.clone();
        // Written through a queue of the other reactor, read through one of this.
        let write = move |cx: &mut Cx| {
            let who = cx.token(ConsumerId(0));
            let mut queue = there.open(cx, who, 1).unwrap();
            let (mut io, buffer) = cx.request(4096).unwrap();
            buffer.fill(0, 4096, 0x77);
            (io.op, io.lba, io.blocks) = (Op::Write, 4088, 8);
            io.sg.push(buffer);
            queue.submit(cx, io);
            queue.kick(cx);
            let mut done = vec![];
            queue.poll(cx, &mut done);
            let io = done.pop().unwrap();
            let status = io.status;
            cx.put_io(io);
            cx.free_token(who);
            status
        };
        assert_eq!(local.visit(ReactorId(1), write).await.unwrap(), Status::Ok);
        let queue = AsyncQueue::open(&local, it, 1).await.unwrap();
        let buffer = local.with(|cx| cx.buffer(4096).unwrap()).await;
        let (status, mut buffer) = queue.read(4088, 8, buffer).await;
        assert_eq!(status, Status::Ok);
        assert_eq!(buffer.bytes().unwrap(), [0x77; 4096]);
    });
}

#[test]
fn large_and_sparse_it_is_right_across_the_edge_of_a_span() {
    on_reactors(1, |local| async move {
        let it = device(9, 6 << 21); // 6 GiB, of which a few pages become resident
        let queue = AsyncQueue::open(&local, it, 4).await.unwrap();
        let buffer = local.with(|cx| cx.buffer(8192).unwrap()).await;
        let mut random = Random(5);
        let bytes: Vec<u8> = (0..8192).map(|_| random.next() as u8).collect();
        buffer.write_at(0, &bytes);
        let edge = 1 << 22; // 2 GiB in blocks
        assert_eq!(transfer(&queue, Op::Write, Flags::NONE, edge - 3, 16, vec![buffer.clone()]).await, Status::Ok);
        let copy = |to: u64, source: u64| {
            let prepare = move |io: &mut Io| (io.op, io.lba, io.source, io.blocks) = (Op::Copy, to, source, 16);
            queue.request(prepare, |io| io.status)
        };
        // Up by two, then down by seven: both overlap and both cross the edge.
        assert_eq!(copy(edge - 1, edge - 3).await, Status::Ok);
        assert_eq!(copy(edge - 8, edge - 1).await, Status::Ok);
        buffer.fill(0, 8192, 0);
        assert_eq!(transfer(&queue, Op::Read, Flags::NONE, edge - 8, 16, vec![buffer.clone()]).await, Status::Ok);
        let mut read = vec![0; 8192];
        buffer.read_at(0, &mut read);
        assert!(read == bytes);
        // The whole of it in one request: gives the pages back, piece by piece.
        assert_eq!(plain(&queue, Op::Unmap, 0, 6 << 21).await.0, Status::Ok);
        assert_eq!(plain(&queue, Op::SeekData, 0, 0).await, (Status::Ok, u64::MAX));
        assert_eq!(transfer(&queue, Op::Read, Flags::NONE, edge - 8, 16, vec![buffer.clone()]).await, Status::Ok);
        buffer.read_at(0, &mut read);
        assert!(read == vec![0; 8192]);
    });
}

#[test]
fn seeks_find_data_and_holes() {
    on_reactors(1, |local| async move {
        let it = device(14, 64); // blocks of four pages
        let queue = AsyncQueue::open(&local, it, 4).await.unwrap();
        let buffer = local.with(|cx| cx.buffer(16384).unwrap()).await;
        for lba in [10, 11, 63] {
            assert_eq!(transfer(&queue, Op::Write, Flags::NONE, lba, 1, vec![buffer.clone()]).await, Status::Ok);
        }
        for (op, from, found) in [
            (Op::SeekData, 0, 10),
            (Op::SeekData, 11, 11),
            (Op::SeekData, 12, 63),
            (Op::SeekHole, 0, 0),
            (Op::SeekHole, 10, 12),
            (Op::SeekHole, 63, u64::MAX),
        ] {
            assert_eq!(plain(&queue, op, from, 0).await, (Status::Ok, found), "{op:?} from {from}");
        }
        assert_eq!(plain(&queue, Op::SeekData, 64, 0).await.0, Status::OutOfRange);
    });
}

/// A queue with more to do than one poll does: it gives way, wakes its owner, and can be asked to give back.
#[test]
fn a_large_request_gives_way_and_can_be_aborted() {
    let mut cx = Cx::for_test(3, 512, 1);
    let who = cx.token(ConsumerId(0));
    let mut queue = device(9, 1 << 20).open(&mut cx, who, 3).unwrap();
    let mut ids = vec![];
    for n in 0..3 {
        let mut io = cx.take_io().unwrap();
        (io.op, io.lba, io.blocks, io.tag) = (Op::Unmap, 0, if n == 1 { 1 } else { 1 << 20 }, n);
        ids.push(io.id());
        queue.submit(&mut cx, io);
    }
    let mut done = vec![];
    queue.kick(&mut cx);
    let mut polls = 0;
    while done.len() < 3 {
        assert_eq!(cx.take_ready(), [who], "poll {polls}");
        cx.begin_run(who);
        queue.poll(&mut cx, &mut done);
        polls += 1;
        match polls {
            1 => {
                assert!(done.is_empty());
                queue.abort(&mut cx, Abort::One(ids[0]));
            }
            3 => queue.abort(&mut cx, Abort::All),
            _ => {}
        }
    }
    let ends: Vec<_> = done.iter().map(|io| (io.tag, io.status)).collect();
    assert_eq!(ends, [(0, Status::Aborted), (1, Status::Ok), (2, Status::Aborted)]);
    done.into_iter().for_each(|io| cx.put_io(io));
}
