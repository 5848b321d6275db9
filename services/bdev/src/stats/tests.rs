use super::*;

#[test]
fn buckets_rise_with_latency_and_hold_what_they_say() {
    let mut last = 0;
    for ns in [1u64, 2, 127, 128, 129, 255, 256, 257, 258, 511, 512, 1000, 1 << 20, (1 << 20) + (1 << 14), u64::MAX] {
        let b = Histogram::bucket(ns);
        assert!(b >= last && b < Histogram::len(), "{ns}: {b} after {last}");
        last = b;
    }
    assert_eq!(Histogram::bucket(0), Histogram::bucket(1));
    // Up to 127 a bucket each; from 128 on, 128 buckets for every power of two.
    assert_eq!((Histogram::bucket(127), Histogram::bucket(128), Histogram::bucket(255), Histogram::bucket(256)), (127, 128, 255, 256));
    assert_eq!(Histogram::bucket(257), Histogram::bucket(256));
}

#[test]
fn sums_and_differences() {
    let q = QueueStats::new();
    q.add_run(Op::Read, &OpStat { ops: 2, bytes: 1024, latency_ns: 30, latency_ns_min: 10, latency_ns_max: 20 });
    let first = q.read();
    q.add_run(Op::Read, &OpStat { ops: 1, bytes: 512, latency_ns: 5, latency_ns_min: 5, latency_ns_max: 5 });
    let both = q.read();
    assert_eq!(both.op(Op::Read), OpStat { ops: 3, bytes: 1536, latency_ns: 35, latency_ns_min: 5, latency_ns_max: 20 });
    assert_eq!(both.since(&first).op(Op::Read).ops, 1);
    assert_eq!(both.plus(&first).op(Op::Read).bytes, 2560);
    q.forget_extremes();
    assert_eq!(q.read().op(Op::Read).latency_ns_min, u64::MAX);
}
