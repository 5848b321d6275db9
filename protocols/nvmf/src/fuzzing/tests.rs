//! Fuzzing in small: seeded garbage, and scripts that came of thinking like an enemy.

use super::*;

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| (self.next() & 0xff) as u8).collect()
    }
}

/// Seeds of a run: more with DOORBELL_SEEDS.
fn seeds() -> u64 {
    std::env::var("DOORBELL_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(300)
}

#[test]
fn garbage_harms_nobody() {
    for seed in 0..seeds() {
        let mut rng = Rng(seed);
        let len = (rng.next() % 600) as usize;
        let data = rng.bytes(len);
        fuzz_connection(&data);
    }
}

#[test]
fn commands_with_plausible_heads_harm_nobody() {
    for seed in 0..seeds() {
        let mut rng = Rng(seed ^ 0xabcd);
        // Handshake and connects are made; half of it on the I/O queue.
        let mut script = vec![12 | (rng.next() & 0x13) as u8];
        for _ in 0..rng.next() % 24 {
            let mut sqe = rng.bytes(64);
            sqe[0] = [0, 1, 2, 5, 8, 9, 12, 25, 6, 10, 127, 0x0c][(rng.next() % 12) as usize];
            sqe[1] = 0x40 | (rng.next() % 3) as u8;
            sqe[4..8].copy_from_slice(&(1u32 - u32::from(rng.next().is_multiple_of(8))).to_le_bytes());
            sqe[24..40].fill(0);
            let blocks = (rng.next() % 9) as u32;
            sqe[32..36].copy_from_slice(&(blocks * 512).to_le_bytes());
            sqe[39] = if rng.next().is_multiple_of(2) { 0x5a } else { 0x01 };
            sqe[40..48].copy_from_slice(&(rng.next() % 2100).to_le_bytes());
            sqe[48..52].copy_from_slice(&blocks.saturating_sub(1).to_le_bytes());
            script.push(1 | ((rng.next() % 32) << 3) as u8);
            script.extend(sqe);
            match rng.next() % 5 {
                0 => script.push(7),
                1 => {
                    script.push(3 | ((rng.next() % 8) << 3) as u8);
                    script.extend([(rng.next() % 4) as u8, (rng.next() % 4) as u8, 0, (rng.next() & 0x80) as u8]);
                }
                2 => script.push(6),
                _ => {}
            }
        }
        fuzz_connection(&script);
    }
}

#[test]
fn garbage_in_messages_of_vfio_user_harms_nobody() {
    for seed in 0..seeds() {
        let mut rng = Rng(seed ^ 0x7f10);
        let len = (rng.next() % 400) as usize;
        fuzz_vfio_user_messages(&rng.bytes(len));
    }
}

#[test]
fn garbage_in_shared_memory_harms_nobody() {
    for seed in 0..seeds() {
        let mut rng = Rng(seed ^ 0x50_0000);
        let mut script = vec![(rng.next() & 1) as u8];
        for _ in 0..rng.next() % 40 {
            let op = (rng.next() & 0xff) as u8;
            script.push(op);
            let mut part = rng.bytes(64);
            if op & 7 == 0 {
                part[0] = [0, 1, 2, 5, 8, 9, 12, 25, 6, 10, 0x7c, 4][(rng.next() % 12) as usize];
                part[4..8].copy_from_slice(&(1u32 - u32::from(rng.next().is_multiple_of(8))).to_le_bytes());
                part[1] = [0, 0x40, 0, 1, 2][(rng.next() % 5) as usize];
                part[24..32].copy_from_slice(&(0x1_0000_0000 + (rng.next() & 0x3f_fffc)).to_le_bytes());
                part[40..48].copy_from_slice(&(rng.next() % 300).to_le_bytes());
                part[48..52].copy_from_slice(&((rng.next() % 300) as u32).to_le_bytes());
            }
            let keep = (rng.next() % 64) as usize;
            script.extend(if op & 7 == 0 { &part[..] } else { &part[..keep] });
        }
        fuzz_memory_queues(&script);
    }
}
