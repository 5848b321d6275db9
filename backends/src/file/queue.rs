//! A queue of a file device: checks requests and passes them to its reactor's ring.

use super::Engine;
use super::device::Medium;
use super::flight::OwnerId;
use super::ring::Ring;
use doorbell_block::{Abort, BlockQueue, Cx, Done, Io, Op, Status, Token};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

pub(super) struct Queue<E: Engine> {
    pub(super) who: Token,
    pub(super) id: OwnerId,
    pub(super) ring: Rc<RefCell<Ring<E>>>,
    pub(super) medium: Arc<Medium>,
    /// Refused, or done without the kernel.
    pub(super) ready: Done,
}

impl<E: Engine> BlockQueue for Queue<E> {
    #[inline]
    fn submit(&mut self, _cx: &mut Cx, mut io: Box<Io>) {
        io.status = self.medium.shape.check(&io);
        let nothing = match io.op {
            Op::Flush => !self.medium.needs_sync,
            Op::Reset => true,
            op => op.has_range() && io.blocks == 0,
        };
        if nothing || io.status != Status::Ok {
            self.ready.push(io);
        } else {
            self.ring.borrow_mut().submit(io, self.id);
        }
    }

    #[inline]
    fn kick(&mut self, cx: &mut Cx) {
        self.ring.borrow_mut().kick();
        if !self.ready.is_empty() {
            cx.wake(self.who);
        }
    }

    #[inline]
    fn poll(&mut self, _cx: &mut Cx, done: &mut Done) {
        done.append(&mut self.ready);
        self.ring.borrow_mut().collect(self.id, done);
    }

    fn abort(&mut self, cx: &mut Cx, which: Abort) {
        self.ring.borrow_mut().abort(self.id, which);
        cx.wake(self.who);
    }
}

impl<E: Engine> Drop for Queue<E> {
    fn drop(&mut self) {
        self.ring.borrow_mut().leave(self.id);
    }
}
