//! Small numbers for regions, used again once a region has gone, and serial numbers, which are not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

struct Numbers {
    free: Vec<usize>,
    next: usize,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { free: Vec::new(), next: 0 });

/// A number that is its holder's alone.
#[derive(Debug)]
pub(crate) struct RegionNumber {
    number: usize,
    serial: u64,
}

static SERIAL: AtomicU64 = AtomicU64::new(0);

impl RegionNumber {
    /// The smallest that is known to be free.
    pub(crate) fn take() -> RegionNumber {
        let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.free.pop().unwrap_or_else(|| {
            numbers.next += 1;
            numbers.next - 1
        });
        RegionNumber { number, serial: SERIAL.fetch_add(1, Ordering::Relaxed) }
    }

    /// The number.
    #[inline]
    pub(crate) fn get(&self) -> usize {
        self.number
    }

    /// Which region of all that there ever were.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }
}

impl Drop for RegionNumber {
    fn drop(&mut self) {
        NUMBERS.lock().unwrap_or_else(PoisonError::into_inner).free.push(self.number);
    }
}
