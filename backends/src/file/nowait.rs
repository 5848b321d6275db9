//! Whether to ask the kernel not to block.
//!
//! A transfer that may not block costs nothing extra when the blocks are allocated, and is refused when they are not, nearly always for a
//! sparse file that is being filled. A refusal costs a system call's share and a second submission, so after several in a row most
//! requests go to a helper thread at once, and now and then one asks again.

/// Refusals in a row after which asking is given up for a while.
const GIVE_UP_AFTER: u8 = 4;
/// Requests between two that ask, while it is given up.
const ASK_EVERY: u8 = 64;

/// What one direction of one device has learnt on one reactor.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    refused: u8,
    since: u8,
}

impl Learnt {
    /// Should this request ask?
    #[inline]
    pub(super) fn ask(&mut self) -> bool {
        if self.refused < GIVE_UP_AFTER {
            return true;
        }
        self.since += 1;
        if self.since >= ASK_EVERY {
            self.since = 0;
            return true;
        }
        false
    }

    /// The kernel took it.
    #[inline]
    pub(super) fn taken(&mut self) {
        self.refused = 0;
    }

    /// The kernel refused it.
    pub(super) fn refused(&mut self) {
        self.refused = self.refused.saturating_add(1).min(GIVE_UP_AFTER);
    }
}

#[cfg(test)]
mod tests;
