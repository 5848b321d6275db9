//! What async code here needs of its own: a lock whose waiters are served in order, and several futures at a time.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Poll, Waker};

/// A value that one task of a reactor has at a time. Whoever asks first has it first.
pub(crate) struct Lock<T> {
    value: RefCell<T>,
    held: Cell<bool>,
    next: Cell<u64>,
    line: RefCell<VecDeque<(u64, Option<Waker>)>>,
}

/// The value, until it is dropped.
pub(crate) struct Held<'a, T> {
    value: Option<RefMut<'a, T>>,
    lock: &'a Lock<T>,
}

/// A place in the line.
struct Place<'a, T> {
    lock: &'a Lock<T>,
    number: u64,
}

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Lock<T> {
        Lock { value: RefCell::new(value), held: Cell::new(false), next: Cell::new(0), line: RefCell::default() }
    }

    pub(crate) async fn lock(&self) -> Held<'_, T> {
        let number = self.next.replace(self.next.get() + 1);
        self.line.borrow_mut().push_back((number, None));
        let place = Place { lock: self, number };
        let value = poll_fn(|c| {
            let mut line = self.line.borrow_mut();
            if !self.held.get()
                && line.front().is_some_and(|(first, _)| *first == number)
                && let Ok(value) = self.value.try_borrow_mut()
            {
                line.pop_front();
                self.held.set(true);
                return Poll::Ready(value);
            }
            if let Some((_, waker)) = line.iter_mut().find(|(other, _)| *other == number) {
                *waker = Some(c.waker().clone());
            }
            Poll::Pending
        })
        .await;
        drop(place);
        Held { value: Some(value), lock: self }
    }

    fn wake_first(&self) {
        if !self.held.get()
            && let Some((_, Some(waker))) = self.line.borrow().front()
        {
            waker.wake_by_ref();
        }
    }
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        self.lock.line.borrow_mut().retain(|(number, _)| *number != self.number);
        self.lock.wake_first();
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    #[allow(clippy::expect_used, reason = "only dropping takes it out")]
    fn deref(&self) -> &T {
        self.value.as_ref().expect("held until dropped")
    }
}

impl<T> DerefMut for Held<'_, T> {
    #[allow(clippy::expect_used, reason = "only dropping takes it out")]
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("held until dropped")
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        self.lock.held.set(false);
        self.lock.wake_first();
    }
}

/// The first of them to end, taken out. There is one at least.
pub(crate) async fn first<F: Future>(running: &mut Vec<Pin<Box<F>>>) -> F::Output {
    poll_fn(|c| {
        for at in 0..running.len() {
            if let Poll::Ready(answer) = running[at].as_mut().poll(c) {
                drop(running.swap_remove(at));
                return Poll::Ready(answer);
            }
        }
        Poll::Pending
    })
    .await
}

/// Runs them, `width` at a time. After a failure no more are begun; those under way are waited for, and the first failure is what is said.
pub(crate) async fn all<E, F: Future<Output = Result<(), E>>>(width: usize, futures: impl IntoIterator<Item = F>) -> Result<(), E> {
    let (mut futures, mut running, mut failed) = (futures.into_iter(), Vec::new(), None);
    loop {
        while failed.is_none()
            && running.len() < width
            && let Some(future) = futures.next()
        {
            running.push(Box::pin(future));
        }
        if running.is_empty() {
            return failed.map_or(Ok(()), Err);
        }
        if let Err(error) = first(&mut running).await {
            failed.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests;
