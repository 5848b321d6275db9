use super::*;
use crate::model::{on_reactors, plain, refusals, transfer};
use doorbell_block::{Flags, Status};
use doorbell_reactor::AsyncQueue;

#[test]
fn everything_ends_well_and_a_read_leaves_the_buffer_alone() {
    on_reactors(1, |local| async move {
        let device = Arc::new(Null::new(&NullOptions::new(12, 64)));
        refusals(&local, device.clone()).await;
        let queue = AsyncQueue::open(&local, device, 8).await.unwrap();
        let buffer = local.with(|cx| cx.buffer(8192).unwrap()).await;
        buffer.fill(0, 8192, 0x5a);
        for op in [Op::Read, Op::Write] {
            assert_eq!(transfer(&queue, op, Flags::NONE, 62, 2, vec![buffer.clone()]).await, Status::Ok);
        }
        let mut bytes = vec![0; 8192];
        buffer.read_at(0, &mut bytes);
        assert_eq!(bytes, vec![0x5a; 8192]);
        for op in [Op::WriteZeroes, Op::Unmap, Op::Flush, Op::Reset, Op::Copy] {
            assert_eq!(plain(&queue, op, 0, 64).await.0, Status::Ok, "{op:?}");
        }
    });
}

#[test]
fn an_open_queue_sees_a_new_size() {
    on_reactors(1, |local| async move {
        let device = Arc::new(Null::new(&NullOptions::new(9, 10)));
        let queue = AsyncQueue::open(&local, device.clone(), 1).await.unwrap();
        assert_eq!(plain(&queue, Op::Unmap, 10, 5).await.0, Status::OutOfRange);
        device.resize(15);
        assert_eq!(device.info().blocks, 15);
        assert_eq!(plain(&queue, Op::Unmap, 10, 5).await.0, Status::Ok);
        device.resize(14);
        assert_eq!(plain(&queue, Op::Unmap, 10, 5).await.0, Status::OutOfRange);
    });
}

#[test]
fn requests_come_back_together_after_one_kick() {
    let mut cx = Cx::for_test(40, 512, 1);
    let who = cx.token(doorbell_block::ConsumerId(0));
    let mut queue = Null::new(&NullOptions::new(9, 10)).open(&mut cx, who, 40).unwrap();
    for n in 0..40 {
        let mut io = cx.take_io().unwrap();
        (io.op, io.lba, io.blocks, io.tag) = (Op::Unmap, 0, 1, n);
        queue.submit(&mut cx, io);
    }
    assert!(!cx.any_ready());
    queue.kick(&mut cx);
    assert!(cx.any_ready());
    let mut done = vec![];
    queue.poll(&mut cx, &mut done);
    assert!(done.iter().map(|io| io.tag).eq(0..40));
    done.into_iter().for_each(|io| cx.put_io(io));
    assert_eq!(cx.boxes_out(), 0);
}
