use super::*;
use crate::cli::{Cli, Command, PerfCommand};
use clap::Parser;

fn args(line: &str) -> BlockArgs {
    let words = ["doorbell", "perf", "block"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(words).unwrap().command {
        Command::Perf { command: PerfCommand::Block(args) } => *args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn cores_are_a_number_a_list_or_a_mask() {
    assert_eq!(cores("3").unwrap(), (3, vec![]));
    let first = cpu::allowed().unwrap()[0];
    assert_eq!(cores(&format!("[{first}]")).unwrap(), (0, vec![first]));
    assert!(cores("0").is_err() && cores("many").is_err() && cores("4096").is_err());
}

#[test]
fn cores_have_their_own_part_when_order_or_content_matters() {
    let sequential = args("--pattern read --io-size 4k");
    assert_eq!(share(1000, &sequential, 512, 0, 2), 0..496);
    assert_eq!(share(1000, &sequential, 512, 1, 2), 496..992);
    let random = args("--pattern randrw --io-size 4k --size 64k");
    assert_eq!(share(1000, &random, 512, 1, 2), 0..128);
    let verified = args("--pattern randrw --verify --io-size 4k");
    assert_eq!(share(1000, &verified, 512, 1, 2), 496..992);
}

#[test]
fn pools_hold_the_load_beside_what_layers_need() {
    let small = config(&args("--queue-depth 100 --device null --device malloc --io-size 1k")).unwrap();
    assert!(small.pool.classes.iter().any(|c| c.size == 4096 && c.count == 4096 + 200));
    assert_eq!(small.boxes, 200 + BOXES);
    let large = config(&args("--queue-depth 2 --io-size 3M")).unwrap();
    assert!(large.pool.classes.iter().any(|c| c.size == 1 << 20 && c.count == 16 + 6));
}

#[test]
fn what_others_made_is_not_written_over() {
    let path = std::env::temp_dir().join(format!("doorbell-perf-{}", std::process::id()));
    std::fs::write(&path, b"precious").unwrap();
    let checked = |line: &str| device::check(&args(&format!("--device {} {line}", path.display()))).map(|_| ()).map_err(|e| e.to_string());
    assert!(checked("--pattern randwrite").unwrap_err().contains("--destroy-data"));
    assert!(checked("--pattern randread --verify").unwrap_err().contains("--destroy-data"));
    assert_eq!(checked("--pattern randread"), Ok(()));
    assert_eq!(checked("--pattern write --destroy-data"), Ok(()));
    std::fs::remove_file(&path).unwrap();
    assert!(checked("--pattern randread").unwrap_err().contains("size="));
}

#[test]
fn null_and_malloc_run_and_verify() {
    for line in [
        "--device null --layers 2 --time 0.05 --json",
        "--device malloc --size 4M --pattern randrw --verify --time 0.05 --json --cores 2 --queue-depth 8",
        "--device malloc --device malloc --size 1M --pattern write --io-size 64k --time 0.05 --json",
    ] {
        assert!(block(args(line)).unwrap(), "{line}");
    }
}
