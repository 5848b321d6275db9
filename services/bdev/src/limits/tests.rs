use super::*;

fn run(limits: &RateLimits, op: Op, bytes: u64, ns: u64) -> u64 {
    let mut io = Io::boxed(0);
    io.op = op;
    let (mut now, mut admitted) = (0, 0);
    while now < ns {
        match limits.admit(&io, bytes, now) {
            Ok(()) => admitted += 1,
            Err(at) => {
                assert!(at > now, "a refusal says when");
                now = at;
            }
        }
    }
    admitted
}

#[test]
fn any_rate_is_kept_to_the_request() {
    for rate in [1u64, 7, 999, 1_001, 123_457] {
        let l = RateLimits::default();
        l.set(Limit { kind: LimitKind::ReadWriteIos, per_second: rate });
        let n = run(&l, Op::Read, 4096, 10_000_000_000);
        let (want, slack) = (rate * 10, rate / 1000 + 2); // the window of a millisecond
        assert!(n >= want && n <= want + slack, "{rate} a second: {n} in ten seconds");
    }
}

#[test]
fn bytes_are_limited_by_direction() {
    let l = RateLimits::default();
    l.set(Limit { kind: LimitKind::WriteBytes, per_second: 1_000_000 });
    assert!(l.any());
    let n = run(&l, Op::Write, 10_000, 1_000_000_000);
    assert!((100..=102).contains(&n), "{n}");
    let mut io = Io::boxed(0);
    io.op = Op::Read;
    assert!((0..10_000).all(|_| l.admit(&io, 10_000, 0).is_ok()), "reads are free");
    l.set(Limit { kind: LimitKind::WriteBytes, per_second: 0 });
    assert!(!l.any());
}
