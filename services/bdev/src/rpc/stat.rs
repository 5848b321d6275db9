//! Counters, as clients see them.

use crate::{Bdev, IoStat};
use doorbell_block::{Op, Status};
use serde_json::{Map, Value, json};

/// A device's counters, or those of each of its queues.
pub(super) fn told(bdev: &Bdev, per_channel: bool) -> Vec<Value> {
    if !per_channel {
        let mut one = counters(&bdev.stat());
        one.insert("name".into(), bdev.name().into());
        return vec![Value::Object(one)];
    }
    let queue = |(reactor, stat): (doorbell_block::ReactorId, IoStat)| {
        let mut one = counters(&stat);
        one.insert("name".into(), bdev.name().into());
        one.insert("thread_id".into(), (reactor.0 + 1).into());
        Value::Object(one)
    };
    bdev.queue_stats().into_iter().map(queue).collect()
}

fn counters(s: &IoStat) -> Map<String, Value> {
    // SPDK's four kinds: what writes counts as a write, and a compare reads.
    let kinds: [(&str, &str, &[Op]); 4] = [
        ("read", "bytes_read", &[Op::Read, Op::Compare]),
        ("write", "bytes_written", &[Op::Write, Op::WriteZeroes, Op::CompareAndWrite, Op::ZoneAppend]),
        ("unmap", "bytes_unmapped", &[Op::Unmap]),
        ("copy", "bytes_copied", &[Op::Copy]),
    ];
    let mut o = Map::new();
    for (kind, bytes, ops) in kinds {
        let mut sum = crate::OpStat::default();
        for op in ops {
            let one = s.op(*op);
            sum.ops += one.ops;
            sum.bytes += one.bytes;
            sum.latency_ns += one.latency_ns;
            sum.latency_ns_min = sum.latency_ns_min.min(one.latency_ns_min);
            sum.latency_ns_max = sum.latency_ns_max.max(one.latency_ns_max);
        }
        let least = if sum.latency_ns_min == u64::MAX { 0 } else { sum.latency_ns_min };
        o.insert(bytes.into(), sum.bytes.into());
        o.insert(format!("num_{kind}_ops"), sum.ops.into());
        o.insert(format!("{kind}_latency_ticks"), sum.latency_ns.into());
        o.insert(format!("max_{kind}_latency_ticks"), sum.latency_ns_max.into());
        o.insert(format!("min_{kind}_latency_ticks"), least.into());
    }
    let errors: Map<_, _> =
        Status::ALL.iter().filter(|st| s.errors(**st) > 0).map(|st| (st.name().to_owned(), s.errors(*st).into())).collect();
    o.insert("io_error".into(), json!(errors));
    o
}

/// Base64 (RFC 4648, section 4).
pub(super) fn base64(bytes: impl IntoIterator<Item = u8>) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = bytes.into_iter().collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().enumerate().fold(0u32, |w, (n, b)| w | u32::from(*b) << (16 - 8 * n));
        for n in 0..4 {
            let digit = (word >> (18 - 6 * n)) as usize & 63;
            text.push(if n <= group.len() { ALPHABET[digit] as char } else { '=' });
        }
    }
    text
}
