//! `doorbell perf block` from its command line.

mod support;

use serde_json::Value;
use support::Folder;

fn json(folder: &Folder, line: &str) -> (bool, Value) {
    let words: Vec<&str> = ["perf", "block", "--json", "--time", "0.1"].into_iter().chain(line.split_whitespace()).collect();
    let output = folder.run(&words);
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().last().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.success(), serde_json::from_str(last).unwrap())
}

#[test]
fn json_has_what_programs_need() {
    let folder = Folder::new();
    let (clean, out) = json(&folder, "--device null --queue-depth 8");
    assert!(clean);
    for key in ["iops", "bytes_per_s", "mean_ns", "p50_ns", "p99_ns", "p999_ns", "max_ns", "cpu_ns_per_io"] {
        assert!(out[key].as_f64().unwrap() > 0.0, "{key}: {out}");
    }
    assert_eq!(out["errors"], 0);
}

#[test]
fn a_file_is_written_and_verified_only_when_it_may_be() {
    let folder = Folder::new();
    let (clean, out) = json(&folder, "--device disk.img,size=4M --pattern randrw --verify --queue-depth 4");
    assert!(clean && out["verified"].as_u64().unwrap() > 0, "{out}");
    let again = folder.run(&["perf", "block", "--device", "disk.img", "--pattern", "randwrite"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8(again.stderr).unwrap().contains("--destroy-data"));
    assert!(json(&folder, "--device disk.img,engine=aio --pattern write --destroy-data --verify").0);
    assert!(json(&folder, "--device disk.img,ro --pattern randread").0);
}

#[test]
fn a_person_reads_a_table() {
    let folder = Folder::new();
    let output = folder.run(&["perf", "block", "--time", "0.05", "--layers", "3"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for word in ["randread", "under 3 layers", "IOPS", "p99.9", "ns of a core"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}
