//! Sources: what the outside world can make ready. Only these are polled, only these arm.

use crate::Cx;
use std::os::fd::BorrowedFd;

/// What arming found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Armed {
    /// Its descriptor will become readable when there is something.
    Armed,
    /// There is something already: look again, do not sleep.
    Ready,
}

/// A hardware queue pair, a kernel ring, a set of helper threads.
pub trait Source {
    /// Sorts up to `budget` completions to their owners and wakes them. While it is borrowed it calls nothing of `cx` but `wake`.
    fn reap(&mut self, cx: &mut Cx, budget: u32) -> u32;

    /// The descriptor that becomes readable after `arm`; watched for as long as the source lives.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// Before sleep: ask for a wake-up, then look once more.
    fn arm(&mut self) -> Armed;

    /// After sleep: no wake-ups any more, and whatever made the descriptor readable is drained.
    fn disarm(&mut self);

    /// Is anything in flight? A source with nothing in flight needs no polling to find out.
    fn busy(&self) -> bool;
}
