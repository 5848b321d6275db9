//! Waiting with an end.

use doorbell_reactor::Local;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// What `work` says, or `None` when it takes longer than `ns`.
pub async fn within<T>(local: &Local, ns: u64, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut alarm) = (pin!(work), pin!(local.sleep_ns(ns)));
    poll_fn(|c| {
        if let Poll::Ready(done) = work.as_mut().poll(c) {
            return Poll::Ready(Some(done));
        }
        alarm.as_mut().poll(c).map(|()| None)
    })
    .await
}
