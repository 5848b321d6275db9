//! UUIDs derived from another: version 5 (RFC 9562, 5.5), so that the same device above the same base has the same UUID each time.

use doorbell_control::Uuid;

/// The UUID of `name` in `namespace`.
pub(super) fn uuid(namespace: Uuid, name: Uuid) -> Uuid {
    let mut block = [0; 64];
    // 32 bytes, the end mark, and the length in bits: one block.
    block[..16].copy_from_slice(&namespace.0);
    block[16..32].copy_from_slice(&name.0);
    block[32] = 0x80;
    block[56..].copy_from_slice(&(32u64 * 8).to_be_bytes());
    let mut bytes = [0; 16];
    for (to, from) in bytes.chunks_exact_mut(4).zip(sha1_block(&block)) {
        to.copy_from_slice(&from.to_be_bytes());
    }
    bytes[6] = (bytes[6] & 0x0f) | 0x50;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    Uuid(bytes)
}

/// SHA-1 of a message that, padded, is one block (FIPS 180-4, 6.1.2). Not for security.
fn sha1_block(block: &[u8; 64]) -> [u32; 5] {
    let start: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut schedule = [0u32; 80];
    for (word, bytes) in schedule.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    for t in 16..80 {
        schedule[t] = (schedule[t - 3] ^ schedule[t - 8] ^ schedule[t - 14] ^ schedule[t - 16]).rotate_left(1);
    }
    let [mut a, mut b, mut c, mut d, mut e] = start;
    for (t, word) in schedule.iter().enumerate() {
        let (mix, constant) = match t {
            0..20 => ((b & c) | (!b & d), 0x5a82_7999),
            20..40 => (b ^ c ^ d, 0x6ed9_eba1),
            40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6u32),
        };
        let next = a.rotate_left(5).wrapping_add(mix).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
    }
    let mut end = start;
    for (sum, part) in end.iter_mut().zip([a, b, c, d, e]) {
        *sum = sum.wrapping_add(part);
    }
    end
}

#[cfg(test)]
mod tests;
