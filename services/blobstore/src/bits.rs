//! A set of small numbers: which pages and clusters are used.

/// Bits, the lowest first.
#[derive(Clone, Debug)]
pub(crate) struct Bits {
    words: Vec<u64>,
    len: u32,
    ones: u32,
    /// All bits below are set.
    lowest: u32,
}

impl Bits {
    /// `len` bits, all clear.
    pub(crate) fn new(len: u32) -> Bits {
        Bits { words: vec![0; len.div_ceil(64) as usize], len, ones: 0, lowest: 0 }
    }

    /// With the bits of `words`; what is past the end is not looked at.
    pub(crate) fn of_words(len: u32, words: impl Iterator<Item = u64>) -> Bits {
        let mut bits = Bits::new(len);
        bits.words.iter_mut().zip(words).for_each(|(to, from)| *to = from);
        if let Some(last) = bits.words.last_mut()
            && !len.is_multiple_of(64)
        {
            *last &= (1 << (len % 64)) - 1;
        }
        bits.ones = bits.words.iter().map(|word| word.count_ones()).sum();
        bits
    }

    pub(crate) fn clear_bits(&self) -> u32 {
        self.len - self.ones
    }

    pub(crate) fn has(&self, bit: u32) -> bool {
        bit < self.len && self.words[bit as usize / 64] >> (bit % 64) & 1 == 1
    }

    /// Sets a bit; false when it was set, or does not exist.
    pub(crate) fn set(&mut self, bit: u32) -> bool {
        if bit >= self.len || self.has(bit) {
            return false;
        }
        self.words[bit as usize / 64] |= 1 << (bit % 64);
        self.ones += 1;
        true
    }

    /// Clears a bit; false when it was clear, or does not exist.
    pub(crate) fn clear(&mut self, bit: u32) -> bool {
        if !self.has(bit) {
            return false;
        }
        self.words[bit as usize / 64] &= !(1 << (bit % 64));
        self.ones -= 1;
        self.lowest = self.lowest.min(bit);
        true
    }

    /// Sets all of these.
    pub(crate) fn set_all(&mut self, bits: impl IntoIterator<Item = u32>) {
        for bit in bits {
            self.set(bit);
        }
    }

    /// Clears all of these.
    pub(crate) fn clear_all(&mut self, bits: impl IntoIterator<Item = u32>) {
        for bit in bits {
            self.clear(bit);
        }
    }

    /// Sets the lowest bit from `from` on that is clear, and says which.
    pub(crate) fn take(&mut self, from: u32) -> Option<u32> {
        if self.has(self.lowest) {
            self.lowest += 1;
        }
        let start = from.max(self.lowest);
        let mut at = start;
        while at < self.len {
            let free = !self.words[at as usize / 64] >> (at % 64);
            if free == 0 {
                at = (at / 64 + 1) * 64;
                continue;
            }
            at += free.trailing_zeros();
            if at >= self.len {
                break;
            }
            self.set(at);
            if start == self.lowest {
                self.lowest = at + 1;
            }
            return Some(at);
        }
        None
    }

    /// With another number of bits; those that are new are clear.
    pub(crate) fn resize(&mut self, len: u32) {
        *self = Bits::of_words(len, self.words.iter().copied());
    }

    /// Its words of 64 bits, the lowest first.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// How many bits there are.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// The bits that are set, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            std::iter::successors((*word != 0).then_some(*word), |left| Some(left & (left - 1)).filter(|left| *left != 0))
                .map(move |left| at as u32 * 64 + left.trailing_zeros())
        })
    }
}

#[cfg(test)]
mod tests;
