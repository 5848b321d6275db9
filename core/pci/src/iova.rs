//! I/O addresses: which ranges of them a device can use, and which are taken.
//!
//! First fit from the bottom, aligned to what is mapped: a device that reaches few bits needs low addresses, and regions are few.

/// Addresses from `first` to `last`, both among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IovaRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// Which addresses are taken.
#[derive(Debug)]
pub struct Iovas {
    usable: Vec<IovaRange>,
    taken: Vec<IovaRange>,
}

/// Below this nothing is handed out: a device that follows a zero pointer should fault.
const FLOOR: u64 = 16 << 20;

impl Iovas {
    /// Those of `usable`, in any order.
    pub fn new(usable: &[IovaRange]) -> Iovas {
        let mut usable: Vec<IovaRange> = usable.iter().copied().filter(|r| r.first <= r.last).collect();
        usable.sort_by_key(|r| r.first);
        Iovas { usable, taken: Vec::new() }
    }

    /// Takes `len` bytes at a multiple of `align` (a power of two). `None` when there is no room.
    pub fn take(&mut self, len: u64, align: u64) -> Option<u64> {
        let align = align.max(1);
        for range in &self.usable {
            let mut at = range.first.max(FLOOR).checked_next_multiple_of(align)?;
            for taken in self.taken.iter().filter(|t| t.last >= range.first && t.first <= range.last) {
                let end = at.checked_add(len.checked_sub(1)?)?;
                if end < taken.first {
                    break;
                }
                if at <= taken.last {
                    at = taken.last.checked_add(1)?.checked_next_multiple_of(align)?;
                }
            }
            let Some(last) = at.checked_add(len.checked_sub(1)?) else { continue };
            if last <= range.last {
                let place = self.taken.partition_point(|t| t.first < at);
                self.taken.insert(place, IovaRange { first: at, last });
                return Some(at);
            }
        }
        None
    }

    /// Takes these, whether they are usable or not. False when some of them are taken.
    pub fn take_at(&mut self, at: u64, len: u64) -> bool {
        let Some(last) = len.checked_sub(1).and_then(|more| at.checked_add(more)) else { return false };
        if self.taken.iter().any(|t| t.first <= last && t.last >= at) {
            return false;
        }
        let place = self.taken.partition_point(|t| t.first < at);
        self.taken.insert(place, IovaRange { first: at, last });
        true
    }

    /// Gives back what `take` gave.
    pub fn give_back(&mut self, at: u64) {
        self.taken.retain(|t| t.first != at);
    }
}

#[cfg(test)]
mod tests;
