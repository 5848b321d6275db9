//! Latencies in buckets: exact below 64 ns, within 1.6 % above, with the largest and the sum kept exactly.
//!
//! Not a general histogram: what matters is that recording costs next to nothing. Requests that finish in one turn often took equally
//! long, so a value that repeats is counted in a register and filed once.

#[cfg(test)]
mod tests;

/// Buckets of each power of two: 64.
const SUB_BITS: u32 = 6;
const BUCKETS: usize = ((64 - SUB_BITS as usize) << SUB_BITS) + (1 << SUB_BITS);

/// Latencies in nanoseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    /// Room for 584 years of waiting.
    sum: u64,
    max: u64,
    /// The value that repeats, and how often it has been seen since it was filed.
    last: u64,
    run: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: Box::new([0; BUCKETS]), count: 0, sum: 0, max: 0, last: 0, run: 0 }
    }
}

#[inline]
fn bucket(value: u64) -> usize {
    let shift = u64::BITS - SUB_BITS - 1 - (value | 1 << SUB_BITS).leading_zeros();
    ((shift as usize) << SUB_BITS) + (value >> shift) as usize
}

/// The largest value that falls into a bucket.
fn top_of(bucket: usize) -> u64 {
    let shift = (bucket >> SUB_BITS).saturating_sub(1);
    let low = (bucket - (shift << SUB_BITS)) as u64;
    (low << shift) + ((1 << shift) - 1)
}

impl Histogram {
    /// Records one value.
    #[inline(always)]
    pub fn record(&mut self, value: u64) {
        if value == self.last {
            self.run += 1;
        } else {
            self.file();
            self.last = value;
            self.run = 1;
        }
    }

    #[inline(never)]
    fn file(&mut self) {
        let (value, run) = (self.last, self.run);
        self.buckets[bucket(value)] += run;
        self.count += run;
        self.sum = self.sum.wrapping_add(value.wrapping_mul(run));
        if run > 0 {
            self.max = self.max.max(value);
        }
        self.run = 0;
    }

    /// Adds another's values.
    pub fn merge(&mut self, mut other: Histogram) {
        self.file();
        other.file();
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.count + self.run
    }

    /// Their mean; zero when there are none.
    pub fn mean(&self) -> f64 {
        let sum = self.sum.wrapping_add(self.last.wrapping_mul(self.run));
        if self.count() == 0 { 0.0 } else { sum as f64 / self.count() as f64 }
    }

    /// The largest.
    pub fn max(&self) -> u64 {
        if self.run > 0 { self.max.max(self.last) } else { self.max }
    }

    /// The value that `percent` of all do not exceed, as exactly as the buckets go; zero when there are none.
    pub fn percentile(&self, percent: f64) -> u64 {
        let mut whole = self.clone();
        whole.file();
        let wanted = ((whole.count as f64 * percent / 100.0).ceil() as u64).max(1);
        let mut seen = 0;
        for (n, count) in whole.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return top_of(n).min(whole.max);
            }
        }
        whole.max
    }
}
