//! What a range of a device should hold: bytes, and for each block whether they are known.

/// The model of a range.
#[derive(Clone, Debug)]
pub struct Model {
    first: u64,
    shift: u8,
    bytes: Vec<u8>,
    known: Vec<bool>,
}

impl Model {
    /// Of `blocks` from `first`, of which nothing is known.
    pub fn new(first: u64, blocks: u64, shift: u8) -> Model {
        Model { first, shift, bytes: vec![0; (blocks << shift) as usize], known: vec![false; blocks as usize] }
    }

    fn span(&self, lba: u64, blocks: u64) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let at = (lba - self.first) as usize;
        let end = at + blocks as usize;
        (at << self.shift..end << self.shift, at..end)
    }

    /// Whole blocks were written.
    pub fn write(&mut self, lba: u64, bytes: &[u8]) {
        let (b, k) = self.span(lba, (bytes.len() >> self.shift) as u64);
        self.bytes[b].copy_from_slice(bytes);
        self.known[k].fill(true);
    }

    /// Blocks were zeroed.
    pub fn zero(&mut self, lba: u64, blocks: u64) {
        let (b, k) = self.span(lba, blocks);
        self.bytes[b].fill(0);
        self.known[k].fill(true);
    }

    /// Blocks may hold anything now.
    pub fn forget(&mut self, lba: u64, blocks: u64) {
        let (_, k) = self.span(lba, blocks);
        self.known[k].fill(false);
    }

    /// Blocks were copied, as if through memory of their own.
    pub fn copy(&mut self, source: u64, lba: u64, blocks: u64) {
        let ((from, known_from), (to, known_to)) = (self.span(source, blocks), self.span(lba, blocks));
        self.bytes.copy_within(from, to.start);
        self.known.copy_within(known_from, known_to.start);
    }

    /// What blocks should hold; `None` if any is unknown.
    pub fn expected(&self, lba: u64, blocks: u64) -> Option<&[u8]> {
        let (b, k) = self.span(lba, blocks);
        self.known[k].iter().all(|k| *k).then(|| &self.bytes[b])
    }

    /// Is this what was read? Says where it is not.
    pub fn check(&self, lba: u64, read: &[u8]) -> Result<(), String> {
        let size = 1usize << self.shift;
        for (at, block) in (lba..).zip(read.chunks(size)) {
            let (b, k) = self.span(at, 1);
            let should = &self.bytes[b];
            if self.known[k.start] && should != block {
                let n = should.iter().zip(block).position(|(a, b)| a != b).unwrap_or(0);
                let head = |x: &[u8]| format!("{:02x?}", &x[n..(n + 8).min(x.len())]);
                return Err(format!("block {at} differs from byte {n} on: it should be {} and is {}", head(should), head(block)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
