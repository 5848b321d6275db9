use super::*;

fn outcome(ios: u64, latency_ns: u64) -> Outcome {
    let mut outcome = Outcome { ios, elapsed_ns: 1_000_000_000, cpu_ns: 500_000_000, ..Outcome::default() };
    (0..ios).for_each(|_| outcome.latency.record(latency_ns));
    outcome
}

#[test]
fn cores_add_up_and_generators_of_one_core_share_its_time() {
    let mut report = Report::new(4096);
    report.add_core(vec![outcome(1000, 50), outcome(3000, 60)]);
    report.add_core(vec![outcome(1000, 10)]);
    let json = report.to_json();
    assert_eq!(json["iops"], 5000.0);
    assert_eq!(json["bytes_per_s"], 5000.0 * 4096.0);
    assert_eq!(json["cpu_ns_per_io"], 200_000.0);
    assert_eq!((&json["p50_ns"], &json["max_ns"], &json["mean_ns"]), (&json!(60), &json!(60), &json!(48.0)));
    assert_eq!(json["errors"], 0);
    assert!(report.is_clean());
}

#[test]
fn failures_and_wrong_data_are_errors() {
    let mut report = Report::new(512);
    let mut bad = outcome(10, 5);
    bad.errors[Status::NoSpace as usize] = 3;
    bad.mismatches = 2;
    bad.first_mismatch = Some(Mismatch { lba: 7, byte: 8 });
    report.add_core(vec![bad]);
    assert!(!report.is_clean());
    assert_eq!(report.to_json()["errors"], 5);
    assert_eq!(report.to_json()["errors_by_status"]["no_space"], 3);
    let text = report.to_string();
    assert!(text.contains("no_space") && text.contains("block 7, from byte 8"), "{text}");
}

#[test]
fn numbers_are_readable() {
    assert_eq!(grouped(1_234_567.4), "1,234,567");
    assert_eq!(grouped(123.0), "123");
    assert_eq!(Time(1_500.0).to_string(), "1.5 µs");
}
