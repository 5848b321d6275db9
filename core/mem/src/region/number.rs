//! Small numbers for regions, used again once a region has gone.

use std::sync::{Mutex, PoisonError};

struct Numbers {
    free: Vec<usize>,
    next: usize,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { free: Vec::new(), next: 0 });

/// A number that is its holder's alone.
#[derive(Debug)]
pub(crate) struct RegionNumber(usize);

impl RegionNumber {
    /// The smallest that is known to be free.
    pub(crate) fn take() -> RegionNumber {
        let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.free.pop().unwrap_or_else(|| {
            numbers.next += 1;
            numbers.next - 1
        });
        RegionNumber(number)
    }

    /// The number.
    #[inline]
    pub(crate) fn get(&self) -> usize {
        self.0
    }
}

impl Drop for RegionNumber {
    fn drop(&mut self) {
        NUMBERS.lock().unwrap_or_else(PoisonError::into_inner).free.push(self.0);
    }
}
