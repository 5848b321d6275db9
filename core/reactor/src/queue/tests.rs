use super::*;
use crate::{Config, run};
use doorbell_block::DeviceInfo;
use std::future::Future;
use std::sync::{Arc, Mutex};

/// Holds requests until it has `at_least` of them.
struct Holding {
    token: Token,
    held: Done,
    at_least: usize,
    aborted: Arc<Mutex<u32>>,
}

impl BlockQueue for Holding {
    fn submit(&mut self, cx: &mut Cx, io: Box<Io>) {
        self.held.push(io);
        cx.wake(self.token);
    }
    fn kick(&mut self, _cx: &mut Cx) {}
    fn poll(&mut self, _cx: &mut Cx, done: &mut Done) {
        if self.held.len() >= self.at_least {
            done.append(&mut self.held);
            self.at_least = 1;
            *self.aborted.lock().unwrap() += 1;
        }
    }
}

struct Device {
    at_least: usize,
    polls: Arc<Mutex<u32>>,
}

impl BlockDevice for Device {
    fn info(&self) -> Arc<DeviceInfo> {
        Arc::new(DeviceInfo::plain(9, 100))
    }
    fn open(&self, _cx: &mut Cx, token: Token, _depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        if self.at_least == 0 {
            return Err(OpenError::Gone);
        }
        Ok(Box::new(Holding { token, held: vec![], at_least: self.at_least, aborted: self.polls.clone() }))
    }
}

#[test]
fn a_buffer_goes_and_comes_back_and_a_dropped_future_loses_nothing() {
    let polls = Arc::default();
    let device = Arc::new(Device { at_least: 2, polls });
    let (_, closed) = run(&Config::default(), |local| async move {
        let q = AsyncQueue::open(&local, device, 8).await.unwrap();
        let buffer = local.with(|cx| cx.buffer(512).unwrap()).await;
        // The first is dropped while it is held: it must come back by itself, with the second.
        let first = q.request(|io| io.op = Op::Flush, |io| io.status);
        let mut first = Box::pin(first);
        std::future::poll_fn(|c| {
            assert!(first.as_mut().poll(c).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(first);
        let (status, mut buffer) = q.write(3, 1, buffer).await;
        assert_eq!(status, Status::Ok);
        assert!(buffer.bytes().is_some(), "the sole share again");
        assert_eq!(q.control(Op::Flush, 0, 0).await, Status::Ok);
    })
    .unwrap();
    assert_eq!((closed[0].boxes_out, closed[0].buffers_out), (0, 0));
}

#[test]
fn a_queue_dropped_with_requests_out_is_retired() {
    let device = Arc::new(Device { at_least: 2, polls: Arc::default() });
    let (_, closed) = run(&Config::default(), |local| async move {
        let q = AsyncQueue::open(&local, device, 8).await.unwrap();
        let mut a = Box::pin(q.control(Op::Flush, 0, 0));
        let mut b = Box::pin(q.control(Op::Flush, 0, 0));
        std::future::poll_fn(|c| {
            let _ = a.as_mut().poll(c);
            let _ = b.as_mut().poll(c);
            Poll::Ready(())
        })
        .await;
        drop((a, b));
        drop(q);
        local.sleep_ns(1_000_000).await;
    })
    .unwrap();
    assert_eq!(closed[0].boxes_out, 0);
}

#[test]
fn an_open_that_fails_leaves_nothing_behind() {
    let device = Arc::new(Device { at_least: 0, polls: Arc::default() });
    let (live, _) = run(&Config::default(), |local| async move {
        let before = local.with(|cx| cx.live_tokens()).await;
        assert_eq!(AsyncQueue::open(&local, device, 8).await.err(), Some(OpenError::Gone));
        local.with(move |cx| cx.live_tokens() - before).await
    })
    .unwrap();
    assert_eq!(live, 0);
}
