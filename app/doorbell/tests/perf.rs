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

#[test]
fn a_saved_configurations_device_is_measured_and_nothing_is_served() {
    let folder = Folder::new();
    let config = r#"{"subsystems": [
        {"subsystem": "bdev", "config": [
            {"method": "bdev_set_options", "params": {"bdev_io_pool_size": 1024}},
            {"method": "bdev_malloc_create", "params": {"name": "M0", "num_blocks": 8192, "block_size": 512}},
            {"method": "bdev_malloc_create", "params": {"name": "M1", "num_blocks": 8192, "block_size": 512}},
            {"method": "bdev_passthru_create", "params": {"name": "P0", "base_bdev_name": "M0"}}
        ]},
        {"subsystem": "nvmf", "config": [{"method": "nvmf_create_transport", "params": {"trtype": "RDMA"}}]}
    ]}"#;
    std::fs::write(folder.path().join("saved.json"), config).unwrap();
    assert!(json(&folder, "--config saved.json --device P0 --pattern randread").0);
    let (clean, out) = json(&folder, "--config saved.json --device M1 --layers 1 --pattern randrw --verify");
    assert!(clean && out["verified"].as_u64().unwrap() > 0, "{out}");
    assert_eq!(folder.run(&["perf", "block", "--config", "saved.json"]).status.code(), Some(2), "which of its devices?");
    for (line, says) in [
        ("--config saved.json --device M2", "but M0, M1, P0"),
        ("--config saved.json --device M0 --pattern randwrite", "claimed by passthru"),
        ("--config saved.json --device P0 --pattern randwrite", "--destroy-data"),
        ("--config absent.json --device P0", "absent.json"),
    ] {
        let words: Vec<&str> = ["perf", "block"].into_iter().chain(line.split_whitespace()).collect();
        let refused = folder.run(&words);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(1) && said.contains(says), "{line}: {said}");
    }
}
