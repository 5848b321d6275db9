//! Words of memory that another party reads and writes too: queue entries, doorbells, indices. Each access is one access of the machine.

use super::Seg;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

impl Seg {
    /// Reads the 32 bits at `offset`; what the other party wrote before them is seen by later reads.
    ///
    /// # Panics
    /// If they lie outside, or are not aligned in memory.
    #[inline]
    pub fn load32(&self, offset: u32) -> u32 {
        u32::from_le(self.word32(offset).load(Ordering::Acquire))
    }

    /// Writes the 32 bits at `offset`; who reads them sees what was written before.
    ///
    /// # Panics
    /// As `load32`.
    #[inline]
    pub fn store32(&self, offset: u32, value: u32) {
        self.word32(offset).store(value.to_le(), Ordering::Release);
    }

    /// As `load32`, for 64 bits.
    ///
    /// # Panics
    /// As `load32`.
    #[inline]
    pub fn load64(&self, offset: u32) -> u64 {
        u64::from_le(self.word64(offset).load(Ordering::Acquire))
    }

    /// As `store32`, for 64 bits.
    ///
    /// # Panics
    /// As `load32`.
    #[inline]
    pub fn store64(&self, offset: u32, value: u64) {
        self.word64(offset).store(value.to_le(), Ordering::Release);
    }

    /// Writes words that follow each other, in their order and as they are: who reads the last sees those before it.
    ///
    /// # Panics
    /// As `load32`.
    #[inline]
    pub fn store_words<const N: usize>(&self, offset: u32, words: [u64; N]) {
        self.check(offset, N * 8);
        let at = self.address().wrapping_add(offset as usize).cast::<u64>();
        assert!(at.is_aligned(), "a word that is not aligned");
        for (n, word) in words.into_iter().enumerate() {
            // SAFETY: as in word32; `n` is below N.
            unsafe { AtomicU64::from_ptr(at.add(n)) }.store(word, Ordering::Release);
        }
    }

    #[inline]
    fn word32(&self, offset: u32) -> &AtomicU32 {
        self.check(offset, 4);
        let at = self.address().wrapping_add(offset as usize).cast::<u32>();
        assert!(at.is_aligned(), "a word that is not aligned");
        // SAFETY: in range and aligned, just checked; initialised, as all mappings are. No reference to these bytes is lent while this
        // share is there: `bytes` lends to a sole share alone, which is then borrowed, and foreign memory is never lent.
        unsafe { AtomicU32::from_ptr(at) }
    }

    #[inline]
    fn word64(&self, offset: u32) -> &AtomicU64 {
        self.check(offset, 8);
        let at = self.address().wrapping_add(offset as usize).cast::<u64>();
        assert!(at.is_aligned(), "a word that is not aligned");
        // SAFETY: as in word32.
        unsafe { AtomicU64::from_ptr(at) }
    }
}
