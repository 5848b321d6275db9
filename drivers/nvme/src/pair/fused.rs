//! Fused pairs: two commands that the controller has to find side by side.
//!
//! A pair needs two places at once, which a busy queue never has by itself. So whoever finds no room has it gathered: until it has come back
//! for it, new commands of others wait in their lines. It is woken when there may be room, and comes back, leaves or aborts.

use super::{Finished, Life, Pair};
use crate::link::{Flight, OwnerId, Raw};
use doorbell_block::{Cx, Io, Status as Ended};
use doorbell_pci::queue::Refusal;
use doorbell_wire_nvme::Sqe;

impl Pair {
    /// Takes two commands that the controller is to find side by side, or gives them back when it cannot now: their owner is then woken when
    /// there may be room. They are not sent again by themselves.
    pub(crate) fn submit_fused(&mut self, cx: &mut Cx, pair: [(Box<Io>, Sqe); 2], owner: OwnerId) -> Option<[Box<Io>; 2]> {
        self.now = cx.now();
        let [(first, a), (second, b)] = pair;
        let may_go = match self.life {
            Life::Gone => return self.fail_fused(cx, [first, second], owner, Ended::Gone),
            Life::Held if self.failing => return self.fail_fused(cx, [first, second], owner, Ended::Aborted),
            Life::Held => false,
            Life::Live => !self.lines.any_waits(),
            Life::Gathering => self.gathers_for == Some(owner),
        };
        let Some(link) = self.link.as_mut().filter(|_| may_go) else {
            self.gather(owner);
            return Some([first, second]);
        };
        let since = self.now;
        let flight = |io, sqe| Flight { io, raw: Some(Box::new(Raw { sqe, pages: None })), owner, since, tries: 0 };
        let is_idle = link.in_flight() == 0;
        match link.submit_pair((flight(first, a), &a), (flight(second, b), &b)) {
            Ok(()) => {
                link.kick();
                self.gather_no_more(owner);
            }
            // A queue of one entry never has room for two.
            Err((first, second, Refusal::Full)) if is_idle => {
                self.gather_no_more(owner);
                return self.fail_fused(cx, [first.io, second.io], owner, Ended::Unsupported);
            }
            Err((first, second, Refusal::Full)) => {
                self.gather(owner);
                return Some([first.io, second.io]);
            }
            Err((first, second, why)) => {
                self.gather_no_more(owner);
                self.refused(cx, first, why);
                self.refused(cx, second, why);
            }
        }
        None
    }

    fn fail_fused(&mut self, cx: &mut Cx, pair: [Box<Io>; 2], owner: OwnerId, why: Ended) -> Option<[Box<Io>; 2]> {
        for io in pair {
            let flight = Flight { io, raw: None, owner, since: self.now, tries: 0 };
            self.lines.finish(cx, flight, Finished::Failed(why));
        }
        None
    }

    /// Room for two is gathered for an owner, unless it is for another already; it is woken when it is worth another look.
    fn gather(&mut self, owner: OwnerId) {
        if self.life == Life::Live {
            (self.life, self.gathers_for) = (Life::Gathering, Some(owner));
        }
        if let Some(who) = self.lines.token(owner)
            && !self.wake_for_room.contains(&who)
        {
            self.wake_for_room.push(who);
        }
    }

    /// The owner has its pair in, or wants none any more: others go again with the next look at the link.
    pub(crate) fn gather_no_more(&mut self, owner: OwnerId) {
        if self.gathers_for == Some(owner) {
            self.gathers_for = None;
            if self.life == Life::Gathering {
                self.life = Life::Live;
            }
        }
    }
}
