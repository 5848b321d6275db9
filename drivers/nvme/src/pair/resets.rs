//! Resets that owners ask for: each ends when its controller has been brought up anew since.

use super::{Finished, Life, Pair};
use crate::link::{Flight, OwnerId};
use crate::shared::Why;
use doorbell_block::{Cx, Io, Status as Ended};

impl Pair {
    /// Asks for a reset of the controller. The request ends when a bring-up that began after this is done.
    pub(crate) fn submit_reset(&mut self, cx: &mut Cx, io: Box<Io>, owner: OwnerId) {
        self.now = cx.now();
        let flight = Flight { io, raw: None, owner, since: self.now, tries: 0 };
        if self.life == Life::Gone {
            return self.lines.finish(cx, flight, Finished::Failed(Ended::Gone));
        }
        self.resets.push((self.shared.ask_for_reset(Why::Asked), flight));
    }

    /// The controller is back.
    pub(super) fn end_resets(&mut self, cx: &mut Cx) {
        let now = self.epoch;
        for (_, flight) in self.resets.extract_if(.., |(epoch, _)| *epoch < now) {
            self.lines.finish(cx, flight, Finished::Reset);
        }
    }

    pub(super) fn fail_resets(&mut self, cx: &mut Cx, why: Ended) {
        for (_, flight) in self.resets.drain(..) {
            self.lines.finish(cx, flight, Finished::Failed(why));
        }
    }

    pub(super) fn abort_resets(&mut self, cx: &mut Cx, asked: impl Fn(&Flight) -> bool) {
        for (_, flight) in self.resets.extract_if(.., |(_, flight)| asked(flight)) {
            self.lines.finish(cx, flight, Finished::Failed(Ended::Aborted));
        }
    }
}
